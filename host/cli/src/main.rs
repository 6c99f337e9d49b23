//! The `hearken` command.
//!
//! Exit codes: 0 done, 1 an error (nothing written for that input), 2 wrong usage, 3 done but some
//! audio was damaged or could not be recognized, or the microphone went away.

mod bench;
mod captions;
mod cluster;
mod cues;
mod devices;
mod doctor;
mod eval;
mod file;
mod hardened;
mod live;
mod load;
mod media;
mod model;
mod models;
mod output;
mod progress;
mod realtime;
mod rolling;
mod save;
mod serve;
mod speech;
mod worker;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
pub(crate) use media::MediaArgs;
pub(crate) use model::ModelArgs;
pub(crate) use speech::SpeechArgs;

/// Done, but not all of it.
const EXIT_PARTIAL: u8 = 3;

#[derive(Parser)]
#[command(
    name = "hearken",
    version,
    about = "Speech to text with whisper.cpp inside a WebAssembly sandbox",
    after_help = "Exit codes: 0 done; 1 error; 2 wrong usage; 3 done, but some audio was damaged or not recognized,\n  or the microphone went away.\n\
                  HEARKEN_MODELS_DIR names another folder for models, HEARKEN_CACHE_DIR for their compiled form;\n  HEARKEN_MEDIA a module that decodes more recordings (--media); \
                  HF_ENDPOINT another server to pull from; NO_COLOR turns colors off."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Caption a microphone, or loopback (what the computer plays)
    Live(live::Args),
    /// Transcribe recordings
    File(file::Args),
    /// List the devices for `live`: microphones and loopback sources
    Devices(devices::Args),
    /// Serve transcription to programs: OpenAI's and Deepgram's interfaces, and a WebSocket of
    /// hearken's own
    Serve(serve::Args),
    /// Recognize for gateways (`serve --nats`), on a machine of its own
    Worker(worker::Args),
    /// Look at a cluster of gateways and workers
    Cluster(cluster::Args),
    /// Load a server with many streams of speech, and measure latency and accuracy
    Load(load::Args),
    /// Measure accuracy, latency and speed against reference transcripts
    Eval(eval::Args),
    /// Measure the speed of a model on this machine
    Bench(bench::Args),
    /// List, pull, import, verify and remove models
    Models(models::Args),
    /// Check this machine: instruction sets, sandbox, model, devices
    Doctor(doctor::Args),
    /// Print completions for a shell
    #[command(
        after_help = "Example, for bash:\n  hearken completions bash > ~/.local/share/bash-completion/completions/hearken"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    #[command(after_help = "Example:\n  hearken man ~/.local/share/man/man1 && man hearken-live")]
    Man {
        /// The folder, which is made if it is not there
        folder: PathBuf,
    },
}

/// Error message, as one line, and the exit code for it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), code: 1 }
    }
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

/// Standard output that cannot be written.
pub(crate) fn in_printing(error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot write standard output: {error}; check where it leads, and the disk behind it"
    ))
}

/// A file that cannot be written.
pub(crate) fn in_writing(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot write {}: {error}; check the path, its permissions and the disk",
        path.display()
    ))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Live(args) => live::run(&args),
        Command::File(args) => file::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Worker(args) => worker::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Man { folder } => manual(&folder),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints the script with which a shell completes our arguments.
fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hearken", &mut script);
    // A pager that was closed has seen enough.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// Writes a manual page for each command.
fn manual(folder: &Path) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| in_writing(folder, &error))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one line on standard error. Names of files and texts of models may be in it, so no
/// control characters.
pub(crate) fn complain(message: &str) {
    // When standard error cannot be written there is no place for a message.
    let _ = writeln!(std::io::stderr(), "hearken: {}", printable(message));
}

/// Removes characters that could act on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
