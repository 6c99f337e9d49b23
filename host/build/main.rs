//! Builds the sandboxed guest, or takes a ready one, and hands its bytes to the library.
//!
//! In this order: `HEARKEN_GUEST_DIR` (a folder with `hearken-guest-relaxed.wasm` and `hearken-guest-simd.wasm`),
//! the guest that a packaged crate carries in `prebuilt/`, the workspace's own `guest/` built here.

mod guest;
mod nested;
mod toolchain;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The two builds from one source: with relaxed SIMD, and for engines without it.
const VARIANTS: [&str; 2] = ["relaxed", "simd"];

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
        VARIANTS.iter().try_for_each(|variant| {
            fs::write(out.join(file_name(variant)), []).map_err(|error| error.to_string())
        })
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

/// Name of one variant's module.
fn file_name(variant: &str) -> String {
    format!("hearken-guest-{variant}.wasm")
}

/// Copies ready modules into `out`.
fn take(from: &Path, out: &Path) -> Result<(), String> {
    for variant in VARIANTS {
        let path = from.join(file_name(variant));
        println!("cargo::rerun-if-changed={}", path.display());
        fs::copy(&path, out.join(file_name(variant)))
            .map_err(|error| format!("cannot take the ready guest {}: {error}", path.display()))?;
    }
    Ok(())
}
