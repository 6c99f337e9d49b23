//! Words and phrases to expect: a bias of the decoder.

use hearken_proto::{MAX_BIAS_BYTES, MAX_PHRASE_BYTES, MAX_PHRASES, Phrase};

use crate::text;

/// Boost of each token of a phrase of weight 1: the natural logarithm of the factor on its odds.
/// Chosen on speakers of LibriSpeech (docs/evaluation.md).
const BOOST: f32 = 3.0;

/// Words and phrases to expect: names, products, terms. The decoder prefers them to words that are
/// somewhat likelier, wherever they come: unlike a prompt, they are not forgotten. They are written
/// as they are to be recognized; a phrase without capitals is expected with a capital, too.
///
/// ```
/// let mut bias = hearken::Bias::new();
/// bias.add("Kubernetes", 1.0)?;
/// bias.add("Ada Lovelace", 1.5)?;
/// assert_eq!(bias.len(), 2);
/// # Ok::<(), hearken::BiasError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bias {
    phrases: Vec<Phrase>,
    /// Length of all phrases.
    bytes: usize,
}

/// Why a phrase cannot be expected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BiasError {
    /// There are too many phrases.
    #[error("there are more than {MAX_PHRASES} phrases; name those that matter most")]
    TooMany,
    /// The phrases together are too long.
    #[error("the phrases are longer than {MAX_BIAS_BYTES} bytes together; name those that matter most")]
    TooMuch,
    /// A phrase is too long.
    #[error("the phrase {phrase:?} is longer than {MAX_PHRASE_BYTES} bytes; name its rare words")]
    TooLong {
        /// Begin of the phrase.
        phrase: String,
    },
    /// The weight is none.
    #[error("the weight of {phrase:?} is not a number from 0 to {}; 1 is usual", Bias::MAX_WEIGHT)]
    Weight {
        /// The phrase.
        phrase: String,
    },
}

impl Bias {
    /// Maximum weight of a phrase.
    pub const MAX_WEIGHT: f32 = 2.0;
    /// Maximum number of phrases.
    pub const MAX_PHRASES: usize = MAX_PHRASES;

    /// Expects nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects a phrase. The weight is 1 as a rule, and 0 leaves the phrase out; with more, up to
    /// [`MAX_WEIGHT`](Self::MAX_WEIGHT), it also comes where something else was said. Spaces at the
    /// ends are dropped, and an empty phrase is left out.
    ///
    /// # Errors
    ///
    /// When the phrase is longer than 200 bytes, the weight is none, or there is no room.
    pub fn add(&mut self, phrase: &str, weight: f32) -> Result<(), BiasError> {
        let phrase = text::sanitize(phrase).split_whitespace().collect::<Vec<_>>().join(" ");
        if !(0.0..=Self::MAX_WEIGHT).contains(&weight) {
            return Err(BiasError::Weight { phrase: begin(&phrase) });
        }
        if phrase.is_empty() || weight == 0.0 {
            return Ok(());
        }
        if phrase.len() > MAX_PHRASE_BYTES {
            return Err(BiasError::TooLong { phrase: begin(&phrase) });
        }
        self.push(Phrase { text: phrase, boost: weight * BOOST })
    }

    /// Reads a list: one phrase a line, and behind a tab its weight, 1 if there is none. Empty
    /// lines are skipped.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), for the first line that is wrong.
    pub fn parse(list: &str) -> Result<Self, BiasError> {
        let mut bias = Self::new();
        for line in list.trim_start_matches('\u{feff}').lines() {
            let (phrase, weight) = line.split_once('\t').unwrap_or((line, "1"));
            // What is no number is no weight either.
            bias.add(phrase, weight.trim().parse().unwrap_or(f32::NAN))?;
        }
        Ok(bias)
    }

    /// Adds the phrases of another list, the first ones as far as there is room.
    pub fn extend(&mut self, other: &Self) {
        for phrase in &other.phrases {
            if self.push(phrase.clone()).is_err() {
                break;
            }
        }
    }

    /// Number of phrases.
    pub fn len(&self) -> usize {
        self.phrases.len()
    }

    /// Returns true if nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// The phrases, in order.
    pub fn phrases(&self) -> impl Iterator<Item = &str> {
        self.phrases.iter().map(|phrase| phrase.text.as_str())
    }

    /// The phrases for the guest.
    pub(crate) fn to_proto(&self) -> Vec<Phrase> {
        self.phrases.clone()
    }

    fn push(&mut self, phrase: Phrase) -> Result<(), BiasError> {
        if self.phrases.len() >= MAX_PHRASES {
            return Err(BiasError::TooMany);
        }
        if self.bytes + phrase.text.len() > MAX_BIAS_BYTES {
            return Err(BiasError::TooMuch);
        }
        self.bytes += phrase.text.len();
        self.phrases.push(phrase);
        Ok(())
    }
}

/// The first characters of a phrase, for messages.
fn begin(phrase: &str) -> String {
    phrase.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_phrase_a_line_with_its_weight() {
        let bias = Bias::parse("\u{feff}Kubernetes\n\n  Ada \u{202e} Lovelace \t1.5\r\nnobody\t0\n").unwrap();
        assert_eq!(bias.phrases().collect::<Vec<_>>(), ["Kubernetes", "Ada Lovelace"]);
        assert_eq!(bias.to_proto()[1].boost, 1.5 * BOOST);
        assert!(Bias::parse("").unwrap().is_empty());
    }

    #[test]
    fn malformed_phrases_and_weights_are_refused_by_name() {
        for weight in ["-1", "2.1", "NaN", "inf", "much", ""] {
            let error = Bias::parse(&format!("Kubernetes\t{weight}")).unwrap_err();
            assert!(
                matches!(&error, BiasError::Weight { phrase } if phrase == "Kubernetes"),
                "{weight}: {error}"
            );
        }
        let long = "y".repeat(MAX_PHRASE_BYTES + 1);
        assert_eq!(Bias::new().add(&long, 1.0), Err(BiasError::TooLong { phrase: "y".repeat(40) }));
        assert!(Bias::new().add(&long[1..], 1.0).is_ok());
    }

    #[test]
    fn a_list_has_an_end() {
        let many: String = (0..=MAX_PHRASES).map(|number| format!("{number}\n")).collect();
        assert_eq!(Bias::parse(&many), Err(BiasError::TooMany));
        let heavy =
            format!("{}\n", "y".repeat(MAX_PHRASE_BYTES)).repeat(MAX_BIAS_BYTES / MAX_PHRASE_BYTES + 1);
        assert_eq!(Bias::parse(&heavy), Err(BiasError::TooMuch));
        let mut bias = Bias::new();
        bias.add("first", 1.0).unwrap();
        bias.extend(&Bias::parse(&many[..many.len() - 5]).unwrap());
        assert_eq!((bias.len(), bias.phrases().next()), (MAX_PHRASES, Some("first")));
    }

    #[test]
    fn the_longest_list_fits_into_a_request() {
        let mut bias = Bias::new();
        while bias.add(&"y".repeat(MAX_BIAS_BYTES / MAX_PHRASES), 1.0).is_ok() {}
        assert_eq!(bias.len(), MAX_PHRASES);
        let task = hearken_proto::Task {
            bias: bias.to_proto(),
            prompt: Some("p".repeat(8 << 10)),
            voice: vec![(u32::MAX, u32::MAX); 750],
            ..Default::default()
        };
        let message = hearken_proto::encode(&hearken_proto::Request::Final(task));
        assert!(message.len() < hearken_proto::abi::MAX_REQUEST as usize, "{}", message.len());
    }
}
