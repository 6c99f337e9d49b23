//! Output of all figures, for programs.

use hearken::{Word, seconds};
use hearken_measure::{Errors, Spread};
use serde_json::{Value, json};

use super::Report;
use super::score::{Configuration, Outcome, Scored, Tally, Text};

pub(super) fn report(report: &Report) -> Value {
    json!({
        "hearken": env!("CARGO_PKG_VERSION"),
        "model": report.model,
        "threads": report.threads,
        "recordings": report.scored.len(),
        "skipped": report.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
        "offline": figures(&report.offline, spread),
        "streaming": streaming(&report.configurations, &report.streaming, |tally| figures(tally, spread)),
        "files": report.scored.iter().map(|scored| file(scored, &report.configurations)).collect::<Vec<_>>(),
    })
}

/// An entry for each way to stream.
fn streaming<T>(
    configurations: &[Configuration],
    outcomes: &[[T; 2]],
    figures: impl Fn(&T) -> Value,
) -> Vec<Value> {
    let both = configurations.iter().zip(outcomes);
    both.map(|(configuration, [unaware, aware])| {
        json!({
            "policy": configuration.policy.to_string(),
            "step_ms": configuration.step.as_millis() as u64,
            "computation_unaware": figures(unaware),
            "computation_aware": figures(aware),
        })
    })
    .collect()
}

fn file(scored: &Scored, configurations: &[Configuration]) -> Value {
    let outcome = |(heard, tally): &Outcome| {
        let mut figures = figures(tally, |values| json!(values));
        figures["hypothesis"] = json!(heard);
        figures["texts"] = tally.texts.iter().map(text).collect();
        figures
    };
    json!({
        "path": scored.reference.path,
        "language": scored.reference.language,
        "reference": scored.normal,
        "lost": scored.lost,
        "offline": outcome(&scored.offline),
        "streaming": streaming(configurations, &scored.streaming, outcome),
    })
}

/// A text that came while streaming: times are seconds.
fn text(text: &Text) -> Value {
    let words = |words: &[Word]| -> Vec<Value> {
        let word = |word: &Word| json!([seconds(word.start), seconds(word.end), word.text, word.probability]);
        words.iter().map(word).collect()
    };
    json!({
        "at": text.at,
        "utterance": text.utterance,
        "final": text.is_final,
        "committed": words(&text.committed),
        "tentative": words(&text.tentative),
    })
}

fn figures(tally: &Tally, times: impl Fn(&[f64]) -> Value) -> Value {
    json!({
        "wer": errors(&tally.words, "words"),
        "cer": errors(&tally.characters, "characters"),
        "terms": {
            "said": tally.terms.said,
            "recognized": tally.terms.recognized,
            "recall": tally.terms.recall(),
            "wrong": tally.terms.wrong,
        },
        "first_partial_s": times(&tally.first_partial),
        "final_latency_true_s": times(&tally.final_latency_true),
        "final_latency_detected_s": times(&tally.final_latency_detected),
        "word_latency_s": times(&tally.word_latency),
        "shown_latency_s": times(&tally.shown_latency),
        "unrecognized_s": tally.unrecognized,
        "flicker": {
            "rate": tally.flicker.rate(),
            "unstable": tally.flicker.unstable,
            "words": tally.flicker.words,
        },
        "real_time_factor": tally.real_time_factor(),
        "encoder_passes": tally.encodes,
        "encoder_passes_per_second_of_speech": tally.encoder_rate(),
        "speech_s": tally.speech,
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
        |spread| json!({"count": spread.count, "median": spread.median, "p90": spread.p90, "p95": spread.p95, "max": spread.max}),
    )
}
