//! Element-wise operations that are done in one pass.

use super::{Fused, Graph, Op, Source, Step};
use crate::backend::tensor::Tensor;

impl Graph<'_> {
    /// The norm at `place`, with the gain and the bias that follow it.
    pub(super) fn norm(&self, place: usize) -> Option<Fused> {
        let Op::Norm { epsilon } = self.nodes[place].op else { return None };
        let from = self.nodes[place].sources[0]?;
        let (gained, gain) = self.next_vector(place, Op::Mul)?;
        let (biased, bias) = self.next_vector(gained, Op::Add)?;
        let out = self.nodes[biased].out;
        let in_place = from.tensor.coincides(&out) || !from.tensor.overlaps(&out);
        let fits = in_place && [gain, bias].iter().all(|vector| !vector.tensor.overlaps(&out));
        fits.then(|| Fused {
            members: vec![place, gained, biased],
            inputs: vec![from, gain, bias],
            step: Step::Norm { from: from.tensor, epsilon, then: Some([gain.tensor, bias.tensor]), out },
        })
    }

    /// The only reader of `place`, if it does `op` with a vector that is repeated for each row.
    fn next_vector(&self, place: usize, op: Op) -> Option<(usize, Source)> {
        let (reader, through) = self.only_reader(place)?;
        let vector = self.other_source(reader, through)?;
        let (node, from) = (&self.nodes[reader], &self.nodes[place].out);
        let fits = through == place
            && node.op == op
            && node.out.extent == from.extent
            && vector.tensor.extent == [from.extent[0], 1, 1, 1]
            && vector.tensor.is_contiguous();
        fits.then_some((reader, vector))
    }

    /// The scale at `place`, with the copy that follows it.
    pub(super) fn scaled_copy(&self, place: usize) -> Option<Fused> {
        let Op::Scale { factor, offset: 0.0 } = self.nodes[place].op else { return None };
        let source = self.nodes[place].sources[0]?;
        let (copy, through) = self.only_reader(place)?;
        if through != place || self.nodes[copy].op != Op::Copy {
            return None;
        }
        let [from, out] = same_shape(source.tensor, self.nodes[copy].out)?;
        (!from.overlaps(&out)).then(|| Fused {
            members: vec![place, copy],
            inputs: vec![source],
            step: Step::Copy { from, factor, out },
        })
    }
}

/// Both sides of a copy in the same shape, if one of them can take that of the other: elements keep
/// their order, not their places.
pub(in crate::backend) fn same_shape(from: Tensor, to: Tensor) -> Option<[Tensor; 2]> {
    if from.is_contiguous() && to.is_contiguous() {
        let row = [from.len(), 1, 1, 1];
        return Some([from.reshaped(row), to.reshaped(row)]);
    }
    if from.extent == to.extent {
        Some([from, to])
    } else if to.is_contiguous() {
        Some([from, to.reshaped(from.extent)])
    } else if from.is_contiguous() {
        Some([from.reshaped(to.extent), to])
    } else {
        None
    }
}
