//! `hearken file`: recordings in, transcripts out.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use console::Term;
use hearken::audio::{
    self, AudioError, Channel, Encoding, Faults, Format as PcmFormat, RawPcm, Source, Track, VadConfig,
};
use hearken::formats::{CueLayout, Format, Writer};
use hearken::{Model, Progress, TranscribeOptions, Transcript, Warning};

use super::captions::Captions;
use super::cues::CueArgs;
use super::output::Output;
use super::progress::Bar;
use super::{
    EXIT_PARTIAL, Failure, MediaArgs, ModelArgs, SpeechArgs, complain, in_printing, in_writing, printable,
    realtime,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    hearken file talk.mp3                         text on standard output\n  \
    hearken file talk.mp3 -f srt -o talk.srt      subtitles\n  \
    hearken file talk.mp3 --realtime              captions while it is spoken\n  \
    hearken file *.wav -f vtt -o subtitles/       a file for each recording\n  \
    hearken file talk.mp3 -o talk.vtt --words-per-cue 3 --word-times   for short videos\n  \
    arecord -f S16_LE -r 16000 | hearken file - --raw s16le --rate 16000")]
pub(crate) struct Args {
    /// Recordings: WAV, FLAC, MP3, OGG (Vorbis, Opus), WebM, M4A, AIFF, CAF; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    media: MediaArgs,
    /// Output format: txt, srt, vtt, json or jsonl [default: by OUT's extension, else txt]
    #[arg(long, short)]
    format: Option<Format>,
    /// Write to this file; with several recordings, or if it is a folder, into it
    #[arg(long, short, value_name = "OUT")]
    output: Option<PathBuf>,
    #[command(flatten)]
    speech: SpeechArgs,
    /// Sound track of recordings that have several: its number, from 1, or its language [default:
    /// the container's default]
    #[arg(long, value_name = "N|LANG", conflicts_with = "raw")]
    track: Option<Track>,
    /// Transcribe each channel by itself: a call with a speaker in each
    #[arg(long, conflicts_with = "realtime")]
    separate_channels: bool,
    /// Turn voice activity detection off: all audio is decoded, silence included
    #[arg(long)]
    no_vad: bool,
    /// Process in real time, as live audio, with partial texts
    #[arg(long)]
    realtime: bool,
    /// Input has no header: interleaved PCM, s16le, f32le, mulaw or alaw
    #[arg(long, value_name = "ENCODING")]
    raw: Option<Encoding>,
    /// Frames per second of raw input, 8000 to 192000
    #[arg(long, default_value_t = 16_000, requires = "raw")]
    rate: u32,
    /// Channels of raw input, 1 to 8
    #[arg(long, default_value_t = 1, requires = "raw")]
    channels: u16,
    // The last: its heading holds for what is behind it.
    #[command(flatten)]
    cues: CueArgs,
}

/// Outcome of one recording.
enum Outcome {
    Whole,
    Partial,
    /// The reader of our output has gone.
    Unwanted,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if args.paths.iter().any(|path| is_stdin(path)) {
        if args.separate_channels {
            return Err(Failure::usage("--separate-channels reads a recording several times: name a file"));
        }
        if args.track.is_some() {
            return Err(Failure::usage("--track needs a file, and not standard input"));
        }
    }
    let several = args.paths.len() > 1;
    // `*.wav -o subtitles/` means the folder also when there is only one recording.
    let folder = args
        .output
        .as_deref()
        .filter(|output| several || output.is_dir() || output.as_os_str().as_encoded_bytes().ends_with(b"/"));
    let format = args.format.or_else(|| format_of(args.output.as_deref())).unwrap_or(Format::Text);
    if several && args.output.is_none() && !matches!(format, Format::Text) {
        return Err(Failure::usage(format!(
            "several recordings as {format} cannot share standard output; name a folder with -o"
        )));
    }
    let layout = args.cues.layout(&[format])?;
    let destinations = destinations(args, folder, format)?;
    spare_recordings(&args.paths, &destinations)?;
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("cannot use the folder {}: {error}", folder.display())))?;
    }
    args.media.add()?;
    let model = args.model.load()?;
    let options = TranscribeOptions::new()
        .language(args.speech.language())
        .languages(args.speech.languages())
        .annotations(args.speech.annotations)
        .translate(args.speech.translate)
        .prompt(args.speech.prompt.clone())
        .bias(args.speech.bias()?)
        .voice_activity((!args.no_vad).then(VadConfig::default));

    let (mut failed, mut partial) = (false, false);
    for (path, destination) in args.paths.iter().zip(&destinations) {
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        let job = Job {
            name: &name,
            format,
            layout,
            destination: destination.as_deref(),
            title: several,
            realtime: args.realtime,
        };
        let open = || open(args, path, &name);
        let outcome = if args.separate_channels {
            job.run_channels(open, &model, &options)
        } else {
            open().and_then(|source| job.run(source, &model, &options))
        };
        match outcome {
            Ok(Outcome::Whole) => {}
            Ok(Outcome::Partial) => partial = true,
            Ok(Outcome::Unwanted) => return Ok(ExitCode::SUCCESS),
            Err(failure) => {
                complain(&failure.message);
                failed = true;
            }
        }
    }
    Ok(match (failed, partial) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(EXIT_PARTIAL),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Destination of each recording's transcript; `None` is standard output.
fn destinations(args: &Args, folder: Option<&Path>, format: Format) -> Result<Vec<Option<PathBuf>>, Failure> {
    let Some(folder) = folder else {
        return Ok(vec![args.output.clone(); args.paths.len()]);
    };
    let mut taken = HashMap::new();
    let mut destinations = Vec::new();
    for path in &args.paths {
        let stem = if is_stdin(path) { Path::new("stdin") } else { path };
        let destination =
            folder.join(stem.file_name().unwrap_or(stem.as_os_str())).with_extension(format.extension());
        if let Some(other) = taken.insert(destination.clone(), path) {
            return Err(Failure::usage(format!(
                "{} and {} would both be written to {}; give them different folders",
                other.display(),
                path.display(),
                destination.display()
            )));
        }
        destinations.push(Some(destination));
    }
    Ok(destinations)
}

/// Refuses a transcript in place of a recording, whatever name or link leads there.
fn spare_recordings(recordings: &[PathBuf], destinations: &[Option<PathBuf>]) -> Result<(), Failure> {
    match overwritten(recordings, destinations) {
        None => Ok(()),
        Some(recording) => Err(Failure::usage(format!(
            "the transcript would replace the recording {}; name another file with -o",
            recording.display()
        ))),
    }
}

/// The first input that a destination would replace, whatever name or link leads there.
pub(crate) fn overwritten<'a>(inputs: &'a [PathBuf], destinations: &[Option<PathBuf>]) -> Option<&'a Path> {
    let file = |path: &Path| {
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some((found.dev(), found.ino()))
    };
    let inputs: HashMap<_, _> =
        inputs.iter().filter(|path| !is_stdin(path)).filter_map(|path| Some((file(path)?, path))).collect();
    let same = |destination: &PathBuf| inputs.get(&file(destination)?).map(|path| path.as_path());
    destinations.iter().flatten().find_map(same)
}

/// A recording to transcribe.
struct Job<'a> {
    name: &'a str,
    format: Format,
    layout: CueLayout,
    destination: Option<&'a Path>,
    /// True if its text needs its name above it.
    title: bool,
    realtime: bool,
}

impl Job<'_> {
    fn run(
        &self,
        source: Box<dyn Source>,
        model: &Model,
        options: &TranscribeOptions,
    ) -> Result<Outcome, Failure> {
        let name = self.name;
        if self.realtime && self.destination.is_none() && io::stdout().is_terminal() {
            return self.show(source, model, options);
        }
        let place = self.destination.unwrap_or(Path::new("standard output"));
        let cannot_write = |error: &io::Error| in_writing(place, error);
        let mut output = match self.destination {
            Some(path) => Output::file(path).map_err(|error| cannot_write(&error))?,
            None => Output::stdout(),
        };

        let bar = if self.realtime { Bar::hidden() } else { Bar::new(name) };
        let mut header = Ok(());
        if self.title && self.destination.is_none() {
            header = bar.suspend(|| writeln!(output, "==> {} <==", printable(name)));
        }
        let mut writer = header.and_then(|()| Writer::with_layout(self.format, self.layout, output));
        let unwanted = AtomicBool::new(writer.is_err());
        let mut source = Wanted { source, unwanted: &unwanted };
        let mut write = |add: &dyn Fn(&mut Writer<Output>) -> io::Result<()>| {
            if let Ok(sink) = &mut writer
                && let Err(error) = bar.suspend(|| add(sink))
            {
                writer = Err(error);
                unwanted.store(true, Ordering::Relaxed);
            }
        };
        let transcript = if self.realtime {
            realtime::follow(&mut source, model, options, |event| {
                write(&|sink| sink.event(event));
            })
        } else {
            model.transcribe(&mut source, options, |progress| match progress {
                Progress::Position { read, decoded, total } => bar.update(read, decoded, total),
                Progress::Segment(segment) => write(&|sink| sink.segment(segment)),
                Progress::Unrecognized(samples) => write(&|sink| {
                    sink.unrecognized(samples);
                    Ok(())
                }),
                _ => {}
            })
        };
        bar.finish();
        let transcript = transcript.map_err(|error| Failure::new(in_context(name, &error.to_string())))?;
        let written = writer
            .and_then(|writer| writer.end(transcript.language.as_ref(), transcript.duration))
            .and_then(Output::commit);
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::Unwanted),
            written => written.map_err(|error| cannot_write(&error))?,
        }
        Ok(if report(name, &transcript) { Outcome::Partial } else { Outcome::Whole })
    }
}

impl Job<'_> {
    /// Transcribes each channel by itself; the recording is opened for each.
    fn run_channels(
        &self,
        open: impl Fn() -> Result<Box<dyn Source>, Failure>,
        model: &Model,
        options: &TranscribeOptions,
    ) -> Result<Outcome, Failure> {
        let place = self.destination.unwrap_or(Path::new("standard output"));
        let cannot_write = |error: &io::Error| in_writing(place, error);
        // Before hours of decoding: a folder that cannot be written to.
        let mut output = match self.destination {
            Some(path) => Output::file(path).map_err(|error| cannot_write(&error))?,
            None => Output::stdout(),
        };
        let (mut transcripts, mut partial) = (Vec::new(), false);
        let mut next = Some(open()?);
        while let Some(source) = next.take() {
            let channel = transcripts.len() as u16;
            let channels = source.format().channels;
            let name = format!("{}, channel {}", self.name, channel + 1);
            let bar = Bar::new(&name);
            let transcript = model.transcribe(&mut Channel::new(source, channel), options, |progress| {
                if let Progress::Position { read, decoded, total } = progress {
                    bar.update(read, decoded, total);
                }
            });
            bar.finish();
            let transcript =
                transcript.map_err(|error| Failure::new(in_context(&name, &error.to_string())))?;
            partial |= report(&name, &transcript);
            transcripts.push(transcript);
            if transcripts.len() < usize::from(channels) {
                next = Some(open()?);
            }
        }
        let mut written = Ok(());
        if self.title && self.destination.is_none() {
            written = writeln!(output, "==> {} <==", printable(self.name));
        }
        match written
            .and_then(|()| self.format.write_channels(&transcripts, self.layout, &mut output))
            .and_then(|()| output.commit())
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Unwanted),
            Err(error) => Err(cannot_write(&error)),
            Ok(()) => Ok(if partial { Outcome::Partial } else { Outcome::Whole }),
        }
    }

    /// Captions on the terminal, at the pace of speech.
    fn show(
        &self,
        mut source: Box<dyn Source>,
        model: &Model,
        options: &TranscribeOptions,
    ) -> Result<Outcome, Failure> {
        let mut captions = Captions::new(Term::stdout());
        let mut shown = Ok(());
        let transcript = realtime::follow(&mut *source, model, options, |event| {
            let drawn = captions.event(event);
            if let (Ok(()), Err(error)) = (&shown, drawn) {
                shown = Err(error);
            }
        });
        let transcript =
            transcript.map_err(|error| Failure::new(in_context(self.name, &error.to_string())))?;
        drop(captions);
        shown.map_err(|error| in_printing(&error))?;
        Ok(if report(self.name, &transcript) { Outcome::Partial } else { Outcome::Whole })
    }
}

/// A recording that ends when its text can no longer be written: the rest of three hours is not
/// decoded in vain.
struct Wanted<'a> {
    source: Box<dyn Source>,
    unwanted: &'a AtomicBool,
}

impl Source for Wanted<'_> {
    fn format(&self) -> PcmFormat {
        self.source.format()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn read(&mut self, block: &mut Vec<f32>) -> Result<usize, AudioError> {
        if self.unwanted.load(Ordering::Relaxed) {
            block.clear();
            return Ok(0);
        }
        self.source.read(block)
    }

    fn take_gap(&mut self) -> u64 {
        if self.unwanted.load(Ordering::Relaxed) { 0 } else { self.source.take_gap() }
    }

    fn faults(&self) -> Faults {
        self.source.faults()
    }
}

/// Reports missing parts; returns true if there are any.
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

/// Most messages name the thing already.
fn in_context(name: &str, message: &str) -> String {
    if message.contains(name) { message.to_owned() } else { format!("{name}: {message}") }
}

fn open(args: &Args, path: &Path, name: &str) -> Result<Box<dyn Source>, Failure> {
    if let Some(encoding) = args.raw {
        let format = PcmFormat { sample_rate: args.rate, channels: args.channels };
        let reader: Box<dyn io::Read + Send> = if is_stdin(path) {
            Box::new(io::stdin())
        } else {
            Box::new(
                std::fs::File::open(path)
                    .map_err(|error| Failure::new(format!("cannot open {name}: {error}")))?,
            )
        };
        return Ok(Box::new(RawPcm::new(name, reader, format, encoding)?));
    }
    if is_stdin(path) {
        return Ok(audio::from_reader(name, io::stdin())?);
    }
    let source = audio::open_track(path, args.track.as_ref().unwrap_or(&Track::Default))?;
    if let (Some(tracks), None) = (source.tracks(), &args.track) {
        complain(&format!("{name}: it has {tracks}; --track chooses another one"));
    }
    Ok(source)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The format that a file name asks for.
fn format_of(path: Option<&Path>) -> Option<Format> {
    path?.extension()?.to_str()?.parse().ok()
}
