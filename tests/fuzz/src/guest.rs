//! A guest that was taken over: it behaves until it is loaded, and then does anything. What it does
//! is a list of calls of the real imports, with arguments from the fuzzer, and of a function of a
//! random module, which wasm-smith makes of the rest of the fuzzer's bytes and which calls them as
//! well. Whatever it does costs chunks of one recording and no more.

#![no_main]

#[allow(dead_code, reason = "tests use more of it")]
#[path = "../../src/guest.rs"]
mod by_hand;
#[allow(dead_code, reason = "as above")]
#[path = "../../src/model/mod.rs"]
mod model;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use by_hand::{BUFFER, Guest, MEMORY_BYTES, escape, info};
use hearken::audio::{Format, Samples};
use hearken::sandbox::Limits;
use hearken::session::{Session, SessionEvent, SessionOptions};
use hearken::testing::SplitMix64;
use hearken::{Compute, Engine, Model, ModelSource, TranscribeOptions};
use hearken_fuzz::Numbers;
use hearken_proto::compute::Weight;
use hearken_proto::{Event, ModelInfo};
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::{Corpus, fuzz_target};
use model::SyntheticModel;
use wasm_smith::{Config, Module};

/// Bytes of the input that say what the guest does; the others are the random module.
const CHOICES: usize = 128;

/// Time of a call, which nothing here needs.
const CPU: Duration = Duration::from_millis(50);

/// Address of descriptors: behind the request's buffer.
const DESCRIPTOR: u32 = BUFFER + 0x8000;

/// Seconds of a recording with one loud place in its middle, in whose chunk the guest attacks.
const SECONDS: usize = 25;

/// Imports of a guest in the order of their indices, with the names that the guest's text has.
const IMPORTS: [(&str, &str, &str, &str); 10] = [
    ("hearken", "emit", "emit", "(param i32 i32)"),
    ("hearken", "model_read", "model_read", "(param i32 i32) (result i32)"),
    ("hearken", "source_read", "source_read", "(param i64 i32 i32) (result i32)"),
    ("hearken", "product", "product", "(param i32)"),
    ("hearken", "attention", "attention", "(param i32)"),
    ("wasi_snapshot_preview1", "fd_write", "fd_write", "(param i32 i32 i32 i32) (result i32)"),
    ("wasi_snapshot_preview1", "random_get", "random_get", "(param i32 i32) (result i32)"),
    ("wasi_snapshot_preview1", "proc_exit", "proc_exit", "(param i32)"),
    ("wasi_snapshot_preview1", "clock_time_get", "clock_time_get", "(param i32 i64 i32) (result i32)"),
    ("wasi_snapshot_preview1", "environ_sizes_get", "environ_sizes_get", "(param i32 i32) (result i32)"),
];

fuzz_target!(init: hearken_fuzz::write_seeds(seeds()), |bytes: &[u8]| -> Corpus {
    let (choices, random) = bytes.split_at(bytes.len().min(CHOICES));
    let mut numbers = Numbers(choices);
    let Some((random, attack)) = random_module(random, numbers.next()) else { return Corpus::Reject };
    let compute = [Compute::Fast, Compute::Exact, Compute::Guest][(numbers.next() % 3) as usize];
    let weights: Vec<Weight> = (0..numbers.next() % 3).filter_map(|at| numbers.spoiled_weight(at)).collect();
    let guest = guest(&random, attack, &mut numbers, weights);
    // A guest that does not even load is refused, which costs nobody anything.
    if let Ok(model) = load(&guest, compute) {
        hear(&model);
        follow(&model);
    }
    Corpus::Keep
});

/// Bytes of all lengths up to the longest: what random modules are made of.
fn seeds() -> impl Iterator<Item = Vec<u8>> {
    let mut numbers = SplitMix64::new(1);
    (1..=32usize).map(move |size| (0..16 * size).flat_map(|_| numbers.next_u64().to_le_bytes()).collect())
}

/// A random module's text, without its parentheses, and the index of its function.
fn random_module(bytes: &[u8], choice: u64) -> Option<(String, String)> {
    let config = Config {
        module_shape: Some(shape()),
        allow_start_export: false,
        disallow_traps: choice & 1 == 0,
        // What the sandbox has switched off, or wasmtime has off.
        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        shared_everything_threads_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        // What the text format cannot say of a module without GC's types.
        bulk_memory_enabled: false,
        extended_const_enabled: false,
        max_funcs: 8,
        max_instructions: 60,
        max_table_elements: 100,
        ..Config::default()
    };
    let module = Module::new(config, &mut Unstructured::new(bytes)).ok()?.to_bytes();
    let mut text = wasmprinter::print_bytes(module).expect("wasm-smith's modules are valid");
    for (index, (_, _, name, _)) in IMPORTS.iter().enumerate() {
        text = text.replacen(&format!("(func (;{index};)"), &format!("(func ${name} (;{index};)"), 1);
    }
    let attack = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("(export \"attack\" (func ")?.split(')').next());
    let attack = attack.expect("the shape has it").to_owned();
    let inner = text.trim().strip_prefix("(module")?.strip_suffix(')')?;
    Some((inner.to_owned(), attack))
}

/// Imports and exports of the random module.
fn shape() -> Vec<u8> {
    static SHAPE: OnceLock<Vec<u8>> = OnceLock::new();
    let text = || {
        let imports =
            IMPORTS.map(|(module, name, _, kind)| format!("(import \"{module}\" \"{name}\" (func {kind}))"));
        format!(
            "(module {} (memory (export \"memory\") {}) (func (export \"attack\") (param i32) (result i32) unreachable))",
            imports.concat(),
            MEMORY_BYTES >> 16
        )
    };
    SHAPE.get_or_init(|| wat::parse_str(text()).expect("it is written by hand")).clone()
}

/// A guest around the random module.
fn guest(random: &str, attack: String, numbers: &mut Numbers<'_>, weights: Vec<Weight>) -> Guest {
    let mut steps = String::new();
    let mut data = Vec::new();
    for _ in 0..numbers.next() % 6 {
        steps += &step(&attack, numbers, &weights, &mut data);
    }
    let status = numbers.next() as u32 % 12;
    Guest {
        imports: random.to_owned(),
        memory: String::new(),
        fields: format!("(data (i32.const {DESCRIPTOR}) \"{}\")", escape(&data)),
        loaded: hearken_proto::encode(&Event::Loaded(ModelInfo { weights, ..info() })),
        attack: if status == 0 { steps } else { format!("{steps} (return (i32.const {status}))") },
        ..Guest::default()
    }
}

/// One thing that it does, and what that needs in memory.
fn step(attack: &str, numbers: &mut Numbers<'_>, weights: &[Weight], data: &mut Vec<u8>) -> String {
    let at = DESCRIPTOR + data.len() as u32;
    let mut descriptor = |words: &[u64]| data.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let kind = numbers.next() % 11;
    let mut address = || match numbers.next() {
        0 => BUFFER,
        1 => MEMORY_BYTES,
        2 => MEMORY_BYTES - 4,
        other => other as u32,
    };
    match kind {
        0 => {
            let words = numbers.product(weights).words();
            descriptor(&numbers.spoil(words));
            format!("(call $product (i32.const {at}))")
        }
        1 => {
            let words = numbers.attention().words();
            descriptor(&numbers.spoil(words));
            format!("(call $attention (i32.const {at}))")
        }
        2 => format!("(call $emit (i32.const {}) (i32.const {}))", address(), address()),
        // Events that are nearly in order.
        3 => format!("(call $emit (i32.const 0x400) (i32.const {}))", address() & 0xff),
        4 => format!(
            "(drop (call $fd_write (i32.const {}) (i32.const {}) (i32.const {}) (i32.const {})))",
            address() & 3,
            address(),
            address() & 0x7f,
            address()
        ),
        5 => format!("(drop (call $random_get (i32.const {}) (i32.const {})))", address(), address()),
        6 => format!("(drop (call $model_read (i32.const {}) (i32.const {})))", address(), address()),
        7 => format!(
            "(drop (call $source_read (i64.const {}) (i32.const {}) (i32.const {})))",
            address(),
            address(),
            address()
        ),
        8 => format!("(drop (memory.grow (i32.const {})))", address()),
        9 => format!("(i32.store (i32.const {}) (i32.const {}))", address(), address()),
        _ => format!("(drop (call {attack} (i32.const {})))", address()),
    }
}

fn load(guest: &Guest, compute: Compute) -> Result<Model, hearken::Error> {
    static FILE: OnceLock<Arc<[u8]>> = OnceLock::new();
    let limits = Limits::default().cpu_per_call(CPU).cpu_to_load(CPU).memory_bytes(512 << 20);
    let file = FILE.get_or_init(|| SyntheticModel::smallest().bytes().into());
    Engine::builder()
        .guest(guest.module())
        .no_cache()
        .padding(false)
        .threads(1)
        .compute(compute)
        .limits(limits)
        .build()?
        .load(&ModelSource::Bytes(Arc::clone(file)))
}

fn loud(seconds: usize) -> Vec<f32> {
    let mut samples = vec![0.1; seconds * 16_000];
    samples[seconds * 8_000] = 0.9;
    samples
}

/// A recording: each sample is in a text, or lost with a reason that can be shown.
fn hear(model: &Model) {
    let options = TranscribeOptions::new().voice_activity(None);
    let mut source = Samples::new(loud(SECONDS), Format::MODEL).expect("a format");
    let transcript = model.transcribe(&mut source, &options, |_| {}).expect("a recording never fails");
    assert_eq!(transcript.duration, (SECONDS * 16_000) as u64);
    for lost in &transcript.lost {
        let reason = lost.reason.to_string();
        assert!(lost.start < lost.end && lost.end <= transcript.duration, "{lost:?}");
        assert!(!reason.contains(char::is_control) && reason.chars().count() < 400, "{reason:?}");
    }
    for segment in &transcript.segments {
        assert!(segment.start <= segment.end && segment.end <= transcript.duration, "{segment:?}");
    }
}

/// A stream: it ends, and each utterance with it.
fn follow(model: &Model) {
    let options = SessionOptions::new(Format::MODEL).voice_activity(None);
    let mut session = Session::driven(model, options).expect("the options are in order");
    session.begin().expect("nothing runs");
    for samples in loud(3).chunks(16_000) {
        session.push(samples).expect("it is not over");
        session.decode_pending();
    }
    session.finish().expect("it is not over");
    while session.decode_pending().is_some_and(|decode| !decode.last) {}
    let events: Vec<_> = session.events().iter().collect();
    assert!(matches!(events.last(), Some(SessionEvent::Finished { .. })), "{events:?}");
}
