//! Working memory of a thread, of a fixed size: about that of a second-level cache.

use std::cell::Cell;

use super::aligned::Aligned;
use super::kernels::{ELEMENTS, ROW};

/// Right rows of a product that are staged together.
pub(super) const COLUMNS: usize = 96;
/// Keys of attention that are staged together.
pub(super) const KEYS: usize = 120;
/// Widest head.
pub(super) const MAX_WIDTH: usize = hearken_proto::compute::MAX_WIDTH as usize;
/// Panels of queries that share staged keys.
pub(super) const QUERY_PANELS: usize = 8;
/// Most rows of a panel.
const MAX_PANEL: usize = 32;
/// Most right rows of a tile.
const MAX_TILE: usize = 16;

/// Buffers for one unit of work.
pub(super) struct Scratch {
    /// Staged rows: of a product, or keys and then values.
    pub(super) rows: Aligned,
    /// A panel of left rows.
    pub(super) panel: Aligned,
    /// The sums of one tile.
    pub(super) sums: Aligned,
    /// Panels of queries, scaled.
    pub(super) queries: Aligned,
    /// Panels of sums of values: `[QUERY_PANELS][MAX_WIDTH][panel]`.
    pub(super) values: Aligned,
    /// Scores and weights of a panel.
    pub(super) scores: Aligned,
    /// Their mask.
    pub(super) mask: Aligned,
    /// Greatest scores, sums and factors of each panel.
    pub(super) state: Aligned,
}

impl Scratch {
    fn new() -> Self {
        let floats = |n: usize| Aligned::zeroed(4 * n);
        Self {
            rows: Aligned::zeroed(ROW * COLUMNS.max(KEYS + MAX_WIDTH)),
            panel: Aligned::zeroed(MAX_PANEL * ELEMENTS),
            sums: floats(MAX_PANEL * MAX_TILE),
            queries: floats(MAX_PANEL * MAX_WIDTH * QUERY_PANELS),
            values: floats(MAX_PANEL * MAX_WIDTH * QUERY_PANELS),
            scores: floats(MAX_PANEL * KEYS),
            mask: floats(MAX_PANEL * KEYS),
            state: floats(MAX_PANEL * 3 * QUERY_PANELS),
        }
    }

    /// Lends this thread's.
    pub(super) fn with<T>(run: impl FnOnce(&mut Self) -> T) -> T {
        thread_local!(static KEPT: Cell<Option<Box<Scratch>>> = const { Cell::new(None) });
        let mut scratch = KEPT.take().unwrap_or_else(|| Box::new(Self::new()));
        let result = run(&mut scratch);
        KEPT.set(Some(scratch));
        result
    }
}
