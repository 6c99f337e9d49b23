//! Messages between the host and the guest that decodes recordings.
//!
//! The host gives bytes through [`IMPORT_SOURCE_READ`](crate::abi::IMPORT_SOURCE_READ) and makes
//! requests; each is answered by one [`Report`]. Decoded samples lie in the guest's memory until
//! the next request.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A request to the guest that decodes recordings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Finds out what the bytes are, and chooses a track. The first request. Answered by
    /// [`Report::Opened`] or [`Report::Failed`].
    Open {
        /// Extension of the file's name, in lower case: a hint for content that may be two things.
        extension: Option<String>,
        /// Length of the source in bytes, if it is known.
        len: Option<u64>,
        /// The source can be read at any position, and not only from front to back.
        seekable: bool,
        /// The track to decode.
        track: Track,
    },
    /// Decodes the next packet of the track. Answered by any report but [`Report::Opened`].
    Next,
}

/// A choice among the audio tracks of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Track {
    /// The track that the container marks as the default one, or else the first.
    #[default]
    Default,
    /// The track of this number, counted from 1 among the audio tracks.
    Number(u32),
    /// The first track in this language, as the container names it (`eng`, `en`, `en-US`).
    Language(String),
}

/// An answer of the guest that decodes recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The container is known, and a track chosen.
    Opened(Facts),
    /// A packet is decoded.
    Audio {
        /// Frames per second \[Hz\].
        sample_rate: u32,
        /// Samples in a frame.
        channels: u32,
        /// Address of the interleaved samples, 32-bit floating point numbers from -1 to 1.
        address: u32,
        /// Number of samples, all channels together.
        samples: u32,
        /// Place of the first frame by the container's clock, if it has one.
        time: Option<Time>,
    },
    /// A packet could not be decoded.
    Skipped {
        /// The time that it would have taken, if the container says it.
        length: Option<Time>,
    },
    /// Another stream follows in the same file, with a clock of its own.
    Restarted(Facts),
    /// The proper end of the recording.
    End,
    /// There is nothing more to be had.
    Failed(Failure),
}

/// Facts that the container states of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Sample rate \[Hz\] and channels in the headers. Decoded audio may have others: HE-AAC does.
    pub format: Option<(u32, u32)>,
    /// Length of the track, exact or estimated.
    pub duration: Option<Time>,
    /// Frames by which a complete recording may be shorter than `duration`; `None` where `duration`
    /// is an estimate.
    pub tolerance: Option<u32>,
    /// Bytes that end in the middle of something are no damage: the container has no mark at its
    /// end.
    pub open_ended: bool,
    /// Times of packets are exact to the frame.
    pub exact_times: bool,
    /// The container's clock starts at 0, so that a first packet which is late is to be heard late.
    pub absolute_times: bool,
    /// The audio tracks, in the container's order.
    pub tracks: Vec<TrackFacts>,
    /// Index of the chosen track among `tracks`.
    pub chosen: u32,
}

/// Facts of one audio track.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackFacts {
    /// Language as the container names it, if it does.
    pub language: Option<String>,
}

/// A time of `ticks * numer / denom` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Number of ticks; before the start of the recording it is negative.
    pub ticks: i64,
    /// Numerator of a tick's length \[s\].
    pub numer: u32,
    /// Denominator of a tick's length; a guest that says 0 misbehaves.
    pub denom: u32,
}

impl Time {
    /// The time in frames of the given rate, rounded to the nearest; 0 if it is no time.
    pub fn frames(self, rate: u32) -> i128 {
        let denom = i128::from(self.denom);
        if denom == 0 {
            return 0;
        }
        // 63 bits times 32 times 32 fit; twice that need not.
        let scaled = i128::from(self.ticks) * i128::from(self.numer) * i128::from(rate);
        scaled.saturating_mul(2).saturating_add(denom).div_euclid(2 * denom)
    }
}

/// A reason why no more audio comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The bytes end where more are needed.
    Cut,
    /// The source could not be read; the host knows why.
    Read,
    /// The bytes make no sense; says what was found.
    Damaged(String),
    /// There is no audio among them.
    NoTrack,
    /// There is no decoder for the codec; names it.
    Codec(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_the_nearest_frame() {
        let time = |ticks, numer, denom| Time { ticks, numer, denom };
        assert_eq!(time(1, 1, 3).frames(48_000), 16_000);
        assert_eq!(time(-1, 1, 3).frames(10), -3);
        assert_eq!(time(5, 1, 10).frames(1), 1);
        assert_eq!(time(7, 1, 0).frames(48_000), 0, "a hostile denominator");
        assert!(time(i64::MIN, u32::MAX, 1).frames(u32::MAX) < 0, "no overflow");
    }
}
