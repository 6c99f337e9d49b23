//! Text of a stream of events, with times.

use hearken::session::SessionEvent;
use hearken::text::essence;
use hearken::{SAMPLE_RATE, Word};

use super::alignment::correct_words;
use super::flicker::{Flicker, FlickerMeter};
use super::normalize::Normalizer;
use super::simulation::Stamped;

/// A word, and when it became certain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TimedWord {
    /// The word with its place in time, as the recognizer has it.
    pub word: Word,
    /// Time of commitment: samples at 16 kHz on the clock of the audio.
    pub committed: u64,
    /// Since when it has been shown in its place of the utterance, committed or tentative, in
    /// whatever capitals and with whatever punctuation.
    pub shown: u64,
}

/// A complete utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinalText {
    /// Sample at which voice activity ended it, hangover included.
    pub end: u64,
    /// Time of its final text.
    pub at: u64,
    /// Number of its words.
    pub words: usize,
}

/// Timeline of a session's events. Times are samples at 16 kHz on the clock of the audio.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Timeline {
    /// Time of the first text, committed or tentative.
    pub first_text: Option<u64>,
    /// All final words.
    pub words: Vec<TimedWord>,
    /// The utterances.
    pub finals: Vec<FinalText>,
    /// Amount of text that changed.
    pub flicker: Flicker,
    /// Samples that were not recognized.
    pub dropped: u64,
    /// Stretches of voice in which no words were recognized, in samples.
    pub unrecognized: Vec<u64>,
}

/// The words that are shown of an utterance, and the time since which each has been.
#[derive(Debug, Default)]
struct Shown {
    /// Words without capitals and punctuation, with the time since which they have stood in this
    /// place.
    words: Vec<(String, u64)>,
}

impl Shown {
    /// Replaces the shown text.
    fn update<'a>(&mut self, at: u64, words: impl Iterator<Item = &'a str>) {
        let mut count = 0;
        for (place, word) in words.enumerate() {
            let word = essence(word);
            match self.words.get_mut(place) {
                Some((shown, _)) if *shown == word => {}
                Some(shown) => *shown = (word, at),
                None => self.words.push((word, at)),
            }
            count = place + 1;
        }
        self.words.truncate(count);
    }
}

impl Timeline {
    /// Reads the events.
    pub fn of(events: &[Stamped]) -> Self {
        let mut timeline = Self::default();
        let mut meter = FlickerMeter::default();
        // Committed words of the running utterance, and the time of each.
        let (mut shown, mut commits): (Vec<&str>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut display = Shown::default();
        for Stamped { at, event } in events {
            match event {
                SessionEvent::Partial { committed, tentative, .. } => {
                    shown.extend(committed.iter().map(|word| word.text.as_str()));
                    commits.resize(shown.len(), *at);
                    timeline.first_text.get_or_insert(*at);
                    let tentative = tentative.iter().map(|word| word.text.as_str());
                    let all: Vec<&str> = shown.iter().copied().chain(tentative).collect();
                    display.update(*at, all.iter().copied());
                    meter.partial(all);
                }
                SessionEvent::Final { words, end, .. } => {
                    if !words.is_empty() {
                        timeline.first_text.get_or_insert(*at);
                    }
                    meter.complete(words.iter().map(|word| word.text.as_str()));
                    timeline.finals.push(FinalText { end: *end, at: *at, words: words.len() });
                    commits.resize(words.len(), *at);
                    display.update(*at, words.iter().map(|word| word.text.as_str()));
                    let times = commits.drain(..).zip(display.words.drain(..));
                    timeline.words.extend(words.iter().zip(times).map(|(word, (committed, (_, shown)))| {
                        TimedWord { word: word.clone(), committed, shown }
                    }));
                    shown.clear();
                }
                SessionEvent::Dropped { len, .. } => timeline.dropped += len,
                SessionEvent::Unrecognized { len, .. } => timeline.unrecognized.push(*len),
                _ => {}
            }
        }
        timeline.flicker = meter.flicker();
        timeline
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.words.iter().map(|word| word.word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Time of the final text of the last utterance with words.
    pub fn last_text(&self) -> Option<u64> {
        self.finals.iter().rev().find(|text| text.words > 0).map(|text| text.at)
    }

    /// Word latencies: for each correct word, the time from the end of the word to its commitment
    /// \[s\]. Words are compared after normalization, and one that comes from several ("twenty",
    /// "one") is there when the last of them is. The end of a word is the recognizer's.
    pub fn word_latencies(&self, reference: &str, normalizer: Normalizer) -> Vec<f64> {
        self.latencies(reference, normalizer, |word| word.committed)
    }

    /// Latencies from the end of each correct word to the time at which it was shown for good
    /// \[s\].
    pub fn shown_latencies(&self, reference: &str, normalizer: Normalizer) -> Vec<f64> {
        self.latencies(reference, normalizer, |word| word.shown)
    }

    fn latencies(
        &self,
        reference: &str,
        normalizer: Normalizer,
        came: impl Fn(&TimedWord) -> u64,
    ) -> Vec<f64> {
        let said = normalizer.words(&[reference]);
        let heard: Vec<&str> = self.words.iter().map(|word| word.word.text.as_str()).collect();
        let heard = normalizer.words(&heard);
        let texts = |words: &[super::normalize::NormalWord]| -> Vec<String> {
            words.iter().map(|word| word.text.clone()).collect()
        };
        let pairs = correct_words(&texts(&said), &texts(&heard));
        let latency = |(_, index): (usize, usize)| {
            let word = &self.words[heard[index].last];
            seconds(word.word.end, came(word))
        };
        pairs.into_iter().map(latency).collect()
    }
}

/// Seconds from one sample to another; negative if the other comes first.
pub fn seconds(from: u64, to: u64) -> f64 {
    (to as f64 - from as f64) / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, end: u64) -> Word {
        Word { start: end.saturating_sub(100), end, text: text.to_owned(), probability: 1.0 }
    }

    fn partial(at: u64, committed: &[(&str, u64)], tentative: &[(&str, u64)]) -> Stamped {
        let words = |words: &[(&str, u64)]| words.iter().map(|(text, end)| word(text, *end)).collect();
        let event =
            SessionEvent::Partial { utterance: 0, committed: words(committed), tentative: words(tentative) };
        Stamped { at, event }
    }

    fn complete(at: u64, end: u64, words: &[(&str, u64)]) -> Stamped {
        let words = words.iter().map(|(text, end)| word(text, *end)).collect();
        Stamped { at, event: SessionEvent::Final { utterance: 0, end, words } }
    }

    #[test]
    fn words_are_there_when_they_are_committed() {
        let timeline = Timeline::of(&[
            partial(8_000, &[], &[("go", 4_000)]),
            partial(16_000, &[("Go", 4_000)], &[("lift", 9_000)]),
            complete(32_000, 30_000, &[("Go", 4_000), ("left", 9_000)]),
            complete(64_000, 60_000, &[]),
            complete(96_000, 90_000, &[("twenty", 80_000), ("one.", 88_000)]),
        ]);
        assert_eq!(timeline.first_text, Some(8_000));
        assert_eq!(timeline.text(), "Go left twenty one.");
        assert_eq!(timeline.flicker.unstable, 2, "go, lift");
        assert_eq!(timeline.flicker.words, 4);
        assert_eq!(timeline.last_text(), Some(96_000));
        let latencies = timeline.word_latencies("Go right, twenty-one", Normalizer::English);
        assert_eq!(latencies, [0.75, 0.5]);
        assert_eq!(timeline.word_latencies("go left", Normalizer::English), [0.75, 1.4375]);
        assert_eq!(timeline.shown_latencies("go left", Normalizer::English), [0.25, 1.4375]);
    }

    #[test]
    fn a_word_is_shown_since_it_stands_in_its_place() {
        let timeline = Timeline::of(&[
            partial(8_000, &[], &[("the", 4_000), ("red", 6_000)]),
            partial(16_000, &[], &[("The", 4_000)]),
            partial(24_000, &[("The", 4_000)], &[("red,", 6_000), ("old", 20_000)]),
            partial(32_000, &[], &[("red", 6_000), ("cold", 20_000)]),
            complete(48_000, 40_000, &[("The", 4_000), ("red", 6_000), ("cold", 20_000)]),
        ]);
        let shown: Vec<u64> = timeline.words.iter().map(|word| word.shown).collect();
        assert_eq!(shown, [8_000, 24_000, 32_000]);
    }

    #[test]
    fn nothing_said_has_no_times() {
        let timeline = Timeline::of(&[complete(32_000, 30_000, &[])]);
        assert_eq!((timeline.first_text, timeline.last_text()), (None, None));
        assert!(timeline.word_latencies("go", Normalizer::English).is_empty());
    }
}
