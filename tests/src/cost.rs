//! Comparison of the cost of several ways to do something: run in turn, printed as one table.
//!
//! The bench of the GStreamer element, which is in a workspace of its own, includes this file; it
//! names nothing of this crate.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Measures each way `rounds` times, in turn. Each round begins with another one, so that none
/// always follows the same.
pub fn in_turn<const N: usize>(rounds: usize, ways: [&mut dyn FnMut() -> f64; N]) -> [Vec<f64>; N] {
    let mut values = [const { Vec::new() }; N];
    for round in 0..rounds {
        for way in (0..N).map(|way| (round + way) % N) {
            values[way].push(ways[way]());
        }
    }
    values
}

/// Seconds of CPU time of the whole process.
pub fn spent(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = now();
    work();
    now() - before
}

/// Seconds from the push of the last block before the stamp until the stamp: how long the event of
/// that block was under way.
///
/// # Panics
///
/// When there is no stamp, or it is older than all blocks.
pub fn since<B>(
    blocks: impl IntoIterator<Item = B>,
    mut push: impl FnMut(B),
    stamp: impl FnOnce() -> Option<Instant>,
) -> f64 {
    let mut pushes = Vec::new();
    for block in blocks {
        // As in real use, the thread that waits for an event has gone to sleep, and has the event
        // before the next block comes.
        std::thread::sleep(Duration::from_millis(1));
        pushes.push(Instant::now());
        push(block);
    }
    let stamp = stamp().expect("the event comes");
    let pushed = pushes.into_iter().rfind(|pushed| *pushed <= stamp).expect("it was pushed before");
    (stamp - pushed).as_secs_f64()
}

/// Prints times in microseconds, and how much more each way takes than the first.
pub fn print_latencies<const N: usize>(names: [&str; N], values: [Vec<f64>; N]) {
    println!("{:34}   median     95 %   more than {}", "from push to event, µs", names[0]);
    let first = quantile(&values[0], 0.5);
    for (name, values) in names.iter().zip(&values) {
        let (median, high) = (quantile(values, 0.5), quantile(values, 0.95));
        println!("  {name:32} {:8.1} {:8.1} {:+8.1}", median * 1e6, high * 1e6, (median - first) * 1e6);
    }
}

/// Prints times in milliseconds, and their ratio to the first way's time of the same round: its
/// median, and between what it lies with a certainty of 95 % (the order statistics of that
/// confidence).
pub fn print_costs<const N: usize>(what: &str, names: [&str; N], values: [Vec<f64>; N]) {
    println!("{what:34}   median    ratio to {} (95 % certain)", names[0]);
    for (name, way) in names.iter().zip(&values) {
        let ratios: Vec<f64> = way.iter().zip(&values[0]).map(|(way, first)| way / first).collect();
        let half = 0.98 / (ratios.len() as f64).sqrt();
        let [low, median, high] = [0.5 - half, 0.5, 0.5 + half].map(|part| quantile(&ratios, part));
        println!("  {name:32} {:8.1} {median:8.4}  {low:.4} to {high:.4}", quantile(way, 0.5) * 1e3);
    }
}

/// Value below which this part of them lies.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}
