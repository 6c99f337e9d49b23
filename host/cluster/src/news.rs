//! News: the state of workers and gateways, four times a second, as JSON.

use std::time::Duration;

use hearken::place::ModelFacts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Time between two of them.
pub(crate) const PERIOD: Duration = Duration::from_millis(250);

/// Longest message, in bytes.
const MOST_BYTES: usize = 256 << 10;

/// Most models of a worker.
const MOST_MODELS: usize = 64;

/// News of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Version of hearken.
    pub(crate) version: String,
    /// Name of its machine.
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Threads that can run at once, each as far as other programs leave it a core.
    pub(crate) threads: f64,
    /// Living sandboxes, and how many of utterances there may be.
    pub(crate) sandboxes: u32,
    pub(crate) room: u32,
    /// True if it takes no more orders, and ends when its sandboxes are done.
    pub(crate) draining: bool,
    pub(crate) models: Vec<Offer>,
}

/// A model of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Name for clients.
    pub(crate) name: String,
    pub(crate) facts: ModelFacts,
}

/// News of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// Threads that the final texts of its active streams need.
    pub(crate) threads: f64,
    /// Active streams.
    pub(crate) speaking: u64,
}

/// Reads what another process says; `None` if it is none of these, or cannot be true.
pub(crate) fn read<T: DeserializeOwned + News>(bytes: &[u8]) -> Option<T> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    serde_json::from_slice(bytes).ok().filter(News::is_sound)
}

/// News that may come from anybody.
pub(crate) trait News {
    /// Returns true if it can be true.
    fn is_sound(&self) -> bool;
}

impl News for Load {
    fn is_sound(&self) -> bool {
        (0.0..1e6).contains(&self.threads) && self.models.len() <= MOST_MODELS
    }
}

impl News for Demand {
    fn is_sound(&self) -> bool {
        (0.0..1e6).contains(&self.threads)
    }
}

impl Offer {
    /// The model in subjects: the beginning of its hash, which is the same at all workers. `None`
    /// for what is no hash.
    pub(crate) fn token(&self) -> Option<String> {
        token(&self.facts)
    }
}

/// The model in subjects.
pub(crate) fn token(facts: &ModelFacts) -> Option<String> {
    let token = facts.hash.get(..16)?;
    token.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_news_is_not_believed() {
        assert_eq!(
            read::<Demand>(br#"{"threads": 1.5, "speaking": 3}"#),
            Some(Demand { threads: 1.5, speaking: 3 })
        );
        for bad in [r#"{"threads": -1.0, "speaking": 0}"#, r#"{"threads": 1e300, "speaking": 0}"#, "", "[]"] {
            assert_eq!(read::<Demand>(bad.as_bytes()), None, "{bad}");
        }
        let long = format!(r#"{{"threads": 1.0, "speaking": 1, "more": "{}"}}"#, "x".repeat(MOST_BYTES));
        assert_eq!(read::<Demand>(long.as_bytes()), None);
    }
}
