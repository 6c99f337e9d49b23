//! One stretch of audio without a jump: a session, and the delivery of its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gst_audio::{AudioFormat, AudioInfo};
use hearken::audio::Format;
use hearken::session::{Session, SessionOptions};
use hearken::{Error, Model, SAMPLE_RATE};

use crate::clock::Clock;
use crate::delivery::{Answer, Delivery, Flow};
use crate::output::{Kind, Output};

/// Settings that a stream takes over from its element.
pub(crate) struct Setting {
    pub(crate) element: gst::Element,
    pub(crate) pad: gst::Pad,
    pub(crate) model: Model,
    pub(crate) language: Option<String>,
    pub(crate) step: Duration,
    pub(crate) kind: Kind,
    /// True if the audio arrives in real time.
    pub(crate) live: bool,
}

/// A session with its output.
pub(crate) struct Stream {
    session: Session,
    info: AudioInfo,
    pub(crate) clock: Clock,
    /// Set when text that was not delivered yet is of no interest any more.
    pub(crate) given_up: Arc<AtomicBool>,
    answer: Answer,
    /// `None` once it is over.
    work: Option<Work>,
    floats: Vec<f32>,
}

/// Thread on which recognition runs and from which its text is delivered.
enum Work {
    /// On the streaming thread. That holds upstream back (backpressure), and makes the text
    /// independent of the machine's speed.
    Here(Box<Delivery>),
    /// On the engine's threads and on one for the text: live audio waits neither for a decode nor
    /// for downstream.
    Apart(Courier),
}

impl Stream {
    /// Starts one whose first frame has the timestamp `base`, which is `begin` in the stream's own
    /// time.
    pub(crate) fn start(
        setting: Setting,
        info: &AudioInfo,
        base: gst::ClockTime,
        begin: gst::ClockTime,
    ) -> Result<Self, Error> {
        let format = Format { sample_rate: info.rate(), channels: info.channels() as u16 };
        let options = SessionOptions::new(format).language(setting.language).step(setting.step);
        let mut session = match setting.live {
            true => Session::new(&setting.model, options)?,
            false => Session::driven(&setting.model, options)?,
        };
        let clock = Clock::new(base, info.rate());
        let answer = Answer::new();
        let delivery = Delivery::new(
            session.events().clone(),
            Output::new(setting.kind, crate::clock::frames(begin, SAMPLE_RATE)),
            (setting.element, setting.pad),
            clock.clone(),
            answer.clone(),
        );
        let work = match setting.live {
            true => Work::Apart(Courier::start(&mut session, delivery)?),
            false => Work::Here(Box::new(delivery)),
        };
        Ok(Self {
            session,
            info: info.clone(),
            clock,
            given_up: Arc::default(),
            answer,
            work: Some(work),
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
        self.answer.get()
    }

    /// Reports a gap of this many frames.
    pub(crate) fn skip(&mut self, frames: u64) {
        // Cannot fail: it was not finished.
        let _ = self.session.skip(frames);
        self.advance(frames);
    }

    /// Moves the session's position forward by this many frames.
    fn advance(&mut self, frames: u64) {
        self.clock.advance(frames);
        self.decode();
        let position = self.clock.position();
        match &mut self.work {
            Some(Work::Here(delivery)) => _ = delivery.step(position),
            Some(Work::Apart(courier)) => courier.advance(position),
            None => {}
        }
    }

    /// Recognizes audio that is pending, if that is done on this thread.
    fn decode(&mut self) {
        // A session that the engine's threads drive has nothing to be done.
        while !self.given_up.load(Ordering::Acquire) && self.session.decode_pending().is_some() {}
    }

    /// Recognizes the rest and delivers it: everything was delivered on return.
    pub(crate) fn finish(mut self) -> Flow {
        let _ = self.session.finish();
        self.decode();
        if self.given_up.load(Ordering::Acquire) {
            self.session.cancel();
        }
        self.end();
        self.answer.get()
    }

    /// Delivers the remaining events: the session has ended, or will.
    fn end(&mut self) {
        match self.work.take() {
            Some(Work::Here(mut delivery)) => {
                delivery.step(self.clock.position());
                delivery.end();
            }
            Some(Work::Apart(courier)) => courier.join(),
            None => {}
        }
    }
}

impl Drop for Stream {
    /// Discards undelivered text.
    fn drop(&mut self) {
        self.session.cancel();
        self.end();
    }
}

/// Delivery thread: delivers events while other threads push and recognize. It sleeps until there
/// is something to deliver.
struct Courier {
    road: Arc<Road>,
    thread: JoinHandle<()>,
}

/// Between the thread that pushes and the courier, in samples at 16 kHz. Sequentially consistent:
/// of a position and a wish that are stored at the same time one is seen by the other side.
#[derive(Default)]
struct Road {
    /// Audio received so far [samples at 16 kHz].
    position: AtomicU64,
    /// Position at which the delivery thread is woken even without an event.
    wake_at: AtomicU64,
}

impl Courier {
    fn start(session: &mut Session, delivery: Delivery) -> Result<Self, Error> {
        let road = Arc::new(Road::default());
        let shared = Arc::clone(&road);
        let thread = std::thread::Builder::new()
            .name("hearken-text".to_owned())
            .spawn(move || Self::run(delivery, &shared))
            .map_err(|cause| Error::System { what: "cannot start a thread".to_owned(), cause })?;
        let woken = thread.thread().clone();
        session.on_progress(move || woken.unpark());
        Ok(Self { road, thread })
    }

    fn run(mut delivery: Delivery, road: &Road) {
        loop {
            if !delivery.step(road.position.load(Ordering::SeqCst)) {
                break;
            }
            let next = delivery.next();
            road.wake_at.store(next, Ordering::SeqCst);
            if road.position.load(Ordering::SeqCst) < next {
                std::thread::park();
            }
        }
        delivery.end();
    }

    /// The audio has come to `position`.
    fn advance(&self, position: u64) {
        self.road.position.store(position, Ordering::SeqCst);
        if position >= self.road.wake_at.load(Ordering::SeqCst) {
            // Once: it says anew when it wants to be woken.
            self.road.wake_at.store(u64::MAX, Ordering::SeqCst);
            self.thread.thread().unpark();
        }
    }

    fn join(self) {
        let _ = self.thread.join();
    }
}
