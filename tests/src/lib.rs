//! Shared by the tests.

pub mod footprint;
pub mod model;
pub mod rounding;
pub mod speech;
