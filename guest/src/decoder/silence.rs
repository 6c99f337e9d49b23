//! Words without the silence around them.
//!
//! Attention comes to a word as soon as it leaves the one before, so that a pause between them
//! belongs to the later one. Where the level of the audio is clear enough, it corrects the word's
//! begin.

use hearken_proto::{HOP_LENGTH, Word};

/// A word's silence is this much below its loudest 10 ms, in power: 25 dB.
const BELOW: f32 = 1.0 / 316.0;
/// Silence inside a word is shorter (a stop consonant closes for 50 to 100 ms), in 10 ms.
const LONGEST_STOP: usize = 12;
/// Margin kept before and behind [10 ms]: words begin and end softly.
const LEFT: usize = 2;

/// Longest time for which a word may have been spoken before attention comes to it, in samples: 500
/// ms.
const FARTHEST_BACK: u32 = hearken_proto::SAMPLE_RATE / 2;

/// Takes the silence off words that follow each other, each with the place that the decoder looked
/// at. What is taken off the end of one may be the beginning of the next: attention leaves a word
/// late where a pause follows. `before` is where the last of the words before ended, and is moved
/// on.
pub(crate) fn trim_all<'a>(
    words: impl IntoIterator<Item = (&'a mut Word, Option<u32>)>,
    before: &mut Option<u32>,
    pcm: &[f32],
) {
    for (word, attended) in words {
        let farthest = word.start.saturating_sub(FARTHEST_BACK);
        word.start = word.start.min(before.unwrap_or(word.start).max(farthest));
        trim(word, attended, pcm);
        *before = Some(word.end);
    }
}

/// Takes the silence off a word of `pcm`; of two stretches of sound the one stays that the decoder
/// looked at.
fn trim(word: &mut Word, attended: Option<u32>, pcm: &[f32]) {
    let hop = HOP_LENGTH as usize;
    let start = (word.start as usize).min(pcm.len());
    let end = (word.end as usize).clamp(start, pcm.len());
    let energy = |block: &[f32]| block.iter().map(|sample| sample * sample).sum::<f32>();
    let energies: Vec<f32> = pcm[start..end].chunks_exact(hop).map(energy).collect();
    let loudest = energies.iter().copied().fold(0.0, f32::max);
    let is_loud = |at: &usize| energies[*at] > loudest * BELOW;
    let looked = (attended.unwrap_or(word.end) as usize).saturating_sub(start) / hop;
    let Some(anchor) = (0..energies.len()).filter(is_loud).min_by_key(|at| at.abs_diff(looked)) else {
        return;
    };
    let (mut first, mut last) = (anchor, anchor);
    while let Some(next) = (first.saturating_sub(LONGEST_STOP)..first).find(is_loud) {
        first = next;
    }
    while let Some(next) = (last + 1..energies.len().min(last + 1 + LONGEST_STOP)).rfind(is_loud) {
        last = next;
    }
    word.start = (start + first.saturating_sub(LEFT) * hop) as u32;
    word.end = (start + (last + 1 + LEFT) * hop).min(end) as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tones in these ranges of 10 ms, and hardly anything elsewhere.
    fn audio(len: usize, tones: &[(usize, usize)]) -> Vec<f32> {
        let loud =
            |at: usize| tones.iter().any(|(from, to)| (*from..*to).contains(&(at / HOP_LENGTH as usize)));
        (0..len * HOP_LENGTH as usize)
            .map(|at| (at as f32 * 0.3).sin() * if loud(at) { 0.3 } else { 0.001 })
            .collect()
    }

    fn trimmed(audio: &[f32], range: std::ops::Range<u32>, looked: u32) -> (u32, u32) {
        let (start, end) = (range.start * HOP_LENGTH, range.end * HOP_LENGTH);
        let mut word = Word { start, end, text: "word".to_owned(), probability: 1.0 };
        trim(&mut word, Some(looked * HOP_LENGTH), audio);
        (word.start / HOP_LENGTH, word.end / HOP_LENGTH)
    }

    #[test]
    fn the_beginning_of_a_word_may_lie_before_attention_comes_to_it() {
        let audio = audio(200, &[(10, 50), (90, 130)]);
        let word = |start, end| Word {
            start: start * HOP_LENGTH,
            end: end * HOP_LENGTH,
            text: "word".to_owned(),
            probability: 1.0,
        };
        // Attention stays with the first until the second has been spoken for 100 ms.
        let mut words = [word(0, 100), word(100, 140)];
        let attended = [Some(30 * HOP_LENGTH), Some(110 * HOP_LENGTH)];
        trim_all(words.iter_mut().zip(attended), &mut None, &audio);
        let times = words.map(|word| (word.start / HOP_LENGTH, word.end / HOP_LENGTH));
        assert_eq!(times, [(8, 52), (88, 132)]);
    }

    #[test]
    fn silence_comes_off_and_a_stop_consonant_stays_in() {
        assert_eq!(trimmed(&audio(100, &[(40, 60)]), 10..90, 50), (38, 62));
        assert_eq!(trimmed(&audio(100, &[(40, 50), (58, 70)]), 10..90, 65), (38, 72));
        assert_eq!(trimmed(&audio(100, &[(10, 90)]), 10..90, 50), (10, 90), "never longer than it was");
    }

    #[test]
    fn the_end_of_the_word_before_is_not_this_word() {
        assert_eq!(trimmed(&audio(100, &[(0, 15), (40, 60)]), 10..70, 45), (38, 62));
        assert_eq!(trimmed(&audio(100, &[(0, 15), (40, 60)]), 10..70, 5), (10, 17));
    }

    #[test]
    fn without_silence_or_sound_nothing_changes() {
        assert_eq!(trimmed(&vec![0.0; 16_000], 10..70, 45), (10, 70));
        assert_eq!(trimmed(&audio(100, &[(0, 100)]), 10..70, 45), (10, 70));
        assert_eq!(trimmed(&[], 10..70, 45), (10, 70));
    }
}
