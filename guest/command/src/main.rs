//! `hearken.wasm`: hearken as a WASI command. Its only imports are WASI preview 1's.
//!
//! A runtime gives it folders and arguments; it has the recognizer, the readers of recordings and
//! all between linked in, computes everything itself, on one thread, and writes transcripts.

#[cfg(target_arch = "wasm32")]
mod arguments;
#[cfg(target_arch = "wasm32")]
mod pipeline;
#[cfg(target_arch = "wasm32")]
mod run;

#[cfg(target_arch = "wasm32")]
fn main() -> std::process::ExitCode {
    run::main()
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this is a program for WebAssembly: `make wasi` builds it, `hearken file` is its like here");
    std::process::exit(2);
}
