//! ggml's operations as plain data.

use whisper_rs::whisper_rs_sys as sys;

use super::ffi::{GgmlTensor, Graph};
use super::kernels::convolution::Window;
use super::kernels::gemm::KC;
use super::kernels::quant::Blocks;
use super::plan::{Node, Op, Source, same_shape};
use super::tensor::{Format, Tensor};

/// Returns true if [`nodes`] can translate this operation.
///
/// # Safety
///
/// The tensor's sources are null or valid.
pub(super) unsafe fn supports(operation: &GgmlTensor) -> bool {
    // SAFETY: the caller's.
    unsafe { read(operation) }.is_some()
}

/// The graph's operations in order, or nothing if one is not [supported](supports).
///
/// # Safety
///
/// The graph is a valid one of ggml's.
pub(super) unsafe fn nodes(graph: &Graph) -> Option<Vec<Node>> {
    // SAFETY: the caller's: ggml keeps as many valid tensors there, with valid sources.
    unsafe {
        let tensors = std::slice::from_raw_parts(graph.nodes, usize::try_from(graph.n_nodes).ok()?);
        // By slot: this is done for each token, and ggml has a place for each tensor already.
        let mut places = vec![None; graph.slots()];
        for (place, tensor) in tensors.iter().enumerate() {
            if let Some(slot) = graph.slot(*tensor) {
                places[slot] = Some(place);
            }
        }
        let node = |tensor: &*mut GgmlTensor| {
            let (op, sources) = read(&**tensor)?;
            let source = |source: *mut GgmlTensor| -> Option<Source> {
                Some(Source {
                    tensor: describe(&*source)?,
                    node: graph.slot(source).and_then(|slot| places[slot]),
                })
            };
            let mut known = [None; 2];
            for (known, pointer) in known.iter_mut().zip(sources) {
                if !pointer.is_null() {
                    *known = Some(source(pointer)?);
                }
            }
            Some(Node {
                op,
                out: describe(&**tensor)?,
                sources: known,
                // What the graph does not know it cannot have counted: as if many read it.
                uses: graph.slot(*tensor).map_or(usize::MAX, |slot| graph.uses(slot)),
                is_output: (**tensor).flags & sys::ggml_tensor_flag_GGML_TENSOR_FLAG_OUTPUT as i32 != 0,
            })
        };
        tensors.iter().map(node).collect()
    }
}

/// Reads the operation and its relevant sources; a null pointer stands for none.
///
/// # Safety
///
/// The tensor's sources are null or valid.
unsafe fn read(operation: &GgmlTensor) -> Option<(Op, [*mut GgmlTensor; 2])> {
    let parameter = |index: usize| operation.op_params[index];
    let float = |index: usize| f32::from_bits(operation.op_params[index].cast_unsigned());
    // SAFETY: sources are valid, or `None`.
    let source = |index: usize| unsafe { operation.src[index].as_ref() }.map(describe);
    let sources = [operation.src[0], operation.src[1]];
    let none = std::ptr::null_mut();
    let out = describe(operation)?;
    let is_floats = |tensor: &Tensor| tensor.format.is_f32() && tensor.has_whole_rows();
    Some(match operation.op {
        sys::ggml_op_GGML_OP_NONE => (Op::View, [none; 2]),
        sys::ggml_op_GGML_OP_RESHAPE
        | sys::ggml_op_GGML_OP_VIEW
        | sys::ggml_op_GGML_OP_PERMUTE
        | sys::ggml_op_GGML_OP_TRANSPOSE => (Op::View, [sources[0], none]),
        sys::ggml_op_GGML_OP_MUL_MAT => {
            let (left, right) = (source(0)??, source(1)??);
            let fits = is_left(&left)
                && right.format.is_float()
                && right.has_whole_rows()
                && is_floats(&out)
                && (2..4).all(|axis| right.extent[axis].is_multiple_of(left.extent[axis]));
            fits.then_some((Op::MulMat, sources))?
        }
        sys::ggml_op_GGML_OP_ADD | sys::ggml_op_GGML_OP_MUL => {
            let (one, other) = (source(0)??, source(1)??);
            let repeats = (0..4).all(|axis| one.extent[axis].is_multiple_of(other.extent[axis]))
                && (other.extent[0] == one.extent[0] || other.extent[0] == 1);
            let fits = [&one, &other, &out].into_iter().all(is_floats) && repeats;
            let op = if operation.op == sys::ggml_op_GGML_OP_ADD { Op::Add } else { Op::Mul };
            fits.then_some((op, sources))?
        }
        sys::ggml_op_GGML_OP_NORM => {
            let fits = is_floats(&source(0)??) && is_floats(&out);
            fits.then_some((Op::Norm { epsilon: float(0) }, [sources[0], none]))?
        }
        sys::ggml_op_GGML_OP_SOFT_MAX => {
            let is_mask = |mask: Tensor| {
                is_floats(&mask) && mask.extent[0] == out.extent[0] && mask.extent[1] >= out.extent[1]
            };
            let mask = match source(1) {
                Some(mask) => is_mask(mask?),
                None => true,
            };
            // No slopes by position, no sinks.
            let plain = float(1) == 0.0 && operation.src[2].is_null();
            let fits = mask && plain && is_floats(&source(0)??) && is_floats(&out);
            fits.then_some((Op::SoftMax { scale: float(0) }, sources))?
        }
        sys::ggml_op_GGML_OP_UNARY => {
            let is_gelu = parameter(0) == sys::ggml_unary_op_GGML_UNARY_OP_GELU as i32;
            let fits = is_gelu && is_floats(&source(0)??) && is_floats(&out);
            fits.then_some((Op::Gelu, [sources[0], none]))?
        }
        sys::ggml_op_GGML_OP_SCALE => {
            let fits = is_floats(&source(0)??) && is_floats(&out);
            fits.then_some((Op::Scale { factor: float(0), offset: float(1) }, [sources[0], none]))?
        }
        sys::ggml_op_GGML_OP_DUP | sys::ggml_op_GGML_OP_CPY | sys::ggml_op_GGML_OP_CONT => {
            let from = source(0)??;
            let fits = from.format.is_float() && out.format.is_float() && same_shape(from, out).is_some();
            fits.then_some((Op::Copy, [sources[0], none]))?
        }
        sys::ggml_op_GGML_OP_IM2COL => {
            let (kernel, input) = (source(0)??, source(1)??);
            let whole = |index: usize| usize::try_from(parameter(index)).ok();
            let window =
                Window { taps: kernel.extent[0], step: whole(0)?, padding: whole(2)?, dilation: whole(4)? };
            let is_along_one_axis = parameter(6) == 0 && input.extent[2..] == [1, 1];
            let fits = is_along_one_axis && is_floats(&input) && out.format.is_f16() && out.has_whole_rows();
            fits.then_some((Op::Patches(window), [sources[1], none]))?
        }
        sys::ggml_op_GGML_OP_GET_ROWS => {
            let (table, indices) = (source(0)??, source(1)??);
            let fits = matches!(indices.format, Format::I32)
                && indices.extent[1..] == [1; 3]
                && table.extent[2..] == [1; 2]
                && !matches!(table.format, Format::I32)
                && table.has_whole_rows()
                && is_floats(&out);
            fits.then_some((Op::Rows, sources))?
        }
        sys::ggml_op_GGML_OP_CONCAT => {
            let (one, other) = (source(0)??, source(1)??);
            let axis = usize::try_from(parameter(0)).ok().filter(|axis| *axis < 4)?;
            let fits = [one, other, out].iter().all(|tensor| tensor.format.is_f32());
            fits.then_some((Op::Concat { axis }, sources))?
        }
        _ => return None,
    })
}

/// Returns true if the kernels read such rows on the left.
fn is_left(tensor: &Tensor) -> bool {
    let alignment = match tensor.format {
        Format::F32 => 4,
        Format::F16 => 2,
        Format::I32 => return false,
        Format::Blocks(_) => 1,
    };
    tensor.has_whole_rows() && tensor.stride[1].is_multiple_of(alignment)
}

/// A tensor of a format that the kernels know, of at least one element.
pub(super) fn describe(tensor: &GgmlTensor) -> Option<Tensor> {
    let format = match tensor.type_ {
        sys::ggml_type_GGML_TYPE_F32 => Format::F32,
        sys::ggml_type_GGML_TYPE_F16 => Format::F16,
        sys::ggml_type_GGML_TYPE_I32 => Format::I32,
        sys::ggml_type_GGML_TYPE_Q8_0 => Format::Blocks(Blocks::Q8_0),
        sys::ggml_type_GGML_TYPE_Q5_0 => Format::Blocks(Blocks::Q5_0),
        sys::ggml_type_GGML_TYPE_Q5_1 => Format::Blocks(Blocks::Q5_1),
        sys::ggml_type_GGML_TYPE_Q4_0 => Format::Blocks(Blocks::Q4_0),
        sys::ggml_type_GGML_TYPE_Q4_1 => Format::Blocks(Blocks::Q4_1),
        other => Format::Blocks(other_blocks(other)?),
    };
    let mut extent = [0; 4];
    for (extent, ne) in extent.iter_mut().zip(tensor.ne) {
        *extent = usize::try_from(ne).ok().filter(|count| *count > 0)?;
    }
    Some(Tensor { data: tensor.data.cast(), format, extent, stride: tensor.nb })
}

/// Another quantized type, which ggml widens.
fn other_blocks(kind: sys::ggml_type) -> Option<Blocks> {
    // SAFETY: the type is that of a tensor of ggml, which has traits for all its types.
    let traits = unsafe { &*sys::ggml_get_type_traits(kind) };
    let (len, widen) = (usize::try_from(traits.blck_size).ok()?, traits.to_float?);
    let fits = traits.is_quantized && len > 1 && KC.is_multiple_of(len);
    // SAFETY: the two types differ only in the name of the blocks, `void` or bytes.
    let widen = unsafe {
        std::mem::transmute::<sys::ggml_to_float_t, Option<super::kernels::quant::Widen>>(Some(widen))
    };
    fits.then_some(Blocks::Other { len, bytes: traits.type_size, widen: widen? })
}
