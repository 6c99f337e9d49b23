//! The synthetic models are real ones, and the checker takes them and nothing less.

use std::io::{self, Read};

use hearken::model::{Checked, ModelError, check};
use hearken_native::whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters};
use proptest::prelude::*;

use super::*;

fn checked(file: &[u8]) -> Result<Checked, ModelError> {
    check(file, file.len() as u64)
}

/// The message with which a file is refused.
fn refused(file: &[u8]) -> String {
    let message = checked(file).expect_err("refused").to_string();
    assert!(!message.chars().any(char::is_control), "not one clean line: {message:?}");
    message
}

fn smallest() -> &'static [u8] {
    static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    FILE.get_or_init(|| SyntheticModel { weights: Weights::Q4_0, ..SyntheticModel::smallest() }.bytes())
}

/// The smallest model with the 32-bit integer at `offset` replaced.
fn patched(offset: usize, value: i32) -> Vec<u8> {
    let mut file = smallest().to_vec();
    file[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    file
}

/// Offsets of the filters, the vocabulary and the tensors of [`smallest`].
fn sections() -> [usize; 3] {
    let vocabulary = 48 + 8 + 80 * mel::BINS * 4;
    let entries: usize = Vocabulary::Plain.entries(50_256).iter().map(|entry| 4 + entry.len()).sum();
    [48, vocabulary, vocabulary + 4 + entries]
}

/// Transcribes four seconds of a chirp natively; answers the tokens.
fn native_tokens(file: &[u8]) -> Vec<i32> {
    let mut parameters = WhisperContextParameters::default();
    parameters.flash_attn(false);
    let context =
        WhisperContext::new_from_buffer_with_params(file, parameters).expect("whisper.cpp loads it");
    let mut state = context.create_state().expect("a state");
    let mut full = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    // One: threads that spin for each other crawl on a busy machine.
    full.set_n_threads(1);
    full.set_language(Some("en"));
    full.set_temperature_inc(0.0);
    full.set_no_timestamps(true);
    full.set_single_segment(true);
    full.set_max_tokens(12);
    let chirp: Vec<f32> = (0..64_000).map(|i| (i as f32 * i as f32 * 2e-6).sin() * 0.3).collect();
    state.full(full, &chirp).expect("decodes");
    state
        .as_iter()
        .flat_map(|segment| {
            (0..segment.n_tokens()).filter_map(move |at| segment.get_token(at).map(|t| t.token_id()))
        })
        .collect()
}

#[test]
fn every_type_and_vocabulary_passes_and_loads_natively() {
    for weights in Weights::RUNNABLE {
        let model = SyntheticModel { weights, ..SyntheticModel::smallest() };
        let file = model.bytes();
        let header = checked(&file).unwrap().header;
        assert_eq!((header.dims().n_audio_ctx, header.multilingual()), (500, false));
        let tokens = native_tokens(&file);
        let mut different = tokens.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() > 2, "{weights:?} is degenerate: {tokens:?}");
        assert_eq!(tokens, native_tokens(&file));
    }
    for cantonese in [false, true] {
        let file = SyntheticModel::smallest().multilingual(cantonese).bytes();
        assert!(checked(&file).unwrap().header.multilingual());
        assert!(!native_tokens(&file).is_empty());
    }
    use Vocabulary::{BrokenUtf8, Escapes, Markup, SplitCharacters};
    for vocabulary in [Escapes, Markup, BrokenUtf8, SplitCharacters] {
        let model = SyntheticModel { vocabulary, weights: Weights::Q8_0, ..SyntheticModel::smallest() };
        checked(&model.bytes()).unwrap();
    }
}

#[test]
fn quantized_models_say_nearly_what_the_floats_say() {
    let logits = |weights| {
        let file = SyntheticModel { weights, ..SyntheticModel::smallest() }.bytes();
        let context =
            WhisperContext::new_from_buffer_with_params(&file, WhisperContextParameters::default()).unwrap();
        let mut state = context.create_state().unwrap();
        let pcm: Vec<f32> = (0..64_000).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
        state.pcm_to_mel(&pcm, 1).unwrap();
        state.encode(0, 1).unwrap();
        state.decode(&[context.token_sot()], 0, 1).unwrap();
        state.get_logits().unwrap()[..51_864].to_vec()
    };
    let exact = logits(Weights::F16);
    for (weights, least) in
        [(Weights::Q8_0, 0.999), (Weights::Q5_1, 0.97), (Weights::Q5_0, 0.97), (Weights::Q4_0, 0.9)]
    {
        let other = logits(weights);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&exact, &other) / (dot(&exact, &exact) * dot(&other, &other)).sqrt();
        assert!(cosine > least, "{weights:?}: {cosine}");
    }
}

#[test]
fn real_dimensions_are_known_by_name() {
    let model = SyntheticModel { weights: Weights::Q5_1, ..SyntheticModel::tiny() };
    let header = checked(&model.bytes()).unwrap().header;
    assert_eq!(header.size_name(), "tiny");
    assert_eq!(header.context_samples(), 480_000);
    assert_eq!(header.ftype().name(), "q5_1");
}

/// Megabytes that this process has asked for, touched or not.
fn reserved() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}

/// Counts this process's memory, so it holds only where each test has a process, as with nextest.
#[test]
fn the_memory_estimate_covers_what_whisper_takes_without_exaggeration() {
    let base = SyntheticModel::base();
    let wide = SyntheticModel {
        n_state: 1024,
        n_head: 16,
        n_audio_layer: 2,
        n_text_layer: 1,
        ..SyntheticModel::tiny()
    };
    let short = SyntheticModel { n_audio_ctx: 500, ..SyntheticModel::tiny() };
    for model in [SyntheticModel::smallest(), SyntheticModel::tiny(), base, wide, short] {
        let file = SyntheticModel { weights: Weights::Q8_0, ..model.clone() }.bytes();
        let estimate = checked(&file).unwrap().header.guest_memory() as f64 / 1e6;
        let before = reserved();
        let mut parameters = WhisperContextParameters::default();
        parameters.flash_attn(false);
        let context = WhisperContext::new_from_buffer_with_params(&file, parameters).unwrap();
        let mut state = context.create_state().unwrap();
        let mut full = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        full.set_temperature_inc(0.0);
        full.set_max_tokens(4);
        // Each thread would reserve an arena of 64 MB or more.
        full.set_n_threads(1);
        let seconds = model.n_audio_ctx as usize / 50;
        state.full(full, &vec![0.01; 16_000 * seconds]).unwrap();
        // Here there are 30 descriptions of tensors where the sandbox has 2, and each is 80 bytes
        // larger: see the estimate's schedulers.
        let taken = reserved() - before - f64::from(4 * 4096 * 2 * (30 * (256 + 80) - 2 * 256)) / 1e6;
        println!("state {}: takes {taken:.0} MB, estimated {estimate:.0} MB", model.n_state);
        assert!(estimate > taken, "{estimate:.0} MB for {taken:.0} MB: {model:?}");
        assert!(estimate < taken * 1.2 + 80.0, "{estimate:.0} MB for {taken:.0} MB: {model:?}");
    }
}

#[test]
fn the_hash_is_of_the_whole_file_however_it_is_read() {
    /// Gives a few bytes at a time, and is interrupted now and then.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(7) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = into.len().min(self.1 % 1000 + 1);
            self.0.read(&mut into[..count])
        }
    }
    let file = smallest();
    let at_once = checked(file).unwrap();
    assert_eq!(check(Slow(file, 0), file.len() as u64).unwrap(), at_once);
    let mut changed = file.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert_ne!(checked(&changed).unwrap().hash, at_once.hash);
}

#[test]
fn foreign_files_are_named() {
    let safetensors = [&100u64.to_le_bytes()[..], b"{\"__metadata__\":{}}"].concat();
    for (file, name) in [
        (&b"GGUF\x03\0\0\0\0\0"[..], "GGUF"),
        (&safetensors, "safetensors"),
        (b"PK\x03\x04\x14\0\0\0", "PyTorch"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"ggml\0\0\0\x01", "big-endian"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x28\xb5\x2f\xfdxxxx", "zstd"),
        (b"\x08abcdefghij", "something else"),
        (b"RIFF", "something else"),
    ] {
        let message = refused(file);
        assert!(message.contains(name), "{message}");
    }
    assert!(refused(b"").contains("cut off at byte 0"));
    assert!(refused(b"lm").contains("the magic number"));
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let file = smallest();
    let [filters, vocabulary, tensors] = sections();
    // Every byte of the header and of the counts, some inside each section, the last byte.
    let mut cuts: Vec<usize> = (0..64).collect();
    cuts.extend([
        filters + 8 + 5,
        vocabulary - 1,
        vocabulary,
        vocabulary + 3,
        vocabulary + 4,
        vocabulary + 1000,
    ]);
    cuts.extend((tensors..tensors + 60).chain([tensors + 1000, file.len() - 1000, file.len() - 1]));
    for cut in cuts {
        // A file that is short, and a reader that ends before the length that was promised.
        for (reader, len) in [(&file[..cut], cut), (&file[..cut], file.len())] {
            let error = check(reader, len as u64).expect_err("refused");
            assert!(matches!(error, ModelError::Truncated { .. }), "cut at {cut}: {error}");
        }
    }
}

#[test]
fn nothing_may_follow() {
    let mut file = smallest().to_vec();
    let len = file.len();
    file.push(0);
    assert!(refused(&file).contains("after its last tensor"));
    let error = check(&file[..], len as u64).expect_err("longer than it was said to be");
    assert!(matches!(error, ModelError::Trailing { offset } if offset == len as u64), "{error}");
}

#[test]
fn absurd_dimensions_are_refused_by_name() {
    let fields = [
        "n_vocab",
        "n_audio_ctx",
        "n_audio_state",
        "n_audio_head",
        "n_audio_layer",
        "n_text_ctx",
        "n_text_state",
        "n_text_head",
        "n_text_layer",
        "n_mels",
    ];
    for (index, name) in fields.iter().enumerate() {
        for value in [i32::MIN, -1, 0, 1_000_000, i32::MAX] {
            let message = refused(&patched(4 + 4 * index, value));
            assert!(message.contains(name), "{name} = {value}: {message}");
            assert!(message.contains(&value.to_string()), "{message}");
        }
    }
    for (index, value) in
        [(0, 51_863), (0, 51_867), (1, 49), (1, 1501), (2, 32), (3, 3), (5, 449), (6, 128), (9, 81)]
    {
        let message = refused(&patched(4 + 4 * index, value));
        assert!(message.contains("must be"), "{message}");
    }
    // Unknown, removed, never written by whisper.cpp's tools, of an old layout, negative.
    for ftype in [4, 5, 15, 99, 1002, 1003, 1007, 1010, 3007, 3008, -1, i32::MIN, i32::MAX] {
        assert!(refused(&patched(44, ftype)).contains("unsupported"), "{ftype}");
    }
    // Floats of 32 bits load, and abort at the first convolution.
    let floats = SyntheticModel { weights: Weights::F32, ..SyntheticModel::smallest() };
    assert!(refused(&floats.bytes()).contains("unsupported"));
    // Super-blocks of 256 do not fit rows of 64.
    assert!(refused(&patched(44, 2012)).contains("divisible by 256"));
    // Another type than the tensors have.
    assert!(
        refused(&patched(44, 2007)).contains("cut off") || refused(&patched(44, 2007)).contains("has type")
    );
}

#[test]
fn a_model_too_large_for_the_sandbox_is_refused_before_its_weights() {
    let model = SyntheticModel {
        n_state: 4096,
        n_head: 64,
        n_audio_ctx: 1500,
        n_audio_layer: 48,
        n_text_layer: 48,
        ..SyntheticModel::smallest()
    };
    let header = [
        0x6767_6d6c,
        model.n_vocab,
        model.n_audio_ctx,
        model.n_state,
        model.n_head,
        model.n_audio_layer,
        model.n_text_ctx,
        model.n_state,
        model.n_head,
        model.n_text_layer,
        model.n_mels,
        1,
    ];
    let header: Vec<u8> = header.iter().flat_map(|field: &i32| field.to_le_bytes()).collect();
    let error = check(&header[..], 1 << 40).expect_err("refused");
    assert!(matches!(error, ModelError::TooLarge { needed, limit } if needed > limit), "{error}");
}

#[test]
fn filters_and_vocabulary_must_be_what_whisper_indexes() {
    let [filters, vocabulary, _] = sections();
    for (offset, value) in [(filters, 79), (filters, -1), (filters + 4, 200), (filters + 4, i32::MAX)] {
        assert!(refused(&patched(offset, value)).contains("mel filters"), "{value}");
    }
    for value in [-1, 51_865, i32::MAX] {
        assert!(refused(&patched(vocabulary, value)).contains("entries for 51864 tokens"), "{value}");
    }
    for value in [513, -1, i32::MAX] {
        assert!(refused(&patched(vocabulary + 4, value)).contains("entry of"), "{value}");
    }
    // The single space is entry 32: five bytes each before it.
    let space = vocabulary + 4 + 32 * 5 + 4;
    let mut file = smallest().to_vec();
    assert_eq!(file[space], b' ');
    file[space] = b'x';
    assert!(refused(&file).contains("single space"));
}

#[test]
fn tensors_must_be_the_expected_ones_once() {
    let [.., tensors] = sections();
    // n_dims, name length, type, [64, 500], then the name.
    for (offset, value, message) in [
        (0, 0, "dimensions"),
        (0, 5, "dimensions"),
        (0, i32::MAX, "dimensions"),
        (4, 0, "name of"),
        (4, 65, "name of"),
        (4, -1, "name of"),
        (8, 1, "has type 1, not 0"),
        (8, 77, "has type 77"),
        (12, 63, "has shape"),
        (16, -500, "has shape"),
        (16, i32::MAX, "has shape"),
    ] {
        let found = refused(&patched(tensors + offset, value));
        assert!(found.contains(message), "{offset} = {value}: {found}");
    }
    let mut file = smallest().to_vec();
    file[tensors + 20] = 0x1b;
    assert!(refused(&file).contains("is none of Whisper's"));

    // The last two tensors are decoder.ln.weight and .bias, alike but for their names.
    let name = file.windows(17).rposition(|name| name == b"decoder.ln.weight").unwrap();
    let bias = name + 17 + 64 * 4;
    assert_eq!(&smallest()[bias + 16..bias + 31], b"decoder.ln.bias");
    let file = &smallest()[..bias];
    let message = refused(file);
    assert!(message.contains("lacks 1 tensors, decoder.ln.bias"), "{message}");
    let twice = [file, &smallest()[name - 16..bias]].concat();
    assert!(refused(&twice).contains("comes twice"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_pass_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096), len in any::<u64>()) {
        prop_assert!(check(&bytes[..], len).is_err());
        let ggml = [&b"lmgg"[..], &bytes].concat();
        prop_assert!(check(&ggml[..], len).is_err());
    }

    #[test]
    fn random_headers_never_pass_or_panic(fields in prop::array::uniform11(prop_oneof![
        any::<i32>(), -2..2000i32, Just(51_864), Just(64), Just(80), Just(1),
    ])) {
        let mut file = smallest().to_vec();
        for (index, field) in fields.iter().enumerate() {
            file[4 + 4 * index..8 + 4 * index].copy_from_slice(&field.to_le_bytes());
        }
        let same = file == smallest();
        prop_assert_eq!(checked(&file).is_ok(), same);
    }

    #[test]
    fn random_damage_never_panics(at in 0..100_000usize, garbage in prop::collection::vec(any::<u8>(), 1..16), tail in any::<bool>()) {
        let mut file = smallest().to_vec();
        let at = if tail { file.len() - at - 16 } else { at };
        file[at..at + garbage.len()].copy_from_slice(&garbage);
        // Damage to weights and to filters cannot be detected; an accepted file has the same
        // header.
        if let Ok(passed) = checked(&file) {
            prop_assert_eq!(passed.header, checked(smallest()).unwrap().header);
        }
    }
}
