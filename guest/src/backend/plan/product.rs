//! Products with their bias, activation and residual.

use super::{Bias, Fused, Graph, Op, Product, Source, Step};
use crate::backend::tensor::Tensor;

impl Product {
    /// A product that nothing follows.
    pub(super) fn plain(left: Tensor, right: Tensor, out: Tensor) -> Self {
        Self { left, right, bias: Bias::None, gelu: false, residual: None, out, aside: false }
    }
}

impl Graph<'_> {
    /// The product at `place`, and as much of `gelu(· + bias) + residual` as follows it.
    pub(super) fn product(&self, place: usize) -> Option<Fused> {
        let [Some(left), Some(right)] = self.nodes[place].sources else { return None };
        let shape = self.nodes[place].out;
        let mut product = Product::plain(left.tensor, right.tensor, shape);
        let (mut members, mut inputs) = (vec![place], vec![left, right]);
        while let Some((reader, through)) = self.only_reader(members[members.len() - 1]) {
            let node = &self.nodes[reader];
            let followed = node.out.same_layout(&shape)
                && self.nodes[through].out.same_layout(&shape)
                && match (node.op, self.other_source(reader, through)) {
                    (Op::Gelu, _) => !std::mem::replace(&mut product.gelu, true),
                    (Op::Add, Some(other)) => product.add(other, &mut inputs),
                    _ => false,
                };
            if !followed {
                break;
            }
            members.push(reader);
            product.out = node.out;
            if product.residual.is_some() {
                break;
            }
        }
        product.aside = inputs.iter().any(|input| input.tensor.overlaps(&product.out));
        Some(Fused { members, inputs, step: Step::Product(product) })
    }
}

impl Product {
    /// Takes an addition in, if it has a place for it.
    fn add(&mut self, other: Source, inputs: &mut Vec<Source>) -> bool {
        let (tensor, [rows, columns, ..]) = (other.tensor, self.out.extent);
        let is_free = matches!(self.bias, Bias::None) && !self.gelu;
        if !tensor.format.is_f32() {
            return false;
        } else if is_free && tensor.is_contiguous() && tensor.extent == [rows, 1, 1, 1] {
            self.bias = Bias::Left(tensor);
        } else if is_free && tensor.is_contiguous() && tensor.extent == [1, columns, 1, 1] {
            self.bias = Bias::Right(tensor);
        } else if tensor.has_whole_rows() && tensor.extent == self.out.extent {
            self.residual = Some(tensor);
        } else {
            return false;
        }
        inputs.push(other);
        true
    }
}
