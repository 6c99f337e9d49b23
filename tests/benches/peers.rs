//! hearken against what people run Whisper with on a CPU today: run by `make bench-peers`, prints one table.
//!
//! All engines have the same random weights and do the same work: one encoder pass over a full context, then a fixed
//! number of tokens. They take turns, one run each, so that a busy machine slows down all of them; the table has the
//! medians as ratios to whisper.cpp as whisper-rs builds it. `HEARKEN_PEERS_ONLY=tiny` or `base` measures one size.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use hearken::{Compute, Engine, Model, ModelSource};
use hearken_tests::model::{SyntheticModel, Weights};

/// Tokens of one run.
const TOKENS: usize = 48;
/// Runs of each engine.
const ROUNDS: usize = 7;

fn main() {
    // `cargo bench` says so; a test runner that comes by is not to wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(programs) = std::env::var_os("HEARKEN_PEERS").map(PathBuf::from) else {
        println!("peers: run `make bench-peers`, which builds what hearken is measured against");
        return;
    };
    let only = std::env::var("HEARKEN_PEERS_ONLY").unwrap_or_default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = SyntheticModel {
        n_state: 512,
        n_head: 8,
        n_audio_layer: 6,
        n_text_layer: 6,
        ..SyntheticModel::tiny()
    };
    for (name, model) in [("tiny", SyntheticModel::tiny()), ("base", base)] {
        if !only.is_empty() && !only.split(',').any(|word| word == name) {
            continue;
        }
        let files = Files::write(folder.path(), &model.multilingual(false));
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

/// The same weights in the types that engines want.
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
        // Thirty seconds of noise: what is said costs nothing here.
        let mut state = 1u32;
        let noise: Vec<f32> = (0..30 * 16_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1
            })
            .collect();
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

/// One engine, and what it took.
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
        self.token.push(tokens / TOKENS as u32);
    }
}

fn peers(programs: &Path, files: &Files) -> Vec<Peer> {
    let native = |name: &str, program: &str, model: &Path, flash: bool| {
        let mut command = Command::new(programs.join(program));
        command.arg("time").args([model, &files.samples]);
        command.args(flash.then_some("--flash"));
        Peer::new(name, Program::start(command))
    };
    let translate = |name: &str, precision: &str| {
        let mut command = Command::new(programs.join("venv/bin/python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/ctranslate2_peer.py"));
        command.arg(&files.f16).arg(precision);
        Peer::new(name, Program::start(command))
    };
    let ours = |name: &str, compute: Compute, threads: usize, model: &Path| {
        let engine =
            Engine::builder().no_cache().threads(threads).compute(compute).build().expect("an engine");
        let model = engine.load(&ModelSource::File(model.to_owned())).expect("hearken loads it");
        let samples = files.noise.clone();
        Peer::new(name, move || hearken(&model, &samples))
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

fn hearken(model: &Model, samples: &[f32]) -> (Duration, Duration) {
    let tokens: Vec<u32> = (1000..1000 + TOKENS as u32).collect();
    let mut sandbox = model.sandbox().expect("a sandbox");
    let timing = sandbox.measure(samples, Some("en"), &tokens).expect("a measurement");
    (timing.encoder, timing.tokens)
}

/// An engine in a process of its own, which says `ready` and then answers lines.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command) -> impl FnMut() -> (Duration, Duration) {
        command.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut program = Self { child, input, output: BufReader::new(output) };
        assert_eq!(program.line(), "ready");
        move || {
            writeln!(program.input, "{TOKENS}").expect("it listens");
            let line = program.line();
            let mut times = line.split_whitespace().map(|nanoseconds| nanoseconds.parse().expect("a number"));
            let mut next = || Duration::from_nanos(times.next().expect("two numbers"));
            (next(), next())
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
