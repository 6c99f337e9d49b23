//! The figures, for people.

use std::fmt::Write;

use hearken_measure::{Spread, TermCounts};

use super::super::progress::clock;
use super::Report;
use super::score::Tally;

const LABEL: usize = 34;
const COLUMN: usize = 22;

/// A way to stream beside offline; or, if there are several, a line for each.
pub(super) fn table(report: &Report) -> String {
    match &report.streaming[..] {
        [streaming] => in_detail(report, streaming),
        all => side_by_side(report, all),
    }
}

fn in_detail(report: &Report, [unaware, aware]: &[Tally; 2]) -> String {
    let mut table = String::new();
    let mut row = |label: &str, cells: [String; 3]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>COLUMN$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}", format!("{label:<LABEL$}{cells}").trim_end());
    };
    row(&head(report), ["offline", "streaming", "streaming, aware"].map(str::to_owned));
    let mut figure = |label: &str, cell: &dyn Fn(&Tally) -> String| {
        row(label, [&report.offline, unaware, aware].map(cell))
    };
    figure("word error rate", &|tally| percent(tally.words.rate()));
    figure("  substituted, missing, inserted", &|tally| {
        let words = &tally.words;
        format!("{}, {}, {} of {}", words.substitutions, words.deletions, words.insertions, words.reference)
    });
    figure("character error rate", &|tally| percent(tally.characters.rate()));
    if report.counts_terms {
        figure("listed phrases recognized", &|tally| {
            let TermCounts { said, recognized, .. } = tally.terms;
            format!("{recognized} of {said}, {}", percent(tally.terms.recall()))
        });
        figure("  that nobody said", &|tally| tally.terms.wrong.to_string());
    }
    figure("first partial (s)", &|tally| spread(&tally.first_partial));
    figure("final latency, true end (s)", &|tally| spread(&tally.final_latency_true));
    figure("final latency, detected end (s)", &|tally| spread(&tally.final_latency_detected));
    figure("word latency (s)", &|tally| spread(&tally.word_latency));
    figure("  until shown for good (s)", &|tally| spread(&tally.shown_latency));
    figure("voice without words", &|tally| match tally.unrecognized.len() {
        0 => "none".to_owned(),
        count => format!("{count}, {:.1} s", tally.unrecognized.iter().sum::<f64>()),
    });
    figure("flicker (unstable words)", &|tally| percent(tally.flicker.rate()));
    figure("encoder passes a second of speech", &|tally| number(tally.encoder_rate(), 2));
    figure("real-time factor", &|tally| number(tally.real_time_factor(), 3));
    let _ = writeln!(table, "Times are median / 95th percentile / maximum. {CLOCK}");
    let _ = writeln!(table, "Words are committed by {}.", report.configurations[0]);
    table
}

fn side_by_side(report: &Report, all: &[[Tally; 2]]) -> String {
    let mut table = String::new();
    let widths = [24, 8, 15, 15, 15, 15, 10, 12, 10];
    let mut row = |cells: [String; 9]| {
        let cells = cells.iter().zip(widths).enumerate();
        let line: String = cells
            .map(
                |(at, (cell, width))| {
                    if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        let _ = writeln!(table, "{}", line.trim_end());
    };
    row([
        "policy, step",
        "WER",
        "first partial",
        "word latency",
        "shown for good",
        "final latency",
        "flicker",
        "encodes / s",
        "RTF",
    ]
    .map(str::to_owned));
    let line = |name: String, tally: &Tally| {
        [
            name,
            percent(tally.words.rate()),
            short(&tally.first_partial),
            short(&tally.word_latency),
            short(&tally.shown_latency),
            short(&tally.final_latency_true),
            percent(tally.flicker.rate()),
            number(tally.encoder_rate(), 2),
            number(tally.real_time_factor(), 3),
        ]
    };
    row(line("offline".to_owned(), &report.offline));
    for (configuration, [unaware, aware]) in report.configurations.iter().zip(all) {
        row(line(configuration.to_string(), unaware));
        row(line("  aware".to_owned(), aware));
    }
    let _ = writeln!(table, "{}. Times are median / 95th percentile in seconds. {CLOCK}", head(report));
    table
}

const CLOCK: &str = "The clock stands while the recognizer computes, or, aware, goes on.";

fn head(report: &Report) -> String {
    format!("{} recordings, {}", report.scored.len(), clock(report.offline.audio.round() as u64))
}

fn nothing() -> String {
    "–".to_owned()
}

fn number(number: Option<f64>, places: usize) -> String {
    number.map_or_else(nothing, |number| format!("{number:.places$}"))
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(nothing, |rate| format!("{:.1} %", rate * 100.0))
}

fn spread(values: &[f64]) -> String {
    Spread::of(values.iter().copied())
        .map_or_else(nothing, |Spread { median, p95, max, .. }| format!("{median:.2} / {p95:.2} / {max:.2}"))
}

fn short(values: &[f64]) -> String {
    Spread::of(values.iter().copied())
        .map_or_else(nothing, |Spread { median, p95, .. }| format!("{median:.2} / {p95:.2}"))
}
