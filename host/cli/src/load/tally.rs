//! Totals over all streams.

use std::collections::BTreeMap;

use hearken_measure::Errors;

use super::clips::{Clip, normal};
use super::dialect::Heard;
use super::files::Uploaded;
use super::stream::{Ended, Placed, Played};

/// Figures of all streams. Times are in seconds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Streams that were complete.
    pub(super) complete: usize,
    /// Streams that were refused, by status and code.
    pub(super) refused: BTreeMap<String, usize>,
    /// Streams that broke, by reason.
    pub(super) broken: BTreeMap<String, usize>,
    /// Recordings that were sent as a whole, and those of them without any text.
    pub(super) recordings: usize,
    pub(super) unheard: usize,
    pub(super) words: Errors,
    pub(super) first_text: Vec<f64>,
    pub(super) final_true: Vec<f64>,
    pub(super) final_detected: Vec<f64>,
    /// From an upload to its answer, and that over its length.
    pub(super) answer: Vec<f64>,
    pub(super) factor: Vec<f64>,
    pub(super) lag: Vec<f64>,
    pub(super) audio: f64,
    pub(super) dropped: f64,
}

impl Tally {
    /// Adds a stream.
    pub(super) fn played(&mut self, clips: &[Clip], played: &Played) {
        self.ended(played.ended.as_ref());
        self.audio += played.audio;
        self.lag.extend(&played.lag);
        for (at, heard) in &played.heard {
            match heard {
                Heard::Dropped { seconds } => self.dropped += seconds.max(0.0),
                Heard::Final { end, text, ends: true, .. } if !text.is_empty() => {
                    self.final_detected.push(at - end);
                }
                _ => {}
            }
        }
        for (index, placed) in played.placed.iter().enumerate().filter(|(_, placed)| placed.whole) {
            let next = played.placed.get(index + 1).map_or(f64::INFINITY, |next| next.start);
            self.placed(&clips[placed.clip], placed, next, &played.heard);
        }
    }

    /// Scores one recording of a stream: its text is everything recognized between its beginning
    /// and the next one's.
    fn placed(&mut self, clip: &Clip, placed: &Placed, next: f64, heard: &[(f64, Heard)]) {
        let mine = |time: f64| placed.start <= time && time < next;
        let (mut text, mut first, mut last) = (String::new(), None, None);
        for (at, heard) in heard {
            match heard {
                Heard::Text { start } if mine(*start) => first = first.or(Some(at)),
                // By its middle: voice activity begins a little before the sound, and ends after
                // it.
                Heard::Final { start, end, text: more, .. }
                    if mine((start + end) / 2.0) && !more.is_empty() =>
                {
                    (first, last) = (first.or(Some(at)), Some(at));
                    text = format!("{text} {more}");
                }
                _ => {}
            }
        }
        self.first_text.extend(first.map(|at| at - placed.start - clip.speech.0));
        self.final_true.extend(last.map(|at| at - placed.start - clip.speech.1));
        self.compare(clip, &text);
    }

    fn compare(&mut self, clip: &Clip, text: &str) {
        self.recordings += 1;
        self.unheard += usize::from(text.is_empty() && !clip.words.is_empty());
        self.words += Errors::between(clip.words.clone(), normal(&clip.language, text));
    }

    /// Adds the uploads of a client.
    pub(super) fn uploaded(&mut self, clips: &[Clip], uploaded: &Uploaded) {
        self.ended(uploaded.ended.as_ref());
        for (clip, took, text) in &uploaded.answers {
            let clip = &clips[*clip];
            self.audio += clip.seconds();
            self.answer.push(*took);
            self.factor.push(took / clip.seconds().max(0.001));
            self.compare(clip, text);
        }
    }

    fn ended(&mut self, ended: Option<&Ended>) {
        match ended {
            None => self.complete += 1,
            Some(Ended::Refused(code)) => *self.refused.entry(code.clone()).or_default() += 1,
            Some(Ended::Broken(reason)) => *self.broken.entry(reason.clone()).or_default() += 1,
        }
    }

    /// Returns true if everything was accepted, recognized and answered.
    pub(super) fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.broken.is_empty() && self.dropped == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(text: &str) -> Clip {
        let words = normal("en", text);
        Clip {
            language: "en".to_owned(),
            pcm: vec![0; 64_000],
            speech: (0.5, 1.5),
            end_is_known: false,
            words,
        }
    }

    #[test]
    fn texts_belong_to_the_recordings_they_were_spoken_in() {
        let clips = [clip("go left"), clip("yes or no")];
        let text =
            |start: f64, end: f64, text: &str| Heard::Final { start, end, text: text.to_owned(), ends: true };
        let place = |clip, start| Placed { clip, start, whole: true };
        let played = Played {
            placed: vec![place(0, 0.0), place(1, 3.0), Placed { clip: 0, start: 6.0, whole: false }],
            heard: vec![
                (1.0, Heard::Text { start: 0.4 }),
                (2.5, text(0.4, 2.0, "go left")),
                // Its pre-roll begins in the pause before.
                (5.5, text(2.9, 5.0, "yes")),
                (6.0, text(5.1, 5.6, "no")),
                (6.1, Heard::Dropped { seconds: 0.25 }),
            ],
            audio: 6.5,
            ..Played::default()
        };
        let mut tally = Tally::default();
        tally.played(&clips, &played);
        assert_eq!((tally.recordings, tally.unheard, tally.complete), (2, 0, 1));
        assert_eq!((tally.words.reference, tally.words.deletions, tally.words.edits()), (5, 1, 1));
        assert_eq!(tally.first_text, [0.5, 2.0]);
        assert_eq!(tally.final_true, [1.0, 1.5]);
        assert_eq!(tally.final_detected.len(), 3);
        assert!(!tally.is_whole(), "a quarter of a second was dropped");
    }

    #[test]
    fn a_recording_without_an_answer_loses_all_its_words() {
        let played = Played {
            placed: vec![Placed { clip: 0, start: 0.0, whole: true }],
            ended: Some(Ended::Broken("cut".to_owned())),
            ..Played::default()
        };
        let mut tally = Tally::default();
        tally.played(&[clip("go left")], &played);
        assert_eq!((tally.unheard, tally.words.deletions, tally.broken["cut"]), (1, 2, 1));
    }
}
