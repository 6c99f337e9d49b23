//! Packs the speech of a recording into pieces that fit a model's context.

use std::ops::Range;

use hearken_proto::window::quietest;

use super::VadEvent;
use super::voice::Voice;

/// A stretch of 16 kHz mono audio that begins and ends with speech, for one decode.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Position of its first sample in the stream.
    pub start: u64,
    /// The stream as it was, pauses included; between 1 sample and the chunker's maximum.
    pub samples: Vec<f32>,
    /// Voiced stretches in it, as positions in the stream.
    pub(crate) voice: Voice,
}

impl Chunk {
    /// Position behind its last sample.
    pub fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// The samples at these positions of the stream, as far as they are in it.
    pub(crate) fn samples(&self, range: Range<u64>) -> &[f32] {
        let at = |position: u64| (position.clamp(self.start, self.end()) - self.start) as usize;
        &self.samples[at(range.start)..at(range.end.max(range.start))]
    }

    /// The part at these positions of the stream, as far as it is in it.
    pub(crate) fn part(&self, range: Range<u64>) -> Self {
        let samples = self.samples(range.clone()).to_vec();
        Self { start: range.start.clamp(self.start, self.end()), samples, voice: self.voice.within(&range) }
    }
}

/// Turns the events of [`VoiceActivity`](super::VoiceActivity) into [`Chunk`]s.
///
/// Utterances share a chunk as long as the stretch from the first speech sample to the last fits
/// (packing). An utterance that alone is too long is cut at its quietest place in the last 40 % of
/// the maximum, and the next chunk begins right there. Each speech sample is in exactly one chunk,
/// silence only between utterances that share one. It holds no more than the maximum.
#[derive(Debug)]
pub struct Chunker {
    max_len: usize,
    max_pause: usize,
    /// Position of the first sample of `held`, which is speech.
    start: u64,
    held: Vec<f32>,
    /// Samples of `held` up to the last speech.
    speech_end: usize,
    voice: Voice,
    /// The latest utterance, if others are held before it.
    latest: Option<Latest>,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    /// Its start in `held`.
    at: usize,
    /// End in `held` of the speech before it.
    before: usize,
}

impl Chunker {
    /// Chunks of at most `max_len` samples, at least 1.
    pub fn new(max_len: usize) -> Self {
        let max_len = max_len.max(1);
        Self {
            max_len,
            max_pause: max_len,
            start: 0,
            held: Vec::new(),
            speech_end: 0,
            voice: Voice::default(),
            latest: None,
        }
    }

    /// Lets utterances share a chunk only when the pause between them is at most `samples` long; 0
    /// gives each a chunk of its own. By default any pause that fits.
    pub fn max_pause(mut self, samples: usize) -> Self {
        self.max_pause = samples;
        self
    }

    /// Takes in the next event, and hands to `sink` the chunks that cannot grow any more.
    pub fn push(&mut self, event: &VadEvent<'_>, sink: &mut impl FnMut(Chunk)) {
        match *event {
            VadEvent::Start { .. } => {
                self.latest = (!self.held.is_empty())
                    .then_some(Latest { at: self.held.len(), before: self.speech_end });
            }
            VadEvent::Speech { position, samples, .. } => {
                self.join(position, sink);
                self.voice.push(event);
                self.speech(position, samples, sink);
            }
            VadEvent::Silence { position, samples } => {
                self.join(position, sink);
                self.silence(samples, sink);
            }
            VadEvent::End { .. } => {}
        }
    }

    /// Hands the rest to `sink`. Another stream may follow.
    pub fn finish(&mut self, sink: &mut impl FnMut(Chunk)) {
        self.release(self.speech_end, self.held.len(), sink);
    }

    /// Drops held audio if the stream does not continue it: audio was lost between, and would be
    /// joined.
    fn join(&mut self, position: u64, sink: &mut impl FnMut(Chunk)) {
        if !self.held.is_empty() && position != self.start + self.held.len() as u64 {
            self.finish(sink);
        }
    }

    fn speech(&mut self, position: u64, samples: &[f32], sink: &mut impl FnMut(Chunk)) {
        if self.held.is_empty() {
            self.start = position;
        }
        let mut rest = samples;
        while !rest.is_empty() {
            if self.held.len() >= self.max_len {
                self.make_room(sink);
            }
            let (head, tail) = rest.split_at(rest.len().min(self.max_len - self.held.len()));
            self.held.extend_from_slice(head);
            self.speech_end = self.held.len();
            rest = tail;
        }
    }

    fn silence(&mut self, samples: &[f32], sink: &mut impl FnMut(Chunk)) {
        if self.held.is_empty() {
            return;
        }
        // Behind a pause this long no speech fits any more, or may.
        let len = self.held.len() + samples.len();
        if len >= self.max_len || len - self.speech_end > self.max_pause {
            self.finish(sink);
        } else {
            self.held.extend_from_slice(samples);
        }
    }

    /// Called when the maximum is held and more speech follows.
    fn make_room(&mut self, sink: &mut impl FnMut(Chunk)) {
        if let Some(Latest { at, before }) = self.latest {
            // The latest utterance does not fit behind the ones before it: it starts a chunk of its
            // own.
            self.release(before, at, sink);
        } else {
            let len = self.held.len();
            let cut = quietest(&self.held, len / 5 * 3..len, 1).max(1);
            self.release(cut, cut, sink);
        }
    }

    /// Hands out the first `len` samples and forgets the first `forget`.
    fn release(&mut self, len: usize, forget: usize, sink: &mut impl FnMut(Chunk)) {
        if len > 0 {
            let voice = self.voice.within(&(self.start..self.start + len as u64));
            sink(Chunk { start: self.start, samples: self.held[..len].to_vec(), voice });
        }
        self.held.drain(..forget);
        self.start += forget as u64;
        self.voice.forget(self.start);
        self.speech_end = self.speech_end.saturating_sub(forget);
        self.latest = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An utterance or a pause of the given length.
    type Piece = (bool, usize);

    /// Every sample is different, so that a chunk shows where it came from.
    fn stream(pieces: &[Piece]) -> Vec<f32> {
        let len = pieces.iter().map(|(_, len)| len).sum();
        (0..len).map(|n: usize| (n + 1) as f32 / 16_777_216.0).collect()
    }

    /// Feeds `pieces` as voice activity would report them, in blocks of at most `block` samples.
    fn chunk(audio: &[f32], pieces: &[Piece], block: usize, max_len: usize) -> Vec<Chunk> {
        let mut chunker = Chunker::new(max_len);
        let mut chunks = Vec::new();
        let mut at = 0;
        for &(speech, len) in pieces {
            let sink = &mut |chunk| chunks.push(chunk);
            if speech {
                chunker.push(&VadEvent::Start { position: at as u64 }, sink);
            }
            for samples in audio[at..at + len].chunks(block) {
                let position = at as u64;
                let event = if speech {
                    VadEvent::Speech { position, samples, voiced_until: position, tone: None }
                } else {
                    VadEvent::Silence { position, samples }
                };
                chunker.push(&event, sink);
                assert!(chunker.held.len() <= max_len, "memory is bounded");
                at += samples.len();
            }
            if speech {
                let position = at as u64;
                chunker.push(&VadEvent::End { position, voiced_until: position }, sink);
            }
        }
        chunker.finish(&mut |chunk| chunks.push(chunk));
        assert!(chunker.held.is_empty());
        chunks
    }

    /// Speech and pauses by turns.
    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        prop::collection::vec(1usize..3_000, 0..12).prop_flat_map(|lens| {
            any::<bool>().prop_map(move |first| {
                lens.iter().enumerate().map(|(n, &len)| ((n % 2 == 0) == first, len)).collect()
            })
        })
    }

    proptest! {
        #[test]
        fn every_speech_sample_is_in_exactly_one_chunk_as_it_was(
            pieces in pieces(), block in 1usize..4_000, max_len in 1usize..5_000,
        ) {
            let audio = stream(&pieces);
            let chunks = chunk(&audio, &pieces, block, max_len);
            let mut covered = vec![0u8; audio.len()];
            let mut end = 0;
            for chunk in &chunks {
                prop_assert!(chunk.start >= end, "chunks neither overlap nor turn back");
                end = chunk.end();
                prop_assert!(!chunk.samples.is_empty() && chunk.samples.len() <= max_len);
                let (from, to) = (chunk.start as usize, chunk.end() as usize);
                prop_assert_eq!(&chunk.samples[..], &audio[from..to]);
                covered[from..to].iter_mut().for_each(|n| *n += 1);
            }
            let mut speech = vec![false; audio.len()];
            let mut at = 0;
            for &(is_speech, len) in &pieces {
                speech[at..at + len].fill(is_speech);
                if is_speech {
                    prop_assert!(covered[at..at + len].iter().all(|n| *n == 1), "speech at {at} is lost or doubled");
                }
                at += len;
            }
            for chunk in &chunks {
                prop_assert!(speech[chunk.start as usize], "a chunk starts with speech");
                prop_assert!(speech[chunk.end() as usize - 1], "a chunk ends with speech");
            }
        }

        #[test]
        fn blocks_do_not_matter(
            pieces in pieces(), block in 1usize..4_000, max_len in 1usize..5_000,
        ) {
            let audio = stream(&pieces);
            prop_assert_eq!(
                chunk(&audio, &pieces, block, max_len),
                chunk(&audio, &pieces, usize::MAX, max_len)
            );
        }
    }

    fn spans(pieces: &[Piece], max_len: usize) -> Vec<(u64, u64)> {
        chunk(&stream(pieces), pieces, 480, max_len).iter().map(|c| (c.start, c.end())).collect()
    }

    #[test]
    fn utterances_share_a_chunk_as_long_as_they_fit() {
        let pieces =
            [(false, 700), (true, 1_000), (false, 500), (true, 500), (false, 100), (true, 800), (false, 999)];
        assert_eq!(spans(&pieces, 2_900), [(700, 3_600)]);
        assert_eq!(spans(&pieces, 2_899), [(700, 2_700), (2_800, 3_600)]);
        assert_eq!(spans(&pieces, 1_999), [(700, 1_700), (2_200, 3_600)]);
    }

    #[test]
    fn a_long_pause_ends_a_chunk_before_the_next_speech_arrives() {
        let mut chunker = Chunker::new(1_000);
        let mut chunks = Vec::new();
        let sink = &mut |chunk| chunks.push(chunk);
        chunker.push(&VadEvent::Start { position: 0 }, sink);
        chunker
            .push(&VadEvent::Speech { position: 0, samples: &[0.1; 400], voiced_until: 0, tone: None }, sink);
        chunker.push(&VadEvent::Silence { position: 400, samples: &[0.0; 600] }, sink);
        assert_eq!(chunks.len(), 1);
    }

    #[test]
    fn a_long_utterance_is_cut_where_it_is_quietest_and_nowhere_else() {
        let len = 40_000;
        let mut audio: Vec<f32> = (0..len).map(|n| if n % 2 == 0 { 0.3 } else { -0.3 }).collect();
        // Quieter, but too early to be worth a cut; then the right place, within the last 40 % of
        // 20 000.
        audio[5_000..6_200].fill(0.0);
        audio[15_000..16_000].fill(0.01);
        // A single quiet sample is no pause.
        audio[18_000] = 0.0;
        let chunks = chunk(&audio, &[(true, len)], 480, 20_000);
        assert!((15_300..15_700).contains(&chunks[0].samples.len()), "{}", chunks[0].samples.len());
        assert_eq!(chunks[1].start, chunks[0].end(), "the next chunk starts right there");
        assert_eq!(chunks.iter().map(|c| c.samples.len()).sum::<usize>(), len);
    }

    #[test]
    fn audio_around_a_gap_is_not_glued_together() {
        let mut chunker = Chunker::new(10_000);
        let mut chunks = Vec::new();
        let sink = &mut |chunk| chunks.push(chunk);
        chunker
            .push(&VadEvent::Speech { position: 0, samples: &[0.1; 100], voiced_until: 0, tone: None }, sink);
        chunker.push(
            &VadEvent::Speech { position: 150, samples: &[0.2; 100], voiced_until: 0, tone: None },
            sink,
        );
        chunker.finish(sink);
        assert_eq!(chunks.iter().map(|c| (c.start, c.end())).collect::<Vec<_>>(), [(0, 100), (150, 250)]);
    }
}
