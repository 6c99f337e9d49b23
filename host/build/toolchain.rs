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
        let sysroot = root.join("share").join("wasi-sysroot");
        let libraries = sysroot.join("lib").join("wasm32-wasip1");
        let missing =
            |what: &Path| format!("WASI_SDK_PATH={}: {} is missing.\n{HELP}", root.display(), what.display());
        let tool = |name: &str| {
            let path = root.join("bin").join(name);
            // The names that an SDK for Windows has.
            [path.clone(), path.with_extension("exe")]
                .into_iter()
                .find(|path| path.is_file())
                .ok_or_else(|| missing(&path))
        };
        let library = libraries.join("libc++.a");
        if !library.is_file() {
            return Err(missing(&library));
        }
        // bindgen takes the flags of this list from a variable that it splits at spaces.
        let sysroot = sysroot.display().to_string();
        if sysroot.contains(char::is_whitespace) {
            return Err(format!(
                "WASI_SDK_PATH={}: the compiler's flags cannot hold the spaces of this path; unpack the \
                 SDK in a folder without, or name it by a link or its short name",
                root.display()
            ));
        }
        Ok(Self {
            cc: tool("clang")?,
            cxx: tool("clang++")?,
            ar: tool("llvm-ar")?,
            ranlib: tool("llvm-ranlib")?,
            libclang: env::var_os("LIBCLANG_PATH").map(PathBuf::from),
            libraries: vec![libraries],
            arguments: vec![format!("--sysroot={sysroot}")],
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An SDK of empty files whose tools have these endings.
    fn empty(root: &Path, ending: &str) {
        let libraries = root.join("share/wasi-sysroot/lib/wasm32-wasip1");
        fs::create_dir_all(&libraries).expect("a folder");
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::write(libraries.join("libc++.a"), []).expect("a file");
        for tool in ["clang", "clang++", "llvm-ar", "llvm-ranlib"] {
            fs::write(root.join("bin").join(format!("{tool}{ending}")), []).expect("a file");
        }
    }

    /// A folder of this test's own.
    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("hearken-toolchain-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn an_sdk_has_tools_with_and_without_the_ending_of_windows() {
        for ending in ["", ".exe"] {
            let root = folder(&format!("sdk{ending}"));
            empty(&root, ending);
            let toolchain = Toolchain::wasi_sdk(&root).expect("an SDK");
            assert_eq!(toolchain.cxx, root.join("bin").join(format!("clang++{ending}")));
            assert_eq!(toolchain.ranlib, root.join("bin").join(format!("llvm-ranlib{ending}")));
            assert_eq!(toolchain.libraries, [root.join("share/wasi-sysroot/lib/wasm32-wasip1")]);
            assert!(toolchain.arguments[0].ends_with("wasi-sysroot"), "{:?}", toolchain.arguments);
            fs::remove_dir_all(&root).expect("it goes");
        }
    }

    #[test]
    fn parts_that_an_sdk_lacks_are_named() {
        let root = folder("lacking");
        empty(&root, ".exe");
        let spaced = root.join("Program Files");
        empty(&spaced, ".exe");
        let refused = |root: &Path| Toolchain::wasi_sdk(root).err().expect("it is refused");
        assert!(refused(&spaced).contains("without, or name it by a link"), "{}", refused(&spaced));
        for (absent, told) in [("bin/llvm-ar.exe", "llvm-ar is missing"), ("share", "libc++.a is missing")] {
            let path = root.join(absent);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("it goes");
            assert!(refused(&root).contains(told), "{}", refused(&root));
        }
        fs::remove_dir_all(&root).expect("it goes");
    }
}
