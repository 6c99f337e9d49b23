//! Cargo inside cargo: builds of the same workspace with other settings, in target directories of
//! their own.

use std::env;
use std::path::Path;
use std::process::Command;

/// A cargo that inherits what reaches registries and nothing that the outer build chose: its
/// settings are for another target, and CMake and ggml variables would change the recipe.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        let foreign = ["CARGO_", "CMAKE_", "GGML_", "WHISPER_", "RUSTFLAGS", "RUSTC", "TARGET", "HOST"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let kept =
            ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_", "CARGO_SOURCE_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if foreign && !kept {
            cargo.env_remove(&key);
        }
    }
    cargo
}

/// The target directory that a build script's `OUT_DIR` lies in. What is built beside it is shared
/// by all profiles: it is always optimized. So it is by builds for a named target, whose folder
/// lies one deeper.
pub(crate) fn target_directory(out: &Path) -> Result<&Path, String> {
    let folder =
        out.ancestors().nth(4).ok_or_else(|| format!("{} is not in a target directory", out.display()))?;
    let named =
        folder.file_name().is_some_and(|name| env::var_os("TARGET").is_some_and(|target| target == name));
    Ok(folder.parent().filter(|_| named).unwrap_or(folder))
}
