//! When a word of an utterance that is still spoken is certain.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hearken_proto::Commit;

use crate::SAMPLE_RATE;

/// When a word is committed while the utterance goes on. docs/streaming.md compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitPolicy {
    /// LocalAgreement-n: when so many hypotheses in a row, at least 1, agree on it and on all before it.
    Agreement {
        /// n.
        hypotheses: u8,
    },
    /// AlignAtt: when the decoder did not look at the end of the audio to say it, nor to say any word before it.
    Attention {
        /// How long that end is. Less commits sooner, and errs more often.
        margin: Duration,
    },
}

impl Default for CommitPolicy {
    /// AlignAtt: sooner than LocalAgreement, with no more errors.
    fn default() -> Self {
        Self::ATTENTION
    }
}

impl CommitPolicy {
    /// AlignAtt; of 100 to 400 ms the margin with the fewest errors.
    pub const ATTENTION: Self = Self::Attention { margin: Duration::from_millis(200) };

    pub(crate) fn to_proto(self) -> Commit {
        match self {
            Self::Agreement { hypotheses } => Commit::Agreement { hypotheses },
            Self::Attention { margin } => {
                let samples = margin.as_millis() * u128::from(SAMPLE_RATE) / 1000;
                Commit::Attention { margin: u32::try_from(samples).unwrap_or(u32::MAX) }
            }
        }
    }
}

impl fmt::Display for CommitPolicy {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agreement { hypotheses } => write!(f, "agreement:{hypotheses}"),
            Self::Attention { margin } => write!(f, "attention:{}", margin.as_millis()),
        }
    }
}

/// Text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no policy; write `agreement`, `agreement:N` with N from 1 to 9, `attention` or `attention:MS` with MS up to 5000"
)]
pub struct UnknownPolicy(String);

impl FromStr for CommitPolicy {
    type Err = UnknownPolicy;

    /// `agreement`, `agreement:N`, `attention` or `attention:MS`.
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        let number = |most: u64| value.map(|value| value.parse().ok().filter(|number| *number <= most));
        let policy = match (name, number(if name == "agreement" { 9 } else { 5000 })) {
            ("agreement", None) => Some(Self::Agreement { hypotheses: 2 }),
            ("agreement", Some(Some(hypotheses @ 1..))) => {
                u8::try_from(hypotheses).ok().map(|hypotheses| Self::Agreement { hypotheses })
            }
            ("attention", None) => Some(Self::ATTENTION),
            ("attention", Some(Some(margin))) => {
                Some(Self::Attention { margin: Duration::from_millis(margin) })
            }
            _ => None,
        };
        policy.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_as_they_are_read() {
        for text in ["agreement:2", "agreement:3", "attention:0", "attention:250", "attention:5000"] {
            assert_eq!(text.parse::<CommitPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("agreement".parse(), Ok(CommitPolicy::Agreement { hypotheses: 2 }));
        assert_eq!("attention".parse(), Ok(CommitPolicy::ATTENTION));
        for wrong in
            ["", "agreement:0", "agreement:10", "agreement:", "attention:x", "attention:5001", "both"]
        {
            assert_eq!(wrong.parse::<CommitPolicy>(), Err(UnknownPolicy(wrong.to_owned())));
        }
    }

    #[test]
    fn margins_cross_in_samples() {
        let policy = CommitPolicy::Attention { margin: Duration::from_millis(250) };
        assert_eq!(policy.to_proto(), Commit::Attention { margin: 4_000 });
    }
}
