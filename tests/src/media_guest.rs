//! A guest that decodes recordings, written by hand: well-behaved until a part of it is replaced.

use std::fmt::Write as _;

use hearken_proto::media::{Facts, Report, Time, TrackFacts};
use hearken_proto::{Event, abi, encode};

use crate::guest::escape;

/// Address of the samples that it reports.
pub const SAMPLES: u32 = 0x4_0000;
/// Pages of its memory.
const PAGES: u32 = 20;
/// Address of its events: the first answers the first request, the others the requests behind it,
/// and the last of them all that follow.
const EVENTS: u32 = 0x2_0000;
/// Space for one event.
const EVENT: u32 = 0x1000;

/// A guest of two channels at 16 kHz: silence of a second, and the end.
#[derive(Clone)]
pub struct MediaGuest {
    /// Answers to the requests, in order; the last one is repeated.
    pub answers: Vec<Vec<u8>>,
    /// Done at each request but the first, before it is answered.
    pub attack: String,
    /// Result of `hearken_abi`.
    pub abi: u32,
    /// More imports.
    pub imports: String,
    /// More functions and data.
    pub fields: String,
}

/// A report as the guest emits it.
pub fn report(report: Report) -> Vec<u8> {
    encode(&Event::Media(report))
}

/// The report that opens a recording of one track.
pub fn opened() -> Vec<u8> {
    report(Report::Opened(Facts {
        format: Some((16_000, 2)),
        tracks: vec![TrackFacts::default()],
        ..Facts::default()
    }))
}

/// A report of audio.
pub fn audio(sample_rate: u32, channels: u32, address: u32, samples: u32, time: Option<Time>) -> Vec<u8> {
    report(Report::Audio { sample_rate, channels, address, samples, time })
}

impl Default for MediaGuest {
    fn default() -> Self {
        let second = audio(16_000, 2, SAMPLES, 32_000, None);
        Self {
            answers: vec![opened(), second, report(Report::End)],
            attack: String::new(),
            abi: abi::VERSION,
            imports: String::new(),
            fields: String::new(),
        }
    }
}

impl MediaGuest {
    /// Makes one that answers so, after it has opened the recording.
    pub fn answering(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let answers = std::iter::once(opened()).chain(answers).collect();
        Self { answers, ..Self::default() }
    }

    /// Makes one that does this at each request but the first.
    pub fn attacking(attack: &str) -> Self {
        Self { attack: attack.to_owned(), ..Self::default() }
    }

    /// The module.
    pub fn module(&self) -> Vec<u8> {
        let Self { attack, abi, imports, fields, answers } = self;
        let (mut data, mut emits) = (String::new(), String::new());
        for (index, answer) in answers.iter().enumerate() {
            assert!(answer.len() <= EVENT as usize, "an event of {} bytes", answer.len());
            let address = EVENTS + EVENT * index as u32;
            let _ = writeln!(data, "(data (i32.const {address}) \"{}\")", escape(answer));
            let last = index + 1 == answers.len();
            let when = if last { "i32.ge_u" } else { "i32.eq" };
            let _ = writeln!(
                emits,
                "(if ({when} (global.get $calls) (i32.const {index})) (then (call $emit (i32.const {address}) (i32.const {})))) ",
                answer.len()
            );
        }
        let text = format!(
            r#"(module
  (import "hearken" "emit" (func $emit (param i32 i32)))
  (import "hearken" "source_read" (func $source_read (param i64 i32 i32) (result i32)))
  {imports}
  (memory (export "memory") {PAGES})
  (global $calls (mut i32) (i32.const 0))
  {data}
  {fields}
  (func (export "hearken_abi") (result i32) (i32.const {abi}))
  (func (export "hearken_buffer") (param i32) (result i32) (i32.const 0x1_0000))
  (func (export "hearken_call") (param i32) (result i32)
    (if (i32.gt_u (global.get $calls) (i32.const 0)) (then {attack}))
    {emits}
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.const 0)))"#
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}
