//! Runs the `hearken` binary.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The binary of the command.
pub fn binary() -> PathBuf {
    program("hearken")
}

/// A binary that was built along with this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test runs from a file");
    // target/<profile>/deps/<this test>
    let profile = test.ancestors().nth(2).expect("a test lies in a profile's deps");
    let binary = profile.join(name);
    assert!(
        binary.exists(),
        "{} is missing: build it first, with `make test` or `cargo build --release --workspace`",
        binary.display()
    );
    binary
}

/// A folder for prepared models that stays from one test to the next, so that a model is prepared
/// once.
pub fn cache() -> PathBuf {
    let mut folder = binary();
    folder.pop();
    folder.with_file_name("tmp").join("command-cache")
}

/// The command, in an environment of its own.
pub fn hearken<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(binary());
    settle(command.args(args));
    command
}

/// Gives a command that runs [`binary`] the environment of all of them.
pub fn settle(command: &mut Command) {
    command.env("HEARKEN_CACHE_DIR", cache()).stdin(Stdio::null());
    // Whatever this machine's user has pulled, the embedded model is used where none is named.
    command.env("HEARKEN_MODELS_DIR", "/nonexistent");
}

/// Exit status and output of a run.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs it to its end, and checks what holds for every run.
pub fn run(command: &mut Command) -> Ended {
    ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts"))
}

/// Runs the command with these bytes on standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ended {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    std::thread::scope(|scope| {
        // It may end without having read everything.
        scope.spawn(move || stdin.write_all(input).map_err(|error| error.kind()));
        ended(child)
    })
}

/// Waits for its end, and checks what holds for every run.
///
/// # Panics
///
/// When something does not hold.
pub fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().expect("it was started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what it prints is UTF-8");
    let ended =
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "controls in a pipe: {ended:?}");
        assert!(!text.contains("panicked"), "{ended:?}");
    }
    ended
}

/// Ran without a word on standard error.
pub fn fine(command: &mut Command) -> String {
    let ended = run(command);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command:?}: {ended:?}");
    ended.stdout
}

impl Ended {
    /// Asserts that it printed one line, which has all of these in it, and ended with this code.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [line] = lines.as_slice() else { panic!("not one line: {self:?}") };
        assert!(line.starts_with("hearken: "), "{line}");
        for word in words {
            assert!(line.contains(word), "{word:?} is not in: {line}");
        }
    }

    /// Asserts the same, and that it wrote nothing to standard output.
    #[track_caller]
    pub fn only_says(&self, code: i32, words: &[&str]) {
        self.says(code, words);
        assert_eq!(self.stdout, "");
    }
}
