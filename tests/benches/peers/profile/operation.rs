//! Operation of a function.

/// Kinds of work, as a reader of a Whisper graph would name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Products,
    Preparing,
    SoftMax,
    Norms,
    Activations,
    Copies,
    Convolution,
    Spectrogram,
    Pages,
    Rest,
}

impl Operation {
    pub(super) const ALL: [Self; 10] = [
        Self::Products,
        Self::Preparing,
        Self::SoftMax,
        Self::Norms,
        Self::Activations,
        Self::Copies,
        Self::Convolution,
        Self::Spectrogram,
        Self::Pages,
        Self::Rest,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Products => "products, those of attention among them",
            Self::Preparing => "preparing and finishing them: types, order, bias, GELU where it is fused",
            Self::SoftMax => "soft-max",
            Self::Norms => "norms",
            Self::Activations => "GELU, sums and scales by themselves",
            Self::Copies => "casts, copies, transpositions",
            Self::Convolution => "patches of the convolutions",
            Self::Spectrogram => "spectrogram",
            Self::Pages => "the kernel: first touch of memory, above all",
            Self::Rest => "the rest",
        }
    }
}

/// Parts of symbols, the first that fits.
const RULES: [(Operation, &[&str]); 9] = [
    (Operation::Pages, &["kernel "]),
    (Operation::SoftMax, &["soften", "rescale", "soft_max", "softmax"]),
    (Operation::Spectrogram, &["spectrogram", "log_mel", "fft", "dft"]),
    (Operation::Convolution, &["im2col", "convolution", "patches"]),
    (Operation::Norms, &["norm"]),
    (
        Operation::Preparing,
        &[
            "stage",
            "avx512::pack",
            "avx2::pack",
            "pack_",
            "finish",
            "unpack",
            "interleave",
            "widen",
            "itcopy",
            "oncopy",
            "otcopy",
            "incopy",
            "quantize",
            "Plan::run",
            "prepare",
            "from_float",
            "fp16_to_fp32_row",
            "cpu_fp32_to_fp16",
            "cpu_fp16_to_fp32",
            "ggml_fp16_to_fp32_row",
            "ggml_fp32_to_fp16_row",
        ],
    ),
    (
        Operation::Products,
        &[
            "tile",
            "dots",
            "vec_dot",
            "mul_mat",
            "gemm",
            "tinyBLAS",
            "column",
            "product",
            "attention",
            "half_dot",
            "float_dot",
            "flash_attn",
            "kernels::quant",
        ],
    ),
    (
        Operation::Copies,
        &["copy", "dup", "cpy", "transpose", "memmove", "memcpy", "memset", "narrow", "cont"],
    ),
    (
        Operation::Activations,
        &[
            "gelu",
            "elementwise",
            "ggml_compute_forward_add",
            "ggml_compute_forward_mul",
            "binary_op",
            "vec_add",
            "vec_mul",
            "vec_scale",
            "forward_scale",
            "op_add",
            "op_mul",
            "combine",
        ],
    ),
];

pub(super) fn operation(symbol: &str) -> Operation {
    let fits = |(_, parts): &&(Operation, &[&str])| parts.iter().any(|part| symbol.contains(part));
    RULES.iter().find(fits).map_or(Operation::Rest, |(operation, _)| *operation)
}
