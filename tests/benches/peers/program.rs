//! Engines in processes of their own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A program that prints `ready`, and then answers each line with a number of tokens with the
/// nanoseconds that the encoder and all these tokens took.
pub(crate) struct Program {
    child: Child,
    /// Closed, it ends.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut program = Self { child, input, output: BufReader::new(output) };
        assert_eq!(program.line(), "ready", "{command:?}");
        program
    }

    pub(crate) fn run(&mut self, tokens: u32) -> (Duration, Duration) {
        writeln!(self.input.as_mut().expect("piped"), "{tokens}").expect("it listens");
        let line = self.line();
        let mut times = line.split_whitespace().map(|nanoseconds| nanoseconds.parse().expect("a number"));
        let mut next = || Duration::from_nanos(times.next().expect("two numbers"));
        (next(), next())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
