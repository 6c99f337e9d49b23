//! Cost of the C interface beside the Rust library: run by `make bench-voice`, prints two tables.
//!
//! All ways take turns in the same run, with the same blocks of 20 ms. Times are from the push of
//! the audio that makes an event until a thread that waits for it has it; CPU time is the whole
//! process's.

use std::sync::mpsc;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use hearken::audio::{Format, RingRead, ring};
use hearken::capi::{CEvent, CEventType};
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource};
use hearken_tests::capi::Voice;
use hearken_tests::cost::{in_turn, print_costs, print_latencies, since, spent};
use hearken_tests::speech::espeak;
use parking_lot::Mutex;

/// Interval without partial texts: every way makes the same decodes.
const STEP: Duration = Duration::from_secs(60);
const EVENTS: usize = 200;
const ROUNDS: usize = 100;
const PHRASES: usize = 4;
/// Capacity of a ring: all of the audio, since it comes faster than it is spoken.
const HOLD: Duration = Duration::from_secs(60);

/// Receives the time at which the callback had the event.
static STAMPED: Mutex<Option<mpsc::Sender<Instant>>> = Mutex::new(None);

struct Speech {
    format: Format,
    floats: Vec<f32>,
    integers: Vec<i16>,
    /// Samples of a block.
    block: usize,
}

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let spoken = espeak("en-us", 140, "one two three four five");
    let mut floats = spoken.samples;
    floats.resize(floats.len() + spoken.format.sample_rate as usize, 0.0);
    let integers = floats.iter().map(|sample| (sample * 32_768.0) as i16).collect();
    let block = spoken.format.sample_rate as usize / 50;
    let speech = Speech { format: spoken.format, floats, integers, block };
    let model = Engine::new().and_then(|engine| engine.load(&ModelSource::Embedded)).expect("a model");
    let voice = Voice::with_step(speech.format, STEP.as_millis() as u32);
    latency(&speech, &model, &voice);
    cpu(&speech, &model, &voice);
}

fn session(speech: &Speech, model: &Model) -> Session {
    let options = SessionOptions::new(speech.format).step(STEP);
    Session::new(model, options).expect("a session")
}

/// Until the start of speech is known, which half a second of audio brings.
fn latency(speech: &Speech, model: &Model, voice: &Voice) {
    let half = speech.format.sample_rate as usize / 2;
    let (floats, integers) = (&speech.floats[..half], &speech.integers[..half]);
    let join = |waiter: JoinHandle<Option<Instant>>| waiter.join().ok().flatten();
    let times = in_turn(
        EVENTS,
        [
            &mut || {
                let mut session = session(speech, model);
                let events = session.events().clone();
                let waiter = spawn(move || {
                    let found =
                        events.iter().any(|event| matches!(event, SessionEvent::SpeechStarted { .. }));
                    found.then(Instant::now)
                });
                let push = |block: &[f32]| session.push(block).expect("it is taken");
                since(floats.chunks(speech.block), push, || join(waiter))
            },
            &mut || {
                let polled = voice.another();
                let waiter =
                    spawn(move || polled.wait(CEventType::HearkenEventSpeechStarted).then(Instant::now));
                let taken = since(integers.chunks(speech.block), |block| polled.push(block), || join(waiter));
                polled.free();
                taken
            },
            &mut || {
                let called = voice.another();
                let (stamp, stamped) = mpsc::channel();
                *STAMPED.lock() = Some(stamp);
                called.call_back(&stamp_start);
                let taken =
                    since(integers.chunks(speech.block), |block| called.push(block), || stamped.recv().ok());
                called.free();
                taken
            },
        ],
    );
    print_latencies(["Rust, channel", "C, poll", "C, callback"], times);
}

fn stamp_start(event: &CEvent) {
    if event.event_type == CEventType::HearkenEventSpeechStarted as u32
        && let Some(stamp) = &*STAMPED.lock()
    {
        let _ = stamp.send(Instant::now());
    }
}

/// CPU time of the same speech to its last event.
fn cpu(speech: &Speech, model: &Model, voice: &Voice) {
    let integers = || (0..PHRASES).flat_map(|_| speech.integers.chunks(speech.block));
    let end = |voice: Voice| {
        voice.finish();
        assert!(voice.wait(CEventType::HearkenEventFinished));
        voice.free();
    };
    let times = in_turn(
        ROUNDS,
        [
            &mut || {
                spent(|| {
                    let mut session = session(speech, model);
                    for block in (0..PHRASES).flat_map(|_| speech.floats.chunks(speech.block)) {
                        session.push(block).expect("it is taken");
                    }
                    session.finish().expect("it has not ended");
                    assert!(
                        session.events().iter().any(|event| matches!(event, SessionEvent::Finished { .. }))
                    );
                })
            },
            &mut || {
                spent(|| {
                    let voice = voice.another();
                    integers().for_each(|block| voice.push(block));
                    end(voice);
                })
            },
        ],
    );
    let what = format!("CPU time of {PHRASES} utterances, ms");
    print_costs(&what, ["Rust", "C, push"], times);
    let times = in_turn(
        ROUNDS,
        [&mut || spent(|| through_a_ring(speech, model)), &mut || {
            spent(|| {
                let voice = voice.another();
                let input = voice.open_input(HOLD);
                integers().for_each(|block| input.push(block));
                end(voice);
            })
        }],
    );
    print_costs(&what, ["Rust, ring", "C, input"], times);
}

/// The Rust counterpart of an audio thread: it writes to a ring that another thread empties into
/// the session.
fn through_a_ring(speech: &Speech, model: &Model) {
    let mut session = session(speech, model);
    let events = session.events().clone();
    let (mut writer, mut reader) = ring(speech.format, HOLD).expect("a valid format");
    let (stop, stopped) = mpsc::channel::<()>();
    let pump = std::thread::spawn(move || {
        let mut block = Vec::new();
        loop {
            match session.push_from(&mut reader, &mut block).expect("it is taken") {
                RingRead::Ended => return session.finish(),
                RingRead::Empty => drop(stopped.recv_timeout(Duration::from_millis(10))),
                _ => {}
            }
        }
    });
    for block in (0..PHRASES).flat_map(|_| speech.integers.chunks(speech.block)) {
        writer.write(block.iter().map(|sample| f32::from(*sample) / 32_768.0));
    }
    drop((writer, stop));
    pump.join().expect("the thread ends").expect("it has not ended");
    assert!(events.iter().any(|event| matches!(event, SessionEvent::Finished { .. })));
}
