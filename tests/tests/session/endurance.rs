//! Long, many, and both.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, ModelSource, SAMPLE_RATE, Word};
use hearken_measure::Errors;
use hearken_tests::footprint::Footprint;
use hearken_tests::guest::Guest;
use hearken_tests::model::SyntheticModel;
use hearken_tests::picture::{Curve, Panel, svg};
use hearken_tests::random::noise;
use hearken_tests::speech::{Recording, espeak};

use crate::{MODEL, collect};

/// Maximum memory of an idle session.
const IDLE_BYTES: i64 = 72 << 10;

/// Cost of recognition.
#[derive(Debug)]
struct Cost {
    time: Duration,
    encodes: u64,
}

impl Cost {
    fn now(session: &Session) -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Self { time: Duration::new(time.tv_sec as u64, time.tv_nsec as u32), encodes: session.encodes() }
    }

    fn since(&self, before: &Self) -> Self {
        Self { time: self.time - before.time, encodes: self.encodes - before.encodes }
    }
}

/// Ten minutes, or as many as `HEARKEN_MONOLOGUE_MINUTES` says. `HEARKEN_PICTURE` names a file for
/// the curve (SVG).
#[test]
fn a_monologue_without_a_pause_is_one_utterance_in_flat_memory() {
    let minutes: u64 =
        std::env::var("HEARKEN_MONOLOGUE_MINUTES").map_or(10, |minutes| minutes.parse().unwrap());
    let length = minutes * 60 * u64::from(SAMPLE_RATE);
    let text = ["seven", "three", "nine", "two", "zero", "five", "eight", "one", "four", "six"];
    let words: Vec<Recording> = text.iter().map(|word| espeak("en-us", 140, word)).collect();
    let format = words[0].format;
    // The key is held all the while: no pause ends the utterance. A second for each word: the model
    // was made for about eight in its ten seconds.
    let options = SessionOptions::new(format).voice_activity(None).step(Duration::from_secs(2));
    let mut session = Session::driven(&MODEL, options).unwrap();
    session.begin().unwrap();
    let (mut said, mut committed, mut halfway) = (Vec::new(), Vec::new(), None);
    // What this thread, which does everything, has computed in each minute, and how often it
    // encoded.
    let (mut minute, mut costs) = (Cost::now(&session), Vec::new());
    for (word, spoken) in text.iter().zip(&words).cycle() {
        let mut second = spoken.samples.clone();
        second.resize(format.sample_rate as usize, 0.0);
        session.push(&second).unwrap();
        said.push(*word);
        while session.decode_pending().is_some() {}
        for event in session.events().try_iter() {
            match event {
                SessionEvent::Partial { committed: more, .. } => committed.extend(more),
                SessionEvent::SpeechStarted { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let done = session.accounting().total();
        if done >= (costs.len() as u64 + 1) * 60 * u64::from(SAMPLE_RATE) {
            let now = Cost::now(&session);
            costs.push(now.since(&minute));
            minute = now;
        }
        if halfway.is_none() && done >= length / 2 {
            halfway = Some(Footprint::now());
        }
        if done >= length {
            break;
        }
    }
    let grown = Footprint::now().since(halfway.expect("it was half as long before"));
    session.finish().unwrap();
    while session.decode_pending().is_some() {}
    let finals: Vec<Vec<Word>> = collect(&session)
        .into_iter()
        .filter_map(|event| if let SessionEvent::Final { words, .. } = event { Some(words) } else { None })
        .collect();
    let [all] = &finals[..] else { panic!("{} utterances", finals.len()) };
    assert_eq!(all[..committed.len()], committed[..], "what was committed stays");
    assert_eq!(session.accounting().dropped, 0);
    let errors = Errors::between(said.iter().copied(), all.iter().map(|word| word.text.as_str()));
    for (minute, cost) in (1..).zip(&costs) {
        let Cost { time, encodes } = cost;
        let relative = time.as_secs_f64() / costs[0].time.as_secs_f64();
        println!("minute {minute}: {encodes} encoder passes, {relative:.3} of the first minute's time");
    }
    if let Some(path) = std::env::var_os("HEARKEN_PICTURE") {
        std::fs::write(path, picture(&costs)).unwrap();
    }
    println!(
        "{minutes} minutes, {} of {} words committed before the end, {errors:?}; written memory grew by {} KiB \
         in the second half",
        committed.len(),
        all.len(),
        grown.written >> 10
    );
    assert!(committed.len() * 20 >= all.len() * 17, "text comes all the while");
    assert!(errors.rate().is_some_and(|rate| rate < 0.02), "{errors:?}");
    // It slides when it is full, and that is all that an hour more changes.
    if let [first, .., last] = &costs[..] {
        assert!(last.encodes.abs_diff(first.encodes) * 20 <= first.encodes, "{first:?}, {last:?}");
    }
    // A minute of samples would be 4 MiB.
    assert!(grown.written < 1 << 20, "{grown:?}");
}

/// Draws the cost of each minute relative to the first.
fn picture(costs: &[Cost]) -> String {
    let curve = |name, class, of: fn(&Cost) -> f64| {
        let figures = costs.iter().map(|cost| 100.0 * of(cost) / of(&costs[0]));
        Curve { name, class, points: (1..).map(f64::from).zip(figures).collect() }
    };
    let curves = vec![
        curve("CPU time", "a", |cost| cost.time.as_secs_f64()),
        curve("encoder passes", "b dashed", |cost| cost.encodes as f64),
    ];
    svg("What each minute of a monologue costs", "%", &[Panel { axis: "minute", curves }])
}

#[test]
fn an_hour_of_silence_says_nothing_and_takes_nothing() {
    let mut session = Session::new(&MODEL, SessionOptions::new(Format::MODEL)).unwrap();
    let second = SAMPLE_RATE as usize;
    // An open microphone in a quiet room: noise at -66 dB.
    let noise: Vec<f32> = noise(0.0008).take(second).collect();
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
    let engine = Engine::builder()
        .guest(Guest::default().module())
        .no_cache()
        .padding(false)
        .threads(2)
        .build()
        .unwrap();
    let model = engine.load(&source).unwrap();
    let spoken = espeak("en-us", 140, "go left");
    let options = SessionOptions::new(spoken.format)
        // Little of it: some of them drop.
        .backlog(Duration::from_millis(900));
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
