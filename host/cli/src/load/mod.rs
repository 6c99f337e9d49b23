//! `hearken load`: many streams of speech at once, in real time, against a server.

mod clips;
mod dialect;
mod files;
mod report;
mod server;
mod stream;
mod tally;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::clips::Clip;
use self::dialect::Protocol;
use self::server::Server;
use self::tally::Tally;
use super::eval::references;
use super::output::Output;
use super::progress::Timed;
use super::{EXIT_PARTIAL, Failure, complain, in_printing, printable};

/// Threads of the generator: it moves bytes, and must not take the server's cores where both share
/// a machine.
const THREADS: usize = 2;

#[derive(clap::Args)]
#[command(
    after_help = "Each stream plays recordings of the list one after the other, as a microphone would: blocks of --block ms, each sent \
    when its last sample is due, with --pause ms of silence between recordings. Streams start one after the other within \
    --ramp seconds. When --duration is over each ends after its recording.\n\
    Latency is measured from the moment the audio was due, so a slow server cannot hide its own delay. Final latency is \
    given from where speech ends and from where the server says that it ended; the former is REFS.tsv's fourth column, else the \
    last sound within 30 dB of the loudest. `words lost` are words of the list that are missing in the text.\n\
    Exit code 3: some streams were refused or broke, or the server dropped audio.\n\n\
    Examples:\n  \
    hearken load --refs refs.tsv                                      one stream to a server on this machine\n  \
    hearken load --refs refs.tsv --streams 200 --duration 60          200 of them for a minute\n  \
    hearken load --refs refs.tsv --url https://host --key hk_…        elsewhere, with a key\n  \
    hearken load --refs refs.tsv --protocol files --streams 8         uploads instead of streams\n  \
    hearken load --refs refs.tsv --streams 50 --json > figures.json   all figures"
)]
pub(crate) struct Args {
    /// The server's address, without a path
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// List of recordings and their reference texts, as `hearken eval` takes it
    #[arg(long, value_name = "REFS.tsv")]
    refs: PathBuf,
    /// Folder that the paths start from [default: the folder of REFS.tsv]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Use only recordings whose path contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Use at most this many recordings
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Number of concurrent streams
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    streams: u32,
    /// Seconds for which recordings are begun
    #[arg(long, short, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    duration: u32,
    /// Seconds within which streams start
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    ramp: u32,
    /// Protocol to use
    #[arg(long, short, value_enum, default_value_t = Protocol::Hearken)]
    protocol: Protocol,
    /// API key [default: the environment variable HEARKEN_KEY]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The model [default: the server's]
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// Milliseconds of audio in a message
    #[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(20..=100))]
    block: u32,
    /// Milliseconds of silence after each recording
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pause: u32,
    /// Write all figures as JSON instead of the table
    #[arg(long)]
    json: bool,
}

/// Settings and counters that all streams share.
struct Plan {
    server: Server,
    protocol: Protocol,
    model: Option<String>,
    block: Duration,
    pause: Duration,
    streams: usize,
    /// Time after which no recording begins.
    until: Instant,
    clips: Vec<Clip>,
    over: AtomicBool,
    live: Live,
}

/// Progress of the load.
#[derive(Default)]
struct Live {
    open: AtomicUsize,
    most: AtomicUsize,
    recordings: AtomicUsize,
}

impl Live {
    fn opened(&self) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn played(&self) {
        self.recordings.fetch_add(1, Ordering::Relaxed);
    }

    /// Most streams that were open at once.
    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Plan {
    /// The recordings of a stream, without end: those of one language, since a stream has one.
    fn playlist(&self, first: usize) -> impl Iterator<Item = usize> {
        let count = self.clips.len();
        let language = self.clips[first % count].language.clone();
        (first..).map(move |index| index % count).filter(move |&clip| self.clips[clip].language == language)
    }

    /// Language that a stream states.
    fn language(&self, first: usize) -> Option<&str> {
        Some(self.clips[first % self.clips.len()].language.as_str())
    }

    /// Returns true after Ctrl-C.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let key = args.key.clone().or_else(|| std::env::var("HEARKEN_KEY").ok());
    let server = Server::new(&args.url, key.as_deref())?;
    let (clips, skipped) = read(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    let started = std::time::Instant::now();
    let (plan, tally) = runtime.block_on(play(args, server, clips));
    let took = started.elapsed().as_secs_f64();
    if tally.recordings == 0 {
        let why = tally.refused.keys().chain(tally.broken.keys()).next().cloned();
        let why = why.unwrap_or_else(|| "no recording was sent to its end; give more --duration".to_owned());
        return Err(Failure::new(format!("nothing was measured at {}: {why}", args.url)));
    }
    let mut out = Output::stdout();
    let written = if args.json {
        writeln!(out, "{:#}", report::json(&plan, &tally, took))
    } else {
        write!(out, "{}", report::table(&plan, &tally, took))
    };
    match written.and_then(|()| out.commit()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(in_printing(&error));
        }
        _ => {}
    }
    let whole = tally.is_whole() && !skipped;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PARTIAL) })
}

/// Reads the recordings; returns true beside them if some could not be read.
fn read(args: &Args) -> Result<(Vec<Clip>, bool), Failure> {
    let mut list = references::read(&args.refs)?;
    list.retain(|reference| args.filter.as_ref().is_none_or(|text| reference.path.contains(text)));
    list.truncate(args.limit.unwrap_or(usize::MAX));
    let root = args.root.clone().unwrap_or_else(|| references::root(&args.refs));
    let (mut clips, mut skipped) = (Vec::new(), BTreeSet::new());
    for reference in &list {
        match Clip::read(&root, reference) {
            Ok(clip) if clip.pcm.is_empty() => {
                skipped.insert(format!("skipping {}: it is empty", reference.path));
            }
            Ok(clip) => clips.push(clip),
            Err(error) => {
                skipped.insert(format!("skipping {}: {error}", reference.path));
            }
        }
    }
    skipped.iter().for_each(|reason| complain(reason));
    if clips.is_empty() {
        return Err(Failure::new(format!("no recordings are chosen from {}", args.refs.display())));
    }
    Ok((clips, !skipped.is_empty()))
}

/// Runs all streams to their end.
async fn play(args: &Args, server: Server, clips: Vec<Clip>) -> (Arc<Plan>, Tally) {
    let length = Duration::from_secs(args.duration.into());
    let start = Instant::now();
    let plan = Arc::new(Plan {
        server,
        protocol: args.protocol,
        model: args.model.clone(),
        block: Duration::from_millis(args.block.into()),
        pause: Duration::from_millis(args.pause.into()),
        streams: args.streams as usize,
        until: start + length,
        clips,
        over: AtomicBool::new(false),
        live: Live::default(),
    });
    let between = Duration::from_secs(args.ramp.into()) / args.streams;
    let streams: Vec<_> = (0..plan.streams)
        .map(|index| {
            let plan = Arc::clone(&plan);
            tokio::spawn(async move {
                sleep_until(start + between * index as u32).await;
                match plan.protocol {
                    Protocol::Files => Outcome::Uploaded(files::upload(&plan, index).await),
                    _ => Outcome::Played(stream::play(&plan, index).await),
                }
            })
        })
        .collect();
    let watch = tokio::spawn(watch(Arc::clone(&plan), length));
    let mut tally = Tally::default();
    for stream in streams {
        match stream.await {
            Ok(Outcome::Played(played)) => tally.played(&plan.clips, &played),
            Ok(Outcome::Uploaded(uploaded)) => tally.uploaded(&plan.clips, &uploaded),
            Err(error) => *tally.broken.entry(printable(&error.to_string())).or_default() += 1,
        }
    }
    watch.abort();
    let _ = watch.await;
    (plan, tally)
}

enum Outcome {
    Played(stream::Played),
    Uploaded(files::Uploaded),
}

/// Shows how it goes. Ctrl-C ends it as if the time were over; again, at once.
async fn watch(plan: Arc<Plan>, length: Duration) {
    struct Shown(Timed);
    impl Drop for Shown {
        fn drop(&mut self) {
            self.0.finish();
        }
    }
    let bar = Shown(Timed::new(length));
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let Live { open, recordings, .. } = &plan.live;
                let (open, played) = (open.load(Ordering::Relaxed), recordings.load(Ordering::Relaxed));
                bar.0.update(&format!("{open} of {} streams, {played} recordings", plan.streams));
            }
            Ok(()) = tokio::signal::ctrl_c() => {
                if plan.over.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        }
    }
}
