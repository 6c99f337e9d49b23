//! Entry of the catalog: a model that can be pulled.

use std::borrow::Cow;

use super::StoreError;
use crate::model::{Ftype, Header, ModelError};

/// Longest name, so that the files beside it have names that every file system takes.
const MAX_NAME: usize = 100;

/// A model that can be pulled: name, address and expected content. [`CATALOG`](super::CATALOG)
/// has the official ones; [`Entry::new`] describes one of your own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub(super) name: Cow<'static, str>,
    pub(super) path: Cow<'static, str>,
    pub(super) bytes: u64,
    pub(super) sha256: Cow<'static, str>,
    /// The eleven integers of the file's header, where they are known beforehand.
    pub(super) fields: Option<[i32; 11]>,
}

impl Entry {
    /// A model of your own: `path` is its address behind the endpoint, `bytes` its exact length,
    /// `sha256` its hash in 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`StoreError::Entry`] if the name is not letters, digits, `.`, `_` and `-`, starting with a
    /// letter or digit, at most 100 of them, or the hash is none.
    pub fn new(name: &str, path: &str, bytes: u64, sha256: &str) -> Result<Self, StoreError> {
        let invalid = |problem| Err(StoreError::Entry { name: crate::text::sanitize(name), problem });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || name.len() > MAX_NAME
            || !name.chars().all(plain)
        {
            return invalid("is no name: use letters, digits, '.', '_' and '-'");
        }
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return invalid("has no SHA-256 of 64 hexadecimal digits");
        }
        Ok(Self {
            name: name.to_owned().into(),
            path: path.trim_start_matches('/').to_owned().into(),
            bytes,
            sha256: sha256.to_ascii_lowercase().into(),
            fields: None,
        })
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of its file in the store: `ggml-NAME.bin`, as whisper.cpp calls it.
    pub fn file(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }

    /// Path of the file below the endpoint.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Length of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Header of the file, where it is known; an error says why it will be rejected.
    fn header(&self) -> Option<Result<Header, ModelError>> {
        self.fields.map(Header::new)
    }

    /// Memory that it needs in the sandbox, in bytes: the estimate that loading it makes. `None`
    /// for entries made with [`Entry::new`], whose dimensions are unknown before the file is there.
    pub fn memory(&self) -> Option<u64> {
        match self.header()? {
            Ok(header) => Some(header.guest_memory()),
            Err(ModelError::TooLarge { needed, .. } | ModelError::WeightsTooLarge { needed, .. }) => {
                Some(needed)
            }
            Err(_) => None,
        }
    }

    /// Returns true if it fits the sandbox, as far as can be known beforehand.
    pub fn fits(&self) -> bool {
        !matches!(self.header(), Some(Err(_)))
    }

    /// Why it cannot be used, before anything of it was read.
    #[cfg(feature = "pull")]
    pub(super) fn refusal(&self) -> Option<ModelError> {
        self.header()?.err()
    }

    /// True if it knows other languages than English, where that is known.
    pub fn multilingual(&self) -> Option<bool> {
        self.fields.map(|fields| fields[0] > 51_864)
    }

    /// Type of the large weights, where that is known.
    pub fn ftype(&self) -> Option<Ftype> {
        self.header()?.ok().map(|header| header.ftype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_or_options_are_refused() {
        let sha256 = "0".repeat(64);
        for name in ["", "..", "../x", "a/b", "-v", ".hidden", "a\nb", "a b", "ä", &"a".repeat(101)] {
            assert!(Entry::new(name, "x", 1, &sha256).is_err(), "{name:?}");
        }
        for sha256 in ["", "0", &"g".repeat(64), &"0".repeat(65)] {
            assert!(Entry::new("a", "x", 1, sha256).is_err(), "{sha256:?}");
        }
        let entry = Entry::new("my.model-1", "/me/x.bin", 1, &"A".repeat(64)).unwrap();
        assert_eq!((entry.file().as_str(), entry.path()), ("ggml-my.model-1.bin", "me/x.bin"));
        assert_eq!(entry.sha256(), "a".repeat(64));
        assert!(entry.fits() && entry.memory().is_none());
    }
}
