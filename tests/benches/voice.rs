//! What the C interface costs beside the Rust library: run by `make bench-voice`, prints one table.
//!
//! All ways take turns in the same run. Times are from the push of the audio that makes an event until a thread that waits
//! for it has it; CPU time is the whole process's.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearken::audio::Format;
use hearken::capi::{CEvent, CEventType};
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource};
use hearken_tests::capi::Voice;
use hearken_tests::speech::espeak;
use rustix::time::{ClockId, clock_gettime};

/// No partial texts: every way makes the same decodes.
const STEP: Duration = Duration::from_secs(60);
const EVENTS: usize = 300;
const ROUNDS: usize = 25;
const PHRASES: usize = 8;

/// When the callback had the event.
static STAMPED: Mutex<Option<mpsc::Sender<Instant>>> = Mutex::new(None);

struct Speech {
    format: Format,
    floats: Vec<f32>,
    integers: Vec<i16>,
}

fn main() {
    // `cargo bench` says so; a test runner that comes by is not to wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let spoken = espeak("en-us", 140, "one two three four five");
    let mut floats = spoken.samples;
    floats.resize(floats.len() + spoken.format.sample_rate as usize, 0.0);
    let integers = floats.iter().map(|sample| (sample * 32_768.0) as i16).collect();
    let speech = Speech { format: spoken.format, floats, integers };
    let model = Engine::new().and_then(|engine| engine.load(&ModelSource::Embedded)).expect("a model");
    let voice = Voice::with_step(speech.format, STEP.as_millis() as u32);
    latency(&speech, &model, &voice);
    cpu(&speech, &model, &voice);
}

fn session(speech: &Speech, model: &Model) -> Session {
    let options = SessionOptions { step: STEP, ..SessionOptions::new(speech.format) };
    Session::new(model, options).expect("a session")
}

/// Microseconds until the start of speech is known, in the median and in the 95th hundredth.
fn latency(speech: &Speech, model: &Model, voice: &Voice) {
    let half = speech.format.sample_rate as usize / 2;
    let (floats, integers) = (&speech.floats[..half], &speech.integers[..half]);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..EVENTS {
        let mut session = session(speech, model);
        let events = session.events().clone();
        let waiter = std::thread::spawn(move || {
            let found = events.iter().any(|event| matches!(event, SessionEvent::SpeechStarted { .. }));
            found.then(Instant::now)
        });
        times[0].push(since(|| session.push(floats).expect("it is taken"), || waiter.join().ok().flatten()));

        let polled = voice.another();
        let waiter =
            std::thread::spawn(move || polled.wait(CEventType::HearkenEventSpeechStarted).then(Instant::now));
        times[1].push(since(|| polled.push(integers), || waiter.join().ok().flatten()));
        polled.free();

        let called = voice.another();
        let (stamp, stamped) = mpsc::channel();
        *STAMPED.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
        called.call_back(&stamp_start);
        times[2].push(since(|| called.push(integers), || stamped.recv().ok()));
        called.free();
    }
    println!("from push to event, µs            median     95 %   more than Rust (median)");
    let rust = spread(&mut times[0]).0;
    for (name, times) in ["Rust, channel", "C, poll", "C, callback"].iter().zip(&mut times) {
        let (median, high) = spread(times);
        println!("  {name:30} {median:8.1} {high:8.1} {:+8.1}", median - rust);
    }
}

fn stamp_start(event: &CEvent) {
    if event.event_type == CEventType::HearkenEventSpeechStarted as u32
        && let Some(stamp) = &*STAMPED.lock().unwrap_or_else(PoisonError::into_inner)
    {
        let _ = stamp.send(Instant::now());
    }
}

/// From the push until the stamp.
fn since(push: impl FnOnce(), stamp: impl FnOnce() -> Option<Instant>) -> f64 {
    // The thread that waits is to wait.
    std::thread::sleep(Duration::from_millis(1));
    let pushed = Instant::now();
    push();
    (stamp().expect("the event comes") - pushed).as_secs_f64() * 1e6
}

/// CPU time of the same speech to its last event.
fn cpu(speech: &Speech, model: &Model, voice: &Voice) {
    let block = speech.format.sample_rate as usize / 50;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(spent(|| {
            let mut session = session(speech, model);
            for block in (0..PHRASES).flat_map(|_| speech.floats.chunks(block)) {
                session.push(block).expect("it is taken");
            }
            session.finish().expect("it has not ended");
            assert!(session.events().iter().any(|event| matches!(event, SessionEvent::Finished { .. })));
        }));
        times[1].push(spent(|| {
            let voice = voice.another();
            for block in (0..PHRASES).flat_map(|_| speech.integers.chunks(block)) {
                voice.push(block);
            }
            voice.finish();
            assert!(voice.wait(CEventType::HearkenEventFinished));
            voice.free();
        }));
        times[2].push(spent(|| {
            let voice = voice.another();
            let input = voice.open_input(Duration::from_secs(60));
            for block in (0..PHRASES).flat_map(|_| speech.integers.chunks(block)) {
                input.push(block);
            }
            voice.finish();
            assert!(voice.wait(CEventType::HearkenEventFinished));
            voice.free();
        }));
    }
    println!("CPU time of {PHRASES} utterances, ms       median  ratio to Rust (median of the rounds)");
    let ratios: Vec<Vec<f64>> =
        times.iter().map(|way| way.iter().zip(&times[0]).map(|(way, rust)| way / rust).collect()).collect();
    for ((name, mut times), mut ratios) in ["Rust", "C, push", "C, input"].iter().zip(times).zip(ratios) {
        println!("  {name:30} {:8.1} {:8.4}", spread(&mut times).0 * 1e3, spread(&mut ratios).0);
    }
}

/// Seconds of CPU time of the whole process.
fn spent(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = now();
    work();
    now() - before
}

/// The median and the 95th hundredth.
fn spread(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 95 / 100])
}
