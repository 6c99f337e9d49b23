//! Helper threads join operations, and leave them before what they work on is gone.

#[path = "../../../host/src/compute/cancel.rs"]
mod cancel;
#[path = "../../../host/src/compute/helpers.rs"]
#[allow(dead_code, reason = "a model has no decodes that keep threads busy")]
mod helpers;

mod scratch {
    //! Buffers of a thread, which no other one sees: none are needed here.

    pub(super) struct Scratch;

    impl Scratch {
        pub(super) fn with<T>(run: impl FnOnce(&mut Self) -> T) -> T {
            run(&mut Self)
        }
    }
}

use std::sync::Arc;

use helpers::Helpers;

use crate::sync::{UnsafeCell, thread};

crate::checks! {
    each_unit_is_done_once_and_seen_by_the_caller: None,
    two_helpers_join_and_leave: Some(3),
    two_callers_share_a_helper: Some(3),
    an_operation_that_is_stopped_has_no_helper_any_more: Some(3),
}

/// Multiplications after which the caller is asked.
const STRETCH: usize = 1 << 23;

/// A place for the result of one unit, as a part of an output is.
struct Place(UnsafeCell<u32>);

// SAFETY: each unit is done by one thread, and the results are read when the operation is over.
// Loom fails the test if that is not so.
unsafe impl Sync for Place {}

fn places<const N: usize>() -> [Place; N] {
    [(); N].map(|()| Place(UnsafeCell::new(0)))
}

impl Place {
    fn add(&self) {
        // SAFETY: as above; loom checks it.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }

    fn count(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|count| unsafe { *count })
    }
}

fn operate<const N: usize>(helpers: &Helpers, count: usize) {
    let places = places::<N>();
    let done = helpers.operate(N, count, &|_| true, &|unit, _, progress| {
        places[unit].add();
        progress.did(1)
    });
    assert!(done.is_ok());
    assert!(places.iter().all(|place| place.count() == 1));
}

fn each_unit_is_done_once_and_seen_by_the_caller() {
    operate::<2>(&Helpers::start(1).unwrap(), 1);
}

fn two_helpers_join_and_leave() {
    operate::<3>(&Helpers::start(2).unwrap(), 2);
}

fn two_callers_share_a_helper() {
    let helpers = Arc::new(Helpers::start(1).unwrap());
    let other = Arc::clone(&helpers);
    let other = thread::spawn(move || operate::<2>(&other, 1));
    operate::<2>(&helpers, 1);
    other.join().unwrap();
}

/// The caller ends the operation while a helper is at work: nobody touches its data afterwards.
fn an_operation_that_is_stopped_has_no_helper_any_more() {
    let helpers = Helpers::start(1).unwrap();
    let places = places::<2>();
    let stopped = helpers.operate(2, 1, &|_| false, &|unit, _, progress| {
        places[unit].add();
        progress.did(STRETCH)
    });
    // Whoever is asked first may have done both units before.
    assert!(stopped.is_err() || places.iter().all(|place| place.count() == 1));
    assert!(places.iter().all(|place| place.count() <= 1));
}
