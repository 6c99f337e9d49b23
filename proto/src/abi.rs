//! Names, types and version of the boundary between host and guest.
//!
//! | export | type | when |
//! |---|---|---|
//! | `_initialize` | `()` | optional; once, before anything else |
//! | [`EXPORT_ABI`] | `() -> i32` | any time: must return [`VERSION`] |
//! | [`EXPORT_LOAD`] | `(options_len: i32) -> i32` | once, while the snapshot is made |
//! | [`EXPORT_RING`] | `() -> i32` | after loading: address of the [ring header](crate::ring) |
//! | [`EXPORT_BUFFER`] | `(len: i32) -> i32` | address of `len` bytes for the next request, or 0 |
//! | [`EXPORT_CALL`] | `(len: i32) -> i32` | answers a [`Request`](crate::Request) in the buffer |
//! | [`EXPORT_QUANTIZE`] | `(kind: i32, len: i32) -> i32` | any time: quantizes weights |
//! | `hearken_reserve` | `(len: i32) -> i32` | any time: address of memory for the host, or 0 |
//! | `hearken_weights` | `() -> i32` | after loading: address of a table of the weights |
//! | `hearken_adopt` | `(table: i32) -> i32` | instead of loading: takes weights by such a table |
//! | `hearken_operate` | `(descriptor: i32, kind: i32) -> i32` | one product (0) or attention (1) |
//!
//! | import of module [`IMPORTS`] | type | meaning |
//! |---|---|---|
//! | [`IMPORT_MODEL_READ`] | `(dst: i32, len: i32) -> i32` | bytes of the model, for a snapshot |
//! | [`IMPORT_SOURCE_READ`] | `(position: i64, dst: i32, len: i32) -> i32` | bytes of a recording |
//! | [`IMPORT_EMIT`] | `(ptr: i32, len: i32)` | one [`Event`](crate::Event) |
//! | `product`, `attention` | `(descriptor: i32)` | see [`compute`](crate::compute) |
//!
//! The last four let a host without kernels share operations among instances; hearken's host calls
//! none of them. A table has the number of weights, then [`WEIGHT_WORDS`] words of 64 bits of each:
//! address, rows, depth, row stride, number of the element's format.
//!
//! A second guest, which decodes recordings ([`media`](crate::media)), has the same boundary
//! without model, ring and quantizer.
//!
//! Besides these, the guest may import a handful of `wasi_snapshot_preview1` functions, which the
//! host answers without granting anything: no files, no environment, no arguments, no sockets.

use crate::compute::Element;

/// Version of this boundary. Host and guest must have the same one.
pub const VERSION: u32 = 12;

/// Returns [`VERSION`].
pub const EXPORT_ABI: &str = "hearken_abi";
/// Loads the model through [`IMPORT_MODEL_READ`]; options are in the buffer. Returns a [`Status`].
pub const EXPORT_LOAD: &str = "hearken_load";
/// Returns the address of the ring header.
pub const EXPORT_RING: &str = "hearken_ring";
/// Returns the address of the request buffer, grown to hold the given number of bytes; 0 if it is
/// too long.
pub const EXPORT_BUFFER: &str = "hearken_buffer";
/// Handles the request in the buffer. Returns a [`Status`].
pub const EXPORT_CALL: &str = "hearken_call";
/// Quantizes the buffer's first `len` bytes, little-endian `f32`, to the [`Quantization`] of that
/// number, in place: the blocks begin where the weights began. Needs no model. Returns a
/// [`Status`].
pub const EXPORT_QUANTIZE: &str = "hearken_quantize";
/// Words of a weight in a table of weights.
pub const WEIGHT_WORDS: usize = 5;
/// The guest's linear memory.
pub const EXPORT_MEMORY: &str = "memory";

/// Module name of the host's imports.
pub const IMPORTS: &str = "hearken";
/// Reads the model's next bytes.
pub const IMPORT_MODEL_READ: &str = "model_read";
/// Reads bytes of the recording from `position` on: returns how many were read, 0 at the end, or -1
/// if it cannot be read. Sources that cannot seek are read from front to back. The guest is
/// suspended while the bytes are still to come.
pub const IMPORT_SOURCE_READ: &str = "source_read";
/// Hands one event to the host.
pub const IMPORT_EMIT: &str = "emit";

/// Longest request, in bytes: a prompt, phrases and options.
pub const MAX_REQUEST: u32 = 64 * 1024;
/// Longest event, in bytes.
pub const MAX_EVENT: u32 = 1024 * 1024;

/// Block formats of ggml that [`EXPORT_QUANTIZE`] writes; each block holds [`Quantization::BLOCK`]
/// weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Quantization {
    /// 4 bits and a scale.
    Q4_0 = 2,
    /// 5 bits and a scale.
    Q5_0 = 6,
    /// 5 bits, a scale and a minimum.
    Q5_1 = 7,
    /// 8 bits and a scale.
    Q8_0 = 8,
}

impl Quantization {
    /// Weights of a block.
    pub const BLOCK: u32 = Element::Q8_0.block_len() as u32;

    /// Reads the number by which ggml knows it (`enum ggml_type`).
    pub fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            2 => Self::Q4_0,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            _ => return None,
        })
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> u32 {
        let element = match self {
            Self::Q4_0 => Element::Q4_0,
            Self::Q5_0 => Element::Q5_0,
            Self::Q5_1 => Element::Q5_1,
            Self::Q8_0 => Element::Q8_0,
        };
        element.block_bytes() as u32
    }
}

/// What a guest function reports. Anything unknown is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The request could not be read.
    Malformed = 1,
    /// There is no model: [`EXPORT_LOAD`] was not called or failed.
    NoModel = 2,
    /// whisper.cpp refused the model; the log says why.
    BadModel = 3,
    /// whisper.cpp failed to encode or decode; the log says why.
    DecodeFailed = 4,
    /// The language is not one the model knows.
    BadLanguage = 5,
    /// The model cannot do what was asked (translate with an English-only model).
    Unsupported = 6,
    /// The window is longer than the model's context; whisper.cpp would lose text without a word.
    WindowTooLong = 7,
}

impl Status {
    /// Reads a status as it came from a guest.
    pub fn from_raw(raw: i32) -> Option<Self> {
        Some(match raw {
            0 => Self::Ok,
            1 => Self::Malformed,
            2 => Self::NoModel,
            3 => Self::BadModel,
            4 => Self::DecodeFailed,
            5 => Self::BadLanguage,
            6 => Self::Unsupported,
            7 => Self::WindowTooLong,
            _ => return None,
        })
    }
}
