//! What the element promises to the elements and the application around it.

use std::process::Command;
use std::sync::Once;

use gst::prelude::*;
use gst::{Buffer, Caps, ClockTime, MessageView};
use gst_check::Harness;

const RATE: u64 = 22_050;
const PHRASE: &str = "seven three nine two zero five";
const OTHER: &str = "one two three four five";

fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer");
        gsthearken::plugin_register_static().expect("the plug-in registers");
    });
}

/// The element between two pads of the test's. Upstream is live, for so a harness answers.
struct Bench {
    harness: Harness,
    bus: gst::Bus,
    /// Timestamp of the next buffer.
    next: ClockTime,
}

impl Bench {
    fn new() -> Self {
        init();
        let mut harness = Harness::new("hearken");
        let element = harness.element().expect("the element");
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        harness.play();
        harness.set_src_caps(caps());
        Self { harness, bus, next: ClockTime::ZERO }
    }

    /// Says something, in buffers of 20 ms as they come from a microphone, and is silent for so long.
    fn say(&mut self, text: &str, silence_ms: u64) {
        let mut bytes = espeak(text);
        bytes.resize(bytes.len() + (silence_ms * RATE / 1000 * 2) as usize, 0);
        for block in bytes.chunks((RATE / 50 * 2) as usize) {
            let mut buffer = Buffer::from_slice(block.to_vec());
            let duration = ClockTime::from_nseconds(block.len() as u64 / 2 * 1_000_000_000 / RATE);
            buffer.get_mut().expect("it is ours").set_pts(self.next);
            self.harness.push(buffer).expect("it is taken");
            self.next += duration;
        }
    }

    /// Ends the stream; all texts that came until then, with their times.
    fn end(&mut self) -> Vec<(ClockTime, ClockTime, String)> {
        assert!(self.harness.push_event(gst::event::Eos::new()));
        self.texts()
    }

    fn texts(&mut self) -> Vec<(ClockTime, ClockTime, String)> {
        let mut texts = Vec::new();
        while let Some(buffer) = self.harness.try_pull() {
            let map = buffer.map_readable().expect("it can be read");
            let text = std::str::from_utf8(&map).expect("UTF-8").to_owned();
            texts.push((buffer.pts().expect("a time"), buffer.duration().expect("a length"), text));
        }
        texts
    }

    /// The element messages so far.
    fn messages(&self, name: &str) -> Vec<gst::Structure> {
        let mut found = Vec::new();
        while let Some(message) = self.bus.pop() {
            match message.view() {
                MessageView::Element(message) => {
                    let structure = message.structure().expect("it says something");
                    if structure.name() == name {
                        found.push(structure.to_owned());
                    }
                }
                MessageView::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        found
    }
}

fn caps() -> Caps {
    Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", RATE as i32)
        .field("channels", 1)
        .build()
}

fn espeak(text: &str) -> Vec<u8> {
    let spoken = Command::new("espeak-ng").args(["-v", "en-us", "-s", "140", "--stdout", text]).output();
    let wav = spoken.expect("espeak-ng runs").stdout;
    assert_eq!(&wav[24..28], (RATE as u32).to_le_bytes());
    wav[44..].to_vec()
}

fn joined(texts: &[(ClockTime, ClockTime, String)]) -> String {
    texts.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_end_of_the_stream_delivers_the_last_words() {
    let mut bench = Bench::new();
    // Not a moment of silence behind it.
    bench.say(PHRASE, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), PHRASE);
    let ends = texts.iter().map(|(pts, duration, _)| *pts + *duration);
    assert!(ends.max().is_some_and(|end| end <= bench.next), "{texts:?}");
    assert!(texts.is_sorted_by_key(|(pts, _, _)| *pts), "{texts:?}");
}

#[test]
fn a_drain_delivers_the_last_words_and_the_stream_goes_on() {
    let mut bench = Bench::new();
    bench.say(PHRASE, 0);
    let mut drain = gst::query::Drain::new();
    bench.harness.srcpad().expect("a pad").peer_query(&mut drain);
    assert_eq!(joined(&bench.texts()), PHRASE);
    let behind = bench.next;
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), OTHER);
    assert!(texts[0].0 >= behind, "{texts:?}");
}

#[test]
fn a_flush_forgets_what_was_not_said_and_what_comes_after_is_heard() {
    let mut bench = Bench::new();
    bench.say(PHRASE, 0);
    assert!(bench.harness.push_event(gst::event::FlushStart::new()));
    assert!(bench.harness.push_event(gst::event::FlushStop::new(true)));
    bench.texts();
    // As after a seek: another segment, from another place.
    let mut segment = gst::FormattedSegment::<ClockTime>::new();
    segment.set_start(ClockTime::from_seconds(100));
    segment.set_time(ClockTime::from_seconds(100));
    assert!(bench.harness.push_event(gst::event::Segment::new(&segment)));
    bench.next = ClockTime::from_seconds(100);
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), OTHER);
    assert!(texts[0].0 >= ClockTime::from_seconds(100), "{texts:?}");
}

#[test]
fn after_a_gap_times_are_still_true() {
    let mut bench = Bench::new();
    bench.say(PHRASE, 0);
    let lost = bench.next;
    bench.next += ClockTime::from_seconds(5);
    bench.say(OTHER, 0);
    let texts = bench.end();
    assert_eq!(joined(&texts), format!("{PHRASE} {OTHER}"));
    let late = texts.iter().find(|(pts, _, _)| *pts >= lost).expect("text behind the gap");
    assert!(late.0 >= lost + ClockTime::from_mseconds(4_990), "{texts:?}");
    let dropped = bench.messages("hearken-dropped");
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    let (start, end) = (dropped[0].get::<ClockTime>("start"), dropped[0].get::<ClockTime>("end"));
    let length = end.unwrap() - start.unwrap();
    assert!(length.mseconds().abs_diff(5_000) < 50, "{dropped:?}");
}

#[test]
fn latency_is_upstreams_and_the_budget() {
    let mut bench = Bench::new();
    bench.harness.set_upstream_latency(ClockTime::from_mseconds(20));
    assert_eq!(bench.harness.query_latency(), Some(ClockTime::from_mseconds(3_020)));
    bench.harness.element().expect("the element").set_property("latency", 1_000u32);
    assert_eq!(bench.harness.query_latency(), Some(ClockTime::from_mseconds(1_020)));
}

#[test]
fn messages_tell_what_was_said_while_it_is_said() {
    let mut bench = Bench::new();
    bench.say("one two one two one two one two one two one two one two one two", 1_000);
    bench.end();
    let mut finals = Vec::new();
    let mut partials = 0;
    while let Some(message) = bench.bus.pop() {
        let Some(structure) = message.structure() else { continue };
        match structure.name().as_str() {
            "hearken-partial" => {
                partials += 1;
                let text = structure.get::<String>("text").unwrap();
                let committed = structure.get::<String>("committed").unwrap();
                assert!(text.starts_with(&committed), "{structure:?}");
            }
            "hearken-final" => finals.push(structure.to_owned()),
            _ => {}
        }
    }
    // Pushed at once, so that as little as one decode may have been made before the end.
    println!("{partials} partial texts");
    assert_eq!(finals.len(), 1);
    assert_eq!(finals[0].get::<bool>("complete"), Ok(true));
    assert!(finals[0].get::<String>("text").unwrap().starts_with("one two one two"));
}

#[test]
fn another_format_in_the_middle_is_taken() {
    let mut bench = Bench::new();
    bench.say(PHRASE, 0);
    let stereo = Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", RATE as i32)
        .field("channels", 2)
        .field("channel-mask", gst::Bitmask::new(3))
        .build();
    assert!(bench.harness.push_event(gst::event::Caps::new(&stereo)));
    let samples = espeak(OTHER);
    let bytes: Vec<u8> = samples
        .chunks_exact(2)
        .flat_map(|sample| {
            let sample = f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0;
            [sample.to_le_bytes(), sample.to_le_bytes()].concat()
        })
        .collect();
    let mut buffer = Buffer::from_slice(bytes);
    buffer.get_mut().expect("it is ours").set_pts(bench.next);
    bench.harness.push(buffer).expect("it is taken");
    assert_eq!(joined(&bench.end()), format!("{PHRASE} {OTHER}"));
}

#[test]
fn what_cannot_be_is_an_error_with_a_reason() {
    init();
    let element =
        gst::ElementFactory::make("hearken").property("model", "/no/such/model.bin").build().unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Ready).is_err());
    let message = bus.pop_filtered(&[gst::MessageType::Error]).expect("an error");
    let MessageView::Error(error) = message.view() else { panic!("{message:?}") };
    assert!(error.error().to_string().contains("/no/such/model.bin"), "{error:?}");
    element.set_state(gst::State::Null).unwrap();
}
