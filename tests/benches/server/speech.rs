//! Speech material: recordings for `hearken load`, and the same as utterances for native
//! whisper.cpp.

use hearken_tests::speech::{Recording, espeak};
use hearken_tests::wav;
use tempfile::TempDir;

/// Spoken phrases, repeated: the embedded model recognizes them wherever in its window a sound
/// begins, so that a missing word was lost by the server.
const PHRASES: [&str; 6] = [
    "seven three nine two zero five",
    "turn left",
    "one two three four five",
    "stop",
    "eight six four two",
    "nine one one nine one one three",
];
/// Silence after each, in seconds.
pub(crate) const PAUSE: f64 = 1.0;

/// The recordings as files with a list, and as utterances.
pub(crate) struct Speech {
    pub(crate) folder: TempDir,
    pub(crate) clips: Vec<Clip>,
}

/// A recording and its pause.
pub(crate) struct Clip {
    pub(crate) seconds: f64,
    /// End of each utterance [s], and its samples at 16 kHz.
    pub(crate) utterances: Vec<(f64, Vec<f32>)>,
}

impl Speech {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut list, mut clips) = (String::new(), Vec::new());
        for (index, phrase) in PHRASES.iter().enumerate() {
            let spoken = espeak("en-us", 140, phrase);
            let file = format!("{index}.wav");
            let wave = wav::pcm16(&spoken.samples, spoken.format.sample_rate, 1);
            std::fs::write(folder.path().join(&file), wave).expect("room");
            list += &format!("{file}\ten\t{phrase}\n");
            clips.push(utterances(&spoken));
        }
        std::fs::write(folder.path().join("refs.tsv"), list).expect("room");
        Self { folder, clips }
    }
}

/// Splits a recording and its pause into utterances by voice activity.
fn utterances(spoken: &Recording) -> Clip {
    let rate = f64::from(spoken.format.sample_rate);
    let seconds = spoken.samples.len() as f64 / rate + PAUSE;
    let mut padded = spoken.clone();
    padded.samples.resize((seconds * rate) as usize, 0.0);
    // Ten seconds hold any of them: no two are packed into one for want of room.
    let chunks = padded.chunks(10 * 16_000);
    let utterances = chunks.into_iter().map(|chunk| (chunk.end() as f64 / 16_000.0, chunk.samples)).collect();
    Clip { seconds, utterances }
}
