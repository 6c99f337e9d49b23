//! The C interface of hearken, [`hearken::capi`], as a library that C programs link.

pub use hearken::capi::*;
