//! Checks of every order of threads' steps, compiled from hearken's own files with
//! loom's atomics, cells, locks and threads in place of the standard library's: the table of the C
//! interface, the helper threads of the compute import, and the server's parked streams. All orders
//! are run, or those with a stated number of preemptions where there would be too many.
//!
//! `make loom` runs it; `tests/loom/run NAME` runs the checks whose names contain NAME.

// The modules name it, and get loom's locks.
extern crate self as parking_lot;

mod compute;
mod locks;
#[allow(dead_code, reason = "only the clock is used")]
#[path = "../../../host/src/preempt.rs"]
mod preempt;
mod slots;
mod sync;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) use locks::{Condvar, Mutex};

/// One thing that must hold, and how to try it.
pub(crate) struct Check {
    name: &'static str,
    /// Most times that threads are preempted; none for all orders.
    preemptions: Option<usize>,
    run: fn(),
}

/// Lists a module's checks.
macro_rules! checks {
    ($($name:ident: $preemptions:expr,)*) => {
        pub(crate) const CHECKS: &[crate::Check] = &[$(crate::Check {
            name: concat!(module_path!(), "::", stringify!($name)),
            preemptions: $preemptions,
            run: $name,
        }),*];
    };
}
pub(crate) use checks;

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let checks = [table::CHECKS, compute::CHECKS, slots::CHECKS];
    let chosen: Vec<_> = checks.into_iter().flatten().filter(|check| check.name.contains(&filter)).collect();
    assert!(!chosen.is_empty(), "no check has {filter:?} in its name");
    for check in chosen {
        let (start, orders) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut model = loom::model::Builder::new();
        model.preemption_bound = check.preemptions;
        let counted = Arc::clone(&orders);
        let run = check.run;
        print!("{}: ", check.name);
        model.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            run();
        });
        let kind = match check.preemptions {
            None => "all orders".to_owned(),
            Some(most) => format!("at most {most} preemptions"),
        };
        println!("{kind}: {} in {:.1?}", orders.load(Ordering::Relaxed), start.elapsed());
    }
}
