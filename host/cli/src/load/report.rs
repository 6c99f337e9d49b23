//! The figures, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use hearken_measure::Spread;
use serde_json::{Value, json};

use super::Plan;
use super::clips::Clip;
use super::dialect::Protocol;
use super::tally::Tally;

const LABEL: usize = 34;

/// Audio for each second that the run took: the load that the server had on average.
fn speed(tally: &Tally, took: f64) -> f64 {
    tally.audio / took.max(0.001)
}

pub(super) fn table(plan: &Plan, tally: &Tally, took: f64) -> String {
    let mut table = String::new();
    // Writing to a string cannot fail.
    let mut row = |label: &str, cell: String| {
        let _ = writeln!(table, "{label:<LABEL$}{cell}");
    };
    let peak = plan.live.most();
    row("streams", format!("{} asked, {} at once, {} complete", plan.streams, peak, tally.complete));
    for (what, counts) in [("refused", &tally.refused), ("broke off", &tally.broken)] {
        for (why, count) in counts {
            row(&format!("  {what}"), format!("{count}: {why}"));
        }
    }
    row("recordings", format!("{}, {} without any text", tally.recordings, tally.unheard));
    let words = &tally.words;
    row("words lost", format!("{} of {}", words.deletions, words.reference));
    let rate = words.rate().map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    row("word error rate", rate);
    row("audio dropped by the server (s)", format!("{:.1}", tally.dropped));
    if plan.protocol == Protocol::Files {
        row("answer (s)", spread(&tally.answer));
        row("real-time factor of an upload", spread(&tally.factor));
    } else {
        row("first partial (s)", spread(&tally.first_text));
        row(&format!("final latency, {} (s)", true_end(&plan.clips)), spread(&tally.final_true));
        row("final latency, detected end (s)", spread(&tally.final_detected));
        row("this command's own delay (s)", spread(&tally.lag));
    }
    row("audio per second (s)", format!("{:.1}", speed(tally, took)));
    table.push_str("Times are median / 95th / 99th percentile / maximum, from when the sound was due, not from when it was sent.\n");
    table
}

/// Names the source of the true end of speech.
fn true_end(clips: &[Clip]) -> &'static str {
    match clips.iter().all(|clip| clip.end_is_known) {
        true => "true end",
        false => "end by level",
    }
}

fn spread(values: &[f64]) -> String {
    Spread::of(values.iter().copied()).map_or_else(
        || "–".to_owned(),
        |Spread { median, p95, p99, max, .. }| format!("{median:.3} / {p95:.3} / {p99:.3} / {max:.3}"),
    )
}

pub(super) fn json(plan: &Plan, tally: &Tally, took: f64) -> Value {
    let counts = |counts: &BTreeMap<String, usize>| json!(counts);
    json!({
        "hearken": env!("CARGO_PKG_VERSION"),
        "streams": { "asked": plan.streams, "most_at_once": plan.live.most(), "complete": tally.complete },
        "refused": counts(&tally.refused),
        "broken": counts(&tally.broken),
        "recordings": tally.recordings,
        "recordings_without_text": tally.unheard,
        "words": {
            "reference": tally.words.reference,
            "lost": tally.words.deletions,
            "substituted": tally.words.substitutions,
            "inserted": tally.words.insertions,
            "rate": tally.words.rate(),
        },
        "dropped_s": tally.dropped,
        "first_partial_s": values(&tally.first_text),
        "final_latency_true_s": values(&tally.final_true),
        "end_of_speech": true_end(&plan.clips),
        "final_latency_detected_s": values(&tally.final_detected),
        "answer_s": values(&tally.answer),
        "upload_real_time_factor": values(&tally.factor),
        "own_delay_s": values(&tally.lag),
        "audio_s": tally.audio,
        "took_s": took,
        "audio_per_second": speed(tally, took),
    })
}

fn values(values: &[f64]) -> Value {
    Spread::of(values.iter().copied()).map_or(Value::Null, |spread| {
        json!({
            "count": spread.count,
            "median": spread.median,
            "p90": spread.p90,
            "p95": spread.p95,
            "p99": spread.p99,
            "max": spread.max,
        })
    })
}
