//! Flicker: the amount of text that changes after it was shown.

use std::mem;

/// Counts unstable partial words. The ratio of both counts is the unstable partial word ratio
/// (UPWR) of [Shangguan et al. 2020](https://arxiv.org/abs/2006.01416).
///
/// A word of a partial text is unstable if the next text of its utterance, partial or final, has
/// not the same word in its place, counted from the beginning of the utterance; it counts once for
/// each text that changes it. Capitals and punctuation belong to a word, as they do for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flicker {
    /// Partial words that the next text changed or took away.
    pub unstable: u64,
    /// Words of the final texts.
    pub words: u64,
}

impl Flicker {
    /// Unstable words for each final word; `None` without any. It may pass 1.
    pub fn rate(&self) -> Option<f64> {
        (self.words > 0).then(|| self.unstable as f64 / self.words as f64)
    }
}

impl std::ops::AddAssign for Flicker {
    fn add_assign(&mut self, other: Self) {
        self.unstable += other.unstable;
        self.words += other.words;
    }
}

/// Watches the texts of utterances, one utterance after the other.
#[derive(Debug, Default)]
pub struct FlickerMeter {
    flicker: Flicker,
    shown: Vec<String>,
}

impl FlickerMeter {
    /// Replaces the shown text of the utterance.
    pub fn partial<S: Into<String>>(&mut self, words: impl IntoIterator<Item = S>) {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        let before = mem::replace(&mut self.shown, words);
        let changed = before.iter().enumerate().filter(|(place, word)| self.shown.get(*place) != Some(word));
        self.flicker.unstable += changed.count() as u64;
    }

    /// The final text of the utterance; the next text is another one's.
    pub fn complete<S: Into<String>>(&mut self, words: impl IntoIterator<Item = S>) {
        self.partial(words);
        self.flicker.words += mem::take(&mut self.shown).len() as u64;
    }

    /// The counts so far.
    pub fn flicker(&self) -> Flicker {
        self.flicker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flicker(texts: &[&str]) -> (u64, u64) {
        let mut meter = FlickerMeter::default();
        let (last, partials) = texts.split_last().unwrap();
        for text in partials {
            meter.partial(text.split_whitespace());
        }
        meter.complete(last.split_whitespace());
        (meter.flicker().unstable, meter.flicker().words)
    }

    #[test]
    fn text_that_only_grows_is_stable() {
        assert_eq!(flicker(&["go", "go left", "go left now"]), (0, 3));
        assert_eq!(flicker(&["go left"]), (0, 2));
    }

    #[test]
    fn each_change_counts_once() {
        assert_eq!(flicker(&["go", "know left", "go left"]), (2, 2));
        assert_eq!(flicker(&["go left now", "go", "go left"]), (2, 2));
        assert_eq!(flicker(&["go. Left", "Go left"]), (2, 2));
    }

    #[test]
    fn utterances_do_not_touch_each_other() {
        let mut meter = FlickerMeter::default();
        meter.complete(["one"]);
        meter.partial(["two"]);
        meter.complete(["two"]);
        assert_eq!(meter.flicker(), Flicker { unstable: 0, words: 2 });
        assert_eq!(Flicker::default().rate(), None);
    }
}
