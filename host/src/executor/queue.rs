//! Which job is next: by class, then fairly among those who share the threads, then by deadline.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Class;
use super::waits::Waits;
use crate::meter::Meter;

/// A part of an engine's threads, for somebody who shares them with others: a tenant of a server, say. When all threads are
/// busy, each share gets time in proportion to its weight, however much is asked for; what one does not use the others have.
/// Cloning it is the same share.
#[derive(Debug, Clone)]
pub struct Share(Arc<Account>);

#[derive(Debug)]
struct Account {
    weight: u32,
    /// Sandboxes that may live at once before partial texts wait for one of them to end.
    sandboxes: u64,
    meter: Arc<Meter>,
    waits: Mutex<Waits>,
    /// Time used, over the weight, in nanoseconds: its virtual time. Touched only under the executor's lock.
    used: AtomicU64,
}

impl Share {
    /// A share of this weight, at least 1.
    pub fn new(weight: u32) -> Self {
        Self::limited(weight, u32::MAX)
    }

    /// The same, with at most about so many sandboxes at once: each holds the memory that it has written. An utterance that
    /// would need one more has no partial texts until another one is complete; final texts, and recordings, are made all the
    /// same, as many at once as the engine has threads.
    pub fn limited(weight: u32, sandboxes: u32) -> Self {
        Self(Arc::new(Account {
            weight: weight.max(1),
            sandboxes: sandboxes.into(),
            meter: Arc::default(),
            waits: Mutex::default(),
            used: AtomicU64::new(0),
        }))
    }

    /// Counts what its sandboxes do.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.0.meter
    }

    /// Whether one more sandbox may live for partial texts.
    pub(crate) fn has_room(&self) -> bool {
        self.0.meter.live() < self.0.sandboxes
    }

    /// How long final texts waited for a thread lately, before they were begun: the 95th percentile, `None` without any.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only the server admits by it"))]
    pub(crate) fn final_wait(&self, now: Instant) -> Option<Duration> {
        self.0.waits.lock().unwrap_or_else(PoisonError::into_inner).percentile(now)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::new(1)
    }
}

/// What is to be run.
pub(super) struct Job {
    class: Class,
    deadline: Instant,
    number: u64,
    queued: Instant,
    pub(super) run: Box<dyn FnOnce() + Send>,
}

impl Job {
    fn key(&self) -> (Class, Instant, u64) {
        (self.class, self.deadline, self.number)
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives out its greatest: reverse, so that the most urgent is greatest.
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Job {}

/// The jobs of one share that has any, queued or running.
struct Lane {
    share: Share,
    jobs: BinaryHeap<Job>,
    running: usize,
}

/// All jobs that wait.
///
/// Among shares this is start-time fair queueing (Goyal, Vin and Cheng 1996): the share that has used least goes first, and one
/// that comes back from a pause starts where the others are, so that it neither saves time up nor is punished for what it used when
/// nobody else wanted it.
#[derive(Default)]
pub(super) struct Queue {
    lanes: Vec<Lane>,
    /// Virtual time of the share that was served last.
    now: u64,
    next: u64,
}

impl Queue {
    pub(super) fn push(
        &mut self,
        share: &Share,
        class: Class,
        deadline: Instant,
        run: Box<dyn FnOnce() + Send>,
    ) {
        let job = Job { class, deadline, number: self.next, queued: Instant::now(), run };
        self.next += 1;
        let lane = match self.position(share) {
            Some(at) => &mut self.lanes[at],
            None => {
                share.0.used.fetch_max(self.now, Relaxed);
                self.lanes.push(Lane { share: share.clone(), jobs: BinaryHeap::new(), running: 0 });
                // It was just pushed.
                let last = self.lanes.len() - 1;
                &mut self.lanes[last]
            }
        };
        lane.jobs.push(job);
    }

    /// The next job. Its share is to be [charged](Self::charge) when it is done.
    pub(super) fn pop(&mut self) -> Option<(Share, Job)> {
        let heads = self.lanes.iter().enumerate().filter_map(|(at, lane)| {
            let (class, deadline, number) = lane.jobs.peek()?.key();
            Some(((class, lane.share.0.used.load(Relaxed), deadline, number), at))
        });
        let (_, at) = heads.min()?;
        let lane = &mut self.lanes[at];
        let job = lane.jobs.pop()?;
        lane.running += 1;
        self.now = self.now.max(lane.share.0.used.load(Relaxed));
        if job.class == Class::Final {
            let now = Instant::now();
            let mut waits = lane.share.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.add(now, now.saturating_duration_since(job.queued));
        }
        Some((lane.share.clone(), job))
    }

    /// A job of this share took so long.
    pub(super) fn charge(&mut self, share: &Share, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / u64::from(share.0.weight);
        share.0.used.fetch_add(nanos, Relaxed);
        let Some(at) = self.position(share) else { return };
        self.lanes[at].running -= 1;
        if self.lanes[at].running == 0 && self.lanes[at].jobs.is_empty() {
            self.lanes.swap_remove(at);
        }
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        for lane in &mut self.lanes {
            lane.jobs.clear();
        }
    }

    fn position(&self, share: &Share) -> Option<usize> {
        self.lanes.iter().position(|lane| Arc::ptr_eq(&lane.share.0, &share.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a job; which share's it is shows when it is popped.
    fn push(queue: &mut Queue, share: &Share, class: Class) {
        queue.push(share, class, Instant::now(), Box::new(|| {}));
    }

    /// Serves `count` jobs of 10 ms each, one at a time; how many of them were `share`'s.
    fn serve(queue: &mut Queue, share: &Share, count: usize) -> usize {
        let mut served = 0;
        for _ in 0..count {
            let (whose, _) = queue.pop().expect("a job");
            queue.charge(&whose, Duration::from_millis(10));
            served += usize::from(Arc::ptr_eq(&whose.0, &share.0));
        }
        served
    }

    #[test]
    fn whoever_asks_for_more_gets_no_more() {
        let (modest, greedy) = (Share::new(1), Share::new(1));
        let mut queue = Queue::default();
        for _ in 0..1000 {
            push(&mut queue, &greedy, Class::Final);
        }
        // Alone it has everything, and owes nothing for it afterwards.
        assert_eq!(serve(&mut queue, &greedy, 100), 100);
        for round in 0..20 {
            push(&mut queue, &modest, Class::Final);
            assert!(serve(&mut queue, &modest, 2) == 1, "round {round}");
        }
    }

    #[test]
    fn shares_get_what_they_weigh() {
        let (light, heavy) = (Share::new(1), Share::new(3));
        let mut queue = Queue::default();
        for _ in 0..500 {
            push(&mut queue, &light, Class::Partial);
            push(&mut queue, &heavy, Class::Partial);
        }
        let served = serve(&mut queue, &heavy, 400);
        assert!((295..=305).contains(&served), "{served} of 400");
    }

    #[test]
    fn nobody_saves_time_up() {
        let (sleeper, worker) = (Share::new(1), Share::new(1));
        let mut queue = Queue::default();
        for _ in 0..300 {
            push(&mut queue, &worker, Class::Final);
        }
        serve(&mut queue, &worker, 100);
        for _ in 0..100 {
            push(&mut queue, &sleeper, Class::Final);
        }
        let served = serve(&mut queue, &sleeper, 100);
        assert!((49..=51).contains(&served), "{served} of 100");
    }

    #[test]
    fn a_final_goes_before_anybodys_partial() {
        let (one, other) = (Share::new(1), Share::new(100));
        let mut queue = Queue::default();
        push(&mut queue, &other, Class::Partial);
        push(&mut queue, &one, Class::Final);
        assert_eq!(serve(&mut queue, &one, 1), 1);
    }

    #[test]
    fn shares_that_are_idle_are_forgotten() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            let share = Share::default();
            push(&mut queue, &share, Class::Final);
            serve(&mut queue, &share, 1);
        }
        assert!(queue.lanes.is_empty());
    }
}
