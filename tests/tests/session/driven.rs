//! Driven sessions: nothing happens without a call of the owner, and the same calls give the same
//! events.

use std::sync::LazyLock;
use std::time::Duration;

use hearken::session::{Decode, Session, SessionEvent, SessionOptions};
use hearken_measure::{Computation, Stamped, Timeline, simulate};
use hearken_tests::speech::{Recording, espeak};

use crate::MODEL;

static SPEECH: LazyLock<Recording> = LazyLock::new(|| espeak("en-us", 140, "seven three nine two zero five"));

fn options() -> SessionOptions {
    SessionOptions::new(SPEECH.format).step(Duration::from_millis(300)).journal(true)
}

/// Pushes the speech in blocks of 20 ms, makes what is due after each, and charges `cost` for it.
fn drive(cost: Duration) -> (Vec<Decode>, Vec<SessionEvent>) {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    let mut decodes = Vec::new();
    let mut decode = |session: &mut Session| {
        while let Some(decode) = session.decode_pending() {
            session.charge(cost);
            decodes.push(decode);
        }
    };
    for block in SPEECH.samples.chunks(SPEECH.format.sample_rate as usize / 50) {
        session.push(block).unwrap();
        decode(&mut session);
    }
    session.finish().unwrap();
    decode(&mut session);
    assert_eq!(session.journal().decodes, decodes);
    // The channel is closed: this ends.
    (decodes, session.events().iter().collect())
}

fn text(events: &[SessionEvent]) -> String {
    let words = events.iter().flat_map(|event| match event {
        SessionEvent::Final { words, .. } => words.as_slice(),
        _ => &[],
    });
    words.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_same_calls_give_the_same_events() {
    let (decodes, events) = drive(Duration::ZERO);
    assert_eq!(text(&events), "seven three nine two zero five");
    assert!(matches!(events.last(), Some(SessionEvent::Finished { .. })));
    assert!(decodes.len() > 3, "{decodes:?}");
    assert_eq!(drive(Duration::ZERO), (decodes, events));
}

#[test]
fn every_step_is_heard_when_decodes_cost_nothing() {
    let (decodes, _) = drive(Duration::ZERO);
    let mut heard = 0;
    for decode in decodes.iter().filter(|decode| !decode.last) {
        // A step, and at most a block and a frame of voice activity more; the first hears the
        // pre-roll, too.
        let step = decode.heard - heard;
        // In the first three seconds two thirds of a step are enough.
        let least = if heard < 48_000 { 3_200 } else { 4_800 };
        assert!(step >= least && (heard == 0 || step <= 4_800 + 320 + 320), "{decodes:?}");
        heard = decode.heard;
    }
}

#[test]
fn decodes_that_cost_more_are_fewer() {
    let (cheap, _) = drive(Duration::ZERO);
    let (dear, events) = drive(Duration::from_millis(400));
    assert!(dear.len() < cheap.len(), "{} and {}", dear.len(), cheap.len());
    let steps = dear.windows(2).filter(|pair| !pair[1].last);
    for pair in steps {
        assert!(pair[1].heard - pair[0].heard >= 12_800, "twice the cost: {dear:?}");
    }
    assert_eq!(text(&events), "seven three nine two zero five");
}

#[test]
fn nothing_is_recognized_until_the_owner_says_so() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    session.push(&SPEECH.samples).unwrap();
    session.finish().unwrap();
    let before: Vec<SessionEvent> = session.events().try_iter().collect();
    let no_text =
        |event| matches!(event, &SessionEvent::SpeechStarted { .. } | &SessionEvent::SpeechEnded { .. });
    assert!(before.iter().all(no_text), "{before:?}");
    assert!(session.journal().decodes.is_empty());
    assert!(session.decode_pending().is_some_and(|decode| decode.last));
    assert_eq!(text(&session.events().try_iter().collect::<Vec<_>>()), "seven three nine two zero five");
    assert_eq!(session.decode_pending(), None);
}

#[test]
fn a_journal_is_kept_only_for_those_who_ask() {
    let mut session = Session::driven(&MODEL, options().journal(false)).unwrap();
    session.push(&SPEECH.samples).unwrap();
    session.finish().unwrap();
    assert!(session.decode_pending().is_some());
    assert!(session.journal().decodes.is_empty(), "it grows as long as the session lives");
}

#[test]
fn a_session_that_the_engine_drives_leaves_nothing_to_its_owner() {
    let mut session = Session::new(&MODEL, options()).unwrap();
    session.push(&SPEECH.samples).unwrap();
    assert_eq!(session.decode_pending(), None);
    session.finish().unwrap();
    assert_eq!(session.decode_pending(), None);
    assert_eq!(text(&session.events().iter().collect::<Vec<_>>()), "seven three nine two zero five");
}

#[test]
fn cancelling_leaves_nothing_to_decode() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    session.push(&SPEECH.samples).unwrap();
    session.cancel();
    assert_eq!(session.decode_pending(), None);
    assert!(!session.events().iter().any(|event| matches!(event, SessionEvent::Final { .. })));
}

fn simulated(computation: Computation) -> Vec<Stamped> {
    simulate(&MODEL, &options(), &SPEECH.samples, computation).unwrap().events
}

#[test]
fn a_clock_that_stands_gives_the_same_stamps_each_time() {
    let events = simulated(Computation::Unaware);
    assert_eq!(simulated(Computation::Unaware), events);
    let timeline = Timeline::of(&events);
    assert_eq!(timeline.text(), "seven three nine two zero five");
    // Decided by voice activity in frames of 20 ms, and noticed with the end of a block of 20 ms.
    let last = timeline.finals[0];
    assert!((last.end..=last.end + 320 + 320).contains(&last.at), "{last:?}");
}

#[test]
fn a_clock_that_runs_is_later_by_what_decodes_take() {
    let late = [Computation::Unaware, Computation::Aware].map(|computation| {
        let simulation = simulate(&MODEL, &options(), &SPEECH.samples, computation).unwrap();
        assert!(simulation.events.is_sorted_by_key(|stamped| stamped.at));
        let timeline = Timeline::of(&simulation.events);
        let mut committed = 0;
        for word in &timeline.words {
            assert!(word.committed >= word.word.end && word.committed >= committed, "{word:?}");
            committed = word.committed;
        }
        timeline.finals[0].at - timeline.finals[0].end
    });
    assert!(late[1] > late[0], "{late:?} samples");
}
