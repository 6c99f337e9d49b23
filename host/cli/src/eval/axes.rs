//! Axes of a picture (SVG), and curves on them.

use std::fmt::Write;

pub(super) const WIDTH: f64 = 400.0;
pub(super) const HEIGHT: f64 = 220.0;
pub(super) const MARGIN: f64 = 56.0;
const TOP: f64 = 40.0;
/// Below a panel: its axis, its title, its legend.
const BELOW: f64 = 120.0;

/// Colors that are distinct under color blindness (Okabe and Ito), for light and for dark.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px}.ground{fill:#fff}.grid{stroke:#ddd}\
.curve{fill:none;stroke-width:2}.a{stroke:#0072b2}.b{stroke:#d55e00}.c{stroke:#009e73}.d{stroke:#cc79a7}\
.dashed{stroke-dasharray:5 4}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1e2127}.grid{stroke:#3a3f4b}\
.a{stroke:#56b4e9}.b{stroke:#e69f00}.c{stroke:#2bc79a}}";

/// Draws a picture of `panels` panels side by side; `draw` draws each.
pub(super) fn picture(panels: usize, title: &str, draw: impl FnOnce(&mut String)) -> String {
    let (width, height) = (panels as f64 * (WIDTH + MARGIN) + MARGIN, TOP + HEIGHT + BELOW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
    );
    draw(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// Two axes that begin at 0, and the picture that they are in. Names are ours: nothing in them
/// needs to be escaped.
pub(super) struct Axes<'a> {
    svg: &'a mut String,
    left: f64,
    ends: (f64, f64),
}

impl<'a> Axes<'a> {
    /// Draws axes from `left` on, up to at least these values; `unit` goes behind the numbers of
    /// the upright one.
    pub(super) fn draw(
        svg: &'a mut String,
        left: f64,
        (title, across): (&str, &str),
        (x, y): (f64, f64),
        unit: &str,
    ) -> Self {
        let ends = (end(x), end(y));
        let mut axes = Self { svg, left, ends };
        axes.line(format_args!("<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", TOP - 16.0));
        for value in marks(ends.1, tick(y)) {
            let (_, at) = axes.place(0.0, value);
            axes.line(format_args!("<path class=\"grid\" d=\"M{left} {at:.1}h{WIDTH}\"/>"));
            axes.line(format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>",
                left - 6.0,
                at + 4.0,
                label(value, tick(y)),
            ));
        }
        for value in marks(ends.0, tick(x)) {
            let (at, bottom) = axes.place(value, 0.0);
            axes.line(format_args!("<path class=\"grid\" d=\"M{at:.1} {TOP}v{HEIGHT}\"/>"));
            axes.line(format_args!(
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                label(value, tick(x)),
            ));
        }
        axes.line(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{across}</text>",
            left + WIDTH / 2.0,
            TOP + HEIGHT + 40.0
        ));
        axes
    }

    /// Maps a pair of values to the picture.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + WIDTH * (x / self.ends.0).clamp(0.0, 1.0),
            TOP + HEIGHT * (1.0 - (y / self.ends.1).clamp(0.0, 1.0)),
        )
    }

    /// The value at the end of the level axis.
    pub(super) fn end(&self) -> f64 {
        self.ends.0
    }

    pub(super) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.svg.write_fmt(text);
        self.svg.push('\n');
    }

    /// The legend's entry with this number: a piece of the curve, and its name.
    pub(super) fn key(&mut self, number: usize, class: &str, name: &str) {
        let (column, row) = ((number % 2) as f64, (number / 2) as f64);
        let (x, y) = (self.left + column * WIDTH / 2.0, TOP + HEIGHT + 64.0 + row * 22.0);
        self.line(format_args!("<path class=\"curve {class}\" d=\"M{x} {}h28\"/>", y - 4.0));
        self.line(format_args!("<text x=\"{}\" y=\"{y}\">{name}</text>", x + 36.0));
    }
}

/// The values from 0 to `end` that are marked.
fn marks(end: f64, tick: f64) -> impl Iterator<Item = f64> {
    (0..=(end / tick).round() as u32).map(move |step| f64::from(step) * tick)
}

/// The first mark that is not below a value.
fn end(largest: f64) -> f64 {
    let tick = tick(largest);
    (largest / tick).ceil().max(1.0) * tick
}

fn label(value: f64, tick: f64) -> String {
    if tick < 0.095 {
        format!("{value:.2}")
    } else if tick < 0.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Distance of some five to ten marks up to a value: 1, 2 or 5 times a power of ten.
fn tick(largest: f64) -> f64 {
    if largest <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf((largest / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| largest / (step * power) <= 8.0);
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_round() {
        for (largest, expected) in
            [(0.0, 1.0), (0.4, 0.05), (1.0, 0.2), (3.0, 0.5), (7.9, 1.0), (100.0, 20.0)]
        {
            assert!((tick(largest) - expected).abs() < 1e-9, "{largest}: {}", tick(largest));
        }
    }
}
