//! The part of a session that its jobs share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use hearken_proto::Task;
use parking_lot::Mutex;

use super::SessionOptions;
use super::carry::Carried;
use super::checkpoint::{Checkpoint, Part, Recording};
use super::event::SessionEvent;
use super::journal::{Decode, Journal};
use super::utterance::{Due, Hearing, Queue, Reach, Utterance};
use crate::audio::VadEvent;
use crate::error::Error;
use crate::executor::{Class, Ticket};
use crate::preempt::{caught, to_end};
use crate::{DropReason, Engine, Model, samples_in};

/// Minimum ratio of new speech to the cost of a partial text: the rest of the thread's time is for
/// finals, and for other sessions.
const RELIEF: u32 = 2;

pub(super) struct Core {
    model: Model,
    options: SessionOptions,
    drive: Drive,
    state: Mutex<State>,
}

/// Driver of the decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drive {
    /// The engine's threads, as soon as they are due.
    Engine,
    /// The caller, through `Session::decode_pending`, reporting costs with `Session::charge`.
    Owner,
}

struct State {
    /// `None` once the channel is to be closed.
    events: Option<Sender<SessionEvent>>,
    /// Called when there may be something new.
    wake: Option<Box<dyn Fn() + Send + Sync>>,
    utterances: Queue,
    /// The job that waits or runs: there is one at a time, so that events are in order.
    job: Option<Ticket>,
    /// Cost of the latest partial.
    cost: Duration,
    /// The language of the utterance before, if it was detected.
    language: Option<String>,
    carried: Carried,
    /// Set where the audio of utterances is recorded for checkpoints.
    recording: Option<Recording>,
    dropped: u64,
    /// Encoder passes.
    encodes: u64,
    /// True if the latest decode was for a partial text.
    partial: bool,
    journal: Journal,
    /// Length of the audio, once it is complete.
    finished: Option<u64>,
}

impl Core {
    pub(super) fn new(
        model: Model,
        options: SessionOptions,
        drive: Drive,
        events: Sender<SessionEvent>,
    ) -> Arc<Self> {
        let model = model.billed(options.share.as_ref());
        Arc::new(Self {
            model,
            options,
            drive,
            state: Mutex::new(State {
                events: Some(events),
                wake: None,
                utterances: Queue::default(),
                job: None,
                cost: Duration::ZERO,
                language: None,
                carried: Carried::default(),
                recording: None,
                dropped: 0,
                encodes: 0,
                partial: false,
                journal: Journal::default(),
                finished: None,
            }),
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        self.model.engine()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    pub(super) fn encodes(&self) -> u64 {
        self.state.lock().encodes
    }

    pub(super) fn journal(&self) -> Journal {
        self.state.lock().journal.clone()
    }

    pub(super) fn on_progress(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.state.lock().wake = Some(wake);
    }

    /// Speech that no decode has heard [samples].
    pub(super) fn waiting(&self) -> u64 {
        self.state.lock().utterances.waiting()
    }

    /// Handles an event of voice activity.
    pub(super) fn hear(self: &Arc<Self>, event: &VadEvent<'_>) {
        let mut state = self.state.lock();
        let (taken, follows) = state.utterances.hear(event, &self.options);
        if let Some(recording) = &mut state.recording {
            recording.hear(event, taken, self.options.voice_activity.is_some());
        }
        if let Some(event) = follows {
            if let SessionEvent::Dropped { len, .. } = event {
                state.dropped += len;
            }
            state.emit(event);
        }
        self.schedule(&mut state);
    }

    /// Takes over the utterances of a checkpoint.
    pub(super) fn restore(self: &Arc<Self>, checkpoint: Checkpoint) {
        let mut state = self.state.lock();
        state.language = checkpoint.language;
        state.carried = checkpoint.carried;
        state.utterances = checkpoint.utterances.into_iter().map(Part::utterance).collect();
        self.schedule(&mut state);
    }

    /// Records the audio of utterances from now on.
    pub(super) fn record(&self) {
        let mut state = self.state.lock();
        let running = state.utterances.running();
        let running = running.map(|utterance| Part::new(utterance.start(), utterance.end()));
        state.recording = Some(Recording::new(running));
    }

    /// Takes what was recorded.
    pub(super) fn recorded(&self) -> Vec<Part> {
        self.state.lock().recording.as_mut().map(Recording::take).unwrap_or_default()
    }

    /// Audio between utterances that never came.
    pub(super) fn lose(&self, position: u64, len: u64, reason: DropReason) {
        if len > 0 {
            self.state.lock().emit(SessionEvent::Dropped { position, len, reason });
        }
    }

    /// Ends the audio.
    pub(super) fn finish(self: &Arc<Self>, duration: u64) {
        let mut state = self.state.lock();
        state.finished = Some(duration);
        state.utterances.end_last();
        self.schedule(&mut state);
    }

    /// Cancels recognition, unless the audio is complete: then it is recognized to the end.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.finished.is_none() {
            state.give_up();
        }
    }

    /// Cancels recognition.
    pub(super) fn cancel(&self) {
        self.state.lock().give_up();
    }

    /// Makes the decode that is due on this thread, if its owner drives the session and one is due.
    pub(super) fn decode_pending(self: &Arc<Self>) -> Option<Decode> {
        let due = self.drive == Drive::Owner && self.due(&self.state.lock()).is_some();
        if due { to_end(Arc::clone(self).run()) } else { None }
    }

    /// Records the cost of the latest decode, if it was for a partial text.
    pub(super) fn charge(&self, cost: Duration) {
        let mut state = self.state.lock();
        if self.drive == Drive::Owner && state.partial {
            state.cost = cost;
        }
    }

    /// Closes the channel if everything is done. Queues a job if there is something to do, the
    /// engine drives, and none is under way.
    fn schedule(self: &Arc<Self>, state: &mut State) {
        if let Some(job) = &state.job {
            // What was begun for a partial text would wait behind everybody's final ones, and the
            // final text behind it.
            if state.utterances.front().is_some_and(Utterance::is_urgent) {
                job.hurry();
            }
            return;
        }
        if state.utterances.is_empty()
            && let Some(duration) = state.finished
        {
            state.emit(SessionEvent::Finished { duration });
            state.close();
        }
        if self.drive == Drive::Owner {
            return;
        }
        let Some(class) = self.due(state) else { return };
        // A text is wanted before the next one is due.
        let deadline = Instant::now() + self.options.step;
        let run = Arc::clone(self).run();
        let job = async {
            run.await;
        };
        state.job = Some(self.model.submit(class, deadline, Box::pin(job)));
    }

    /// Decode that is due now.
    fn due(&self, state: &State) -> Option<Class> {
        state.events.as_ref()?;
        let front = state.utterances.front()?;
        let due = front.due(self.step(state, front))?;
        let may_run = due == Due::Final || front.has_sandbox() || self.has_room();
        may_run.then_some(if due == Due::Partial { Class::Partial } else { Class::Final })
    }

    /// Minimum new speech before an utterance is decoded again.
    fn step(&self, state: &State, utterance: &Utterance) -> Duration {
        utterance.step(self.options.step).max(state.cost * RELIEF)
    }

    /// Returns true if an utterance may have a sandbox before it ends.
    fn has_room(&self) -> bool {
        let threads = self.engine().threads();
        self.options.share.as_ref().is_none_or(|share| share.has_room(threads))
    }

    /// Partial texts that were due since the latest decode.
    fn overdue(&self, state: &State, utterance: &Utterance) -> u64 {
        utterance.unheard() / samples_in(self.step(state, utterance)).max(1)
    }

    /// The job: decodes the audio so far of the oldest utterance. `None` if there is none any more.
    async fn run(self: Arc<Self>) -> Option<Decode> {
        let (mut hearing, task, reach, mut decode) = self.take()?;
        let started = Instant::now();
        let mut events = Vec::new();
        let mut emit = |event| events.push(event);
        let decoded = caught(hearing.decode(&self.model, &task, reach, &mut emit)).await;
        if decoded.is_err() {
            // A defect of ours costs an utterance, and no more.
            hearing.give_up(DropReason::Failed(Error::Panicked.to_string()));
        }
        decode.given_up = hearing.give_up_memory();
        let complete = reach.last && decoded.is_ok();
        self.put_back(hearing, &decode, complete, started.elapsed(), events);
        Some(decode)
    }

    /// Takes the hearing of the oldest utterance, if it is to be decoded.
    fn take(&self) -> Option<(Hearing, Task, Reach, Decode)> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let front = state.utterances.front();
        // Others were quicker to take the room. The next audio asks again.
        let may_run = |front: &Utterance| front.has_ended() || front.has_sandbox() || self.has_room();
        let Some(front) = front.filter(|front| may_run(front)) else {
            state.job = None;
            return None;
        };
        let overdue = self.overdue(state, front);
        let utterance = front.start();
        // Taken now and not when it was queued: audio that came meanwhile is part of the same
        // decode.
        let Some((hearing, reach)) = state.utterances.front_mut().and_then(Utterance::take) else {
            state.job = None;
            return None;
        };
        let Reach { end, last, pause } = reach;
        self.model.joined(overdue.saturating_sub(u64::from(!last)));
        let task = self.options.task(&self.model, state.language.clone(), &state.carried, utterance);
        let (heard, language) = (end - utterance, state.language.clone());
        let decode = Decode { utterance, heard, last, pause, language, given_up: false };
        state.partial = !last;
        Some((hearing, task, reach, decode))
    }

    /// Puts a hearing back, unless its utterance is complete, and emits its events.
    fn put_back(
        self: &Arc<Self>,
        mut hearing: Hearing,
        decode: &Decode,
        complete: bool,
        cost: Duration,
        events: Vec<SessionEvent>,
    ) {
        let mut state = self.state.lock();
        state.job = None;
        if self.options.journal {
            state.journal.decodes.push(decode.clone());
        }
        state.encodes += hearing.take_encodes();
        if state.events.is_none() {
            return;
        }
        if complete {
            state.utterances.complete();
        } else if let Some(utterance) = state.utterances.front_mut() {
            utterance.put_back(hearing);
            if self.drive == Drive::Engine {
                state.cost = cost;
            }
        }
        for event in events {
            state.carried.note(&event);
            if let SessionEvent::Language(language) = &event {
                if state.language.as_ref() == Some(&language.code) {
                    continue;
                }
                state.language = Some(language.code.clone());
            }
            state.emit(event);
        }
        self.schedule(&mut state);
        // Also without an event: there is room for more audio.
        state.wake();
    }
}

impl State {
    fn emit(&self, event: SessionEvent) {
        if let Some(events) = &self.events {
            // The receiver is gone: the session is being dropped.
            let _ = events.send(event);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Ends the channel.
    fn close(&mut self) {
        self.events = None;
        self.wake();
    }

    fn give_up(&mut self) {
        self.utterances = Queue::default();
        self.close();
    }
}
