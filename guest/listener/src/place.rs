//! The place where utterances are recognized: here there is one, with one recognizer.

#[path = "../../../host/src/place/attempts.rs"]
mod attempts;

pub(crate) use self::attempts::{Attempts, Fault};
pub(crate) use crate::sandbox::Instance as Opened;
