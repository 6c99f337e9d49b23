//! Accounting of every sample pushed.

use serde::{Deserialize, Serialize};

use super::VadEvent;

/// Counts of 16 kHz samples, from which a caller can show that none was lost: all input is
/// `speech + silence + dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Samples inside utterances.
    pub speech: u64,
    /// Samples between utterances.
    pub silence: u64,
    /// Samples that the caller had to drop, for example because a capture ring was full.
    pub dropped: u64,
}

impl Accounting {
    /// Counts the samples of an event of [`VoiceActivity`](super::VoiceActivity).
    pub fn count(&mut self, event: &VadEvent<'_>) {
        match event {
            VadEvent::Speech { samples, .. } => self.speech += samples.len() as u64,
            VadEvent::Silence { samples, .. } => self.silence += samples.len() as u64,
            VadEvent::Start { .. } | VadEvent::End { .. } => {}
        }
    }

    /// Number of all samples.
    pub fn total(&self) -> u64 {
        self.speech + self.silence + self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_the_total() {
        let mut accounting = Accounting { dropped: 5, ..Accounting::default() };
        for event in [
            VadEvent::Silence { position: 0, samples: &[0.0; 3] },
            VadEvent::Start { position: 3 },
            VadEvent::Speech { position: 3, samples: &[0.1; 4], voiced_until: 3, tone: None },
            VadEvent::End { position: 7, voiced_until: 6 },
        ] {
            accounting.count(&event);
        }
        assert_eq!(accounting, Accounting { speech: 4, silence: 3, dropped: 5 });
        assert_eq!(accounting.total(), 12);
    }
}
