//! A worker's health and metrics, for its operator.

use std::io::{Read, Write};
use std::net::TcpStream;

use hearken_tests::cluster::Nats;
use hearken_tests::tenants::PCM;
use rustix::process::Signal;
use serde_json::json;

use crate::{begin, first_phrase, started};

/// Status and body of an answer.
fn ask(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the worker listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).expect("a status").parse().expect("a number"), body.to_owned())
}

#[test]
fn a_worker_shows_what_it_does_and_that_it_ends() {
    let nats = Nats::start();
    let mut worker = nats.worker_with(&["--room", "7", "--operations", "127.0.0.1:0"]);
    let log = worker.log();
    let address = log.lines().find_map(|line| line.split_once("metrics at http://")).expect("its address").1;
    assert_eq!(ask(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(ask(address, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(ask(address, "/elsewhere").0, 404);

    let gateway = nats.gateway("");
    let mut socket = started(&gateway, 300);
    let (_, sent) = begin(&mut socket);
    let (status, text) = ask(address, "/metrics");
    assert_eq!(status, 200);
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
    };
    assert_eq!((value("hearken_worker_room"), value("hearken_worker_sandboxes")), (7.0, 1.0));
    let partial = r#"{tenant="local",kind="partial"}"#;
    assert!(value(&format!("hearken_decodes_total{partial}")) >= 1.0);
    assert!(value(&format!("hearken_decode_cpu_seconds_total{partial}")) > 0.0);
    assert!(value(r#"hearken_sandbox_memory_bytes{tenant="local"}"#) > 0.0);
    assert!(text.ends_with("# EOF\n"));

    // While it completes the utterance.
    worker.signal(Signal::TERM);
    while ask(address, "/readyz").0 == 200 {}
    assert_eq!(ask(address, "/readyz"), (503, "shutting down\n".to_owned()));
    assert!(socket.push(&PCM[sent..first_phrase().1]));
    socket.say(&json!({"type": "finish"}));
    socket.rest();
    assert!(worker.wait().success());
    gateway.end();
}
