//! Curves over a setting each, as a picture (SVG).

use hearken_measure::picture::Picture;

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

/// All panels, two in a row, of figures in `unit`, on one scale, so that they can be compared.
pub fn svg(title: &str, unit: &str, panels: &[Panel]) -> String {
    let mut picture = Picture::new(title, panels.len().min(2), panels.len().div_ceil(2));
    let largest = |of: fn(&(f64, f64)) -> f64, panels: &[Panel]| {
        let points = panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.points);
        points.map(of).fold(0.0, f64::max)
    };
    let highest = largest(|(_, figure)| *figure, panels);
    for (number, panel) in panels.iter().enumerate() {
        let farthest = largest(|(setting, _)| *setting, std::slice::from_ref(panel));
        let mut axes = picture.axes(
            (number % 2, number / 2),
            ("", panel.axis),
            (farthest, highest),
            &format!(" {unit}"),
        );
        for (number, curve) in panel.curves.iter().enumerate() {
            axes.curve(curve.class, curve.points.iter().copied());
            axes.key(number, curve.class, curve.name);
        }
    }
    picture.finish()
}
