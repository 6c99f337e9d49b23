//! Fair queueing: the order in which jobs get a thread.
//!
//! The engine has as many threads as cores, and many more jobs. Three questions decide which is
//! next:
//!
//! 1. **Class.** Final texts go before partial texts, and both before recordings ([`Class`]). A
//!    person waits for a final text; a partial text can become rarer; a recording can wait.
//! 2. **Fairness among shares.** Within a class, the share with the least virtual time goes first.
//!    This is start-time fair queueing: P. Goyal, H. Vin and H. Cheng, *Start-time Fair Queueing: A
//!    Scheduling Algorithm for Integrated Services Packet Switching Networks*, SIGCOMM 1996.
//! 3. **Deadline.** Within a share, the earliest deadline goes first, then the oldest job.
//!
//! # Start-time fair queueing
//!
//! Each [`Share`] (a tenant, say) has a weight and a *virtual time*: the CPU time that it has used,
//! divided by its weight. While two shares always have jobs, serving the one with the least virtual
//! time gives them CPU time in proportion to their weights, however many jobs each has. A share
//! that asks for ten times its part waits for itself.
//!
//! The queue has a virtual time as well: that of the share that was served last. A share without
//! jobs uses nothing, so its own virtual time would stay behind, and on its return it could keep
//! all others waiting for as long as it was away. So a returning share starts at the queue's
//! virtual time, less a small credit ([`CREDIT`]): it can neither save up time, nor is it punished
//! for what it used while nobody else wanted it.
//!
//! Packets of a network cannot be interrupted, and their cost is known when they are queued. Jobs
//! differ in both points:
//!
//! - The cost of a decode is known when it has run. So a share is charged afterwards, in
//!   [`Queue::ran`], with the time of helping threads included.
//! - A decode can be suspended at any loop of the guest (`crate::preempt`). So [`Queue::is_wanted`]
//!   decides on **preemption**: a running job yields to a job of a more urgent class; and to one of
//!   the same class, if its own share has recently used [`AHEAD`] seconds more, relative to its
//!   weight, than the share of that job. Shares with about the same use do not preempt each other:
//!   that would make both late. The suspended job is queued again with its old number.
//!
//! # Example
//!
//! Shares A and B have weight 1, and A has used 3 s while B was idle. B's first job starts at A's
//! virtual time less 0.2 s, so it is next; once it has used these 0.2 s, they alternate. With
//! weight 2 for A, A would get two thirds of the time.
//!
//! A job's class can rise while it waits: a partial text whose utterance ends meanwhile is as
//! urgent as a final text. So jobs are not sorted, and the next one is found by a scan; there are
//! no more jobs than streams that speak.

use std::pin::Pin;
use std::time::{Duration, Instant};

use super::priority::{Class, Ticket};
use super::share::{Share, nanos};

/// Virtual time that a share may save up while it uses less than it could: people who speak at the
/// same moment by chance are served at once, before those who always have something waiting.
const CREDIT: Duration = Duration::from_millis(200);
/// A share that has used this much more than another one, recently and relative to its weight, is
/// preempted by it.
const AHEAD: f64 = 0.2;

/// A queued job.
pub(super) struct Job {
    pub(super) ticket: Ticket,
    deadline: Instant,
    number: u64,
    /// True if the wait until its start was counted.
    counted: bool,
    /// CPU time so far.
    pub(super) used: Duration,
    pub(super) work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The jobs of one share that has any, queued or running.
struct Lane {
    share: Share,
    /// Not sorted: a job's priority may rise while it waits. There are no more jobs than streams
    /// that speak.
    jobs: Vec<Job>,
    running: u64,
}

impl Lane {
    fn used(&self) -> u64 {
        self.share.used()
    }

    /// The job that is next of these, and its rank among all.
    fn head(&self) -> Option<(Rank, usize)> {
        let ranks = self.jobs.iter().enumerate();
        ranks.map(|(at, job)| ((job.ticket.class(), self.used(), job.deadline, job.number), at)).min()
    }
}

/// Order of jobs: by class, by the share's virtual time, by deadline, by number.
type Rank = (Class, u64, Instant, u64);

/// All waiting jobs.
///
/// Among shares this is start-time fair queueing (Goyal, Vin and Cheng 1996): the share that has
/// used least goes first, and one that comes back from a pause starts where the others are, less a
/// small credit, so that it neither saves much time up nor is punished for what it used when nobody
/// else wanted it.
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
        ticket: &Ticket,
        deadline: Instant,
        work: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) {
        let number = self.next;
        self.next += 1;
        let at = self.position(share).unwrap_or_else(|| {
            share.catch_up(self.now.saturating_sub(nanos(CREDIT)));
            self.lanes.push(Lane { share: share.clone(), jobs: Vec::new(), running: 0 });
            self.lanes.len() - 1
        });
        let ticket = ticket.clone();
        self.lanes[at].jobs.push(Job {
            ticket,
            deadline,
            number,
            counted: false,
            used: Duration::ZERO,
            work,
        });
    }

    /// The lane whose head is next, with its rank and its place there.
    fn head(&self) -> Option<(Rank, usize, usize)> {
        let heads = self.lanes.iter().enumerate();
        heads.filter_map(|(lane, jobs)| jobs.head().map(|(rank, at)| (rank, lane, at))).min()
    }

    /// Takes the next job. Report it with [`ran`](Self::ran) once it has run.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Share, Job)> {
        let (_, lane, at) = self.head()?;
        let lane = &mut self.lanes[lane];
        let mut job = lane.jobs.swap_remove(at);
        lane.running += 1;
        self.now = self.now.max(lane.used());
        if let Some(since) = job.ticket.waited_for()
            && !job.counted
        {
            job.counted = true;
            lane.share.waited(now, now.saturating_duration_since(since));
        }
        Some((lane.share.clone(), job))
    }

    /// Reports that a job of this share ran for `took`; a preempted job waits again.
    pub(super) fn ran(&mut self, share: &Share, now: Instant, took: Duration, rest: Option<Job>) {
        share.charge(now, took);
        let Some(at) = self.position(share) else { return };
        let lane = &mut self.lanes[at];
        lane.jobs.extend(rest);
        lane.running -= 1;
        if lane.running == 0 && lane.jobs.is_empty() {
            self.lanes.swap_remove(at);
        }
    }

    /// Returns true if a waiting job is to preempt one of `share` that has run since then.
    ///
    /// A more urgent job preempts. An equally urgent one preempts if `share` has recently used much
    /// more than its own share: it need not wait for shares that take all that they can get. Shares
    /// with about the same use, or little, do not preempt each other, which would make both late.
    pub(super) fn is_wanted(&self, share: &Share, class: Class, now: Instant, took: Duration) -> bool {
        let Some(((urgency, ..), ..)) = self.head() else { return false };
        if urgency != class {
            return urgency < class;
        }
        // Further jobs of the share do not hide the others': they come after the running one has
        // been charged.
        let others = self.lanes.iter().filter(|lane| !lane.share.is(share));
        let heads = others.filter_map(|lane| Some((lane.head()?.0, &lane.share)));
        let Some(((urgency, used, ..), other)) = heads.min_by_key(|(rank, _)| *rank) else { return false };
        let more = share.virtual_time(took);
        let ahead = share.used_lately(now) + more.as_secs_f64() - other.used_lately(now);
        // It would not be its turn otherwise.
        urgency == class && used < share.used().saturating_add(nanos(more)) && ahead >= AHEAD
    }

    fn position(&self, share: &Share) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.share.is(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a job; which share's it is shows when it is popped.
    fn push(queue: &mut Queue, share: &Share, class: Class) {
        queue.push(share, &Ticket::new(class), Instant::now(), Box::pin(async {}));
    }

    /// Serves `count` jobs of 10 ms each, one at a time; how many of them were `share`'s.
    fn serve(queue: &mut Queue, share: &Share, count: usize) -> usize {
        let mut served = 0;
        for _ in 0..count {
            let (whose, _) = queue.pop(Instant::now()).expect("a job");
            queue.ran(&whose, Instant::now(), Duration::from_millis(10), None);
            served += usize::from(whose.is(share));
        }
        served
    }

    #[test]
    fn a_share_that_asks_for_more_gets_no_more() {
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
    fn an_idle_share_saves_up_no_more_than_the_credit() {
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
        // Half, and half of the credit in jobs of 10 ms.
        assert!((59..=61).contains(&served), "{served} of 100");
    }

    #[test]
    fn a_final_goes_before_every_partial() {
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
    #[test]
    fn a_running_job_is_preempted_by_a_more_urgent_class() {
        let share = Share::new(1);
        let mut queue = Queue::default();
        push(&mut queue, &share, Class::Batch);
        let (_, job) = queue.pop(Instant::now()).unwrap();
        let (now, ms) = (Instant::now(), Duration::from_millis);
        assert!(!queue.is_wanted(&share, Class::Batch, now, ms(10)), "nobody waits");
        push(&mut queue, &share, Class::Batch);
        assert!(!queue.is_wanted(&share, Class::Batch, now, ms(10_000)));
        let other = Share::new(1);
        push(&mut queue, &other, Class::Partial);
        assert!(queue.is_wanted(&share, Class::Batch, now, ms(10)));
        assert!(!queue.is_wanted(&share, Class::Final, now, ms(10_000)));
        // It goes on before those that came later.
        queue.ran(&share, now, ms(10), Some(job));
        assert!(queue.pop(Instant::now()).unwrap().0.is(&other));
        assert_eq!(queue.pop(Instant::now()).unwrap().1.number, 0);
    }

    #[test]
    fn a_partial_text_that_is_hurried_is_a_final_one() {
        let share = Share::new(1);
        let mut queue = Queue::default();
        let tickets = [Class::Partial, Class::Partial, Class::Final].map(|class| {
            let ticket = Ticket::new(class);
            queue.push(&share, &ticket, Instant::now(), Box::pin(async {}));
            ticket
        });
        tickets[1].hurry();
        let order = [1, 2, 0].map(|number| {
            assert_eq!(queue.pop(Instant::now()).unwrap().1.number, number);
            share.final_wait_at(Instant::now()).is_some()
        });
        assert_eq!(order, [true; 3]);
        assert_eq!(share.waits(), 2);
    }

    /// Runs a job of a share for `took`.
    fn run(queue: &mut Queue, share: &Share, now: Instant, took: Duration) {
        push(queue, share, Class::Final);
        queue.pop(now).unwrap();
        queue.ran(share, now, took, None);
        push(queue, share, Class::Final);
        queue.pop(now).unwrap();
    }

    #[test]
    fn a_share_far_ahead_is_preempted_by_one_that_uses_little() {
        let (modest, greedy) = (Share::new(1), Share::new(1));
        let mut queue = Queue::default();
        let (now, ms) = (Instant::now(), Duration::from_millis);
        run(&mut queue, &greedy, now, ms(900));
        push(&mut queue, &modest, Class::Final);
        assert!(queue.is_wanted(&greedy, Class::Final, now, ms(1)));
        // Some seconds later that is forgotten; a job that takes long is not.
        let later = now + Duration::from_secs(10);
        assert!(!queue.is_wanted(&greedy, Class::Final, later, ms(100)));
        assert!(queue.is_wanted(&greedy, Class::Final, later, ms(300)));
    }

    #[test]
    fn a_share_with_more_queued_jobs_is_preempted_too() {
        let (modest, greedy) = (Share::new(1), Share::new(1));
        let mut queue = Queue::default();
        let (now, ms) = (Instant::now(), Duration::from_millis);
        // One that began later, so it has used less, runs a job and has another one ready.
        run(&mut queue, &modest, now, ms(900));
        push(&mut queue, &greedy, Class::Final);
        queue.pop(now).unwrap();
        push(&mut queue, &greedy, Class::Final);
        push(&mut queue, &modest, Class::Final);
        let later = now + Duration::from_secs(10);
        assert!(!queue.is_wanted(&greedy, Class::Final, later, ms(100)), "it is its turn until it is level");
        assert!(queue.is_wanted(&greedy, Class::Final, later, ms(500)));
    }

    #[test]
    fn shares_with_equal_use_do_not_preempt_each_other() {
        let (one, other) = (Share::new(1), Share::new(1));
        let mut queue = Queue::default();
        let (now, ms) = (Instant::now(), Duration::from_millis);
        push(&mut queue, &other, Class::Final);
        queue.pop(now).unwrap();
        queue.ran(&other, now, ms(800), None);
        run(&mut queue, &one, now, ms(900));
        push(&mut queue, &other, Class::Final);
        assert!(!queue.is_wanted(&one, Class::Final, now, ms(10)));
        assert!(queue.is_wanted(&one, Class::Final, now, ms(200)));
    }

    #[test]
    fn weights_count_where_one_gives_way() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        for (weight, wanted) in [(1, true), (2, true), (4, false)] {
            let (light, heavy) = (Share::new(1), Share::new(weight));
            let mut queue = Queue::default();
            run(&mut queue, &heavy, now, ms(900));
            push(&mut queue, &light, Class::Final);
            assert_eq!(queue.is_wanted(&heavy, Class::Final, now, ms(1)), wanted, "{weight}");
        }
    }
}
