//! Effect of one tenant's load on a resource on the time of another tenant's final texts.
//!
//! Each test attacks one resource with tenant `a`, and measures `b`'s final texts alone and beside
//! it. On a machine that does other things as well the ratio is only roughly what it is; so the
//! tests fail where it is far from 1, and `make neighbors`, which has the machine for itself,
//! where it is above 1.5. There clients have other cores than the server, as they have elsewhere:
//! what an attack costs the attacker is no harm of the server's.

mod intake;
mod others;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hearken_tests::serve::Server;
use hearken_tests::tenants::{KEY_A, KEY_B, latencies, two_tenants};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Returns true for the full form, `make neighbors`.
fn is_full() -> bool {
    std::env::var_os("HEARKEN_NEIGHBORS").is_some()
}

/// Permitted delay of `b`'s final texts beside an attack: 95th percentile, as a ratio, and a time
/// that always is allowed.
fn allowed() -> (f64, Duration) {
    if is_full() { (1.5, Duration::ZERO) } else { (5.0, Duration::from_millis(500)) }
}

fn p95(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 95).div_ceil(100) - 1]
}

/// A server whose tenant `a` has the default settings.
fn server() -> Server {
    apart(|| Server::with(&two_tenants("")))
}

/// Starts a server, in the full form on the first half of the cores, and leaves the others to the
/// test and its attack.
fn apart(start: impl FnOnce() -> Server) -> Server {
    let cores = thread::available_parallelism().expect("cores").get();
    if !is_full() || cores < 2 {
        return start();
    }
    // Threads and processes inherit the cores of the thread that starts them.
    take_cores(0..cores / 2);
    let server = start();
    take_cores(cores / 2..cores);
    server
}

fn take_cores(cores: std::ops::Range<usize>) {
    let mut set = CpuSet::new();
    cores.for_each(|core| set.set(core));
    sched_setaffinity(None, &set).expect("cores that are there");
}

/// A request of tenant `a` that uploads `body`, of which `missing` bytes never come.
fn request(server: &Server, kind: &str, body: &[u8], missing: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\n{}: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        KEY_A.0,
        KEY_A.1,
        body.len() + missing
    );
    [head.as_bytes(), body].concat()
}

/// Ends the attack when it is dropped: also when `b` was refused, or the scope would wait for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Measures `b`'s final texts while `attack` runs on several threads: it is called again and again
/// until they were measured. Each of them has to be right.
#[track_caller]
fn beside(resource: &str, server: Server, threads: usize, attack: impl Fn(&Server) + Sync) {
    if is_full() {
        // Once, for everything to be loaded.
        latencies(&server, KEY_B);
    }
    let alone = latencies(&server, KEY_B);
    let (stop, begun) = (AtomicBool::new(false), std::sync::Barrier::new(threads + 1));
    let beside = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                begun.wait();
                while !stop.load(Ordering::Relaxed) {
                    attack(&server);
                }
            });
        }
        let _stop = Stop(&stop);
        begun.wait();
        if is_full() {
            // Once, for the attack to be under way.
            latencies(&server, KEY_B);
        }
        latencies(&server, KEY_B)
    });
    // Twice alone, where the ratio counts.
    let again = if is_full() { latencies(&server, KEY_B) } else { alone.clone() };
    let (quiet, loud) = (p95(&alone).max(p95(&again)), p95(&beside));
    let ratio = loud.as_secs_f64() / quiet.as_secs_f64();
    println!("| {resource} | {} | {} | {ratio:.2} |", quiet.as_millis(), loud.as_millis());
    let (most, always) = allowed();
    assert!(ratio <= most || loud <= always, "{resource}: {quiet:?} alone, {loud:?} beside");
    server.end();
}
