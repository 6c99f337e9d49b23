//! Cumulative distributions as a picture (SVG): latencies on the left, word error rates of the recordings on the right.

use std::fmt::Write;

use super::Report;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 56.0;
const TOP: f64 = 40.0;
/// Below a panel: its axis, its title, its legend.
const BELOW: f64 = 120.0;

/// Colours that also people tell apart who see few (Okabe and Ito), for light and for dark.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.ground{fill:#fff}.grid{stroke:#ddd}\
.curve{fill:none;stroke-width:2}.a{stroke:#0072b2}.b{stroke:#d55e00}.c{stroke:#009e73}.dashed{stroke-dasharray:5 4}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1e2127}.grid{stroke:#3a3f4b}\
.a{stroke:#56b4e9}.b{stroke:#e69f00}.c{stroke:#2bc79a}}";

struct Curve {
    name: &'static str,
    class: &'static str,
    values: Vec<f64>,
}

pub(super) fn svg(report: &Report) -> String {
    let [offline, unaware, aware] = &report.totals;
    let curve = |name, class, values: &[f64]| Curve { name, class, values: values.to_vec() };
    let latencies = [
        curve("word latency", "a", &unaware.word_latency),
        curve("word latency, aware", "a dashed", &aware.word_latency),
        curve("final latency", "b", &unaware.final_latency_true),
        curve("final latency, aware", "b dashed", &aware.final_latency_true),
    ];
    let rates = |way: usize| -> Vec<f64> {
        let rates = report.scored.iter().map(|scored| scored.ways[way].1.words.rate());
        rates.flatten().map(|rate| rate * 100.0).collect()
    };
    let rates = [
        curve("offline", "c", &rates(0)),
        curve("streaming", "a", &rates(1)),
        curve("streaming, aware", "a dashed", &rates(2)),
    ];
    let (width, height) = (2.0 * (WIDTH + MARGIN) + MARGIN, TOP + HEIGHT + BELOW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Latency and word error rate of {} recordings, {:.0} s</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        report.scored.len(),
        offline.audio,
    );
    panel(&mut svg, MARGIN, "share of words, or of recordings", "latency in seconds", &latencies);
    panel(&mut svg, 2.0 * MARGIN + WIDTH, "share of recordings", "word error rate in percent", &rates);
    svg.push_str("</svg>\n");
    svg
}

/// Draws curves from `left` on. Names are ours: nothing in them needs to be escaped.
fn panel(svg: &mut String, left: f64, title: &str, axis: &str, curves: &[Curve]) {
    let largest = curves.iter().flat_map(|curve| &curve.values).copied().fold(0.0, f64::max);
    let tick = tick(largest);
    let end = (largest / tick).ceil().max(1.0) * tick;
    let x = |value: f64| left + WIDTH * (value / end).clamp(0.0, 1.0);
    let y = |share: f64| TOP + HEIGHT * (1.0 - share);
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = svg.write_fmt(text);
        svg.push('\n');
    };
    line(format_args!("<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", TOP - 16.0));
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        line(format_args!("<path class=\"grid\" d=\"M{left} {y}h{WIDTH}\"/>"));
        line(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent} %</text>",
            left - 6.0,
            y + 4.0
        ));
    }
    for step in 0..=(end / tick).round() as u32 {
        let value = f64::from(step) * tick;
        let label = if tick < 0.095 {
            format!("{value:.2}")
        } else if tick < 0.95 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        };
        let (x, y) = (x(value), TOP + HEIGHT);
        line(format_args!("<path class=\"grid\" d=\"M{x:.1} {TOP}v{HEIGHT}\"/>"));
        line(format_args!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", y + 18.0));
    }
    let middle = left + WIDTH / 2.0;
    line(format_args!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{axis}</text>",
        TOP + HEIGHT + 40.0
    ));
    for (number, curve) in curves.iter().enumerate() {
        let (column, row) = ((number % 2) as f64, (number / 2) as f64);
        let (x_key, y_key) = (left + column * WIDTH / 2.0, TOP + HEIGHT + 64.0 + row * 22.0);
        line(format_args!("<path class=\"curve {}\" d=\"M{x_key} {}h28\"/>", curve.class, y_key - 4.0));
        line(format_args!("<text x=\"{}\" y=\"{y_key}\">{}</text>", x_key + 36.0, curve.name));
        if curve.values.is_empty() {
            continue;
        }
        let mut values = curve.values.clone();
        values.sort_by(f64::total_cmp);
        let mut path = format!("M{:.1} {:.1}", x(values[0]), y(0.0));
        for (number, value) in values.iter().enumerate() {
            let share = (number + 1) as f64 / values.len() as f64;
            let _ = write!(path, "H{:.1}V{:.1}", x(*value), y(share));
        }
        line(format_args!("<path class=\"curve {}\" d=\"{path}H{:.1}\"/>", curve.class, x(end)));
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
