//! Checkpoints: a session goes on in another process where it was.

use hearken::audio::Format;
use hearken::session::{Checkpoint, Session, SessionEvent, SessionOptions};
use hearken_proto::{decode, encode};
use serde_json::Value;

use crate::{MODEL, PHRASES, SPEECH, finals, options};

/// Frames of a block: 20 ms.
fn block() -> usize {
    SPEECH.format.sample_rate as usize / 50
}

/// A session, what is kept of it, and its events.
struct Kept {
    session: Session,
    checkpoint: Checkpoint,
    events: Vec<SessionEvent>,
}

impl Kept {
    fn new(options: SessionOptions) -> Self {
        let mut session = Session::driven(&MODEL, options).unwrap();
        session.record();
        Self { session, checkpoint: Checkpoint::default(), events: Vec::new() }
    }

    /// Makes the decodes that are due, and keeps everything.
    fn keep(&mut self) {
        while self.session.decode_pending().is_some() {}
        let said: Vec<SessionEvent> = self.session.events().try_iter().collect();
        self.checkpoint.absorb(self.session.progress());
        said.iter().for_each(|event| self.checkpoint.note(event));
        self.events.extend(said);
    }

    /// Pushes the speech from its settled frames on, up to this one.
    fn hear(&mut self, from: usize, until: usize, decode: bool) {
        for block in SPEECH.samples[from..until].chunks(block()) {
            self.session.push(block).unwrap();
            if decode {
                self.keep();
            }
        }
    }

    /// Goes on in a session that has nothing but the bytes of the checkpoint; returns the first
    /// frame that it lacks.
    fn restart(&mut self, options: SessionOptions) -> usize {
        let bytes = encode(&self.checkpoint);
        self.checkpoint = decode(&bytes).expect("what was written can be read");
        self.session = Session::restore_driven(&MODEL, options, self.checkpoint.clone()).unwrap();
        self.session.record();
        self.checkpoint.frames() as usize
    }

    fn finish(&mut self) {
        self.session.finish().unwrap();
        self.keep();
    }
}

/// Asserts what holds for the events of a session, whatever interrupted it.
fn check(events: &[SessionEvent], context: &str) {
    assert_eq!(finals(events), PHRASES, "{context}");
    let mut committed = Vec::new();
    let mut running = None;
    for event in events {
        match event {
            SessionEvent::SpeechStarted { position } => {
                assert_eq!(running.replace(*position), None, "{context}: {events:?}");
            }
            SessionEvent::SpeechEnded { .. } => assert!(running.take().is_some(), "{context}"),
            SessionEvent::Partial { committed: more, .. } => committed.extend(more.iter().cloned()),
            SessionEvent::Final { words, .. } => {
                assert!(words.starts_with(&committed), "{context}: {committed:?} {words:?}");
                committed.clear();
            }
            SessionEvent::Dropped { .. } => panic!("{context}: {event:?}"),
            _ => {}
        }
    }
    let duration = hearken::audio::resampled(SPEECH.samples.len() as u64, SPEECH.format.sample_rate);
    let Some(SessionEvent::Finished { duration: heard }) = events.last() else { panic!("{context}") };
    assert!(heard.abs_diff(duration) <= 1, "{context}: {heard} of {duration}");
}

#[test]
fn a_session_goes_on_wherever_it_was_interrupted() {
    let all = SPEECH.samples.len();
    for cut in (block()..all).step_by(13 * block()) {
        let mut kept = Kept::new(options());
        kept.hear(0, cut, true);
        let from = kept.restart(options());
        assert!(from <= cut && cut - from < SPEECH.format.sample_rate as usize, "{from} of {cut}");
        kept.hear(from, all, true);
        kept.finish();
        check(&kept.events, &format!("cut at {cut}"));
    }
}

#[test]
fn utterances_that_wait_are_recognized_by_the_next_session() {
    let all = SPEECH.samples.len();
    let mut kept = Kept::new(options());
    kept.hear(0, all, false);
    // Their audio is recorded, though none of it was decoded.
    let said: Vec<SessionEvent> = kept.session.events().try_iter().collect();
    kept.checkpoint.absorb(kept.session.progress());
    said.iter().for_each(|event| kept.checkpoint.note(event));
    kept.events.extend(said);
    assert_eq!(kept.checkpoint.utterances(), PHRASES.len());
    let from = kept.restart(options());
    kept.hear(from, all, true);
    kept.finish();
    check(&kept.events, "all of them");
    // Also if it is finished already, and nothing is pushed any more.
    let mut kept = Kept::new(options());
    kept.hear(0, all, false);
    kept.session.finish().unwrap();
    let said: Vec<SessionEvent> = kept.session.events().try_iter().collect();
    kept.checkpoint.absorb(kept.session.progress());
    said.iter().for_each(|event| kept.checkpoint.note(event));
    kept.events.extend(said);
    assert!(kept.checkpoint.is_finished());
    assert_eq!(kept.restart(options()), all);
    kept.keep();
    check(&kept.events, "after the end");
}

#[test]
fn a_session_that_is_rewound_hears_its_audio_once() {
    let all = SPEECH.samples.len();
    let mut kept = Kept::new(options());
    let mut pushed = 0;
    while pushed < all {
        let until = (pushed + 31 * block()).min(all);
        kept.hear(pushed, until, true);
        pushed = kept.session.rewind() as usize;
        assert_eq!(pushed, kept.checkpoint.frames() as usize);
        if until == all {
            break;
        }
    }
    kept.hear(pushed, all, true);
    kept.finish();
    check(&kept.events, "rewound");
}

/// Frames and samples stay together at every rate.
#[test]
fn settled_frames_are_those_of_the_clock() {
    for sample_rate in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000] {
        let options = SessionOptions::new(Format { sample_rate, channels: 1 });
        let mut kept = Kept::new(options.clone());
        let silence = vec![0.0; sample_rate as usize * 3];
        let (mut pushed, mut restarts) = (0, 0);
        while pushed < silence.len() {
            let until = (pushed + sample_rate as usize * 7 / 9 + restarts).min(silence.len());
            kept.session.push(&silence[pushed..until]).unwrap();
            kept.keep();
            let settled = kept.session.settled() as usize;
            assert!(settled <= until && until - settled < sample_rate as usize / 2, "{sample_rate}");
            if until == silence.len() {
                break;
            }
            pushed = kept.restart(options.clone());
            assert_eq!(pushed, settled);
            restarts += 1;
        }
        kept.finish();
        let Some(SessionEvent::Finished { duration }) = kept.events.last() else { panic!("{sample_rate}") };
        assert!(duration.abs_diff(48_000) <= restarts as u64, "{sample_rate}: {duration}");
        assert_eq!(kept.session.accounting().total(), *duration);
        assert_eq!(kept.session.settled(), silence.len() as u64);
    }
}

/// All numbers in a value, to be changed.
fn numbers<'a>(value: &'a mut Value, all: &mut Vec<&'a mut Value>) {
    match value {
        Value::Number(_) => all.push(value),
        Value::Array(values) => {
            // Samples and words are many, and alike.
            values.iter_mut().take(3).for_each(|value| numbers(value, all));
        }
        Value::Object(map) => map.values_mut().for_each(|value| numbers(value, all)),
        _ => {}
    }
}

/// A checkpoint in the middle of the first phrase, with committed words.
fn in_the_middle() -> Checkpoint {
    let mut kept = Kept::new(options());
    let mut pushed = 0;
    loop {
        kept.hear(pushed, pushed + block(), true);
        pushed += block();
        let committed = |event: &SessionEvent| matches!(event, SessionEvent::Partial { committed, .. } if !committed.is_empty());
        if kept.events.iter().any(committed) {
            return kept.checkpoint;
        }
    }
}

#[test]
fn a_checkpoint_that_somebody_changed_is_refused_or_harmless() {
    let good = serde_json::to_value(in_the_middle()).unwrap();
    let count = {
        let mut value = good.clone();
        let mut all = Vec::new();
        numbers(&mut value, &mut all);
        all.len()
    };
    let mut refused = 0;
    for index in 0..count {
        for other in [0_u64, 1, 1 << 40, 1 << 62, u64::MAX] {
            let mut value = good.clone();
            let mut all = Vec::new();
            numbers(&mut value, &mut all);
            *all[index] = other.into();
            let Ok(checkpoint) = serde_json::from_value::<Checkpoint>(value) else { continue };
            match Session::restore_driven(&MODEL, options(), checkpoint.clone()) {
                Ok(mut session) => {
                    session.push(&[0.5; 4_410]).unwrap();
                    session.finish().unwrap();
                    while session.decode_pending().is_some() {}
                    assert!(matches!(session.events().iter().last(), Some(SessionEvent::Finished { .. })));
                }
                Err(error) => {
                    refused += 1;
                    assert!(checkpoint.check().is_err(), "{error}");
                    assert!(error.to_string().contains("start another session"), "{error}");
                }
            }
        }
    }
    assert!(refused > count, "{refused} of {count} numbers");
}
