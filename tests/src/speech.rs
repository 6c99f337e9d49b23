//! Test speech: synthesized, or human recordings where they lie beside the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearken::audio::{self, Chunk, Chunker, Format, Resampler, Samples, Source, VadConfig, VoiceActivity};

use crate::random::Random;

/// A recording in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Source, for messages.
    pub name: String,
    /// Interleaved samples.
    pub samples: Vec<f32>,
    /// Their rate and channels.
    pub format: Format,
}

impl Recording {
    /// The recording as hearken takes it.
    ///
    /// # Panics
    ///
    /// When its format is out of range.
    pub fn source(&self) -> Samples {
        Samples::new(self.samples.clone(), self.format).expect("a valid format")
    }

    /// The recording at 16 kHz, its channels averaged.
    ///
    /// # Panics
    ///
    /// When its format is out of range.
    pub fn mono(&self) -> Vec<f32> {
        let mut resampler = Resampler::new(self.format).expect("a valid format");
        let mut mono = Vec::new();
        resampler.push(&self.samples, &mut mono);
        resampler.finish(&mut mono);
        mono
    }

    /// The chunks that hearken decodes, by its own audio path: at most `max` samples each.
    ///
    /// # Panics
    ///
    /// When its format is out of range.
    pub fn chunks(&self, max: usize) -> Vec<Chunk> {
        let mut source = self.source();
        let mut resampler = Resampler::new(self.format).expect("a valid format");
        let mut activity = VoiceActivity::new(VadConfig::default());
        let mut chunker = Chunker::new(max);
        let (mut block, mut mono, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let frames = source.read(&mut block).expect("samples in memory");
            mono.clear();
            if frames == 0 {
                resampler.finish(&mut mono);
            } else {
                resampler.push(&block, &mut mono);
            }
            activity.push(&mono, &mut |event| chunker.push(&event, &mut |chunk| chunks.push(chunk)));
            if frames == 0 {
                activity.finish(&mut |event| chunker.push(&event, &mut |chunk| chunks.push(chunk)));
                chunker.finish(&mut |chunk| chunks.push(chunk));
                return chunks;
            }
        }
    }
}

/// Speaks `text` with espeak-ng.
///
/// # Panics
///
/// When espeak-ng is not installed or fails: the tests need it, and `make setup` installs it.
pub fn espeak(voice: &str, words_per_minute: u32, text: &str) -> Recording {
    let output = Command::new("espeak-ng")
        .args(["-v", voice, "-s", &words_per_minute.to_string(), "--stdout", text])
        .output()
        .expect("espeak-ng can be run (`make setup` installs it)");
    assert!(output.status.success(), "espeak-ng: {}", String::from_utf8_lossy(&output.stderr));
    // A plain WAV header; its lengths are not true, since espeak-ng does not know them when it
    // writes them.
    let (header, pcm) = output.stdout.split_at(44);
    assert_eq!(
        (&header[..4], &header[36..40]),
        (&b"RIFF"[..], &b"data"[..]),
        "not the WAV that espeak-ng writes"
    );
    let sample_rate = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    let (pcm, _) = pcm.as_chunks::<2>();
    Recording {
        name: format!("espeak-ng {voice} at {words_per_minute}: {text}"),
        samples: pcm.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32768.0).collect(),
        format: Format { sample_rate, channels: 1 },
    }
}

/// Joins recordings of one format, with `pause_ms` of silence after each; the name is that of the
/// first and of the last.
///
/// # Panics
///
/// When there are none, or their formats differ.
pub fn join(recordings: &[Recording], pause_ms: u32) -> Recording {
    let (first, last) = (recordings.first().expect("a recording"), &recordings[recordings.len() - 1]);
    let mut samples = Vec::new();
    let pause =
        first.format.sample_rate as usize * usize::from(first.format.channels) * pause_ms as usize / 1000;
    for recording in recordings {
        assert_eq!(recording.format, first.format, "{}", recording.name);
        samples.extend(&recording.samples);
        samples.resize(samples.len() + pause, 0.0);
    }
    Recording { name: format!("{} to {}", first.name, last.name), samples, format: first.format }
}

/// espeak-ng's voice with a pause of exactly `pause_ms` behind each text, and a second of silence
/// at the end. It adds silence of its own, which is cut.
///
/// # Panics
///
/// Without espeak-ng.
pub fn with_pauses(texts: &[&str], pause_ms: u32) -> Recording {
    let trimmed = |text: &&str| {
        let mut spoken = espeak("en-us", 140, text);
        let loud = |sample: &f32| sample.abs() > 0.01;
        let end = spoken.samples.iter().rposition(loud).expect("speech") + 1;
        let start = spoken.samples.iter().position(loud).expect("speech");
        spoken.samples.truncate(end);
        spoken.samples.drain(..start);
        spoken
    };
    let mut joined = join(&texts.iter().map(trimmed).collect::<Vec<_>>(), pause_ms);
    joined.samples.resize(joined.samples.len() + joined.format.sample_rate as usize, 0.0);
    joined
}

/// Folder of the recordings, if it exists: `shared/audio` beside the workspace. They are not part
/// of it.
pub fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/audio");
    folder.is_dir().then_some(folder)
}

/// Strings of `digits` digits spoken one by one by people, with short gaps between: `count` of each
/// speaker, the same ones each time. `folder` holds the Free Spoken Digit Dataset
/// (`digit_speaker_take.wav`).
///
/// # Panics
///
/// When the folder is not of that kind.
pub fn spoken_digits(folder: &Path, count: usize, digits: usize) -> Vec<Recording> {
    let mut takes: Vec<(String, PathBuf)> = fs::read_dir(folder)
        .expect("a folder of recordings")
        .map(|entry| entry.expect("a readable folder").path())
        .filter_map(|path| {
            let speaker = path.file_stem()?.to_str()?.split('_').nth(1)?.to_owned();
            Some((speaker, path))
        })
        .collect();
    takes.sort();
    let mut strings = Vec::new();
    let mut random = Random::new(0);
    // Of 31 bits: with `Random::below` the strings would be others than those of past measurements.
    let mut below = |limit: usize| (random.next() >> 1) as usize % limit;
    for of_speaker in takes.chunk_by(|(one, _), (other, _)| one == other) {
        for _ in 0..count {
            let mut string: Option<Recording> = None;
            for _ in 0..digits {
                let path = &of_speaker[below(of_speaker.len())].1;
                let take = read(path);
                let string = string.get_or_insert_with(|| Recording {
                    name: String::new(),
                    samples: Vec::new(),
                    format: take.format,
                });
                assert_eq!(string.format, take.format, "{}", path.display());
                let gap = take.format.sample_rate as usize * (100 + below(250)) / 1000;
                string.samples.extend(&take.samples);
                string.samples.resize(string.samples.len() + gap, 0.0);
                string.name = format!("{} {}", string.name, take.name);
            }
            strings.extend(string);
        }
    }
    assert!(!strings.is_empty(), "{} holds no recordings", folder.display());
    strings
}

/// Reads a file in any format that hearken reads; its name is the file's, without folder and
/// extension.
///
/// # Panics
///
/// When it is none.
pub fn read(path: &Path) -> Recording {
    let mut source = audio::open(path).expect("a recording");
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while source.read(&mut block).expect("a sound recording") > 0 {
        samples.extend_from_slice(&block);
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Recording { name, samples, format: source.format() }
}
