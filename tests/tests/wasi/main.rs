//! hearken outside of its own host: `hearken.wasm` in other runtimes of WASI, and the page of
//! `examples/browser`. `make wasi web` builds both, `.ci/setup clients` brings the runtimes.

mod browser;
mod command;

use std::path::PathBuf;

/// A module that `make wasi` builds.
fn module(name: &str) -> PathBuf {
    let path = target().join("wasi").join(name);
    assert!(path.is_file(), "{} is missing: `make wasi` builds it", path.display());
    path
}

/// A program that `.ci/setup clients` installs.
fn runtime(name: &str) -> PathBuf {
    let path = target().join("runtimes/bin").join(name);
    assert!(path.exists(), "{} is missing: `.ci/setup clients` makes it", path.display());
    path
}

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target")
}
