//! A sandbox that fails in the middle of an utterance, with a guest written by hand in
//! whisper.cpp's place.

use std::sync::Arc;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource};
use hearken_proto::{Event, Word};
use hearken_tests::guest::{BUFFER, Guest, escape};
use hearken_tests::model::SyntheticModel;

/// Address of the guest's hypotheses, in memory that it does not use otherwise.
const PARTIAL: u32 = 0xb000;
const FINAL: u32 = 0xb800;

/// Half a second of 16 kHz audio.
const HALF: usize = 8_000;

fn word(start: usize, text: &str) -> Word {
    Word { start: start as u32, end: (start + HALF) as u32, text: text.to_owned(), probability: 0.9 }
}

fn hypothesis(committed: Vec<Word>, tentative: Vec<Word>) -> Vec<u8> {
    hearken_proto::encode(&Event::Hypothesis {
        committed,
        tentative,
        tokens: 0,
        window: 0,
        heard: 0,
        no_speech: 0.0,
        avg_logprob: -0.1,
        encodes: 1,
    })
}

/// A model that is sure of the first half second of what it hears and not of the second, says
/// `then` at the end, and does `attack` at the second partial text that is asked of one sandbox.
fn model(attack: &str, then: &str) -> Model {
    let data = |address: u32, bytes: &[u8]| format!("(data (i32.const {address}) \"{}\")\n", escape(bytes));
    let partial = hypothesis(vec![word(0, "sure")], vec![word(HALF, "perhaps")]);
    let last = hypothesis(vec![word(HALF, then)], vec![]);
    let guest = Guest {
        fields: format!(
            "(global $partials (mut i32) (i32.const 0))\n{}{}",
            data(PARTIAL, &partial),
            data(FINAL, &last)
        ),
        drain: format!(
            "(call $read_all)
             ;; Request::Partial is variant 2, Request::Final variant 3.
             (if (i32.eq (i32.load8_u (i32.const {BUFFER})) (i32.const 2)) (then
               (global.set $partials (i32.add (global.get $partials) (i32.const 1)))
               (if (i32.eq (global.get $partials) (i32.const 2)) (then {attack}))
               (call $emit (i32.const {PARTIAL}) (i32.const {}))))
             (if (i32.eq (i32.load8_u (i32.const {BUFFER})) (i32.const 3)) (then
               (call $emit (i32.const {FINAL}) (i32.const {}))))",
            partial.len(),
            last.len()
        ),
        ..Guest::default()
    };
    let source = ModelSource::Bytes(Arc::from(SyntheticModel::smallest().bytes()));
    let engine = Engine::builder()
        .guest(guest.module())
        .no_cache()
        .padding(false)
        .threads(1)
        .build()
        .expect("an engine");
    engine.load(&source).expect("a well-behaved guest, so far")
}

/// Says `seconds` of one utterance, which are decoded second by second; answers everything that
/// came.
fn say(session: &mut Session, seconds: usize) -> Vec<SessionEvent> {
    session.begin().unwrap();
    for _ in 0..seconds {
        session.push(&[0.1; 2 * HALF]).unwrap();
        while session.decode_pending().is_some() {}
    }
    session.end().unwrap();
    while session.decode_pending().is_some() {}
    session.events().try_iter().collect()
}

fn session(model: &Model) -> Session {
    let options =
        SessionOptions::new(Format::MODEL).voice_activity(None).step(std::time::Duration::from_millis(900));
    Session::driven(model, options).unwrap()
}

/// Position of a text, and the text.
type Said = (u64, String);

/// Position of a loss, its length, and the reason.
type Lost = (u64, u64, String);

/// The complete utterances, word by word, and what was lost of them.
fn outcome(events: &[SessionEvent]) -> (Vec<Said>, Vec<Lost>) {
    let (mut words, mut lost) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            SessionEvent::Final { words: all, .. } => {
                words.extend(all.iter().map(|word| (word.start, word.text.clone())));
            }
            SessionEvent::Dropped { position, len, reason } => {
                lost.push((*position, *len, reason.to_string()))
            }
            _ => {}
        }
    }
    (words, lost)
}

fn says(words: &[(u64, &str)]) -> Vec<Said> {
    words.iter().map(|(start, text)| (*start, (*text).to_owned())).collect()
}

const HALF64: u64 = HALF as u64;

#[test]
fn a_trap_costs_nothing_that_was_committed_and_the_rest_is_heard_again() {
    let model = model("(unreachable)", "end");
    let events = say(&mut session(&model), 2);
    let (words, lost) = outcome(&events);
    assert_eq!(lost, []);
    // The fresh sandbox begins where the first word ended: its clock, and all that it says, starts
    // there.
    assert_eq!(words, says(&[(0, "sure"), (HALF64, "sure"), (2 * HALF64, "end")]));
}

#[test]
fn a_sandbox_that_panics_the_guest_is_replaced_once_and_what_is_lost_is_said() {
    let model = model("(call $proc_exit (i32.const 1))", "end");
    let mut session = session(&model);
    // The second sandbox fails at its own second partial text: there is no third.
    let events = say(&mut session, 4);
    let (words, lost) = outcome(&events);
    assert_eq!(words, says(&[(0, "sure"), (HALF64, "sure")]));
    let [(position, len, reason)] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!((*position, position + len), (2 * HALF64, 8 * HALF64), "{reason}");
    assert!(!reason.is_empty());

    // The next utterance has a sandbox of its own, and nothing of the failure.
    let (words, lost) = outcome(&say(&mut session, 1));
    assert_eq!(lost, []);
    assert_eq!(words, says(&[(8 * HALF64, "sure"), (9 * HALF64, "end")]));
    session.finish().unwrap();
    assert_eq!(session.accounting().total(), 10 * HALF64);
}

#[test]
fn committed_words_stand_whatever_a_later_sandbox_says() {
    let model = model("(unreachable)", "end");
    let mut committed = Vec::new();
    for event in say(&mut session(&model), 2) {
        match event {
            SessionEvent::Partial { committed: more, .. } => committed.extend(more),
            SessionEvent::Final { words, .. } => assert_eq!(words[..committed.len()], committed[..]),
            _ => {}
        }
    }
    assert_eq!(committed.len(), 2);
}
