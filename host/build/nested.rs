//! Cargo inside cargo: builds of the same workspace with other settings, in target directories of
//! their own.

use std::env;
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
