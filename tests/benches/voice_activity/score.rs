//! Score of voice activity detection on a scene.

use std::ops::Range;

use hearken::audio::{VadConfig, VadEvent, VoiceActivity};
use hearken_measure::Spread;
use hearken_tests::scene::{FRAME, Scene};

/// Samples in a millisecond.
const PER_MS: u64 = 16;

/// Accuracy of single frames of 10 ms, before pre-roll, hangover and minimum speech.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frames {
    hits: usize,
    called_speech: usize,
    speech: usize,
}

impl Frames {
    pub(crate) fn of(mode: u8, frame_ms: u32, scene: &Scene, noisy: &[f32]) -> Self {
        let bare = VadConfig::default()
            .aggressiveness(mode)
            .frame_ms(frame_ms)
            .pre_roll_ms(0)
            .hangover_ms(0)
            .min_speech_ms(0);
        let mut called = vec![false; scene.frames.len()];
        for found in run(bare, noisy) {
            called[found.start as usize / FRAME..(found.end as usize / FRAME).min(scene.frames.len())]
                .fill(true);
        }
        let count = |what: &dyn Fn(bool, bool) -> bool| {
            called.iter().zip(&scene.frames).filter(|(called, speech)| what(**called, **speech)).count()
        };
        Self {
            hits: count(&|called, speech| called && speech),
            called_speech: count(&|called, _| called),
            speech: count(&|_, speech| speech),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.called_speech += other.called_speech;
        self.speech += other.speech;
    }

    /// Fraction of the frames called speech that are speech.
    pub(crate) fn precision(&self) -> f64 {
        self.hits as f64 / self.called_speech.max(1) as f64
    }

    /// Fraction of the frames of speech that are called so.
    pub(crate) fn recall(&self) -> f64 {
        self.hits as f64 / self.speech.max(1) as f64
    }
}

/// Score of the utterances of one or more scenes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    pub(crate) utterances: usize,
    /// Utterances of whose first word something is missing, or all.
    pub(crate) first_cut: usize,
    /// Number of utterances whose last word is cut.
    pub(crate) last_cut: usize,
    /// Utterances that came as more than one.
    pub(crate) split: usize,
    /// Detections that contain no part of an utterance.
    pub(crate) false_alarms: usize,
    /// Silence that was passed on as speech beyond pre-roll and hangover, in samples, and all of
    /// it.
    passed: u64,
    silence: u64,
    /// From where an utterance begins to where its first voiced frame was found, pre-roll taken
    /// off, ms.
    onsets: Vec<f64>,
    /// From where an utterance ends to its last voiced frame, ms.
    offsets: Vec<f64>,
    /// From where an utterance ends to where the end is known, ms.
    ends_known: Vec<f64>,
}

struct Found {
    start: u64,
    end: u64,
    voiced_until: u64,
}

/// The utterances that voice activity finds.
fn run(config: VadConfig, audio: &[f32]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut began = 0;
    let mut activity = VoiceActivity::new(config);
    let mut sink = |event: VadEvent<'_>| match event {
        VadEvent::Start { position } => began = position,
        VadEvent::End { position, voiced_until } => {
            found.push(Found { start: began, end: position, voiced_until });
        }
        _ => {}
    };
    activity.push(audio, &mut sink);
    activity.finish(&mut sink);
    found
}

/// Number of samples that two stretches share.
fn shared(one: &Range<u64>, other: &Range<u64>) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

impl Score {
    pub(crate) fn of(config: VadConfig, scene: &Scene, noisy: &[f32]) -> Self {
        let found = run(config, noisy);
        let (pre_roll, hangover) =
            (u64::from(config.pre_roll_ms) * PER_MS, u64::from(config.hangover_ms) * PER_MS);
        let places: Vec<Range<u64>> =
            scene.utterances.iter().map(|place| place.start as u64..place.end as u64).collect();
        let of_place = |place: &Range<u64>| -> Vec<&Found> {
            found.iter().filter(|found| shared(&(found.start..found.end), place) > 0).collect()
        };
        let mut score = Self { utterances: places.len(), ..Self::default() };
        for place in &places {
            let of_it = of_place(place);
            score.first_cut += usize::from(of_it.first().is_none_or(|first| first.start > place.start));
            score.last_cut += usize::from(of_it.last().is_none_or(|last| last.end < place.end));
            score.split += usize::from(of_it.len() > 1);
            // One that was found together with its neighbor has only one end of its own.
            let alone = |found: &Found, place: &Range<u64>| {
                places.iter().all(|other| other == place || shared(&(found.start..found.end), other) == 0)
            };
            let between = |from: u64, to: u64| (to as f64 - from as f64) / PER_MS as f64;
            if let (Some(first), Some(last)) = (of_it.first(), of_it.last())
                && alone(first, place)
                && alone(last, place)
            {
                score.onsets.push(between(place.start, first.start + pre_roll));
                score.offsets.push(between(place.end, last.voiced_until));
                score.ends_known.push(between(place.end, last.end));
            }
        }
        score.false_alarms = found
            .iter()
            .filter(|found| places.iter().all(|place| shared(&(found.start..found.end), place) == 0))
            .count();
        // Pre-roll and hangover around speech are wanted, and no fault.
        let mut last = 0;
        let ends = places.iter().map(|place| (place.start.saturating_sub(pre_roll), place.end + hangover));
        for (start, end) in ends.chain([(noisy.len() as u64, 0)]) {
            let silence = last..start.max(last);
            score.silence += silence.end - silence.start;
            score.passed +=
                found.iter().map(|found| shared(&(found.start..found.end), &silence)).sum::<u64>();
            last = end;
        }
        score
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.utterances += other.utterances;
        self.first_cut += other.first_cut;
        self.last_cut += other.last_cut;
        self.split += other.split;
        self.false_alarms += other.false_alarms;
        self.passed += other.passed;
        self.silence += other.silence;
        self.onsets.extend(other.onsets);
        self.offsets.extend(other.offsets);
        self.ends_known.extend(other.ends_known);
    }

    /// Share of first and last words of which something is missing.
    pub(crate) fn cut(&self) -> f64 {
        (self.first_cut + self.last_cut) as f64 / (2 * self.utterances.max(1)) as f64
    }

    /// Share of silence passed on as speech.
    pub(crate) fn passed(&self) -> f64 {
        self.passed as f64 / self.silence.max(1) as f64
    }

    /// Utterances that came as more than one.
    pub(crate) fn split(&self) -> f64 {
        self.split as f64 / self.utterances.max(1) as f64
    }

    /// Size of the error where utterances begin, in ms.
    pub(crate) fn onset_error(&self) -> Option<Spread> {
        Spread::of(self.onsets.iter().map(|ms| ms.abs()))
    }

    /// Size of the error where they end, in ms.
    pub(crate) fn offset_error(&self) -> Option<Spread> {
        Spread::of(self.offsets.iter().map(|ms| ms.abs()))
    }

    /// From where utterances end to where that is known, in ms.
    pub(crate) fn end_known(&self) -> Option<Spread> {
        Spread::of(self.ends_known.iter().copied())
    }
}
