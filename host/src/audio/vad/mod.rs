//! Voice activity detection and endpointing.

mod detector;
mod tones;

use self::detector::Detector;
use self::tones::Tones;
use crate::SAMPLE_RATE;

/// Samples of 16 kHz audio in a millisecond.
const PER_MS: usize = SAMPLE_RATE as usize / 1000;

/// Parameters of voice activity detection. The defaults are for captions: a missed word is worse
/// than a noise taken for speech.
///
/// They were chosen on 240 utterances (digits of the Free Spoken Digit Dataset, phrases of
/// LibriSpeech test-clean) in white noise, pink noise, babble, animals, a street and music: with
/// these, no first or last word is cut at 10 dB and better. In frames of 30 ms, with 300 ms of
/// pre-roll or with 90 ms of minimum speech some are; mode 3 loses more, and modes 0 and 1 take
/// more noise for speech. `make bench-vad` draws the curves; see `docs/evaluation.md`.
///
/// Values out of range are brought to the nearest that is in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VadConfig {
    /// Aggressiveness of webrtc-vad, 0 (keeps most) to 3 (keeps least).
    pub aggressiveness: u8,
    /// Length of a decision: 10, 20 or 30 ms.
    pub frame_ms: u32,
    /// Audio before the first voiced frame that belongs to the utterance, up to 10 000 ms. Soft
    /// consonants come before the detector sees anything.
    pub pre_roll_ms: u32,
    /// Silence that ends an utterance, up to 60 000 ms. It belongs to the utterance: words end
    /// softly too.
    pub hangover_ms: u32,
    /// Voiced audio that makes an utterance, up to 10 000 ms. What has less is a click, and stays
    /// silence.
    pub min_speech_ms: u32,
}

setters! {
    VadConfig:
    aggressiveness: u8,
    frame_ms: u32,
    pre_roll_ms: u32,
    hangover_ms: u32,
    min_speech_ms: u32;
}

impl Default for VadConfig {
    fn default() -> Self {
        Self { aggressiveness: 2, frame_ms: 20, pre_roll_ms: 400, hangover_ms: 600, min_speech_ms: 60 }
    }
}

/// Output of [`VoiceActivity`], in order of position. Positions count 16 kHz samples from the first
/// one pushed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum VadEvent<'a> {
    /// An utterance begins.
    Start {
        /// Position of its first sample, pre-roll included.
        position: u64,
    },
    /// Audio of the utterance, without a gap from its start to its end.
    Speech {
        /// Position of the first sample.
        position: u64,
        /// Samples, at least one.
        samples: &'a [f32],
        /// Behind the last voiced frame so far.
        voiced_until: u64,
        /// A steady tone that was found with these samples, from its first position to the one
        /// behind its last: music, a whistle or a beep, and no voice. It is found some 0.3 s late,
        /// and then frame by frame, with a delay of 0.1 s.
        tone: Option<(u64, u64)>,
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
        /// Position of the first sample.
        position: u64,
        /// Samples, at least one. A live session forgets them; a file's chunks keep short pauses as
        /// they were.
        samples: &'a [f32],
    },
}

/// Cuts a 16 kHz mono stream into utterances and silence.
///
/// Every sample pushed comes out in exactly one [`VadEvent::Speech`] or [`VadEvent::Silence`],
/// unchanged and in order, whatever the sizes of the pushes. What it holds back is bounded: the
/// pre-roll, and five times the minimum of speech, since a candidate may pause. Once an utterance
/// runs, its audio comes out frame by frame.
#[derive(Debug)]
pub struct VoiceActivity {
    /// `None`: everything is speech.
    decider: Option<Decider>,
    /// Samples that have come out: the position of the next one.
    position: u64,
    /// Samples that have not come out: undecided ones, then an incomplete frame.
    held: Vec<f32>,
    state: State,
    /// There while an utterance runs, with a detector.
    tones: Option<Box<Tones>>,
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
    /// No voice recently. `decided` samples of `held` are the pre-roll of speech that may come.
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
            tones: None,
        }
    }

    /// Makes a voice activity without a detector: all input is one utterance, from the first sample
    /// to [`finish`](Self::finish). For push-to-talk, where a key decides, and for recordings that
    /// were cut before.
    pub fn always_on() -> Self {
        Self {
            decider: None,
            position: 0,
            held: Vec::new(),
            state: State::Silence { decided: 0 },
            tones: None,
        }
    }

    /// Position of the next sample to come out: how many have.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns true within an utterance.
    pub fn in_speech(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }

    /// Level of the loudest frame so far without its offset, in decibels of full scale: a sine at
    /// full scale has -3. `None` for silence, and without a detector.
    pub fn loudest_db(&self) -> Option<f32> {
        let level = self.decider.as_ref()?.detector.loudest();
        (level > 0.0).then(|| 10.0 * level.log10())
    }

    /// Moves the clock over samples without voice activity detection, between utterances.
    pub fn skip(&mut self, samples: u64) {
        self.position += samples;
    }

    /// Position behind the last voice of the utterance that runs; `None` between utterances.
    pub(crate) fn voiced_until(&self) -> Option<u64> {
        match self.state {
            State::Speech { voiced_until } => Some(voiced_until),
            State::Silence { .. } | State::Candidate { .. } => None,
        }
    }

    /// Goes on at a position: what is held back is forgotten, and pushed again. Within an utterance
    /// with its last voice before `voiced_until`, if there is one.
    pub(crate) fn resume(&mut self, position: u64, voiced_until: Option<u64>) {
        self.position = position;
        self.held.clear();
        self.state = match voiced_until {
            Some(voiced_until) => State::Speech { voiced_until: voiced_until.min(position) },
            None => State::Silence { decided: 0 },
        };
        let looks = voiced_until.is_some() && self.decider.is_some();
        self.tones = looks.then(|| Box::new(Tones::new(position)));
    }

    /// Takes samples and passes the events decided so far to `sink`.
    pub fn push(&mut self, samples: &[f32], sink: &mut impl FnMut(VadEvent<'_>)) {
        let Some(frame) = self.decider.as_ref().map(|decider| decider.frame) else {
            self.push_as_speech(samples, sink);
            return;
        };
        let mut rest = samples;
        while !rest.is_empty() {
            // Frame by frame, so that the buffer stays bounded even when an hour is pushed at once.
            let missing = frame - (self.held.len() - self.decided());
            let (head, tail) = rest.split_at(missing.min(rest.len()));
            // Exactly the maximum that is held, and no more: there may be thousands of idle
            // sessions.
            self.held.reserve_exact(head.len());
            self.held.extend_from_slice(head);
            rest = tail;
            if head.len() == missing {
                self.decide(sink);
            }
        }
    }

    /// Ends the stream: an utterance that runs ends here, and the rest comes out. The next push
    /// starts a new utterance at the next position.
    pub fn finish(&mut self, sink: &mut impl FnMut(VadEvent<'_>)) {
        // An incomplete frame has no decision of its own: it belongs to the frame before. A
        // candidate stays silence, as it would have if silence had followed.
        let all = self.held.len();
        if let State::Speech { voiced_until } = self.state {
            self.emit(all, Some(voiced_until), sink);
            sink(VadEvent::End { position: self.position, voiced_until });
            self.tones = None;
        } else {
            self.emit(all, None, sink);
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
        let voiced_until = self.position + samples.len() as u64;
        sink(VadEvent::Speech { position: self.position, samples, voiced_until, tone: None });
        self.position = voiced_until;
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
                    self.begin(so_far + frame, sink);
                }
            }
            State::Silence { .. } => {
                self.emit(end.saturating_sub(pre_roll), None, sink);
                self.state = State::Silence { decided: self.held.len() };
            }
            State::Candidate { voiced, voiced_end, .. } => {
                // A syllable may pause inside a word (a stop consonant closes for 50 to 100 ms); a
                // click stays alone.
                if end - voiced_end >= hangover.min(CANDIDATE_GAP) {
                    self.emit(end.saturating_sub(pre_roll), None, sink);
                    self.state = State::Silence { decided: self.held.len() };
                } else {
                    self.state = State::Candidate { decided: end, voiced, voiced_end };
                }
            }
            State::Speech { mut voiced_until } => {
                if voiced {
                    voiced_until = self.position + end as u64;
                }
                self.emit(end, Some(voiced_until), sink);
                if self.position - voiced_until >= hangover as u64 && !voiced {
                    sink(VadEvent::End { position: self.position, voiced_until });
                    self.state = State::Silence { decided: 0 };
                    self.tones = None;
                } else {
                    self.state = State::Speech { voiced_until };
                }
            }
        }
    }

    /// The candidate is an utterance: everything held belongs to it, and the last `voiced` samples
    /// are voice.
    fn begin(&mut self, voiced: usize, sink: &mut impl FnMut(VadEvent<'_>)) {
        sink(VadEvent::Start { position: self.position });
        self.tones = Some(Box::new(Tones::new(self.position)));
        let before = self.held.len().saturating_sub(voiced);
        self.emit(before, Some(self.position), sink);
        self.emit(self.held.len(), Some(self.position + self.held.len() as u64), sink);
        self.state = State::Speech { voiced_until: self.position };
    }

    /// Lets out the first `len` samples held: speech that was voiced up to a position, or silence.
    fn emit(&mut self, len: usize, speech: Option<u64>, sink: &mut impl FnMut(VadEvent<'_>)) {
        if len == 0 {
            return;
        }
        let (position, samples) = (self.position, &self.held[..len]);
        sink(match speech {
            Some(voiced_until) => {
                let tone = self.tones.as_mut().and_then(|tones| tones.push(samples));
                VadEvent::Speech { position, samples, voiced_until, tone }
            }
            None => VadEvent::Silence { position, samples },
        });
        self.position += len as u64;
        self.held.drain(..len);
    }
}

/// Length of unvoiced audio after which the voiced audio before is a click of its own.
const CANDIDATE_GAP: usize = 120 * PER_MS;

#[cfg(test)]
mod tests;
