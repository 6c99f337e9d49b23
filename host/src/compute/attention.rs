//! Attention, fused: scores of some keys at a time, soft-max as they come, and the sums of values.
//!
//! With many queries vectors run across queries: scores lie as `[key][query]`, which is a panel, so that their soft-max
//! needs nothing from other lanes, and they are the left side of the product with the values as they are. With a few
//! queries vectors run along keys and values where they lie: to read those, once for all queries, takes longer than to
//! compute with them.

use std::f32::consts::LOG2_E;
use std::time::Duration;

use super::crew::Crew;
use super::kernels::{Format, Kernels, LOWEST, Loose, Pack, ROW, Soften, State, Vectors};
use super::pace::{Pace, Stopped};
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

/// Queries up to which vectors run along keys and values as they lie.
const FEW: usize = 8;
/// Multiplications below which waking a helper takes longer than it saves.
const WORTH_HELP: usize = 1 << 20;

impl Kernels {
    /// Does heads. Those of one call are spread over the crew together. `go_on` is asked on this thread between tiles,
    /// with the CPU time that helpers have spent so far. Returns the helpers' CPU time.
    ///
    /// # Panics
    ///
    /// If the shapes of a head's parts do not fit, or one is wider than [`MAX_WIDTH`].
    pub(super) fn attend(
        &self,
        heads: &[Attention<'_>],
        crew: &Crew,
        go_on: &dyn Fn(Duration) -> bool,
    ) -> Result<Duration, Stopped> {
        heads.iter().for_each(Attention::check);
        let work: usize = heads.iter().map(Attention::work).sum();
        let helpers = if work < WORTH_HELP { 0 } else { crew.helpers() };
        let (few, many) = (self.table().dots.len(), QUERY_PANELS * self.table().panel);
        let units = |head: &Attention<'_>| head.queries().div_ceil(if head.few() { few } else { many });
        crew.operate(heads.iter().map(units).sum(), helpers, go_on, &|mut unit, scratch, pace| {
            for head in heads {
                match unit.checked_sub(units(head)) {
                    None if head.few() => return self.attend_few(head, few * unit, scratch, pace),
                    None => return self.attend_group(head, many * unit, scratch, pace),
                    Some(rest) => unit = rest,
                }
            }
            Ok(())
        })
    }

    /// A few queries from `first` on: as many as share a reading of keys and values.
    fn attend_few(
        &self,
        head: &Attention<'_>,
        first: usize,
        scratch: &mut Scratch,
        pace: &Pace<'_>,
    ) -> Result<(), Stopped> {
        let table = self.table();
        let (keys, width) = (head.keys(), head.width());
        let count = table.dots.len().min(head.queries() - first);
        let dots = table.dots[count - 1];
        let scaled = scratch.queries.floats_mut();
        for (q, to) in scaled.chunks_exact_mut(MAX_WIDTH).take(count).enumerate() {
            // SAFETY: a row of the matrix.
            let row = unsafe { std::slice::from_raw_parts(head.query.at(first + q, 0).cast::<f32>(), width) };
            to.fill(0.0);
            to.iter_mut().zip(row).for_each(|(to, from)| *to = from * head.scale * LOG2_E);
        }
        let scores = scratch.scores.floats_mut();
        let together = scores.len() / count / 16 * 16;
        let (mut states, mut keep) = ([[LOWEST, 0.0]; FEW], [0.0; FEW]);
        let of_keys = Vectors {
            from: scaled.as_ptr(),
            stride: MAX_WIDTH,
            keep: std::ptr::null(),
            out: scores.as_mut_ptr(),
            out_stride: together,
        };
        let sums = scratch.values.floats_mut();
        sums[..MAX_WIDTH * count].fill(0.0);
        for k in (0..keys).step_by(together) {
            let n = together.min(keys - k);
            let (key, value) = (head.key, head.value);
            // SAFETY: all rows are the matrices'; vectors have room for as many scores and for the widest head.
            unsafe {
                dots(key.at(k, 0), key.stride(), key.half(), n, width, &of_keys);
                for q in 0..count {
                    let mask = head.mask.map_or(std::ptr::null(), |mask| mask.at(first + q, k).cast());
                    let scores = of_keys.out.add(together * q);
                    keep[q] = (table.soften_one)(scores, n, mask, LOG2_E, &mut states[q]);
                }
                let of_values = Vectors {
                    from: of_keys.out,
                    stride: together,
                    keep: keep.as_ptr(),
                    out: sums.as_mut_ptr(),
                    out_stride: MAX_WIDTH,
                };
                dots(value.at(0, k), value.stride(), value.half(), width, n, &of_values);
            }
            pace.did(2 * n * width * count)?;
        }
        for (q, sums) in sums.chunks_exact(MAX_WIDTH).take(count).enumerate() {
            for (c, sum) in sums[..width].iter().enumerate() {
                // SAFETY: an element of the matrix.
                unsafe { head.out.at(first + q, c).write(sum / states[q][1]) }
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
        pace: &Pace<'_>,
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
            // SAFETY: the rows are the matrix's; each panel has room for the widest head, and one more line of state.
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
                        // SAFETY: the rows are the matrix's; the room is for as many keys as are staged.
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
                pace.did(2 * panel * n * width)?;
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

    fn few(&self) -> bool {
        self.queries() <= FEW
    }

    fn work(&self) -> usize {
        2 * self.queries() * self.keys() * self.width()
    }

    /// What the kernels rely on.
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

/// A panel of queries and what is known of it, in a thread's scratch memory.
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

    /// Stages `n` keys from `k` on, and what the values have for them.
    fn stage(&self, head: &Attention<'_>, k: usize, n: usize, scratch: &mut Scratch) {
        let (key, value, width) = (head.key, head.value, head.width());
        let room = scratch.rows.as_mut_ptr();
        // SAFETY: the elements are the matrices'; there is room for as many keys, and then for the widest head.
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
