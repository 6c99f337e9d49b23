//! The recogniser threads: as many as cores, shared by everything an engine does.

mod pace;
mod queue;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use self::pace::Pace;
use self::queue::Queue;
pub use self::queue::Share;
use crate::sandbox::thread_cpu_time;

/// What a job is for. Earlier variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The text of an utterance that has ended: somebody waits for it.
    Final,
    /// A text that will be replaced.
    Partial,
    /// A recording: nobody waits for this word in particular.
    Batch,
}

/// A pool of threads that takes jobs by class, then fairly by share, then by deadline, then in order.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    pace: Mutex<Pace>,
}

struct State {
    jobs: Queue,
    closed: bool,
}

impl Executor {
    /// Starts `threads` threads, at least one.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { jobs: Queue::default(), closed: false }),
            wake: Condvar::new(),
            pace: Mutex::default(),
        });
        let mut executor = Self { shared, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&executor.shared);
            let thread =
                std::thread::Builder::new().name(format!("hearken-{index}")).spawn(move || shared.work())?;
            executor.threads.push(thread);
        }
        Ok(executor)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The part of a core that a thread gets while it has something to do, above 0, at most 1: less where other programs,
    /// or this one's other threads, want the same cores.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server admits by it"))]
    pub(crate) fn pace(&self) -> f64 {
        self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner).of_a_core()
    }

    /// Queues a job.
    pub(crate) fn submit(
        &self,
        share: &Share,
        class: Class,
        deadline: Instant,
        run: impl FnOnce() + Send + 'static,
    ) {
        let mut state = self.shared.lock();
        state.jobs.push(share, class, deadline, Box::new(run));
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Drop for Executor {
    /// Lets running jobs end; what is still queued is dropped, and whoever waits for it learns so from its channel.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // The last handle may be dropped by a job itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut state = self.lock();
            let (share, job) = loop {
                if let Some(next) = state.jobs.pop() {
                    break next;
                }
                if state.closed {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let (started, used) = (Instant::now(), thread_cpu_time());
            // A job that panics drops its end of its channel, which is how its owner learns of it; the thread lives on.
            let _ = catch_unwind(AssertUnwindSafe(job.run));
            let took = started.elapsed();
            let cpu = thread_cpu_time().saturating_sub(used);
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).ran(cpu, took);
            self.lock().jobs.charge(&share, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_deadline_goes_first() {
        let executor = Executor::start(1).unwrap();
        let (hold, held) = crossbeam_channel::bounded::<()>(0);
        let (done, order) = crossbeam_channel::unbounded();
        let now = Instant::now();
        let share = Share::default();
        executor.submit(&share, Class::Batch, now, move || {
            let _ = held.recv();
        });
        for (name, after) in [("late", 30), ("early", 10), ("middle", 20)] {
            let done = done.clone();
            executor.submit(&share, Class::Batch, now + Duration::from_secs(after), move || {
                let _ = done.send(name);
            });
        }
        hold.send(()).unwrap();
        drop(done);
        assert_eq!(order.iter().collect::<Vec<_>>(), ["early", "middle", "late"]);
    }

    #[test]
    fn a_panic_costs_one_job() {
        let executor = Executor::start(1).unwrap();
        let (done, result) = crossbeam_channel::bounded(1);
        executor.submit(&Share::default(), Class::Batch, Instant::now(), || panic!("expected by this test"));
        executor.submit(&Share::default(), Class::Batch, Instant::now(), move || {
            let _ = done.send(7);
        });
        assert_eq!(result.recv(), Ok(7));
    }

    #[test]
    fn dropping_the_pool_tells_whoever_waits() {
        let executor = Executor::start(1).unwrap();
        let (hold, held) = crossbeam_channel::bounded::<()>(0);
        let (done, result) = crossbeam_channel::bounded::<()>(1);
        executor.submit(&Share::default(), Class::Batch, Instant::now(), move || {
            let _ = held.recv();
        });
        executor.submit(&Share::default(), Class::Batch, Instant::now(), move || {
            let _ = done.send(());
        });
        let dropper = std::thread::spawn(move || drop(executor));
        assert!(result.recv().is_err());
        drop(hold);
        dropper.join().unwrap();
    }
}
