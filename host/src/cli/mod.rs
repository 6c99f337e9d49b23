//! The command line.
//!
//! Exit codes: 0 done, 1 an error (nothing written for that input), 2 wrong usage, 3 done but some audio was damaged
//! or could not be recognised, or the microphone went away.

mod captions;
mod devices;
mod doctor;
mod eval;
mod file;
mod live;
mod output;
mod progress;
mod realtime;
mod record;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hearken::{Engine, EngineBuilder, Model, ModelSource, Preparation};

/// Done, but not all of it.
const EXIT_PARTIAL: u8 = 3;

#[derive(Parser)]
#[command(
    name = "hearken",
    version,
    about = "Speech to text with whisper.cpp inside a WebAssembly sandbox",
    after_help = "Exit codes: 0 done; 1 error; 2 wrong usage; 3 done, but some audio was damaged or not recognised,\n  or the microphone went away.\n\
                  HEARKEN_CACHE_DIR names another folder for compiled models; NO_COLOR turns colours off."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Caption a microphone, or what the computer plays
    Live(live::Args),
    /// Transcribe recordings
    File(file::Args),
    /// List what `live` can listen to
    Devices(devices::Args),
    /// Measure accuracy, latency and speed on recordings whose text is known
    Eval(eval::Args),
    /// Show whether hearken works on this machine, and with what
    Doctor(doctor::Args),
    /// Print completions for a shell
    #[command(
        after_help = "Example, for bash:\n  hearken completions bash > ~/.local/share/bash-completion/completions/hearken"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What went wrong, as one line, and the exit code for it.
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

/// A file, or standard output, that cannot be written.
pub(crate) fn in_writing(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Live(args) => live::run(&args),
        Command::File(args) => file::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => Ok(completions(shell)),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints what makes a shell complete our arguments.
fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hearken", &mut script);
    // A pager that was closed has seen enough.
    let _ = std::io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// Prints one line on standard error. Names of files and texts of models may be in it, so no control characters.
pub(crate) fn complain(message: &str) {
    // When nobody can read standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "hearken: {}", printable(message));
}

/// The text without what could act on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Which model to use.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// A ggml Whisper model file; without it, the small demonstration model inside hearken (English digits and
    /// commands)
    #[arg(long, short, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Recogniser threads [default: as many as cores]
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ModelArgs {
    fn source(&self) -> ModelSource {
        match &self.model {
            Some(path) => ModelSource::File(path.clone()),
            None => ModelSource::Embedded,
        }
    }

    /// The model, ready; a person is told when it is only the demonstration.
    fn load(&self) -> Result<Model, Failure> {
        let source = self.source();
        if matches!(source, ModelSource::Embedded) && std::io::stderr().is_terminal() {
            complain(
                "using the embedded demonstration model: English digits and commands, nothing else (--model FILE for more)",
            );
        }
        Ok(self.engine()?.load(&source)?)
    }

    /// An engine that tells a person when a model has to be prepared first.
    fn engine(&self) -> Result<Engine, Failure> {
        let spinner = std::io::stderr().is_terminal().then(progress::Spinner::default);
        let builder = self.builder().on_prepare(move |step| {
            match (&spinner, &step) {
                (Some(spinner), Preparation::Started { name }) => spinner.start(format!("preparing {name}, once")),
                (Some(spinner), _) => spinner.stop(),
                (None, _) => {}
            }
            if let Preparation::NotKept { reason } = step {
                complain(&format!(
                    "the prepared model could not be kept for next time: {reason}; HEARKEN_CACHE_DIR names another folder"
                ));
            }
        });
        Ok(builder.build()?)
    }

    fn builder(&self) -> EngineBuilder {
        let builder = Engine::builder();
        match self.threads {
            Some(threads) => builder.threads(threads.into()),
            None => builder,
        }
    }
}
