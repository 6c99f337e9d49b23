//! Items for this project's own tests and benchmarks: the decoder's scores, times of its stages,
//! the guest's module, and numbers that are random and the same. Not a part of the interface: it
//! changes without notice.

pub use crate::engine::{Sandbox, Score, Timing, guest};
pub use crate::random::SplitMix64;
