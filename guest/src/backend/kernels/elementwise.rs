//! Operations on each element of a row, in place.

use super::exp;
use super::simd::F32x4;

/// Vectors for each turn of a loop. Epoch checks sit on its back-edge, and cost nothing past 16
/// vector operations.
const TURN: usize = 4;

/// Replaces each vector of `row` by `f` of it; the rest at the end is padded with `pad`.
#[inline(always)]
pub(super) fn map(row: &mut [f32], pad: f32, mut f: impl FnMut(F32x4) -> F32x4) {
    let (turns, rest) = row.as_chunks_mut::<{ 4 * TURN }>();
    for turn in turns {
        for lanes in turn.as_chunks_mut::<4>().0 {
            f(F32x4::load(lanes)).store(lanes);
        }
    }
    for rest in rest.chunks_mut(4) {
        let mut lanes = [pad; 4];
        lanes[..rest.len()].copy_from_slice(rest);
        let lanes = f(F32x4::load(&lanes)).lanes();
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}

/// Replaces each vector of `row` by `f` of it and of the vector at its place in `other`, which is
/// as long; both are padded.
#[inline(always)]
pub(super) fn zip(row: &mut [f32], other: &[f32], pad: [f32; 2], mut f: impl FnMut(F32x4, F32x4) -> F32x4) {
    let (turns, rest) = row.as_chunks_mut::<{ 4 * TURN }>();
    let (others, other_rest) = other.as_chunks::<{ 4 * TURN }>();
    for (turn, others) in turns.iter_mut().zip(others) {
        for (lanes, other) in turn.as_chunks_mut::<4>().0.iter_mut().zip(others.as_chunks::<4>().0) {
            f(F32x4::load(lanes), F32x4::load(other)).store(lanes);
        }
    }
    for (rest, other) in rest.chunks_mut(4).zip(other_rest.chunks(4)) {
        let [mut lanes, mut others] = pad.map(|pad| [pad; 4]);
        lanes[..rest.len()].copy_from_slice(rest);
        others[..other.len()].copy_from_slice(other);
        let lanes = f(F32x4::load(&lanes), F32x4::load(&others)).lanes();
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}

/// Second operand of an addition or multiplication, for one row.
#[derive(Clone, Copy)]
pub(in crate::backend) enum Other<'a> {
    /// As many elements.
    Row(&'a [f32]),
    /// One value for all.
    One(f32),
}

pub(in crate::backend) fn add(row: &mut [f32], other: Other) {
    match other {
        Other::Row(other) => zip(row, other, [0.0; 2], F32x4::add),
        Other::One(value) => map(row, 0.0, |x| x.add(F32x4::splat(value))),
    }
}

pub(in crate::backend) fn multiply(row: &mut [f32], other: Other) {
    match other {
        Other::Row(other) => zip(row, other, [0.0; 2], F32x4::mul),
        Other::One(value) => map(row, 0.0, |x| x.mul(F32x4::splat(value))),
    }
}

/// `factor · x + offset`.
pub(in crate::backend) fn scale(row: &mut [f32], factor: f32, offset: f32) {
    let (factor, offset) = (F32x4::splat(factor), F32x4::splat(offset));
    map(row, 0.0, |x| x.mul(factor).add(offset));
}

pub(in crate::backend) fn gelu(row: &mut [f32]) {
    map(row, 0.0, exp::gelu);
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::Noise;
    use super::*;

    #[test]
    fn every_element_of_rows_of_any_length_is_reached_once() {
        let mut noise = Noise::new(11);
        for len in (1..40).chain([384]) {
            let (row, other) = (noise.floats(len), noise.floats(len));
            let check = |f: &dyn Fn(&mut [f32]), expected: &dyn Fn(usize) -> f32| {
                let mut found = row.clone();
                f(&mut found);
                for (at, found) in found.iter().enumerate() {
                    assert!((found - expected(at)).abs() < 1e-6, "{len}: {found} at {at}");
                }
            };
            check(&|row| add(row, Other::Row(&other)), &|at| row[at] + other[at]);
            check(&|row| add(row, Other::One(0.5)), &|at| row[at] + 0.5);
            check(&|row| multiply(row, Other::Row(&other)), &|at| row[at] * other[at]);
            check(&|row| multiply(row, Other::One(3.0)), &|at| row[at] * 3.0);
            check(&|row| scale(row, 3.0, 0.25), &|at| row[at] * 3.0 + 0.25);
            check(&gelu, &|at| exp::gelu(F32x4::splat(row[at])).lanes()[0]);
        }
    }
}
