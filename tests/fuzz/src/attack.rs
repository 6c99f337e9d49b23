//! A guest that asks for anything: descriptors from the fuzzer, on a memory of which every byte
//! outside is poisoned.

use std::cell::{Cell, RefCell};

use hearken_proto::compute::Weight;

use crate::compute::{Computing, Precision};
use crate::descriptors::{MEMORY, Numbers};

thread_local! {
    static COMPUTING: RefCell<[Computing; 2]> = RefCell::new(
        [Precision::Exact, Precision::Fast].map(|precision| Computing::start(precision, 1).expect("a thread")),
    );
}

/// Prepares weights and asks for one operation.
pub fn attack(data: &[u8]) {
    let mut numbers = Numbers(data);
    let choice = numbers.next();
    COMPUTING.with_borrow(|computing| {
        let mut memory: Box<[u8]> = (0..MEMORY).map(|index| (index * 7 % 251) as u8).collect();
        let weights: Vec<Weight> =
            (0..choice >> 2 & 3).filter_map(|index| numbers.spoiled_weight(index)).collect();
        let computing = &computing[(choice & 1) as usize];
        let Ok(prepared) = computing.prepare(&weights, &memory, 1 << 24) else { return };
        // A budget of a few looks at the clock.
        let looks = Cell::new(4);
        let go_on = |_| looks.replace(looks.get().max(1) - 1) > 1;
        let _ = if choice & 2 == 0 {
            let asked = numbers.product(&weights).words();
            prepared.product(&mut memory, &numbers.spoil(asked), &go_on)
        } else {
            let asked = numbers.attention().words();
            prepared.attention(&mut memory, &numbers.spoil(asked), &go_on)
        };
    });
}
