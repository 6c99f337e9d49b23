//! A matrix of weights as the kernels read it: once from first to last byte.

use half::f16;
use hearken_proto::compute::Element;

use super::aligned::Aligned;
use super::blocks;
use super::kernels::{BLOCK, Kernels, Level, block_bytes};

/// What the panels hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// `[depth][panel]` f32.
    Singles,
    /// `[depth][panel]` binary16.
    Halves,
    /// `[depth / 32]` blocks of `[8][panel][4]` bytes, `[panel]` scales and perhaps `[panel]` minima.
    Bytes { zero: u8, minimum: bool },
}

/// A matrix of weights, packed for one instruction set: panels of rows, one after the other. The last panel is filled up
/// with zeros, and so is the last block of rows whose depth is not a multiple of 32.
pub(crate) struct Packed {
    content: Content,
    level: Level,
    rows: usize,
    depth: usize,
    panel_bytes: usize,
    data: Aligned,
}

impl Packed {
    /// Packs `rows` rows of `depth` elements. Floats stay what they are, or become blocks of bytes where that is faster
    /// and the kernels' precision allows it.
    ///
    /// # Panics
    ///
    /// If `row` gives fewer bytes than `depth` elements have.
    pub(crate) fn pack<'a>(
        kernels: &Kernels,
        element: Element,
        rows: usize,
        depth: usize,
        row: impl Fn(usize) -> &'a [u8],
    ) -> Self {
        let panel = kernels.table().panel;
        let content = Content::of(kernels, element);
        let panel_bytes = content.bytes(panel, depth);
        let mut data = Aligned::zeroed(rows.div_ceil(panel) * panel_bytes);
        for (p, to) in data.bytes_mut().chunks_exact_mut(panel_bytes).enumerate() {
            for r in 0..panel.min(rows.saturating_sub(panel * p)) {
                let row = row(panel * p + r);
                match content {
                    Content::Singles => scatter::<4>(to, panel, r, &row[..4 * depth]),
                    Content::Halves => scatter::<2>(to, panel, r, &row[..2 * depth]),
                    Content::Bytes { minimum, .. } => pack_blocks(to, panel, r, minimum, element, row, depth),
                }
            }
        }
        Self { content, level: kernels.level(), rows, depth, panel_bytes, data }
    }

    /// Bytes that a weight will take.
    pub(super) fn size(kernels: &Kernels, element: Element, rows: usize, depth: usize) -> usize {
        let panel = kernels.table().panel;
        rows.div_ceil(panel) * Content::of(kernels, element).bytes(panel, depth)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn content(&self) -> Content {
        self.content
    }

    /// The kernels' level that it is packed for.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// A panel, from an element of its rows on: a multiple of 32 for blocks.
    pub(super) fn panel(&self, panel: usize, panel_rows: usize, element: usize) -> *const u8 {
        let at = self.panel_bytes * panel + self.content.bytes(panel_rows, element);
        debug_assert!(at < self.data.len());
        self.data.as_ptr().wrapping_add(at)
    }
}

impl Content {
    /// What a weight of such elements becomes.
    fn of(kernels: &Kernels, element: Element) -> Self {
        match element {
            Element::F32 if !kernels.prefers_bytes() => Self::Singles,
            Element::F16 if !kernels.prefers_bytes() => Self::Halves,
            _ => Self::Bytes { zero: blocks::zero(element), minimum: blocks::has_minimum(element) },
        }
    }

    /// What bytes are greater by than the numbers that they stand for.
    pub(super) fn zero(self) -> u8 {
        match self {
            Self::Bytes { zero, .. } => zero,
            Self::Singles | Self::Halves => 0,
        }
    }

    /// Bytes of `depth` elements of a panel's rows.
    fn bytes(self, panel: usize, depth: usize) -> usize {
        match self {
            Self::Singles => 4 * panel * depth,
            Self::Halves => 2 * panel * depth,
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
