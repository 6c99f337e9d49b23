//! A matrix of weights as the kernels read it: once from first to last byte.

use std::sync::Arc;

use half::f16;
use hearken_proto::compute::Element;

use super::aligned::{Aligned, LINE};
use super::blocks;
use super::kernels::{BLOCK, Kernels, Level, SPAN, block_bytes, fixed_bytes};

/// Content of the panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// `[depth][panel]` f32.
    Singles,
    /// `[depth][panel]` binary16.
    Halves,
    /// Blocks of `[256 / 2][panel][2]` i16 and `[panel]` scales; the last block has fewer.
    Fixed,
    /// `[depth / 32]` blocks of `[8][panel][4]` bytes, `[panel]` scales and perhaps `[panel]`
    /// minima.
    Bytes { zero: u8, minimum: bool },
}

/// A matrix of weights, packed for one instruction set: panels of rows, one after the other. The
/// last panel is filled up with zeros, and so is the last block of rows whose depth is not a
/// multiple of 32.
pub(crate) struct Packed {
    shape: Shape,
    /// Data of all matrices of a model together, so that it is large, and on large pages.
    data: Arc<Aligned>,
    /// Offset of this one.
    at: usize,
}

/// Packed shape of a matrix.
#[derive(Debug, Clone, Copy)]
struct Shape {
    element: Element,
    content: Content,
    level: Level,
    panel: usize,
    rows: usize,
    depth: usize,
    panel_bytes: usize,
}

/// A matrix before packing: `depth` elements of a type in each of `rows` rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw {
    pub(crate) element: Element,
    pub(crate) rows: usize,
    pub(crate) depth: usize,
}

impl Packed {
    /// Packs matrices; `row` gives a row of one of them. Floats stay floats, or become blocks of
    /// bytes where that is faster and the kernels' precision allows it.
    ///
    /// # Panics
    ///
    /// If `row` gives fewer bytes than the row's elements have.
    pub(crate) fn pack<'a>(
        kernels: &Kernels,
        matrices: &[Raw],
        row: impl Fn(usize, usize) -> &'a [u8],
    ) -> Vec<Self> {
        let shapes: Vec<Shape> = matrices.iter().map(|raw| Shape::of(kernels, *raw)).collect();
        let mut data = Aligned::zeroed(shapes.iter().map(Shape::bytes).sum());
        let mut rest = data.bytes_mut();
        for (index, shape) in shapes.iter().enumerate() {
            let (to, behind) = rest.split_at_mut(shape.bytes());
            shape.fill(to, |at| row(index, at));
            rest = behind;
        }
        let data = Arc::new(data);
        let mut next = 0;
        let place = |shape: Shape| {
            let at = next;
            next += shape.bytes();
            Self { shape, data: Arc::clone(&data), at }
        };
        shapes.into_iter().map(place).collect()
    }

    /// Bytes that a matrix will take.
    pub(super) fn size(kernels: &Kernels, raw: Raw) -> usize {
        Shape::of(kernels, raw).bytes()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.shape.bytes()
    }

    pub(super) fn rows(&self) -> usize {
        self.shape.rows
    }

    pub(super) fn depth(&self) -> usize {
        self.shape.depth
    }

    pub(super) fn content(&self) -> Content {
        self.shape.content
    }

    /// The kernels' level that it is packed for.
    pub(super) fn level(&self) -> Level {
        self.shape.level
    }

    /// A panel, from an element of its rows on: the first of a block where there are blocks.
    pub(super) fn panel(&self, panel: usize, panel_rows: usize, element: usize) -> *const u8 {
        let at = self.shape.panel_bytes * panel + self.shape.content.bytes(panel_rows, element);
        debug_assert!(at < self.bytes());
        self.data.as_ptr().wrapping_add(self.at + at)
    }
}

impl Shape {
    fn of(kernels: &Kernels, Raw { element, rows, depth }: Raw) -> Self {
        let panel = kernels.table().panel;
        let content = Content::of(kernels, element);
        let panel_bytes = content.bytes(panel, depth);
        Self { element, content, level: kernels.level(), panel, rows, depth, panel_bytes }
    }

    /// Whole cache lines.
    fn bytes(&self) -> usize {
        (self.rows.div_ceil(self.panel) * self.panel_bytes).next_multiple_of(LINE)
    }

    /// Packs into zeroed memory.
    fn fill<'a>(&self, to: &mut [u8], row: impl Fn(usize) -> &'a [u8]) {
        let Self { element, content, panel, rows, depth, panel_bytes, .. } = *self;
        for (p, to) in to.chunks_exact_mut(panel_bytes).enumerate() {
            for r in 0..panel.min(rows.saturating_sub(panel * p)) {
                let row = row(panel * p + r);
                match content {
                    Content::Singles => scatter::<4>(to, panel, r, &row[..4 * depth]),
                    Content::Halves => scatter::<2>(to, panel, r, &row[..2 * depth]),
                    Content::Fixed => pack_fixed(to, panel, r, &row[..2 * depth]),
                    Content::Bytes { minimum, .. } => pack_blocks(to, panel, r, minimum, element, row, depth),
                }
            }
        }
    }
}

impl Content {
    /// Packed format of a weight with such elements.
    fn of(kernels: &Kernels, element: Element) -> Self {
        match element {
            Element::F32 if !kernels.prefers_bytes() => Self::Singles,
            Element::F16 if !kernels.prefers_bytes() && kernels.table().fixed.is_some() => Self::Fixed,
            Element::F16 if !kernels.prefers_bytes() => Self::Halves,
            _ => Self::Bytes { zero: blocks::zero(element), minimum: blocks::has_minimum(element) },
        }
    }

    /// Zero point: the difference of bytes to the numbers that they stand for.
    pub(super) fn zero(self) -> u8 {
        match self {
            Self::Bytes { zero, .. } => zero,
            Self::Singles | Self::Halves | Self::Fixed => 0,
        }
    }

    /// Bytes of `depth` elements of a panel's rows.
    fn bytes(self, panel: usize, depth: usize) -> usize {
        match self {
            Self::Singles => 4 * panel * depth,
            Self::Halves => 2 * panel * depth,
            Self::Fixed => fixed_bytes(panel, depth),
            Self::Bytes { minimum, .. } => block_bytes(panel, minimum) * depth.div_ceil(BLOCK),
        }
    }
}

/// Puts groups of `N` bytes of row `r` where a panel has them.
fn scatter<const N: usize>(to: &mut [u8], panel: usize, r: usize, row: &[u8]) {
    for (group, to) in row.as_chunks::<N>().0.iter().zip(to.chunks_exact_mut(N * panel)) {
        to[N * r..N * r + N].copy_from_slice(group);
    }
}

/// Rounds a row of binary16 to blocks of fixed point.
fn pack_fixed(mut to: &mut [u8], panel: usize, r: usize, row: &[u8]) {
    for block in row.chunks(2 * SPAN) {
        let halves = block.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32_const());
        let (scale, integers) = blocks::fixed(halves);
        let (pairs, rest) = to.split_at_mut(4 * panel * block.len().div_ceil(4));
        let (scales, behind) = rest.split_at_mut(4 * panel);
        scatter::<4>(pairs, panel, r, integers.as_flattened());
        scales[4 * r..4 * r + 4].copy_from_slice(&scale.to_le_bytes());
        to = behind;
    }
}

fn pack_blocks(
    to: &mut [u8],
    panel: usize,
    r: usize,
    minimum: bool,
    element: Element,
    row: &[u8],
    depth: usize,
) {
    let bytes = element.block_bytes() as usize * if element.block_len() == 1 { BLOCK } else { 1 };
    let row = &row[..depth * element.block_bytes() as usize / element.block_len() as usize];
    for (block, to) in row.chunks(bytes).zip(to.chunks_exact_mut(block_bytes(panel, minimum))) {
        let block = match element {
            Element::F32 => round::<4>(block, f32::from_le_bytes),
            Element::F16 => round::<2>(block, |bytes| f16::from_le_bytes(bytes).to_f32_const()),
            _ => blocks::read(element, block),
        };
        let (quants, side) = to.split_at_mut(BLOCK * panel);
        scatter::<4>(quants, panel, r, &block.bytes);
        let (scales, minima) = side.split_at_mut(2 * panel);
        scales[2 * r..2 * r + 2].copy_from_slice(&block.scale.to_le_bytes());
        if minimum {
            minima[2 * r..2 * r + 2].copy_from_slice(&block.minimum.to_le_bytes());
        }
    }
}

/// Rounds a block of floats of `N` bytes.
fn round<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> blocks::Block {
    let mut floats = [0.0; BLOCK];
    for (float, bytes) in floats.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *float = read(*bytes);
    }
    blocks::round(&floats)
}
