//! Builds the guests in `guest/` for `wasm32-wasip1`, with whisper-rs and libopus as they come from
//! their registry.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::toolchain::Toolchain;
use crate::{GUESTS, nested};

/// The guests' target.
const TARGET: &str = "wasm32-wasip1";

/// Instructions that a module may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simd {
    /// Relaxed SIMD. In wasmtime everywhere: where the processor has no instruction that multiplies
    /// and adds in one rounding, its compiler makes two of it, so that a build without would be the
    /// same code.
    Relaxed,
    /// SIMD of 128 bits alone, for browsers that know no other.
    #[allow(dead_code, reason = "the host has wasmtime, which knows both")]
    Plain,
}

impl Simd {
    /// Rust's features of the target.
    fn rust(self) -> &'static str {
        match self {
            Self::Relaxed => "-Ctarget-feature=+simd128,+relaxed-simd",
            Self::Plain => "-Ctarget-feature=+simd128",
        }
    }
}

/// Compiler flags. The emulations are wasi-libc's, for functions that ggml names and never calls.
/// Exceptions: the sources say `try`, nothing can be caught, and a throw becomes a trap
/// (`wasi/src/stubs.c`).
const C_FLAGS: &[&str] = &[
    "-O3",
    "-msimd128",
    "-mnontrapping-fptoint",
    "-mbulk-memory",
    "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_MMAN",
    // Without it wasi-libc (from December 2024 on) has macros that do not compile in the place of
    // these functions.
    "-D_WASI_EMULATED_PTHREAD",
    // ggml's schedulers reserve descriptions of this number of inputs, twice, for each of 4096
    // splits of a graph.
    // With 30, the default, that is 240 MiB. Copies are for buffers that a backend cannot reach; in
    // one linear memory there are none, and ggml ends the guest if there were more than these.
    "-DGGML_SCHED_MAX_SPLIT_INPUTS=2",
];
const CXX_FLAGS: &[&str] = &["-fexceptions", "-fignore-exceptions"];

/// Builds the guests and leaves their modules in `out`.
pub(crate) fn build(workspace: &Path, out: &Path) -> Result<(), String> {
    let workspace = workspace.canonicalize().map_err(|error| format!("{}: {error}", workspace.display()))?;
    for watched in ["guest", "proto", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed=WASI_SDK_PATH");
    let target = target_directory(out)?.join("guest");
    let recipe = Recipe::new(&workspace, &target, Simd::Relaxed)?;
    for (package, name) in GUESTS {
        // A library's type is named here: a `cdylib` has a fixed name, and a program that links the
        // library with other features must not overwrite it.
        recipe.cargo(&["rustc", "--lib", "--crate-type=cdylib", "--package", package])?;
        let module = recipe.folder().join(package.replace('-', "_") + ".wasm");
        fs::copy(&module, out.join(name)).map_err(|error| format!("{}: {error}", module.display()))?;
    }
    Ok(())
}

/// The target directory that a build script's `OUT_DIR` lies in. What is built beside it is shared
/// by all profiles: it is always optimized. So it is by builds for a named target, whose folder
/// lies one deeper.
fn target_directory(out: &Path) -> Result<&Path, String> {
    let folder =
        out.ancestors().nth(4).ok_or_else(|| format!("{} is not in a target directory", out.display()))?;
    let named =
        folder.file_name().is_some_and(|name| env::var_os("TARGET").is_some_and(|target| target == name));
    Ok(folder.parent().filter(|_| named).unwrap_or(folder))
}

/// Everything that a cargo for the target must be told.
pub(crate) struct Recipe {
    workspace: PathBuf,
    target: PathBuf,
    toolchain: Toolchain,
    c_flags: Vec<String>,
    rust_flags: Vec<String>,
}

impl Recipe {
    /// Looks for a toolchain and makes what it lacks.
    pub(crate) fn new(workspace: &Path, target: &Path, simd: Simd) -> Result<Self, String> {
        let toolchain = Toolchain::find()?;
        let support = support(workspace, target, &toolchain)?;
        let mut c_flags: Vec<String> = C_FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        if simd == Simd::Relaxed {
            c_flags.push("-mrelaxed-simd".to_owned());
        }
        c_flags.extend(toolchain.arguments.iter().cloned());
        forget_other_flags(workspace, target, &c_flags)?;
        let mut rust_flags = vec![
            simd.rust().to_owned(),
            // Weights stream from the host instead of a file: see guest/src/loader.rs.
            "-Clink-arg=--wrap=whisper_init_from_file_with_params_no_state".to_owned(),
            // Its spectrogram is slow: see guest/src/spectrogram.rs.
            "-Clink-arg=--wrap=whisper_pcm_to_mel_with_state".to_owned(),
            // One thread: see guest/src/backend/threads.rs.
            "-Clink-arg=--wrap=ggml_backend_init_by_type".to_owned(),
            // Memory for scores: see guest/src/backend/scores.rs.
            "-Clink-arg=--wrap=whisper_init_state".to_owned(),
            "-Clink-arg=--wrap=_Znwm".to_owned(),
            // ggml's graphs recurse and keep arrays on the stack; the default is 1 MiB.
            "-Clink-arg=-zstack-size=4194304".to_owned(),
            "-Clink-arg=--stack-first".to_owned(),
            format!("-Lnative={}", support.display()),
        ];
        rust_flags.extend(toolchain.libraries.iter().map(|folder| format!("-Lnative={}", folder.display())));
        for library in [
            "hearken_wasi",
            "wasi-emulated-signal",
            "wasi-emulated-process-clocks",
            "wasi-emulated-mman",
            "c++abi",
        ] {
            rust_flags.push(format!("-lstatic={library}"));
        }
        Ok(Self {
            workspace: workspace.to_owned(),
            target: target.to_owned(),
            toolchain,
            c_flags,
            rust_flags,
        })
    }

    /// The folder that modules come into.
    pub(crate) fn folder(&self) -> PathBuf {
        self.target.join(TARGET).join("release")
    }

    /// Runs cargo for the target.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        let Self { workspace, target, toolchain, c_flags, rust_flags } = self;
        let wasi = workspace.join("guest/wasi");
        let cxx_flags: Vec<String> = c_flags
            .iter()
            .cloned()
            .chain(CXX_FLAGS.iter().map(|flag| (*flag).to_owned()))
            .chain([format!("-I{}", wasi.join("include").display())])
            .collect();
        // Without -fvisibility bindgen drops every function of the wasm target.
        let mut bindgen_flags = vec![format!("--target={TARGET}"), "-fvisibility=default".to_owned()];
        bindgen_flags.extend(toolchain.arguments.iter().cloned());
        let mut cargo = nested::cargo();
        cargo
            .current_dir(workspace)
            .args(arguments)
            .args(["--release", "--target", TARGET, "--target-dir"])
            .arg(target)
            // Names stay, for the backtraces of traps.
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
            // Between the parts of each crate, as Cargo does unless told otherwise.
            .env("CARGO_PROFILE_RELEASE_LTO", "false")
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\x1f"))
            .env("CMAKE_TOOLCHAIN_FILE", wasi.join("toolchain.cmake"))
            .env("HEARKEN_WASI_CC", &toolchain.cc)
            .env("HEARKEN_WASI_CXX", &toolchain.cxx)
            .env("HEARKEN_WASI_AR", &toolchain.ar)
            .env("HEARKEN_WASI_RANLIB", &toolchain.ranlib)
            .env("GGML_NATIVE", "OFF")
            .env("CC_wasm32_wasip1", &toolchain.cc)
            .env("CXX_wasm32_wasip1", &toolchain.cxx)
            .env("AR_wasm32_wasip1", &toolchain.ar)
            .env("CFLAGS_wasm32_wasip1", c_flags.join(" "))
            .env("CXXFLAGS_wasm32_wasip1", cxx_flags.join(" "))
            .env("BINDGEN_EXTRA_CLANG_ARGS_wasm32_wasip1", bindgen_flags.join(" "));
        if let Some(libclang) = &toolchain.libclang {
            cargo.env("LIBCLANG_PATH", libclang);
        }
        let output = cargo.output().map_err(|error| format!("cannot run cargo for the guest: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr);
        let hint = if log.contains("may not be installed") {
            format!("\nrun `rustup target add {TARGET}` (or `make setup`)")
        } else {
            String::new()
        };
        Err(format!("building the guest failed:\n{log}{hint}"))
    }
}

/// Removes what was compiled with other flags: the build scripts of C++ do not look at them, nor at
/// CMake's toolchain file.
fn forget_other_flags(workspace: &Path, target: &Path, flags: &[String]) -> Result<(), String> {
    let toolchain = workspace.join("guest/wasi/toolchain.cmake");
    let toolchain =
        fs::read_to_string(&toolchain).map_err(|error| format!("{}: {error}", toolchain.display()))?;
    let flags = format!("{}\n{toolchain}", flags.join("\n"));
    let stamp = target.join("c-flags.txt");
    if fs::read_to_string(&stamp).is_ok_and(|before| before == flags) {
        return Ok(());
    }
    let mut clean = nested::cargo();
    clean.current_dir(workspace).args(["clean", "--release", "--quiet", "--target", TARGET, "--target-dir"]);
    run(clean.arg(target).args(["--package", "whisper-rs-sys", "--package", "opusic-sys"]))?;
    fs::write(&stamp, flags).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Makes the libraries that whisper-rs-sys asks for by names that WASI toolchains do not have.
fn support(workspace: &Path, target: &Path, toolchain: &Toolchain) -> Result<PathBuf, String> {
    let folder = target.join("support");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // whisper-rs-sys links `stdc++`; here that is libc++.
    let cxx = toolchain
        .libraries
        .iter()
        .map(|path| path.join("libc++.a"))
        .find(|path| path.exists())
        .ok_or("the toolchain has no libc++.a for wasm32")?;
    fs::copy(&cxx, folder.join("libstdc++.a")).map_err(|error| format!("{}: {error}", cxx.display()))?;

    let object = folder.join("stubs.o");
    let archive = folder.join("libhearken_wasi.a");
    run(Command::new(&toolchain.cc)
        .arg(format!("--target={TARGET}"))
        .args(&toolchain.arguments)
        .args(C_FLAGS)
        .args(["-c", "-o"])
        .arg(&object)
        .arg(workspace.join("guest/wasi/src/stubs.c")))?;
    let _ = fs::remove_file(&archive);
    run(Command::new(&toolchain.ar).arg("crs").arg(&archive).arg(&object))?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}
