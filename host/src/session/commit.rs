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
    /// LocalAgreement-n: when so many hypotheses in a row agree on it and on all before it; more for words that the model
    /// is not sure of.
    Agreement {
        /// n, at least 1.
        hypotheses: u8,
        /// n for a word with a token less likely than `likely`; at least `hypotheses`.
        doubtful: u8,
        /// A probability in percent, 0 to 100.
        likely: u8,
    },
    /// AlignAtt: when the decoder did not look at the end of the audio to say it, nor to say any word before it.
    Attention {
        /// How long that end is. Less commits sooner, and errs more often.
        margin: Duration,
    },
}

impl Default for CommitPolicy {
    /// [`AGREEMENT`](Self::AGREEMENT).
    fn default() -> Self {
        Self::AGREEMENT
    }
}

impl CommitPolicy {
    /// LocalAgreement: two hypotheses, and four for a word with a token of less than 90 %.
    pub const AGREEMENT: Self = Self::Agreement { hypotheses: 2, doubtful: 4, likely: 90 };

    /// AlignAtt; of 100 to 400 ms the margin with the fewest errors.
    pub const ATTENTION: Self = Self::Attention { margin: Duration::from_millis(200) };

    pub(crate) fn to_proto(self) -> Commit {
        match self {
            Self::Agreement { hypotheses, doubtful, likely } => {
                Commit::Agreement { hypotheses, doubtful, likely }
            }
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
            Self::Agreement { hypotheses, doubtful, .. } if doubtful <= hypotheses => {
                write!(f, "agreement:{hypotheses}")
            }
            Self::Agreement { hypotheses, doubtful, likely } => {
                write!(f, "agreement:{hypotheses}+{doubtful}@{likely}")
            }
            Self::Attention { margin } => write!(f, "attention:{}", margin.as_millis()),
        }
    }
}

/// Text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no policy; write `agreement:N` with N from 1 to 9, `agreement:N+M@P` with M hypotheses for words below P percent, or \
    `attention:MS` with MS up to 5000"
)]
pub struct UnknownPolicy(String);

impl FromStr for CommitPolicy {
    type Err = UnknownPolicy;

    /// `agreement`, `agreement:N`, `agreement:N+M@P`, `attention` or `attention:MS`.
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        let policy = match (name, value) {
            ("agreement", None) => Some(Self::AGREEMENT),
            ("agreement", Some(value)) => agreement(value),
            ("attention", None) => Some(Self::ATTENTION),
            ("attention", Some(value)) => number(value, 0..=5000)
                .map(|margin| Self::Attention { margin: Duration::from_millis(margin) }),
            _ => None,
        };
        policy.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// `N` or `N+M@P`.
fn agreement(text: &str) -> Option<CommitPolicy> {
    let hypotheses = |text: &str| number(text, 1..=9).and_then(|number| u8::try_from(number).ok());
    let Some((first, rest)) = text.split_once('+') else {
        let hypotheses = hypotheses(text)?;
        return Some(CommitPolicy::Agreement { hypotheses, doubtful: hypotheses, likely: 0 });
    };
    let (doubtful, likely) = rest.split_once('@')?;
    let (first, doubtful) = (hypotheses(first)?, hypotheses(doubtful)?);
    let likely = u8::try_from(number(likely, 1..=100)?).ok()?;
    (doubtful > first).then_some(CommitPolicy::Agreement { hypotheses: first, doubtful, likely })
}

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    text.parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_as_they_are_read() {
        for text in [
            "agreement:2",
            "agreement:3",
            "agreement:2+3@80",
            "attention:0",
            "attention:250",
            "attention:5000",
        ] {
            assert_eq!(text.parse::<CommitPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("agreement".parse(), Ok(CommitPolicy::AGREEMENT));
        assert_eq!("attention".parse(), Ok(CommitPolicy::ATTENTION));
        for wrong in [
            "",
            "agreement:0",
            "agreement:10",
            "agreement:",
            "agreement:2+",
            "agreement:2+3",
            "agreement:3+2@80",
            "agreement:2+3@101",
            "attention:x",
            "attention:5001",
            "both",
        ] {
            assert_eq!(wrong.parse::<CommitPolicy>(), Err(UnknownPolicy(wrong.to_owned())));
        }
    }

    #[test]
    fn margins_cross_in_samples() {
        let policy = CommitPolicy::Attention { margin: Duration::from_millis(250) };
        assert_eq!(policy.to_proto(), Commit::Attention { margin: 4_000 });
    }
}
