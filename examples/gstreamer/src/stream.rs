//! One stretch of audio without a jump: a session, and the thread that hands on what it says.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use gst::prelude::*;
use gst_audio::{AudioFormat, AudioInfo};
use hearken::audio::Format;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::{Error, Model, SAMPLE_RATE, Word};

use crate::clock::Clock;
use crate::output::{Kind, Output};

/// How often it is looked whether words are due, when nothing else happens.
const TICK: Duration = Duration::from_millis(50);

type Flow = Result<gst::FlowSuccess, gst::FlowError>;

/// What a stream needs to know of its element.
pub(crate) struct Setting {
    pub(crate) element: gst::Element,
    pub(crate) pad: gst::Pad,
    pub(crate) model: Model,
    pub(crate) language: Option<String>,
    pub(crate) step: Duration,
    pub(crate) kind: Kind,
    /// Whether the audio comes as it is spoken.
    pub(crate) live: bool,
}

/// A session with its output.
pub(crate) struct Stream {
    session: Session,
    info: AudioInfo,
    live: bool,
    pub(crate) clock: Clock,
    /// In samples at 16 kHz: how much audio there was.
    position: Arc<AtomicU64>,
    /// Set when what is not said yet is of no interest any more.
    pub(crate) given_up: Arc<AtomicBool>,
    /// What downstream answered last.
    flow: Arc<Mutex<Flow>>,
    thread: Option<JoinHandle<()>>,
    floats: Vec<f32>,
}

impl Stream {
    /// Starts one whose first frame has the timestamp `base`, which is `begin` in the stream's own time.
    pub(crate) fn start(
        setting: Setting,
        info: &AudioInfo,
        base: gst::ClockTime,
        begin: gst::ClockTime,
    ) -> Result<Self, Error> {
        let format = Format { sample_rate: info.rate(), channels: info.channels() as u16 };
        let options = SessionOptions {
            language: setting.language.clone(),
            step: setting.step,
            ..SessionOptions::new(format)
        };
        // What is not live comes as fast as it is taken: recognising it where it is pushed holds it back, and makes the
        // text independent of how fast the machine is.
        let session = match setting.live {
            true => Session::new(&setting.model, options)?,
            false => Session::driven(&setting.model, options)?,
        };
        let clock = Clock::new(base, info.rate());
        let position = Arc::new(AtomicU64::new(0));
        let flow = Arc::new(Mutex::new(Ok(gst::FlowSuccess::Ok)));
        let live = setting.live;
        let delivery = Delivery {
            output: Output::new(setting.kind, crate::clock::frames(begin, SAMPLE_RATE)),
            element: setting.element,
            pad: setting.pad,
            clock: clock.clone(),
            position: Arc::clone(&position),
            flow: Arc::clone(&flow),
            spoken: None,
        };
        let events = session.events().clone();
        let thread = std::thread::Builder::new()
            .name("hearken-text".to_owned())
            .spawn(move || delivery.run(&events))
            .map_err(|source| Error::System { what: "cannot start a thread".to_owned(), source })?;
        Ok(Self {
            session,
            info: info.clone(),
            live,
            clock,
            position,
            given_up: Arc::default(),
            flow,
            thread: Some(thread),
            floats: Vec::new(),
        })
    }

    /// Takes the bytes of whole frames.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Flow {
        self.floats.clear();
        match self.info.format() {
            AudioFormat::F32le => {
                self.floats.extend(bytes.as_chunks::<4>().0.iter().map(|sample| f32::from_le_bytes(*sample)));
            }
            _ => {
                let sample = |bytes: &[u8; 2]| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0;
                self.floats.extend(bytes.as_chunks::<2>().0.iter().map(sample));
            }
        }
        let frames = self.floats.len() / self.info.channels() as usize;
        self.session
            .push(&self.floats[..frames * self.info.channels() as usize])
            .map_err(|_| gst::FlowError::Error)?;
        self.advance(frames as u64);
        self.decode();
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many frames are missing.
    pub(crate) fn skip(&mut self, frames: u64) {
        // Cannot fail: it was not finished.
        let _ = self.session.skip(frames, "the pipeline has a gap here");
        self.advance(frames);
        self.decode();
    }

    fn advance(&mut self, frames: u64) {
        self.clock.advance(frames);
        let elapsed = self.clock.now() - self.clock.at(0);
        self.position.store(crate::clock::frames(elapsed, SAMPLE_RATE), Ordering::Release);
    }

    fn decode(&mut self) {
        while !self.live && !self.given_up.load(Ordering::Acquire) && self.session.decode_pending().is_some()
        {
        }
    }

    /// Recognises what there is, and hands it on: when it returns, everything has been said.
    pub(crate) fn finish(mut self) -> Flow {
        let _ = self.session.finish();
        self.decode();
        if self.given_up.load(Ordering::Acquire) {
            self.session.cancel();
        }
        self.join();
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Stream {
    /// Gives up what has not been said.
    fn drop(&mut self) {
        self.session.cancel();
        self.join();
    }
}

/// The thread's part.
struct Delivery {
    output: Output,
    element: gst::Element,
    pad: gst::Pad,
    clock: Clock,
    position: Arc<AtomicU64>,
    flow: Arc<Mutex<Flow>>,
    /// The utterance that goes on: where it began, and its certain words.
    spoken: Option<(u64, Vec<Word>)>,
}

impl Delivery {
    fn run(mut self, events: &Receiver<SessionEvent>) {
        loop {
            // Read before the events: what they say of speech up to there is known when it is used.
            let position = self.position.load(Ordering::Acquire);
            match events.recv_timeout(TICK) {
                Ok(event) => {
                    self.tell(&event);
                    self.output.take(&event);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.output.due(position);
                    self.hand_on();
                    if let Some((from, until)) = self.output.silence(position) {
                        let (from, until) = (self.clock.at(from), self.clock.at(until));
                        self.pad.push_event(gst::event::Gap::builder(from).duration(until - from).build());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.hand_on();
        }
        self.output.end();
        self.hand_on();
        if let Some((start, words)) = self.spoken.take().filter(|(_, words)| !words.is_empty()) {
            // It was flushed away before it was complete: what was certain of it is said here, at least.
            let end = words.last().map_or(start, |word| word.end);
            self.post("hearken-final", start, end, |message| {
                message.field("text", join(&words)).field("complete", false)
            });
        }
    }

    /// Pushes what is ready.
    fn hand_on(&mut self) {
        for piece in self.output.pieces() {
            let (pts, end) = (self.clock.at(piece.start), self.clock.at(piece.end));
            let mut buffer = gst::Buffer::from_mut_slice(piece.text);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(pts);
                buffer.set_duration(end.saturating_sub(pts));
            }
            let flow = self.pad.push(buffer);
            *self.flow.lock().unwrap_or_else(PoisonError::into_inner) = flow;
        }
    }

    /// Tells the application.
    fn tell(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::SpeechStarted { position } => {
                self.post("hearken-speech-started", *position, *position, |message| message);
            }
            SessionEvent::SpeechEnded { position } => {
                self.post("hearken-speech-ended", *position, *position, |message| message);
            }
            SessionEvent::Language(language) => {
                self.post("hearken-language", 0, 0, |message| message.field("language", &language.code));
            }
            SessionEvent::Partial { utterance, committed, tentative } => {
                let (start, words) = self.spoken.get_or_insert_with(|| (*utterance, Vec::new()));
                words.extend(committed.iter().cloned());
                let (start, certain, rest) = (*start, join(words), join(tentative));
                let end = tentative.last().or(words.last()).map_or(start, |word| word.end);
                let text = [certain.as_str(), rest.as_str()].join(" ").trim().to_owned();
                self.post("hearken-partial", start, end, |message| {
                    message.field("text", text).field("committed", certain).field("tentative", rest)
                });
            }
            SessionEvent::Final { utterance, end, words } => {
                self.spoken = None;
                self.post("hearken-final", *utterance, *end, |message| {
                    message.field("text", join(words)).field("complete", true)
                });
            }
            SessionEvent::Dropped { position, len, reason } => {
                self.post("hearken-dropped", *position, position + len, |message| {
                    message.field("reason", reason.as_str())
                });
            }
            _ => {}
        }
    }

    /// Posts an element message with the times that buffers have.
    fn post(
        &self,
        name: &str,
        start: u64,
        end: u64,
        fields: impl FnOnce(gst::structure::Builder) -> gst::structure::Builder,
    ) {
        let times = gst::Structure::builder(name)
            .field("start", self.clock.at(start))
            .field("end", self.clock.at(end));
        let message = gst::message::Element::builder(fields(times).build()).src(&self.element).build();
        // Nobody listens: the element is in no pipeline.
        let _ = self.element.post_message(message);
    }
}

fn join(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}
