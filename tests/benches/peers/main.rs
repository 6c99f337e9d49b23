//! hearken against other CPU engines for Whisper: run by `make bench-peers`, prints one table.
//!
//! All engines have the same random weights and do the same work: one encoder pass over a full
//! context, then a fixed number of tokens. They take turns, one run each, so that a busy machine
//! slows down all of them; the table has the medians as ratios to whisper.cpp as whisper-rs builds
//! it. `HEARKEN_PEERS_ONLY=tiny` or `base` measures one size.
//!
//! With `HEARKEN_PROFILE` it prints a profile by operation instead: see [`profile`].

mod own;
mod profile;
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hearken::Compute;
use hearken_tests::model::{SyntheticModel, Weights};
use hearken_tests::random::noise;

use self::own::Own;
use self::program::Program;

/// Tokens of one run.
const TOKENS: u32 = 48;
/// Runs of each engine.
const ROUNDS: usize = 7;

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if own::serve() {
        return;
    }
    let Some(programs) = std::env::var_os("HEARKEN_PEERS").map(PathBuf::from) else {
        println!("peers: run `make bench-peers`, which builds what hearken is measured against");
        return;
    };
    let only = std::env::var("HEARKEN_PEERS_ONLY").unwrap_or_default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, model) in [("tiny", SyntheticModel::tiny()), ("base", SyntheticModel::base())] {
        if !only.is_empty() && !only.split(',').any(|word| word == name) {
            continue;
        }
        let files = Files::write(folder.path(), &model.multilingual(false));
        if std::env::var_os("HEARKEN_PROFILE").is_some() {
            profile::print(name, &programs, &files);
            continue;
        }
        let mut peers = peers(&programs, &files);
        for round in 0..ROUNDS {
            for peer in &mut peers {
                eprint!("\r\x1b[K{name}, round {} of {ROUNDS}: {}", round + 1, peer.name);
                peer.run();
            }
        }
        eprint!("\r\x1b[K");
        print(name, &peers);
    }
}

/// The same weights in each engine's formats.
struct Files {
    f16: PathBuf,
    q8_0: PathBuf,
    q5_1: PathBuf,
    samples: PathBuf,
    noise: Vec<f32>,
}

impl Files {
    fn write(folder: &Path, model: &SyntheticModel) -> Self {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("room for it");
            path
        };
        let weights = |weights| SyntheticModel { weights, ..model.clone() }.bytes();
        // Thirty seconds of noise: the text does not matter here.
        let noise: Vec<f32> = noise(0.1).take(30 * 16_000).collect();
        let bytes: Vec<u8> = noise.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        Self {
            f16: write("f16.bin", &weights(Weights::F16)),
            q8_0: write("q8_0.bin", &weights(Weights::Q8_0)),
            q5_1: write("q5_1.bin", &weights(Weights::Q5_1)),
            samples: write("samples.f32", &bytes),
            noise,
        }
    }
}

/// An engine, and its times.
struct Peer {
    name: String,
    engine: Box<dyn FnMut() -> (Duration, Duration)>,
    encoder: Vec<Duration>,
    token: Vec<Duration>,
}

impl Peer {
    fn new(name: &str, engine: impl FnMut() -> (Duration, Duration) + 'static) -> Self {
        Self { name: name.to_owned(), engine: Box::new(engine), encoder: Vec::new(), token: Vec::new() }
    }

    fn run(&mut self) {
        let (encoder, tokens) = (self.engine)();
        self.encoder.push(encoder);
        self.token.push(tokens / TOKENS);
    }
}

fn peers(programs: &Path, files: &Files) -> Vec<Peer> {
    let native = |name: &str, program: &str, model: &Path, flash: bool| {
        let mut command = Command::new(programs.join(program));
        command.arg("time").args([model, &files.samples]);
        command.args(flash.then_some("--flash"));
        Peer::new(name, apart(command))
    };
    let translate = |name: &str, precision: &str| {
        let mut command = Command::new(programs.join("venv/bin/python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/ctranslate2_peer.py"));
        command.arg(&files.f16).arg(precision);
        Peer::new(name, apart(command))
    };
    let ours = |name: &str, compute: Compute, threads: usize, model: &Path| {
        let own = Own::load(compute, threads, model);
        let samples = files.noise.clone();
        Peer::new(name, move || own.run(&samples, TOKENS))
    };
    vec![
        native("whisper.cpp, f16, default build", "default", &files.f16, false),
        native("whisper.cpp, f16, flash attention", "default", &files.f16, true),
        native("whisper.cpp, f16, llamafile", "llamafile", &files.f16, false),
        native("whisper.cpp, f16, OpenBLAS and llamafile", "openblas", &files.f16, false),
        native("whisper.cpp, q8_0", "default", &files.q8_0, false),
        native("whisper.cpp, q5_1", "default", &files.q5_1, false),
        translate("CTranslate2, float32", "float32"),
        translate("CTranslate2, int8", "int8"),
        ours("hearken fast, f16", Compute::Fast, 1, &files.f16),
        ours("hearken exact, f16", Compute::Exact, 1, &files.f16),
        ours("hearken guest, f16", Compute::Guest, 1, &files.f16),
        ours("hearken fast, q8_0", Compute::Fast, 1, &files.q8_0),
        ours("hearken exact, q8_0", Compute::Exact, 1, &files.q8_0),
        ours("hearken guest, q8_0", Compute::Guest, 1, &files.q8_0),
        ours("hearken fast, f16, two threads", Compute::Fast, 2, &files.f16),
        ours("hearken exact, f16, two threads", Compute::Exact, 2, &files.f16),
    ]
}

/// An engine in a process of its own.
fn apart(mut command: Command) -> impl FnMut() -> (Duration, Duration) {
    let mut program = Program::start(&mut command);
    move || program.run(TOKENS)
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Medians as ratios to the first peer, then the bars that hearken sets itself.
fn print(dimensions: &str, peers: &[Peer]) {
    let times: Vec<(&str, f64, f64)> =
        peers.iter().map(|peer| (peer.name.as_str(), median(&peer.encoder), median(&peer.token))).collect();
    let (_, encoder, token) = times[0];
    println!("| {dimensions}'s dimensions | encoder | each token |\n|---|---|---|");
    for (name, own_encoder, own_token) in &times {
        println!("| {name} | {:.3} | {:.2} |", own_encoder / encoder, own_token / token);
    }
    println!();
    let find = |name: &str| times.iter().find(|time| time.0 == name).copied().unwrap_or_default();
    let (fast, exact, guest) =
        (find("hearken fast, f16"), find("hearken exact, f16"), find("hearken guest, f16"));
    let translate = find("CTranslate2, int8");
    let best = |part: fn(&(&str, f64, f64)) -> f64| {
        let f16 = times.iter().filter(|time| time.0.starts_with("whisper.cpp, f16"));
        f16.map(part).fold(f64::INFINITY, f64::min)
    };
    let twice = |one: (&str, f64, f64), two: &str| find(two).1 / one.1;
    let bars = [
        ("fast, encoder / CTranslate2 int8's", fast.1 / translate.1, 1.0),
        ("fast, token / CTranslate2 int8's", fast.2 / translate.2, 1.2),
        ("exact, encoder / best native f16's", exact.1 / best(|time| time.1), 0.6),
        ("exact, token / best native f16's", exact.2 / best(|time| time.2), 1.0),
        ("guest, encoder / default native's", guest.1 / encoder, 1.5),
        ("guest, token / default native's", guest.2 / token, 2.5),
        ("fast, encoder, two threads / one", twice(fast, "hearken fast, f16, two threads"), 1.0 / 1.7),
        ("exact, encoder, two threads / one", twice(exact, "hearken exact, f16, two threads"), 1.0 / 1.7),
    ];
    for (name, ratio, bar) in bars {
        println!(
            "{name:<40} {ratio:.3} (at most {bar:.2}) {}",
            if ratio <= bar { "holds" } else { "FALLS SHORT" }
        );
    }
    println!();
}
