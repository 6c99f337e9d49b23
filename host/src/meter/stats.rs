//! Use of a model or a share, as numbers.

use std::time::{Duration, Instant};

use super::{ActiveStream, FAILURES, Meter, Work};
use crate::engine::Model;
use crate::executor::Share;

/// Decodes of one purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decodes {
    /// Number of decodes.
    pub count: u64,
    /// Their CPU time, all threads together.
    pub cpu: Duration,
}

/// Use of a model by everybody, or of all models by a share, since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Decodes for partial texts.
    pub partial: Decodes,
    /// Decodes for final texts.
    pub r#final: Decodes,
    /// Decodes for recordings.
    pub recording: Decodes,
    /// Windows that went through the encoder.
    pub encoder_calls: u64,
    /// Partial texts that were due and replaced by a later one.
    pub partials_joined: u64,
    /// Failures of sandboxes: how many of each of [`FAILURES`].
    pub failures: [u64; FAILURES.len()],
    /// CPU time of the audio intake: decoding, resampling, voice activity.
    pub intake: Duration,
    /// Sandboxes that live now.
    pub sandboxes: u64,
    /// Streams that speak now.
    pub speaking: u64,
    /// Streams that speak, on average over the last ten seconds or so.
    pub speaking_lately: f64,
    /// CPU time that final texts take for each second of speech where there is no time for partial
    /// texts; `None` before there were any.
    pub cost_of_speech: Option<f64>,
}

impl Stats {
    /// Thread time that the final texts of the active streams need: now, or on average lately, if
    /// that is more. `cost` stands for a cost of speech that is not known.
    pub fn demand(&self, cost: f64) -> f64 {
        self.speaking_lately.max(self.speaking as f64) * self.cost_of_speech.unwrap_or(cost)
    }
}

impl Meter {
    fn stats(&self) -> Stats {
        let decodes = |work| Decodes { count: self.decodes(work), cpu: self.cpu(work) };
        Stats {
            partial: decodes(Work::Partial),
            r#final: decodes(Work::Final),
            recording: decodes(Work::Recording),
            encoder_calls: self.encodes(),
            partials_joined: self.joins(),
            failures: self.failures(),
            intake: self.intake(),
            sandboxes: self.live(),
            speaking: self.speaking(),
            speaking_lately: self.speaking_lately(),
            cost_of_speech: self.cost_of_speech(),
        }
    }
}

impl Model {
    /// Use of this model since it was loaded, by all shares.
    pub fn stats(&self) -> Stats {
        self.meter().stats()
    }

    /// Returns true if both are handles to the same loaded model.
    pub fn is(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(self.meter(), other.meter())
    }

    /// Counts a stream of a share as one that speaks, in the statistics of both.
    pub fn count_stream(&self, share: &Share) -> ActiveStream {
        ActiveStream::new([self.meter().clone(), share.meter().clone()])
    }
}

impl Share {
    /// Use of all models by this share.
    pub fn stats(&self) -> Stats {
        self.meter().stats()
    }

    /// Recent wait of final texts for a thread: the 95th percentile, `None` without any.
    pub fn final_wait(&self) -> Option<Duration> {
        self.final_wait_at(Instant::now())
    }
}
