//! Warnings: parts of a recording that are missing from its transcript, or may be.

use std::fmt;
use std::ops::Range;

use crate::audio::Faults;
use crate::engine::Lost;
use crate::{Transcript, seconds};

/// Level that faint speech still has, in decibels of full scale.
const FAINT_DB: f32 = -75.0;

/// Something that a user should know about a transcript. Its text is a sentence without a period,
/// with a remedy where there is one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Speech that could not be recognized, because a guest failed.
    Lost(Lost),
    /// Voice in which no words were recognized [samples at 16 kHz]: see
    /// [`Transcript::unrecognized`].
    Unrecognized(Range<u64>),
    /// The channel, counted from 0, that was taken alone, because the channels cancel each other
    /// out.
    TakenChannel(u16),
    /// No speech was found, and the recording's loudest 20 ms are too quiet for it [dB of full
    /// scale].
    TooQuiet(f32),
    /// No speech was found though there is sound, whose loudest 20 ms have this level [dB of full
    /// scale].
    NoSpeech(f32),
    /// The input ended in an error.
    Damage(String),
    /// Defects of the input that were passed over.
    Faults(Faults),
}

impl Warning {
    /// Returns true if a part of the recording's audio or text is missing.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Damage(_) | Self::Faults(_))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = "no speech was found; its loudest moment has";
        match self {
            Self::Lost(Lost { start, end, reason }) => {
                let (start, end) = (seconds(*start), seconds(*end));
                write!(f, "speech from {start:.1} s to {end:.1} s was not recognized: {reason}")
            }
            Self::Unrecognized(Range { start, end }) => {
                let (start, end) = (seconds(*start), seconds(*end));
                let missing = "no words were recognized in what sounds like voice";
                write!(f, "{missing}, from {start:.1} s to {end:.1} s")
            }
            Self::TakenChannel(channel) => write!(
                f,
                "its channels cancel each other out, one is the other upside down: channel {} was taken alone",
                channel + 1
            ),
            Self::TooQuiet(level) => write!(
                f,
                "{found} {level:.0} dB of full scale: this is too quiet for speech: check the level at which it was \
                 recorded, or amplify it"
            ),
            Self::NoSpeech(level) => {
                let remedy = "if somebody speaks in it, try again without voice activity detection";
                write!(f, "{found} {level:.0} dB of full scale: {remedy}")
            }
            Self::Damage(damage) => f.write_str(damage),
            Self::Faults(faults) => write!(
                f,
                "damaged audio: {} packets skipped, {} frames replaced by silence, {} samples that were no numbers",
                faults.skipped_packets, faults.concealed_frames, faults.non_finite_samples
            ),
        }
    }
}

impl Transcript {
    /// Returns everything that a user should know about it.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self.lost.iter().cloned().map(Warning::Lost).collect();
        warnings.extend(self.unrecognized.iter().cloned().map(Warning::Unrecognized));
        warnings.extend(self.taken_channel.map(Warning::TakenChannel));
        let is_silent = self.segments.is_empty() && self.unrecognized.is_empty() && self.lost.is_empty();
        let level = self.loudest_db.filter(|_| is_silent);
        warnings.extend(level.map(|level| match level < FAINT_DB {
            true => Warning::TooQuiet(level),
            false => Warning::NoSpeech(level),
        }));
        warnings.extend(self.damage.clone().map(Warning::Damage));
        warnings.extend(self.faults.is_damaged().then_some(Warning::Faults(self.faults)));
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DropReason;

    fn texts(transcript: &Transcript) -> Vec<String> {
        transcript.warnings().iter().map(Warning::to_string).collect()
    }

    #[test]
    fn a_recording_without_speech_has_its_level() {
        assert_eq!(texts(&Transcript::default()), [""; 0], "digital silence");
        let quiet = Transcript { loudest_db: Some(-80.2), ..Transcript::default() };
        assert_eq!(quiet.warnings(), [Warning::TooQuiet(-80.2)]);
        assert!(texts(&quiet)[0].contains("has -80 dB of full scale: this is too quiet"));
        let loud = Transcript { loudest_db: Some(-20.0), ..Transcript::default() };
        assert_eq!(loud.warnings(), [Warning::NoSpeech(-20.0)]);
        let missing = "no words were recognized in what sounds like voice";
        let unrecognized = Transcript { unrecognized: vec![16_000..40_000, 64_000..88_000], ..loud };
        assert_eq!(
            texts(&unrecognized),
            ["1.0 s to 2.5 s", "4.0 s to 5.5 s"].map(|place| format!("{missing}, from {place}"))
        );
        assert!(!unrecognized.warnings()[0].is_loss());
    }

    #[test]
    fn missing_speech_counts_as_a_loss() {
        let lost =
            Lost { start: 8_000, end: 24_000, reason: DropReason::Failed("the guest trapped".to_owned()) };
        let faults = Faults { skipped_packets: 2, ..Faults::default() };
        let damage = Some("a.wav: it ends in the middle of a frame".to_owned());
        let transcript = Transcript { lost: vec![lost], faults, damage, ..Transcript::default() };
        assert_eq!(
            texts(&transcript),
            [
                "speech from 0.5 s to 1.5 s was not recognized: the guest trapped",
                "a.wav: it ends in the middle of a frame",
                "damaged audio: 2 packets skipped, 0 frames replaced by silence, 0 samples that were no numbers",
            ]
        );
        assert!(transcript.warnings().iter().all(Warning::is_loss));
    }
}
