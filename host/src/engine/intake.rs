//! Intake of a recording, all that comes before recognition: container, resampler, voice activity,
//! chunks.

use super::{Model, TranscribeOptions};
use crate::SAMPLE_RATE;
use crate::audio::{Chunk, Chunker, Faults, Resampler, Source, VoiceActivity, resampled};
use crate::error::Error;

/// Silence at the start of a gap that voice activity is shown, in samples: longer than any chunk of
/// any model, so that speech before the gap and behind it is where it would be if all of the gap
/// had been listened to.
const SHOWN: u64 = 31 * SAMPLE_RATE as u64;
/// Length of the silence at its end: longer than the silence before speech.
const SHOWN_AT_END: u64 = SAMPLE_RATE as u64;

/// A recording on its way to the recognizer.
pub(super) struct Intake<S> {
    source: S,
    sample_rate: u32,
    resampler: Resampler,
    activity: VoiceActivity,
    chunker: Chunker,
    block: Vec<f32>,
    mono: Vec<f32>,
    /// Frames of the source so far, those of gaps included.
    frames: u64,
    /// Samples at 16 kHz so far.
    read: u64,
    damage: Option<String>,
    ended: bool,
}

impl<S: Source> Intake<S> {
    pub(super) fn new(source: S, model: &Model, options: &TranscribeOptions) -> Result<Self, Error> {
        let format = source.format();
        let activity = options.voice_activity.map_or_else(VoiceActivity::always_on, VoiceActivity::new);
        let packs = model.known().is_none_or(|known| known.packs);
        let chunker = Chunker::new(model.chunk_samples()).max_pause(if packs { usize::MAX } else { 0 });
        Ok(Self {
            source,
            sample_rate: format.sample_rate,
            resampler: Resampler::new(format)?,
            activity,
            chunker,
            block: Vec::new(),
            mono: Vec::new(),
            frames: 0,
            read: 0,
            damage: None,
            ended: false,
        })
    }

    /// Takes in the next block, or the gap before it, and returns the chunks that cannot grow any
    /// more.
    pub(super) fn step(&mut self) -> Result<Vec<Chunk>, Error> {
        let mut ready = Vec::new();
        let gap = self.source.take_gap();
        if gap > 0 {
            self.skip(gap, &mut ready);
            return Ok(ready);
        }
        let frames = match self.source.read(&mut self.block) {
            Ok(frames) => frames,
            Err(error) if self.read == 0 => return Err(error.into()),
            // The part that was read is sound and worth having: its text is returned, with a note
            // that there was more.
            Err(error) => {
                self.damage = Some(error.to_string());
                0
            }
        };
        self.frames += frames as u64;
        self.mono.clear();
        if frames == 0 {
            self.resampler.finish(&mut self.mono);
        } else {
            self.resampler.push(&self.block, &mut self.mono);
        }
        self.listen(&mut ready);
        if frames == 0 {
            self.ended = true;
            let Self { activity, chunker, .. } = self;
            activity.finish(&mut |event| chunker.push(&event, &mut |chunk| ready.push(chunk)));
            chunker.finish(&mut |chunk| ready.push(chunk));
        }
        Ok(ready)
    }

    /// Takes in `frames` frames of silence that nobody need make: the cost does not depend on the
    /// recording's format, nor, beyond half a minute, on their length.
    fn skip(&mut self, frames: u64, ready: &mut Vec<Chunk>) {
        self.mono.clear();
        self.resampler.finish(&mut self.mono);
        self.listen(ready);
        // From the whole, so that the rounding of many gaps does not add up.
        self.frames += frames;
        let silence = resampled(self.frames, self.sample_rate).saturating_sub(self.read);
        if silence <= SHOWN + SHOWN_AT_END {
            self.be_silent(silence, ready);
            return;
        }
        self.be_silent(SHOWN, ready);
        let Self { activity, chunker, .. } = self;
        // What it still holds comes out before the clock jumps.
        activity.finish(&mut |event| chunker.push(&event, &mut |chunk| ready.push(chunk)));
        let skipped = silence - SHOWN - SHOWN_AT_END;
        activity.skip(skipped);
        self.read += skipped;
        self.be_silent(SHOWN_AT_END, ready);
    }

    fn be_silent(&mut self, samples: u64, ready: &mut Vec<Chunk>) {
        self.mono.clear();
        self.mono.resize(samples as usize, 0.0);
        self.listen(ready);
    }

    fn listen(&mut self, ready: &mut Vec<Chunk>) {
        let Self { activity, chunker, mono, .. } = self;
        self.read += mono.len() as u64;
        activity.push(mono, &mut |event| chunker.push(&event, &mut |chunk| ready.push(chunk)));
    }

    /// Returns true once all was taken in.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Samples at 16 kHz so far.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The length that the recording states, in samples at 16 kHz.
    pub(super) fn total(&self) -> Option<u64> {
        let ratio = f64::from(SAMPLE_RATE) / f64::from(self.sample_rate);
        self.source.frames().map(|frames| (frames as f64 * ratio) as u64)
    }

    /// Why it ended before the recording's end, if it did.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    pub(super) fn faults(&self) -> Faults {
        self.source.faults()
    }

    pub(super) fn taken_channel(&self) -> Option<u16> {
        self.resampler.taken_channel()
    }

    pub(super) fn loudest_db(&self) -> Option<f32> {
        self.activity.loudest_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{AudioError, Format};
    use crate::{Engine, ModelSource};

    /// Speech-like noise, a gap, and the same again.
    struct Gapped {
        format: Format,
        blocks: u32,
        gap: u64,
        faults: Faults,
        /// Gives the gap's silence as blocks, and not as a gap.
        synthesizes: bool,
        reads: u32,
    }

    impl Source for Gapped {
        fn format(&self) -> Format {
            self.format
        }

        fn frames(&self) -> Option<u64> {
            None
        }

        fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
            self.reads += 1;
            let rate = self.format.sample_rate;
            let frames = if self.blocks == 10 && self.gap > 0 {
                let frames = self.gap.min(u64::from(rate));
                self.gap -= frames;
                block.clear();
                block.resize(frames as usize * usize::from(self.format.channels), 0.0);
                return Ok(frames as usize);
            } else if self.blocks == 0 {
                block.clear();
                return Ok(0);
            } else {
                rate / 10
            };
            self.blocks -= 1;
            block.clear();
            for n in 0..frames * u32::from(self.format.channels) {
                // Eight pulses in 100 ms: a voice's pitch.
                block.push(if n % (frames / 8) < frames / 100 { 0.5 } else { 0.0 });
            }
            Ok(frames as usize)
        }

        fn take_gap(&mut self) -> u64 {
            if self.blocks == 10 && !self.synthesizes { std::mem::take(&mut self.gap) } else { 0 }
        }

        fn faults(&self) -> Faults {
            self.faults
        }
    }

    /// Returns the chunks of a recording with a gap of `seconds` seconds, its length, and the
    /// number of reads of the source.
    fn take(seconds: u64, synthesizes: bool) -> (Vec<(u64, u64)>, u64, u32) {
        let model = Engine::new().unwrap().load(&ModelSource::Embedded).unwrap();
        let format = Format { sample_rate: 44_100, channels: 1 };
        let source = Gapped {
            format,
            blocks: 20,
            gap: seconds * 44_100,
            faults: Faults::default(),
            synthesizes,
            reads: 0,
        };
        let options = TranscribeOptions { voice_activity: Some(Default::default()), ..Default::default() };
        let mut intake = Intake::new(source, &model, &options).unwrap();
        let mut chunks = Vec::new();
        while !intake.has_ended() {
            chunks.extend(intake.step().unwrap().iter().map(|chunk| (chunk.start, chunk.end())));
        }
        (chunks, intake.read(), intake.source.reads)
    }

    #[test]
    fn a_gap_is_skipped_and_speech_stays_where_it_is() {
        for seconds in [1, 5, 60, 3600] {
            let (skipped, len, reads) = take(seconds, false);
            let (synthesized, whole, _) = take(seconds, true);
            assert!(!skipped.is_empty());
            assert_eq!(len, whole, "{seconds} s");
            assert_eq!(reads, 21, "{seconds} s: nobody makes silence");
            assert_eq!(skipped.len(), synthesized.len(), "{seconds} s: {skipped:?}, {synthesized:?}");
            for (one, other) in skipped.iter().zip(&synthesized) {
                // The resampler's filter does not ring into the gap: one decision of voice
                // activity, give or take.
                assert!(
                    one.0.abs_diff(other.0) <= 640 && one.1.abs_diff(other.1) <= 640,
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
