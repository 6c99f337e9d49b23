//! Records of native whisper.cpp's results, in `tests/recorded`: on one thread it takes three
//! quarters of the time of a comparison with official models.
//!
//! `HEARKEN_RECORD=NAME` makes those anew whose names contain NAME. A result counts for one version
//! of whisper.cpp, one model and one chunk of one recording only; without one, whisper.cpp is
//! asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hearken::audio::Chunk;
use hearken_native::whisper_rs::WHISPER_CPP_VERSION;
use hearken_native::{Heard, Segment};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::guest::hex;
use crate::speech::Recording;

/// One result of so many is made again in each run, always the same ones.
const CHECKED: u8 = 16;

/// The records of one comparison.
pub struct Records {
    file: PathBuf,
    /// Digest of everything that a result depends on, but for the recording.
    base: Sha256,
    /// True if results are recorded, and none taken.
    record: bool,
    results: Mutex<BTreeMap<String, Value>>,
}

impl Records {
    /// Opens the records of that name for a model and a language.
    ///
    /// # Panics
    ///
    /// When the file is none.
    pub fn open(name: &str, model: &[u8], language: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(format!("{name}.jsonl"));
        let base = Sha256::new()
            .chain_update(WHISPER_CPP_VERSION)
            .chain_update(Sha256::digest(model))
            .chain_update(language);
        let record = asked(name);
        let mut results = BTreeMap::new();
        if !record {
            for line in fs::read_to_string(&file).unwrap_or_default().lines() {
                let result: Value = serde_json::from_str(line).expect("a line of JSON");
                let key = result["key"].as_str().expect("a key").to_owned();
                results.insert(key, result);
            }
        }
        Self { file, base, record, results: Mutex::new(results) }
    }

    /// The result for a chunk of a recording, unless it is one of those that are checked.
    pub fn find(&self, recording: &Recording, chunk: &Chunk) -> Option<Heard> {
        let (key, first) = self.key(recording, chunk);
        if self.record || first.is_multiple_of(CHECKED) {
            return None;
        }
        let results = self.results.lock();
        Some(heard(results.get(&key)?))
    }

    /// Keeps a result, if results are recorded.
    pub fn add(&self, recording: &Recording, chunk: &Chunk, heard: &Heard) {
        if self.record {
            let (key, _) = self.key(recording, chunk);
            let segments: Vec<Value> = heard
                .segments
                .iter()
                .map(|segment| {
                    json!({
                        "text": segment.text,
                        "tokens": segment.tokens,
                        "avg_logprob": segment.avg_logprob,
                    })
                })
                .collect();
            let result = json!({
                "key": key,
                "recording": recording.name,
                "start": chunk.start,
                "no_speech": heard.no_speech,
                "fell_back": heard.fell_back,
                "segments": segments,
            });
            self.results.lock().insert(key, result);
        }
    }

    /// Margin and rounding where native whisper.cpp was undecided between its own tokens and these
    /// of a whole recording; `None` where that is not recorded.
    pub fn undecided(&self, recording: &Recording, tokens: &[u32]) -> Option<(f32, f32)> {
        if self.record {
            return None;
        }
        let results = self.results.lock();
        let result = results.get(&self.key_of_tokens(recording, tokens))?;
        let number = |name: &str| result[name].as_f64().expect("a number") as f32;
        Some((number("margin"), number("rounding")))
    }

    /// Keeps by how much native whisper.cpp's tokens were likelier, and by how much rounding moves
    /// that, if results are recorded.
    pub fn add_undecided(&self, recording: &Recording, tokens: &[u32], (margin, rounding): (f32, f32)) {
        if self.record {
            let key = self.key_of_tokens(recording, tokens);
            let result =
                json!({ "key": key, "recording": recording.name, "margin": margin, "rounding": rounding });
            self.results.lock().insert(key, result);
        }
    }

    /// Writes the results, if they are recorded.
    ///
    /// # Panics
    ///
    /// When they cannot be written.
    pub fn save(&self) {
        if self.record {
            let results = self.results.lock();
            let mut lines: Vec<&Value> = results.values().collect();
            let place = |line: &Value| (line["recording"].to_string(), line["start"].as_u64());
            lines.sort_by_key(|line| place(line));
            let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
            fs::create_dir_all(self.file.parent().expect("a folder")).expect("the folder of records");
            fs::write(&self.file, text).expect("the records");
        }
    }

    /// Key of a result, and its first byte.
    fn key(&self, recording: &Recording, chunk: &Chunk) -> (String, u8) {
        let digest = self.digest(recording).chain_update(chunk.start.to_le_bytes());
        name(digest.chain_update((chunk.samples.len() as u64).to_le_bytes()))
    }

    /// Key of a decision between two transcripts of a recording.
    fn key_of_tokens(&self, recording: &Recording, tokens: &[u32]) -> String {
        let mut digest = self.digest(recording).chain_update("undecided");
        for token in tokens {
            digest.update(token.to_le_bytes());
        }
        name(digest).0
    }

    /// Digest of the recording and of everything else that its result depends on.
    fn digest(&self, recording: &Recording) -> Sha256 {
        let mut digest = self.base.clone();
        for sample in &recording.samples {
            digest.update(sample.to_le_bytes());
        }
        digest.update(recording.format.sample_rate.to_le_bytes());
        digest.update(recording.format.channels.to_le_bytes());
        digest
    }
}

/// True if `HEARKEN_RECORD` asks for the records of that name.
pub(crate) fn asked(name: &str) -> bool {
    std::env::var("HEARKEN_RECORD").is_ok_and(|part| name.contains(&part))
}

/// The begin of a digest in hexadecimal digits, and its first byte.
pub(crate) fn name(digest: Sha256) -> (String, u8) {
    let digest = digest.finalize();
    (hex(&digest[..12]), digest[0])
}

fn heard(result: &Value) -> Heard {
    let segment = |segment: &Value| Segment {
        text: segment["text"].as_str().expect("a text").to_owned(),
        tokens: segment["tokens"]
            .as_array()
            .expect("tokens")
            .iter()
            .map(|token| token.as_u64().expect("a token") as u32)
            .collect(),
        avg_logprob: segment["avg_logprob"].as_f64().expect("a number") as f32,
    };
    Heard {
        segments: result["segments"].as_array().expect("segments").iter().map(segment).collect(),
        no_speech: result["no_speech"].as_f64().expect("a probability") as f32,
        fell_back: result["fell_back"].as_bool().expect("true or false"),
    }
}
