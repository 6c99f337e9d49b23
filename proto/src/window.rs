//! Windows: the audio that one decode hears, and the thresholds by which its text is judged.
//!
//! Host and guest must agree on these: the host feeds a running utterance as the guest's window
//! holds it, and each of them judges text, the host that of recordings, the guest that of streams.

/// Samples for each position of the encoder: 20 ms.
pub const SAMPLES_PER_POSITION: u32 = 2 * crate::HOP_LENGTH;

/// Length of a running utterance's window, in strides. It slides when there is room for one stride
/// only, so that the next step still fits; the host never feeds more than a stride beyond that.
pub const STRIDES: usize = 5;

/// A window in which nobody speaks with at least this probability is silent, if its text is
/// unlikely, too ([`LOGPROB`]): `no_speech_threshold` of OpenAI's implementation.
pub const NO_SPEECH: f32 = 0.6;

/// Text whose tokens have a lower mean log-probability is unlikely: `logprob_threshold` of OpenAI's
/// implementation.
pub const LOGPROB: f32 = -1.0;
