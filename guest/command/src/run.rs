//! Recordings in, transcripts out.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;

use hearken_guest::Guest;
use hearken_listener::audio::{AudioError, Piped, Recording, VadConfig};
use hearken_listener::formats::Writer;
use hearken_listener::model::{self, Checked};
use hearken_listener::{Error, Model, Recognize, SandboxError, TranscribeOptions, Transcript, Warning};
use hearken_proto::{Event, Request};

use crate::arguments::{self, Arguments, HELP, Order};
use crate::pipeline;

/// Done, but not all of it.
const PARTIAL: u8 = 3;
/// Wrong usage.
const USAGE: u8 = 2;

/// The recognizer that is linked in.
struct Linked(Guest);

impl Recognize for Linked {
    fn write(&mut self, samples: &[f32]) {
        self.0.write(samples);
    }

    fn call(&mut self, request: &Request) -> Result<Vec<Event>, SandboxError> {
        self.0.call(request.clone()).map_err(SandboxError::Failed)
    }
}

/// Reads and obeys the command line.
pub(crate) fn main() -> ExitCode {
    match arguments::parse(std::env::args().skip(1)) {
        Ok(Order::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Order::Transcribe(arguments)) => transcribe(&arguments),
        Ok(Order::Pipeline) => pipeline(),
        Err(message) => {
            complain(&message);
            let usage = HELP.lines().find(|line| line.starts_with("Usage")).unwrap_or_default();
            eprintln!("{usage}\nFor more, say --help.");
            ExitCode::from(USAGE)
        }
    }
}

/// Runs the pipeline that standard input describes.
fn pipeline() -> ExitCode {
    let mut input = String::new();
    let read = io::stdin()
        .read_to_string(&mut input)
        .map_err(|error| format!("cannot read standard input: {error}"));
    if read.as_ref().is_ok_and(|read| *read == 0) {
        complain("no arguments, and no pipeline on standard input; say --help");
        return ExitCode::from(USAGE);
    }
    let done = read.and_then(|_| pipeline::run(&input)).and_then(|results| {
        let written = io::stdout().write_all(results.as_bytes());
        written.map_err(|error| format!("cannot write standard output: {error}"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&format!("the pipeline failed: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn transcribe(arguments: &Arguments) -> ExitCode {
    let model = match load(&arguments.model) {
        Ok(model) => model,
        Err(message) => {
            complain(&message);
            return ExitCode::FAILURE;
        }
    };
    let options = TranscribeOptions {
        language: arguments.language.clone(),
        languages: arguments.languages.clone(),
        annotations: arguments.annotations,
        translate: arguments.translate,
        prompt: arguments.prompt.clone(),
        voice_activity: arguments.voice_activity.then(VadConfig::default),
    };
    let (mut failed, mut partial) = (false, false);
    for name in &arguments.recordings {
        match one(name, arguments, &model, &options) {
            Ok(whole) => partial |= !whole,
            Err(message) => {
                complain(&message);
                failed = true;
            }
        }
    }
    match (failed, partial) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(PARTIAL),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// Checks a model file, then loads it.
pub(crate) fn load(name: &str) -> Result<Model, String> {
    let cannot = |error: io::Error| {
        format!(
            "cannot read the model {name}: {error}; check the path, and that the runtime gives its folder"
        )
    };
    let mut file = File::open(name).map_err(cannot)?;
    let len = file.metadata().map_err(cannot)?.len();
    let checked: Checked = model::check(&file, len)
        .map_err(|cause| Error::Model { name: name.to_owned(), cause }.to_string())?;
    file.seek(SeekFrom::Start(0)).map_err(cannot)?;
    let reader = BufReader::with_capacity(1 << 16, file);
    let (guest, events) = Guest::load(reader, &model::load_options(&checked))
        .map_err(|status| format!("{name}: whisper.cpp refuses the model ({status:?}); use another one"))?;
    Model::new(name, checked, Linked(guest), events).map_err(|error| error.to_string())
}

/// Transcribes one recording. Returns false if some of it is missing.
fn one(
    name: &str,
    arguments: &Arguments,
    model: &Model,
    options: &TranscribeOptions,
) -> Result<bool, String> {
    let shown = if name == "-" { "standard input" } else { name };
    let mut recording = open(name).map_err(|error| error.to_string())?;
    let in_writing = |error: io::Error| format!("cannot write standard output: {error}");
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.recordings.len() > 1 {
        writeln!(out, "==> {shown} <==").map_err(in_writing)?;
    }
    let mut writer = Writer::begin(arguments.format, out).map_err(in_writing)?;
    let mut written = Ok(());
    let transcript = model
        .transcribe(&mut recording, options, |segment| {
            if written.is_ok() {
                written = writer.segment(segment);
            }
        })
        .map_err(|error| in_context(shown, &error.to_string()))?;
    written.map_err(in_writing)?;
    transcript.unrecognized.iter().for_each(|stretch| writer.unrecognized(stretch));
    writer.end(transcript.language.as_ref(), transcript.duration).map_err(in_writing)?;
    Ok(!report(shown, &transcript))
}

/// A recording's bytes: a file, or standard input.
fn open(name: &str) -> Result<Recording, AudioError> {
    if name == "-" {
        return from_stream("standard input", io::stdin());
    }
    let failed = |cause| AudioError::Open { name: name.to_owned(), cause };
    let meta = std::fs::metadata(name).map_err(failed)?;
    if meta.is_dir() {
        return Err(AudioError::Directory { name: name.to_owned() });
    }
    let file = File::open(name).map_err(failed)?;
    if !meta.is_file() {
        return from_stream(name, file);
    }
    if meta.len() == 0 {
        return Err(AudioError::Empty { name: name.to_owned() });
    }
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    Recording::open(name, Whole(file), Some(meta.len()), extension).or_else(|error| {
        // A Matroska file that is cut off has lost the index that its start points to; read from
        // front to back it still has its audio.
        if !matches!(error, AudioError::NotAudio { .. }) {
            return Err(error);
        }
        let again = File::open(name).map_err(failed)?;
        Recording::open(name, Piped::new(again), None, extension).map_err(|_| error)
    })
}

fn from_stream(name: &str, mut reader: impl Read + Send + Sync + 'static) -> Result<Recording, AudioError> {
    let mut first = [0];
    loop {
        match reader.read(&mut first) {
            Ok(0) => return Err(AudioError::Empty { name: name.to_owned() }),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(AudioError::Read { name: name.to_owned(), frames: 0, cause }),
        }
    }
    Recording::open(name, Piped::new(io::Cursor::new(first).chain(reader)), None, None)
}

/// A file that is read at any position.
struct Whole(File);

impl hearken_listener::audio::Bytes for Whole {
    fn read_at(&mut self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(position))?;
        self.0.read(out)
    }
}

/// Reports missing parts, as the host's command does; returns true if there are any.
fn report(name: &str, transcript: &Transcript) -> bool {
    let warnings = transcript.warnings();
    for warning in &warnings {
        complain(&match warning {
            Warning::NoSpeech(_) => format!("{name}: {warning} (--no-vad)"),
            Warning::Damage(damage) => in_context(name, damage),
            _ => format!("{name}: {warning}"),
        });
    }
    warnings.iter().any(Warning::is_loss)
}

/// A message with the recording's name, unless it names it.
fn in_context(name: &str, message: &str) -> String {
    if message.contains(name) { message.to_owned() } else { format!("{name}: {message}") }
}

fn complain(message: &str) {
    eprintln!("hearken: {message}");
}
