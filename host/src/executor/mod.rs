//! Threads that are shared by everything an engine does: the recognizer's, as many as cores, and
//! those of a server that take in recordings.

mod priority;
mod queue;
mod share;
mod utilization;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

pub use self::priority::{Class, Ticket};
use self::queue::{Job, Queue};
pub use self::share::{Share, ShareLimits};
use self::utilization::Utilization;
use crate::preempt::{self, take_helped};

/// A pool of threads that takes jobs by class, then fairly by share, then by deadline, then in
/// order. A job that runs is suspended where another one is to go before it, and resumed by
/// whichever thread is free first.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The threads' purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Recognition. Shares are charged for the time that they hold a thread, and for the time of
    /// helping threads.
    Recognition,
    /// Intake: work on audio before it is recognized. The threads have low priority, and so wait
    /// for the recognizer's; shares are charged for CPU time.
    #[cfg_attr(not(feature = "service"), allow(dead_code, reason = "only a service separates them"))]
    Intake,
}

/// Niceness of the threads of [`Purpose::Intake`]: beside one of the recognizer's on the same core,
/// one has a tenth of its time. With less, other programs on the machine would leave them none.
const NICE: i32 = 10;

struct Shared {
    purpose: Purpose,
    state: Mutex<State>,
    wake: Condvar,
    pace: Mutex<Utilization>,
    /// Makes running jobs check for preemption sooner than they would by themselves.
    nudge: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    jobs: Queue,
    /// Threads that sleep.
    idle: usize,
    closed: bool,
}

impl Executor {
    /// Starts `threads` threads, at least one, for this purpose. `nudge` is called when a job has
    /// come for which no thread is free.
    pub(crate) fn start(
        purpose: Purpose,
        threads: usize,
        nudge: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            purpose,
            state: Mutex::default(),
            wake: Condvar::new(),
            pace: Mutex::default(),
            nudge: Box::new(nudge),
        });
        let mut executor = Self { shared, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&executor.shared);
            let name = match purpose {
                Purpose::Recognition => format!("hearken-{index}"),
                Purpose::Intake => format!("hearken-in-{index}"),
            };
            let thread = std::thread::Builder::new().name(name);
            let thread = thread.spawn(move || shared.work())?;
            executor.threads.push(thread);
        }
        Ok(executor)
    }

    /// Number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The part of a core that a thread gets while it has something to do, above 0, at most 1: less
    /// where other programs, or this one's other threads, want the same cores.
    #[cfg_attr(not(feature = "service"), expect(dead_code, reason = "only a service admits by it"))]
    pub(crate) fn pace(&self) -> f64 {
        self.shared.pace.lock().of_a_core()
    }

    /// Queues a job.
    pub(crate) fn submit(
        &self,
        share: &Share,
        class: Class,
        deadline: Instant,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Ticket {
        let ticket = Ticket::new(class);
        let mut state = self.shared.state.lock();
        state.jobs.push(share, &ticket, deadline, Box::pin(work));
        let free = state.idle > 0;
        drop(state);
        if free {
            self.shared.wake.notify_one();
        } else {
            (self.shared.nudge)();
        }
        ticket
    }
}

impl Drop for Executor {
    /// Lets running jobs end; queued jobs are dropped, and those that wait for them learn it from
    /// their channel.
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let queued = std::mem::take(&mut state.jobs);
        drop(state);
        drop(queued);
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
    fn work(self: Arc<Self>) {
        if self.purpose == Purpose::Intake {
            // The calling thread's alone.
            let _ = rustix::process::setpriority_process(None, NICE);
        }
        while let Some((share, job)) = self.next() {
            self.run(&share, job);
        }
    }

    /// Waits for the next job; `None` when there will be no more.
    fn next(&self) -> Option<(Share, Job)> {
        let mut state = self.state.lock();
        loop {
            if let Some(next) = state.jobs.pop(Instant::now()) {
                return Some(next);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            self.wake.wait(&mut state);
            state.idle -= 1;
        }
    }

    /// Runs a job until it is done or preempted.
    fn run(self: &Arc<Self>, share: &Share, mut job: Job) {
        let (started, used) = (Instant::now(), job.used);
        let wanted = {
            let (shared, share, ticket) = (Arc::clone(self), share.clone(), job.ticket.clone());
            move || shared.is_wanted(&share, &ticket, started.elapsed())
        };
        // A job that panics drops its end of its channel, which is how its owner learns of it; the
        // thread lives on.
        let slice = || preempt::slice(job.work.as_mut(), &mut job.used, Rc::new(wanted));
        let suspended = catch_unwind(AssertUnwindSafe(slice)).is_ok_and(|poll| poll.is_pending());
        let took = started.elapsed();
        let cpu = job.used.saturating_sub(used);
        self.pace.lock().ran(cpu, took);
        let rest = suspended.then_some(job);
        let charged = match self.purpose {
            // Threads that helped were the share's as well.
            Purpose::Recognition => took + take_helped(),
            Purpose::Intake => {
                share.meter().took_in(cpu);
                cpu
            }
        };
        self.state.lock().jobs.ran(share, started + took, charged, rest);
    }

    /// Returns true if another job is to preempt one of `share` that has run since then.
    fn is_wanted(&self, share: &Share, ticket: &Ticket, since: Duration) -> bool {
        let state = self.state.lock();
        // A sleeping thread has been woken for the queued job.
        state.idle == 0 && state.jobs.is_wanted(share, ticket.class(), Instant::now(), since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preempt::give_way;

    /// A job that runs until something is sent to it, and yields meanwhile if it is preempted.
    async fn hold(held: crossbeam_channel::Receiver<()>) {
        while held.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
            give_way().await;
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_earliest_deadline_goes_first() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let (release, held) = crossbeam_channel::unbounded::<()>();
        let (done, order) = crossbeam_channel::unbounded();
        let now = Instant::now();
        let share = Share::default();
        executor.submit(&share, Class::Final, now, hold(held));
        for (name, after) in [("late", 30), ("early", 10), ("middle", 20)] {
            let done = done.clone();
            executor.submit(&share, Class::Final, now + Duration::from_secs(after), async move {
                let _ = done.send(name);
            });
        }
        release.send(()).unwrap();
        drop(done);
        assert_eq!(order.iter().collect::<Vec<_>>(), ["early", "middle", "late"]);
    }

    #[test]
    fn a_final_text_does_not_wait_for_what_runs() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let (release, held) = crossbeam_channel::unbounded::<()>();
        let share = Share::default();
        for class in [Class::Batch, Class::Partial] {
            executor.submit(&share, class, Instant::now(), hold(held.clone()));
        }
        let (done, result) = crossbeam_channel::bounded(1);
        // One after the other, each while the others are suspended or wait.
        for _ in 0..3 {
            let done = done.clone();
            executor.submit(&share, Class::Final, Instant::now(), async move {
                let _ = done.send(());
            });
            assert_eq!(result.recv_timeout(Duration::from_secs(60)), Ok(()));
        }
        drop(release);
    }

    #[test]
    fn a_hurried_job_is_not_suspended_for_others() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let share = Share::default();
        let (done, order) = crossbeam_channel::unbounded();
        let (release, held) = crossbeam_channel::unbounded::<()>();
        let (begun, running) = crossbeam_channel::bounded(1);
        let told = done.clone();
        let partial = executor.submit(&share, Class::Partial, Instant::now(), async move {
            let _ = begun.send(());
            hold(held).await;
            let _ = told.send("hurried");
        });
        running.recv().unwrap();
        partial.hurry();
        executor.submit(&share, Class::Final, Instant::now(), async move {
            let _ = done.send("other");
        });
        // It is asked many times meanwhile.
        assert!(order.recv_timeout(Duration::from_millis(100)).is_err());
        drop(release);
        assert_eq!(order.iter().collect::<Vec<_>>(), ["hurried", "other"]);
    }

    #[test]
    fn a_job_without_end_takes_no_more_than_its_share() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let (release, held) = crossbeam_channel::unbounded::<()>();
        executor.submit(&Share::default(), Class::Final, Instant::now(), hold(held));
        let (done, result) = crossbeam_channel::bounded(1);
        executor.submit(&Share::default(), Class::Final, Instant::now(), async move {
            let _ = done.send(());
        });
        assert_eq!(result.recv_timeout(Duration::from_secs(60)), Ok(()));
        drop(release);
    }

    #[test]
    fn a_share_pays_for_threads_that_help() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let used = |helped| {
            let share = Share::default();
            let (done, result) = crossbeam_channel::bounded(1);
            executor.submit(&share, Class::Batch, Instant::now(), async move {
                preempt::helped(helped);
                let _ = done.send(());
            });
            result.recv().unwrap();
            // It is charged when it has ended: the next one begins after that.
            let (done, result) = crossbeam_channel::bounded(1);
            executor.submit(&Share::default(), Class::Batch, Instant::now(), async move {
                let _ = done.send(());
            });
            result.recv().unwrap();
            Duration::from_nanos(share.used())
        };
        assert!(used(Duration::ZERO) < Duration::from_secs(60));
        assert!(used(Duration::from_secs(100)) >= Duration::from_secs(100));
    }

    #[test]
    fn a_panic_costs_one_job() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let (done, result) = crossbeam_channel::bounded(1);
        let panics = async { panic!("expected by this test") };
        executor.submit(&Share::default(), Class::Batch, Instant::now(), panics);
        executor.submit(&Share::default(), Class::Batch, Instant::now(), async move {
            let _ = done.send(7);
        });
        assert_eq!(result.recv(), Ok(7));
    }

    #[test]
    fn dropping_the_pool_closes_the_channels_of_waiting_jobs() {
        let executor = Executor::start(Purpose::Recognition, 1, || {}).unwrap();
        let (release, held) = crossbeam_channel::unbounded::<()>();
        let (done, result) = crossbeam_channel::bounded::<()>(1);
        executor.submit(&Share::default(), Class::Final, Instant::now(), hold(held));
        executor.submit(&Share::default(), Class::Batch, Instant::now(), async move {
            let _ = done.send(());
        });
        let dropper = std::thread::spawn(move || drop(executor));
        assert!(result.recv().is_err());
        drop(release);
        dropper.join().unwrap();
    }
}
