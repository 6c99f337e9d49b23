//! Hostile models: for any content of a model file the text is clean, and a file that is no model
//! is rejected before the sandbox sees it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hearken::audio::{Format as PcmFormat, Samples};
use hearken::formats::Format;
use hearken::model::ModelError;
use hearken::{Engine, Error, ModelSource, Preparation, TranscribeOptions, Transcript};
use hearken_tests::command;
use hearken_tests::model::{SyntheticModel, Vocabulary};
use hearken_tests::random;

/// Three seconds of noise: random weights find words in it.
fn noise() -> Vec<f32> {
    random::noise(0.5).take(48_000).collect()
}

fn transcribe(model: &SyntheticModel) -> Transcript {
    let engine = Engine::builder().cache_dir(command::cache()).threads(1).build().unwrap();
    let model = engine.load(&ModelSource::Bytes(model.bytes().into())).unwrap();
    let options = TranscribeOptions::new().voice_activity(None).verbatim(true);
    model.transcribe(&mut Samples::new(noise(), PcmFormat::MODEL).unwrap(), &options, |_| {}).unwrap()
}

fn written(format: Format, transcript: &Transcript) -> String {
    let mut out = Vec::new();
    format.write(transcript, &mut out).unwrap();
    String::from_utf8(out).unwrap_or_else(|error| panic!("{format} is not UTF-8: {error}"))
}

/// Acts on a terminal, turns text around, or hides it.
fn acts(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[test]
fn only_clean_text_comes_out_whatever_the_vocabulary_holds() {
    for vocabulary in
        [Vocabulary::Escapes, Vocabulary::Markup, Vocabulary::BrokenUtf8, Vocabulary::SplitCharacters]
    {
        // Such a model never ends by itself: a short text context ends it.
        let model = SyntheticModel { vocabulary, n_text_ctx: 96, ..SyntheticModel::smallest() };
        let transcript = transcribe(&model);
        assert!(transcript.lost.is_empty(), "{vocabulary:?}: {:?}", transcript.lost);
        let text = transcript.text();
        assert!(text.len() > 10, "{vocabulary:?}: the model says too little to show anything: {text:?}");
        let cues = transcript.segments.len();
        for format in Format::ALL {
            let out = written(format, &transcript);
            assert!(!out.contains(acts), "{vocabulary:?} as {format}: {out:?}");
            match format {
                Format::Text => {
                    assert!(out.lines().count() <= cues, "{vocabulary:?}: a segment has more than a line");
                }
                Format::Srt | Format::Vtt => subtitles_hold(&out, &format!("{vocabulary:?} as {format}")),
                Format::Json => {
                    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
                    assert_eq!(
                        json["text"].as_str().unwrap().split_whitespace().collect::<String>(),
                        squeeze(&text)
                    );
                }
                Format::JsonLines => {
                    for line in out.lines() {
                        serde_json::from_str::<serde_json::Value>(line).unwrap();
                    }
                }
                _ => panic!("{format} is not looked at"),
            }
        }
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Every block is a number or nothing, one line of times, and text in which no player finds markup
/// or another cue.
fn subtitles_hold(file: &str, context: &str) {
    let blocks = file.split("\n\n").map(str::trim).filter(|block| !block.is_empty() && *block != "WEBVTT");
    for block in blocks {
        let (times, text): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.contains("-->"));
        let [times] = times.as_slice() else {
            panic!("{context}: {} lines of times in {block:?}", times.len())
        };
        assert!(times.chars().all(|c| c.is_ascii_digit() || ":.,-> ".contains(c)), "{context}: {times:?}");
        for line in text {
            assert!(!line.contains("<script"), "{context}: {line:?}");
            // Players of SRT, not those of WebVTT, take this for a change of style.
            assert!(file.starts_with("WEBVTT") || !line.contains("{\\"), "{context}: {line:?}");
        }
    }
}

/// The error, and whether the sandbox was given the model before it.
fn refuse(file: &[u8]) -> (Error, bool) {
    let prepared = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&prepared);
    let engine = Engine::builder()
        .cache_dir(command::cache())
        .threads(1)
        .on_prepare(move |_| seen.store(true, Ordering::Relaxed))
        .build()
        .unwrap();
    match engine.load(&ModelSource::Bytes(file.into())) {
        Err(error) => (error, prepared.load(Ordering::Relaxed)),
        Ok(_) => panic!("it loaded"),
    }
}

#[test]
fn a_file_that_is_no_model_never_reaches_the_sandbox() {
    let good = SyntheticModel::smallest().bytes();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    // Within each field of the header, and in what follows.
    for cut in (0..64).step_by(3).chain([1000, 30_000, good.len() / 2, good.len() - 1]) {
        files.push((format!("cut at {cut}"), good[..cut].to_vec()));
    }
    let noise = random::garbage(100_000);
    files.push(("noise".to_owned(), noise.clone()));
    files.push(("noise behind the magic number".to_owned(), [&good[..4], &noise].concat()));
    files.push(("a tail".to_owned(), [good.as_slice(), &[0]].concat()));
    for field in 0..11 {
        for value in [i32::MIN, -1, 0, i32::MAX] {
            let mut file = good.clone();
            file[4 + field * 4..8 + field * 4].copy_from_slice(&value.to_le_bytes());
            files.push((format!("header field {field} is {value}"), file));
        }
    }
    for (name, file) in files {
        // The type of the weights, 0, is one that a header may have; the tensors then do not fit
        // it.
        let (error, prepared) = refuse(&file);
        assert!(matches!(error, Error::Model { .. }), "{name}: {error:?}");
        let message = error.to_string();
        assert!(!message.contains(char::is_control) && message.len() < 400, "{name}: {message:?}");
        assert!(!prepared, "{name}: the sandbox was given it");
    }
}

#[test]
fn a_model_that_cannot_fit_is_refused_before_it_is_read() {
    let large = SyntheticModel {
        n_state: 4096,
        n_head: 64,
        n_audio_layer: 48,
        n_text_layer: 48,
        n_audio_ctx: 1500,
        ..SyntheticModel::smallest()
    };
    // Only the header is there: nothing else may be needed to tell.
    let mut head = Vec::new();
    let _ = large.write(FirstBytes { out: &mut head, left: 48 });
    let (error, prepared) = refuse(&head);
    let Error::Model { cause: ModelError::TooLarge { needed, limit }, .. } = error else {
        panic!("{error:?}")
    };
    assert!(needed > limit && !prepared);

    // The dimensions of large-v3 in f16: all of it would fit, but not the weights in one piece.
    let large = SyntheticModel {
        n_vocab: 51_866,
        n_state: 1280,
        n_head: 20,
        n_audio_layer: 32,
        n_text_layer: 32,
        n_mels: 128,
        ..SyntheticModel::tiny()
    };
    head.clear();
    let _ = large.write(FirstBytes { out: &mut head, left: 48 });
    let (error, prepared) = refuse(&head);
    let Error::Model { cause: ModelError::WeightsTooLarge { weights, limit, needed }, .. } = error else {
        panic!("{error:?}")
    };
    assert!(weights > limit && needed < 1 << 32 && !prepared);

    let limits = hearken::sandbox::Limits::default().memory_bytes(128 << 20);
    let engine = Engine::builder().no_cache().threads(1).limits(limits).build().unwrap();
    let result = engine.load(&ModelSource::Bytes(SyntheticModel::smallest().bytes().into()));
    assert!(matches!(result, Err(Error::ModelTooLarge { .. })));
}

/// Accepts a number of bytes, and fails.
struct FirstBytes<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl std::io::Write for FirstBytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(self.left);
        self.out.extend_from_slice(&bytes[..taken]);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Loads a file, and does this to it after it was checked and before the sandbox reads it.
fn change_while_loading(change: impl Fn(&Path) + Send + Sync + 'static) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::write(&path, SyntheticModel::smallest().bytes()).unwrap();
    let changed = path.clone();
    let engine = Engine::builder()
        .no_cache()
        .threads(1)
        .on_prepare(move |step| {
            if matches!(step, Preparation::Started { .. }) {
                change(&changed);
            }
        })
        .build()
        .unwrap();
    match engine.load(&ModelSource::File(path)) {
        Err(error) => error,
        Ok(_) => panic!("what was loaded is not what was checked"),
    }
}

#[test]
fn a_file_that_changes_after_it_was_checked_is_refused() {
    let error = change_while_loading(|path| {
        std::fs::write(path, SyntheticModel { seed: 2, ..SyntheticModel::smallest() }.bytes()).unwrap();
    });
    assert!(matches!(error, Error::ModelChanged { .. }), "{error:?}");

    let error = change_while_loading(|path| {
        let len = std::fs::metadata(path).unwrap().len();
        std::fs::File::options().write(true).open(path).unwrap().set_len(len / 2).unwrap();
    });
    assert!(matches!(error, Error::ModelChanged { .. }), "{error:?}");

    let error = change_while_loading(|path| std::fs::remove_file(path).unwrap());
    assert!(matches!(error, Error::ModelRead { .. }), "{error:?}");
}
