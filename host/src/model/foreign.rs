//! Recognizes files that are taken for ggml models.

use super::ModelError;

const CONVERT: &str = "convert it with whisper.cpp's models/convert-pt-to-ggml.py or fetch a ggml file";
const PICKLE: &str = "it is a program as much as data: take the same model as safetensors or for CTranslate2, and \
                      `hearken models import` it";
const IMPORT: &str = "run `hearken models import` on the folder in which it lies";
const UNPACK: &str = "unpack it first";

/// First bytes, name of the format, remedy.
const FORMATS: &[(&[u8], &str, &str)] = &[
    (b"GGUF", "GGUF", "whisper.cpp's models are ggml files, not GGUF: fetch or convert one"),
    (b"ggml", "a big-endian ggml file", "convert it on a little-endian machine"),
    (b"PK\x03\x04", "a PyTorch checkpoint or another zip archive", PICKLE),
    (b"\x80\x02", "a Python pickle", PICKLE),
    (b"\x89HDF", "HDF5 (TensorFlow)", CONVERT),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull`"),
    (b"<", "a web page", "the download went wrong: fetch it again"),
];

/// Names the format that `head`, the first 4 to 32 bytes, starts.
pub(crate) fn name(head: &[u8]) -> ModelError {
    let known = FORMATS.iter().find(|(start, ..)| head.starts_with(start));
    let (looks_like, remedy) = match known {
        Some(&(_, looks_like, remedy)) => (looks_like, remedy),
        // A length of eight bytes, then a JSON object.
        None if head.get(8) == Some(&b'{') => ("safetensors", IMPORT),
        // A version, then a string with its length and a final zero.
        None if head.get(6..).is_some_and(|rest| rest.starts_with(b"WhisperSpec\0")) => {
            ("CTranslate2", IMPORT)
        }
        // Protocol buffer: ir_version, then producer_name or the graph.
        None if head[0] == 8 && matches!(head.get(2), Some(0x12 | 0x3a)) => ("ONNX", CONVERT),
        None => ("something else", "fetch a ggml file of whisper.cpp"),
    };
    ModelError::NotGgml { looks_like, remedy }
}
