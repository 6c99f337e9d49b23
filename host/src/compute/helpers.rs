//! The threads that may help with one operation.
//!
//! Not a general pool: the caller works too, and checks between tiles for cancellation; a helper
//! joins only while there is work, and its time is counted. A pool that must run every task that it
//! was given would have a caller wait for helpers that are busy elsewhere and have nothing left to
//! do here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::cancel::{Operation, Progress, Stopped};
use super::scratch::Scratch;
use crate::sync::{AtomicUsize, Ordering, thread};

/// Helper threads, which sleep until there is work for them. Any number of threads may share them.
pub(crate) struct Helpers {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Threads that work on decodes of their own now.
    busy: Arc<AtomicUsize>,
}

/// A thread works on a decode, as long as this lives.
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals that there is a job, or that the helpers are dismissed.
    wake: Condvar,
    /// A helper has left a job.
    left: Condvar,
}

#[derive(Default)]
struct State {
    jobs: Vec<Job>,
    next: u64,
    dismissed: bool,
}

struct Job {
    number: u64,
    task: Task,
    /// Helpers that may still join.
    open: usize,
    /// Helpers that have joined and not left.
    inside: usize,
    panicked: bool,
}

/// Work of the helpers. It lives on the stack of the thread that posted the job.
#[derive(Clone, Copy)]
struct Task(*const (dyn Fn() + Sync));

// SAFETY: it points to something that may be shared, and `Posted` keeps it alive for as long as a
// helper is inside.
unsafe impl Send for Task {}

impl Helpers {
    /// No helpers: the caller works alone.
    pub(crate) fn alone() -> Self {
        Self { shared: Arc::default(), threads: Vec::new(), busy: Arc::default() }
    }

    /// Starts `count` threads.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let mut helpers = Self::alone();
        for index in 0..count {
            let shared = Arc::clone(&helpers.shared);
            let name = format!("hearken-helper-{index}");
            helpers.threads.push(thread::Builder::new().name(name).spawn(move || shared.help())?);
        }
        Ok(helpers)
    }

    /// Counts the calling thread as busy with a decode. Helpers and such threads together are to be
    /// no more than the helpers and one: where there is a decode for each core, no helper joins.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.busy))
    }

    /// Helpers that an operation may have now.
    pub(super) fn available(&self) -> usize {
        // The caller is busy by definition, whether it was counted or not.
        let others = self.busy.load(Ordering::Relaxed).saturating_sub(1);
        self.threads.len().saturating_sub(others)
    }

    /// Does units of work `0..units`, on this thread and at most `count` others. Between tiles
    /// `go_on` is called on this thread, with the CPU time that helpers have spent so far; once it
    /// returns false, all threads stop. Returns the helpers' CPU time.
    pub(super) fn operate(
        &self,
        units: usize,
        count: usize,
        go_on: &dyn Fn(Duration) -> bool,
        unit: &(dyn Fn(usize, &mut Scratch, &Progress<'_>) -> Result<(), Stopped> + Sync),
    ) -> Result<Duration, Stopped> {
        let operation = Operation::default();
        let next = AtomicUsize::new(0);
        let work = |progress: &Progress<'_>| {
            Scratch::with(|scratch| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= units {
                        return Ok(());
                    }
                    unit(index, scratch, progress)?;
                }
            })
        };
        let own = || work(&Progress::caller(&operation, go_on));
        let count = count.min(self.available()).min(units.saturating_sub(1));
        let result = if count == 0 {
            own()
        } else {
            let task = || {
                // A helper that is asked to stop need not report: the thread that stopped it knows.
                let _ = work(&Progress::helper(&operation));
            };
            let posted = Posted::new(&self.shared, &task, count);
            let result = own();
            drop(posted);
            result
        };
        result.map(|()| operation.helped())
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.shared.state.lock().dismissed = true;
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A helper's life.
    fn help(&self) {
        let mut state = self.state.lock();
        while !state.dismissed {
            let Some(job) = state.jobs.iter_mut().find(|job| job.open > 0) else {
                self.wake.wait(&mut state);
                continue;
            };
            job.open -= 1;
            job.inside += 1;
            let (number, task) = (job.number, job.task);
            drop(state);
            // SAFETY: the job waits for every helper inside before the task goes.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*task.0)() }));
            state = self.state.lock();
            if let Some(job) = state.jobs.iter_mut().find(|job| job.number == number) {
                job.inside -= 1;
                // Nothing is left to do for others either.
                job.open = 0;
                job.panicked |= result.is_err();
            }
            self.left.notify_all();
        }
    }
}

/// A job that helpers may join until this is dropped, which waits for those inside.
struct Posted<'a> {
    shared: &'a Shared,
    number: u64,
}

impl<'a> Posted<'a> {
    fn new(shared: &'a Shared, task: &'a (dyn Fn() + Sync), helpers: usize) -> Self {
        let task: *const (dyn Fn() + Sync + 'a) = task;
        // SAFETY: only the lifetime changes; `drop` returns when nobody can reach the task any
        // more.
        let task = Task(unsafe {
            std::mem::transmute::<*const (dyn Fn() + Sync + 'a), *const (dyn Fn() + Sync)>(task)
        });
        let mut state = shared.state.lock();
        let number = state.next;
        state.next += 1;
        state.jobs.push(Job { number, task, open: helpers, inside: 0, panicked: false });
        drop(state);
        for _ in 0..helpers {
            shared.wake.notify_one();
        }
        Self { shared, number }
    }
}

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let job = loop {
            let Some(at) = state.jobs.iter().position(|job| job.number == self.number) else { return };
            state.jobs[at].open = 0;
            if state.jobs[at].inside == 0 {
                break state.jobs.swap_remove(at);
            }
            self.shared.left.wait(&mut state);
        };
        drop(state);
        assert!(!job.panicked || std::thread::panicking(), "a helper panicked");
    }
}
