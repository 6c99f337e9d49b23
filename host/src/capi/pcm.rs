//! PCM as a program hands it over.

use std::ffi::c_void;

use super::memory::{self, Refused};
use crate::audio;

/// Storage format of a sample, in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Encoding {
    /// Signed 16-bit integers.
    HearkenEncodingS16 = 0,
    /// 32-bit floats from -1 to 1. NaN and infinite samples are replaced by 0; others are clamped
    /// to [-1, 1].
    HearkenEncodingF32 = 1,
}

/// Input format of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pcm {
    pub(super) format: audio::Format,
    pub(super) encoding: Encoding,
}

/// Interleaved samples, whole frames.
pub(super) enum Samples<'a> {
    S16(&'a [i16]),
    F32(&'a [f32]),
}

impl Pcm {
    /// Borrows `frames` frames at `address`.
    ///
    /// # Safety
    ///
    /// As many can be read there, unless it is null.
    pub(super) unsafe fn samples<'a>(
        self,
        address: *const c_void,
        frames: usize,
    ) -> Result<Samples<'a>, Refused> {
        let count = frames.checked_mul(self.format.channels.into()).ok_or(Refused)?;
        // SAFETY: the caller's contract.
        unsafe {
            Ok(match self.encoding {
                Encoding::HearkenEncodingS16 => Samples::S16(memory::values(address, count)?),
                Encoding::HearkenEncodingF32 => Samples::F32(memory::values(address, count)?),
            })
        }
    }
}

/// Converts a 16-bit integer to -1 to 1.
pub(super) fn to_float(sample: &i16) -> f32 {
    f32::from(*sample) / 32_768.0
}
