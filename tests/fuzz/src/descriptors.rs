//! Descriptors of operations, out of the fuzzer's bytes.

use hearken_proto::compute::{Attention, Bias, Element, Left, Matrix, Product, Weight};

/// Bytes of the guest's memory; no power of two, so that no mask hides a mistake.
pub(crate) const MEMORY: usize = 40_000;

/// Numbers out of the fuzzer's bytes: mostly small ones, sometimes ones that overflow.
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    /// Returns the next one; 0 when there are none left.
    pub fn next(&mut self) -> u64 {
        let [low, high, rest @ ..] = self.0 else { return 0 };
        let number = u64::from(u16::from_le_bytes([*low, *high]));
        self.0 = rest;
        match number {
            0xff00.. => u64::MAX - (number & 0xff),
            0xfe00.. => (1 << 63) | (number & 0xff),
            0xfd00.. => 1 << (number & 0x3f),
            // An address or a stride, aligned.
            0x8000.. => (number & 0x7fff) * 4,
            // An extent.
            0x1000.. => number & 0x3f,
            _ => number,
        }
    }

    /// An extent of something that is in order.
    fn extent(&mut self) -> u64 {
        self.next() % 40 + 1
    }

    /// Changes up to three words of a descriptor that was in order.
    pub fn spoil<const N: usize>(&mut self, mut words: [u64; N]) -> [u64; N] {
        for _ in 0..self.next() % 4 {
            words[(self.next() % N as u64) as usize] = self.next();
        }
        words
    }

    /// A product, in order where memory is large enough.
    pub fn product(&mut self, weights: &[Weight]) -> Product {
        let mut layout = Layout(0);
        let [planes, mut rows, columns, mut depth] =
            [self.next() % 3 + 1, self.extent(), self.extent(), self.extent()];
        let left = match weights {
            [first, ..] if self.next() % 2 == 0 => {
                (rows, depth) = (first.rows, first.depth);
                Left::Weight(0)
            }
            _ => Left::Memory(layout.place(self, planes, rows, depth)),
        };
        let right = layout.place(self, planes, columns, depth);
        let residual = (self.next() % 2 == 0).then(|| layout.floats(planes, columns, rows));
        let floats = layout.floats(1, 1, rows.max(columns)).address;
        let bias = match self.next() % 3 {
            0 => Bias::None,
            1 => Bias::Left(floats),
            _ => Bias::Right(floats),
        };
        let gelu = self.next() % 2 == 0;
        let out = layout.floats(planes, columns, rows);
        Product { planes, rows, columns, depth, left, right, out, bias, gelu, residual }
    }

    /// An attention, in order where memory is large enough.
    pub fn attention(&mut self) -> Attention {
        let mut layout = Layout(0);
        let [heads, queries, keys, width] =
            [self.next() % 3 + 1, self.extent(), self.extent(), self.extent()];
        let query = layout.floats(heads, queries, width);
        let key = layout.place(self, heads, keys, width);
        let value = layout.place(self, heads, width, keys);
        let mask = (self.next() % 2 == 0).then(|| layout.floats(1, queries, keys));
        let out = layout.floats(heads, queries, width);
        Attention { heads, queries, keys, width, scale: 0.125, query, key, value, mask, out }
    }

    /// In order, in the beginning of memory.
    pub(crate) fn weight(&mut self, index: u64) -> Option<Weight> {
        let element = Element::from_raw(self.next() % 7)?;
        let depth = 32 * (self.next() % 3 + 1);
        let row_stride = depth / element.block_len() * element.block_bytes();
        Some(Weight { address: index * 4096, rows: self.next() % 9 + 1, depth, row_stride, element })
    }

    /// Mostly in order.
    pub fn spoiled_weight(&mut self, index: u64) -> Option<Weight> {
        let Weight { address, rows, depth, row_stride, element } = self.weight(index)?;
        let [address, rows, depth, row_stride] = self.spoil([address, rows, depth, row_stride]);
        Some(Weight { address, rows, depth, row_stride, element })
    }
}

/// Matrices one after the other; too many end behind the memory, which is to be refused.
struct Layout(u64);

impl Layout {
    fn floats(&mut self, planes: u64, rows: u64, cols: u64) -> Matrix {
        self.put(planes, rows, cols, Element::F32)
    }

    fn place(&mut self, numbers: &mut Numbers<'_>, planes: u64, rows: u64, cols: u64) -> Matrix {
        self.put(planes, rows, cols, if numbers.next() % 2 == 0 { Element::F16 } else { Element::F32 })
    }

    fn put(&mut self, planes: u64, rows: u64, cols: u64, element: Element) -> Matrix {
        let row_stride = cols * element.block_bytes();
        let plane_stride = rows * row_stride;
        let address = self.0.next_multiple_of(4);
        self.0 = address + planes * plane_stride;
        Matrix { address, row_stride, plane_stride, element }
    }
}
