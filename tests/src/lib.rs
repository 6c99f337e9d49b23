//! Shared by the tests.

pub mod model;
