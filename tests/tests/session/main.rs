//! Contract of a session: text while it is spoken, and no lost audio.

mod bias;
mod checkpoint;
mod driven;
mod elsewhere;
mod endurance;
mod failing;
mod pause;
mod priority;
mod prompt;
mod waiting;

use std::sync::LazyLock;
use std::time::Duration;

use hearken::audio::Format;
use hearken::session::{Session, SessionError, SessionEvent, SessionOptions};
use hearken::{DropReason, Engine, Model, ModelSource};
use hearken_tests::speech::{Recording, espeak};

/// Longest wait for an event: far beyond what any of this takes.
const PATIENCE: Duration = Duration::from_secs(120);

const PHRASES: [&str; 3] = ["seven three nine two zero five", "go left", "one two three four five"];

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    Engine::new().expect("an engine").load(&ModelSource::Embedded).expect("the embedded model")
});

/// The phrases with a second of silence after each.
static SPEECH: LazyLock<Recording> = LazyLock::new(|| {
    let mut all = espeak("en-us", 140, "");
    all.samples.clear();
    for phrase in PHRASES {
        let spoken = espeak("en-us", 140, phrase);
        all.samples.extend_from_slice(&spoken.samples);
        all.samples.resize(all.samples.len() + spoken.format.sample_rate as usize, 0.0);
    }
    all
});

fn options() -> SessionOptions {
    SessionOptions::new(SPEECH.format).step(Duration::from_secs(1)).journal(true)
}

/// Pushes the speech in blocks of 20 ms, finishes, and collects all events. A session that is
/// driven decodes whenever something is due, so that its partial texts do not depend on how fast
/// the machine is.
fn listen(session: &mut Session) -> Vec<SessionEvent> {
    for block in SPEECH.samples.chunks(SPEECH.format.sample_rate as usize / 50) {
        session.push(block).expect("whole frames");
        while session.decode_pending().is_some() {}
    }
    session.finish().expect("not ended before");
    while session.decode_pending().is_some() {}
    collect(session)
}

fn collect(session: &Session) -> Vec<SessionEvent> {
    let mut events = Vec::new();
    while let Ok(event) = session.events().recv_timeout(PATIENCE) {
        events.push(event);
    }
    events
}

fn finals(events: &[SessionEvent]) -> Vec<String> {
    let text = |event: &SessionEvent| match event {
        SessionEvent::Final { words, .. } => {
            Some(words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

#[test]
fn each_utterance_ends_in_the_right_words() {
    let mut session = Session::new(&MODEL, options()).unwrap();
    let events = listen(&mut session);
    assert_eq!(finals(&events), PHRASES);
    let duration = match events.last() {
        Some(SessionEvent::Finished { duration }) => *duration,
        other => panic!("the last event is {other:?}"),
    };
    assert_eq!(session.accounting().total(), duration, "every sample went somewhere");
    assert_eq!(session.accounting().dropped, 0);
}

#[test]
fn committed_words_are_in_the_final_text_as_they_were() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    let mut committed = Vec::new();
    let mut partials = 0;
    for event in listen(&mut session) {
        match event {
            SessionEvent::Partial { committed: more, .. } => {
                partials += 1;
                committed.extend(more);
            }
            SessionEvent::Final { words, utterance, end } => {
                assert_eq!(words[..committed.len()], committed[..]);
                let mut settled = utterance;
                for word in &words {
                    assert!(word.start >= settled && word.end >= word.start && word.end <= end, "{word:?}");
                    settled = word.end;
                }
                committed.clear();
            }
            _ => {}
        }
    }
    assert!(partials > 0, "no text came while it was spoken");
}

#[test]
fn a_journal_gives_the_same_events_again() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    let mut events = listen(&mut session);
    events.retain(|event| {
        matches!(event, SessionEvent::Partial { .. } | SessionEvent::Final { .. } | SessionEvent::Language(_))
    });
    let journal = session.journal();
    assert!(journal.decodes.iter().any(|decode| !decode.last));
    let replayed = journal.replay(&MODEL, &options(), &SPEECH.samples).unwrap();
    assert_eq!(replayed, events);
}

#[test]
fn push_to_talk_hears_what_is_said_while_the_key_is_held() {
    let options = options().voice_activity(None);
    let mut session = Session::new(&MODEL, options).unwrap();
    let rate = SPEECH.format.sample_rate as usize;
    let (held, not_held) = (espeak("en-us", 140, "nine one one"), espeak("en-us", 140, "stop"));
    session.push(&not_held.samples).unwrap();
    session.begin().unwrap();
    session.push(&held.samples).unwrap();
    session.end().unwrap();
    session.push(&vec![0.0; rate]).unwrap();
    session.push(&not_held.samples).unwrap();
    session.finish().unwrap();
    assert_eq!(finals(&collect(&session)), ["nine one one"]);
    let frames = 2 * not_held.samples.len() + held.samples.len() + rate;
    let expected = (frames as f64 * 16_000.0 / rate as f64).round() as u64;
    assert_eq!(session.accounting().total(), expected);
}

#[test]
fn an_ended_session_takes_nothing_and_says_so() {
    let mut session = Session::new(&MODEL, options()).unwrap();
    session.push(&SPEECH.samples[..4_000]).unwrap();
    session.finish().unwrap();
    assert_eq!(session.push(&[0.0; 10]), Err(SessionError::Ended));
    assert_eq!(session.finish(), Err(SessionError::Ended));
    assert_eq!(session.begin(), Err(SessionError::Ended));
    assert!(matches!(collect(&session).last(), Some(SessionEvent::Finished { .. })));
}

#[test]
fn audio_that_never_came_ends_the_utterance_and_keeps_the_clock() {
    let mut session = Session::driven(&MODEL, options()).unwrap();
    let rate = SPEECH.format.sample_rate;
    let spoken = espeak("en-us", 140, "go left");
    session.push(&spoken.samples).unwrap();
    // Ten seconds, and then the rest of the sentence.
    session.skip(u64::from(rate) * 10).unwrap();
    session.push(&spoken.samples).unwrap();
    session.finish().unwrap();
    assert_eq!(session.skip(1), Err(SessionError::Ended));
    while session.decode_pending().is_some() {}
    let events = collect(&session);
    assert_eq!(finals(&events), ["go left", "go left"]);
    let gap = events.iter().find_map(|event| match event {
        SessionEvent::Dropped { position, len, reason } => Some((*position, *len, reason.clone())),
        _ => None,
    });
    let at = |frames: usize| (frames as f64 * 16_000.0 / f64::from(rate)).round() as u64;
    assert_eq!(gap, Some((at(spoken.samples.len()), 160_000, DropReason::Missing)));
    let starts: Vec<u64> = events
        .iter()
        .filter_map(
            |event| if let SessionEvent::Final { words, .. } = event { Some(words[0].start) } else { None },
        )
        .collect();
    assert!(starts[1] >= at(spoken.samples.len()) + 160_000, "{starts:?}");
    assert_eq!(session.accounting().total(), at(2 * spoken.samples.len()) + 160_000);
    assert_eq!(session.accounting().dropped, 160_000);
}

#[test]
fn misuse_is_a_typed_error_and_takes_nothing() {
    let format = Format { sample_rate: 48_000, channels: 2 };
    let mut session = Session::new(&MODEL, SessionOptions::new(format)).unwrap();
    assert_eq!(session.push(&[0.0; 3]), Err(SessionError::PartialFrame { samples: 3, channels: 2 }));
    assert_eq!(session.begin(), Err(SessionError::Automatic));
    assert_eq!(session.accounting().total(), 0);
    let impossible = Format { sample_rate: 1, channels: 2 };
    assert!(Session::new(&MODEL, SessionOptions::new(impossible)).is_err());
}

#[test]
fn another_format_in_the_middle_is_a_typed_error_and_takes_nothing() {
    let ours = SPEECH.format;
    let others = [
        Format { sample_rate: ours.sample_rate * 2, ..ours },
        Format { channels: ours.channels + 1, ..ours },
    ];
    let half = SPEECH.samples.len() / 2;
    let mut session = Session::new(&MODEL, options()).unwrap();
    let refuse = |session: &mut Session, expected: fn(Format) -> SessionError| {
        for pushed in others {
            let before = session.accounting();
            assert_eq!(session.push_as(pushed, &[0.5; 960]), Err(expected(pushed)));
            assert_eq!(session.accounting(), before);
        }
    };
    let changed = |pushed| SessionError::FormatChanged { session: SPEECH.format, pushed };
    // Before, in the middle of an utterance, and after the end.
    refuse(&mut session, changed);
    session.push_as(ours, &SPEECH.samples[..half]).unwrap();
    refuse(&mut session, changed);
    session.push_as(ours, &SPEECH.samples[half..]).unwrap();
    session.finish().unwrap();
    refuse(&mut session, |_| SessionError::Ended);
    assert_eq!(finals(&collect(&session)), PHRASES, "what was pushed rightly is heard");
}

#[test]
fn cancelling_or_dropping_closes_the_channel_at_every_stage() {
    for pushed in [0, 4_000, 40_000, SPEECH.samples.len()] {
        let mut session = Session::new(&MODEL, options()).unwrap();
        session.push(&SPEECH.samples[..pushed]).unwrap();
        session.cancel();
        let events = collect(&session);
        assert!(!events.iter().any(|event| matches!(event, SessionEvent::Finished { .. })));
        assert_eq!(session.push(&[0.0; 2]), Err(SessionError::Ended));

        let mut session = Session::new(&MODEL, options()).unwrap();
        session.push(&SPEECH.samples[..pushed]).unwrap();
        let events = session.events().clone();
        drop(session);
        while events.recv_timeout(PATIENCE).is_ok() {}
        assert!(events.recv().is_err(), "the channel is still open");
    }
}

#[test]
fn speech_beyond_the_backlog_is_dropped_and_said_to_be() {
    let options = options().backlog(Duration::from_millis(500));
    let mut session = Session::new(&MODEL, options).unwrap();
    // All at once: no recognizer keeps up with that.
    session.push(&SPEECH.samples).unwrap();
    session.finish().unwrap();
    let dropped: u64 = collect(&session)
        .iter()
        .map(|event| if let SessionEvent::Dropped { len, .. } = event { *len } else { 0 })
        .sum();
    assert!(dropped > 0);
    assert_eq!(session.accounting().dropped, dropped);
}

#[test]
fn many_sessions_share_the_threads_and_lose_nothing() {
    let spoken = espeak("en-us", 140, "go left");
    let mut sessions: Vec<Session> =
        (0..50).map(|_| Session::new(&MODEL, SessionOptions::new(spoken.format)).unwrap()).collect();
    for session in &mut sessions {
        session.push(&spoken.samples).unwrap();
        session.finish().unwrap();
    }
    for session in &sessions {
        assert_eq!(finals(&collect(session)), ["go left"]);
    }
}
