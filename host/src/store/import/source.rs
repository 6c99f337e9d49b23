//! Detection of the source's format.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ImportError;
use super::hugging_face::{INDEX, WHOLE};
use super::input::Input;
use super::{ctranslate2, hugging_face};
use crate::model::foreign;
use crate::store::StoreError;

/// CTranslate2's weights in their folder.
const BINARY: &str = "model.bin";
/// `ggml`, little-endian.
const GGML: &[u8] = b"lmgg";
/// Remedy for PyTorch's files.
const PICKLE: &str = "hearken does not open pickles, which run code when they are read: import the model's model.safetensors or a \
                      CTranslate2 folder, or convert it on a machine where its code may run";

/// The source that was found.
#[derive(Debug)]
pub(super) enum Source {
    /// whisper.cpp's own format.
    Ggml(Arc<Input>),
    /// A file of CTranslate2's; the vocabulary lies in its folder.
    CTranslate2(Arc<Input>),
    /// A folder of Hugging Face's transformers.
    HuggingFace(PathBuf),
}

impl Source {
    /// Looks at a file or folder.
    pub(super) fn find(path: &Path) -> Result<Self, StoreError> {
        if std::fs::metadata(path).map_err(ImportError::read(path))?.is_dir() {
            in_folder(path)
        } else {
            file(path)
        }
    }

    /// Folder of its parts.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Ggml(input) | Self::CTranslate2(input) => parent(input.path()),
            Self::HuggingFace(folder) => folder,
        }
    }

    /// Default name: its folder, or a ggml file without `ggml-` and `.bin`.
    pub(super) fn name(&self) -> String {
        let name = match self {
            Self::Ggml(input) => input.path().file_stem().map(OsStr::to_os_string),
            _ => {
                let folder = self.folder();
                // `.` and `..` have no name of their own.
                let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
                folder.file_name().map(OsStr::to_os_string)
            }
        };
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        plain(name.strip_prefix("ggml-").unwrap_or(&name))
    }
}

/// Keeps only characters that model names may have.
fn plain(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(allowed).take(80).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

/// The folder of a file.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn in_folder(folder: &Path) -> Result<Source, StoreError> {
    let has = |name: &str| folder.join(name).exists();
    if has(WHOLE) || has(INDEX) {
        return Ok(Source::HuggingFace(folder.to_owned()));
    }
    if has(BINARY) {
        return file(&folder.join(BINARY));
    }
    // Fails, too, where the folder may not be read.
    let names = std::fs::read_dir(folder).map_err(ImportError::read(folder))?;
    let pickled = |name: &OsStr| {
        Path::new(name).extension().is_some_and(|end| end == "pt" || end == "pth")
            || name == "pytorch_model.bin"
            || name == "pytorch_model.bin.index.json"
    };
    if names.flatten().any(|entry| pickled(&entry.file_name())) {
        return Err(ImportError::unsupported(folder, "a folder with weights as Python pickles", PICKLE));
    }
    Err(ImportError::MissingFile {
        folder: folder.to_owned(),
        file: "weights (model.safetensors of Hugging Face, or model.bin of CTranslate2)",
        remedy: "name the folder in which they lie, or a ggml file",
    }
    .into())
}

fn file(path: &Path) -> Result<Source, StoreError> {
    let input = Arc::new(Input::open(path)?);
    let named = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if named == WHOLE || named == INDEX {
        return Ok(Source::HuggingFace(parent(path).to_owned()));
    }
    let head = input.bytes(0, input.len().min(32), || "the beginning".to_owned())?;
    if head.starts_with(GGML) {
        return Ok(Source::Ggml(input));
    }
    if head.starts_with(b"PK\x03\x04")
        || (head.starts_with(b"\x80") && head.get(1).is_some_and(|version| *version <= 5))
    {
        return Err(ImportError::unsupported(path, "a PyTorch checkpoint", PICKLE));
    }
    if ctranslate2::begins(&head) {
        return Ok(Source::CTranslate2(input));
    }
    if head.len() < 4 {
        input.expect(0, 4, || "the magic number".to_owned())?;
    }
    if head.get(8) == Some(&b'{') {
        let remedy = "import its folder, with the weights as model.safetensors and config.json beside them";
        return Err(ImportError::unsupported(path, "a safetensors file of another name", remedy));
    }
    Err(StoreError::Model { name: path.display().to_string(), cause: foreign(&head) })
}

/// Reads Hugging Face's weights.
pub(super) fn weights(source: &Source) -> Result<Option<super::weights::Weights>, StoreError> {
    match source {
        Source::Ggml(_) => Ok(None),
        Source::CTranslate2(input) => ctranslate2::read(input).map(Some),
        Source::HuggingFace(folder) => hugging_face::read(folder).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_become_names_of_models() {
        for (name, model) in [
            ("whisper-small.de", "whisper-small.de"),
            ("my model (1)", "my-model--1-"),
            ("..", "imported"),
            ("-v", "v"),
            ("モデル", "imported"),
        ] {
            assert_eq!(plain(name), model);
        }
    }
}
