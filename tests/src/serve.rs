//! A running `hearken serve`, and clients for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{self, AddressFamily, SocketType};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

use crate::command;

/// Longest wait for anything: far beyond what it takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Raises the limit of open files of this process, and of the servers that it starts, to
/// `connections` and some more.
///
/// # Panics
///
/// When the system does not allow as many.
pub fn raise_file_limit(connections: u64) {
    let wanted = connections + 500;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    assert!(
        maximum.is_none_or(|most| most >= wanted),
        "{connections} connections need {wanted} open files, and this system allows {}: raise the hard limit (`ulimit -Hn`)",
        maximum.unwrap_or_default()
    );
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard limit");
}

/// Makes a certificate for this machine in this folder; returns its path, and the configuration of
/// a server that has it.
///
/// # Panics
///
/// When openssl is not there: `make setup` installs it.
pub fn certificate(folder: &Path) -> (PathBuf, String) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl can be run (`make setup` installs it)");
    assert!(made.status.success(), "{made:?}");
    let tls = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n",
        certificate.display().to_string(),
        key.display().to_string()
    );
    (certificate, tls)
}

/// A server as a child process on a free port of this machine. Killed when dropped.
pub struct Server {
    child: Child,
    /// Address of the listener.
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    folder: TempDir,
}

impl Server {
    /// Without configuration.
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts a server with this configuration.
    pub fn with(configuration: &str) -> Self {
        Self::with_arguments(configuration, &[])
    }

    /// Starts a server with this configuration, and more arguments.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn with_arguments(configuration: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("hearken.toml");
        std::fs::write(&file, configuration).expect("room for a configuration");
        let mut command = command::hearken(&["serve", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(&file).args(arguments);
        Self::spawn(command, folder)
    }

    /// Starts a server that may have this many files open.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn with_files(files: u32, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("hearken.toml");
        std::fs::write(&file, configuration).expect("room for a configuration");
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n $0 && exec \"$@\"", &files.to_string()]);
        command.arg(command::binary()).args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
        command::settle(&mut command);
        Self::spawn(command, folder)
    }

    /// Starts a server with this configuration, whose folder for streams is a file system of this
    /// many KiB.
    ///
    /// # Panics
    ///
    /// When it does not start, also where this user may not mount one.
    pub fn on_small_disk(state: &Path, kib: u32, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("hearken.toml");
        std::fs::write(&file, configuration).expect("room for a configuration");
        let mount = format!("mount -t tmpfs -o size={kib}k,mode=700 none \"$0\" && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount]).arg(state);
        command.arg(command::binary()).args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
        command::settle(command.arg("--state").arg(state));
        Self::spawn(command, folder)
    }

    fn spawn(mut command: Command, folder: TempDir) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the command starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut log = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "it never served:\n{log}");
            if let Some(rest) = line.strip_prefix("hearken: serving ") {
                let (_, rest) = rest.split_once("://").expect("an address");
                let (address, _) = rest.split_once('/').expect("an address");
                break address.parse().expect("an address");
            }
            log.push_str(&line);
        };
        let log = Arc::new(Mutex::new(log));
        let written = Arc::clone(&log);
        thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
                written.lock().push_str(&line);
                line.clear();
            }
        });
        Self { child, address, log, folder }
    }

    /// Address for clients of this protocol alone.
    ///
    /// # Panics
    ///
    /// When it never says that it does.
    pub fn also(&self, protocol: &str) -> Also {
        let end = format!(" ({protocol})");
        self.wait_for_log(&end);
        let log = self.log();
        let line = log.lines().find_map(|line| line.strip_suffix(&end)).expect("it was logged");
        let (_, address) = line.rsplit_once("://").expect("an address");
        Also { address: address.parse().expect("an address") }
    }

    /// Replaces the configuration's text; the server reads it on reload.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, configuration: &str) {
        std::fs::write(self.folder.path().join("hearken.toml"), configuration).expect("room");
    }

    /// A folder that is gone with the server.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Log so far.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Waits until its log says so.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub fn wait_for_log(&self, text: &str) {
        let start = std::time::Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < PATIENCE, "{text:?} was never logged:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until its metrics have this line.
    ///
    /// # Panics
    ///
    /// When they never do.
    pub fn wait_for_metric(&self, line: &str) {
        let start = std::time::Instant::now();
        loop {
            let metrics = self.get("/metrics", &[]).body;
            if metrics.lines().any(|other| other == line) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{line:?} is not in\n{metrics}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// CPU time that its process has taken.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        // Behind the name, which may hold anything: user and system time are the twelfth and
        // thirteenth.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Bytes of memory that are its own, or that it has touched of what it shares.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:") << 10
    }

    /// Number of its threads.
    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// Reads the kernel's status of each of its threads.
    ///
    /// # Panics
    ///
    /// When the process is gone.
    pub fn status_of_each_thread(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let status = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.ok()?.path().join("status")).ok()
        };
        threads.filter_map(status).collect()
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it runs no more.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }

    /// Asks it to end, and waits until it has; its log.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub fn end(mut self) -> String {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it has ended, after it was asked to; its log.
    pub fn end_after_signal(mut self) -> String {
        self.wait()
    }

    /// Waits until it has ended; its log.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub fn wait(&mut self) -> String {
        let status = self.child.wait().expect("it was started");
        assert!(status.success(), "{status}:\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
        self.log()
    }

    /// An answer to a request without a body.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, b"")
    }

    /// An answer to a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        self.raw(&[request.as_bytes(), body].concat())
    }

    /// An answer to these bytes.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may have answered, and closed, before it has everything.
        let _ = stream.write_all(request);
        Answer::read(stream)
    }

    /// A bare connection.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A connection from another address of this machine.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    pub fn connect_from(&self, address: [u8; 4]) -> TcpStream {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::from(address), 0)).expect("an address of ours");
        net::connect(&socket, &self.address).expect("the server listens");
        TcpStream::from(socket)
    }

    /// A WebSocket, or the answer that there is none.
    ///
    /// # Errors
    ///
    /// The status and the body of another answer.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn socket(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, (u16, String)> {
        socket(self.address, path, headers)
    }
}

/// Another address of a server, of one protocol alone.
pub struct Also {
    /// Address of the listener.
    pub address: SocketAddr,
}

impl Also {
    /// A bare connection.
    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A WebSocket, or the answer that there is none.
    ///
    /// # Errors
    ///
    /// The status and the body of another answer.
    pub fn socket(&self, path: &str) -> Result<Socket, (u16, String)> {
        socket(self.address, path, &[])
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_nodelay(true).expect("a socket");
    stream
}

fn socket(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, (u16, String)> {
    let mut request = format!("ws://{address}{path}").into_client_request().expect("an address");
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header"));
    }
    match tungstenite::client(request, connect(address)) {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            Err((response.status().as_u16(), body.into_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answer of an HTTP server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, unparsed.
    pub head: String,
    /// Body, without chunks' sizes.
    pub body: String,
}

impl Answer {
    /// Reads to the end of the connection.
    ///
    /// # Panics
    ///
    /// When it is no answer.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            panic!("no answer ({ended:?}): {text:?}")
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunk(body) } else { body.to_owned() };
        Self { status, head: head.to_owned(), body }
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn unchunk(mut body: &str) -> String {
    let mut all = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        all.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    all
}

/// A multipart form: names and values, and a file under the name `file`.
pub fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "----hearken-test";
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    if let Some((name, bytes)) = file {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// A WebSocket to a server.
pub struct Socket(pub WebSocket<TcpStream>);

/// Message from a [`Socket`].
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// A message.
    Json(Value),
    /// The server closed, with this code and reason.
    Closed(u16, String),
    /// The connection ended without a word.
    Lost,
}

impl Socket {
    /// Sends a text message.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).expect("the server reads");
    }

    /// Sends audio; whether the server still takes any.
    pub fn push(&mut self, audio: &[u8]) -> bool {
        self.0.send(Message::binary(audio.to_vec())).is_ok()
    }

    /// The next thing that comes.
    ///
    /// # Panics
    ///
    /// When a message is no JSON.
    pub fn come(&mut self) -> Came {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    return Came::Json(serde_json::from_str(&text).expect("messages are JSON"));
                }
                Ok(Message::Close(Some(frame))) => {
                    return Came::Closed(frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Close(None)) => return Came::Closed(1005, String::new()),
                Ok(_) => {}
                Err(_) => return Came::Lost,
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    ///
    /// When something else comes.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        match self.come() {
            Came::Json(value) => value,
            other => panic!("{other:?}"),
        }
    }

    /// Reads all messages until the server closes, and the close.
    pub fn rest(&mut self) -> (Vec<Value>, Came) {
        let mut all = Vec::new();
        loop {
            match self.come() {
                Came::Json(value) => all.push(value),
                end => return (all, end),
            }
        }
    }

    /// Reads until a message is of this type, and returns it and those before it.
    ///
    /// # Panics
    ///
    /// When it closes before.
    #[track_caller]
    pub fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let message = self.json();
            let found = message["type"] == kind;
            all.push(message);
            if found {
                return all;
            }
        }
    }

    /// Breaks the connection as a cable that is pulled does: no goodbye.
    pub fn cut(self) {
        let _ = self.0.get_ref().shutdown(std::net::Shutdown::Both);
    }
}
