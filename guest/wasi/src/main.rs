//! `make wasi`: builds `hearken.wasm`, the command for any WASI runtime, and the modules that a
//! browser needs, into `target/wasi`.
//!
//! The recipe is the one with which the host's build script builds its guests, so that both are the
//! same code: the very same `hearken-guest.wasm` comes out.
//!
//! `--relaxed-simd-only` leaves out the variants of the command and of the guest for engines
//! without relaxed SIMD, which no test runs.

#[path = "../../../host/build/guest.rs"]
#[allow(dead_code, reason = "the build script has its own way to it")]
mod guest;
#[path = "../../../host/build/nested.rs"]
mod nested;
#[path = "../../../host/build/toolchain.rs"]
mod toolchain;

use guest::Simd;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

/// The guest that a browser needs, too.
const GUESTS: [(&str, &str); 1] = [("hearken-guest", "hearken-guest.wasm")];

/// Builds a library's module.
fn library(recipe: &guest::Recipe, package: &str, features: &str) -> Result<(), String> {
    let arguments = ["rustc", "--lib", "--crate-type=cdylib", "--package", package, "--features", features];
    recipe.cargo(&arguments)
}

/// Copies a module that was built; what has not changed stays as it is, so that nothing is built
/// again for it.
fn keep(recipe: &guest::Recipe, built: &str, place: &Path) -> Result<(), String> {
    let module = recipe.folder().join(built);
    let bytes = fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
    if fs::read(place).ok().as_ref() != Some(&bytes) {
        fs::write(place, &bytes).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    println!("{} ({} KiB)", place.display(), bytes.len() >> 10);
    Ok(())
}

/// Builds everything into `wasi` beside the folder of the host's guests.
fn run() -> Result<(), String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().map_err(|error| format!("{}: {error}", workspace.display()))?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), Into::into);
    let out = target.join("wasi");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let relaxed_only = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [only] if only == "--relaxed-simd-only" => true,
        arguments => return Err(format!("{arguments:?}: the only option is --relaxed-simd-only")),
    };
    // The host's guests lie in the first folder: what both need is compiled once.
    for (simd, folder, suffix) in [(Simd::Relaxed, "guest", ""), (Simd::Plain, "guest-simd", "-simd")] {
        let recipe = guest::Recipe::new(&workspace, &target.join(folder), simd)?;
        if simd == Simd::Plain {
            // One module for all browsers: the compiler would use relaxed SIMD in it, too.
            library(&recipe, "hearken-listener", "browser")?;
            keep(&recipe, "hearken_listener.wasm", &out.join("hearken-listener.wasm"))?;
            if relaxed_only {
                break;
            }
        }
        recipe.cargo(&["build", "--package", "hearken-command"])?;
        keep(&recipe, "hearken-command.wasm", &out.join(format!("hearken{suffix}.wasm")))?;
        library(&recipe, GUESTS[0].0, "")?;
        keep(&recipe, "hearken_guest.wasm", &out.join(format!("hearken-guest{suffix}.wasm")))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
