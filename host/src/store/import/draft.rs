//! The file that an import writes, and the name that it gets.

use std::io;
use std::path::Path;

use crate::store::part::{self, Part};

/// A file of an import's own, locked, and removed unless it gets its name.
pub(super) struct Draft(Option<Part>);

impl Draft {
    /// Opens it empty; `wait` is called once if another import has it.
    pub(super) fn lock(model: &Path, wait: impl FnMut()) -> io::Result<Self> {
        let mut part = claim(&part::import_path(model), wait)?;
        part.clear()?;
        Ok(Self(Some(part)))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part().append(bytes)
    }

    pub(super) fn path(&mut self) -> &Path {
        self.part().path()
    }

    fn part(&mut self) -> &mut Part {
        self.0.as_mut().expect("it is there until it gets its name")
    }

    /// Gives it its name, for good.
    pub(super) fn publish(mut self, model: &Path) -> io::Result<()> {
        // On an error the file is left to `drop`.
        self.part().publish(model)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(part) = self.0.take() {
            // There is nobody to tell, and the next import of that name begins anew.
            let _ = part.discard();
        }
    }
}

/// The right to give a file a model's name: the lock that pulls of that model take, too.
pub(super) struct NameLock {
    part: Option<Part>,
}

impl NameLock {
    pub(super) fn take(model: &Path, wait: impl FnMut()) -> io::Result<Self> {
        Ok(Self { part: Some(claim(&part::path(model), wait)?) })
    }

    /// The model is there: what was kept of a pull is of no use any more.
    pub(super) fn done(mut self) {
        if let Some(part) = self.part.take() {
            let _ = part.discard();
        }
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // What has come of a pull stays; an empty file is this lock's own.
        if let Some(part) = self.part.take().filter(|part| part.len() == 0) {
            let _ = part.discard();
        }
    }
}

fn claim(path: &Path, mut wait: impl FnMut()) -> io::Result<Part> {
    let mut waited = false;
    loop {
        if let Some(part) = Part::claim(path, &mut waited, &mut wait)? {
            return Ok(part);
        }
    }
}
