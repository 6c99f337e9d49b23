//! Items for this project's own tests and benchmarks: the decoder's scores, times of its stages,
//! and the guest's module. Not a part of the interface: it changes without notice.

pub use crate::engine::{Sandbox, Score, Timing, guest};
