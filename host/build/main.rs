//! Builds the sandboxed guests, or takes ready ones, and hands their bytes to the library.
//!
//! In this order: `HEARKEN_GUEST_DIR` (a folder with `hearken-guest.wasm` and
//! `hearken-media.wasm`), the guests that a packaged crate carries in `prebuilt/`, the workspace's
//! own `guest/` built here.

mod guest;
mod nested;
mod toolchain;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The guests' packages and the names of their modules: the one that recognizes speech, and the one
/// that decodes recordings.
const GUESTS: [(&str, &str); 2] =
    [("hearken-guest", "hearken-guest.wasm"), ("hearken-media", "hearken-media.wasm")];

fn main() {
    println!("cargo::rerun-if-env-changed=HEARKEN_GUEST_DIR");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));

    let built = if let Some(ready) = env::var_os("HEARKEN_GUEST_DIR") {
        take(Path::new(&ready), &out)
    } else if manifest.join("prebuilt").is_dir() && !manifest.join("../guest/Cargo.toml").exists() {
        take(&manifest.join("prebuilt"), &out)
    } else if env::var_os("DOCS_RS").is_some() {
        // Documentation needs the items, not the bytes.
        GUESTS
            .iter()
            .try_for_each(|(_, module)| fs::write(out.join(module), []))
            .map_err(|error| error.to_string())
    } else {
        guest::build(&manifest.join(".."), &out)
    };
    if let Err(message) = built {
        // Each line as its own error, or cargo shows only the first.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Copies ready modules into `out`.
fn take(from: &Path, out: &Path) -> Result<(), String> {
    GUESTS.iter().try_for_each(|(_, module)| {
        let path = from.join(module);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::copy(&path, out.join(module))
            .map(drop)
            .map_err(|error| format!("cannot take the ready guest {}: {error}", path.display()))
    })
}
