//! What the element costs beside the Rust library: run by `make bench-voice`, prints one table.
//!
//! Both take turns in the same run, with the same blocks of 20 ms. Times are from the push of the audio that makes an event
//! until a thread that waits for it has it, which for the element is a message on the bus; CPU time is the whole process's.

use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::{Buffer, Caps};
use gst_check::Harness;
use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource};
use rustix::time::{ClockId, clock_gettime};

const RATE: u32 = 22_050;
/// No partial texts: both make the same decodes.
const STEP: Duration = Duration::from_secs(60);
const EVENTS: usize = 300;
const ROUNDS: usize = 25;
const PHRASES: usize = 8;

fn main() {
    // `cargo bench` says so; a test runner that comes by is not to wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    gst::init().expect("GStreamer");
    gsthearken::plugin_register_static().expect("the plug-in registers");
    let spoken = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "140", "--stdout", "one two three four five"])
        .output()
        .expect("espeak-ng runs");
    let mut bytes = spoken.stdout[44..].to_vec();
    bytes.resize(bytes.len() + RATE as usize * 2, 0);
    let model = Engine::new().and_then(|engine| engine.load(&ModelSource::Embedded)).expect("a model");

    let (mut rust, mut element) = (Vec::new(), Vec::new());
    for _ in 0..EVENTS {
        rust.push(start_in_rust(&model, &bytes));
        element.push(start_in_element(&bytes));
    }
    let (median, high) = spread(&mut rust);
    let (median_element, high_element) = spread(&mut element);
    println!("from push to event, µs            median     95 %   more than Rust (median)");
    println!("  {:30} {median:8.1} {high:8.1}", "Rust, channel");
    println!(
        "  {:30} {median_element:8.1} {high_element:8.1} {:+8.1}",
        "GStreamer, message",
        median_element - median
    );

    let (mut rust, mut element) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rust.push(spent(|| speak_in_rust(&model, &bytes)));
        // Its state change loads the model, which is no part of the work.
        let harness = harness();
        element.push(spent(|| speak_in_element(harness, &bytes)));
    }
    let mut ratios: Vec<f64> = rust.iter().zip(&element).map(|(rust, element)| element / rust).collect();
    println!("CPU time of {PHRASES} utterances, ms       median  ratio to Rust (median of the rounds)");
    println!("  {:30} {:8.1}", "Rust", spread(&mut rust).0 * 1e3);
    println!("  {:30} {:8.1} {:8.4}", "GStreamer", spread(&mut element).0 * 1e3, spread(&mut ratios).0);
}

fn session(model: &Model) -> Session {
    let format = Format { sample_rate: RATE, channels: 1 };
    Session::new(model, SessionOptions { step: STEP, ..SessionOptions::new(format) }).expect("a session")
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0).collect()
}

fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(RATE as usize / 50 * 2)
}

fn harness() -> Harness {
    let mut harness = Harness::new("hearken");
    harness.element().expect("the element").set_property("step", STEP.as_millis() as u32);
    harness.play();
    harness.set_src_caps(
        Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", RATE as i32)
            .field("channels", 1)
            .build(),
    );
    harness
}

fn buffer(bytes: &[u8]) -> Buffer {
    Buffer::from_slice(bytes.to_vec())
}

/// Half a second, of which some block makes the event: from the push of that one.
fn start_in_rust(model: &Model, bytes: &[u8]) -> f64 {
    let mut session = session(model);
    let events = session.events().clone();
    let waiter = std::thread::spawn(move || {
        events
            .iter()
            .find(|event| matches!(event, SessionEvent::SpeechStarted { .. }))
            .map(|_| Instant::now())
    });
    since(bytes, |block| session.push(&floats(block)).expect("it is taken"), || waiter.join().ok().flatten())
}

fn start_in_element(bytes: &[u8]) -> f64 {
    let mut harness = harness();
    let (stamp, stamped) = mpsc::channel();
    let bus = gst::Bus::new();
    bus.set_sync_handler(move |_, message| {
        if message.structure().is_some_and(|said| said.name() == "hearken-speech-started") {
            let _ = stamp.send(Instant::now());
        }
        gst::BusSyncReply::Drop
    });
    harness.element().expect("the element").set_bus(Some(&bus));
    since(bytes, |block| assert!(harness.push(buffer(block)).is_ok()), || stamped.recv().ok())
}

/// From the push of the last block that came before the stamp until the stamp.
fn since(bytes: &[u8], mut push: impl FnMut(&[u8]), stamp: impl FnOnce() -> Option<Instant>) -> f64 {
    let mut pushes = Vec::new();
    for block in blocks(&bytes[..RATE as usize]) {
        pushes.push(Instant::now());
        push(block);
        // Whoever waits for an event of this block has it before the next one comes.
        std::thread::sleep(Duration::from_millis(1));
    }
    let stamp = stamp().expect("the event comes");
    let pushed = pushes.into_iter().filter(|pushed| *pushed <= stamp).max().expect("it was pushed before");
    (stamp - pushed).as_secs_f64() * 1e6
}

fn speak_in_rust(model: &Model, bytes: &[u8]) {
    let mut session = session(model);
    for block in (0..PHRASES).flat_map(|_| blocks(bytes)) {
        session.push(&floats(block)).expect("it is taken");
    }
    session.finish().expect("it has not ended");
    assert!(session.events().iter().any(|event| matches!(event, SessionEvent::Finished { .. })));
}

fn speak_in_element(mut harness: Harness, bytes: &[u8]) {
    for block in (0..PHRASES).flat_map(|_| blocks(bytes)) {
        harness.push(buffer(block)).expect("it is taken");
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    assert!(harness.try_pull().is_some());
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
