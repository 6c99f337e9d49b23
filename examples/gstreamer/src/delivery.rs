//! Delivery of a session's events: messages for the application, buffers for downstream.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, TryRecvError};
use gst::prelude::*;
use hearken::Word;
use hearken::session::SessionEvent;

use crate::clock::Clock;
use crate::output::Output;

pub(crate) type Flow = Result<gst::FlowSuccess, gst::FlowError>;

/// Latest flow return of the downstream pad.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Arc<Mutex<Flow>>);

impl Answer {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Ok(gst::FlowSuccess::Ok))))
    }

    pub(crate) fn get(&self) -> Flow {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, flow: Flow) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = flow;
    }
}

/// Delivers a session's events downstream.
pub(crate) struct Delivery {
    events: Receiver<SessionEvent>,
    output: Output,
    element: gst::Element,
    pad: gst::Pad,
    /// For timestamps only: it does not track the progress of the audio.
    clock: Clock,
    answer: Answer,
    /// The utterance that goes on: where it began, and its certain words.
    spoken: Option<(u64, Vec<Word>)>,
}

impl Delivery {
    pub(crate) fn new(
        events: Receiver<SessionEvent>,
        output: Output,
        (element, pad): (gst::Element, gst::Pad),
        clock: Clock,
        answer: Answer,
    ) -> Self {
        Self { events, output, element, pad, clock, answer, spoken: None }
    }

    /// Delivers events, when the audio has come to `position`, which was read before: all events
    /// about speech up to there are known then. Returns false when nothing comes any more.
    pub(crate) fn step(&mut self, position: u64) -> bool {
        let more = loop {
            match self.events.try_recv() {
                Ok(event) => {
                    self.tell(&event);
                    self.output.take(&event);
                    self.hand_on();
                }
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        self.output.due(position);
        self.hand_on();
        if let Some((from, until)) = self.output.silence(position) {
            let (from, until) = (self.clock.at(from), self.clock.at(until));
            self.pad.push_event(gst::event::Gap::builder(from).duration(until - from).build());
        }
        more
    }

    /// Position [samples at 16 kHz] at which the next step is worth taking even without an event.
    pub(crate) fn next(&self) -> u64 {
        self.output.next()
    }

    /// The end, after the last step.
    pub(crate) fn end(mut self) {
        self.output.end();
        self.hand_on();
        if let Some((start, words)) = self.spoken.take().filter(|(_, words)| !words.is_empty()) {
            // It was flushed before it was complete: its committed words are delivered at least.
            let end = words.last().map_or(start, |word| word.end);
            self.post("hearken-final", start, end, |message| {
                message.field("text", join(&words)).field("complete", false)
            });
        }
    }

    /// Pushes the pieces that are ready.
    fn hand_on(&mut self) {
        for piece in self.output.pieces() {
            let (pts, end) = (self.clock.at(piece.start), self.clock.at(piece.end));
            let mut buffer = gst::Buffer::from_mut_slice(piece.text);
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(pts);
                buffer.set_duration(end.saturating_sub(pts));
            }
            self.answer.set(self.pad.push(buffer));
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
                    message.field("reason", reason.to_string())
                });
            }
            SessionEvent::Unrecognized { position, len } => {
                self.post("hearken-unrecognized", *position, position + len, |message| message);
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
