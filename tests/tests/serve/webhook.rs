//! The operator's webhook: final texts of calls, posted once each, signed, and tried again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use hearken_tests::command;
use hearken_tests::guest::hex;
use hearken_tests::serve::{Came, PATIENCE, Server, Socket};
use hearken_tests::wav;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::apart::call;
use crate::{KEY_A, PHRASES, SPEECH, two_tenants};

const SECRET: &str = "a secret of sixteen bytes and more";

/// A request that came to the webhook.
struct Post {
    path: String,
    signature: String,
    body: String,
}

impl Post {
    /// Reads a request, unless the connection has ended.
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut first = String::new();
        if stream.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let path = first.strip_prefix("POST ").expect("a POST").split(' ').next().unwrap().to_owned();
        let (mut signature, mut length, mut kind) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "hearken-signature" => value.clone_into(&mut signature),
                "content-length" => length = value.parse().unwrap(),
                "content-type" => value.clone_into(&mut kind),
                _ => {}
            }
        }
        assert_eq!(kind, "application/json");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        Some(Self { path, signature, body: String::from_utf8(body).unwrap() })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A webhook that answers the first requests with these, and then with the last of them.
fn webhook(answers: &'static [&'static str]) -> (SocketAddr, Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, posts) = channel();
    std::thread::spawn(move || {
        let mut answered = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some(post) = Post::read(&mut stream) {
                let answer = answers[answered.min(answers.len() - 1)];
                answered += 1;
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                if sender.send(post).is_err() || stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, posts)
}

/// HMAC-SHA256 (RFC 2104) as hexadecimal digits.
fn hmac(secret: &str, message: &str) -> String {
    let key = |mask: u8| {
        let mut key = [mask; 64];
        key.iter_mut().zip(secret.bytes()).for_each(|(key, byte)| *key ^= byte);
        key
    };
    let inner = Sha256::new().chain_update(key(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(key(0x5c)).chain_update(inner).finalize();
    hex(&outer)
}

fn server(address: SocketAddr) -> Server {
    let tenants = two_tenants("");
    Server::with(&format!("{tenants}[webhook]\nurl = \"http://{address}/calls?a=1\"\nsecret = {SECRET:?}\n"))
}

/// A call of jambonz that has begun, with its first sides' audio.
fn calling(server: &Server) -> Socket {
    let mut jambonz = server.socket("/v1/jambonz", &[KEY_A]).unwrap();
    jambonz.say(&json!({
        "type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16", "interimResults": false,
        "sampleRateHz": SPEECH.format.sample_rate, "options": { "channels": 2, "callSid": "c-1" },
    }));
    assert!(jambonz.push(&wav::s16le(&call())));
    jambonz
}

/// Texts of a channel, in the order in which they came.
fn texts(posts: &[Value], channel: usize) -> Vec<&str> {
    posts
        .iter()
        .filter(|post| post["channel"] == channel)
        .map(|post| post["text"].as_str().unwrap())
        .collect()
}

#[test]
fn final_texts_of_calls_are_posted_signed_and_tried_again() {
    let (address, posts) = webhook(&["503 Service Unavailable", "429 Too Many Requests", "204 No Content"]);
    let server = server(address);
    let mut jambonz = calling(&server);
    jambonz.say(&json!({ "type": "stop" }));
    assert!(matches!(jambonz.rest().1, Came::Closed(1000, _)));
    let mut all = Vec::new();
    for _ in 0..2 + 2 * PHRASES.len() {
        let post = posts.recv_timeout(PATIENCE).unwrap();
        assert_eq!(post.path, "/calls?a=1");
        let (time, signed) = post.signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_700_000_000);
        assert_eq!(signed, hmac(SECRET, &format!("{time}.{}", post.body)));
        all.push(post.json());
    }
    let [first, second, third, ..] = &all[..] else { panic!("{all:?}") };
    assert!(first == second && second == third, "the same until it is taken: {all:?}");
    let taken = &all[2..];
    for channel in 0..2 {
        assert_eq!(texts(taken, channel), PHRASES, "channel {channel}");
    }
    for post in taken {
        assert_eq!(
            (&post["type"], &post["tenant"], &post["protocol"], &post["call"]),
            (&json!("final"), &json!("a"), &json!("jambonz"), &json!("c-1"))
        );
        assert!(post["utterance"].as_f64() < post["end"].as_f64(), "{post}");
        assert!(post["words"][0]["probability"].is_number(), "{post}");
    }
    let mut ids: Vec<&str> = taken.iter().map(|post| post["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), taken.len(), "each has its own");
    server.wait_for_metric("hearken_webhook_delivered_total 6");
    server.wait_for_metric("hearken_webhook_given_up_total 0");
    server.end();
}

#[test]
fn texts_that_a_webhook_rejects_are_given_up_and_no_redirect_is_followed() {
    let (elsewhere, strangers) = webhook(&["200 OK"]);
    let location: &'static str =
        Box::leak(format!("307 Temporary Redirect\r\nLocation: http://{elsewhere}/").into_boxed_str());
    let answers: &'static [&'static str] = Box::leak(Box::new(["400 Bad Request", location]));
    let (address, posts) = webhook(answers);
    let server = server(address);
    let mut jambonz = calling(&server);
    jambonz.say(&json!({ "type": "stop" }));
    assert!(matches!(jambonz.rest().1, Came::Closed(1000, _)), "the call is not held up");
    server.wait_for_metric("hearken_webhook_given_up_total 6");
    server.wait_for_metric("hearken_webhook_delivered_total 0");
    assert_eq!(posts.try_iter().count(), 6, "each is tried once");
    assert!(strangers.try_recv().is_err());
    let log = server.end();
    assert!(log.contains("the webhook rejects a text") && !log.contains("seven"), "{log}");
}

#[test]
fn the_last_texts_are_posted_before_the_server_ends() {
    let (address, posts) = webhook(&["503 Service Unavailable", "200 OK"]);
    let server = server(address);
    let _jambonz = calling(&server);
    // It is ended in the middle of the call.
    posts.recv_timeout(PATIENCE).unwrap();
    server.end();
    let taken: Vec<Value> = posts.try_iter().map(|post| post.json()).collect();
    for channel in 0..2 {
        assert_eq!(texts(&taken, channel), PHRASES, "channel {channel}");
    }
}

#[test]
fn a_webhook_needs_a_secret_and_connections() {
    let serve = |arguments: &[&str], secret: Option<&str>| {
        let mut command = command::hearken(&["serve", "--listen", "127.0.0.1:0", "--webhook"]);
        command.args(arguments).env_remove("HEARKEN_WEBHOOK_SECRET");
        if let Some(secret) = secret {
            command.env("HEARKEN_WEBHOOK_SECRET", secret);
        }
        command::run(&mut command)
    };
    serve(&["https://example.com/"], None).only_says(2, &["HEARKEN_WEBHOOK_SECRET", "16 bytes"]);
    serve(&["https://example.com/", "--hardened"], Some(SECRET)).only_says(2, &["--hardened", "connections"]);
    serve(&["https://example.com/"], Some("short")).says(1, &["webhook.secret", "16 bytes"]);
    serve(&["file:///etc/passwd"], Some(SECRET)).says(1, &["webhook.url", "https://"]);
}
