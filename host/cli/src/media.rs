//! The module that an operator adds to decode more recordings.

use std::path::PathBuf;

use hearken::audio;

use super::Failure;

/// Names the module where the option does not.
const VARIABLE: &str = "HEARKEN_MEDIA";

#[derive(clap::Args)]
pub(crate) struct MediaArgs {
    /// Module that decodes what hearken itself does not, such as FFmpeg's libraries
    /// (`make media-ffmpeg`): see docs/formats.md [default: that of HEARKEN_MEDIA, if it is set]
    #[arg(long, value_name = "FILE")]
    media: Option<PathBuf>,
}

/// The bytes of a module that is to be added, and the file that they are from.
pub(crate) struct MediaModule {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl MediaArgs {
    /// Reads the module, if there is one.
    pub(crate) fn read(&self) -> Result<Option<MediaModule>, Failure> {
        let variable = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let Some(path) = self.media.clone().or_else(variable) else { return Ok(None) };
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(MediaModule { path, bytes })),
            Err(error) => Err(Failure::new(format!(
                "cannot read the media module {}: {error}; --media or {VARIABLE} names it",
                path.display()
            ))),
        }
    }

    /// Reads the module, if there is one, and adds it.
    pub(crate) fn add(&self) -> Result<(), Failure> {
        self.read()?.map_or(Ok(()), |module| module.add())
    }
}

impl MediaModule {
    /// Adds it: recordings that are opened from now on can use it.
    pub(crate) fn add(self) -> Result<(), Failure> {
        audio::add_media(&self.bytes).map_err(|error| {
            Failure::new(format!("cannot use the media module {}: {error}", self.path.display()))
        })
    }
}
