//! The facts of a model that sessions need where its weights are not.

use serde::{Deserialize, Serialize};

use crate::Model;
use crate::error::Error;
use crate::model::{Checked, Header};
use crate::place::PlaceError;
use crate::text;

/// Most characters of a model's name.
const MOST_NAME: usize = 200;

/// The facts of a model that sessions and recordings need where its weights are not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Path of the file, or a name that stands for it.
    pub name: String,
    /// BLAKE3 of the file, in hexadecimal.
    pub hash: String,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// The eleven integers of the file's header.
    pub header: [i32; 11],
    /// Version of whisper.cpp inside the guest.
    pub whisper_cpp: String,
    /// CPU time that final texts take for each second of speech \[s\], if it is known.
    pub cost_of_speech: Option<f64>,
}

impl Model {
    /// The facts of the model that sessions need elsewhere: see
    /// [`Engine::elsewhere`](crate::Engine::elsewhere).
    pub fn facts(&self) -> ModelFacts {
        let Checked { header, hash, len, .. } = self.checked();
        ModelFacts {
            name: self.name().to_owned(),
            hash: hash.to_hex().to_string(),
            bytes: *len,
            header: header.fields(),
            whisper_cpp: self.whisper_cpp().to_owned(),
            cost_of_speech: self.meter().cost_of_speech(),
        }
    }
}

impl ModelFacts {
    /// Checks facts that may have come from anywhere.
    pub(crate) fn check(&self) -> Result<Checked, Error> {
        let wrong = |problem| PlaceError::Facts { name: self.short_name(), problem };
        let header = Header::new(self.header).map_err(|error| wrong(error.to_string()))?;
        let hash = blake3::Hash::from_hex(&self.hash)
            .map_err(|_| wrong("its hash is no BLAKE3 hash in hexadecimal".to_owned()))?;
        Ok(Checked { header, hash, len: self.bytes })
    }

    /// The name, as text that may be shown.
    pub(crate) fn short_name(&self) -> String {
        text::sanitize(&self.name).chars().take(MOST_NAME).collect()
    }
}
