//! What `hearken serve` can do: `make bench-server` and `make soak-server`.
//!
//! Capacity is the most streams of speech in real time at which 95 of 100 final texts come within a second of the end of their
//! utterance, as voice activity detects it. hearken is asked through its WebSocket, by `hearken load`, with partial texts. The
//! reference is what whisper.cpp's own server does: one native context, one request at a time behind a lock, all cores for each;
//! it is given the same utterances at the same moments, without a network between, and makes no partial texts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearken_native::Native;
use hearken_tests::command::{hearken, run};
use hearken_tests::model::SyntheticModel;
use hearken_tests::serve::Server;
use hearken_tests::speech::{Recording, espeak};
use hearken_tests::wav;
use serde_json::Value;
use tempfile::TempDir;

/// What is said, over and over.
const PHRASES: [&str; 6] = [
    "seven three nine two zero five",
    "go left",
    "one two three four five",
    "stop",
    "eight six four two",
    "nine one one nine one one three",
];
/// Silence after each, in seconds, and how long a trial begins recordings.
const PAUSE: f64 = 1.0;
const TRIAL: u64 = 15;
/// Streams start within so many seconds.
const RAMP: u64 = 4;
/// What 95 of 100 final texts must keep, in seconds.
const IN_TIME: f64 = 1.0;

fn main() {
    // `cargo bench` says so; a test runner that comes by is not to wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let speech = Speech::new();
    match std::env::var("HEARKEN_SOAK_SECONDS") {
        Ok(seconds) => soak(&speech, seconds.parse().expect("HEARKEN_SOAK_SECONDS is a number")),
        Err(_) => {
            println!(
                "streams of speech in real time at p95 of final latency < {IN_TIME} s, on {cores} cores"
            );
            println!("{:<28}{:>10}{:>16}{:>10}{:>8}", "", "hearken", "a core", "native", "ratio");
            let embedded = hearken::model::embedded().expect("the embedded model");
            if wanted("embedded") {
                compare("embedded model", &speech, None, &embedded, cores, 64);
            }
            if !wanted("tiny") {
                return;
            }
            let tiny = speech.folder.path().join("tiny.bin");
            // Such a model never ends by itself: a short text context ends it, after 28 tokens.
            let bytes = SyntheticModel { n_text_ctx: 64, ..SyntheticModel::tiny() }.bytes();
            std::fs::write(&tiny, &bytes).expect("room for a model");
            compare("tiny's dimensions, random", &speech, Some(&tiny), &bytes, cores, 4);
        }
    }
}

/// Whether a model is to be measured: all, or the one that `HEARKEN_CAPACITY` names.
fn wanted(model: &str) -> bool {
    std::env::var("HEARKEN_CAPACITY").is_ok_and(|only| only == model)
        || std::env::var_os("HEARKEN_CAPACITY").is_none()
}

fn compare(name: &str, speech: &Speech, file: Option<&Path>, bytes: &[u8], cores: usize, guess: usize) {
    let native = Native::load(bytes);
    // Random weights draw no sensible text, and would draw again and again.
    let once = file.is_some();
    let theirs = capacity(guess, |streams| reference(&native, speech, streams, cores, once));
    let server = serve(file);
    let ours = capacity(guess, |streams| {
        let figures = load(&server, speech, streams, TRIAL);
        let whole = figures["refused"] == serde_json::json!({}) && figures["broken"] == serde_json::json!({});
        let latency = figures["final_latency_detected_s"]["p95"].as_f64();
        let text = once || figures["words"]["lost"] == 0;
        if whole && text { latency.unwrap_or(f64::INFINITY) } else { f64::INFINITY }
    });
    println!(
        "{name:<28}{ours:>10}{:>16.1}{theirs:>10}{:>8.2}",
        ours as f64 / cores as f64,
        ours as f64 / theirs.max(1) as f64
    );
    server.end();
}

/// The most streams at which a trial's latency is in time: doubled, or halved, from a guess, then narrowed down to a tenth.
fn capacity(guess: usize, trial: impl Fn(usize) -> f64) -> usize {
    let fits = |streams: usize| {
        let latency = trial(streams);
        eprintln!("  {streams} streams: {latency:.3} s");
        latency < IN_TIME
    };
    let (mut good, mut bad) = (0, guess);
    while fits(bad) {
        (good, bad) = (bad, bad * 2);
    }
    while good == 0 && bad > 1 {
        let half = bad / 2;
        if fits(half) { good = half } else { bad = half }
    }
    while bad - good > (good / 10).max(1) {
        let middle = good.midpoint(bad);
        if fits(middle) { good = middle } else { bad = middle }
    }
    good
}

/// The recordings as files with a list, and as utterances.
struct Speech {
    folder: TempDir,
    clips: Vec<Clip>,
}

/// A recording and its pause.
struct Clip {
    seconds: f64,
    /// Where each utterance ends, in seconds, and its samples at 16 kHz.
    utterances: Vec<(f64, Vec<f32>)>,
}

impl Speech {
    fn new() -> Self {
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

/// What voice activity makes of a recording and its pause.
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

/// The 95th percentile of what native whisper.cpp takes from an utterance's end to its text.
fn reference(native: &Native, speech: &Speech, streams: usize, cores: usize, once: bool) -> f64 {
    let mut due: BTreeMap<(u64, usize, usize), &[f32]> = BTreeMap::new();
    for stream in 0..streams {
        let mut at = RAMP as f64 * stream as f64 / streams as f64;
        for clip in stream.. {
            if at >= TRIAL as f64 {
                break;
            }
            let Clip { seconds, utterances } = &speech.clips[clip % speech.clips.len()];
            for (end, samples) in utterances {
                due.insert((((at + end) * 1e6) as u64, stream, clip), samples);
            }
            at += seconds;
        }
    }
    let mut state = native.state();
    state.set_threads(cores);
    let begin = Instant::now();
    let mut latencies = Vec::new();
    for ((micros, ..), samples) in due {
        let due = begin + Duration::from_micros(micros);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        if once {
            state.hear_once(samples)
        } else {
            state.hear(samples)
        };
        let latency = due.elapsed().as_secs_f64();
        latencies.push(latency);
        if latency > 20.0 * IN_TIME {
            // It falls behind without end.
            return latency;
        }
    }
    latencies.sort_by(f64::total_cmp);
    latencies[(latencies.len() * 95).div_ceil(100) - 1]
}

/// A server that refuses nobody: what is measured is where it should.
fn serve(model: Option<&Path>) -> Server {
    let model = model.map_or_else(|| "embedded".to_owned(), |path| path.display().to_string());
    Server::with(&format!("[admission]\nenabled = false\n[models]\nmodel = {model:?}\n"))
}

fn load(server: &Server, speech: &Speech, streams: usize, seconds: u64) -> Value {
    let mut command = hearken(&["load", "--json", "--url"]);
    command
        .arg(format!("http://{}", server.address))
        .arg("--refs")
        .arg(speech.folder.path().join("refs.tsv"));
    command.args(["--streams", &streams.to_string(), "--duration", &seconds.to_string()]);
    command.args(["--ramp", &RAMP.to_string(), "--pause", &((PAUSE * 1000.0) as u64).to_string()]);
    let ended = run(&mut command);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Four fifths of what the machine can do, for long: memory, and words.
fn soak(speech: &Speech, seconds: u64) {
    let streams = match std::env::var("HEARKEN_SOAK_STREAMS") {
        Ok(streams) => streams.parse().expect("HEARKEN_SOAK_STREAMS is a number"),
        Err(_) => {
            let server = serve(None);
            let most = capacity(64, |streams| {
                let figures = load(&server, speech, streams, TRIAL);
                figures["final_latency_detected_s"]["p95"].as_f64().unwrap_or(f64::INFINITY)
            });
            server.end();
            (most * 4 / 5).max(1)
        }
    };
    // With admission as it comes: it must not refuse any of these.
    let server = Server::with("[models]\nmodel = \"embedded\"\n");
    let mut command = hearken(&["load", "--json", "--url"]);
    command
        .arg(format!("http://{}", server.address))
        .arg("--refs")
        .arg(speech.folder.path().join("refs.tsv"));
    command.args(["--streams", &streams.to_string(), "--duration", &seconds.to_string(), "--ramp", "20"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Memory once everything has been used, and then every so often.
    let begin = Instant::now();
    let mut samples = Vec::new();
    let step = Duration::from_secs((seconds / 60).max(1));
    let watching = std::thread::spawn(move || child.wait_with_output());
    while !watching.is_finished() {
        samples.push((begin.elapsed().as_secs_f64(), server.memory()));
        std::thread::sleep(step);
    }
    let output = watching.join().expect("it ends").expect("it was started");
    let figures: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    // The least of each part: what lives for an utterance comes and goes.
    let least = |part: std::ops::Range<f64>| {
        let part = part.start * seconds as f64..part.end * seconds as f64;
        let inside = samples.iter().filter(|(at, _)| part.contains(at)).map(|(_, bytes)| *bytes);
        inside.min().unwrap_or_else(|| panic!("too short to say anything: {samples:?}"))
    };
    let (first, last) = (least(0.2..0.4), least(0.8..1.0));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("{streams} streams for {seconds} s, {} recordings", figures["recordings"]);
    println!(
        "least resident memory: {:.1} MiB in the second fifth, {:.1} MiB in the last",
        mib(first),
        mib(last)
    );
    let words = &figures["words"];
    println!("words lost: {} of {}; word error rate {}", words["lost"], words["reference"], words["rate"]);
    println!(
        "refused: {}, broken: {}, dropped: {} s",
        figures["refused"], figures["broken"], figures["dropped_s"]
    );
    println!("final latency from the detected end: {}", figures["final_latency_detected_s"]);
    server.end();
}
