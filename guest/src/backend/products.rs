//! ggml's `MUL_MAT` on ggml's tensors.

use whisper_rs::whisper_rs_sys as sys;

use super::ffi::Tensor;
use super::gemm::{self, Activations, Blocks, KC, MIN_ROWS_FOR_BLOCKS, Outputs, Row, Scratch};

/// Whether [`compute`] can do this operation, or has nothing to do for it (views).
///
/// # Safety
///
/// The tensor's sources are null or valid.
pub(super) unsafe fn supports(operation: &Tensor) -> bool {
    match operation.op {
        sys::ggml_op_GGML_OP_NONE
        | sys::ggml_op_GGML_OP_RESHAPE
        | sys::ggml_op_GGML_OP_VIEW
        | sys::ggml_op_GGML_OP_PERMUTE
        | sys::ggml_op_GGML_OP_TRANSPOSE => true,
        sys::ggml_op_GGML_OP_MUL_MAT => {
            // SAFETY: a MUL_MAT has two valid sources.
            let (weights, activations) = unsafe { (&*operation.src[0], &*operation.src[1]) };
            element(weights).is_some_and(|element| {
                weights.nb[0] == element.bytes
                    && weights.nb[1].is_multiple_of(element.align)
                    && (element.len == 1 || activations.ne[1] >= MIN_ROWS_FOR_BLOCKS as i64)
            }) && activations.type_ == sys::ggml_type_GGML_TYPE_F32
                && activations.nb[0] == 4
                && operation.type_ == sys::ggml_type_GGML_TYPE_F32
                && operation.nb[0] == 4
        }
        _ => false,
    }
}

/// What a row consists of.
struct Element {
    /// Weights in it: 1, or a block of quantised ones.
    len: usize,
    bytes: usize,
    align: usize,
    /// ggml's own way to widen blocks.
    widen: sys::ggml_to_float_t,
}

/// The types that the kernels read: floats directly, blocks through ggml.
fn element(tensor: &Tensor) -> Option<Element> {
    match tensor.type_ {
        sys::ggml_type_GGML_TYPE_F32 => Some(Element { len: 1, bytes: 4, align: 4, widen: None }),
        sys::ggml_type_GGML_TYPE_F16 => Some(Element { len: 1, bytes: 2, align: 2, widen: None }),
        other => {
            // SAFETY: the type is that of a tensor of ggml, which has traits for all its types.
            let traits = unsafe { &*sys::ggml_get_type_traits(other) };
            let len = usize::try_from(traits.blck_size).ok()?;
            (traits.is_quantized && len > 1 && KC.is_multiple_of(len) && traits.to_float.is_some())
                .then_some(Element { len, bytes: traits.type_size, align: 1, widen: traits.to_float })
        }
    }
}

/// One matrix of a batch: rows at a stride.
struct Plane {
    base: *mut u8,
    stride: usize,
    len: usize,
}

impl Plane {
    /// Matrix (`i2`, `i3`) of a tensor.
    fn new(tensor: &Tensor, i2: usize, i3: usize) -> Self {
        Self {
            base: tensor.data.cast::<u8>().wrapping_add(i2 * tensor.nb[2] + i3 * tensor.nb[3]),
            stride: tensor.nb[1],
            len: tensor.ne[0] as usize,
        }
    }

    fn row<T>(&self, index: usize) -> *mut T {
        self.base.wrapping_add(index * self.stride).cast()
    }
}

impl Activations for Plane {
    fn row(&self, j: usize) -> &[f32] {
        // SAFETY: ggml allocated the tensor with these extents; `supports` saw that elements are contiguous floats.
        unsafe { std::slice::from_raw_parts(self.row(j), self.len) }
    }
}

impl Outputs for Plane {
    fn row(&mut self, j: usize) -> &mut [f32] {
        // SAFETY: as above; ggml never lets an operation's output overlap its sources, and rows do not overlap.
        unsafe { std::slice::from_raw_parts_mut(Plane::row(self, j), self.len) }
    }
}

/// Multiplies. Weights are broadcast over the batch as ggml does it.
///
/// # Safety
///
/// [`supports`] accepted the operation, and its tensors are allocated in this memory.
pub(super) unsafe fn compute(operation: &Tensor, scratch: &mut Scratch) {
    // SAFETY: a MUL_MAT has two valid sources.
    let (weights, activations) = unsafe { (&*operation.src[0], &*operation.src[1]) };
    let extent = |tensor: &Tensor, axis: usize| tensor.ne[axis] as usize;
    let (k, m, n) = (extent(weights, 0), extent(weights, 1), extent(activations, 1));
    let (batch2, batch3) = (extent(activations, 2), extent(activations, 3));
    let (share2, share3) = (batch2 / extent(weights, 2), batch3 / extent(weights, 3));
    // `supports` found one.
    let Some(element) = element(weights) else { return };
    let widen = |blocks: &[u8], out: &mut [f32]| {
        if let Some(widen) = element.widen {
            // SAFETY: ggml reads `out.len()` elements' worth of blocks, which is what `blocks` holds, and writes `out`.
            unsafe { widen(blocks.as_ptr().cast(), out.as_mut_ptr(), out.len() as i64) }
        }
    };
    for i3 in 0..batch3 {
        for i2 in 0..batch2 {
            let plane = Plane::new(weights, i2 / share2, i3 / share3);
            let row = |i: usize| {
                // SAFETY: ggml allocated the tensor with these extents and this element type.
                unsafe {
                    match weights.type_ {
                        sys::ggml_type_GGML_TYPE_F32 => Row::F32(std::slice::from_raw_parts(plane.row(i), k)),
                        sys::ggml_type_GGML_TYPE_F16 => Row::F16(std::slice::from_raw_parts(plane.row(i), k)),
                        _ => {
                            let bytes = k / element.len * element.bytes;
                            Row::Blocks(Blocks {
                                bytes: std::slice::from_raw_parts(plane.row(i), bytes),
                                block_len: element.len,
                                block_bytes: element.bytes,
                                widen: &widen,
                            })
                        }
                    }
                }
            };
            let activations = Plane::new(activations, i2, i3);
            let mut outputs = Plane::new(operation, i2, i3);
            gemm::multiply((m, n, k), row, &activations, &mut outputs, scratch);
        }
    }
}
