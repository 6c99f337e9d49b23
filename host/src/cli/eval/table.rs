//! The figures, for people.

use std::fmt::Write;

use hearken::measure::Spread;

use super::super::progress::clock;
use super::Report;
use super::score::Tally;

const LABEL: usize = 34;
const COLUMN: usize = 22;

pub(super) fn table(report: &Report) -> String {
    let mut table = String::new();
    let mut row = |label: &str, cells: [String; 3]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>COLUMN$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}", format!("{label:<LABEL$}{cells}").trim_end());
    };
    let audio = report.totals[0].audio;
    row(
        &format!("{} recordings, {}", report.scored.len(), clock(audio.round() as u64)),
        ["offline", "streaming", "streaming, aware"].map(str::to_owned),
    );
    let mut figure =
        |label: &str, cell: &dyn Fn(&Tally) -> String| row(label, report.totals.each_ref().map(cell));
    figure("word error rate", &|tally| percent(tally.words.rate()));
    figure("  substituted, missing, inserted", &|tally| {
        let words = &tally.words;
        format!("{}, {}, {} of {}", words.substitutions, words.deletions, words.insertions, words.reference)
    });
    figure("character error rate", &|tally| percent(tally.characters.rate()));
    figure("first partial (s)", &|tally| spread(&tally.first_partial));
    figure("final latency, true end (s)", &|tally| spread(&tally.final_latency_true));
    figure("final latency, detected end (s)", &|tally| spread(&tally.final_latency_detected));
    figure("word latency (s)", &|tally| spread(&tally.word_latency));
    figure("flicker (unstable words)", &|tally| percent(tally.flicker.rate()));
    figure("real-time factor", &|tally| {
        tally.real_time_factor().map_or_else(nothing, |factor| format!("{factor:.3}"))
    });
    table.push_str("Times are median / 90th percentile / maximum. ");
    table.push_str("The clock stands while the recogniser computes, or, aware, goes on.\n");
    table
}

fn nothing() -> String {
    "–".to_owned()
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(nothing, |rate| format!("{:.1} %", rate * 100.0))
}

fn spread(values: &[f64]) -> String {
    Spread::of(values.iter().copied())
        .map_or_else(nothing, |Spread { median, p90, max, .. }| format!("{median:.2} / {p90:.2} / {max:.2}"))
}
