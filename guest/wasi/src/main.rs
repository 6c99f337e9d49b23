//! `make wasi`: builds `hearken.wasm`, the command for any WASI runtime, and the modules that a
//! browser needs, into `target/wasi`.
//!
//! The recipe is the one with which the host's build script builds its guests, so that both are the
//! same code: the very same `hearken-guest.wasm` comes out.

#[path = "../../../host/build/guest.rs"]
#[allow(dead_code, reason = "the build script has its own way to it")]
mod guest;
#[path = "../../../host/build/nested.rs"]
#[allow(dead_code, reason = "a build script finds its folder with it")]
mod nested;
#[path = "../../../host/build/toolchain.rs"]
mod toolchain;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

/// The guests of `host/build`: of them, a browser needs the recognizer.
const GUESTS: [(&str, &str); 1] = [("hearken-guest", "hearken-guest.wasm")];

/// Builds everything into `wasi` beside the folder of the host's guests.
fn run() -> Result<(), String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = workspace.canonicalize().map_err(|error| format!("{}: {error}", workspace.display()))?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), Into::into);
    let out = target.join("wasi");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let recipe = guest::Recipe::new(&workspace, &target.join("guest"), guest::FEATURES)?;
    recipe.cargo(&["build", "--package", "hearken-command"])?;
    recipe.cargo(&["rustc", "--lib", "--crate-type=cdylib", "--package", "hearken-listener", "--features", "browser"])?;
    recipe.cargo(&["rustc", "--lib", "--crate-type=cdylib", "--package", GUESTS[0].0])?;
    for (built, name) in [
        ("hearken-command.wasm", "hearken.wasm"),
        ("hearken_listener.wasm", "hearken-listener.wasm"),
        ("hearken_guest.wasm", GUESTS[0].1),
    ] {
        let module = recipe.folder().join(built);
        let place = out.join(name);
        let bytes = fs::read(&module).map_err(|error| format!("{}: {error}", module.display()))?;
        // What has not changed stays as it is, so that nothing is built again for it.
        if fs::read(&place).ok().as_ref() != Some(&bytes) {
            fs::write(&place, &bytes).map_err(|error| format!("{}: {error}", place.display()))?;
        }
        println!("{} ({} KiB)", place.display(), bytes.len() >> 10);
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
