//! Curves over a setting each, as a picture (SVG).

use std::fmt::Write;

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 190.0;
const MARGIN: f64 = 58.0;
const TOP: f64 = 40.0;
/// Below a panel: its axis and its name.
const BELOW: f64 = 60.0;
/// Below all: what the colors mean.
const KEY: f64 = 44.0;

/// Colors that are distinct under color blindness (Okabe and Ito), for light and for dark.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#222}.ground{fill:#fff}.grid{stroke:#ddd}\
.curve{fill:none;stroke-width:2}.a{stroke:#0072b2}.b{stroke:#d55e00}.c{stroke:#009e73}.dashed{stroke-dasharray:5 4}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1e2127}.grid{stroke:#3a3f4b}\
.a{stroke:#56b4e9}.b{stroke:#e69f00}.c{stroke:#2bc79a}}";

/// A figure over a setting, or over time.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Name of the series.
    pub name: &'static str,
    /// Its color, `a`, `b` or `c`, and ` dashed` if it is.
    pub class: &'static str,
    /// Setting and figure.
    pub points: Vec<(f64, f64)>,
}

/// The curves over one setting.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Label of the axis.
    pub axis: &'static str,
    /// At least one; all have the same settings.
    pub curves: Vec<Curve>,
}

/// All panels, two in a row, of figures in `unit`. Names are ours: nothing in them needs to be
/// escaped.
pub fn svg(title: &str, unit: &str, panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2) as f64;
    let columns = panels.len().min(2) as f64;
    let (width, height) = (columns * (WIDTH + MARGIN) + 20.0, rows * (TOP + HEIGHT + BELOW) + KEY);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n"
    );
    // One scale for all, so that they can be compared.
    let figures = panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.points);
    let largest = figures.map(|(_, figure)| *figure).fold(1.0, f64::max);
    let tick = [1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|tick| largest / tick <= 6.0).unwrap_or(20.0);
    let end = (largest / tick).ceil() * tick;
    for (number, panel) in panels.iter().enumerate() {
        let left = MARGIN + (number % 2) as f64 * (WIDTH + MARGIN);
        let top = TOP + (number / 2) as f64 * (TOP + HEIGHT + BELOW);
        draw(&mut svg, left, top, (tick, end, unit), panel);
    }
    for (number, curve) in panels.first().map_or(&[][..], |panel| &panel.curves).iter().enumerate() {
        let (x, y) = (MARGIN + number as f64 * (width - MARGIN) / (2.0 * columns), height - KEY / 2.0);
        let _ = writeln!(svg, "<path class=\"curve {}\" d=\"M{x:.0} {:.0}h26\"/>", curve.class, y - 4.0);
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{y:.0}\">{}</text>", x + 32.0, curve.name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, left: f64, top: f64, (tick, end, unit): (f64, f64, &str), panel: &Panel) {
    let values: Vec<f64> = panel.curves[0].points.iter().map(|(value, _)| *value).collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    let x = |value: f64| left + WIDTH * (value - first) / (last - first);
    let y = |figure: f64| top + HEIGHT * (1.0 - figure / end);
    // Writing to a string cannot fail.
    for step in 0..=(end / tick).round() as u32 {
        let figure = f64::from(step) * tick;
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {:.1}h{WIDTH}\"/>", y(figure));
        let (x, y) = (left - 6.0, y(figure) + 4.0);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{figure} {unit}</text>");
    }
    let mut free = f64::NEG_INFINITY;
    for value in values {
        let (x, y) = (x(value), top + HEIGHT);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {top}v{HEIGHT}\"/>");
        // Where marks are close, not all have room for their number.
        if x >= free {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
                y + 18.0
            );
            free = x + 32.0;
        }
    }
    let (middle, below) = (left + WIDTH / 2.0, top + HEIGHT + 40.0);
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", panel.axis);
    for curve in &panel.curves {
        let path: Vec<String> = curve
            .points
            .iter()
            .map(|(value, figure)| format!("{:.1} {:.1}", x(*value), y(*figure)))
            .collect();
        let _ = writeln!(svg, "<path class=\"curve {}\" d=\"M{}\"/>", curve.class, path.join("L"));
    }
}
