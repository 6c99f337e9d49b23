//! Pictures of measurements (SVG): panels with axes, and curves on them.

use std::fmt::Write;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 56.0;
const TOP: f64 = 40.0;
/// Below a panel: its axis, its title, its legend.
const BELOW: f64 = 120.0;
const ROW: f64 = TOP + HEIGHT + BELOW;

/// Colors that are distinct under color blindness (Okabe and Ito), for light and for dark.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px}.ground{fill:#fff}.grid{stroke:#ddd}\
.curve{fill:none;stroke-width:2}.a{stroke:#0072b2}.b{stroke:#d55e00}.c{stroke:#009e73}.d{stroke:#cc79a7}\
.dashed{stroke-dasharray:5 4}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1e2127}.grid{stroke:#3a3f4b}\
.a{stroke:#56b4e9}.b{stroke:#e69f00}.c{stroke:#2bc79a}}";

/// A picture of panels in columns and rows, as SVG. Names are not escaped: they may not contain
/// `<` and `&`.
#[derive(Debug)]
pub struct Picture(String);

impl Picture {
    /// A picture with room for this many columns and rows of panels.
    pub fn new(title: &str, columns: usize, rows: usize) -> Self {
        let width = columns as f64 * (WIDTH + MARGIN) + MARGIN;
        let height = rows as f64 * ROW;
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        ))
    }

    /// Draws the axes of the panel at a column and a row, up to at least the values `x` and `y`.
    /// `across` labels the level axis; `unit` goes behind the numbers of the upright one.
    pub fn axes(
        &mut self,
        (column, row): (usize, usize),
        (title, across): (&str, &str),
        (x, y): (f64, f64),
        unit: &str,
    ) -> Axes<'_> {
        let (left, top) = (MARGIN + column as f64 * (WIDTH + MARGIN), TOP + row as f64 * ROW);
        let ends = (end(x), end(y));
        let mut axes = Axes { svg: &mut self.0, left, top, ends };
        axes.line(format_args!("<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", top - 16.0));
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
            axes.line(format_args!("<path class=\"grid\" d=\"M{at:.1} {top}v{HEIGHT}\"/>"));
            axes.line(format_args!(
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                label(value, tick(x)),
            ));
        }
        axes.line(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{across}</text>",
            left + WIDTH / 2.0,
            top + HEIGHT + 40.0
        ));
        axes
    }

    /// Ends the picture: the SVG file's text.
    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// Two axes that begin at 0, and the picture that they are in. A class is a color, `a` to `d`, and
/// ` dashed` if the line is.
#[derive(Debug)]
pub struct Axes<'a> {
    svg: &'a mut String,
    left: f64,
    top: f64,
    ends: (f64, f64),
}

impl Axes<'_> {
    /// Draws a curve through pairs of values.
    pub fn curve(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let place = |(x, y)| {
            let (x, y) = self.place(x, y);
            format!("{x:.1} {y:.1}")
        };
        let path: Vec<String> = points.into_iter().map(place).collect();
        if !path.is_empty() {
            self.line(format_args!("<path class=\"curve {class}\" d=\"M{}\"/>", path.join("L")));
        }
    }

    /// Draws the cumulative distribution of sorted values, in percent.
    pub fn distribution(&mut self, class: &str, sorted: &[f64]) {
        let Some(first) = sorted.first() else { return };
        let (x, y) = self.place(*first, 0.0);
        let mut path = format!("M{x:.1} {y:.1}");
        for (number, value) in sorted.iter().enumerate() {
            let share = (number + 1) as f64 / sorted.len() as f64;
            let (x, y) = self.place(*value, share * 100.0);
            // Writing to a string cannot fail.
            let _ = write!(path, "H{x:.1}V{y:.1}");
        }
        let (end, _) = self.place(self.ends.0, 0.0);
        self.line(format_args!("<path class=\"curve {class}\" d=\"{path}H{end:.1}\"/>"));
    }

    /// Draws a level line over the whole width.
    pub fn level(&mut self, class: &str, y: f64) {
        self.curve(class, [(0.0, y), (self.ends.0, y)]);
    }

    /// Marks a point, with a small label beside it.
    pub fn point(&mut self, class: &str, (x, y): (f64, f64), label: &str) {
        let (x, y) = self.place(x, y);
        self.line(format_args!("<circle class=\"curve {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"));
        self.line(format_args!(
            "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            x + 5.0,
            y - 5.0
        ));
    }

    /// Draws the legend's entry with this number, from 0: a piece of the curve, and its name.
    pub fn key(&mut self, number: usize, class: &str, name: &str) {
        let (column, row) = ((number % 2) as f64, (number / 2) as f64);
        let (x, y) = (self.left + column * WIDTH / 2.0, self.top + HEIGHT + 64.0 + row * 22.0);
        self.line(format_args!("<path class=\"curve {class}\" d=\"M{x} {}h28\"/>", y - 4.0));
        // Small, so that the longest fit, which are those of commit policies.
        self.line(format_args!("<text class=\"small\" x=\"{}\" y=\"{y}\">{name}</text>", x + 34.0));
    }

    /// Maps a pair of values to the picture.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + WIDTH * (x / self.ends.0).clamp(0.0, 1.0),
            self.top + HEIGHT * (1.0 - (y / self.ends.1).clamp(0.0, 1.0)),
        )
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.svg.write_fmt(text);
        self.svg.push('\n');
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
