//! Planning: the size of a cluster for a number of streams, by a simulation with stated costs.
//!
//! Utterances of many independent streams begin at random (a Poisson process). Each takes a place
//! of a worker for as long as it is spoken; one that finds all places taken waits, first come,
//! first served. A place is the part of a worker's threads that an utterance needs. The plan has
//! the least number of workers with which 99 of 100 utterances wait no longer than is allowed.
//!
//! For exponentially distributed lengths, which are assumed here, Erlang's C formula (1917) has the
//! probability of waiting; a test compares the simulation with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::news::PERIOD;
use crate::worker::FULL;

/// Least number of utterances of a simulation.
const UTTERANCES: usize = 200_000;

/// Least length of a simulation, in mean utterances: a queue builds up within some of them.
const LENGTHS: f64 = 12.0;

/// Messages of the work queue for an utterance: the order, its receipt, its delivery and the
/// acknowledgment.
const QUEUED: f64 = 4.0;

/// Other messages of an utterance beside its decodes: offer, acceptance, and the end.
const AROUND: f64 = 3.0;

/// Bytes of a second of speech between gateway and worker: 32-bit samples at 16 kHz.
const SPEECH_BYTES: f64 = 4.0 * 16_000.0;

/// Bytes of an answer: the events of a decode.
const ANSWER_BYTES: f64 = 500.0;

/// Messages a second in which each worker and each gateway tells how busy it is, to all gateways;
/// gateways also to all workers.
const NEWS: f64 = 1_000.0 / PERIOD.as_millis() as f64;

/// Streams, what they say, and what that costs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Demand {
    /// Streams that are open.
    pub streams: u64,
    /// Part of the time in which somebody speaks, from 0 to 1.
    pub speaking: f64,
    /// Mean length of an utterance.
    pub utterance: Duration,
    /// New speech between two decodes.
    pub step: Duration,
    /// CPU seconds of a worker for each second of speech, partial texts included.
    pub cost: f64,
    /// CPU seconds of a gateway for each second of a stream, silent or not.
    pub gateway_cost: f64,
    /// Threads of a worker, and of a gateway, each with a core of its own.
    pub threads: f64,
    /// Part of them that is used: the rest is for moments in which many speak.
    pub full: f64,
    /// Longest wait of 99 of 100 utterances.
    pub wait: Duration,
}

impl Default for Demand {
    /// tiny.en on cores of an AMD EPYC (Zen 5), people who speak for two fifths of the time.
    fn default() -> Self {
        Self {
            streams: 1_000,
            speaking: 0.4,
            utterance: Duration::from_secs(4),
            step: Duration::from_millis(300),
            cost: 0.27,
            gateway_cost: 0.01,
            threads: 4.0,
            full: FULL,
            wait: Duration::from_millis(50),
        }
    }
}

/// The size of a cluster, and what goes over NATS.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Utterances that are spoken at a time, on average.
    pub speaking: f64,
    /// Workers.
    pub workers: u64,
    /// Utterances that one worker serves at a time.
    pub room: u64,
    /// Gateways.
    pub gateways: u64,
    /// Wait of 99 of 100 utterances.
    pub wait: Duration,
    /// Messages of JetStream a second.
    pub queued: f64,
    /// Other messages a second about utterances.
    pub messages: f64,
    /// Deliveries a second of what workers and gateways tell of themselves. They grow with the
    /// square of the cluster.
    pub news: f64,
    /// Bytes a second, mostly audio.
    pub bytes: f64,
}

impl Demand {
    /// Plans a cluster. `None` where a number makes no sense: nothing is said, costs nothing, or
    /// one utterance needs more than a worker has.
    pub fn plan(&self) -> Option<Plan> {
        let utterance = self.utterance.as_secs_f64();
        let step = self.step.as_secs_f64();
        let positive =
            [self.speaking, utterance, step, self.cost, self.gateway_cost, self.threads, self.full];
        if self.streams == 0 || positive.iter().any(|number| number.is_nan() || *number <= 0.0) {
            return None;
        }
        let room = (self.full * self.threads / self.cost) as u64;
        if room == 0 {
            return None;
        }
        let speaking = self.streams as f64 * self.speaking;
        let wait = |workers: u64| simulate(speaking, utterance, workers * room).p99;
        // With no more places than speak at a time on average, the wait has no end. The number that
        // speaks has its square root as standard deviation.
        let mut few = (speaking / room as f64) as u64;
        let mut enough = ((speaking + 4.0 * speaking.sqrt()) / room as f64) as u64 + 1;
        while wait(enough) > self.wait.as_secs_f64() {
            (few, enough) = (enough, enough + (enough / 8).max(1));
        }
        while enough - few > 1 {
            let between = few.midpoint(enough);
            if wait(between) <= self.wait.as_secs_f64() {
                enough = between;
            } else {
                few = between;
            }
        }
        let workers = enough;
        let gateways = (self.streams as f64 * self.gateway_cost / (self.full * self.threads)).ceil();
        let begun = speaking / utterance;
        // A call and its answer for each step, and for the final text.
        let decodes = speaking / step + begun;
        let (of_workers, of_gateways) = (workers as f64, gateways);
        Some(Plan {
            speaking,
            workers,
            room,
            gateways: gateways as u64,
            wait: Duration::from_secs_f64(wait(workers)),
            queued: begun * QUEUED,
            messages: 2.0 * decodes + begun * AROUND,
            news: NEWS * of_gateways * (2.0 * of_workers + of_gateways),
            bytes: speaking * SPEECH_BYTES + decodes * ANSWER_BYTES,
        })
    }
}

/// Result of a simulation: part of the utterances that waited, and the wait of 99 of 100 \[s\].
struct Waits {
    #[cfg_attr(not(test), allow(dead_code, reason = "Erlang's formula has it, too"))]
    waited: f64,
    p99: f64,
}

/// Simulates this number of places. `speaking` utterances of `mean` seconds are spoken at a time on
/// average. The same numbers give the same result.
fn simulate(speaking: f64, mean: f64, places: u64) -> Waits {
    let mut random = fastrand::Rng::with_seed(1);
    let mut exponential = |mean: f64| -mean * (1.0 - random.f64()).ln();
    // In order of bits, which for positive numbers is the order of the numbers.
    let mut free: BinaryHeap<Reverse<u64>> = BinaryHeap::with_capacity(places as usize);
    // As if it had run for long: what is left of an exponential length is as long as all of it.
    for place in 0..places {
        let at = if (place as f64) < speaking { exponential(mean) } else { 0.0 };
        free.push(Reverse(at.to_bits()));
    }
    let utterances = UTTERANCES.max((LENGTHS * speaking) as usize);
    let (mut now, mut waits) = (0.0, Vec::with_capacity(utterances));
    for _ in 0..utterances {
        now += exponential(mean / speaking);
        let Some(Reverse(bits)) = free.pop() else { break };
        let begin = f64::from_bits(bits).max(now);
        waits.push(begin - now);
        free.push(Reverse((begin + exponential(mean)).to_bits()));
    }
    let waited = waits.iter().filter(|wait| **wait > 0.0).count() as f64 / waits.len().max(1) as f64;
    waits.sort_by(f64::total_cmp);
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::INFINITY);
    Waits { waited, p99 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probability of waiting at `places` places, of which `load` are taken on average (Erlang C),
    /// by the recurrence of Erlang B.
    fn erlang_c(load: f64, places: u64) -> f64 {
        let blocked = (1..=places).fold(1.0, |b, n| load * b / (n as f64 + load * b));
        let free = 1.0 - load / places as f64;
        blocked / (free + (1.0 - free) * blocked)
    }

    #[test]
    fn as_many_wait_as_erlangs_formula_says() {
        for (load, places) in [(4.0, 6), (40.0, 44), (400.0, 410), (0.5, 1)] {
            let (found, expected) = (simulate(load, 4.0, places).waited, erlang_c(load, places));
            assert!((found - expected).abs() < 0.05, "{load} of {places}: {found}, not {expected}");
        }
    }

    #[test]
    fn one_worker_less_would_not_do() {
        let demand = Demand { streams: 2_000, ..Demand::default() };
        let plan = demand.plan().unwrap();
        assert!((plan.speaking - 800.0).abs() < 1e-9 && plan.room == 11, "{plan:?}");
        let wait = |workers: u64| simulate(plan.speaking, 4.0, workers * plan.room).p99;
        assert!(wait(plan.workers) <= 0.05 && wait(plan.workers - 1) > 0.05, "{plan:?}");
        // More streams need less room to spare for each.
        let large = Demand { streams: 200_000, ..Demand::default() }.plan().unwrap();
        let spare = |plan: &Plan| (plan.workers * plan.room) as f64 / plan.speaking;
        assert!(spare(&large) < spare(&plan) && spare(&large) >= 1.0, "{large:?}");
        assert!(large.news > 1_000.0 * plan.news, "it grows with the square: {large:?}");
    }

    #[test]
    fn what_makes_no_sense_is_no_plan() {
        let none = [
            Demand { streams: 0, ..Demand::default() },
            Demand { speaking: 0.0, ..Demand::default() },
            Demand { cost: f64::NAN, ..Demand::default() },
            Demand { utterance: Duration::ZERO, ..Demand::default() },
            // A large model on one thread.
            Demand { cost: 2.0, threads: 1.0, ..Demand::default() },
        ];
        assert!(none.iter().all(|demand| demand.plan().is_none()));
        assert!(Demand { streams: 1, ..Demand::default() }.plan().is_some_and(|plan| plan.workers == 1));
    }
}
