//! An HTTP server that does what a test tells it, byte by byte: one request for each connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Start of the requested range.
    pub(crate) fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// The client's end of one connection. What cannot be written because the client has gone does not
/// matter.
pub(crate) struct Client {
    stream: TcpStream,
    sent: Arc<Mutex<usize>>,
}

impl Client {
    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Status line and headers; the body comes after.
    pub(crate) fn head(&mut self, status: &str, headers: &str) {
        self.raw(format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").as_bytes());
    }

    /// A part of a body, counted.
    pub(crate) fn body(&mut self, bytes: &[u8]) {
        *self.sent.lock().unwrap() += bytes.len();
        self.raw(bytes);
    }

    /// An answer without a body.
    pub(crate) fn status(&mut self, status: &str, headers: &str) {
        self.head(status, &format!("Content-Length: 0\r\n{headers}"));
    }

    /// Answers as a good server: the whole file, or the requested range. At most `most` bytes are
    /// sent, whatever was announced.
    pub(crate) fn serve(&mut self, request: &Request, file: &[u8], most: usize) {
        let (from, len) = (request.from(), file.len());
        let rest = &file[from..];
        let etag = "ETag: \"one\"\r\n";
        if from == 0 {
            self.head("200 OK", &format!("Content-Length: {len}\r\n{etag}"));
        } else {
            let range = format!("Content-Range: bytes {from}-{}/{len}\r\n", len - 1);
            self.head("206 Partial Content", &format!("Content-Length: {}\r\n{range}{etag}", rest.len()));
        }
        self.body(&rest[..rest.len().min(most)]);
    }
}

/// A running server. It ends with the process.
pub(crate) struct Server {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    sent: Arc<Mutex<usize>>,
}

impl Server {
    /// Answers each request with `answer`, whose first argument is the number of requests before.
    pub(crate) fn start(answer: impl Fn(usize, &Request, &mut Client) + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1", answer)
    }

    /// One on another host: the loopback network has many.
    pub(crate) fn start_on(
        host: &str,
        answer: impl Fn(usize, &Request, &mut Client) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (all, count, answer) = (Arc::clone(&requests), Arc::clone(&sent), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (all, sent, answer) = (Arc::clone(&all), Arc::clone(&count), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let before = {
                        let mut all: std::sync::MutexGuard<'_, Vec<Request>> = all.lock().unwrap();
                        all.push(request.clone());
                        all.len() - 1
                    };
                    answer(before, &request, &mut Client { stream, sent });
                });
            }
        });
        Self { address, requests, sent }
    }

    /// Gives this file to everybody.
    pub(crate) fn good(file: Vec<u8>) -> Self {
        Self::start(move |_, request, client| client.serve(request, &file, usize::MAX))
    }

    /// Requests received so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Bytes of bodies that went out.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Request { path, headers })
}
