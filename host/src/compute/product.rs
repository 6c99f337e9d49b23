//! Products of two matrices, on one thread or several.
//!
//! Right rows are taken in blocks, and of their depth as much as a staged row holds. A block is
//! staged once, in a form that the tiles read, and every panel of left rows passes over it. The
//! division into units depends on the number of helpers, the results do not: they are the same to
//! the last bit.

use std::time::Duration;

use super::cancel::{Progress, Stopped};
use super::helpers::Helpers;
use super::kernels::{
    BLOCK, ELEMENTS, Epilogue, Format, Kernels, Loose, ROW, SPAN, prefetch, prefetch_write,
};
use super::packed::{Content, Packed};
use super::rows::{Rows, RowsMut};
use super::scratch::{COLUMNS, Scratch};

/// `out[j][i] = f(Σₖ left[i][k] · right[j][k] + bias) + residual[j][i]`, where `f` is the identity
/// or GELU.
pub(super) struct Product<'a> {
    pub(super) left: Left<'a>,
    pub(super) right: Rows<'a>,
    pub(super) out: RowsMut<'a>,
    pub(super) bias: Bias<'a>,
    pub(super) gelu: bool,
    pub(super) residual: Option<Rows<'a>>,
}

/// The left side of a [`Product`].
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    Weights(&'a Packed),
    Memory(Rows<'a>),
}

/// Addend before the activation.
#[derive(Clone, Copy)]
pub(super) enum Bias<'a> {
    None,
    /// One value for each left row.
    Left(&'a [f32]),
    /// One value for each right row.
    Right(&'a [f32]),
}

/// Multiplications below which waking a helper takes longer than it saves.
const WORTH_HELP: usize = 1 << 21;
/// Units for each thread, so that all end at about the same time.
const UNITS_PER_THREAD: usize = 4;

impl Kernels {
    /// Does products. Those of one call are spread over the helpers together. `go_on` is asked on
    /// this thread between tiles, with the CPU time that helpers have spent so far. Returns the
    /// helpers' CPU time.
    ///
    /// # Panics
    ///
    /// If the shapes of a product's parts do not fit, or weights are packed for other kernels.
    pub(super) fn multiply(
        &self,
        products: &[Product<'_>],
        helpers: &Helpers,
        go_on: &dyn Fn(Duration) -> bool,
    ) -> Result<Duration, Stopped> {
        products.iter().for_each(|product| product.check(self));
        let work: usize = products.iter().map(Product::work).sum();
        let count = if work < WORTH_HELP { 0 } else { helpers.available() };
        let blocks: usize = products.iter().map(Product::blocks).sum();
        let parts = if count == 0 { 1 } else { (UNITS_PER_THREAD * (count + 1)).div_ceil(blocks) };
        let plans: Vec<_> = products.iter().map(|product| Plan::new(self, product, parts)).collect();
        let units = plans.iter().map(Plan::units).sum();
        helpers.operate(units, count, go_on, &|mut unit, scratch, progress| {
            for plan in &plans {
                match unit.checked_sub(plan.units()) {
                    None => return plan.run(unit, scratch, progress),
                    Some(rest) => unit = rest,
                }
            }
            Ok(())
        })
    }
}

impl Product<'_> {
    fn rows(&self) -> usize {
        match self.left {
            Left::Weights(packed) => packed.rows(),
            Left::Memory(rows) => rows.rows(),
        }
    }

    fn depth(&self) -> usize {
        self.right.cols()
    }

    fn blocks(&self) -> usize {
        self.right.rows().div_ceil(COLUMNS)
    }

    fn work(&self) -> usize {
        self.rows() * self.right.rows() * self.depth()
    }

    /// Asserts the conditions that the kernels rely on.
    fn check(&self, kernels: &Kernels) {
        let (rows, columns, depth) = (self.rows(), self.right.rows(), self.depth());
        let left = match self.left {
            Left::Weights(packed) => {
                assert!(packed.level() == kernels.level(), "weights are packed for other kernels");
                packed.depth()
            }
            Left::Memory(rows) => rows.cols(),
        };
        let bias = match self.bias {
            Bias::None => true,
            Bias::Left(bias) => bias.len() == rows,
            Bias::Right(bias) => bias.len() == columns,
        };
        let shape = (columns, rows);
        let residual = self.residual.is_none_or(|of| (of.rows(), of.cols()) == shape && !of.half());
        let out = (self.out.rows(), self.out.cols()) == shape;
        assert!(left == depth && bias && residual && out, "a product's shapes do not fit");
    }
}

/// Plan of one product.
struct Plan<'a> {
    kernels: &'a Kernels,
    product: &'a Product<'a>,
    /// Staging format of right rows.
    format: Format,
    /// Bytes of a staged element.
    element: usize,
    /// Elements of one step of a tile.
    step: usize,
    /// Elements that are staged together, but the last: a multiple of these.
    grain: usize,
    /// Left rows of a panel.
    panel: usize,
    /// Panels of a unit.
    part: usize,
    /// Units for each block of right rows.
    parts: usize,
}

impl<'a> Plan<'a> {
    fn new(kernels: &'a Kernels, product: &'a Product<'a>, parts: usize) -> Self {
        let table = kernels.table();
        let content = match product.left {
            Left::Weights(packed) => Some(packed.content()),
            Left::Memory(_) => None,
        };
        let (format, element, step, grain) = match (content, kernels.bf16()) {
            (Some(Content::Bytes { minimum: false, .. }), _) => (table.bytes, 1, BLOCK, BLOCK),
            (Some(Content::Bytes { minimum: true, .. }), _) => (table.bytes_with_minimum, 1, BLOCK, BLOCK),
            // There are tiles for it: `check` has seen that the weights are packed for these
            // kernels.
            (Some(Content::Fixed), _) => (table.fixed.unwrap_or(table.halves), 2, 2, SPAN),
            (Some(Content::Halves), _) => (table.halves, 4, 1, 1),
            (None, Some(bf16)) => (bf16.pairs, 2, 2, 2),
            (Some(Content::Singles), _) | (None, None) => (table.singles, 4, 1, 1),
        };
        let panels = product.rows().div_ceil(table.panel);
        let part = panels.div_ceil(parts);
        Self {
            kernels,
            product,
            format,
            element,
            step,
            grain,
            panel: table.panel,
            part,
            parts: panels.div_ceil(part),
        }
    }

    fn units(&self) -> usize {
        self.product.blocks() * self.parts
    }

    /// Elements of the depth that are staged together.
    fn stretch(&self) -> usize {
        let depth = self.product.depth();
        let times = depth.div_ceil(ELEMENTS / self.element);
        depth.div_ceil(times).next_multiple_of(self.grain)
    }

    fn run(&self, unit: usize, scratch: &mut Scratch, progress: &Progress<'_>) -> Result<(), Stopped> {
        let Product { right, .. } = self.product;
        let first = COLUMNS * (unit / self.parts);
        let columns = COLUMNS.min(right.rows() - first);
        let panels = self.product.rows().div_ceil(self.panel);
        let from = self.part * (unit % self.parts);
        let depth = self.product.depth();
        let stretch = self.stretch();
        for k in (0..depth).step_by(stretch) {
            let elements = stretch.min(depth - k);
            self.stage(first, columns, k, elements, scratch);
            for panel in from..panels.min(from + self.part) {
                self.pass(panel, first, columns, k, elements, scratch);
                progress.did(self.panel * columns * elements)?;
            }
        }
        Ok(())
    }

    /// Stages elements `k..k + elements` of right rows.
    fn stage(&self, first: usize, columns: usize, k: usize, elements: usize, scratch: &mut Scratch) {
        let Product { right, left, .. } = self.product;
        let zero = match left {
            Left::Weights(packed) => packed.content().zero(),
            Left::Memory(_) => 0,
        };
        let bytes = elements * if right.half() { 2 } else { 4 };
        for column in 0..columns {
            // Rows may lie far apart: the processor does not foresee the next one.
            if column + 1 < columns {
                prefetch(right.at(first + column + 1, k), bytes);
            }
            // SAFETY: the elements are the matrix's; there is room for this many rows of this many
            // elements.
            unsafe {
                let to = scratch.rows.as_mut_ptr().add(ROW * column);
                (self.format.stage)(right.at(first + column, k), right.half(), elements, zero, to);
            }
        }
    }

    /// Multiplies one panel with the staged rows.
    fn pass(
        &self,
        panel: usize,
        first: usize,
        columns: usize,
        k: usize,
        elements: usize,
        scratch: &mut Scratch,
    ) {
        let table = self.kernels.table();
        let i = self.panel * panel;
        let rows = self.panel.min(self.product.rows() - i);
        let mut tiles = self.format.tiles;
        let room = scratch.panel.as_mut_ptr();
        let left = match self.product.left {
            Left::Memory(left) => {
                let pack = self.kernels.bf16().map_or(table.pack, |bf16| bf16.pack);
                let (from, stride) = (left.at(i, k), left.stride());
                let loose = Loose { from, stride, half: left.half(), count: rows, n: elements, factor: 1.0 };
                // SAFETY: the rows are the matrix's; the room holds a panel of as many elements as
                // a staged row.
                unsafe { pack(&loose, room) };
                room.cast_const()
            }
            Left::Weights(packed) => {
                let left = packed.panel(panel, self.panel, k);
                if packed.content() == Content::Halves && columns > tiles.len() {
                    tiles = table.singles.tiles;
                    // SAFETY: the panel's elements are contiguous, and the room holds as many
                    // floats.
                    unsafe { (table.singles.stage)(left, true, self.panel * elements, 0, room) };
                    room.cast_const()
                } else {
                    left
                }
            }
        };
        let sums: *mut f32 = scratch.sums.as_mut_ptr().cast();
        let mut column = 0;
        for width in split(columns, tiles.len()) {
            let how = self.how(i, first + column, k, elements);
            let out = self.product.out.at(first + column, i);
            for c in 0..width {
                prefetch_write(out.cast::<u8>().wrapping_add(how.stride * c), 4 * rows);
            }
            // SAFETY: panel and rows have these steps, and the sums have room for the widest tile;
            // `how` points into matrices that have these rows.
            unsafe {
                let staged = scratch.rows.as_ptr().add(ROW * column);
                tiles[width - 1](left, staged, elements.div_ceil(self.step), sums, false);
                (table.finish)(sums, rows, width, out, &how);
            }
            column += width;
        }
    }

    /// Epilogue of the sums of left rows from `i` on and right rows from `j` on.
    fn how(&self, i: usize, j: usize, k: usize, elements: usize) -> Epilogue {
        let Product { bias, gelu, residual, ref out, .. } = *self.product;
        Epilogue {
            stride: out.stride(),
            more: k > 0,
            last: k + elements == self.product.depth(),
            bias: if let Bias::Left(bias) = bias { bias[i..].as_ptr() } else { std::ptr::null() },
            offsets: if let Bias::Right(bias) = bias { bias[j..].as_ptr() } else { std::ptr::null() },
            gelu,
            residual: residual.map_or(std::ptr::null(), |residual| residual.at(j, i).cast()),
            residual_stride: residual.map_or(0, |residual| residual.stride()),
        }
    }
}

/// Splits `columns` into as few tiles as there must be, of about the same width.
pub(super) fn split(columns: usize, widest: usize) -> impl Iterator<Item = usize> {
    let tiles = columns.div_ceil(widest);
    (0..tiles).map(move |tile| columns * (tile + 1) / tiles - columns * tile / tiles)
}
