//! Tap on the decoder's cross-attention.
//!
//! whisper.cpp offers no access to its attention. It passes through this backend, though, so some
//! of its heads can be recorded on the way: their weights are computed once more, which takes a
//! product with a few columns for each layer.

use std::cell::RefCell;

use super::dense::{Addend, Dense, Matrix, Product};
use super::kernels::softmax::softmax;
use super::plan::Attention;
use super::tensor::{Format, Tensor};

/// Attention of some heads: for each position that the decoder was fed, and each head, a weight for
/// each frame of the audio (20 ms).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Watched {
    pub(crate) heads: usize,
    pub(crate) frames: usize,
    /// Weights in the order position, head, frame.
    pub(crate) weights: Vec<f32>,
}

impl Watched {
    /// Positions that were fed.
    pub(crate) fn positions(&self) -> usize {
        self.weights.len().checked_div(self.heads * self.frames).unwrap_or(0)
    }

    /// The weights of one head at one position.
    pub(crate) fn row(&self, position: usize, head: usize) -> &[f32] {
        let start = (position * self.heads + head) * self.frames;
        &self.weights[start..start + self.frames]
    }
}

#[derive(Default)]
struct Watch {
    /// (layer, head) of each head.
    heads: Vec<(u32, u32)>,
    /// The layer whose cross-attention is next.
    layer: u32,
    /// First position of this pass.
    first: usize,
    watched: Watched,
    scores: Vec<f32>,
}

thread_local! {
    // The guest has one thread, so this is a plain static.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Watches (layer, head)s from now on, as far as they attend to the first `frames` frames.
pub(crate) fn begin(heads: &[(u32, u32)], frames: usize) {
    let watched = Watched { heads: heads.len(), frames, weights: Vec::new() };
    WATCH.set(Some(Watch { heads: heads.to_vec(), watched, ..Watch::default() }));
}

/// Announces a decoder pass over this many more positions.
pub(crate) fn pass(positions: usize) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            watch.layer = 0;
            watch.first = watch.watched.positions();
            let more = positions * watch.watched.heads * watch.watched.frames;
            watch.watched.weights.resize(watch.watched.weights.len() + more, 0.0);
        }
    });
}

/// Forgets all but the first positions: the decoder is fed others in the place of the rest.
pub(crate) fn back_to(positions: usize) {
    WATCH.with_borrow_mut(|watch| {
        if let Some(Watch { watched, .. }) = watch {
            watched.weights.truncate(positions * watched.heads * watched.frames);
        }
    });
}

/// Reads the attention seen so far, if any is recorded.
pub(crate) fn look<R>(look: impl FnOnce(&Watched) -> R) -> Option<R> {
    WATCH.with_borrow(|watch| watch.as_ref().map(|watch| look(&watch.watched)))
}

/// Watches no more. What was seen; zeros if none of it came through this backend.
pub(crate) fn end() -> Watched {
    WATCH.take().map(|watch| watch.watched).unwrap_or_default()
}

/// An attention is computed: if it is a watched layer's cross-attention, keeps its weights.
///
/// # Safety
///
/// [`Runner::run`](super::run::Runner::run)'s.
pub(super) unsafe fn see<D: Dense>(attention: &Attention, dense: &mut D) {
    // Only self-attention of the decoder has a mask.
    if attention.mask.is_some() {
        return;
    }
    WATCH.with_borrow_mut(|watch| {
        if let Some(watch) = watch {
            let layer = watch.layer;
            watch.layer += 1;
            let [_, _, heads, _] = attention.query.extent;
            for slot in 0..watch.heads.len() {
                let (of_layer, head) = watch.heads[slot];
                if of_layer == layer && (head as usize) < heads {
                    // SAFETY: the caller's; there is such a head.
                    unsafe { watch.keep(attention, slot, head as usize, dense) }
                }
            }
        }
    });
}

impl Watch {
    /// # Safety
    ///
    /// [`see`]'s; `head` is one of the attention's.
    unsafe fn keep<D: Dense>(&mut self, attention: &Attention, slot: usize, head: usize, dense: &mut D) {
        let ([width, queries, ..], keys) = (attention.query.extent, attention.key.extent[1]);
        let plane = |tensor: &Tensor| Matrix::from(&tensor.plane(head, 0));
        self.scores.resize(queries * keys, 0.0);
        let out = Matrix {
            data: self.scores.as_mut_ptr().cast(),
            format: Format::F32,
            row: keys * size_of::<f32>(),
            plane: 0,
        };
        let product = Product {
            planes: 1,
            rows: keys,
            columns: queries,
            depth: width,
            left: plane(&attention.key),
            right: plane(&attention.query),
            out,
            bias: Addend::None,
            gelu: false,
            residual: None,
        };
        // SAFETY: the inputs are the caller's; the output is our own, and long enough.
        unsafe { dense.product(&product) }
        let Watched { heads, frames, ref mut weights } = self.watched;
        let kept = frames.min(keys);
        for (query, scores) in self.scores.chunks_exact_mut(keys).enumerate() {
            softmax(scores, attention.scale, None);
            let start = ((self.first + query) * heads + slot) * frames;
            // As many positions as were announced; further ones are dropped.
            if let Some(row) = weights.get_mut(start..start + kept) {
                row.copy_from_slice(&scores[..kept]);
            }
        }
    }
}
