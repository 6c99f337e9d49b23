//! A stream's way into its log.

use std::mem;
use std::sync::Arc;

use hearken::session::SessionEvent;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::PATIENCE;
use super::log::{Header, Record, Step};
use super::writer::{Command, Failure, Log};
use crate::stream::Stream;

/// Keeps one stream: what is said to its client, and what was heard.
pub(crate) struct Keeper {
    commands: mpsc::Sender<Command>,
    log: Arc<Log>,
    /// Bytes to be written before the next step.
    before: Vec<u8>,
    /// True until the file is this process's.
    fresh: bool,
    /// Frames that are in the log.
    frames: u64,
    /// Set if the client is about to learn of the stream's frames.
    asked: bool,
    events: Vec<(usize, SessionEvent)>,
    messages: Vec<String>,
}

impl Keeper {
    pub(super) fn new(commands: mpsc::Sender<Command>, log: Arc<Log>, before: Vec<u8>) -> Self {
        let (events, messages) = (Vec::new(), Vec::new());
        Self { commands, log, before, fresh: true, frames: 0, asked: true, events, messages }
    }

    /// Notes an event of a session.
    pub(crate) fn note(&mut self, session: usize, event: &SessionEvent) {
        self.events.push((session, event.clone()));
    }

    /// Notes a numbered message to the client.
    pub(crate) fn say(&mut self, message: &str) {
        self.messages.push(message.to_owned());
    }

    /// The next step is due at once.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// The client came back with another key.
    pub(crate) fn readmit(&mut self, header: Header) {
        Record::Header(header).write(&mut self.before);
        self.asked = true;
    }

    /// Returns true if there is something that the client is about to learn of, or a second of
    /// audio.
    pub(crate) fn is_due(&self, stream: &Stream) -> bool {
        self.asked || !self.messages.is_empty() || stream.frames() >= self.frames + stream.second()
    }

    /// Writes what has happened since this was last called, and waits until it is written.
    /// Cancellation is safe: nothing is missed.
    pub(crate) async fn keep(&mut self, stream: &mut Stream, forgotten: u64) -> Result<(), Failure> {
        let written = async {
            let commands = self.commands.clone();
            let Ok(place) = commands.reserve().await else { return Err(Failure::Slow) };
            // Nothing is awaited between this and the command.
            let mut bytes = mem::take(&mut self.before);
            self.frames = stream.frames();
            let step = Step {
                channels: stream.format_channels(),
                sessions: stream.progress(),
                events: mem::take(&mut self.events),
                messages: mem::take(&mut self.messages),
                forgotten,
            };
            Record::Step(step).write(&mut bytes);
            let (done, written) = oneshot::channel();
            let (log, fresh) = (Arc::clone(&self.log), mem::take(&mut self.fresh));
            place.send(Command::Write { log, bytes, fresh, done });
            self.asked = false;
            written.await.unwrap_or(Err(Failure::Slow))
        };
        timeout(PATIENCE, written).await.unwrap_or(Err(Failure::Slow))
    }

    /// The stream is over, or not kept any more.
    pub(crate) fn discard(self) {
        let command = Command::Remove(self.log);
        if let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) {
            // It has to come off the disk: it is of a moment that has passed.
            tokio::spawn(async move { self.commands.send(command).await });
        }
    }
}
