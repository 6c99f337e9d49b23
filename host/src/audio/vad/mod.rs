//! Where somebody speaks.

mod detector;

use self::detector::Detector;
use crate::SAMPLE_RATE;

/// Samples of 16 kHz audio in a millisecond.
const PER_MS: usize = SAMPLE_RATE as usize / 1000;

/// How speech is told from silence. The defaults are for captions: words are worth more than quiet.
///
/// They were chosen on 240 utterances (digits of the Free Spoken Digit Dataset, phrases of LibriSpeech test-clean) in white
/// noise, pink noise, babble, animals, a street and music: with these, no first or last word is cut at 10 dB and better. In
/// frames of 30 ms, with 300 ms of pre-roll or with 90 ms of minimum speech some are; mode 3 loses more, and modes 0 and 1 take
/// more noise for speech. `make bench-vad` draws the curves; see `docs/evaluation.md`.
///
/// Values out of range are brought to the nearest that is in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VadConfig {
    /// How sure webrtc-vad must be, 0 (keeps most) to 3 (keeps least).
    pub aggressiveness: u8,
    /// Length of a decision: 10, 20 or 30 ms.
    pub frame_ms: u32,
    /// Audio before the first voiced frame that belongs to the utterance, up to 10 000 ms. Soft consonants come before
    /// the detector sees anything.
    pub pre_roll_ms: u32,
    /// Silence that ends an utterance, up to 60 000 ms. It belongs to the utterance: words end softly too.
    pub hangover_ms: u32,
    /// Voiced audio that makes an utterance, up to 10 000 ms. What has less is a click, and stays silence.
    pub min_speech_ms: u32,
}

impl Default for VadConfig {
    fn default() -> Self {
        Self { aggressiveness: 2, frame_ms: 20, pre_roll_ms: 400, hangover_ms: 600, min_speech_ms: 60 }
    }
}

/// What [`VoiceActivity`] found, in order of position. Positions count 16 kHz samples from the first one pushed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum VadEvent<'a> {
    /// An utterance begins.
    Start {
        /// Its first sample, pre-roll included.
        position: u64,
    },
    /// Audio of the utterance, without a gap from its start to its end.
    Speech {
        /// Of the first sample.
        position: u64,
        /// At least one.
        samples: &'a [f32],
    },
    /// The utterance is over.
    End {
        /// Behind its last sample, hangover included.
        position: u64,
        /// Behind its last voiced frame: from here to `position` is the hangover.
        voiced_until: u64,
    },
    /// Audio between utterances.
    Silence {
        /// Of the first sample.
        position: u64,
        /// At least one. A live session forgets them; a file's chunks keep short pauses as they were.
        samples: &'a [f32],
    },
}

/// Cuts a 16 kHz mono stream into utterances and silence.
///
/// Every sample pushed comes out in exactly one [`VadEvent::Speech`] or [`VadEvent::Silence`], unchanged and in order,
/// whatever the sizes of the pushes. What it holds back is bounded: the pre-roll, and five times the minimum of speech,
/// since a candidate may pause. Once an utterance runs, its audio comes out frame by frame.
#[derive(Debug)]
pub struct VoiceActivity {
    /// None: everything is speech.
    decider: Option<Decider>,
    /// Samples that have come out: the position of the next one.
    position: u64,
    /// Samples that have not come out: undecided ones, then an incomplete frame.
    held: Vec<f32>,
    state: State,
}

#[derive(Debug)]
struct Decider {
    detector: Detector,
    frame: usize,
    pre_roll: usize,
    hangover: usize,
    min_speech: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing voiced lately. `decided` samples of `held` are the pre-roll of what may come.
    Silence { decided: usize },
    /// Something voiced, perhaps a click, behind its pre-roll.
    Candidate {
        decided: usize,
        voiced: usize,
        /// Behind the last voiced frame, in `held`.
        voiced_end: usize,
    },
    /// An utterance runs; all that was decided has come out.
    Speech { voiced_until: u64 },
}

impl VoiceActivity {
    /// A detector with the given configuration.
    pub fn new(config: VadConfig) -> Self {
        let frame_ms = match config.frame_ms {
            0..=14 => 10,
            15..=24 => 20,
            _ => 30,
        };
        Self {
            decider: Some(Decider {
                detector: Detector::new(config.aggressiveness),
                frame: frame_ms * PER_MS,
                pre_roll: config.pre_roll_ms.min(10_000) as usize * PER_MS,
                hangover: config.hangover_ms.min(60_000) as usize * PER_MS,
                min_speech: config.min_speech_ms.min(10_000) as usize * PER_MS,
            }),
            position: 0,
            held: Vec::new(),
            state: State::Silence { decided: 0 },
        }
    }

    /// No detector: all input is one utterance, from the first sample to [`finish`](Self::finish). For push-to-talk,
    /// where a finger decides, and for recordings that were cut before.
    pub fn always_on() -> Self {
        Self { decider: None, position: 0, held: Vec::new(), state: State::Silence { decided: 0 } }
    }

    /// Position of the next sample to come out: how many have.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether an utterance runs.
    pub fn in_speech(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }

    /// Where voice was heard last in the utterance that runs: behind its last voiced frame so far.
    pub fn voiced_until(&self) -> Option<u64> {
        match self.state {
            State::Speech { voiced_until } => Some(voiced_until),
            _ => None,
        }
    }

    /// Moves the clock over samples that nobody listens to, between utterances.
    pub fn skip(&mut self, samples: u64) {
        self.position += samples;
    }

    /// Takes in samples and hands to `sink` what is decided by now.
    pub fn push(&mut self, samples: &[f32], sink: &mut impl FnMut(VadEvent<'_>)) {
        let Some(frame) = self.decider.as_ref().map(|decider| decider.frame) else {
            self.push_as_speech(samples, sink);
            return;
        };
        let mut rest = samples;
        while !rest.is_empty() {
            // Frame by frame, so that what is held stays bounded even when an hour is pushed at once.
            let missing = frame - (self.held.len() - self.decided());
            let (head, tail) = rest.split_at(missing.min(rest.len()));
            // As much as is held at most, and no more: there may be thousands that wait for somebody to speak.
            self.held.reserve_exact(head.len());
            self.held.extend_from_slice(head);
            rest = tail;
            if head.len() == missing {
                self.decide(sink);
            }
        }
    }

    /// Ends the stream: an utterance that runs ends here, and the rest comes out. The next push starts a new utterance
    /// at the next position.
    pub fn finish(&mut self, sink: &mut impl FnMut(VadEvent<'_>)) {
        // An incomplete frame has no decision of its own: it belongs to what it follows. A candidate stays silence, as
        // it would have if silence had followed.
        let all = self.held.len();
        if let State::Speech { voiced_until } = self.state {
            self.emit(all, true, sink);
            sink(VadEvent::End { position: self.position, voiced_until });
        } else {
            self.emit(all, false, sink);
        }
        self.state = State::Silence { decided: 0 };
        if let Some(decider) = &mut self.decider {
            decider.detector.reset();
        }
    }

    fn push_as_speech(&mut self, samples: &[f32], sink: &mut impl FnMut(VadEvent<'_>)) {
        if samples.is_empty() {
            return;
        }
        if !self.in_speech() {
            sink(VadEvent::Start { position: self.position });
        }
        sink(VadEvent::Speech { position: self.position, samples });
        self.position += samples.len() as u64;
        self.state = State::Speech { voiced_until: self.position };
    }

    /// Samples of `held` that the detector has seen.
    fn decided(&self) -> usize {
        match self.state {
            State::Silence { decided } | State::Candidate { decided, .. } => decided,
            State::Speech { .. } => 0,
        }
    }

    /// Decides on the one whole frame at the end of `held`.
    fn decide(&mut self, sink: &mut impl FnMut(VadEvent<'_>)) {
        let start = self.decided();
        let Some(decider) = &mut self.decider else { return };
        let voiced = decider.detector.is_voiced(&self.held[start..]);
        let Decider { frame, pre_roll, hangover, min_speech, .. } = *decider;
        let end = self.held.len();
        match self.state {
            State::Silence { .. } | State::Candidate { .. } if voiced => {
                let so_far = match self.state {
                    State::Candidate { voiced, .. } => voiced,
                    _ => 0,
                };
                self.state = State::Candidate { decided: end, voiced: so_far + frame, voiced_end: end };
                if so_far + frame >= min_speech {
                    self.begin(sink);
                }
            }
            State::Silence { .. } => {
                self.emit(end.saturating_sub(pre_roll), false, sink);
                self.state = State::Silence { decided: self.held.len() };
            }
            State::Candidate { voiced, voiced_end, .. } => {
                // A syllable may pause inside a word (a stop consonant closes for 50 to 100 ms); a click stays alone.
                if end - voiced_end >= hangover.min(CANDIDATE_GAP) {
                    self.emit(end.saturating_sub(pre_roll), false, sink);
                    self.state = State::Silence { decided: self.held.len() };
                } else {
                    self.state = State::Candidate { decided: end, voiced, voiced_end };
                }
            }
            State::Speech { mut voiced_until } => {
                self.emit(end, true, sink);
                if voiced {
                    voiced_until = self.position;
                }
                if self.position - voiced_until >= hangover as u64 && !voiced {
                    sink(VadEvent::End { position: self.position, voiced_until });
                    self.state = State::Silence { decided: 0 };
                } else {
                    self.state = State::Speech { voiced_until };
                }
            }
        }
    }

    /// The candidate is an utterance: everything held belongs to it.
    fn begin(&mut self, sink: &mut impl FnMut(VadEvent<'_>)) {
        sink(VadEvent::Start { position: self.position });
        self.emit(self.held.len(), true, sink);
        self.state = State::Speech { voiced_until: self.position };
    }

    /// Lets out the first `len` samples held.
    fn emit(&mut self, len: usize, speech: bool, sink: &mut impl FnMut(VadEvent<'_>)) {
        if len == 0 {
            return;
        }
        let (position, samples) = (self.position, &self.held[..len]);
        sink(if speech {
            VadEvent::Speech { position, samples }
        } else {
            VadEvent::Silence { position, samples }
        });
        self.position += len as u64;
        self.held.drain(..len);
    }
}

/// Unvoiced audio after which what was voiced before is a click of its own.
const CANDIDATE_GAP: usize = 120 * PER_MS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::Accounting;

    #[derive(Debug, Clone, PartialEq)]
    enum Piece {
        Utterance { start: u64, end: u64, voiced_until: u64 },
        Silence { start: u64, end: u64 },
    }

    /// Runs the stream in blocks, checks every invariant of the events, and joins neighbouring ones.
    fn run(mut activity: VoiceActivity, audio: &[f32], block: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut next = 0u64;
        let mut open: Option<u64> = None;
        let mut accounting = Accounting::default();
        let mut sink = |event: VadEvent<'_>| {
            accounting.count(&event);
            match event {
                VadEvent::Start { position } => {
                    assert_eq!(position, next);
                    assert!(open.replace(position).is_none(), "no start within an utterance");
                }
                VadEvent::Speech { position, samples } => {
                    assert!(open.is_some(), "speech only within an utterance");
                    assert_eq!(position, next);
                    assert!(!samples.is_empty());
                    next += samples.len() as u64;
                    assert_eq!(samples, &audio[position as usize..next as usize]);
                }
                VadEvent::End { position, voiced_until } => {
                    assert_eq!(position, next);
                    let start = open.take().expect("an end only after a start");
                    assert!((start..=position).contains(&voiced_until));
                    pieces.push(Piece::Utterance { start, end: position, voiced_until });
                }
                VadEvent::Silence { position, samples } => {
                    assert!(open.is_none(), "no silence within an utterance");
                    assert_eq!(position, next);
                    assert!(!samples.is_empty());
                    next += samples.len() as u64;
                    assert_eq!(samples, &audio[position as usize..next as usize]);
                    match pieces.last_mut() {
                        Some(Piece::Silence { end, .. }) => *end = next,
                        _ => pieces.push(Piece::Silence { start: position, end: next }),
                    }
                }
            }
        };
        for samples in audio.chunks(block.max(1)) {
            activity.push(samples, &mut sink);
            assert!(activity.held.len() < 16_000 * 3, "what is held back is bounded");
        }
        activity.finish(&mut sink);
        assert!(open.is_none(), "what starts ends");
        assert_eq!(next, audio.len() as u64, "every sample came out");
        assert_eq!(activity.position(), next);
        assert_eq!(accounting.total(), next);
        pieces
    }

    fn noise(seconds: f32, level: f32) -> Vec<f32> {
        let mut seed = 99u32;
        (0..(seconds * 16_000.0) as usize)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                level * f32::from((seed >> 16) as i16) / 32_768.0
            })
            .collect()
    }

    /// Syllables: a voice of 130 Hz with two formants, four times a second.
    fn speech(seconds: f32, level: f32) -> Vec<f32> {
        (0..(seconds * 16_000.0) as usize)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                let tone = |hz: f32| (t * hz * std::f32::consts::TAU).sin();
                let voice: f32 = (1..25)
                    .map(|k| {
                        let hz = 130.0 * k as f32;
                        let formant = |at: f32| (-((hz - at) / 150.0).powi(2)).exp();
                        tone(hz) * (0.05 + formant(700.0) + 0.6 * formant(1_200.0))
                    })
                    .sum();
                level * 0.3 * voice * (0.55 + 0.45 * tone(4.0))
            })
            .collect()
    }

    fn utterances(pieces: &[Piece]) -> Vec<(u64, u64)> {
        pieces
            .iter()
            .filter_map(|piece| match *piece {
                Piece::Utterance { start, end, .. } => Some((start, end)),
                Piece::Silence { .. } => None,
            })
            .collect()
    }

    fn any_config() -> impl Strategy<Value = VadConfig> {
        (0u8..5, 0u32..40, 0u32..700, 0u32..900, 0u32..300).prop_map(
            |(aggressiveness, frame_ms, pre_roll_ms, hangover_ms, min_speech_ms)| VadConfig {
                aggressiveness,
                frame_ms,
                pre_roll_ms,
                hangover_ms,
                min_speech_ms,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_sample_comes_out_once_and_blocks_do_not_matter(
            config in any_config(),
            parts in prop::collection::vec((any::<bool>(), 1usize..12_000, 0u8..3), 0..8),
            block in 1usize..5_000,
        ) {
            let mut audio = Vec::new();
            for (voiced, len, level) in parts {
                let level = [0.001, 0.05, 0.5][usize::from(level)];
                let part = if voiced { speech(1.0, level) } else { noise(1.0, level * 0.02) };
                audio.extend(part.into_iter().cycle().take(len));
            }
            let whole = run(VoiceActivity::new(config), &audio, audio.len());
            prop_assert_eq!(whole, run(VoiceActivity::new(config), &audio, block));
        }

        #[test]
        fn switched_off_it_makes_one_utterance_of_everything(
            len in 0usize..5_000, block in 1usize..700,
        ) {
            let pieces = run(VoiceActivity::always_on(), &noise(1.0, 0.5)[..len], block);
            let end = len as u64;
            let expected = [Piece::Utterance { start: 0, end, voiced_until: end }];
            prop_assert_eq!(&pieces[..], &expected[..usize::from(len > 0)]);
        }
    }

    fn scene() -> Vec<f32> {
        let mut audio = noise(2.0, 0.001);
        audio.extend(speech(1.5, 0.5));
        audio.extend(noise(2.0, 0.001));
        audio.extend(speech(1.0, 0.5));
        audio.extend(noise(2.0, 0.001));
        audio
    }

    #[test]
    fn utterances_are_found_with_pre_roll_and_hangover() {
        let config = VadConfig::default();
        let pieces = run(VoiceActivity::new(config), &scene(), 333);
        let found = utterances(&pieces);
        assert_eq!(found.len(), 2, "{pieces:?}");
        for ((start, end), (from, to)) in found.into_iter().zip([(32_000, 56_000), (88_000, 104_000)]) {
            let pre_roll = u64::from(config.pre_roll_ms) * 16;
            let hangover = u64::from(config.hangover_ms) * 16;
            assert!((from - 1_600..=from + 1_600).contains(&(start + pre_roll)), "start {start} of {from}");
            // The detector itself keeps on for about 100 ms.
            assert!(end >= to + hangover - 3_200 && end <= to + hangover + 4_800, "end {end} of {to}");
        }
    }

    #[test]
    fn a_pause_shorter_than_the_hangover_does_not_split() {
        let mut audio = noise(1.0, 0.001);
        audio.extend(speech(1.0, 0.5));
        audio.extend(noise(0.4, 0.001));
        audio.extend(speech(1.0, 0.5));
        audio.extend(noise(2.0, 0.001));
        assert_eq!(utterances(&run(VoiceActivity::new(VadConfig::default()), &audio, 480)).len(), 1);
        let short = VadConfig { hangover_ms: 150, ..VadConfig::default() };
        assert_eq!(utterances(&run(VoiceActivity::new(short), &audio, 480)).len(), 2);
    }

    #[test]
    fn a_blip_is_silence() {
        let mut audio = noise(2.0, 0.001);
        audio.extend(speech(0.06, 0.9));
        audio.extend(noise(2.0, 0.001));
        let picky = VadConfig { min_speech_ms: 250, ..VadConfig::default() };
        assert_eq!(utterances(&run(VoiceActivity::new(picky), &audio, 480)), []);
        let keen = VadConfig { min_speech_ms: 0, ..VadConfig::default() };
        assert_eq!(
            utterances(&run(VoiceActivity::new(keen), &audio, 480)).len(),
            1,
            "the blip is seen at all"
        );
    }

    #[test]
    fn silence_and_a_quiet_room_start_nothing() {
        for audio in [vec![0.0; 160_000], vec![0.25; 160_000], noise(10.0, 0.001)] {
            let pieces = run(VoiceActivity::new(VadConfig::default()), &audio, 480);
            assert_eq!(utterances(&pieces), []);
        }
    }

    #[test]
    fn steady_noise_does_not_keep_an_utterance_alive() {
        for level in [0.01, 0.03, 0.1, 0.3] {
            let pieces = run(VoiceActivity::new(VadConfig::default()), &noise(30.0, level), 480);
            // Until the noise is known it may pass for speech, and after that never again.
            assert!(utterances(&pieces).iter().all(|(_, end)| *end < 12 * 16_000), "{level}: {pieces:?}");
        }
    }

    #[test]
    fn rumble_does_not_keep_an_utterance_alive() {
        // A passing lorry or a ventilator: its level varies much more over 20 ms than that of white noise.
        let mut low = 0.0;
        let rumble: Vec<f32> = noise(40.0, 0.3)
            .into_iter()
            .map(|white| {
                low += 0.03 * (white - low);
                2.0 * low + 0.1 * white
            })
            .collect();
        let pieces = run(VoiceActivity::new(VadConfig::default()), &rumble, 480);
        let late = utterances(&pieces).iter().filter(|(_, end)| *end > 12 * 16_000).count();
        assert_eq!(late, 0, "{pieces:?}");
    }

    #[test]
    fn an_utterance_that_the_end_cuts_off_ends_with_it() {
        let mut audio = noise(1.0, 0.001);
        audio.extend(speech(1.0, 0.5));
        audio.truncate(31_995);
        let pieces = run(VoiceActivity::new(VadConfig::default()), &audio, 480);
        assert_eq!(utterances(&pieces).last().expect("one").1, 31_995, "{pieces:?}");
    }

    #[test]
    fn after_finish_another_stream_follows_at_the_next_position() {
        let mut activity = VoiceActivity::always_on();
        let mut events = Vec::new();
        for _ in 0..2 {
            activity.push(&[0.5; 10], &mut |event| events.push(format!("{event:?}")));
            activity.finish(&mut |event| events.push(format!("{event:?}")));
        }
        assert_eq!(events.len(), 6);
        assert_eq!(events[3], "Start { position: 10 }");
    }

    #[test]
    fn it_may_go_to_another_thread_in_the_middle_of_a_word() {
        let audio = scene();
        let (head, tail) = audio.split_at(40_000);
        let mut here = Vec::new();
        let mut activity = VoiceActivity::new(VadConfig::default());
        activity.push(head, &mut |event| here.push(format!("{event:?}")));
        let there = std::thread::scope(|scope| {
            let handle = scope.spawn(move || {
                let mut there = Vec::new();
                activity.push(tail, &mut |event| there.push(format!("{event:?}")));
                activity.finish(&mut |event| there.push(format!("{event:?}")));
                there
            });
            handle.join().expect("the other thread lives")
        });
        here.extend(there);
        let mut alone = Vec::new();
        let mut activity = VoiceActivity::new(VadConfig::default());
        activity.push(&audio, &mut |event| alone.push(format!("{event:?}")));
        activity.finish(&mut |event| alone.push(format!("{event:?}")));
        assert_eq!(here, alone);
    }
}
