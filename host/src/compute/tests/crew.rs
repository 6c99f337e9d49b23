//! Stopping, and who pays.

use std::cell::Cell;
use std::time::Duration;

use hearken_proto::compute::Element;

use super::reference::{Memory, Random, Weights};
use crate::compute::crew::Crew;
use crate::compute::kernels::{Kernels, Precision};
use crate::compute::pace::Stopped;
use crate::compute::product::{Bias, Left, Product};
use crate::compute::rows::{Float, RowsMut};

fn work(crew: &Crew, go_on: &dyn Fn(Duration) -> bool) -> Result<Duration, Stopped> {
    let kernels = Kernels::new(Precision::Exact);
    let (rows, columns, depth) = (512, 2000, 512);
    let weights = Weights::new(Element::F32, rows, depth, &mut Random::new(1));
    let packed = weights.packed(&kernels);
    let right = Memory::new(Float::F32, depth, 0, &Random::new(2).floats(depth * columns));
    let mut out = vec![0.0; rows * columns];
    let product = Product {
        left: Left::Weights(&packed),
        right: right.rows(),
        out: RowsMut::of(&mut out, rows),
        bias: Bias::None,
        gelu: false,
        residual: None,
    };
    kernels.multiply(&[product], crew, go_on)
}

#[test]
fn a_caller_who_says_no_is_obeyed() {
    for crew in [Crew::alone(), Crew::start(2).unwrap()] {
        let asked = Cell::new(0);
        let result = work(&crew, &|_| {
            asked.set(asked.get() + 1);
            asked.get() < 3
        });
        assert_eq!(result, Err(Stopped));
        assert_eq!(asked.get(), 3, "nothing was begun after");
    }
}

#[test]
fn what_helpers_spend_is_counted() {
    assert_eq!(work(&Crew::alone(), &|_| true), Ok(Duration::ZERO));
    let crew = Crew::start(2).unwrap();
    let spent: Duration = (0..5).map(|_| work(&crew, &|_| true).unwrap()).sum();
    assert!(spent > Duration::ZERO, "helpers did nothing");
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
