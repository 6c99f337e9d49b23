//! Profile by operation: `make profile`. Linux's `perf` samples the program, some two thousand
//! times a second.
//!
//! A run of an engine is the whole of it: for hearken also the sandbox that is made and dropped.
//! What one token takes is the difference between runs with many and with one, so that the encoder
//! falls out of it.

mod operation;
mod symbols;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use hearken::Compute;

use self::operation::{Operation, operation};
use self::symbols::Symbols;
use crate::program::Program;
use crate::{Files, own};

/// Looks in a second.
const FREQUENCY: &str = "1999";
/// Tokens of the longer runs.
const MANY: u32 = 400;

/// Seconds of one run.
type Seconds = BTreeMap<Operation, f64>;

/// Prints a table for the encoder and one for the decoder, as parts of what whisper.cpp takes in
/// whisper-rs's default build.
pub(crate) fn print(dimensions: &str, programs: &Path, files: &Files) {
    let mut engines: Vec<(&str, Seconds, Seconds)> = Vec::new();
    for (name, native, compute) in [
        ("whisper.cpp", Some("default"), Compute::Stock),
        ("whisper.cpp, OpenBLAS", Some("openblas"), Compute::Stock),
        ("ggml in the guest", None, Compute::Stock),
        ("hearken guest", None, Compute::Guest),
        ("hearken exact", None, Compute::Exact),
        ("hearken fast", None, Compute::Fast),
    ] {
        eprint!("\r\x1b[K{dimensions}: {name}");
        let watch = |tokens, rounds| {
            let folder = tempfile::tempdir().expect("a folder");
            let compiled = folder.path().join("compiled");
            let mut program = Vec::new();
            let mut environment = Vec::new();
            match native {
                Some(native) => {
                    program.push(programs.join(native));
                    program.extend(["time".into(), files.f16.clone(), files.samples.clone()]);
                }
                None => {
                    program.extend([std::env::current_exe().expect("this program"), "--bench".into()]);
                    environment.extend(own::order(compute, &files.f16, &files.samples, &compiled));
                }
            }
            let mut perf = Perf::command(folder.path());
            perf.arg("--").args(program).envs(environment);
            let total = Perf::watch(perf, folder.path(), tokens, rounds);
            share(folder.path(), &compiled, total)
        };
        let one = watch(1, 4);
        let mut token = watch(MANY, 2);
        for (operation, seconds) in &mut token {
            *seconds = (*seconds - one.get(operation).unwrap_or(&0.0)) / f64::from(MANY - 1);
        }
        engines.push((name, one, token));
    }
    eprint!("\r\x1b[K");
    table(&format!("{dimensions}: encoder"), engines.iter().map(|(name, one, _)| (*name, one)).collect());
    table(
        &format!("{dimensions}: each token"),
        engines.iter().map(|(name, _, token)| (*name, token)).collect(),
    );
}

fn table(title: &str, engines: Vec<(&str, &Seconds)>) {
    let whole: f64 = engines.first().map_or(1.0, |(_, seconds)| seconds.values().sum());
    let row = |name: &str, values: Vec<f64>| {
        let cells: Vec<String> =
            values.iter().map(|value| format!("{:.1} %", 100.0 * value / whole)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    println!("| {title} | {} |", engines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(engines.len()));
    for operation in Operation::ALL {
        let of = |seconds: &Seconds| seconds.get(&operation).copied().unwrap_or_default();
        row(operation.name(), engines.iter().map(|(_, seconds)| of(seconds)).collect());
    }
    row("**all**", engines.iter().map(|(_, seconds)| seconds.values().sum()).collect());
    println!();
}

/// Control of `perf`'s sampling.
struct Perf {
    control: File,
    answers: BufReader<File>,
}

impl Perf {
    /// `perf record` of a program that is still to be named, into `folder`.
    fn command(folder: &Path) -> Command {
        let (control, answers) = (folder.join("control"), folder.join("answers"));
        let made = Command::new("mkfifo").args([&control, &answers]).status();
        assert!(made.is_ok_and(|status| status.success()), "no room for pipes");
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--freq", FREQUENCY, "--delay", "-1", "--output"]);
        perf.arg(folder.join("data"));
        perf.arg(format!("--control=fifo:{},{}", control.display(), answers.display()));
        perf
    }

    /// Seconds of a run on average, while it is looked at.
    fn watch(mut command: Command, folder: &Path, tokens: u32, rounds: u32) -> f64 {
        // Open for both, so that nobody waits for the other end.
        let open = |name| OpenOptions::new().read(true).write(true).open(folder.join(name));
        let mut perf = Self {
            control: open("control").expect("a pipe"),
            answers: BufReader::new(open("answers").expect("a pipe")),
        };
        let mut program = Program::start(&mut command);
        program.run(tokens);
        perf.say("enable");
        let start = Instant::now();
        for _ in 0..rounds {
            program.run(tokens);
        }
        let total = start.elapsed().as_secs_f64() / f64::from(rounds);
        perf.say("disable");
        // Ends it, and with it `perf`, which then writes what it saw.
        drop(program);
        total
    }

    fn say(&mut self, word: &str) {
        writeln!(self.control, "{word}").expect("perf listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("perf answers");
        assert!(answer.trim_matches(['\0', '\n']) == "ack", "perf answers {answer:?}");
    }
}

/// Distributes the seconds of a run over what `perf` saw.
fn share(folder: &Path, compiled: &Path, seconds: f64) -> Seconds {
    let mut script = Command::new("perf");
    script
        .args(["script", "--show-mmap-events", "--fields", "ip,sym,dso", "--input"])
        .arg(folder.join("data"));
    let output = script.stderr(Stdio::null()).output().expect("perf can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    let symbols = Symbols::read(compiled, &text);
    let mut counts: BTreeMap<Operation, u32> = BTreeMap::new();
    let mut unknown: BTreeMap<String, u32> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains("PERF_RECORD_")) {
        let Some(symbol) = symbols.of(line) else { continue };
        let operation = operation(&symbol);
        if operation == Operation::Rest {
            *unknown.entry(symbol).or_default() += 1;
        }
        *counts.entry(operation).or_default() += 1;
    }
    let all: u32 = counts.values().sum();
    assert!(all > 100, "perf saw only {all} moments");
    if std::env::var_os("HEARKEN_PROFILE_REST").is_some() {
        let mut unknown: Vec<_> = unknown.into_iter().collect();
        unknown.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (symbol, count) in unknown.iter().take(25) {
            eprintln!("{:6.2} % {symbol}", f64::from(*count) * 100.0 / f64::from(all));
        }
    }
    counts
        .into_iter()
        .map(|(operation, count)| (operation, seconds * f64::from(count) / f64::from(all)))
        .collect()
}
