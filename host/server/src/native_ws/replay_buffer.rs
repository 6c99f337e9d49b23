//! Replay buffer: messages that a client may not have received.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// Bytes of messages that are kept for a client that comes back: two minutes of speech, of which it
/// may miss half a one. One that acknowledges never needs them all.
const KEPT: usize = 64 << 10;

/// Highest number that is believed of a file.
const MAX_NUMBER: u64 = 1 << 62;

/// The latest messages, numbered from 1. Stored as the number of those that are not kept any more,
/// and the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u64, Vec<String>)", into = "(u64, Vec<String>)")]
pub(super) struct ReplayBuffer {
    messages: VecDeque<String>,
    bytes: usize,
    /// Number of the last message that is no longer kept.
    forgotten: u64,
}

impl ReplayBuffer {
    /// The number of the next message.
    pub(super) fn next(&self) -> u64 {
        self.forgotten + self.messages.len() as u64 + 1
    }

    pub(super) fn push(&mut self, message: &str) {
        self.bytes += message.len();
        self.messages.push_back(message.to_owned());
        while self.bytes > KEPT {
            self.forget();
        }
    }

    /// Forgets messages up to this number, as far as there are some.
    pub(super) fn forget_until(&mut self, seq: u64) {
        while self.forgotten < seq && !self.messages.is_empty() {
            self.forget();
        }
    }

    /// Number of the last message that is not kept any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.len();
            self.forgotten += 1;
        }
    }

    /// The client has everything up to this number.
    pub(super) fn acknowledge(&mut self, seq: u64) -> Result<(), Rejection> {
        if seq >= self.next() {
            return Err(Rejection::malformed(format!(
                "there was no message {seq} yet; acknowledge what came"
            )));
        }
        self.forget_until(seq);
        if self.messages.is_empty() {
            // Ten thousand idle streams keep nothing.
            self.messages = VecDeque::new();
        }
        Ok(())
    }

    /// Messages after the one with this number, if they are all there.
    pub(super) fn after(&self, seq: u64) -> Result<impl Iterator<Item = &str>, Rejection> {
        if seq < self.forgotten {
            return Err(Rejection::malformed(format!(
                "the messages after {seq} are not kept any more; acknowledge messages as they come, and start another stream"
            )));
        }
        let skip = usize::try_from(seq - self.forgotten).unwrap_or(usize::MAX);
        Ok(self.messages.iter().skip(skip).map(String::as_str))
    }
}

impl From<(u64, Vec<String>)> for ReplayBuffer {
    fn from((forgotten, messages): (u64, Vec<String>)) -> Self {
        let mut buffer = Self { forgotten: forgotten.min(MAX_NUMBER), ..Self::default() };
        messages.iter().for_each(|message| buffer.push(message));
        buffer
    }
}

impl From<ReplayBuffer> for (u64, Vec<String>) {
    fn from(buffer: ReplayBuffer) -> Self {
        (buffer.forgotten, buffer.messages.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(history: &ReplayBuffer, seq: u64) -> Vec<String> {
        history.after(seq).unwrap_or_else(|rejection| panic!("{rejection}")).map(str::to_owned).collect()
    }

    #[test]
    fn a_resumed_client_gets_the_messages_it_lacks_and_none_twice() {
        let mut history = ReplayBuffer::default();
        for expected in 1..=5 {
            assert_eq!(history.next(), expected);
            history.push(&format!("message {expected}"));
        }
        assert_eq!(after(&history, 3), ["message 4", "message 5"]);
        assert_eq!(after(&history, 5), [""; 0]);
        assert!(history.acknowledge(6).is_err());
        history.acknowledge(4).unwrap();
        history.acknowledge(2).unwrap();
        assert_eq!(after(&history, 4), ["message 5"]);
        assert!(history.after(3).is_err(), "it was acknowledged");
        assert_eq!(history.next(), 6);
    }

    #[test]
    fn the_documented_size_is_the_real_one() {
        let page = include_str!("../../../../docs/server.md");
        assert!(page.contains(&format!("server keeps {} KiB of messages", KEPT >> 10)));
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut history = ReplayBuffer::default();
        for _ in 0..100 {
            history.push(&"x".repeat(KEPT / 10));
        }
        assert_eq!(history.next(), 101);
        assert!(history.after(0).is_err());
        assert!(history.after(91).is_ok());
        let kept: usize = history.after(history.forgotten).unwrap_or_else(|_| panic!()).map(str::len).sum();
        assert!(kept <= KEPT && kept == history.bytes, "{kept}");
    }
}
