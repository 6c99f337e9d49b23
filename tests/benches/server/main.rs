//! Capacity of `hearken serve`: `make bench-server` and `make soak-server`.

mod capacity;
mod load;
mod soak;
mod speech;
mod tenants;

use std::process::ExitCode;

use self::speech::Speech;

fn main() -> ExitCode {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let speech = Speech::new();
    if let Some(seconds) = number("HEARKEN_SOAK_SECONDS") {
        let well = soak::soak(&speech, seconds as u64, number("HEARKEN_SOAK_STREAMS"));
        return if well { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if wanted("embedded") || wanted("tiny") {
        capacity::heading();
    }
    let known = number("HEARKEN_CAPACITY");
    let known = if wanted("embedded") { Some(capacity::embedded(&speech)) } else { known };
    if wanted("tiny") {
        capacity::tiny(&speech);
    }
    if wanted("tenants") {
        let capacity = known.unwrap_or_else(|| capacity::of_embedded(&speech));
        tenants::too_many(&speech, capacity);
        tenants::fairness(&speech, capacity);
    }
    ExitCode::SUCCESS
}

/// Returns true if this is to be measured: everything, or what `HEARKEN_MEASURE` names.
fn wanted(measure: &str) -> bool {
    std::env::var("HEARKEN_MEASURE").map_or(true, |only| only == measure)
}

fn number(variable: &str) -> Option<usize> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
