//! Cost of the sandbox, and against native whisper.cpp: run by `cargo bench`, prints one table.
//!
//! Medians on one thread. Sandbox and reference take turns in the same run, so that a busy machine
//! slows down both.

use std::time::{Duration, Instant};

use hearken::audio::{Format, Samples};
use hearken::{Engine, Model, ModelSource, TranscribeOptions};
use hearken_native::Native;
use hearken_tests::footprint::Footprint;
use hearken_tests::model::SyntheticModel;
use hearken_tests::speech;

/// Tokens of a forced decode: about what ten seconds of speech have.
const TOKENS: usize = 24;

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    row(&["", "hearken", "native", "hearken/native"].map(str::to_owned));
    let embedded = hearken::model::embedded().expect("the embedded model");
    let clips: Vec<Vec<f32>> = ["en-gb", "en-us", "en-gb-scotland"]
        .iter()
        .map(|voice| speech::espeak(voice, 140, "three one four one five nine two six"))
        .flat_map(|recording| recording.chunks(10 * 16_000))
        .map(|chunk| chunk.samples)
        .collect();
    let (loaded, native) = model("embedded, q8_0", &embedded, &clips[0], 15);
    free_running(&loaded, &native, &clips, 5);
    // Random weights make whisper.cpp fall back to drawing at random, which is not the same work on
    // both sides: forced tokens stand for the text.
    model("tiny's dimensions, f16", &SyntheticModel::tiny().bytes(), &clips[0], 5);
}

/// The rows that every model has.
fn model(name: &str, bytes: &[u8], samples: &[f32], rounds: usize) -> (Model, Native) {
    println!("{name} ({:.0} MB)", bytes.len() as f64 / 1e6);
    let engine = Engine::builder().no_cache().threads(1).build().expect("an engine");
    let model = engine.load(&ModelSource::Bytes(bytes.into())).expect("hearken loads it");
    let native = Native::load(bytes);
    instances(&model, &native);
    let tokens = native.state().follow(samples, "en", TOKENS).0;
    parts(&model, &native, samples, &tokens, rounds);
    memory(&model, bytes.len(), samples, &tokens);
    (model, native)
}

/// Sandboxes that do nothing, and whisper.cpp's states, which are what a program makes for each
/// stream that has no sandbox.
fn instances(model: &Model, native: &Native) {
    let ours = lives(200, || model.sandbox().expect("a sandbox"));
    let theirs = lives(20, || native.state());
    against("create", ours.0, theirs.0);
    against("drop, unused", ours.1, theirs.1);
}

/// Measures making a thing, and dropping it.
fn lives<T>(rounds: usize, make: impl Fn() -> T) -> (Duration, Duration) {
    let life = |_| {
        let (create, thing) = time(&make);
        (create, time(|| drop(thing)).0)
    };
    let (create, destroy): (Vec<_>, Vec<_>) = (0..rounds).map(life).unzip();
    (median(&create), median(&destroy))
}

/// Measures an utterance as a whole and in its parts; both sides feed the same tokens.
fn parts(model: &Model, native: &Native, samples: &[f32], tokens: &[u32], rounds: usize) {
    let (mut ours, mut theirs) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
    for _ in 0..rounds {
        let (create, mut sandbox) = time(|| model.sandbox().expect("a sandbox"));
        let decode = time(|| sandbox.score(samples, None, tokens).expect("scores")).0;
        let destroy = time(|| drop(sandbox)).0;
        let encode = time(|| model.score(samples, None, &[]).expect("scores")).0;
        push(&mut ours, [create + decode + destroy, decode, destroy, encode]);

        let (create, mut state) = time(|| native.state());
        let decode = time(|| state.score(samples, "en", tokens)).0;
        let destroy = time(|| drop(state)).0;
        let encode = time(|| native.state().score(samples, "en", &[])).0;
        push(&mut theirs, [create + decode + destroy, decode, destroy, encode]);
    }
    let (ours, theirs) = (ours.map(|times| median(&times)), theirs.map(|times| median(&times)));
    let names = ["create, decode and drop", "  decode alone", "  drop alone, used", "without tokens"];
    for ((name, ours), theirs) in names.into_iter().zip(ours).zip(theirs) {
        against(name, ours, theirs);
    }
    let factor = |times: [Duration; 4]| times[0].as_secs_f64() * 16_000.0 / samples.len() as f64;
    real_time("real-time factor, forced tokens", factor(ours), factor(theirs));
}

/// Measures the memory that a second sandbox adds to the process.
fn memory(model: &Model, weight: usize, samples: &[f32], tokens: &[u32]) {
    let mut first = model.sandbox().expect("a sandbox");
    first.score(samples, None, tokens).expect("scores");
    let before = Footprint::now();
    let mut second = model.sandbox().expect("a sandbox");
    let idle = Footprint::now().since(before);
    second.score(samples, None, tokens).expect("scores");
    let used = Footprint::now().since(before);
    let cell = |bytes: i64| format!("{:.2} MB", bytes as f64 / 1e6);
    let of_model = |bytes: i64| format!("{:.3} of the model", bytes as f64 / weight as f64);
    let lines =
        [("idle", idle.proportional), ("used", used.proportional), ("used, dirty pages", used.written)];
    for (name, bytes) in lines {
        row(&[format!("second sandbox, {name}"), cell(bytes), String::new(), of_model(bytes)]);
    }
}

/// Transcription as users run it, from samples to text; all clips together.
fn free_running(model: &Model, native: &Native, clips: &[Vec<f32>], rounds: usize) {
    let options = TranscribeOptions::default().language("en".to_owned());
    let (mut ours, mut theirs, mut seconds) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..rounds {
        for samples in clips {
            let heard = time(|| native.state().hear(samples));
            assert!(!heard.1.fell_back, "drawn at random, and so not the same work on both sides");
            let mut source = Samples::new(samples.clone(), Format::MODEL).expect("16 kHz mono");
            ours.push(time(|| model.transcribe(&mut source, &options, |_| {}).expect("a transcript")).0);
            theirs.push(heard.0);
            seconds += samples.len() as f64 / 16_000.0;
        }
    }
    let factor = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64() / seconds;
    real_time("real-time factor, free running", factor(&ours), factor(&theirs));
}

fn real_time(name: &str, ours: f64, theirs: f64) {
    row(&[name.to_owned(), format!("{ours:.3}"), format!("{theirs:.3}"), format!("{:.2}", ours / theirs)]);
}

fn push(lists: &mut [Vec<Duration>; 4], times: [Duration; 4]) {
    lists.iter_mut().zip(times).for_each(|(list, time)| list.push(time));
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn against(name: &str, ours: Duration, theirs: Duration) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    row(&[name.to_owned(), format!("{ours:.1?}"), format!("{theirs:.1?}"), format!("{ratio:.3}")]);
}

fn row([name, ours, theirs, ratio]: &[String; 4]) {
    println!("  {name:<32} {ours:>22} {theirs:>12} {ratio:>22}");
}
