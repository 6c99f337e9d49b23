//! The most streams of speech in real time at which 95 of 100 final texts come within a second of
//! the end of their utterance, as voice activity detects it.
//!
//! hearken is asked through its WebSocket, by `hearken load`, with partial texts. The reference is
//! what whisper.cpp's own server does: one native context, one request at a time behind a lock, all
//! cores for each; it is given the same utterances at the same moments, without a network between,
//! and makes no partial texts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hearken_native::Native;
use hearken_tests::model::SyntheticModel;
use hearken_tests::serve::Server;

use crate::cores;
use crate::load::Load;
use crate::speech::{Clip, Speech};

/// Time for which a trial begins recordings [s].
pub(crate) const TRIAL: u64 = 15;
/// Time within which streams start [s].
pub(crate) const RAMP: u64 = 4;
/// Limit for the 95th percentile of final texts [s].
pub(crate) const IN_TIME: f64 = 1.0;
/// Start of the search for the embedded model's capacity.
const GUESS: usize = 64;

pub(crate) fn heading() {
    println!("streams of speech in real time at p95 of final latency < {IN_TIME} s, on {} cores", cores());
    println!("{:<28}{:>10}{:>16}{:>10}{:>8}", "", "hearken", "a core", "native", "ratio");
}

/// Compares both; hearken's.
pub(crate) fn embedded(speech: &Speech) -> usize {
    let bytes = hearken::model::embedded().expect("the embedded model");
    let theirs = Native::load(&bytes);
    let theirs = search(GUESS, |streams| reference(&theirs, speech, streams, false));
    let ours = of_embedded(speech);
    compare("embedded model", ours, theirs);
    ours
}

/// hearken's own, with the embedded model.
pub(crate) fn of_embedded(speech: &Speech) -> usize {
    let server = serve(None);
    let most = search(GUESS, |streams| trial(&server, speech, streams, true));
    server.end();
    most
}

/// Measures with random weights: their text is nonsense, at the usual cost.
pub(crate) fn tiny(speech: &Speech) {
    let file = speech.folder.path().join("tiny.bin");
    // Such a model never ends by itself: a short text context ends it, after 28 tokens.
    let bytes = SyntheticModel { n_text_ctx: 64, ..SyntheticModel::tiny() }.bytes();
    std::fs::write(&file, &bytes).expect("room for a model");
    let theirs = Native::load(&bytes);
    // Random weights draw no sensible text, and would draw again and again.
    let theirs = search(4, |streams| reference(&theirs, speech, streams, true));
    let server = serve(Some(&file));
    let ours = search(4, |streams| trial(&server, speech, streams, false));
    server.end();
    compare("tiny's dimensions, random", ours, theirs);
}

fn compare(name: &str, ours: usize, theirs: usize) {
    let (each, ratio) = (ours as f64 / cores() as f64, ours as f64 / theirs.max(1) as f64);
    println!("{name:<28}{ours:>10}{each:>16.1}{theirs:>10}{ratio:>8.2}");
}

/// The most streams at which a trial's latency is in time: doubled, or halved, from a guess, then
/// narrowed down to a tenth.
fn search(guess: usize, trial: impl Fn(usize) -> f64) -> usize {
    let fits = |streams: usize| {
        let latency = trial(streams);
        eprintln!("  {streams} streams: {latency:.3} s");
        latency < IN_TIME
    };
    let (mut good, mut bad) = (0, guess);
    while fits(bad) {
        (good, bad) = (bad, bad * 2);
    }
    while good == 0 && bad > 1 {
        let half = bad / 2;
        if fits(half) { good = half } else { bad = half }
    }
    while bad - good > (good / 10).max(1) {
        let middle = good.midpoint(bad);
        if fits(middle) { good = middle } else { bad = middle }
    }
    good
}

/// The 95th percentile of final texts' latency; without end if something was lost, of the words too
/// where they make sense.
fn trial(server: &Server, speech: &Speech, streams: usize, sense: bool) -> f64 {
    let figures = Load { server, speech, streams, seconds: TRIAL, ramp: RAMP, key: None }.run();
    let whole = figures.is_whole() && (!sense || figures.words_lost() == 0);
    if whole { figures.latency() } else { f64::INFINITY }
}

/// A server that refuses nobody: what is measured is where it should.
fn serve(model: Option<&Path>) -> Server {
    let model = model.map_or_else(|| "embedded".to_owned(), |path| path.display().to_string());
    Server::with(&format!("[admission]\nenabled = false\n[models]\nmodel = {model:?}\n"))
}

/// The 95th percentile of what native whisper.cpp takes from an utterance's end to its text.
fn reference(native: &Native, speech: &Speech, streams: usize, once: bool) -> f64 {
    let mut due: BTreeMap<(u64, usize, usize), &[f32]> = BTreeMap::new();
    for stream in 0..streams {
        let mut at = RAMP as f64 * stream as f64 / streams as f64;
        for clip in stream.. {
            if at >= TRIAL as f64 {
                break;
            }
            let Clip { seconds, utterances } = &speech.clips[clip % speech.clips.len()];
            for (end, samples) in utterances {
                due.insert((((at + end) * 1e6) as u64, stream, clip), samples);
            }
            at += seconds;
        }
    }
    let mut state = native.state();
    state.set_threads(cores());
    let begin = Instant::now();
    let mut latencies = Vec::new();
    for ((micros, ..), samples) in due {
        let due = begin + Duration::from_micros(micros);
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        if once {
            state.hear_once(samples)
        } else {
            state.hear(samples)
        };
        let latency = due.elapsed().as_secs_f64();
        latencies.push(latency);
        if latency > 20.0 * IN_TIME {
            // The server falls behind without end.
            return latency;
        }
    }
    latencies.sort_by(f64::total_cmp);
    latencies[(latencies.len() * 95).div_ceil(100) - 1]
}
