//! Attention: a product, its soft-max, and a product with that.

use super::{Attention, Fused, Graph, Op, Source, Step};
use crate::backend::tensor::Tensor;

impl Graph<'_> {
    /// The attention whose scores the product at `place` makes, if they are read by a soft-max
    /// alone, and that by another product alone. Alignment heads are read by others too, and so
    /// stay as they are.
    pub(super) fn attention(&self, place: usize) -> Option<Fused> {
        let [Some(key), Some(query)] = self.nodes[place].sources else { return None };
        let (softmax, through) = self.only_reader(place)?;
        let Op::SoftMax { scale } = self.nodes[softmax].op else { return None };
        let [scores, mask] = self.nodes[softmax].sources;
        if through != place || scores?.node != Some(place) {
            return None;
        }
        let (product, through) = self.only_reader(softmax)?;
        let [Some(value), Some(weights)] = self.nodes[product].sources else { return None };
        if through != softmax || self.nodes[product].op != Op::MulMat || weights.node != Some(softmax) {
            return None;
        }
        let mut members = vec![place, softmax, product];
        let mut out = self.nodes[product].out;
        if let Some((copy, merged)) = self.merged(product) {
            members.push(copy);
            out = merged;
        }
        let inputs: Vec<Source> = [Some(query), Some(key), Some(value), mask].into_iter().flatten().collect();
        let mut attention = Attention {
            query: query.tensor,
            key: key.tensor,
            value: value.tensor,
            mask: mask.map(|mask| mask.tensor),
            scale,
            out,
            aside: false,
        };
        attention.aside = inputs.iter().any(|input| input.tensor.overlaps(&out));
        attention.fits().then_some(Fused { members, inputs, step: Step::Attention(attention) })
    }

    /// The copy that puts the heads of each query side by side, and its memory in the shape of the
    /// product at `place`.
    fn merged(&self, place: usize) -> Option<(usize, Tensor)> {
        let heads = self.nodes[place].out;
        let (copy, through) = self.only_reader(place)?;
        let (permuted, merged) = (self.nodes[through].out, self.nodes[copy].out);
        let [width, queries, count, one] = heads.extent;
        let swapped = permuted.extent == [width, count, queries, one]
            && permuted.stride == [heads.stride[0], heads.stride[2], heads.stride[1], heads.stride[3]];
        if self.nodes[copy].op != Op::Copy || !swapped || !merged.is_contiguous() || !merged.format.is_f32() {
            return None;
        }
        let side_by_side = merged.reshaped(permuted.extent);
        let [n0, n1, n2, n3] = side_by_side.stride;
        Some((copy, Tensor { extent: heads.extent, stride: [n0, n2, n1, n3], ..side_by_side }))
    }
}

impl Attention {
    /// Returns true if the shapes are those of attention, one key and value for each head.
    fn fits(&self) -> bool {
        let [width, queries, heads, one] = self.query.extent;
        let keys = self.key.extent[1];
        let is_mask = |mask: &Tensor| mask.extent == [keys, queries, 1, 1] && mask.format.is_f32();
        one == 1
            && self.key.extent == [width, keys, heads, 1]
            && self.value.extent == [keys, width, heads, 1]
            && self.out.extent == self.query.extent
            && self.query.format.is_f32()
            && self.key.format.is_float()
            && self.value.format.is_float()
            && self.mask.as_ref().is_none_or(is_mask)
    }
}
