//! Shared by the tests.

pub mod model;
pub mod native;
pub mod speech;
