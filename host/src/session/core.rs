//! The part of a session that its jobs share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use hearken_proto::Task;

use super::SessionOptions;
use super::carry::Carried;
use super::checkpoint::{Checkpoint, Part, Recording};
use super::event::SessionEvent;
use super::journal::{Decode, Journal};
use super::utterance::Utterance;
use crate::audio::VadEvent;
use crate::error::Error;
use crate::executor::{Class, Ticket};
use crate::preempt::{caught, to_end};
use crate::{Engine, Model, SAMPLE_RATE};

/// Minimum ratio of new speech to the cost of a partial text: the rest of the thread's time is for
/// finals, and for other sessions.
const RELIEF: u32 = 2;

/// Minimum length of an utterance before it is decoded, its pre-roll included [samples]: of less,
/// models hallucinate as they do on silence. 0.9 s.
const FIRST_WINDOW: u64 = SAMPLE_RATE as u64 * 9 / 10;

/// Up to this length utterances are decoded more often, in samples: the first words are waited for,
/// and short windows are cheap. 3 s.
const EARLY: u64 = 3 * SAMPLE_RATE as u64;

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
    /// Utterances that are not complete, oldest first. The last one may still be spoken.
    utterances: VecDeque<Utterance>,
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
                utterances: VecDeque::new(),
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn engine(&self) -> &Engine {
        self.model.engine()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(super) fn encodes(&self) -> u64 {
        self.lock().encodes
    }

    pub(super) fn journal(&self) -> Journal {
        self.lock().journal.clone()
    }

    pub(super) fn on_progress(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.lock().wake = Some(wake);
    }

    /// Speech that no decode has heard [samples].
    pub(super) fn waiting(&self) -> u64 {
        self.lock().waiting()
    }

    /// Handles an event of voice activity.
    pub(super) fn hear(self: &Arc<Self>, event: &VadEvent<'_>) {
        let mut state = self.lock();
        match *event {
            VadEvent::Start { position } => {
                state.utterances.push_back(Utterance::new(position));
                if let Some(recording) = &mut state.recording {
                    recording.start(position);
                }
                state.emit(SessionEvent::SpeechStarted { position });
            }
            VadEvent::Speech { position, samples, voiced_until, .. } => {
                let room = samples_of(self.options.backlog).saturating_sub(state.waiting());
                let room = room.min(samples.len() as u64);
                let (taken, dropped) = samples.split_at(room as usize);
                if let Some(utterance) = state.utterances.back_mut() {
                    utterance.append(taken);
                    let end = position + samples.len() as u64;
                    utterance.hear_voice(voiced_until, end, self.options.pause.map(samples_of));
                    if dropped.is_empty() && self.options.voice_activity.is_some() {
                        utterance.voice.push(event);
                    }
                }
                if let Some(recording) = &mut state.recording {
                    recording.speech(event, taken, self.options.voice_activity.is_some());
                }
                if !dropped.is_empty() {
                    state.dropped += dropped.len() as u64;
                    state.emit(SessionEvent::Dropped {
                        position: position + room,
                        len: dropped.len() as u64,
                        reason: "speech comes faster than it can be recognized".to_owned(),
                    });
                }
            }
            VadEvent::End { position, .. } => {
                if let Some(utterance) = state.utterances.back_mut() {
                    utterance.ended = true;
                }
                if let Some(recording) = &mut state.recording {
                    recording.end();
                }
                state.emit(SessionEvent::SpeechEnded { position });
            }
            VadEvent::Silence { .. } => return,
        }
        self.schedule(&mut state);
    }

    /// Takes over the utterances of a checkpoint.
    pub(super) fn restore(self: &Arc<Self>, checkpoint: Checkpoint) {
        let mut state = self.lock();
        state.language = checkpoint.language;
        state.carried = checkpoint.carried;
        state.utterances = checkpoint.utterances.into_iter().map(Part::utterance).collect();
        self.schedule(&mut state);
    }

    /// Records the audio of utterances from now on.
    pub(super) fn record(&self) {
        let mut state = self.lock();
        let running = state.utterances.back().filter(|utterance| !utterance.ended);
        let running = running.map(|utterance| Part::new(utterance.start, utterance.start + utterance.len()));
        state.recording = Some(Recording::new(running));
    }

    /// Takes what was recorded.
    pub(super) fn recorded(&self) -> Vec<Part> {
        self.lock().recording.as_mut().map(Recording::take).unwrap_or_default()
    }

    /// Audio between utterances that never came.
    pub(super) fn lose(&self, position: u64, len: u64, reason: &str) {
        if len > 0 {
            self.lock().emit(SessionEvent::Dropped { position, len, reason: reason.to_owned() });
        }
    }

    /// Ends the audio.
    pub(super) fn finish(self: &Arc<Self>, duration: u64) {
        let mut state = self.lock();
        state.finished = Some(duration);
        if let Some(utterance) = state.utterances.back_mut() {
            utterance.ended = true;
        }
        self.schedule(&mut state);
    }

    /// Cancels recognition, unless the audio is complete: then it is recognized to the end.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        if state.finished.is_none() {
            state.give_up();
        }
    }

    /// Cancels recognition.
    pub(super) fn cancel(&self) {
        self.lock().give_up();
    }

    /// Makes the decode that is due on this thread, if its owner drives the session and one is due.
    pub(super) fn decode_pending(self: &Arc<Self>) -> Option<Decode> {
        let due = self.drive == Drive::Owner && self.due(&self.lock()).is_some();
        if due { to_end(Arc::clone(self).run()) } else { None }
    }

    /// Records the cost of the latest decode, if it was for a partial text.
    pub(super) fn charge(&self, cost: Duration) {
        let mut state = self.lock();
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
            if state.utterances.front().is_some_and(|utterance| utterance.ended || utterance.pause.is_some())
            {
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
        let step = self.step(front).max(state.cost * RELIEF);
        let worth_it = front.unheard() >= samples_of(step).max(1)
            && front.len() >= FIRST_WINDOW
            && front.has_new_speech();
        let pauses = front.pause.is_some() && front.len() >= FIRST_WINDOW;
        match front.ended {
            true => Some(Class::Final),
            false if !front.has_sandbox() && !self.has_room() => None,
            false if pauses => Some(Class::Final),
            false => worth_it.then_some(Class::Partial),
        }
    }

    /// Least new speech before an utterance is decoded again.
    fn step(&self, utterance: &Utterance) -> Duration {
        if utterance.len() < EARLY { self.options.step * 2 / 3 } else { self.options.step }
    }

    /// Returns true if an utterance may have a sandbox before it ends.
    fn has_room(&self) -> bool {
        let threads = self.engine().threads();
        self.options.share.as_ref().is_none_or(|share| share.has_room(threads))
    }

    /// Partial texts that were due since the latest decode.
    fn overdue(&self, state: &State, utterance: &Utterance) -> u64 {
        utterance.unheard() / samples_of(self.step(utterance).max(state.cost * RELIEF)).max(1)
    }

    /// The job: decodes the audio so far of the oldest utterance. `None` if there is none any more.
    async fn run(self: Arc<Self>) -> Option<Decode> {
        let (mut utterance, task, mut decode) = self.take()?;
        let started = Instant::now();
        let mut events = Vec::new();
        let mut emit = |event| events.push(event);
        let decoded =
            caught(utterance.decode(&self.model, &task, decode.heard, decode.last, &mut emit)).await;
        if decoded.is_err() {
            // A defect of ours costs an utterance, and no more.
            utterance.give_up(Error::Panicked.to_string());
        }
        decode.given_up = utterance.give_up_memory();
        let complete = decode.last && decoded.is_ok();
        self.put_back(utterance, &decode, complete, started.elapsed(), events);
        Some(decode)
    }

    /// Takes the oldest utterance to be decoded, if it is to be. Until it is put back, audio goes
    /// into a stand-in at its place in the queue.
    fn take(&self) -> Option<(Utterance, Task, Decode)> {
        let mut state = self.lock();
        let Some(mut utterance) = state.utterances.pop_front() else {
            state.job = None;
            return None;
        };
        // Taken now and not when it was queued: audio that came meanwhile is part of the same
        // decode.
        let (heard, last) = (utterance.len(), utterance.ended);
        if !last && !utterance.has_sandbox() && !self.has_room() {
            // Others were quicker. The next audio asks again.
            state.utterances.push_front(utterance);
            state.job = None;
            return None;
        }
        self.model.joined(self.overdue(&state, &utterance).saturating_sub(u64::from(!last)));
        let mut task =
            self.options.task(&self.model, state.language.clone(), &state.carried, utterance.start);
        let pause = utterance.pause.take().filter(|_| !last);
        task.pause = pause.is_some();
        utterance.paused = pause.unwrap_or(utterance.paused);
        let language = state.language.clone();
        let decode = Decode { utterance: utterance.start, heard, last, pause, language, given_up: false };
        state.partial = !last;
        state.utterances.push_front(utterance.stand_in());
        Some((utterance, task, decode))
    }

    /// Puts a decoded utterance back, unless it is complete, and emits its events.
    fn put_back(
        self: &Arc<Self>,
        mut utterance: Utterance,
        decode: &Decode,
        complete: bool,
        cost: Duration,
        events: Vec<SessionEvent>,
    ) {
        let mut state = self.lock();
        state.job = None;
        if self.options.journal {
            state.journal.decodes.push(decode.clone());
        }
        state.encodes += utterance.take_encodes();
        if state.events.is_none() {
            return;
        }
        if let Some(arrived) = state.utterances.pop_front()
            && !complete
        {
            utterance.absorb(arrived);
            state.utterances.push_front(utterance);
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

    fn waiting(&self) -> u64 {
        self.utterances.iter().map(Utterance::unheard).sum()
    }

    /// Ends the channel.
    fn close(&mut self) {
        self.events = None;
        self.wake();
    }

    fn give_up(&mut self) {
        self.utterances.clear();
        self.close();
    }
}

fn samples_of(duration: Duration) -> u64 {
    (duration.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64
}
