//! Work that is done in slices: CPU time accounting, and preemption.
//!
//! Preemption. A running guest can be suspended at any loop or call and be resumed later, on
//! another thread: a call into it is a future. In this process such a future is pending for one
//! reason only, preemption: the code that polls it decides when it goes on.
//!
//! The request to give way is a variable of the thread for the time of one slice, as a runtime's
//! task-local variables are. It cannot be an argument: wasmtime's epoch callback asks for it, which
//! belongs to the sandbox's store and is made long before the slice, inside a future that its owner
//! can only poll.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Clocks of a task and of its thread at the begin of a slice.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    task: Duration,
    thread: Duration,
}

thread_local! {
    /// CPU time of other threads in this slice.
    static HELPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static START: Cell<Start> = const { Cell::new(Start { task: Duration::ZERO, thread: Duration::ZERO }) };
    static WANTED: RefCell<Option<Rc<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// CPU time that the task of this thread has used, on whichever threads; outside of a task, that of
/// the thread.
#[cfg_attr(not(feature = "service"), allow(unreachable_pub, reason = "`service` exports it"))]
pub fn cpu_time() -> Duration {
    let Start { task, thread } = START.get();
    task.saturating_add(thread_time().saturating_sub(thread))
}

/// Adds CPU time that other threads have used for the task of this thread.
pub(crate) fn helped(cpu: Duration) {
    HELPED.set(HELPED.get().saturating_add(cpu));
}

/// CPU time of other threads in the slice of this thread that ended last.
pub(crate) fn take_helped() -> Duration {
    HELPED.take()
}

/// Returns true if the task of this thread is to be preempted. Never outside of a task.
pub(crate) fn is_wanted() -> bool {
    // It is called without the cell being borrowed.
    let wanted = WANTED.with_borrow(Clone::clone);
    wanted.is_some_and(|wanted| wanted())
}

/// Gives way once, if the task is to.
#[cfg(any(test, feature = "service"))]
pub async fn give_way() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        let wait = !asked && is_wanted();
        asked = true;
        if wait { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Works on a task until it is complete or has given way, which it does when `wanted` tells it to.
/// `used` is its CPU time so far, and afterwards.
pub(crate) fn slice<F: Future + ?Sized>(
    task: Pin<&mut F>,
    used: &mut Duration,
    wanted: Rc<dyn Fn() -> bool>,
) -> Poll<F::Output> {
    /// Ends the slice, also after a panic.
    struct End<'a>(&'a mut Duration);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            *self.0 = cpu_time();
            START.set(Start::default());
            WANTED.set(None);
        }
    }
    START.set(Start { task: *used, thread: thread_time() });
    HELPED.set(Duration::ZERO);
    WANTED.set(Some(wanted));
    let _end = End(used);
    task.poll(&mut Context::from_waker(Waker::noop()))
}

/// Wakes a thread that waits for its task.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Works on a task to its end, on this thread, without giving way. Sleeps while the task waits for
/// another machine.
pub(crate) fn to_end<F: Future>(task: F) -> F::Output {
    let mut task = pin!(task);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// The task panicked.
#[derive(Debug)]
pub(crate) struct Panicked;

/// A task whose panic is a result.
pub(crate) async fn caught<F: Future>(task: F) -> Result<F::Output, Panicked> {
    let mut task = pin!(task);
    std::future::poll_fn(|context| {
        // After a panic it is not polled again.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// CPU time that this thread has used.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses CPU time of this thread.
    pub(crate) fn burn(time: Duration) {
        let until = thread_time() + time;
        while thread_time() < until {}
    }

    #[test]
    fn a_task_is_charged_for_its_own_slices_on_whichever_thread() {
        let ms = Duration::from_millis;
        let mut task = Box::pin(async move {
            let begin = cpu_time();
            burn(ms(20));
            give_way().await;
            burn(ms(20));
            cpu_time() - begin
        });
        let mut used = Duration::ZERO;
        assert!(slice(task.as_mut(), &mut used, Rc::new(|| true)).is_pending());
        // What this thread does meanwhile is not the task's.
        burn(ms(200));
        let (poll, used) = std::thread::spawn(move || {
            burn(ms(200));
            (slice(task.as_mut(), &mut used, Rc::new(|| false)), used)
        })
        .join()
        .unwrap();
        let Poll::Ready(seen) = poll else { panic!("it was not asked to give way again") };
        assert!((ms(40)..ms(150)).contains(&seen), "{seen:?}");
        assert!((seen..ms(150)).contains(&used), "{used:?}");
    }

    #[test]
    fn there_is_no_preemption_outside_of_a_task() {
        assert!(!is_wanted());
        let mut used = Duration::from_secs(1000);
        let panics = || slice(pin!(async { panic!("expected by this test") }), &mut used, Rc::new(|| true));
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        assert!(!is_wanted());
        assert!(cpu_time() < Duration::from_secs(1000));
        to_end(give_way());
    }

    #[test]
    fn a_panic_is_a_result() {
        assert!(to_end(caught(async { panic!("expected by this test") })).is_err());
        assert_eq!(to_end(caught(async { 7 })).unwrap(), 7);
    }
}
