//! Cost of the element beside the Rust library: run by `make bench-voice`, prints three tables.
//!
//! Both take turns in the same run, with the same blocks of 20 ms, as bytes, and a session of the
//! same kind: driven by the engine's threads where the source is live, and where it is pushed into
//! otherwise. Times are from the push of the audio that makes an event until a thread that waits
//! for it has it, which for the element is a message on the bus; CPU time is the whole process's.

#[path = "../../../tests/src/cost.rs"]
mod cost;

use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst::{Buffer, Caps, QueryViewMut};
use gst_check::Harness;
use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource};

use cost::{in_turn, print_costs, print_latencies, since, spent};

const RATE: u32 = 22_050;
/// Interval without partial texts: both make the same decodes.
const STEP: Duration = Duration::from_secs(60);
const EVENTS: usize = 200;
const ROUNDS: usize = 100;
const PHRASES: usize = 4;

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    gst::init().expect("GStreamer");
    gsthearken::plugin_register_static().expect("the plug-in registers");
    let model = Engine::new().and_then(|engine| engine.load(&ModelSource::Embedded)).expect("a model");
    // The elements that come and go share the model of one that stays, as sessions do.
    let _kept = harness(true, |_| {});
    let phrase = phrase();

    let beginning = &phrase[..25];
    let times =
        in_turn(EVENTS, [&mut || start_in_rust(&model, beginning), &mut || start_in_element(beginning)]);
    print_latencies(["Rust, channel", "GStreamer, message"], times);
    let speech = vec![phrase.clone(); PHRASES].concat();
    for (name, live) in [("live", true), ("not live", false)] {
        let times = in_turn(
            ROUNDS,
            [&mut || speak_in_rust(&model, live, &speech), &mut || speak_in_element(live, &speech)],
        );
        print_costs(&format!("CPU time of {PHRASES} utterances, {name}, ms"), ["Rust", "GStreamer"], times);
    }
}

/// Five words and a second of silence, in blocks of 20 ms.
fn phrase() -> Vec<Buffer> {
    let spoken = Command::new("espeak-ng")
        .args(["-v", "en-us", "-s", "140", "--stdout", "one two three four five"])
        .output()
        .expect("espeak-ng runs");
    let mut bytes = spoken.stdout[44..].to_vec();
    bytes.resize(bytes.len() + RATE as usize * 2, 0);
    bytes.chunks(RATE as usize / 50 * 2).map(|block| Buffer::from_slice(block.to_vec())).collect()
}

fn session(model: &Model, live: bool) -> Session {
    let options = SessionOptions::new(Format { sample_rate: RATE, channels: 1 }).step(STEP);
    let session = if live { Session::new(model, options) } else { Session::driven(model, options) };
    session.expect("a session")
}

/// Pushes the content of a buffer, by way of `floats`.
fn push(session: &mut Session, buffer: &Buffer, floats: &mut Vec<f32>) {
    let bytes = buffer.map_readable().expect("it can be read");
    let float = |sample: &[u8; 2]| f32::from(i16::from_le_bytes(*sample)) / 32_768.0;
    floats.clear();
    floats.extend(bytes.as_chunks::<2>().0.iter().map(float));
    session.push(floats).expect("it is taken");
}

/// The element, and the bus on which `hear` gets its messages where they are posted.
fn harness(live: bool, hear: impl Fn(&gst::Message) + Send + Sync + 'static) -> Harness {
    let mut harness = Harness::new("hearken");
    let element = harness.element().expect("the element");
    element.set_property("step", STEP.as_millis() as u32);
    let bus = gst::Bus::new();
    bus.set_sync_handler(move |_, message| {
        hear(message);
        gst::BusSyncReply::Drop
    });
    element.set_bus(Some(&bus));
    let upstream = harness.srcpad().expect("a pad");
    // A harness calls itself live.
    upstream.add_probe(gst::PadProbeType::QUERY_UPSTREAM, move |_, info| {
        match info.query_mut().map(gst::QueryRef::view_mut) {
            Some(QueryViewMut::Latency(latency)) => {
                latency.set(live, gst::ClockTime::ZERO, None);
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
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

fn start_in_rust(model: &Model, beginning: &[Buffer]) -> f64 {
    let mut session = session(model, true);
    let events = session.events().clone();
    let waiter = std::thread::spawn(move || {
        let found = events.iter().any(|event| matches!(event, SessionEvent::SpeechStarted { .. }));
        found.then(Instant::now)
    });
    let mut floats = Vec::new();
    since(beginning, |block| push(&mut session, block, &mut floats), || waiter.join().ok().flatten())
}

fn start_in_element(beginning: &[Buffer]) -> f64 {
    let (stamp, stamped) = mpsc::channel();
    let mut harness = harness(true, move |message| {
        if message.structure().is_some_and(|said| said.name() == "hearken-speech-started") {
            let _ = stamp.send(Instant::now());
        }
    });
    since(beginning, |block| assert!(harness.push(block.clone()).is_ok()), || stamped.recv().ok())
}

/// CPU time of the speech, with all of its events.
fn speak_in_rust(model: &Model, live: bool, speech: &[Buffer]) -> f64 {
    spent(|| {
        let mut session = session(model, live);
        let (mut floats, mut said) = (Vec::new(), 0);
        for block in speech {
            push(&mut session, block, &mut floats);
            while session.decode_pending().is_some() {}
            said += session.events().try_iter().count();
        }
        session.finish().expect("it has not ended");
        while session.decode_pending().is_some() {}
        said += session.events().iter().count();
        assert!(said > 3 * PHRASES);
    })
}

fn speak_in_element(live: bool, speech: &[Buffer]) -> f64 {
    let mut harness = harness(live, |_| {});
    spent(|| {
        for block in speech {
            harness.push(block.clone()).expect("it is taken");
        }
        assert!(harness.push_event(gst::event::Eos::new()));
        // Each utterance is one text or more.
        assert!(harness.buffers_in_queue() as usize >= PHRASES);
    })
}
