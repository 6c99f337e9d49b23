//! A cluster on this machine: NATS, and workers as child processes.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command;
use crate::serve::{PATIENCE, Server};

/// The lines that a process has written to standard error.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    /// Reads until a line contains `text`, returns it, and reads on beside the test.
    fn read(child: &mut Child, text: &str) -> (Self, String) {
        let log = Self::default();
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let found = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "no {text:?} in:\n{}", log.text());
            log.add(&line);
            if line.contains(text) {
                break line;
            }
        };
        let rest = log.clone();
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
                rest.add(&line);
                line.clear();
            }
        });
        (log, found)
    }

    fn add(&self, line: &str) {
        self.0.lock().push_str(line);
    }

    fn text(&self) -> String {
        self.0.lock().clone()
    }
}

/// A NATS server on a free port of this machine. Killed when dropped.
pub struct Nats {
    child: Child,
    /// Address for clients.
    pub url: String,
    folder: TempDir,
}

impl Nats {
    /// With JetStream.
    pub fn start() -> Self {
        Self::with(&["--jetstream"])
    }

    /// With these arguments.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (child, url) = Self::spawn(&folder, "-1", arguments);
        Self { child, url, folder }
    }

    fn spawn(folder: &TempDir, port: &str, arguments: &[&str]) -> (Child, String) {
        let mut command = Command::new(program());
        command.args(["--addr", "127.0.0.1", "--port", port, "--store_dir"]).arg(folder.path());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nats-server starts (`.ci/setup clients` installs it)");
        let (_, line) = Log::read(&mut child, "Listening for client connections on ");
        let (_, address) = line.rsplit_once(' ').expect("an address");
        (child, format!("nats://{}", address.trim()))
    }

    /// Ends it at once, and starts it again at the same address after `pause`: its memory is lost.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self, pause: Duration) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started");
        thread::sleep(pause);
        let (_, port) = self.url.rsplit_once(':').expect("a port");
        (self.child, _) = Self::spawn(&self.folder, port, &["--jetstream"]);
    }

    /// A gateway with this configuration. It serves when a worker is there.
    pub fn gateway(&self, configuration: &str) -> Server {
        Server::with_arguments(configuration, &["--nats", &self.url])
    }

    /// A worker with the embedded model.
    pub fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    /// A worker with these arguments.
    pub fn worker_with(&self, arguments: &[&str]) -> Worker {
        Worker::start(&self.url, arguments)
    }
}

/// The server that `.ci/setup` installs.
fn program() -> PathBuf {
    let mut folder = command::binary();
    folder.pop();
    folder.with_file_name("nats").join("bin/nats-server")
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker as a child process. Killed when dropped.
pub struct Worker {
    child: Child,
    log: Log,
}

impl Worker {
    /// # Panics
    ///
    /// When it does not start.
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = command::hearken(&["worker", "--nats", url]);
        // It says which utterances it has.
        command.args(arguments).env("HEARKEN_LOG", "info,hearken_cluster=debug").stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (log, _) = Log::read(&mut child, "hearken: working: ");
        Self { child, log }
    }

    /// Log so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Utterances and chunks that it took so far.
    pub fn taken(&self) -> usize {
        self.log().matches("an order is served").count()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it runs no more.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the worker runs");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it was started")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until one of these workers has taken more than `before` of all; its index.
///
/// # Panics
///
/// When none does.
pub fn taker(workers: &[&Worker], before: &[usize]) -> usize {
    let start = Instant::now();
    loop {
        let mut taken = workers.iter().map(|worker| worker.taken()).zip(before);
        if let Some(index) = taken.position(|(now, before)| now > *before) {
            return index;
        }
        assert!(start.elapsed() < PATIENCE, "no worker took it");
        thread::sleep(Duration::from_millis(5));
    }
}
