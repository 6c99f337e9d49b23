//! Runs the element's tests that need a pipeline.

use std::process::Command;
use std::sync::Once;

use gst::prelude::*;
use gst::{Buffer, Caps, ClockTime, MessageType, MessageView, QueryViewMut};
use gst_check::Harness;

pub(crate) const RATE: u64 = 22_050;
pub(crate) const PHRASE: &str = "seven three nine two zero five";
pub(crate) const OTHER: &str = "one two three four five";

pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().expect("GStreamer");
        gsthearken::plugin_register_static().expect("the plug-in registers");
    });
}

/// The element between two pads of the test's.
pub(crate) struct Bench {
    pub(crate) harness: Harness,
    pub(crate) bus: gst::Bus,
    /// Timestamp of the next buffer.
    pub(crate) next: ClockTime,
}

impl Bench {
    /// As behind a microphone.
    pub(crate) fn live() -> Self {
        let bench = Self::new(true);
        // What is pushed faster than it is spoken would have to go out before it is certain.
        bench.harness.element().expect("the element").set_property("latency", 60_000u32);
        bench
    }

    /// As behind a file.
    pub(crate) fn not_live() -> Self {
        Self::new(false)
    }

    /// With the defaults.
    pub(crate) fn new(live: bool) -> Self {
        init();
        let mut harness = Harness::new("hearken");
        let upstream = harness.srcpad().expect("a pad");
        // A harness itself always answers that it is live.
        upstream.add_probe(gst::PadProbeType::QUERY_UPSTREAM, move |_, info| {
            match info.query_mut().map(gst::QueryRef::view_mut) {
                Some(QueryViewMut::Latency(latency)) if !live => {
                    latency.set(false, ClockTime::ZERO, None);
                    gst::PadProbeReturn::Handled
                }
                _ => gst::PadProbeReturn::Ok,
            }
        });
        let element = harness.element().expect("the element");
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        harness.play();
        harness.set_src_caps(caps());
        Self { harness, bus, next: ClockTime::ZERO }
    }

    /// Speaks `text`, followed by silence.
    pub(crate) fn say(&mut self, text: &str, silence_ms: u64) {
        self.push(&espeak(text));
        self.wait(silence_ms);
    }

    /// Pushes silence.
    pub(crate) fn wait(&mut self, silence_ms: u64) {
        self.push(&vec![0; (silence_ms * RATE / 1000 * 2) as usize]);
    }

    /// Pushes in buffers of 20 ms, as they come from a microphone.
    fn push(&mut self, bytes: &[u8]) {
        for block in bytes.chunks((RATE / 50 * 2) as usize) {
            let mut buffer = Buffer::from_slice(block.to_vec());
            let duration = ClockTime::from_nseconds(block.len() as u64 / 2 * 1_000_000_000 / RATE);
            buffer.get_mut().expect("it is ours").set_pts(self.next);
            self.harness.push(buffer).expect("it is taken");
            self.next += duration;
        }
    }

    /// Ends the stream; all texts that came until then, with their times.
    pub(crate) fn end(&mut self) -> Vec<(ClockTime, ClockTime, String)> {
        assert!(self.harness.push_event(gst::event::Eos::new()));
        self.texts()
    }

    pub(crate) fn texts(&mut self) -> Vec<(ClockTime, ClockTime, String)> {
        let mut texts = Vec::new();
        while let Some(buffer) = self.harness.try_pull() {
            let map = buffer.map_readable().expect("it can be read");
            let text = std::str::from_utf8(&map).expect("UTF-8").to_owned();
            texts.push((buffer.pts().expect("a time"), buffer.duration().expect("a length"), text));
        }
        texts
    }

    /// Waits for this element message.
    pub(crate) fn hear(&self, name: &str) {
        let limit = ClockTime::from_seconds(60);
        let next = || self.bus.timed_pop_filtered(limit, &[MessageType::Element]);
        let named = |message: gst::Message| message.structure().is_some_and(|said| said.name() == name);
        assert!(std::iter::from_fn(next).any(named), "no {name}");
    }

    /// The element messages so far.
    pub(crate) fn messages(&self, name: &str) -> Vec<gst::Structure> {
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

pub(crate) fn espeak(text: &str) -> Vec<u8> {
    let spoken = Command::new("espeak-ng").args(["-v", "en-us", "-s", "140", "--stdout", text]).output();
    let wav = spoken.expect("espeak-ng runs").stdout;
    assert_eq!(&wav[24..28], (RATE as u32).to_le_bytes());
    wav[44..].to_vec()
}

pub(crate) fn joined(texts: &[(ClockTime, ClockTime, String)]) -> String {
    texts.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>().join(" ")
}
