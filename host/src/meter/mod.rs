//! Statistics of sandboxes: counted for each model, and for each share of the engine.

#[cfg(feature = "service")]
mod active_streams;
mod memory_quota;
#[cfg(feature = "service")]
mod stats;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hearken_proto::{Event, Request};
use parking_lot::Mutex;

#[cfg(feature = "service")]
pub use self::active_streams::ActiveStream;
pub(crate) use self::memory_quota::{MemoryQuota, QuotaUse};
#[cfg(feature = "service")]
pub use self::stats::{Decodes, Stats};
use crate::moving_average::MovingRatio;
use crate::preempt::cpu_time;
use crate::sandbox::{SandboxError, TrapKind};
use crate::seconds;

/// Time constant [utterances] of the exponential moving average in [`Meter::cost_of_speech`].
const MEMORY: f64 = 50.0;

/// Purpose of a decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A text that will be replaced.
    Partial,
    /// The text of an utterance that has ended.
    Final,
    /// A chunk of a recording.
    Recording,
}

impl Work {
    /// Purpose of a request; `None` for those that decode nothing.
    fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Partial(_) => Some(Self::Partial),
            Request::Final(_) => Some(Self::Final),
            Request::Decode(_) | Request::Detect(_) => Some(Self::Recording),
            Request::Drain
            | Request::LearnPadding
            | Request::Score { .. }
            | Request::Media(_)
            | Request::Forget => None,
        }
    }
}

/// Number of kinds of work.
const KINDS: usize = 3;

/// Reasons of failures of a sandbox, as they are named in metrics.
// In the order of `kind`.
#[cfg_attr(not(feature = "service"), allow(unreachable_pub, reason = "`service` exports it"))]
pub const FAILURES: [&str; 9] =
    ["out_of_bounds", "stack", "abort", "bad_call", "trap", "cpu_time", "memory", "misbehaved", "refused"];

/// Counters. All of them only grow, but for `live` and `speakers`.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    decodes: [AtomicU64; KINDS],
    cpu_nanos: [AtomicU64; KINDS],
    encodes: AtomicU64,
    /// CPU time of the audio intake.
    intake_nanos: AtomicU64,
    failures: [AtomicU64; FAILURES.len()],
    joined: AtomicU64,
    live: AtomicU64,
    #[cfg(feature = "service")]
    active_streams: Mutex<active_streams::ActiveStreams>,
    /// Address ranges of the memories of living sandboxes.
    spaces: Mutex<Vec<Range<usize>>>,
    speech: Mutex<Speech>,
}

/// Exponential moving average of the cost of utterances.
///
/// A text costs by the window: one word takes about as long as a window full of them. Texts without
/// partial ones show the cost of a window; on a busy machine these are the short ones. All
/// utterances show the length of speech.
#[derive(Debug, Default, Clone, Copy)]
struct Speech {
    /// CPU time [s] of a window, from utterances without partial texts.
    window: MovingRatio,
    /// Number of windows in a second of speech, from all utterances, counted as without partial
    /// texts.
    windows: MovingRatio,
}

impl Meter {
    /// Records a decode: its CPU time, and its encoder passes.
    pub(crate) fn decoded(&self, work: Work, cpu: Duration, encodes: u64) {
        self.decodes[work as usize].fetch_add(1, Relaxed);
        self.cpu_nanos[work as usize].fetch_add(cpu.as_nanos() as u64, Relaxed);
        self.encodes.fetch_add(encodes, Relaxed);
    }

    /// CPU time went into audio before it was recognized.
    pub(crate) fn took_in(&self, cpu: Duration) {
        self.intake_nanos.fetch_add(cpu.as_nanos() as u64, Relaxed);
    }

    /// CPU time of the audio intake.
    pub(crate) fn intake(&self) -> Duration {
        Duration::from_nanos(self.intake_nanos.load(Relaxed))
    }

    /// Records the CPU time of the final text of `windows` windows, where no partial text has done
    /// a part of it before.
    pub(crate) fn learn(&self, cpu: Duration, windows: u64) {
        self.speech.lock().window.add(1.0 / MEMORY, cpu.as_secs_f64(), windows as f64);
    }

    /// Records speech of this length: `windows` windows where there are no partial texts.
    pub(crate) fn spoken(&self, samples: u64, windows: u64) {
        self.speech.lock().windows.add(1.0 / MEMORY, windows as f64, seconds(samples));
    }

    /// CPU time that final texts take for each second of speech, all threads together, where there
    /// is no time for partial texts; `None` before there were any.
    pub(crate) fn cost_of_speech(&self) -> Option<f64> {
        let Speech { window, windows } = *self.speech.lock();
        Some(window.value()? * windows.value()?)
    }

    pub(crate) fn failed(&self, error: &SandboxError) {
        if let Some(kind) = kind(error) {
            self.failures[kind].fetch_add(1, Relaxed);
        }
    }

    /// Counts partial texts that were due and were not made, since a later text replaces them.
    pub(crate) fn joined(&self, count: u64) {
        self.joined.fetch_add(count, Relaxed);
    }

    /// Sandboxes that live now.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Relaxed)
    }

    /// Address ranges of its sandboxes' memories.
    pub(crate) fn spaces(&self) -> Vec<Range<usize>> {
        self.spaces.lock().clone()
    }

    pub(crate) fn decodes(&self, work: Work) -> u64 {
        self.decodes[work as usize].load(Relaxed)
    }

    pub(crate) fn cpu(&self, work: Work) -> Duration {
        Duration::from_nanos(self.cpu_nanos[work as usize].load(Relaxed))
    }

    pub(crate) fn encodes(&self) -> u64 {
        self.encodes.load(Relaxed)
    }

    pub(crate) fn joins(&self) -> u64 {
        self.joined.load(Relaxed)
    }

    /// Failures, in the order of [`FAILURES`].
    pub(crate) fn failures(&self) -> [u64; FAILURES.len()] {
        self.failures.each_ref().map(|count| count.load(Relaxed))
    }
}

/// Counts a sandbox as living, for each of its meters, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Metered {
    meters: Vec<Arc<Meter>>,
    space: Option<Range<usize>>,
    /// CPU time that making the sandbox took.
    making: Duration,
    /// CPU time of all its decodes, and how many they were.
    spent: Duration,
    decodes: u64,
    /// True if it was made for a final text, without partial ones before, and that text is there.
    pub(crate) for_final: bool,
    complete: bool,
    /// CPU time of the task when the sandbox began to end.
    pub(crate) leaving: Option<Duration>,
}

impl Metered {
    pub(crate) fn new(meters: impl IntoIterator<Item = Arc<Meter>>) -> Self {
        let meters: Vec<_> = meters.into_iter().collect();
        for meter in &meters {
            meter.live.fetch_add(1, Relaxed);
        }
        let mut metered = Self::default();
        metered.meters = meters;
        metered
    }

    /// Sets the address range of its memory.
    pub(crate) fn lives_at(&mut self, space: Range<usize>) {
        self.meters.iter().for_each(|meter| meter.spaces.lock().push(space.clone()));
        self.space = Some(space);
    }

    /// Records the CPU time of making the sandbox.
    pub(crate) fn overhead(&mut self, cpu: Duration) {
        self.making = cpu;
    }

    /// Records a decode.
    fn decoded(&mut self, work: Work, cpu: Duration, encodes: u64) {
        self.spent += cpu;
        self.decodes += 1;
        self.complete |= work == Work::Final;
        self.each(|meter| meter.decoded(work, cpu, encodes));
    }

    /// Records a request that was answered, and the CPU time that it took.
    pub(crate) fn answered(&mut self, request: &Request, spent: Duration, events: &[Event]) {
        if let Some(work) = Work::of(request) {
            self.decoded(work, spent, events.iter().map(encodes).sum());
        }
    }

    /// Calls `count` with each meter.
    pub(crate) fn each(&self, count: impl Fn(&Meter)) {
        self.meters.iter().for_each(|meter| count(meter));
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let leaving = self.leaving.map_or(Duration::ZERO, |began| cpu_time().saturating_sub(began));
        for meter in &self.meters {
            meter.live.fetch_sub(1, Relaxed);
            if self.for_final && self.complete {
                meter.learn(self.making + self.spent + leaving, self.decodes);
            }
            if let Some(space) = &self.space {
                let mut spaces = meter.spaces.lock();
                if let Some(at) = spaces.iter().position(|other| other == space) {
                    spaces.swap_remove(at);
                }
            }
        }
    }
}

/// Encoder passes that an event tells of.
fn encodes(event: &Event) -> u64 {
    match event {
        Event::Decoded { encodes, .. } | Event::Hypothesis { encodes, .. } => u64::from(*encodes),
        _ => 0,
    }
}

/// Index of a failure in [`FAILURES`]; `None` if it is the machine's or the module's, and no
/// sandbox's.
fn kind(error: &SandboxError) -> Option<usize> {
    Some(match error {
        SandboxError::Trap { kind: TrapKind::MemoryOutOfBounds, .. } => 0,
        SandboxError::Trap { kind: TrapKind::StackOverflow, .. } => 1,
        SandboxError::Trap { kind: TrapKind::Abort, .. } => 2,
        SandboxError::Trap { kind: TrapKind::BadCall, .. } => 3,
        SandboxError::Trap { kind: TrapKind::Other, .. } => 4,
        SandboxError::CpuTime { .. } => 5,
        SandboxError::Memory { .. } | SandboxError::Held { .. } => 6,
        SandboxError::Misbehaved(_) => 7,
        SandboxError::Refused { .. } => 8,
        SandboxError::Engine(_)
        | SandboxError::NotAGuest(_)
        | SandboxError::Abi { .. }
        | SandboxError::Image(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SAMPLE_RATE;

    #[test]
    fn the_cost_of_speech_follows_what_it_costs_now() {
        let meter = Meter::default();
        assert_eq!(meter.cost_of_speech(), None);
        let second = u64::from(SAMPLE_RATE);
        meter.learn(Duration::from_secs(9), 3);
        assert_eq!(meter.cost_of_speech(), None);
        meter.spoken(3 * second, 3);
        assert_eq!(meter.cost_of_speech(), Some(3.0));
        for _ in 0..500 {
            meter.learn(Duration::from_millis(100), 1);
            meter.spoken(second, 1);
        }
        let cost = meter.cost_of_speech().unwrap();
        assert!((0.0999..0.11).contains(&cost), "{cost}");
    }

    #[test]
    fn short_words_without_partial_texts_do_not_make_long_sentences_dear() {
        let meter = Meter::default();
        let second = u64::from(SAMPLE_RATE);
        for _ in 0..500 {
            // One utterance of one word, for which there was no time but at the end; another one of
            // four seconds.
            meter.learn(Duration::from_millis(100), 1);
            meter.spoken(second, 1);
            meter.spoken(4 * second, 1);
        }
        let cost = meter.cost_of_speech().unwrap();
        assert!((0.039..0.041).contains(&cost), "{cost}");
    }

    #[test]
    fn an_utterance_with_partial_texts_says_nothing_of_what_it_costs_without() {
        let meter = Arc::new(Meter::default());
        let speak = |for_final| {
            let mut metered = Metered::new([Arc::clone(&meter)]);
            metered.for_final = for_final;
            metered.decoded(Work::Partial, Duration::from_millis(200), 1);
            metered.decoded(Work::Final, Duration::from_millis(100), 1);
            meter.spoken(32_000, 2);
        };
        speak(false);
        assert_eq!(meter.cost_of_speech(), None);
        speak(true);
        // Records all its decodes, and the failure that ended it.
        let cost = meter.cost_of_speech().unwrap();
        assert!((0.15..0.16).contains(&cost), "{cost}");
        assert_eq!((meter.decodes(Work::Final), meter.decodes(Work::Partial), meter.encodes()), (2, 2, 4));
    }

    #[test]
    fn each_sandbox_lives_once_for_each_of_its_meters() {
        let (model, share) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
        let one = Metered::new([Arc::clone(&model), Arc::clone(&share)]);
        let other = Metered::new([Arc::clone(&model)]);
        assert_eq!((model.live(), share.live()), (2, 1));
        drop((one, other));
        assert_eq!((model.live(), share.live()), (0, 0));
    }
}
