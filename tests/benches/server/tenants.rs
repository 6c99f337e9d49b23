//! Effect of streams beyond the capacity on those that were there before.

use hearken_server::KeyHash;
use hearken_tests::serve::Server;

use crate::capacity::RAMP;
use crate::load::{Figures, Load};
use crate::speech::Speech;

/// Time for which a load begins recordings [s].
const TRIAL: u64 = 30;

/// Twice as many as it can serve, of a server as it comes: it refuses some, and keeps the others in
/// time.
pub(crate) fn too_many(speech: &Speech, capacity: usize) {
    let server = Server::with("[models]\nmodel = \"embedded\"\n");
    let streams = capacity * 2;
    let figures = Load { server: &server, speech, streams, seconds: TRIAL, ramp: RAMP, key: None }.run();
    println!(
        "{streams} streams that come within {RAMP} s: {} served, refused: {}; p95 of final latency {:.3} s, {} words lost",
        figures.complete(),
        figures.get("refused"),
        figures.latency(),
        figures.words_lost(),
    );
    server.end();
}

/// A tenant that uses half of its share, beside one that asks for ten times its own: with the
/// admission of a server as it comes, and without any.
pub(crate) fn fairness(speech: &Speech, capacity: usize) {
    for admission in [true, false] {
        let server = Server::with(&configuration(admission));
        let load =
            |key, streams, seconds| Load { server: &server, speech, streams, seconds, ramp: RAMP, key };
        let quiet = load(Some("quiet"), capacity / 4, TRIAL);
        let alone = quiet.run();
        let share = capacity / 2;
        // A little later than the quiet one begins: who comes first has its place.
        let quiet = quiet.start();
        std::thread::sleep(std::time::Duration::from_secs(RAMP));
        let greedy = load(Some("greedy"), 10 * share, TRIAL).start();
        let (beside, greedy) = (Figures::of(quiet), Figures::of(greedy));
        println!(
            "{} streams of one tenant, beside {} of another {} admission: p95 of final latency {:.3} s, alone {:.3} s: {:.2} times; \
             words lost: {}, the other's p95 {:.3} s, {} of its streams served",
            capacity / 4,
            10 * share,
            if admission { "with" } else { "without" },
            beside.latency(),
            alone.latency(),
            beside.latency() / alone.latency(),
            beside.words_lost(),
            greedy.latency(),
            greedy.complete(),
        );
        server.end();
    }
}

fn configuration(admission: bool) -> String {
    let tenant = |name| format!("[tenants.{name}]\nstreams = 5000\nkeys = [\"{}\"]\n", KeyHash::of(name));
    let tenants = ["quiet", "greedy"].map(tenant).concat();
    format!("[admission]\nenabled = {admission}\n[models]\nmodel = \"embedded\"\n{tenants}")
}
