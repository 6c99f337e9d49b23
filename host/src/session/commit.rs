//! Commit policies: when a word of a running utterance is certain.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hearken_proto::Commit;

use crate::samples_in;

/// Commit policy: when a word is committed in a running utterance. docs/streaming.md compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitPolicy {
    /// LocalAgreement-n: when this number of hypotheses in a row agree on it and on all before it;
    /// more for words that the model is not sure of.
    Agreement {
        /// n, at least 1.
        hypotheses: u8,
        /// n for a word with a token less likely than `likely`; at least `hypotheses`.
        doubtful: u8,
        /// A probability in percent, 0 to 100.
        likely: u8,
        /// Minimum audio between two hypotheses in a row that agree, in the first three seconds of
        /// an utterance, where a hypothesis has heard little. Zero counts hypotheses alone.
        early: Duration,
        /// No word is committed for which the decoder attended to the last `margin` of the audio
        /// (as with [`Attention`](Self::Attention)).
        margin: Duration,
    },
    /// AlignAtt: when the decoder did not look at the end of the audio to say it, nor to say any
    /// word before it.
    Attention {
        /// Length of that end. Less commits sooner, and errs more often.
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
    /// LocalAgreement: two hypotheses, and three for a word with a token of less than 90 %; early
    /// in an utterance 500 ms apart; and the decoder did not look at the last 200 ms.
    pub const AGREEMENT: Self = Self::Agreement {
        hypotheses: 2,
        doubtful: 3,
        likely: 90,
        early: Duration::from_millis(500),
        margin: Duration::from_millis(200),
    };

    /// AlignAtt; of 100 to 400 ms the margin with the fewest errors.
    pub const ATTENTION: Self = Self::Attention { margin: Duration::from_millis(200) };

    pub(crate) fn to_proto(self) -> Commit {
        match self {
            Self::Agreement { hypotheses, doubtful, likely, early, margin } => Commit::Agreement {
                hypotheses,
                doubtful,
                likely,
                early: samples_of(early),
                margin: samples_of(margin),
            },
            Self::Attention { margin } => Commit::Attention { margin: samples_of(margin) },
        }
    }
}

fn samples_of(duration: Duration) -> u32 {
    u32::try_from(samples_in(duration)).unwrap_or(u32::MAX)
}

impl fmt::Display for CommitPolicy {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agreement { hypotheses, doubtful, likely, early, margin } => {
                write!(f, "agreement:{hypotheses}")?;
                if doubtful > hypotheses {
                    write!(f, "+{doubtful}@{likely}")?;
                }
                match (early.as_millis(), margin.as_millis()) {
                    (0, 0) => Ok(()),
                    (early, 0) => write!(f, "/{early}"),
                    (early, margin) => write!(f, "/{early}/{margin}"),
                }
            }
            Self::Attention { margin } => write!(f, "attention:{}", margin.as_millis()),
        }
    }
}

/// Text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no policy; write `agreement:N` with N from 1 to 9, `agreement:N+M@P` with M hypotheses for words below P percent, \
    either with `/EARLY` behind it (milliseconds between hypotheses in the first seconds) or `/EARLY/MARGIN` (milliseconds at \
    the end that the decoder must not have looked at), or `attention:MARGIN`; milliseconds are at most 5000"
)]
pub struct UnknownPolicy(String);

impl FromStr for CommitPolicy {
    type Err = UnknownPolicy;

    /// `agreement`, `agreement:N`, `agreement:N+M@P`, either with `/EARLY` or `/EARLY/MARGIN`
    /// behind it, `attention` or `attention:MARGIN`; EARLY and MARGIN in milliseconds.
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

/// `N` or `N+M@P`, either with `/EARLY` or `/EARLY/MARGIN` behind it.
fn agreement(text: &str) -> Option<CommitPolicy> {
    let mut parts = text.splitn(3, '/');
    let text = parts.next()?;
    let mut milliseconds = || parts.next().map_or(Some(0), |text| number(text, 0..=5000));
    let (early, margin) = (milliseconds()?, milliseconds()?);
    let (early, margin) = (Duration::from_millis(early), Duration::from_millis(margin));
    let count = |text: &str| number(text, 1..=9).and_then(|number| u8::try_from(number).ok());
    let Some((first, rest)) = text.split_once('+') else {
        let hypotheses = count(text)?;
        return Some(CommitPolicy::Agreement { hypotheses, doubtful: hypotheses, likely: 0, early, margin });
    };
    let (doubtful, likely) = rest.split_once('@')?;
    let (hypotheses, doubtful) = (count(first)?, count(doubtful)?);
    let likely = u8::try_from(number(likely, 1..=100)?).ok()?;
    (doubtful > hypotheses).then_some(CommitPolicy::Agreement { hypotheses, doubtful, likely, early, margin })
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
            "agreement:3/250",
            "agreement:2+3@80/400",
            "agreement:2+3@80/400/200",
            "agreement:2/0/200",
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
            "agreement:2/",
            "agreement:2/5001",
            "agreement:2/0/5001",
            "agreement:2/0/0/0",
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
