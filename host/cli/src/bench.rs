//! `hearken bench`: how fast a model is on this machine.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hearken::testing::Timing;
use hearken::{Error, Model};
use serde_json::json;

use super::progress::Count;
use super::{Failure, ModelArgs, in_writing};

/// Tokens of each second of speech: 150 words a minute, four tokens for three words.
const TOKENS_PER_SECOND: f64 = 150.0 / 60.0 * 4.0 / 3.0;
/// Speech in the window of a live text, in seconds: a sentence.
const LIVE_WINDOW: f64 = 10.0;
/// Minimum time for which all cores are kept busy, for each figure.
const BUSY: Duration = Duration::from_secs(3);
/// Decodes with nothing else running, of which the median counts.
const ROUNDS: usize = 5;

#[derive(clap::Args)]
#[command(
    after_help = "It decodes noise, and feeds the decoder as many tokens as speech would have; nothing depends on what is said.\n\n\
    encoder    one pass over the model's context, alone on the machine\n  \
    token      one step of the decoder, alone on the machine\n  \
    recording  seconds of speech transcribed in a second, on each core, with all cores busy\n  \
    live       speakers for each core who get a new text every second, with ten seconds in the window"
)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Print JSON, times in seconds
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let model = args.model.engine()?.load(&args.model.source()?)?;
    let bar = Count::new(ROUNDS + 2);
    bar.begin("alone".to_owned());
    let alone = alone(&model, &bar)?;
    let context = hearken::seconds(model.context_samples() as u64);
    bar.begin("recordings".to_owned());
    let recording = context / busy(&model, context)?;
    bar.done();
    bar.begin("live".to_owned());
    let live = 1.0 / busy(&model, LIVE_WINDOW.min(context))?;
    bar.finish();

    let figures = Figures { context, alone, recording, live };
    let printed = if args.json { figures.json(&model) } else { figures.text(&model) };
    match writeln!(io::stdout(), "{}", printed.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(in_writing(std::path::Path::new("standard output"), &error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

struct Figures {
    /// Seconds of audio that the encoder takes at once.
    context: f64,
    /// Seconds of one encoder pass, and of one token.
    alone: (f64, f64),
    recording: f64,
    live: f64,
}

impl Figures {
    fn text(&self, model: &Model) -> String {
        let (encoder, token) = self.alone;
        format!(
            "model      {}, {} MiB of weights packed\n\
             compute    {}\n\
             threads    {}\n\
             encoder    {:.1} ms for {:.0} s of audio\n\
             token      {:.2} ms\n\
             recording  {:.1} times as fast as speech, on each core\n\
             live       {:.1} speakers for each core, with a text every second\n",
            model.name(),
            model.packed_bytes() >> 20,
            model.engine().describe_compute(),
            model.engine().threads(),
            encoder * 1e3,
            self.context,
            token * 1e3,
            self.recording,
            self.live,
        )
    }

    fn json(&self, model: &Model) -> String {
        let value = json!({
            "hearken": env!("CARGO_PKG_VERSION"),
            "model": model.name(),
            "compute": model.engine().compute().to_string(),
            "kernels": model.engine().describe_compute(),
            "threads": model.engine().threads(),
            "packed_bytes": model.packed_bytes(),
            "context_s": self.context,
            "encoder_s": self.alone.0,
            "token_s": self.alone.1,
            "recording_speed_per_core": self.recording,
            "live_speakers_per_core": self.live,
        });
        format!("{value:#}")
    }
}

/// Makes noise, and the tokens of `seconds` seconds of speech.
fn work(model: &Model, seconds: f64) -> (Vec<f32>, Vec<u32>) {
    let rate = f64::from(hearken::SAMPLE_RATE);
    let samples = ((seconds * rate) as usize).min(model.context_samples());
    // A linear congruential generator (Knuth, volume 2, 3.3.4): any noise will do.
    let mut state = 1u32;
    let noise = (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1
        })
        .collect();
    // The decoder has room for half of its context besides the prompt.
    let room = model.checked().header.dims().n_text_ctx / 2;
    let count = ((seconds * TOKENS_PER_SECOND).ceil() as u32).min(room);
    (noise, (1000..1000 + count).collect())
}

/// Seconds of an encoder pass and of a token, with the whole machine for it.
fn alone(model: &Model, bar: &Count) -> Result<(f64, f64), Error> {
    let (samples, tokens) = work(model, 30.0);
    let mut timings = Vec::new();
    for _ in 0..ROUNDS {
        timings.push(model.sandbox()?.measure(&samples, None, &tokens)?);
        bar.done();
    }
    let median = |part: fn(&Timing) -> Duration| {
        let mut times: Vec<Duration> = timings.iter().map(part).collect();
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    Ok((median(|timing| timing.encoder), median(|timing| timing.tokens) / tokens.len().max(1) as f64))
}

/// Time that a core needs to decode `seconds` of speech in a sandbox of its own [s], with all cores
/// doing so, and no free helper threads.
fn busy(model: &Model, seconds: f64) -> Result<f64, Error> {
    let (samples, tokens) = work(model, seconds);
    let started = Instant::now();
    let decode = || {
        let mut decodes = 0u32;
        while started.elapsed() < BUSY || decodes == 0 {
            model.score(&samples, None, &tokens)?;
            decodes += 1;
        }
        Ok::<f64, Error>(started.elapsed().as_secs_f64() / f64::from(decodes))
    };
    let each: Vec<Result<f64, Error>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..model.engine().threads()).map(|_| scope.spawn(decode)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Err(Error::Panicked))).collect()
    });
    let each = each.into_iter().collect::<Result<Vec<f64>, Error>>()?;
    Ok(each.iter().sum::<f64>() / each.len() as f64)
}
