//! Shared by the tests.

pub mod footprint;
pub mod model;
pub mod native;
pub mod speech;
