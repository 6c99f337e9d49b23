//! Finds a C++ compiler and libraries that can target WASI: a wasi-sdk named by `WASI_SDK_PATH`, or
//! Debian's LLVM.

use std::env;
use std::path::{Path, PathBuf};

/// What is missing, and what to do about it.
const HELP: &str = "hearken's guest needs a C++ toolchain for WebAssembly. Either\n\
    - Debian 12 or later: run `make setup` (installs clang, lld, libc++ for wasm32 and wasi-libc), or\n\
    - anywhere: unpack wasi-sdk 24 or later and set WASI_SDK_PATH to it, or\n\
    - set HEARKEN_GUEST_DIR to a folder with a ready guest";

/// Oldest and newest LLVM that are looked for.
const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 19..=22;

/// Where the tools are.
pub(crate) struct Toolchain {
    pub(crate) cc: PathBuf,
    pub(crate) cxx: PathBuf,
    pub(crate) ar: PathBuf,
    pub(crate) ranlib: PathBuf,
    /// libclang's folder, for bindgen.
    pub(crate) libclang: Option<PathBuf>,
    /// Folders with libc++.a, libc++abi.a and wasi-libc's emulation libraries.
    pub(crate) libraries: Vec<PathBuf>,
    /// Extra compiler arguments.
    pub(crate) arguments: Vec<String>,
}

impl Toolchain {
    /// Looks for a toolchain.
    pub(crate) fn find() -> Result<Self, String> {
        match env::var_os("WASI_SDK_PATH") {
            Some(path) => Self::wasi_sdk(Path::new(&path)),
            None => Self::debian(),
        }
    }

    fn wasi_sdk(root: &Path) -> Result<Self, String> {
        let bin = root.join("bin");
        let sysroot = root.join("share/wasi-sysroot");
        let libraries = sysroot.join("lib/wasm32-wasip1");
        if !bin.join("clang++").exists() || !libraries.join("libc++.a").exists() {
            return Err(format!("WASI_SDK_PATH={} holds no wasi-sdk.\n{HELP}", root.display()));
        }
        Ok(Self {
            cc: bin.join("clang"),
            cxx: bin.join("clang++"),
            ar: bin.join("llvm-ar"),
            ranlib: bin.join("llvm-ranlib"),
            libclang: env::var_os("LIBCLANG_PATH").map(PathBuf::from),
            libraries: vec![libraries],
            arguments: vec![format!("--sysroot={}", sysroot.display())],
        })
    }

    fn debian() -> Result<Self, String> {
        for version in LLVM_VERSIONS.rev() {
            let llvm = PathBuf::from(format!("/usr/lib/llvm-{version}"));
            let cxx_library = llvm.join("lib/wasm32-wasi/libc++.a");
            let libc = PathBuf::from("/usr/lib/wasm32-wasi");
            if !llvm.join("bin/clang++").exists() || !cxx_library.exists() {
                continue;
            }
            if !Path::new("/usr/include/wasm32-wasi/pthread.h").exists() {
                return Err(format!(
                    "wasi-libc is missing or older than 2024 (it has no pthread.h).\n{HELP}"
                ));
            }
            return Ok(Self {
                cc: llvm.join("bin/clang"),
                cxx: llvm.join("bin/clang++"),
                ar: llvm.join("bin/llvm-ar"),
                ranlib: llvm.join("bin/llvm-ranlib"),
                libclang: Some(llvm.join("lib")),
                libraries: vec![llvm.join("lib/wasm32-wasi"), libc],
                arguments: Vec::new(),
            });
        }
        Err(HELP.to_owned())
    }
}
