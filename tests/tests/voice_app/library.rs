//! The installed library, and programs that use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use hearken_tests::command::{binary, settle};
use tempfile::TempDir;

/// Kind of linking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    Shared,
    Static,
}

/// The library as `make test` installs it.
pub(crate) struct Library {
    folder: PathBuf,
}

/// A compiled program, and its path.
pub(crate) struct Program {
    folder: TempDir,
    library: PathBuf,
}

impl Library {
    pub(crate) fn installed() -> Self {
        // target/release/hearken
        let folder = binary().ancestors().nth(2).expect("a target folder").join("capi");
        assert!(
            folder.join("lib/libhearken.so").exists(),
            "{}/lib/libhearken.so is missing: `make voice` installs it",
            folder.display()
        );
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Compiles a program for this library, with whatever warns.
    pub(crate) fn compile(&self, compiler: &str, source: &Path, linked: Linked, flags: &[&str]) -> Program {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.env("PKG_CONFIG_PATH", self.folder.join("lib/pkgconfig")).args(["--cflags", "--libs"]);
        if linked == Linked::Static {
            pkg_config.arg("--static");
        }
        let said = pkg_config.arg("hearken").output().expect("pkg-config runs");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let said = String::from_utf8(said.stdout).expect("flags");
        // pkg-config does not say which of the two is meant; the linker prefers the shared one.
        let said = if linked == Linked::Static { said.replace("-lhearken", "-l:libhearken.a") } else { said };
        let mut compile = Command::new(compiler);
        compile.args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1", "-g", "-pthread"]);
        compile.args(flags).arg("-D_POSIX_C_SOURCE=200809L");
        compile.arg("-o").arg(folder.path().join("program")).arg(source).args(said.split_whitespace());
        let compiled = compile.output().expect("a compiler");
        let complaints = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success() && complaints.is_empty(), "{compile:?}: {complaints}");
        Program { folder, library: self.folder.join("lib") }
    }
}

impl Program {
    /// The command, with the library and a cache of prepared models where it looks for them.
    pub(crate) fn command(&self) -> Command {
        self.under(&[])
    }

    /// The same under another one.
    pub(crate) fn under(&self, tool: &[&str]) -> Command {
        let program = self.folder.path().join("program");
        let mut command = match tool {
            [] => Command::new(program),
            [tool, arguments @ ..] => {
                let mut command = Command::new(tool);
                command.args(arguments).arg(program);
                command
            }
        };
        settle(&mut command);
        command.env("LD_LIBRARY_PATH", &self.library);
        // What a sanitizer finds is an end with 99, so that it is not taken for anything else.
        command.env("ASAN_OPTIONS", "exitcode=99:detect_leaks=1:abort_on_error=0");
        command.env("UBSAN_OPTIONS", "halt_on_error=1:exitcode=99").env("LSAN_OPTIONS", "exitcode=99");
        command
    }
}
