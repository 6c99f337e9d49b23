//! Cancellation, and accounting of the helpers' time.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::compute::cancel::Stopped;
use crate::compute::helpers::Helpers;

/// Work of a thread between two looks at the clock, and some more.
const WORK: usize = 1 << 24;

#[test]
fn a_cancelled_operation_stops() {
    for helpers in [Helpers::alone(), Helpers::start(2).unwrap()] {
        let asked = Cell::new(0);
        let go_on = |_| {
            asked.set(asked.get() + 1);
            asked.get() < 3
        };
        // Helpers never come to the end of it, however long the caller has to wait for a core.
        let result = helpers.operate(usize::MAX, 2, &go_on, &|_, _, pace| pace.did(WORK));
        assert_eq!(result, Err(Stopped));
        assert_eq!(asked.get(), 3, "nothing was begun after");
    }
}

#[test]
fn cpu_time_of_helpers_is_counted() {
    let alone = Helpers::alone().operate(100, 2, &|_| true, &|_, _, pace| pace.did(WORK));
    assert_eq!(alone, Ok(Duration::ZERO));
    let helpers = Helpers::start(2).unwrap();
    let reported = AtomicBool::new(false);
    let go_on = |spent| {
        reported.fetch_or(spent > Duration::ZERO, Ordering::Relaxed);
        true
    };
    // The caller is busy with one unit until a helper, with the other, has reported its time.
    let result = helpers.operate(2, 1, &go_on, &|_, _, pace| {
        while !reported.load(Ordering::Relaxed) {
            pace.did(WORK)?;
        }
        Ok(())
    });
    assert!(result.unwrap() > Duration::ZERO);
}

#[test]
fn no_helper_joins_where_every_core_has_a_decode() {
    let helpers = Helpers::start(2).unwrap();
    assert_eq!(helpers.available(), 2);
    let first = helpers.busy();
    assert_eq!(helpers.available(), 2, "one decode alone");
    let second = helpers.busy();
    assert_eq!(helpers.available(), 1);
    let third = (helpers.busy(), helpers.busy());
    assert_eq!(helpers.available(), 0);
    drop((second, third));
    assert_eq!(helpers.available(), 2);
    drop(first);
    assert_eq!(helpers.available(), 2);
}
