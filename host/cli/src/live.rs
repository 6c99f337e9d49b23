//! `hearken live`: a microphone in, captions out.

use std::io::{self, IsTerminal, StdoutLock};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use console::Term;
use crossbeam_channel::{Receiver, never, select, tick};
use hearken::capture::{Capture, Input, Level, Pump, System};
use hearken::formats::{Format, Writer};
use hearken::session::{CommitPolicy, Session, SessionEvent, SessionOptions};
use hearken::{Bias, Language, Model};

use super::captions::Captions;
use super::cues::CueArgs;
use super::rolling::Rolling;
use super::save::{Saved, format_of};
use super::speech::EndpointArgs;
use super::{EXIT_PARTIAL, Failure, ModelArgs, SpeechArgs, complain, in_writing};

/// Period at which the level is drawn.
const FRAME: Duration = Duration::from_millis(80);

/// Exit code that shells expect of a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

#[derive(clap::Args)]
#[command(
    after_help = "Ctrl-C ends it: what was said is still recognized and saved. Ctrl-C again ends it at once.\n\n\
    Examples:\n  \
    hearken live                                  captions of what you say\n  \
    hearken live --source system                  captions of a call or a video\n  \
    hearken live --save talk.srt --save talk.txt  subtitles and text besides\n  \
    hearken live --format jsonl | my-program      every change as a line of JSON"
)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Capture this device: its id, or a part of its name (`hearken devices` lists them)
    #[arg(long, short, value_name = "DEVICE", conflicts_with = "source")]
    device: Option<String>,
    /// Capture the default microphone, or loopback: the computer's own output
    #[arg(long, short, value_enum, default_value_t)]
    source: Source,
    /// Use this sound system instead of the default one (`hearken devices --all` lists them)
    #[arg(long, value_name = "NAME")]
    sound_system: Option<String>,
    /// Save the transcript; the name's extension selects the format (txt, srt, vtt, json, jsonl).
    /// Never overwrites
    #[arg(long, value_name = "FILE")]
    save: Vec<PathBuf>,
    /// Keep the newest two lines of the captions in this text file, for programs that show a file
    /// (OBS Studio's text source). It is replaced with each change, and empty in the end
    #[arg(long, value_name = "FILE")]
    rolling: Option<PathBuf>,
    /// txt, srt, vtt, json or jsonl on standard output instead of captions [default: captions on a
    /// terminal, else txt]
    #[arg(long, short)]
    format: Option<Format>,
    /// When to commit words (committed text is not changed again): `agreement:N` (LocalAgreement: N
    /// hypotheses in a row agree) or `attention:MS` (AlignAtt: the decoder attended to nothing in
    /// the last MS milliseconds)
    #[arg(long, value_name = "POLICY", default_value_t)]
    policy: CommitPolicy,
    /// Use the end of the previous utterance as prompt for the next one (Whisper's
    /// condition_on_previous_text) [default: the model's recommended setting]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true)]
    carry: Option<bool>,
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    speech: SpeechArgs,
    // The last: its heading holds for what is behind it.
    #[command(flatten)]
    cues: CueArgs,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Source {
    /// The default microphone
    #[default]
    Microphone,
    /// Loopback: what the computer plays (a call, a video)
    System,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let saved = args.save.iter().map(|path| format_of(path)).collect::<Result<Vec<_>, _>>()?;
    let layout = args.cues.layout(&[saved, args.format.into_iter().collect()].concat())?;
    let records = args.save.iter().map(|path| Saved::create(path, layout)).collect::<Result<Vec<_>, _>>()?;
    let rolling = args.rolling.as_deref().map(Rolling::create).transpose()?;
    let system = match &args.sound_system {
        Some(name) => System::named(name)?,
        None => System::new()?,
    };
    let input = match (&args.device, args.source) {
        (Some(device), _) => Input::Device(device.clone()),
        (None, Source::Microphone) => Input::Microphone,
        (None, Source::System) => Input::System,
    };
    let bias = args.speech.bias()?;
    let model = args.model.load()?;
    let interrupts = interrupts()?;
    // Opened last: otherwise speech before the captions run would come all at once.
    let capture = Capture::open(&system, &input)?;
    let listening = Listening { name: capture.device().name.clone(), started: Instant::now() };
    let session = Session::new(&model, args.options(&capture, bias))?;
    let events = session.events().clone();
    let pump = Pump::start(capture, session)?;

    let mut views = records.into_iter().map(View::Saved).collect::<Vec<_>>();
    views.extend(rolling.map(View::Rolling));
    if args.format.is_none() && io::stdout().is_terminal() {
        views.insert(0, View::Captions(Captions::new(Term::stdout())));
    } else {
        complain(&format!("listening to {}; Ctrl-C ends it", listening.name));
        let format = args.format.unwrap_or(Format::Text);
        let writer = Writer::with_layout(format, layout, io::stdout().lock());
        views.insert(
            0,
            View::Stream(writer.map_err(|error| in_writing(Path::new("standard output"), &error))?),
        );
    }
    Live { views, listening, language: None, dropped: false }.run(&model, &events, &interrupts, pump)
}

impl Args {
    fn options(&self, capture: &Capture, bias: Bias) -> SessionOptions {
        SessionOptions::new(capture.format())
            .language(self.speech.language())
            .languages(self.speech.languages())
            .annotations(self.speech.annotations)
            .translate(self.speech.translate)
            .prompt(self.speech.prompt.clone())
            .bias(bias)
            .voice_activity(self.endpoint.voice_activity())
            .pause(self.endpoint.pause())
            .commit(self.policy)
            .carry(self.carry)
    }
}

/// Each Ctrl-C, and each polite request to end, as an event.
fn interrupts() -> Result<Receiver<()>, Failure> {
    let (interrupt, interrupts) = crossbeam_channel::unbounded();
    ctrlc::set_handler(move || {
        let _ = interrupt.send(());
    })
    .map_err(|error| Failure::new(format!("cannot watch for Ctrl-C: {error}")))?;
    Ok(interrupts)
}

struct Listening {
    name: String,
    started: Instant,
}

/// Output for text as it comes.
enum View {
    Captions(Captions),
    Stream(Writer<StdoutLock<'static>>),
    Saved(Saved),
    Rolling(Rolling),
}

struct Live {
    views: Vec<View>,
    listening: Listening,
    language: Option<Language>,
    /// True if some audio was not recognized.
    dropped: bool,
}

impl Live {
    fn run(
        mut self,
        model: &Model,
        events: &Receiver<SessionEvent>,
        interrupts: &Receiver<()>,
        mut pump: Pump,
    ) -> Result<ExitCode, Failure> {
        let has_captions = matches!(self.views.first(), Some(View::Captions(_)));
        let frames = if has_captions { tick(FRAME) } else { never() };
        let level = pump.level().clone();
        let (mut interrupted, mut duration) = (false, 0);
        loop {
            select! {
                recv(events) -> event => match event {
                    Ok(SessionEvent::Finished { duration: length }) => duration = length,
                    Ok(event) => if !self.show(&event)? {
                        // The reader of our output has gone.
                        return Ok(ExitCode::SUCCESS);
                    },
                    Err(_) => break,
                },
                recv(interrupts) -> _ => {
                    if std::mem::replace(&mut interrupted, true) {
                        return Ok(ExitCode::from(EXIT_INTERRUPTED));
                    }
                    pump.stop();
                }
                recv(frames) -> _ => self.animate(&level, interrupted)?,
            }
        }
        let ended = pump.join();
        let only = || Some(Language { code: model.only_language()?.to_owned(), probability: None });
        let language = self.language.take().or_else(only);
        for view in self.views {
            match view {
                View::Captions(captions) => drop(captions),
                View::Rolling(rolling) => drop(rolling),
                View::Stream(writer) => match writer.end(language.as_ref(), duration) {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                        return Err(in_writing(Path::new("standard output"), &error));
                    }
                    _ => {}
                },
                View::Saved(record) => record.end(language.as_ref(), duration)?,
            }
        }
        if let Err(error) = &ended {
            complain(&error.to_string());
        }
        Ok(if ended.is_err() || self.dropped { ExitCode::from(EXIT_PARTIAL) } else { ExitCode::SUCCESS })
    }

    /// Passes an event to every view; returns false once no view wants more.
    fn show(&mut self, event: &SessionEvent) -> Result<bool, Failure> {
        match event {
            SessionEvent::Language(language) => self.language = Some(language.clone()),
            SessionEvent::Dropped { .. } => self.dropped = true,
            _ => {}
        }
        for view in &mut self.views {
            let shown = match view {
                View::Captions(captions) => captions.event(event),
                View::Stream(writer) => writer.event(event),
                View::Saved(record) => {
                    record.event(event)?;
                    continue;
                }
                View::Rolling(rolling) => {
                    rolling.event(event)?;
                    continue;
                }
            };
            match shown {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                shown => shown.map_err(|error| in_writing(Path::new("standard output"), &error))?,
            }
        }
        Ok(true)
    }

    fn animate(&mut self, level: &Level, ending: bool) -> Result<(), Failure> {
        let Some(View::Captions(captions)) = self.views.first_mut() else { return Ok(()) };
        let seconds = self.listening.started.elapsed().as_secs();
        let what = if ending { "finishing …" } else { "Ctrl-C ends" };
        let note = format!("{:02}:{:02}  {what}  {}", seconds / 60, seconds % 60, self.listening.name);
        captions
            .status(level.decibels(), &note)
            .map_err(|error| in_writing(Path::new("standard output"), &error))
    }
}
