//! Audio threads use a table's values, and another thread frees them.

#[path = "../../../host/src/capi/table.rs"]
#[allow(dead_code, reason = "its own tests fill it, not these")]
mod checked;

use std::sync::Arc;

use checked::{Refused, Table};

use crate::sync::thread;

crate::checks! {
    a_value_is_used_by_one_thread_at_a_time_and_never_after_it_is_taken_out: None,
    two_threads_that_free_a_value_do_not_both_get_it: None,
    an_old_handle_never_reaches_the_next_value_of_its_slot: None,
}

/// Loom's cell fails the test if two threads are at the value at once.
fn a_value_is_used_by_one_thread_at_a_time_and_never_after_it_is_taken_out() {
    let table = Arc::new(Table::new());
    let handle = table.insert(0u32).unwrap();
    let users = [(); 2].map(|()| {
        let table = Arc::clone(&table);
        thread::spawn(move || table.with(handle, |value| *value += 1))
    });
    let taken = table.remove(handle).unwrap();
    let used = users.map(|user| user.join().unwrap());
    assert_eq!(taken, used.iter().filter(|used| used.is_ok()).count() as u32);
    assert_eq!(table.with(handle, |_| ()), Err(Refused::Unknown));
}

fn two_threads_that_free_a_value_do_not_both_get_it() {
    let table = Arc::new(Table::new());
    let handle = table.insert(7).unwrap();
    let other = Arc::clone(&table);
    let other = thread::spawn(move || other.remove(handle));
    let mine = table.remove(handle);
    assert_eq!(mine.into_iter().chain(other.join().unwrap()).collect::<Vec<_>>(), [7]);
}

/// The slot is reused while a thread still has the old handle.
fn an_old_handle_never_reaches_the_next_value_of_its_slot() {
    let table = Arc::new(Table::new());
    let old = table.insert(1).unwrap();
    let user = {
        let table = Arc::clone(&table);
        thread::spawn(move || table.with(old, |value| *value))
    };
    let owner = {
        let table = Arc::clone(&table);
        thread::spawn(move || {
            assert_eq!(table.remove(old), Some(1));
            let new = table.insert(2).unwrap();
            assert_ne!(new, old);
            assert_eq!(table.with(new, |value| *value), Ok(2));
        })
    };
    assert_ne!(user.join().unwrap(), Ok(2));
    owner.join().unwrap();
}
