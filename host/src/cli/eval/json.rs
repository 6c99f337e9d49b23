//! All figures, for programs.

use hearken::measure::{Errors, Spread};
use serde_json::{Value, json};

use super::Report;
use super::score::{Scored, Tally};

pub(super) fn report(report: &Report) -> Value {
    let [offline, unaware, aware] = report.totals.each_ref().map(|tally| figures(tally, spread));
    json!({
        "hearken": env!("CARGO_PKG_VERSION"),
        "model": report.model,
        "threads": report.threads,
        "recordings": report.scored.len(),
        "skipped": report.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
        "offline": offline,
        "streaming": {"computation_unaware": unaware, "computation_aware": aware},
        "files": report.scored.iter().map(file).collect::<Vec<_>>(),
    })
}

fn file(scored: &Scored) -> Value {
    let [offline, unaware, aware] = scored.ways.each_ref().map(|(heard, tally)| {
        let mut figures = figures(tally, |values| json!(values));
        figures["hypothesis"] = json!(heard);
        figures
    });
    json!({
        "path": scored.reference.path,
        "language": scored.reference.language,
        "reference": scored.normal,
        "lost": scored.lost,
        "offline": offline,
        "streaming": {"computation_unaware": unaware, "computation_aware": aware},
    })
}

fn figures(tally: &Tally, times: impl Fn(&[f64]) -> Value) -> Value {
    json!({
        "wer": errors(&tally.words, "words"),
        "cer": errors(&tally.characters, "characters"),
        "first_partial_s": times(&tally.first_partial),
        "final_latency_true_s": times(&tally.final_latency_true),
        "final_latency_detected_s": times(&tally.final_latency_detected),
        "word_latency_s": times(&tally.word_latency),
        "flicker": {
            "rate": tally.flicker.rate(),
            "unstable": tally.flicker.unstable,
            "words": tally.flicker.words,
        },
        "real_time_factor": tally.real_time_factor(),
        "computing_s": tally.computing,
        "audio_s": tally.audio,
    })
}

fn errors(errors: &Errors, unit: &str) -> Value {
    json!({
        "rate": errors.rate(),
        unit: errors.reference,
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
    })
}

fn spread(values: &[f64]) -> Value {
    Spread::of(values.iter().copied()).map_or(
        Value::Null,
        |spread| json!({"count": spread.count, "median": spread.median, "p90": spread.p90, "max": spread.max}),
    )
}
