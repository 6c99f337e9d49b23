//! Pictures (SVG). For one configuration: cumulative distributions, latencies on the left, word
//! error rates of the recordings on the right. For several: latency against errors.

use hearken::session::CommitPolicy;
use hearken_measure::Spread;
use hearken_measure::picture::Picture;

use super::Report;
use super::score::Tally;

pub(super) fn svg(report: &Report) -> String {
    match &report.streaming[..] {
        [streaming] => distributions(report, streaming),
        _ => tradeoff(report),
    }
}

/// Selects one of a spread's values.
type Percentile = fn(Spread) -> f64;

struct Curve {
    name: &'static str,
    class: &'static str,
    values: Vec<f64>,
}

fn distributions(report: &Report, [unaware, aware]: &[Tally; 2]) -> String {
    let curve = |name, class, values: &[f64]| Curve { name, class, values: values.to_vec() };
    let latencies = [
        curve("word latency", "a", &unaware.word_latency),
        curve("word latency, aware", "a dashed", &aware.word_latency),
        curve("final latency", "b", &unaware.final_latency_true),
        curve("final latency, aware", "b dashed", &aware.final_latency_true),
    ];
    let rates = |of: &dyn Fn(&super::Scored) -> Option<f64>| -> Vec<f64> {
        report.scored.iter().filter_map(of).map(|rate| rate * 100.0).collect()
    };
    let rates = [
        curve("offline", "c", &rates(&|scored| scored.offline.1.words.rate())),
        curve("streaming", "a", &rates(&|scored| scored.streaming[0][0].1.words.rate())),
        curve("streaming, aware", "a dashed", &rates(&|scored| scored.streaming[0][1].1.words.rate())),
    ];
    let title = format!(
        "Latency and word error rate of {} recordings, {:.0} s",
        report.scored.len(),
        report.offline.audio
    );
    let mut picture = Picture::new(&title, 2, 1);
    panel(&mut picture, 0, ("share of words, or of recordings", "latency in seconds"), &latencies);
    panel(&mut picture, 1, ("share of recordings", "word error rate in percent"), &rates);
    picture.finish()
}

fn panel(picture: &mut Picture, column: usize, titles: (&str, &str), curves: &[Curve]) {
    let largest = curves.iter().flat_map(|curve| &curve.values).copied().fold(0.0, f64::max);
    let mut axes = picture.axes((column, 0), titles, (largest, 100.0), " %");
    for (number, curve) in curves.iter().enumerate() {
        axes.key(number, curve.class, curve.name);
        let mut values = curve.values.clone();
        values.sort_by(f64::total_cmp);
        axes.distribution(curve.class, &values);
    }
}

/// Word error rate over the median word latency, a curve for each policy with a point for each
/// step, and over the 95th percentile.
fn tradeoff(report: &Report) -> String {
    const CLASSES: [&str; 4] = ["a", "b", "c", "d"];
    let mut policies: Vec<CommitPolicy> = Vec::new();
    for configuration in &report.configurations {
        if !policies.contains(&configuration.policy) {
            policies.push(configuration.policy);
        }
    }
    let rate = |tally: &Tally| tally.words.rate().unwrap_or(0.0) * 100.0;
    // Absent where it was not measured.
    let offline = report.offline.words.rate().map(|rate| rate * 100.0);
    let all: Vec<(CommitPolicy, u128, &Tally)> = report
        .configurations
        .iter()
        .zip(&report.streaming)
        .map(|(configuration, [unaware, _])| (configuration.policy, configuration.step.as_millis(), unaware))
        .collect();
    let title = format!("What latency costs in errors, {} recordings", report.scored.len());
    let mut picture = Picture::new(&title, 2, 1);
    let panels: [(&str, Percentile); 2] = [
        ("median word latency in seconds", |spread| spread.median),
        ("95th percentile of word latency in seconds", |spread| spread.p95),
    ];
    for (column, (across, of)) in panels.into_iter().enumerate() {
        let latency = |tally: &Tally| Spread::of(tally.word_latency.iter().copied()).map_or(0.0, of);
        let farthest = all.iter().map(|(.., tally)| latency(tally)).fold(0.0, f64::max);
        let highest = all.iter().map(|(.., tally)| rate(tally)).fold(offline.unwrap_or(0.0), f64::max);
        let titles = ("word error rate; numbers are steps in ms", across);
        let mut axes = picture.axes((column, 0), titles, (farthest, highest), " %");
        if let Some(offline) = offline {
            axes.level("c dashed", offline);
            axes.key(policies.len(), "c dashed", "offline");
        }
        for (number, policy) in policies.iter().enumerate() {
            let class = CLASSES[number % CLASSES.len()];
            axes.key(number, class, &policy.to_string());
            let points: Vec<_> = all.iter().filter(|(other, ..)| other == policy).collect();
            for (_, step, tally) in &points {
                axes.point(class, (latency(tally), rate(tally)), &step.to_string());
            }
            axes.curve(class, points.iter().map(|(.., tally)| (latency(tally), rate(tally))));
        }
    }
    picture.finish()
}
