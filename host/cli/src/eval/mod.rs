//! `hearken eval`: how good the text is, and how soon it comes, on recordings whose text is known.

mod json;
mod plot;
mod recording;
pub(crate) mod references;
mod score;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hearken::session::CommitPolicy;

use self::recording::{Noise, Setting, grouped};
use self::score::{Comparison, Configuration, Scored, Scorer, Tally};
use super::file;
use super::output::Output;
use super::progress::Count;
use super::speech::{BiasArgs, EndpointArgs, read_list};
use super::{EXIT_PARTIAL, Failure, MediaArgs, ModelArgs, complain, in_printing, in_writing, printable};

#[derive(clap::Args)]
#[command(
    after_help = "REFS.tsv has a line for each recording, with tabs between: path, language (ISO 639-1), text and, \
    if it is known, where the last word ends, in seconds.\n\
    Texts are compared after Whisper's normalizers. docs/evaluation.md says how each figure is computed.\n\n\
    Examples:\n  \
    hearken eval recordings/refs.tsv                      a table\n  \
    hearken eval refs.tsv --root ~/speech --filter clean  some of the recordings, from another folder\n  \
    hearken eval refs.tsv --json > figures.json           all figures, also of each recording\n  \
    hearken eval refs.tsv --plot latency.svg              how latencies are distributed\n  \
    hearken eval refs.tsv --policy agreement,attention --step 250,500,1000 --plot policies.svg\n  \
    \u{20}                                                     error rate against latency\n  \
    hearken eval refs.tsv --join 600                      recordings of ten minutes\n  \
    hearken eval refs.tsv --bias names.txt                how many of these names are recognized\n  \
    hearken eval refs.tsv --noise street.wav --snr 10     speech in noise"
)]
pub(crate) struct Args {
    /// List of recordings and their reference texts
    #[arg(value_name = "REFS.tsv")]
    references: PathBuf,
    /// Folder that the paths start from [default: the folder of REFS.tsv]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    media: MediaArgs,
    /// When to commit words: `agreement:N` (LocalAgreement: N hypotheses in a row agree) or
    /// `attention:MS` (AlignAtt: the decoder attended to nothing in the last MS milliseconds).
    /// Several, with commas, are compared
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_values_t = [CommitPolicy::default()])]
    policy: Vec<CommitPolicy>,
    /// Minimum new speech between two hypotheses, in milliseconds. Several, with commas, are
    /// compared
    #[arg(long, value_name = "MS", value_delimiter = ',', default_value = "300",
        value_parser = clap::value_parser!(u16).range(50..=10_000))]
    step: Vec<u16>,
    /// Compute the encoder's whole context in each window, instead of taking padding from the cache
    #[arg(long)]
    full_context: bool,
    /// Ways to transcribe, with commas: `offline`, `streaming` (computation-unaware: the clock
    /// stands while the recognizer computes), `aware` (it goes on)
    #[arg(long, value_name = "WAYS", value_delimiter = ',', default_value = "offline,streaming,aware")]
    ways: Vec<score::Way>,
    /// Use the end of the previous utterance as prompt for the next one (Whisper's
    /// condition_on_previous_text) [default: the model's recommended setting]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true)]
    carry: Option<bool>,
    /// Turn the guards against hallucinations off: shows their cost
    #[arg(long)]
    verbatim: bool,
    /// Initial prompt: text that stands for previous speech
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    #[command(flatten)]
    bias: BiasArgs,
    /// Count these words and phrases, in the form of --bias: how many of those that were said are
    /// recognized, and how many nobody said [default: those of --bias]
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Normalization of texts before they are compared
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Comparison::Whisper)]
    compare: Comparison,
    /// Use only recordings whose path contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Use at most this many recordings
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Join recordings, in the list's order, to ones of at least this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    join: Option<f64>,
    /// Minimum and maximum silence between joined recordings, in seconds
    #[arg(long, value_name = "LEAST,MOST", value_delimiter = ',', num_args = 1, default_values_t = [0.3, 3.0], requires = "join",
        value_parser = positive)]
    pause: Vec<f64>,
    /// Add a recording of noise, repeated
    #[arg(long, value_name = "FILE", requires = "snr")]
    noise: Option<PathBuf>,
    /// Signal-to-noise ratio, in decibels: level of the speech above the noise
    #[arg(long, value_name = "DB", requires = "noise", allow_negative_numbers = true)]
    snr: Option<f64>,
    /// Write all figures as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Draw the distributions of latencies and of word error rates; of several policies or steps,
    /// latency against word error rate
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
}

/// A number that is not negative.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..1e6).contains(&number) => Ok(number),
        _ => Err("not a number of seconds".to_owned()),
    }
}

/// Result of an evaluation.
struct Report {
    model: String,
    threads: usize,
    scored: Vec<Scored>,
    /// Paths of recordings without figures, and why.
    skipped: Vec<(String, String)>,
    /// Phrases are listed.
    counts_terms: bool,
    configurations: Vec<Configuration>,
    /// The sums over all recordings.
    offline: Tally,
    /// Tallies of each configuration, on each of [`score::CLOCKS`].
    streaming: Vec<[Tally; 2]>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut references = references::read(&args.references)?;
    references.retain(|reference| args.filter.as_ref().is_none_or(|text| reference.path.contains(text)));
    references.truncate(args.limit.unwrap_or(usize::MAX));
    if references.is_empty() {
        return Err(Failure::new(format!("no recordings are chosen from {}", args.references.display())));
    }
    let root = args.root.clone().unwrap_or_else(|| references::root(&args.references));
    let recordings = references.iter().map(|reference| root.join(&reference.path));
    let inputs: Vec<PathBuf> = recordings.chain([args.references.clone()]).collect();
    if let Some(input) = file::overwritten(&inputs, std::slice::from_ref(&args.plot)) {
        let message = format!("the picture would replace {}; name another file with --plot", input.display());
        return Err(Failure::usage(message));
    }
    let bias = args.bias.read()?;
    let terms = args.terms.as_deref().map_or_else(|| Ok(bias.clone()), read_list)?;
    args.media.add()?;
    let noise = args.noise.as_ref().zip(args.snr).map(|(path, snr)| Noise::read(path, snr)).transpose()?;
    let [least, most] = args.pause[..] else {
        return Err(Failure::new("--pause takes the least and the most silence, with a comma between"));
    };
    let setting = Setting { pauses: least..=most, noise };
    let groups = grouped(references, args.join, |reference| recording::length(&root.join(&reference.path)));
    let engine = args.model.engine()?;
    let model = engine.load(&args.model.source()?)?;
    let configurations: Vec<Configuration> = args
        .policy
        .iter()
        .flat_map(|policy| {
            let step = |ms: &u16| Duration::from_millis((*ms).into());
            args.step.iter().map(move |ms| Configuration { policy: *policy, step: step(ms) })
        })
        .collect();
    let scorer = Scorer {
        model: &model,
        configurations: &configurations.clone(),
        comparison: args.compare,
        full_context: args.full_context,
        ways: &args.ways,
        carry: args.carry,
        verbatim: args.verbatim,
        prompt: args.prompt.as_deref(),
        bias: &bias,
        terms: &terms,
        voice_activity: args.endpoint.voice_activity(),
        pause: args.endpoint.pause(),
        setting: &setting,
    };
    let mut report = Report {
        model: model.name().to_owned(),
        threads: engine.threads(),
        scored: Vec::new(),
        skipped: Vec::new(),
        counts_terms: !terms.is_empty(),
        offline: Tally::default(),
        streaming: vec![Default::default(); configurations.len()],
        configurations,
    };

    let bar = Count::new(groups.len());
    for parts in groups {
        let name = recording::joined(&parts).path;
        bar.begin(printable(&name));
        match scorer.score(&root, &parts) {
            Ok(scored) => {
                for reason in &scored.lost {
                    bar.suspend(|| complain(&format!("{name}: part of it was not recognized: {reason}")));
                }
                report.offline.add(&scored.offline.1);
                let both = report.streaming.iter_mut().flatten().zip(scored.streaming.iter().flatten());
                both.for_each(|(total, (_, tally))| total.add(tally));
                report.scored.push(scored);
            }
            Err(error) => {
                bar.suspend(|| complain(&format!("skipping {name}: {error}")));
                report.skipped.push((name, error.to_string()));
            }
        }
        bar.done();
    }
    bar.finish();
    if report.scored.is_empty() {
        return Err(Failure::new("none of the recordings could be evaluated"));
    }

    if let Some(path) = &args.plot {
        let cannot_write = |error: io::Error| in_writing(path, &error);
        let mut output = Output::file(path).map_err(cannot_write)?;
        output.write_all(plot::svg(&report).as_bytes()).map_err(cannot_write)?;
        output.commit().map_err(cannot_write)?;
    }
    let mut out = Output::stdout();
    let written = if args.json {
        writeln!(out, "{:#}", json::report(&report))
    } else {
        write!(out, "{}", table::table(&report))
    };
    match written.and_then(|()| out.commit()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(in_printing(&error));
        }
        _ => {}
    }
    let whole = report.skipped.is_empty() && report.scored.iter().all(|scored| scored.lost.is_empty());
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PARTIAL) })
}
