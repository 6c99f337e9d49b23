//! Attention, fused: scores of some keys at a time, soft-max as they come, and the sums of values.
//!
//! With many queries vectors run across queries: scores lie as `[key][query]`, which is a panel, so
//! that their soft-max needs nothing from other lanes, and they are the left side of the product
//! with the values as they are. With a few queries vectors run along keys and values where they
//! lie: to read those, once for all queries, takes longer than to compute with them.

use std::f32::consts::LOG2_E;
use std::time::Duration;

use super::cancel::{Progress, Stopped};
use super::helpers::Helpers;
use super::kernels::{Format, Kernels, LOWEST, Loose, Pack, ROW, Soften, State, Strip};
use super::product::split;
use super::rows::{Rows, RowsMut};
use super::scratch::{KEYS, MAX_WIDTH, QUERY_PANELS, Scratch};

/// `out[q][c] = Σₖ softmaxₖ(scale · query[q]·key[k] + mask[q][k]) · value[c][k]`: one head.
pub(super) struct Attention<'a> {
    /// `queries × width`, f32.
    pub(super) query: Rows<'a>,
    /// `keys × width`.
    pub(super) key: Rows<'a>,
    /// `width × keys`.
    pub(super) value: Rows<'a>,
    /// `queries × keys`, f32.
    pub(super) mask: Option<Rows<'a>>,
    pub(super) scale: f32,
    /// `queries × width`.
    pub(super) out: RowsMut<'a>,
}

/// Maximum number of queries for which vectors run along keys and values in place.
const FEW: usize = 8;
/// Heads whose keys are then read together: as many as Whisper's largest models have.
const HEADS: usize = 20;
/// Multiplications below which waking a helper takes longer than it saves.
const WORTH_HELP: usize = 1 << 20;

impl Kernels {
    /// Does heads. Those of one call are spread over the helpers together. `go_on` is asked on this
    /// thread between tiles, with the CPU time that helpers have spent so far. Returns the helpers'
    /// CPU time.
    ///
    /// # Panics
    ///
    /// If the shapes of a head's parts do not fit, if heads differ in them, or if they are wider
    /// than [`MAX_WIDTH`].
    pub(super) fn attend(
        &self,
        heads: &[Attention<'_>],
        helpers: &Helpers,
        go_on: &dyn Fn(Duration) -> bool,
    ) -> Result<Duration, Stopped> {
        let Some(one) = heads.first() else { return Ok(Duration::ZERO) };
        heads.iter().for_each(Attention::check);
        assert!(heads.iter().all(|head| head.shape() == one.shape()), "heads differ in shape");
        let work: usize = heads.iter().map(Attention::work).sum();
        let count = if work < WORTH_HELP { 0 } else { helpers.available() };
        // A unit is some heads, and of each some queries.
        let (group, some) = if one.few() {
            (heads.len().div_ceil(count + 1).min(HEADS), self.table().dots.len())
        } else {
            (1, QUERY_PANELS * self.table().panel)
        };
        let parts = one.queries().div_ceil(some);
        helpers.operate(heads.len().div_ceil(group) * parts, count, go_on, &|unit, scratch, progress| {
            let (first, query) = (group * (unit / parts), some * (unit % parts));
            let heads = &heads[first..heads.len().min(first + group)];
            if one.few() {
                self.attend_few(heads, query, scratch, progress)
            } else {
                heads.iter().try_for_each(|head| self.attend_group(head, query, scratch, progress))
            }
        })
    }

    /// A few queries of some heads, from `first` on: as many as share a reading of keys and values.
    fn attend_few(
        &self,
        heads: &[Attention<'_>],
        first: usize,
        scratch: &mut Scratch,
        progress: &Progress<'_>,
    ) -> Result<(), Stopped> {
        let table = self.table();
        let Some(one) = heads.first() else { return Ok(()) };
        let (keys, width) = (one.keys(), one.width());
        let count = table.dots.len().min(one.queries() - first);
        let dots = table.dots[count - 1];
        let scaled = scratch.queries.floats_mut();
        for (index, to) in scaled.chunks_exact_mut(MAX_WIDTH).take(count * heads.len()).enumerate() {
            let (head, q) = (&heads[index / count], index % count);
            // SAFETY: a row of the matrix.
            let row = unsafe { std::slice::from_raw_parts(head.query.at(first + q, 0).cast::<f32>(), width) };
            to.fill(0.0);
            to.iter_mut().zip(row).for_each(|(to, from)| *to = from * head.scale * LOG2_E);
        }
        // However many heads there are here: how keys are cut must not depend on how many threads
        // there are.
        let together = scratch.rows.len() / 4 / (count * HEADS) / 16 * 16;
        let scores: *mut f32 = scratch.rows.as_mut_ptr().cast();
        let sums = scratch.values.floats_mut();
        sums[..MAX_WIDTH * count * heads.len()].fill(0.0);
        let mut states = [[LOWEST, 0.0]; FEW * HEADS];
        let of_keys = |head: usize, k: usize, at: usize| Strip {
            rows: heads[head].key.at(k + at, 0),
            stride: one.key.stride(),
            vectors: scaled[MAX_WIDTH * count * head..].as_ptr(),
            vectors_stride: MAX_WIDTH,
            keep: std::ptr::null(),
            out: scores.wrapping_add(together * count * head + at),
            out_stride: together,
        };
        for k in (0..keys).step_by(together) {
            let n = together.min(keys - k);
            for at in (0..n).step_by(KEYS) {
                let some = KEYS.min(n - at);
                let mut strips = [of_keys(0, k, at); HEADS];
                for (head, strip) in strips.iter_mut().enumerate().take(heads.len()) {
                    *strip = of_keys(head, k, at);
                }
                // SAFETY: all rows are the matrices'; there is room for as many scores of each
                // head.
                unsafe { dots(&strips[..heads.len()], one.key.half(), some, width) }
                progress.did(some * width * count * heads.len())?;
            }
            for (index, head) in heads.iter().enumerate() {
                let scores = of_keys(index, k, 0).out;
                let mut keep = [0.0; FEW];
                for q in 0..count {
                    let mask = head.mask.map_or(std::ptr::null(), |mask| mask.at(first + q, k).cast());
                    let state = &mut states[count * index + q];
                    // SAFETY: the vector has room for as many scores; the mask's row has as many.
                    keep[q] = unsafe { (table.soften_one)(scores.add(together * q), n, mask, LOG2_E, state) };
                }
                let of_values = Strip {
                    rows: head.value.at(0, k),
                    stride: head.value.stride(),
                    vectors: scores,
                    vectors_stride: together,
                    keep: keep.as_ptr(),
                    out: sums[MAX_WIDTH * count * index..].as_mut_ptr(),
                    out_stride: MAX_WIDTH,
                };
                // SAFETY: all rows are the matrix's; there is room for the widest head.
                unsafe { dots(&[of_values], head.value.half(), width, n) }
                progress.did(n * width * count)?;
            }
        }
        for (index, sums) in sums.chunks_exact(MAX_WIDTH).take(count * heads.len()).enumerate() {
            let (head, q) = (&heads[index / count], index % count);
            for (c, sum) in sums[..width].iter().enumerate() {
                // SAFETY: an element of the matrix.
                unsafe { head.out.at(first + q, c).write(sum / states[index][1]) }
            }
        }
        Ok(())
    }

    /// Queries from `first` on: as many panels as share staged keys.
    fn attend_group(
        &self,
        head: &Attention<'_>,
        first: usize,
        scratch: &mut Scratch,
        progress: &Progress<'_>,
    ) -> Result<(), Stopped> {
        let table = self.table();
        let (panel, width, keys) = (table.panel, head.width(), head.keys());
        let how = How::new(self);
        let panels: Vec<Panel> = (first..head.queries())
            .step_by(panel)
            .take(QUERY_PANELS)
            .enumerate()
            .map(|(index, query)| Panel::new(index, query, panel.min(head.queries() - query), panel, scratch))
            .collect();
        for part in &panels {
            let loose = Loose {
                from: head.query.at(part.query, 0),
                stride: head.query.stride(),
                half: false,
                count: part.count,
                n: width,
                factor: head.scale * LOG2_E,
            };
            // SAFETY: the rows are the matrix's; each panel has room for the widest head, and one
            // more line of state.
            unsafe {
                (how.pack)(&loose, part.queries);
                std::slice::from_raw_parts_mut(part.values, panel * width).fill(0.0);
                std::slice::from_raw_parts_mut(part.state.greatest, panel).fill(LOWEST);
                std::slice::from_raw_parts_mut(part.state.sum, panel).fill(0.0);
            }
        }
        let scores: *mut f32 = scratch.scores.as_mut_ptr().cast();
        for k in (0..keys).step_by(KEYS) {
            let n = KEYS.min(keys - k);
            how.stage(head, k, n, scratch);
            let staged = scratch.rows.as_ptr();
            for part in &panels {
                let mask = match head.mask {
                    None => std::ptr::null(),
                    Some(mask) => {
                        let (from, stride) = (mask.at(part.query, k), mask.stride());
                        let loose = Loose { from, stride, half: false, count: part.count, n, factor: LOG2_E };
                        let to = scratch.mask.as_mut_ptr();
                        // SAFETY: the rows are the matrix's; the room is for as many keys as are
                        // staged.
                        unsafe { (table.pack)(&loose, to) };
                        to.cast_const().cast()
                    }
                };
                // SAFETY: keys and values are staged, scores have room for as many keys.
                unsafe {
                    how.tiles(part.queries, staged, n, width, scores, false);
                    (how.soften)(scores, n, mask, &part.state);
                    (table.rescale)(part.values, width, part.state.factor);
                    how.tiles(scores.cast(), staged.add(ROW * KEYS), width, n, part.values, true);
                }
                progress.did(2 * panel * n * width)?;
            }
        }
        for part in &panels {
            let out = head.out.at(part.query, 0);
            // SAFETY: the rows are the matrix's.
            unsafe {
                (table.unpack)(part.values, part.state.sum, part.count, width, out, head.out.stride());
            }
        }
        Ok(())
    }
}

impl Attention<'_> {
    fn queries(&self) -> usize {
        self.query.rows()
    }

    fn keys(&self) -> usize {
        self.key.rows()
    }

    fn width(&self) -> usize {
        self.query.cols()
    }

    /// Shape that the heads of a call have in common.
    fn shape(&self) -> ([usize; 3], [usize; 2], [bool; 2]) {
        let strides = [self.key.stride(), self.value.stride()];
        ([self.queries(), self.keys(), self.width()], strides, [self.key.half(), self.value.half()])
    }

    fn few(&self) -> bool {
        self.queries() <= FEW
    }

    fn work(&self) -> usize {
        2 * self.queries() * self.keys() * self.width()
    }

    /// Asserts the conditions that the kernels rely on.
    fn check(&self) {
        let (queries, keys, width) = (self.queries(), self.keys(), self.width());
        let mask = self.mask.is_none_or(|mask| (mask.rows(), mask.cols()) == (queries, keys) && !mask.half());
        let fits = self.key.cols() == width
            && (self.value.rows(), self.value.cols()) == (width, keys)
            && (self.out.rows(), self.out.cols()) == (queries, width)
            && !self.query.half();
        assert!(mask && fits && width <= MAX_WIDTH, "a head's shapes do not fit");
    }
}

/// A panel of queries and their state, in a thread's scratch memory.
struct Panel {
    query: usize,
    count: usize,
    queries: *mut u8,
    values: *mut f32,
    state: State,
}

impl Panel {
    fn new(index: usize, query: usize, count: usize, panel: usize, scratch: &mut Scratch) -> Self {
        let values: *mut f32 = scratch.values.as_mut_ptr().cast();
        let state: *mut f32 = scratch.state.as_mut_ptr().cast();
        let state = state.wrapping_add(3 * panel * index);
        Self {
            query,
            count,
            queries: scratch.queries.as_mut_ptr().wrapping_add(4 * panel * MAX_WIDTH * index),
            values: values.wrapping_add(panel * MAX_WIDTH * index),
            state: State {
                greatest: state,
                sum: state.wrapping_add(panel),
                factor: state.wrapping_add(2 * panel),
            },
        }
    }
}

/// The kernels of the element that is computed in.
struct How {
    format: Format,
    pack: Pack,
    soften: Soften,
    /// Elements of a step.
    step: usize,
    /// Queries of a panel.
    panel: usize,
}

impl How {
    fn new(kernels: &Kernels) -> Self {
        let table = kernels.table();
        let panel = table.panel;
        match kernels.bf16() {
            Some(bf16) => Self { format: bf16.pairs, pack: bf16.pack, soften: bf16.soften, step: 2, panel },
            None => Self { format: table.singles, pack: table.pack, soften: table.soften, step: 1, panel },
        }
    }

    /// Stages `n` keys from `k` on, and the matching values.
    fn stage(&self, head: &Attention<'_>, k: usize, n: usize, scratch: &mut Scratch) {
        let (key, value, width) = (head.key, head.value, head.width());
        let room = scratch.rows.as_mut_ptr();
        // SAFETY: the elements are the matrices'; there is room for as many keys, and then for the
        // widest head.
        unsafe {
            for row in 0..n {
                (self.format.stage)(key.at(k + row, 0), key.half(), width, 0, room.add(ROW * row));
            }
            for row in 0..width {
                (self.format.stage)(value.at(row, k), value.half(), n, 0, room.add(ROW * (KEYS + row)));
            }
        }
    }

    /// Multiplies a panel by `columns` staged rows of `elements` elements.
    ///
    /// # Safety
    ///
    /// As of a tile, for all of these rows.
    unsafe fn tiles(
        &self,
        left: *const u8,
        rows: *const u8,
        columns: usize,
        elements: usize,
        sums: *mut f32,
        more: bool,
    ) {
        let mut column = 0;
        for width in split(columns, self.format.tiles.len()) {
            // SAFETY: the caller's promise.
            unsafe {
                let tile = self.format.tiles[width - 1];
                let steps = elements.div_ceil(self.step);
                tile(left, rows.add(ROW * column), steps, sums.add(self.panel * column), more);
            }
            column += width;
        }
    }
}
