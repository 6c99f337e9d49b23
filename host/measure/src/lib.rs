//! Accuracy and latency of transcripts: the measures of `hearken eval`.
//!
//! [`simulate`] pushes a recording through a session on a simulated clock; [`Timeline`] reads from
//! the stamped events when each word came. Texts are compared as [`normalize::Normalizer`] leaves
//! them, by [`Errors`].

mod alignment;
mod bootstrap;
mod errors;
mod flicker;
pub mod normalize;
pub mod picture;
mod simulation;
mod span;
mod spread;
mod terms;
mod timeline;

pub use alignment::correct_words;
pub use bootstrap::Difference;
pub use errors::Errors;
pub use flicker::{Flicker, FlickerMeter};
pub use simulation::{Computation, Simulation, Stamped, simulate};
pub use span::speech_span;
pub use spread::Spread;
pub use terms::{TermCounts, Terms};
pub use timeline::{FinalText, TimedWord, Timeline, seconds};
