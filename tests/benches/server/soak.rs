//! Four fifths of what the server can do, for long: nothing is lost, and memory does not grow.

use std::time::{Duration, Instant};

use hearken_tests::serve::Server;
use hearken_tests::trend::Trend;

use crate::capacity::{self, IN_TIME};
use crate::load::{Figures, Load};
use crate::speech::Speech;

/// Time within which streams start [s].
const RAMP: u64 = 20;
/// Permitted growth of memory in the second half, as a fraction. An allocator's reserves come and
/// go by that much.
const GROWTH: f64 = 0.02;

/// Resident memory at a moment, without the sandboxes that live at that moment.
struct Sample {
    /// Time [s].
    at: f64,
    /// Resident memory, in bytes.
    rest: f64,
    sandboxes: f64,
}

impl Sample {
    fn of(server: &Server, begin: Instant) -> Self {
        let metrics = server.get("/metrics", &[]).body;
        let memory = |kind| {
            let name = format!("hearken_memory_bytes{{kind=\"{kind}\"}} ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}in {metrics}"))
        };
        let sandboxes: f64 = memory("sandboxes");
        Self { at: begin.elapsed().as_secs_f64(), rest: memory("resident") - sandboxes, sandboxes }
    }
}

/// Returns true if all is well.
pub(crate) fn soak(speech: &Speech, seconds: u64, streams: Option<usize>) -> bool {
    let streams = streams.unwrap_or_else(|| (capacity::of_embedded(speech) * 4 / 5).max(1));
    // With admission as it comes: it must not refuse any of these.
    let server = Server::with("[models]\nmodel = \"embedded\"\n");
    let begin = Instant::now();
    let mut load = Load { server: &server, speech, streams, seconds, ramp: RAMP, key: None }.start();
    let mut samples = Vec::new();
    let step = Duration::from_secs((seconds / 120).max(1));
    while begin.elapsed() < Duration::from_secs(seconds) && load.try_wait().expect("it was started").is_none()
    {
        samples.push(Sample::of(&server, begin));
        std::thread::sleep(step);
    }
    let figures = Figures::of(load);
    server.end();
    let half = samples.partition_point(|sample| sample.at < seconds as f64 / 2.0);
    let (first, second) = samples.split_at(half);
    assert!(first.len() > 10 && second.len() > 10, "too short to say anything: {} samples", samples.len());
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let most = samples.iter().map(|sample| sample.sandboxes).fold(0.0, f64::max);
    let trend = |samples: &[Sample]| {
        Trend::of(&samples.iter().map(|sample| (sample.at, sample.rest)).collect::<Vec<_>>())
    };
    let (early, late) = (trend(first), trend(second));
    println!("{streams} streams for {seconds} s, {} recordings", figures.get("recordings"));
    println!(
        "resident memory without living sandboxes: {:.1} MiB on average in the first half, {:.1} MiB in the second, in which it \
         grew by {:.2} MiB; sandboxes: at most {:.1} MiB",
        mib(early.mean),
        mib(late.mean),
        mib(late.growth),
        mib(most)
    );
    println!("words: {}", figures.get("words"));
    for name in ["refused", "broken", "dropped_s", "final_latency_detected_s"] {
        println!("{name}: {}", figures.get(name));
    }
    let wrong: Vec<&str> = [
        (late.growth > GROWTH * late.mean, "memory grows"),
        (figures.words_lost() > 0, "words were lost"),
        (!figures.is_whole(), "streams were refused or broke, or audio was dropped"),
        (figures.latency() >= IN_TIME, "final texts are late"),
    ]
    .into_iter()
    .filter_map(|(wrong, what)| wrong.then_some(what))
    .collect();
    println!("{}", if wrong.is_empty() { "well".to_owned() } else { wrong.join("; ") });
    wrong.is_empty()
}
