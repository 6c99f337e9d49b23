//! Cancellation, and accounting of the helpers' time.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::compute::crew::Crew;
use crate::compute::pace::Stopped;

/// Work of a thread between two looks at the clock, and some more.
const WORK: usize = 1 << 24;

#[test]
fn a_caller_who_says_no_is_obeyed() {
    for crew in [Crew::alone(), Crew::start(2).unwrap()] {
        let asked = Cell::new(0);
        let go_on = |_| {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        // Helpers never come to the end of it, however long the caller has to wait for a core.
        let result = crew.operate(usize::MAX, 2, &go_on, &|_, _, pace| pace.did(WORK));
        assert_eq!(result, Err(Stopped));
        assert_eq!(asked.get(), 3, "nothing was begun after");
    }
}

#[test]
fn what_helpers_spend_is_counted() {
    let alone = Crew::alone().operate(100, 2, &|_| true, &|_, _, pace| pace.did(WORK));
    assert_eq!(alone, Ok(Duration::ZERO));
    let crew = Crew::start(2).unwrap();
    let told = AtomicBool::new(false);
    let go_on = |spent| {
        told.fetch_or(spent > Duration::ZERO, Ordering::Relaxed);
        true
    };
    // The caller is busy with one unit until a helper, with the other, has reported its time.
    let result = crew.operate(2, 1, &go_on, &|_, _, pace| {
        while !told.load(Ordering::Relaxed) {
            pace.did(WORK)?;
        }
        Ok(())
    });
    assert!(result.unwrap() > Duration::ZERO);
}

#[test]
fn where_every_core_has_a_decode_nobody_helps() {
    let crew = Crew::start(2).unwrap();
    assert_eq!(crew.helpers(), 2);
    let first = crew.busy();
    assert_eq!(crew.helpers(), 2, "one decode alone");
    let second = crew.busy();
    assert_eq!(crew.helpers(), 1);
    let third = (crew.busy(), crew.busy());
    assert_eq!(crew.helpers(), 0);
    drop((second, third));
    assert_eq!(crew.helpers(), 2);
    drop(first);
    assert_eq!(crew.helpers(), 2);
}
