//! Messages that are none, or that lie, harm nobody who shares a NATS server.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use hearken_tests::cluster::Nats;
use hearken_tests::random::Random;
use hearken_tests::serve::{Came, PATIENCE};
use hearken_tests::tenants::{PCM, PHRASES};
use serde_json::json;

use crate::{finals, started};

/// A client that speaks NATS' protocol by itself.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn connect(nats: &Nats) -> Self {
        let address = nats.url.strip_prefix("nats://").unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self(BufReader::new(stream));
        raw.send(b"CONNECT {\"verbose\":false}\r\n");
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.send(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
        self.send(&[payload, b"\r\n"].concat());
    }

    /// Subject and payload of the next message.
    fn next(&mut self) -> (String, Vec<u8>) {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "NATS has closed the connection");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("MSG") => {
                    let subject = words.next().unwrap().to_owned();
                    let len: usize = words.last().unwrap().parse().unwrap();
                    let mut payload = vec![0; len + 2];
                    self.0.read_exact(&mut payload).unwrap();
                    payload.truncate(len);
                    return (subject, payload);
                }
                Some("HMSG") => {
                    let len: usize = words.last().unwrap().parse().unwrap();
                    self.0.read_exact(&mut vec![0; len + 2]).unwrap();
                }
                Some("PING") => self.send(b"PONG\r\n"),
                _ => {}
            }
        }
    }
}

#[test]
fn messages_that_lie_harm_nobody() {
    let nats = Nats::start();
    let worker = nats.worker();
    let gateway = nats.gateway("");
    let mut raw = Raw::connect(&nats);
    raw.send(b"SUB hk.> 1\r\n");
    // A stream whose messages are seen, sent again, and sent with a part that is another one.
    let mut socket = started(&gateway, 300);
    for audio in PCM[..PCM.len() / 2].chunks(8_820) {
        assert!(socket.push(audio));
    }
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let kinds = |seen: &[(String, Vec<u8>)]| -> BTreeSet<String> {
        seen.iter().map(|(subject, _)| subject.split('.').nth(2).unwrap().to_owned()).collect()
    };
    while kinds(&seen).len() < 5 {
        seen.push(raw.next());
    }
    let mut random = Random::new(7);
    for (subject, payload) in &seen {
        // News that lie are believed until the next are there: names of models, say.
        let is_news = subject.contains(".load.") || subject.contains(".demand.");
        for _ in 0..if is_news { 0 } else { 20 } {
            let mut payload = payload.clone();
            // Identities stay, so that some of it reaches a sandbox.
            let from = if payload.len() > 40 { 32 } else { 0 };
            for _ in 0..=random.below(4) {
                if payload.len() > from {
                    let at = from + random.below(payload.len() - from);
                    payload[at] = random.below(256) as u8;
                }
            }
            payload.truncate(payload.len() - random.below(payload.len().min(3) + 1));
            raw.publish(subject, &payload);
        }
        raw.publish(subject, b"");
        raw.publish(subject, &[0xff; 2000]);
    }
    // Its words may have suffered: those of the next stream have not.
    drop(socket);
    let mut socket = started(&gateway, 300);
    for audio in PCM.chunks(8_820) {
        assert!(socket.push(audio));
    }
    socket.say(&json!({"type": "finish"}));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()), "{messages:?}");
    assert_eq!(finals(&messages), PHRASES);
    assert!(!worker.log().contains("panicked"), "{}", worker.log());
    gateway.end();
}
