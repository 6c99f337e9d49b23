//! Probabilities of the model at each step: for comparing builds, and for measuring the cost of a
//! sandbox.

use std::time::{Duration, Instant};

use hearken_proto::abi::Status;
use hearken_proto::{Event, Request, Stage};

use super::Model;
#[cfg(feature = "service")]
use crate::SAMPLE_RATE;
use crate::error::Error;
use crate::preempt::to_end;
use crate::sandbox::{Instance, SandboxError};

/// The model's probabilities at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The token with the highest logit.
    pub token: u32,
    /// Logit of the best token.
    pub best: f32,
    /// The second highest logit. With a small `best - second` rounding decides.
    pub second: f32,
}

/// Wall-clock time of the parts of a decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// Time from samples to the spectrogram.
    pub spectrogram: Duration,
    /// Time from the spectrogram to the encoder's output and the cross-attention's keys and values.
    pub encoder: Duration,
    /// Time from there to the first prediction.
    pub prompt: Duration,
    /// Time of all tokens after that.
    pub tokens: Duration,
}

impl Model {
    /// Measures the cost of a final text before anybody waits for one. Takes as long as two of
    /// them: the first finds the snapshot's pages still untouched.
    ///
    /// # Errors
    ///
    /// As [`transcribe`](Model::transcribe).
    #[cfg(feature = "service")]
    pub fn rehearse(&self) -> Result<(), Error> {
        // About an utterance.
        let (samples, tokens) = (3 * SAMPLE_RATE as usize, 12);
        // Noise: its kind does not matter where the tokens are given.
        let noise = |n: usize| ((n * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.1;
        let samples: Vec<f32> = (0..samples.min(self.context_samples())).map(noise).collect();
        let tokens: Vec<u32> = (1000..1000 + tokens).collect();
        self.score(&samples, None, &tokens)?;
        let mut sandbox = self.sandbox()?;
        sandbox.score(&samples, None, &tokens)?;
        let heard = samples.len() as u64;
        self.meter().learn(sandbox.0.spent(), self.windows(heard));
        self.meter().spoken(heard, self.windows(heard));
        Ok(())
    }
}

/// A sandbox with its model loaded, held by the caller: [`Model::transcribe`] makes one for each
/// chunk of speech and drops it afterwards.
pub struct Sandbox(Instance);

impl Model {
    /// A fresh sandbox, of which nothing but pages that it writes is its own.
    ///
    /// # Errors
    ///
    /// When the system has no memory or address space left for it.
    #[doc(hidden)]
    pub fn sandbox(&self) -> Result<Sandbox, Error> {
        Ok(Sandbox(to_end(self.instantiate())?))
    }

    /// [`Sandbox::score`] in a sandbox of its own.
    ///
    /// # Errors
    ///
    /// As [`Model::sandbox`] and [`Sandbox::score`].
    #[doc(hidden)]
    pub fn score(
        &self,
        samples: &[f32],
        language: Option<&str>,
        tokens: &[u32],
    ) -> Result<Vec<Score>, Error> {
        self.sandbox()?.score(samples, language, tokens)
    }
}

impl Sandbox {
    /// Encodes `samples` (16 kHz mono, at most [`Model::context_samples`]), feeds the decoder
    /// exactly `tokens`, and returns the model's probabilities after each of them, and before:
    /// first after the start of the transcript, in multilingual models also after `language` (ISO
    /// 639-1, `en` without) and the task. Nothing is sampled, so two builds of whisper.cpp can be
    /// compared position by position. Runs on the calling thread.
    ///
    /// # Errors
    ///
    /// When a token or the language is not one of the model's, the audio or the tokens exceed its
    /// context, or the guest fails.
    pub fn score(
        &mut self,
        samples: &[f32],
        language: Option<&str>,
        tokens: &[u32],
    ) -> Result<Vec<Score>, Error> {
        to_end(self.0.write(samples))?;
        let request = Request::Score { language: language.map(str::to_owned), tokens: tokens.to_vec() };
        let events = to_end(self.0.call(&request)).map_err(|error| match error {
            SandboxError::Refused { status: Status::BadLanguage, .. } => {
                Error::Language { language: language.unwrap_or_default().to_owned() }
            }
            error => error.into(),
        })?;
        match events.as_slice() {
            [Event::Scores { argmax, best, second }]
                if argmax.len() > tokens.len()
                    && argmax.len() == best.len()
                    && best.len() == second.len() =>
            {
                let logits = best.iter().zip(second);
                Ok(argmax
                    .iter()
                    .zip(logits)
                    .map(|(&token, (&best, &second))| Score { token, best, second })
                    .collect())
            }
            _ => Err(SandboxError::Misbehaved("its scores are not one for each token".to_owned()).into()),
        }
    }

    /// As [`score`](Self::score), but answers how long it took.
    ///
    /// # Errors
    ///
    /// As [`score`](Self::score).
    pub fn measure(
        &mut self,
        samples: &[f32],
        language: Option<&str>,
        tokens: &[u32],
    ) -> Result<Timing, Error> {
        let written = Instant::now();
        self.score(samples, language, tokens)?;
        let done = Instant::now();
        match *self.0.stages() {
            [(Stage::Spectrogram, heard), (Stage::Encoder, encoded), (Stage::Prompt, prompted)] => {
                Ok(Timing {
                    spectrogram: heard - written,
                    encoder: encoded - heard,
                    prompt: prompted - encoded,
                    tokens: done - prompted,
                })
            }
            _ => Err(SandboxError::Misbehaved("its stages are not in order".to_owned()).into()),
        }
    }

    /// Bytes of linear memory: address space, most of it shared with the model's other sandboxes or
    /// never touched.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes()
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("memory_bytes", &self.memory_bytes()).finish()
    }
}
