//! Sessions: audio as it is spoken, and text while it is.
//!
//! A [`Session`] takes audio from any thread and answers with [`SessionEvent`]s on a channel. It
//! has no thread of its own: voice activity detection runs on the thread that pushes audio,
//! recognition on the engine's threads.
//!
//! # The life of an utterance
//!
//! An *utterance* is a stretch of speech between two pauses. Each has a sandbox of its own, which
//! is made when the first decode is due and dropped after the final text, so that nothing that one
//! utterance did to the guest reaches the next.
//!
//! ```text
//!  push ─▶ resample ─▶ voice activity          silence: counted and forgotten
//!                         │ Start              pre-roll included            SpeechStarted
//!                         ▼
//!       ┌──────────── Utterance (queued, oldest first) ────────────┐
//!       │  samples ──▶ a step of new speech, at least 0.9 s in all │
//!       │                 │                                        │
//!       │                 ▼                                        │
//!       │       job: decode ◀─ sandbox: window, commit policy      │
//!       │                 │                                        │
//!       │                 ▼                                        │
//!       │       hypothesis: committed words, tentative words       │       Partial
//!       │                 │                                        │
//!       │                 └──▶ committed audio is released         │
//!       └─────────────────────────┬────────────────────────────────┘
//!                         │ End                after the hangover           SpeechEnded
//!                         ▼
//!                  last decode: everything is committed                     Final
//!                         │
//!                         ▼
//!              the sandbox is dropped; the next utterance is decoded
//! ```
//!
//! 1. **Start.** Voice activity finds speech. The utterance begins before it, by the pre-roll.
//! 2. **Steps.** A partial text is due when there is a step of new speech
//!    ([`SessionOptions::step`]), at least twice the cost of the latest one. A session has one job
//!    at a time, in the engine's executor; a job takes all audio that has come when it begins, so
//!    late steps are merged.
//! 3. **Commit.** The guest's commit policy decides which words are certain. Committed words are
//!    never taken back; tentative words are replaced by each hypothesis. Audio before the window is
//!    released.
//! 4. **End.** After the hangover the utterance ends. Its last decode takes the priority of final
//!    texts, and commits everything.
//! 5. **Failures.** A guest that fails is replaced once: a fresh sandbox decodes again what is not
//!    committed. After that the rest is [`SessionEvent::Dropped`].
//!
//! An utterance has two halves: its intake stays in the queue and takes audio, while its hearing
//! (the sandbox, the words, the audio that is not settled) is out for a decode.
//! Speech that waits is bounded by [`SessionOptions::backlog`]; audio beyond it is dropped and
//! reported. Every pushed sample ends in speech, silence or dropped: see [`Session::accounting`].
//!
//! Voice activity makes the decisions on [start and end](crate::audio::VoiceActivity), `core`
//! schedules decodes and emits events, `utterance` has the queue, runs decodes and keeps words,
//! `carry` makes the next utterance's prompt (condition on previous text).
//!
//! # Checkpoints
//!
//! A session can be [restored](Session::restore) in another process from a [`Checkpoint`]: plain
//! data that its owner puts together while the session runs. Committed words stand; what is not
//! committed is decoded again.
//!
//! # Driven sessions
//!
//! A [driven](Session::driven) session is for callers with threads of their own, simulations and
//! tests: it recognizes only when asked, so that the same pushes and calls give the same events.

mod carry;
mod checkpoint;
mod commit;
mod core;
mod error;
mod event;
mod journal;
mod options;
mod utterance;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use self::checkpoint::Anchor;
pub use self::checkpoint::Checkpoint;
pub use self::commit::{CommitPolicy, UnknownPolicy};
use self::core::{Core, Drive};
pub use self::error::SessionError;
pub use self::event::SessionEvent;
pub use self::journal::{Decode, Journal};
pub use self::options::SessionOptions;
use crate::audio::{
    Accounting, Format, Resampler, RingRead, RingReader, VadEvent, VoiceActivity, resampled, usable,
};
use crate::error::Error;
use crate::{DropReason, Engine, Model};

/// A live recognition of one stream of audio. Dropping it cancels recognition.
pub struct Session {
    core: Arc<Core>,
    events: Receiver<SessionEvent>,
    format: Format,
    resampler: Resampler,
    activity: VoiceActivity,
    push_to_talk: bool,
    /// True while the key is held.
    talking: bool,
    /// Frames that were pushed or skipped.
    frames: u64,
    /// The moment at which the resampler began.
    anchor: Anchor,
    /// Samples at the beginning of what is pushed next that were heard already.
    overlap: u64,
    accounting: Accounting,
    mono: Vec<f32>,
    ended: bool,
}

impl Session {
    /// Starts listening.
    ///
    /// # Errors
    ///
    /// [`Error::Audio`] for a format out of range, [`Error::Language`] or [`Error::EnglishOnly`]
    /// for options that the model does not support.
    pub fn new(model: &Model, options: SessionOptions) -> Result<Self, Error> {
        Self::start(model, options, Drive::Engine)
    }

    /// Starts listening, but leaves the engine's threads alone: nothing is recognized but by
    /// [`decode_pending`](Self::decode_pending), on the thread that calls it. What happens then
    /// depends on the pushes and the calls, and on nothing else.
    ///
    /// ```
    /// use hearken::audio::Format;
    /// use hearken::session::{Session, SessionOptions};
    /// use hearken::{Engine, ModelSource};
    ///
    /// let model = Engine::new()?.load(&ModelSource::Embedded)?;
    /// let mut session = Session::driven(&model, SessionOptions::new(Format::MODEL))?;
    /// for block in [[0.0; 320]; 50] {
    ///     session.push(&block)?;
    ///     while let Some(decode) = session.decode_pending() {
    ///         println!("heard {} samples", decode.heard);
    ///     }
    /// }
    /// session.finish()?;
    /// while session.decode_pending().is_some() {}
    /// println!("{:?}", session.events().iter().collect::<Vec<_>>());
    /// # Ok::<(), hearken::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Session::new`].
    pub fn driven(model: &Model, options: SessionOptions) -> Result<Self, Error> {
        Self::start(model, options, Drive::Owner)
    }

    fn start(model: &Model, options: SessionOptions, drive: Drive) -> Result<Self, Error> {
        model.can(options.language.as_deref(), options.translate)?;
        for language in &options.languages {
            model.can(Some(language), options.translate)?;
        }
        let resampler = Resampler::new(options.format)?;
        let activity = options.voice_activity.map_or_else(VoiceActivity::always_on, VoiceActivity::new);
        let (sender, events) = crossbeam_channel::unbounded();
        let (format, push_to_talk) = (options.format, options.voice_activity.is_none());
        Ok(Self {
            core: Core::new(model.clone(), options, drive, sender),
            events,
            format,
            resampler,
            activity,
            push_to_talk,
            talking: false,
            frames: 0,
            anchor: Anchor::default(),
            overlap: 0,
            accounting: Accounting::default(),
            mono: Vec::new(),
            ended: false,
        })
    }

    /// Events of the session. The channel closes after [`SessionEvent::Finished`], or when the
    /// session is cancelled or dropped.
    pub fn events(&self) -> &Receiver<SessionEvent> {
        &self.events
    }

    /// Sets a function to be called whenever there may be something new: an event on the channel,
    /// its end, or room for more audio after a decode. For programs that cannot block on a channel,
    /// such as an async runtime's tasks. It is called on any thread, with the session locked: it
    /// must return at once, and call nothing of the session.
    pub fn on_progress(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.core.on_progress(Box::new(wake));
    }

    /// Speech that waits to be recognized [samples at 16 kHz]: [`SessionOptions::backlog`] bounds
    /// it. A caller that can hold its source back (backpressure) does so before that.
    pub fn waiting(&self) -> u64 {
        self.core.waiting()
    }

    /// The engine that recognizes.
    pub fn engine(&self) -> &Engine {
        self.core.engine()
    }

    /// Returns true if it detects speech by itself; otherwise [`Session::begin`] and
    /// [`Session::end`] mark it.
    pub fn is_automatic(&self) -> bool {
        !self.push_to_talk
    }

    /// Takes interleaved samples that come with their format, which must be the session's: for
    /// sources that may change it.
    ///
    /// # Errors
    ///
    /// [`SessionError::FormatChanged`], or as [`push`](Self::push); nothing was taken then.
    pub fn push_as(&mut self, format: Format, interleaved: &[f32]) -> Result<(), SessionError> {
        if !self.ended && format != self.format {
            return Err(SessionError::FormatChanged { session: self.format, pushed: format });
        }
        self.push(interleaved)
    }

    /// Takes interleaved samples of the session's format, whole frames. Never waits for the
    /// recognizer. NaN and infinite samples are replaced by 0; others are clamped to [-1, 1].
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`] or [`SessionError::PartialFrame`]; nothing was taken then.
    pub fn push(&mut self, interleaved: &[f32]) -> Result<(), SessionError> {
        if self.ended {
            return Err(SessionError::Ended);
        }
        let channels = self.format.channels;
        if !interleaved.len().is_multiple_of(channels.into()) {
            return Err(SessionError::PartialFrame { samples: interleaved.len(), channels });
        }
        self.frames += (interleaved.len() / usize::from(channels)) as u64;
        self.mono.clear();
        self.resampler.push(&usable(interleaved), &mut self.mono);
        self.listen();
        Ok(())
    }

    /// Takes the next item of a ring, by way of `block`: a gap is [skipped](Self::skip). To be
    /// called until the ring is empty; then again some milliseconds later.
    ///
    /// # Errors
    ///
    /// As [`push_as`](Self::push_as), with the ring's format. What was read is gone then.
    pub fn push_from(
        &mut self,
        ring: &mut RingReader,
        block: &mut Vec<f32>,
    ) -> Result<RingRead, SessionError> {
        let read = ring.read(block);
        match read {
            RingRead::Frames(_) => self.push_as(ring.format(), block)?,
            RingRead::Lost(frames) => {
                self.lose(frames, DropReason::Overrun)?;
            }
            RingRead::Empty | RingRead::Ended => {}
        }
        Ok(read)
    }

    /// Reports missing audio of `frames` frames: a running utterance ends here, the clock goes on,
    /// and the gap is reported as [`SessionEvent::Dropped`], with [`DropReason::Missing`].
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`].
    pub fn skip(&mut self, frames: u64) -> Result<(), SessionError> {
        self.lose(frames, DropReason::Missing)
    }

    fn lose(&mut self, frames: u64, reason: DropReason) -> Result<(), SessionError> {
        self.flush()?;
        // From the whole, so that the rounding of many gaps does not add up.
        self.frames += frames;
        let position = self.accounting.total();
        let len = resampled(self.frames, self.format.sample_rate).saturating_sub(position);
        self.activity.skip(len);
        self.accounting.dropped += len;
        self.core.lose(position, len, reason);
        self.set_anchor();
        Ok(())
    }

    /// Ends the utterance that runs, if any, at the last sample that was pushed; its
    /// [`SessionEvent::SpeechEnded`] is on the channel when this returns. What is pushed next may
    /// begin another one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`].
    pub fn flush(&mut self) -> Result<(), SessionError> {
        if self.ended {
            return Err(SessionError::Ended);
        }
        self.mono.clear();
        self.resampler.finish(&mut self.mono);
        self.listen();
        let talking = self.talking;
        self.release();
        self.talking = talking;
        self.set_anchor();
        Ok(())
    }

    /// Makes the decode that is due, if any, on this thread; its events are on the channel when it
    /// returns. To be called after each [`push`](Self::push), and after [`finish`](Self::finish)
    /// until nothing is due. Always `None` for a session that the engine's threads drive.
    pub fn decode_pending(&mut self) -> Option<Decode> {
        self.core.decode_pending()
    }

    /// Reports the cost of the latest decode. A [driven](Self::driven) session has no clock of its
    /// own: without a report decodes cost nothing; after one, the next partial text waits for twice
    /// this much new speech, if that is more than [`SessionOptions::step`]. Texts at the end of an
    /// utterance do not count.
    pub fn charge(&mut self, cost: Duration) {
        self.core.charge(cost);
    }

    /// The key is pressed: an utterance begins.
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`] or [`SessionError::Automatic`].
    pub fn begin(&mut self) -> Result<(), SessionError> {
        self.check_push_to_talk()?;
        self.talking = true;
        Ok(())
    }

    /// The key is released: the utterance ends.
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`] or [`SessionError::Automatic`].
    pub fn end(&mut self) -> Result<(), SessionError> {
        self.check_push_to_talk()?;
        self.release();
        Ok(())
    }

    /// Ends the audio: the rest is recognized, then the channel closes.
    ///
    /// # Errors
    ///
    /// [`SessionError::Ended`] the second time.
    pub fn finish(&mut self) -> Result<(), SessionError> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(SessionError::Ended);
        }
        self.mono.clear();
        self.resampler.finish(&mut self.mono);
        self.listen();
        self.release();
        self.core.finish(self.accounting.total());
        Ok(())
    }

    /// Cancels recognition, and closes the channel.
    pub fn cancel(&mut self) {
        self.ended = true;
        self.core.cancel();
    }

    /// Accounting of each sample so far: speech, silence, or dropped.
    pub fn accounting(&self) -> Accounting {
        let Accounting { speech, silence, dropped } = self.accounting;
        // Speech beyond the backlog.
        let refused = self.core.dropped();
        Accounting { speech: speech - refused, silence, dropped: dropped + refused }
    }

    /// The channel, counted from 0, that was taken alone, because averaging the channels would have
    /// cancelled the sound: one is the other upside down.
    pub fn taken_channel(&self) -> Option<u16> {
        self.resampler.taken_channel()
    }

    /// Level of the loudest 20 ms so far, in decibels of full scale: a sine at full scale has -3.
    /// `None` for silence, and without voice activity.
    pub fn loudest_db(&self) -> Option<f32> {
        self.activity.loudest_db()
    }

    /// Number of encoder passes so far: most of the cost of recognition.
    pub fn encodes(&self) -> u64 {
        self.core.encodes()
    }

    /// Positions \[samples\] at which each decode ran: see [`Journal::replay`]. Empty unless
    /// [`SessionOptions::journal`] is set.
    pub fn journal(&self) -> Journal {
        self.core.journal()
    }

    fn check_push_to_talk(&self) -> Result<(), SessionError> {
        match (self.ended, self.push_to_talk) {
            (true, _) => Err(SessionError::Ended),
            (false, false) => Err(SessionError::Automatic),
            (false, true) => Ok(()),
        }
    }

    /// Sends `mono` through voice activity.
    fn listen(&mut self) {
        let Self { core, activity, accounting, mono, push_to_talk, talking, overlap, .. } = self;
        let heard = mono.len().min(usize::try_from(*overlap).unwrap_or(usize::MAX));
        mono.drain(..heard);
        *overlap -= heard as u64;
        if *push_to_talk && !*talking {
            accounting.silence += mono.len() as u64;
            // The stream's clock goes on.
            activity.skip(mono.len() as u64);
            return;
        }
        activity.push(mono, &mut |event| hear(core, accounting, &event));
    }

    /// Ends the utterance that runs, if any.
    fn release(&mut self) {
        let Self { core, activity, accounting, .. } = self;
        activity.finish(&mut |event| hear(core, accounting, &event));
        self.talking = false;
    }
}

fn hear(core: &Arc<Core>, accounting: &mut Accounting, event: &VadEvent<'_>) {
    accounting.count(event);
    core.hear(event);
}

impl Drop for Session {
    fn drop(&mut self) {
        self.core.abandon();
    }
}
