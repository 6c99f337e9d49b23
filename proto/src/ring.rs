//! Layout of the audio ring in the guest's linear memory.
//!
//! The host writes while the guest is parked; the guest reads while it runs. Positions count
//! samples since the instance began and wrap at 2^32; the sample at position `p` lies in slot `p %
//! capacity`.
//!
//! | offset | type | owner | meaning |
//! |---|---|---|---|
//! | 0 | `u32` | guest | [`CAPACITY_OFFSET`]: slots, a power of two, at most [`MAX_CAPACITY`] |
//! | 4 | `u32` | guest | [`DATA_OFFSET`]: address of slot 0, a multiple of 4 |
//! | 8 | `u32` | host | [`WRITE_OFFSET`]: position after the last sample written |
//! | 12 | `u32` | guest | [`READ_OFFSET`]: position after the last sample read |
//!
//! Samples are little-endian `f32` in -1..=1. The host keeps its own copy of the fields that it
//! owns and trusts the guest's fields only after checking them (`write - read <= capacity`, in
//! wrapping arithmetic).

/// Offset of the capacity, in bytes from the header's address.
pub const CAPACITY_OFFSET: u64 = 0;
/// Offset of the address of the samples.
pub const DATA_OFFSET: u64 = 4;
/// Offset of the write position.
pub const WRITE_OFFSET: u64 = 8;
/// Offset of the read position.
pub const READ_OFFSET: u64 = 12;
/// Bytes of the header.
pub const HEADER_LEN: u64 = 16;
/// Most slots a ring may have: 4 MiB of samples, 65 s.
pub const MAX_CAPACITY: u32 = 1 << 20;
