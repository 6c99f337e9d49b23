//! Plan of a ggml graph: steps, each of which fuses as many operations as possible.
//!
//! ggml's graphs have an operation for every small thing: a product, its bias, its activation.
//! Neighbors are fused where no other operation reads the values between them. This is decided over
//! plain data, so that it can be tested without ggml.
//!
//! A fused step runs at the place of its last operation. By then ggml may have given the memory of
//! its inputs to others, since it thinks them used up; so addresses decide if fusing is possible,
//! and if the result needs a place of its own first.

mod attention;
mod pass;
mod product;
#[cfg(test)]
mod tests;

pub(super) use pass::same_shape;

use super::kernels::convolution::Window;
use super::tensor::Tensor;

/// Operation with its sources. Layouts are as the kernels require; the code that makes nodes has
/// checked that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// No operation: another view of the first source's memory.
    View,
    /// `out[j][i] = Σₖ first[i][k] · second[j][k]`, the first being repeated over the second's
    /// planes.
    MulMat,
    /// First plus second, which is repeated.
    Add,
    /// First times second, which is repeated.
    Mul,
    /// Rows of mean 0 and variance 1.
    Norm {
        epsilon: f32,
    },
    /// Soft-max of the first, scaled, plus the second if there is one.
    SoftMax {
        scale: f32,
    },
    Gelu,
    /// `factor · first + offset`.
    Scale {
        factor: f32,
        offset: f32,
    },
    /// The first in another layout, shape or type.
    Copy,
    /// A convolution's patches of the first.
    Patches(Window),
    /// Rows of the first that the second names.
    Rows,
    /// The first, then the second, along an axis.
    Concat {
        axis: usize,
    },
}

/// Source of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) tensor: Tensor,
    /// The node that makes it, if it is one of the graph.
    pub(super) node: Option<usize>,
}

/// An operation, at its place in the order of computation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) out: Tensor,
    pub(super) sources: [Option<Source>; 2],
    /// Number of reads of its output; readers outside of the planned graph are counted too.
    pub(super) uses: usize,
    /// True if its output is read when the graph is done.
    pub(super) is_output: bool,
}

/// Addend of a product before its activation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bias {
    None,
    /// One float for each left row.
    Left(Tensor),
    /// One float for each right row.
    Right(Tensor),
}

/// `out = f(left · right + bias) + residual`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) left: Tensor,
    pub(super) right: Tensor,
    pub(super) bias: Bias,
    /// True if `f` is GELU.
    pub(super) gelu: bool,
    /// Residual, of the shape of `out`.
    pub(super) residual: Option<Tensor>,
    pub(super) out: Tensor,
    /// True if the result must be made elsewhere, because `out` overlaps an input.
    pub(super) aside: bool,
}

/// `out[h][q] = Σₖ softmaxₖ(scale · query[h][q]·key[h][k] + mask[q][k]) · value[h][·][k]`, planes
/// being heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub(super) query: Tensor,
    pub(super) key: Tensor,
    /// Transposed.
    pub(super) value: Tensor,
    pub(super) mask: Option<Tensor>,
    pub(super) scale: f32,
    /// Output, in the shape of `query`.
    pub(super) out: Tensor,
    /// As [`Product::aside`].
    pub(super) aside: bool,
}

/// One step of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Product(Product),
    Attention(Attention),
    /// Rows of mean 0 and variance 1, then times a gain and plus a bias.
    Norm {
        from: Tensor,
        epsilon: f32,
        then: Option<[Tensor; 2]>,
        out: Tensor,
    },
    Add {
        one: Tensor,
        other: Tensor,
        out: Tensor,
    },
    Mul {
        one: Tensor,
        other: Tensor,
        out: Tensor,
    },
    SoftMax {
        from: Tensor,
        scale: f32,
        mask: Option<Tensor>,
        out: Tensor,
    },
    Gelu {
        from: Tensor,
        out: Tensor,
    },
    Scale {
        from: Tensor,
        factor: f32,
        offset: f32,
        out: Tensor,
    },
    /// Both have the same shape.
    Copy {
        from: Tensor,
        factor: f32,
        out: Tensor,
    },
    Patches {
        from: Tensor,
        window: Window,
        out: Tensor,
    },
    Rows {
        table: Tensor,
        indices: Tensor,
        out: Tensor,
    },
    Concat {
        one: Tensor,
        other: Tensor,
        axis: usize,
        out: Tensor,
    },
}

/// Operations that become one step.
struct Fused {
    /// Their places, in order; views between them are not listed.
    members: Vec<usize>,
    inputs: Vec<Source>,
    step: Step,
}

/// Graph with the readers of each tensor.
struct Graph<'a> {
    nodes: &'a [Node],
    /// The last node that reads each node.
    readers: Vec<Option<usize>>,
}

/// Turns a graph into steps, in order.
pub(super) fn plan(nodes: &[Node]) -> Vec<Step> {
    let mut readers = vec![None; nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        for source in node.sources.iter().flatten() {
            if let Some(made) = source.node {
                readers[made] = Some(place);
            }
        }
    }
    let graph = Graph { nodes, readers };
    let mut taken = vec![false; nodes.len()];
    let mut steps = Vec::with_capacity(nodes.len());
    for place in 0..nodes.len() {
        if taken[place] {
            continue;
        }
        let fused = match nodes[place].op {
            Op::MulMat => graph.attention(place).or_else(|| graph.product(place)),
            Op::Norm { .. } => graph.norm(place),
            Op::Scale { .. } => graph.scaled_copy(place),
            _ => None,
        };
        if let Some(fused) = fused.filter(|fused| graph.is_undisturbed(fused)) {
            fused.members.iter().for_each(|member| taken[*member] = true);
            steps.push((fused.members.last().copied().unwrap_or(place), fused.step));
        } else if let Some(step) = single(&nodes[place]) {
            steps.push((place, step));
        }
    }
    steps.sort_by_key(|(place, _)| *place);
    steps.into_iter().map(|(_, step)| step).collect()
}

impl Graph<'_> {
    /// The one operation that reads the output of `place`, if nothing else does, then or later; and
    /// the node through which it reads it: `place` itself, or the last of a chain of views.
    fn only_reader(&self, place: usize) -> Option<(usize, usize)> {
        let mut through = place;
        loop {
            let node = &self.nodes[through];
            let reader = self.readers[through].filter(|_| node.uses == 1 && !node.is_output)?;
            if self.nodes[reader].op != Op::View {
                return Some((reader, through));
            }
            through = reader;
        }
    }

    /// Returns the source of `reader` besides `through`.
    fn other_source(&self, reader: usize, through: usize) -> Option<Source> {
        match self.nodes[reader].sources {
            [Some(one), other] if one.node == Some(through) => other,
            [one, Some(other)] if other.node == Some(through) => one,
            _ => None,
        }
    }

    /// The node that really makes a source.
    fn origin(&self, source: &Source) -> Option<usize> {
        let mut node = source.node?;
        while self.nodes[node].op == Op::View {
            match self.nodes[node].sources[0].and_then(|source| source.node) {
                Some(made) => node = made,
                None => return None,
            }
        }
        Some(node)
    }

    /// Returns true if the inputs are unchanged when the last of the operations is reached: nothing
    /// in between writes to them except what makes them.
    fn is_undisturbed(&self, fused: &Fused) -> bool {
        let (Some(first), Some(last)) = (fused.members.first(), fused.members.last()) else { return true };
        (*first..*last).all(|place| {
            let node = &self.nodes[place];
            node.op == Op::View
                || fused.members.contains(&place)
                || fused
                    .inputs
                    .iter()
                    .all(|input| self.origin(input) == Some(place) || !node.out.overlaps(&input.tensor))
        })
    }
}

/// The step for an operation on its own.
fn single(node: &Node) -> Option<Step> {
    let out = node.out;
    let from = node.sources[0]?.tensor;
    let other = node.sources[1].map(|source| source.tensor);
    Some(match node.op {
        Op::View => return None,
        Op::MulMat => Step::Product(Product::plain(from, other?, out)),
        Op::Add => Step::Add { one: from, other: other?, out },
        Op::Mul => Step::Mul { one: from, other: other?, out },
        Op::Norm { epsilon } => Step::Norm { from, epsilon, then: None, out },
        Op::SoftMax { scale } => Step::SoftMax { from, scale, mask: other, out },
        Op::Gelu => Step::Gelu { from, out },
        Op::Scale { factor, offset } => Step::Scale { from, factor, offset, out },
        Op::Copy => {
            let [from, out] = same_shape(from, out)?;
            Step::Copy { from, factor: 1.0, out }
        }
        Op::Patches(window) => Step::Patches { from, window, out },
        Op::Rows => Step::Rows { table: from, indices: other?, out },
        Op::Concat { axis } => Step::Concat { one: from, other: other?, axis, out },
    })
}
