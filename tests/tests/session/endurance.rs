//! Long, many, and both.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hearken::audio::Format;
use hearken::measure::Errors;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, ModelSource, SAMPLE_RATE};
use hearken_tests::footprint::Footprint;
use hearken_tests::guest::Guest;
use hearken_tests::model::SyntheticModel;
use hearken_tests::speech::espeak;

use crate::{MODEL, collect};

/// What an idle session may take.
const IDLE_BYTES: i64 = 64 << 10;

#[test]
fn a_monologue_of_ten_minutes_without_a_pause_is_one_utterance_in_flat_memory() {
    const MINUTES: u64 = 10;
    let text = "seven three nine two zero five eight one four six";
    let spoken = espeak("en-us", 140, text);
    // The key is held all the while: no pause ends the utterance.
    let options = SessionOptions {
        voice_activity: None,
        step: Duration::from_secs(4),
        ..SessionOptions::new(spoken.format)
    };
    let mut session = Session::driven(&MODEL, options).unwrap();
    session.begin().unwrap();
    let (mut repeats, mut words, mut after_two, mut committed) = (0, Vec::new(), None, 0);
    while session.accounting().total() < MINUTES * 60 * u64::from(SAMPLE_RATE) {
        session.push(&spoken.samples).unwrap();
        repeats += 1;
        while session.decode_pending().is_some() {}
        if after_two.is_none() && session.accounting().total() > 2 * 60 * u64::from(SAMPLE_RATE) {
            after_two = Some(Footprint::now());
        }
        for event in session.events().try_iter() {
            match event {
                SessionEvent::Partial { committed: more, .. } => committed += more.len(),
                SessionEvent::SpeechStarted { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let grown = Footprint::now().since(after_two.expect("more than two minutes"));
    session.finish().unwrap();
    while session.decode_pending().is_some() {}
    let events = collect(&session);
    for event in &events {
        if let SessionEvent::Final { words: all, .. } = event {
            words.extend(all.iter().map(|word| word.text.clone()));
        }
    }
    assert_eq!(events.iter().filter(|event| matches!(event, SessionEvent::Final { .. })).count(), 1);
    assert_eq!(session.accounting().dropped, 0);
    let said = vec![text; repeats].join(" ");
    let errors = Errors::between(said.split(' '), words.iter().map(String::as_str));
    println!(
        "{repeats} repeats, {} of {} words committed before the end, {errors:?}; written memory grew by {} KiB",
        committed,
        words.len(),
        grown.written >> 10
    );
    // Text comes all the while, and nothing of the recording is lost or said twice.
    assert!(committed * 20 >= words.len() * 19, "{committed} of {} words were committed", words.len());
    assert!(errors.rate().is_some_and(|rate| rate < 0.1), "{errors:?}");
    // Ten windows of samples would be 6 MiB.
    assert!(grown.written < 4 << 20, "{grown:?}");
}

#[test]
fn an_hour_of_silence_says_nothing_and_takes_nothing() {
    let mut session = Session::new(&MODEL, SessionOptions::new(Format::MODEL)).unwrap();
    let second = SAMPLE_RATE as usize;
    // An open microphone in a quiet room: noise at -66 dB.
    let mut seed = 1u32;
    let mut room = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((seed >> 16) as i16) / 32_768.0 * 0.0008
    };
    let noise: Vec<f32> = (0..second).map(|_| room()).collect();
    session.push(&noise).unwrap();
    let before = Footprint::now();
    for _ in 1..3600 {
        session.push(&noise).unwrap();
    }
    let grown = Footprint::now().since(before);
    session.finish().unwrap();
    let duration = 3600 * u64::from(SAMPLE_RATE);
    assert_eq!(collect(&session), [SessionEvent::Finished { duration }]);
    assert_eq!(session.accounting().silence, duration);
    assert!(grown.written < 1 << 20, "{grown:?}");
}

#[test]
fn a_thousand_sessions_on_two_threads_account_for_every_sample() {
    const SESSIONS: usize = 1_000;
    // A guest that answers at once: it is the sessions that are tested.
    let source = ModelSource::Bytes(Arc::from(SyntheticModel::smallest().bytes()));
    let engine = Engine::builder().guest(Guest::default().module()).no_cache().threads(2).build().unwrap();
    let model = engine.load(&source).unwrap();
    let spoken = espeak("en-us", 140, "go left");
    let options = SessionOptions {
        // Little of it: some of them drop.
        backlog: Duration::from_millis(900),
        ..SessionOptions::new(spoken.format)
    };
    let mut sessions: Vec<Session> =
        (0..SESSIONS).map(|_| Session::new(&model, options.clone()).unwrap()).collect();
    let (one, other) = sessions.split_at_mut(SESSIONS / 2);
    thread::scope(|scope| {
        for half in [one, other] {
            let spoken = &spoken;
            scope.spawn(move || {
                // Block by block over all of them, as a server would.
                for block in spoken.samples.chunks(spoken.format.sample_rate as usize / 10) {
                    for session in half.iter_mut() {
                        session.push(block).unwrap();
                    }
                }
                for session in half.iter_mut() {
                    session.finish().unwrap();
                }
            });
        }
    });
    let expected =
        (spoken.samples.len() as f64 * 16_000.0 / f64::from(spoken.format.sample_rate)).round() as u64;
    let mut dropped_by_some = 0;
    for session in &sessions {
        let (mut dropped, mut finals) = (0, 0);
        let events = collect(session);
        for event in &events {
            match event {
                SessionEvent::Dropped { len, .. } => dropped += len,
                SessionEvent::Final { .. } => finals += 1,
                _ => {}
            }
        }
        let accounting = session.accounting();
        assert_eq!((accounting.total(), accounting.dropped), (expected, dropped));
        assert!(finals >= 1, "{events:?}");
        assert_eq!(events.last(), Some(&SessionEvent::Finished { duration: expected }));
        dropped_by_some += u64::from(dropped > 0);
    }
    println!("{dropped_by_some} of {SESSIONS} sessions dropped something");
}

/// Each in a process of its own, where no memory is used for a second time.
fn idle_sessions_cost_little(sample_rate: u32, channels: u16) {
    const SESSIONS: usize = 10_000;
    let format = Format { sample_rate, channels };
    let quiet = vec![0.0; sample_rate as usize / 50 * usize::from(channels)];
    // Idle, not new: half a second of a quiet room went through it.
    let idle = || {
        let mut session = Session::new(&MODEL, SessionOptions::new(format)).unwrap();
        for _ in 0..25 {
            session.push(&quiet).unwrap();
        }
        session
    };
    // What the first one brings along is not the others'.
    let _first = idle();
    let before = Footprint::now();
    let sessions: Vec<Session> = (0..SESSIONS).map(|_| idle()).collect();
    let each = Footprint::now().since(before).proportional / sessions.len() as i64;
    println!("an idle session of {format:?} takes {:.1} KiB", each as f64 / 1024.0);
    assert!(each < IDLE_BYTES, "{format:?}: {each} bytes");
}

#[test]
fn ten_thousand_idle_sessions_at_16_khz_cost_little() {
    idle_sessions_cost_little(16_000, 1);
}

#[test]
fn ten_thousand_idle_sessions_at_48_khz_cost_little() {
    idle_sessions_cost_little(48_000, 2);
}
