//! Keys and values of padding, from a cache.
//!
//! Whisper's encoder always computes its whole context: three seconds of speech pay for 27 s of
//! padding. The positions of padding hardly depend on the audio before them, so their keys and
//! values are computed once, from a recording that is cut to several lengths ([`Template`]s), and
//! kept. The encoder then computes the positions that hold audio and a margin; its attention, and
//! the decoder's cross-attention, see the cached keys and values behind the window's own.
//! docs/short-context.md has the method and its figures.
//!
//! All of this happens where attention passes through this backend. A graph with a masked attention
//! is the decoder's: its self-attention is masked, and its cross-attention is not. All others are
//! the encoder's.

use std::cell::RefCell;

use super::plan::Attention;
use super::tensor::{Format, Tensor};

/// Keys and values of one layer, for consecutive positions, in half precision.
#[derive(Debug, Default, Clone, PartialEq)]
struct Layer {
    /// Number of positions.
    positions: usize,
    /// A row of all heads' keys for each position.
    keys: Vec<u16>,
    /// A row of all positions for each element of all heads' values: transposed, as attention reads
    /// them.
    values: Vec<u16>,
}

/// The padding behind a recording of one length.
#[derive(Debug, Default, Clone)]
struct Template {
    /// The first position that is kept.
    first: usize,
    encoder: Vec<Layer>,
    /// Layers of the cross-attention.
    decoder: Vec<Layer>,
}

/// The attention that passes through the backend now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Is left alone.
    #[default]
    Off,
    /// Is kept in the last template.
    Record,
    /// Is extended by this template.
    Extend(usize),
}

#[derive(Default)]
struct Padding {
    /// Templates by `first`, ascending.
    templates: Vec<Template>,
    mode: Mode,
    /// The graph's next layer.
    layer: usize,
    /// The graph is the decoder's.
    decodes: bool,
    /// The encoder's layer that is extended.
    encoder: Layer,
    /// The decoder's layers, extended once for each window: the first `joined` are this window's.
    decoder: Vec<Layer>,
    joined: usize,
}

thread_local! {
    // The guest has one thread, so this is a plain static, and part of the snapshot.
    static PADDING: RefCell<Padding> = RefCell::default();
}

/// Starts a template: keeps keys and values from position `first` on of the window that is encoded
/// next.
pub(crate) fn record(first: usize) {
    PADDING.with_borrow_mut(|padding| {
        padding.templates.push(Template { first, ..Template::default() });
        padding.mode = Mode::Record;
    });
}

/// Ends a template. Returns false, and forgets it, if its attention did not pass through this
/// backend.
pub(crate) fn keep() -> bool {
    PADDING.with_borrow_mut(|padding| {
        padding.mode = Mode::Off;
        let kept =
            padding.templates.last().is_some_and(|last| !last.encoder.is_empty() && !last.decoder.is_empty());
        if !kept {
            padding.templates.pop();
        }
        padding.templates.sort_by_key(|template| template.first);
        kept
    })
}

/// Extends the window that is encoded next, of which `needed` positions hold audio and margin.
/// Returns the positions to compute, at least as many; `None` if all must be, because there is no
/// template.
pub(crate) fn extend(needed: usize) -> Option<usize> {
    PADDING.with_borrow_mut(|padding| {
        let fits = padding.templates.iter().rposition(|template| template.first <= needed);
        let index = fits.or_else(|| (!padding.templates.is_empty()).then_some(0));
        padding.mode = index.map_or(Mode::Off, Mode::Extend);
        padding.joined = 0;
        index.map(|index| needed.max(padding.templates[index].first))
    })
}

/// Leaves the windows that are encoded from now on alone.
pub(crate) fn off() {
    PADDING.with_borrow_mut(|padding| padding.mode = Mode::Off);
}

/// A graph begins.
pub(super) fn begin_graph() {
    PADDING.with_borrow_mut(|padding| (padding.layer, padding.decodes) = (0, false));
}

/// The attention to compute in place of this one.
///
/// # Safety
///
/// [`Runner::run`](super::run::Runner::run)'s. The keys and values of the result are valid until
/// the next call.
pub(super) unsafe fn pass(attention: &Attention) -> Attention {
    PADDING.with_borrow_mut(|padding| {
        if attention.mask.is_some() {
            padding.decodes = true;
            return *attention;
        }
        let layer = padding.layer;
        padding.layer += 1;
        if !is_recordable(attention) {
            return *attention;
        }
        // SAFETY: the caller's: keys and values lie in memory that nobody writes meanwhile, and
        // `is_recordable` has checked their layout.
        unsafe {
            match padding.mode {
                Mode::Off => {}
                Mode::Record => padding.record(attention, layer),
                Mode::Extend(template) => return padding.extended(attention, layer, template),
            }
        }
        *attention
    })
}

impl Padding {
    /// # Safety
    ///
    /// [`Layer::take`]'s.
    unsafe fn record(&mut self, attention: &Attention, layer: usize) {
        let Some(template) = self.templates.last_mut() else { return };
        let layers = if self.decodes { &mut template.decoder } else { &mut template.encoder };
        // The decoder's keys are the same at each of its passes.
        if layers.len() == layer && attention.key.extent[1] > template.first {
            // SAFETY: the caller's.
            layers.push(unsafe { Layer::take(attention, template.first) });
        }
    }

    /// # Safety
    ///
    /// [`Layer::take`]'s.
    unsafe fn extended(&mut self, attention: &Attention, layer: usize, template: usize) -> Attention {
        let template = &self.templates[template];
        let cached = if self.decodes { template.decoder.get(layer) } else { template.encoder.get(layer) };
        let Some(cached) = cached else { return *attention };
        let joined = if self.decodes {
            if self.decoder.len() <= layer {
                self.decoder.resize_with(layer + 1, Layer::default);
            }
            let joined = &mut self.decoder[layer];
            if self.joined <= layer {
                // SAFETY: the caller's.
                unsafe { joined.join(attention, cached, template.first) }
                self.joined = layer + 1;
            }
            joined
        } else {
            // SAFETY: the caller's.
            unsafe { self.encoder.join(attention, cached, template.first) }
            &mut self.encoder
        };
        joined.stand_for(attention)
    }
}

/// Returns true if keys and values are laid out as Whisper's graphs have them: halves, all heads of
/// a position side by side, values transposed.
fn is_recordable(attention: &Attention) -> bool {
    let ([width, keys, heads, _], key) = (attention.key.extent, &attention.key);
    let value = &attention.value;
    key.format.is_f16()
        && key.has_whole_rows()
        && (heads == 1 || key.stride[2] == width * HALF)
        && key.stride[1] == heads * width * HALF
        && value.format.is_f16()
        && value.has_whole_rows()
        && value.stride[1] == keys * HALF
        && (heads == 1 || value.stride[2] == width * keys * HALF)
}

/// Bytes of a half.
const HALF: usize = size_of::<u16>();

impl Layer {
    /// Copies the positions from `first` on.
    ///
    /// # Safety
    ///
    /// Key and value lie in memory, in the layout of [`is_recordable`].
    unsafe fn take(attention: &Attention, first: usize) -> Self {
        // SAFETY: the caller's.
        let (state, keys, key, value) = unsafe { halves(attention) };
        let values = value.chunks_exact(keys).flat_map(|row| row[first..].iter().copied()).collect();
        Self { positions: keys - first, keys: key[first * state..].to_vec(), values }
    }

    /// Becomes the window's own positions with those behind them of `cached`, whose first is
    /// position `first`. A window that ends before that one is left as it is.
    ///
    /// # Safety
    ///
    /// [`take`](Self::take)'s.
    unsafe fn join(&mut self, attention: &Attention, cached: &Self, first: usize) {
        // SAFETY: the caller's.
        let (state, keys, key, value) = unsafe { halves(attention) };
        let total = (first + cached.positions).max(keys);
        // Positions of the cache that the window has itself.
        let skipped = keys.saturating_sub(first);
        if keys < first || cached.keys.len() != cached.positions * state {
            // SAFETY: the caller's.
            return self.clone_from(&unsafe { Self::take(attention, 0) });
        }
        self.positions = total;
        self.keys.clear();
        self.keys.extend_from_slice(key);
        self.keys.extend_from_slice(cached.keys.get(skipped * state..).unwrap_or_default());
        self.values.clear();
        for (own, cached) in value.chunks_exact(keys).zip(cached.values.chunks_exact(cached.positions)) {
            self.values.extend_from_slice(own);
            self.values.extend_from_slice(cached.get(skipped..).unwrap_or_default());
        }
    }

    /// The attention to these positions instead of its own.
    fn stand_for(&mut self, attention: &Attention) -> Attention {
        let [width, _, heads, one] = attention.key.extent;
        let state = width * heads;
        let key = Tensor {
            data: self.keys.as_mut_ptr().cast(),
            format: Format::F16,
            extent: [width, self.positions, heads, one],
            stride: [HALF, state * HALF, width * HALF, self.positions * state * HALF],
        };
        let value = Tensor {
            data: self.values.as_mut_ptr().cast(),
            format: Format::F16,
            extent: [self.positions, width, heads, one],
            stride: [
                HALF,
                self.positions * HALF,
                width * self.positions * HALF,
                self.positions * state * HALF,
            ],
        };
        Attention { key, value, ..*attention }
    }
}

/// Elements of a position, positions, and all keys and values.
///
/// # Safety
///
/// [`Layer::take`]'s; nobody writes them for `'a`.
unsafe fn halves<'a>(attention: &Attention) -> (usize, usize, &'a [u16], &'a [u16]) {
    let [width, keys, heads, _] = attention.key.extent;
    let len = width * keys * heads;
    // SAFETY: the caller's: `len` halves lie side by side in both.
    unsafe {
        (
            width * heads,
            keys,
            std::slice::from_raw_parts(attention.key.data.cast(), len),
            std::slice::from_raw_parts(attention.value.data.cast(), len),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 2;
    const HEADS: usize = 3;
    const STATE: usize = WIDTH * HEADS;

    /// Keys and values of a number of positions; each element encodes its position and place.
    struct Window {
        keys: Vec<u16>,
        values: Vec<u16>,
    }

    fn element(position: usize, place: usize, offset: u16) -> u16 {
        offset + (position * STATE + place) as u16
    }

    impl Window {
        fn new(positions: usize, offset: u16) -> Self {
            let keys = (0..positions).flat_map(|p| (0..STATE).map(move |e| element(p, e, offset)));
            let values = (0..STATE).flat_map(|e| (0..positions).map(move |p| element(p, e, offset)));
            Self { keys: keys.collect(), values: values.collect() }
        }

        fn attention(&mut self, masked: bool) -> Attention {
            let positions = self.keys.len() / STATE;
            let mut layer = Layer {
                positions,
                keys: std::mem::take(&mut self.keys),
                values: std::mem::take(&mut self.values),
            };
            let nothing = Tensor {
                data: std::ptr::null_mut(),
                format: Format::F32,
                extent: [WIDTH, 1, HEADS, 1],
                stride: [4; 4],
            };
            let empty = Attention {
                query: nothing,
                key: Tensor { extent: [WIDTH, positions, HEADS, 1], ..nothing },
                value: nothing,
                mask: masked.then_some(nothing),
                scale: 1.0,
                out: nothing,
                aside: false,
            };
            let attention = layer.stand_for(&empty);
            (self.keys, self.values) = (layer.keys, layer.values);
            attention
        }
    }

    /// Reads as attention would: for each position its key's elements and its value's.
    fn read(attention: &Attention) -> Vec<(Vec<u16>, Vec<u16>)> {
        // SAFETY: made by `Window` or by this module, both alive.
        // SAFETY: the caller's.
        let (state, keys, key, value) = unsafe { halves(attention) };
        (0..keys)
            .map(|p| (key[p * state..][..state].to_vec(), (0..state).map(|e| value[e * keys + p]).collect()))
            .collect()
    }

    fn expected(own: usize, total: usize) -> Vec<(Vec<u16>, Vec<u16>)> {
        let row = |p: usize| {
            let offset = if p < own { 1000 } else { 0 };
            let row: Vec<u16> = (0..STATE).map(|e| element(p, e, offset)).collect();
            (row.clone(), row)
        };
        (0..total).map(row).collect()
    }

    /// Passes a window's layer through the cache, as the encoder's and as the decoder's.
    fn passed(window: &mut Window) -> [Vec<(Vec<u16>, Vec<u16>)>; 2] {
        let attention = window.attention(false);
        let masked = Window::new(1, 0).attention(true);
        // SAFETY: all windows are alive, and nobody writes them.
        unsafe {
            begin_graph();
            let encoder = read(&pass(&attention));
            begin_graph();
            pass(&masked);
            [encoder, read(&pass(&attention))]
        }
    }

    #[test]
    fn padding_stands_behind_the_windows_own_positions() {
        record(4);
        assert_eq!(passed(&mut Window::new(10, 0)), [expected(0, 10), expected(0, 10)], "recorded as it is");
        assert!(keep());
        record(7);
        passed(&mut Window::new(10, 0));
        assert!(keep());

        for (needed, computed) in [(2, 4), (4, 4), (6, 6), (7, 7), (10, 10)] {
            assert_eq!(extend(needed), Some(computed));
            let mut window = Window::new(computed, 1000);
            assert_eq!(passed(&mut window), [expected(computed, 10), expected(computed, 10)], "{needed}");
            // Another token of the same window: nothing is joined again.
            assert_eq!(passed(&mut window)[1], expected(computed, 10));
        }
        // A window that breaks the promise is left alone.
        extend(7);
        assert_eq!(passed(&mut Window::new(5, 1000))[0], expected(5, 5));
        off();
        assert_eq!(passed(&mut Window::new(5, 1000)), [expected(5, 5), expected(5, 5)]);
    }

    #[test]
    fn a_template_that_nothing_passed_through_is_forgotten() {
        record(4);
        assert!(!keep());
        assert_eq!(extend(100), None);
    }
}
