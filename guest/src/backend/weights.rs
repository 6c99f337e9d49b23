//! The weights that the host may pack: found while the model is loaded, known by their number
//! afterwards.
//!
//! whisper.cpp plans all its graphs when it makes a state, and so asks for each operation if the
//! backend supports it. The left side of a product then, in memory that ggml calls weights, is a
//! weight.

use std::cell::RefCell;

use hearken_proto::compute::{Element, MAX_WEIGHTS, Weight};

#[cfg(any(test, not(feature = "command")))]
use super::kernels::quant::Blocks;
use super::tensor::{Format, Tensor};

#[derive(Default)]
struct Table {
    /// Weights in the order of their numbers, which is that of their addresses once they are
    /// sorted.
    weights: Vec<Weight>,
    is_open: bool,
}

thread_local! {
    // The guest has one thread, so this is a plain static, and part of the snapshot.
    static TABLE: RefCell<Table> = RefCell::default();
}

/// Starts to note weights, until [`close`].
pub(super) fn open() {
    TABLE.with_borrow_mut(|table| table.is_open = true);
}

/// Returns true if weights are noted.
pub(super) fn are_noted() -> bool {
    TABLE.with_borrow(|table| table.is_open)
}

/// Notes a weight, if there is room for it and the host knows its format.
pub(super) fn note(left: &Tensor) {
    TABLE.with_borrow_mut(|table| {
        if let Some(weight) = weight(left).filter(|_| table.is_open && table.weights.len() < MAX_WEIGHTS)
            && !table.weights.contains(&weight)
        {
            table.weights.push(weight);
        }
    });
}

/// Returns all noted weights, by number.
pub(crate) fn close() -> Vec<Weight> {
    TABLE.with_borrow_mut(|table| {
        table.is_open = false;
        table.weights.sort_by_key(|weight| weight.address);
        // A weight inside another one (there is none in Whisper) is left out: the host takes each
        // byte once.
        let mut end = 0;
        table.weights.retain(|weight| {
            let is_apart = weight.address >= end;
            end = end.max(weight.address + weight.rows * weight.row_stride);
            is_apart
        });
        table.weights.clone()
    })
}

/// Returns all weights, by number.
#[cfg(any(test, not(feature = "command")))]
pub(crate) fn known() -> Vec<Weight> {
    TABLE.with_borrow(|table| table.weights.clone())
}

/// Takes weights of another instance, which lie at these addresses here, in the order of their
/// numbers.
#[cfg(any(test, not(feature = "command")))]
pub(crate) fn adopt(weights: Vec<Weight>) {
    TABLE.with_borrow_mut(|table| table.weights = weights);
}

/// The weight with this number.
#[cfg(any(test, not(feature = "command")))]
pub(super) fn get(number: u64) -> Option<Weight> {
    TABLE.with_borrow(|table| table.weights.get(usize::try_from(number).ok()?).cloned())
}

/// The number of a weight.
pub(super) fn number(left: &Tensor) -> Option<u64> {
    let weight = weight(left)?;
    TABLE.with_borrow(|table| {
        let place = table.weights.binary_search_by_key(&weight.address, |weight| weight.address).ok()?;
        (!table.is_open && table.weights[place] == weight).then_some(place as u64)
    })
}

/// Descriptor of a matrix for the host.
fn weight(left: &Tensor) -> Option<Weight> {
    let is_matrix = left.extent[2..] == [1, 1] && left.has_whole_rows();
    is_matrix.then_some(Weight {
        address: left.data.addr() as u64,
        rows: left.extent[1] as u64,
        depth: left.extent[0] as u64,
        row_stride: left.stride[1] as u64,
        element: element(left.format)?,
    })
}

/// The host's name for a format.
pub(super) fn element(format: Format) -> Option<Element> {
    Some(match format {
        Format::F32 => Element::F32,
        Format::F16 => Element::F16,
        Format::Blocks(blocks) => return blocks.element(),
        Format::I32 => return None,
    })
}

/// The format that the host's name stands for.
#[cfg(any(test, not(feature = "command")))]
pub(super) fn format(element: Element) -> Format {
    match element {
        Element::F32 => Format::F32,
        Element::F16 => Format::F16,
        Element::Q8_0 => Format::Blocks(Blocks::Q8_0),
        Element::Q5_0 => Format::Blocks(Blocks::Q5_0),
        Element::Q5_1 => Format::Blocks(Blocks::Q5_1),
        Element::Q4_0 => Format::Blocks(Blocks::Q4_0),
        Element::Q4_1 => Format::Blocks(Blocks::Q4_1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(address: usize, rows: usize, format: Format) -> Tensor {
        let tensor = Tensor {
            data: std::ptr::without_provenance_mut(address),
            format,
            extent: [1; 4],
            stride: [0; 4],
        };
        tensor.reshaped([64, rows, 1, 1])
    }

    #[test]
    fn weights_have_the_number_of_their_place_and_others_none() {
        let (second, first) = (tensor(8192, 10, Format::F16), tensor(4096, 4, Format::F32));
        let quantized = tensor(65536, 3, Format::Blocks(Blocks::Q5_1));
        note(&first);
        assert_eq!(close(), [], "nothing is noted before it is asked for");
        open();
        extern "C" fn widen(_: *const u8, _: *mut f32, _: i64) {}
        let foreign = Blocks::Other { len: 64, bytes: 10, widen };
        let unknown = tensor(1 << 20, 1, Format::Blocks(foreign));
        let batch = Tensor { extent: [64, 2, 2, 1], ..tensor(1 << 21, 2, Format::F16) };
        let inside = tensor(8192 + 64, 2, Format::F16);
        for tensor in [second, first, second, quantized, unknown, batch, inside] {
            note(&tensor);
            assert_eq!(number(&tensor), None, "numbers change until all are known");
        }
        let weights = close();
        assert_eq!(weights.iter().map(|weight| weight.address).collect::<Vec<_>>(), [4096, 8192, 65536]);
        assert_eq!(weights[2].row_stride, 48);
        assert_eq!([first, second, quantized].map(|tensor| number(&tensor)), [Some(0), Some(1), Some(2)]);
        let other_shape = tensor(8192, 9, Format::F16);
        assert_eq!([unknown, batch, inside, other_shape].map(|tensor| number(&tensor)), [None; 4]);
    }
}
