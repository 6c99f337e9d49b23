//! How good a transcript is, and how soon it comes.
pub mod normalise;
