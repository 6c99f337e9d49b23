//! Wyoming, with PyPI's package: what Home Assistant's own integration stands on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use hearken_tests::serve::Server;
use serde_json::{Value, json};

use crate::clients::{client, command};
use crate::{PHRASES, two_tenants};

fn start() -> Server {
    Server::with_arguments("", &["--wyoming", "127.0.0.1:0"])
}

#[test]
fn wyomings_package_learns_what_there_is() {
    let server = start();
    let info = client(&server, server.also("Wyoming").address, "wyoming_describe");
    assert_eq!((&info["name"], &info["streaming"]), (&json!("hearken"), &json!(true)));
    assert_eq!(info["models"], json!([{ "name": "hearken", "languages": ["en"] }]));
    server.end();
}

/// The package `zeroconf` is what Home Assistant finds Wyoming's servers with.
#[test]
fn home_assistant_finds_a_server_that_announces_itself_and_sees_it_end() {
    let name = format!("test {}", std::process::id());
    let server = Server::with_arguments("", &["--wyoming", "127.0.0.1:0", "--zeroconf", &name]);
    let address = server.also("Wyoming").address;
    let mut finder = command(&server, address, "wyoming_discovery", &name)
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut lines = BufReader::new(finder.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "found");
    server.end();
    let found: Value = serde_json::from_str(&lines.next().expect("the end is seen").unwrap()).unwrap();
    assert_eq!(found, json!({ "address": address.to_string(), "name": "hearken" }));
    assert!(finder.wait().unwrap().success());
}

#[test]
fn wyomings_package_has_text_while_somebody_speaks_and_all_of_it_at_the_end() {
    let server = start();
    let heard = client(&server, server.also("Wyoming").address, "wyoming_speech");
    let recordings = heard.as_array().unwrap();
    assert_eq!(recordings.len(), 2, "one connection, two recordings");
    for recording in recordings {
        assert_eq!((&recording["text"], &recording["language"]), (&json!(PHRASES.join(" ")), &json!("en")));
        let chunks = recording["chunks"].as_array().unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.as_str().unwrap()).collect::<String>(), PHRASES.join(" "));
        let kinds: Vec<&str> =
            recording["kinds"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
        assert_eq!(kinds[0], "transcript-start");
        assert_eq!(kinds[kinds.len() - 2..], ["transcript", "transcript-stop"]);
        assert!(kinds[1..kinds.len() - 2].iter().all(|kind| *kind == "transcript-chunk"), "{kinds:?}");
    }
    assert!(recordings[0]["before_stop"].as_u64() > Some(1), "as it is spoken: {heard}");
    server.end();
}

/// Reads the answers until the connection ends, line by line.
fn answers(server: &Server, bytes: &[u8]) -> Vec<Value> {
    let mut stream = server.also("Wyoming").connect();
    stream.write_all(bytes).unwrap();
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all);
    // Data follows a line without one of its own: a header ends where the data's begins.
    serde_json::Deserializer::from_str(&all).into_iter().map(|value| value.unwrap()).collect()
}

#[test]
fn malformed_events_are_rejected_with_the_reason_and_cost_no_other_client() {
    let server = start();
    let pcm = b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 4, \"channels\": 1}}\n";
    for (bytes, word) in [
        (&b"nonsense\n"[..], "nonsense"),
        (b"{\"type\": \"audio-chunk\", \"payload_length\": 99999999}\n", "payload"),
        (&[b'x'; 100_000], "line"),
        (pcm, "width 2"),
        (b"{\"type\": \"transcribe\", \"data\": {\"name\": \"gpt-9\"}}\n{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 2, \"channels\": 1}}\n", "gpt-9"),
    ] {
        let answers = answers(&server, bytes);
        assert_eq!(answers[0]["type"], "error", "{answers:?}");
        assert!(answers[1]["text"].as_str().unwrap().contains(word), "{answers:?}");
    }
    // Half an event, and gone; and an end without a beginning.
    let mut cut = server.also("Wyoming").connect();
    cut.write_all(b"{\"type\": \"audio-chunk\", \"payload_le").unwrap();
    drop(cut);
    let mut empty = server.also("Wyoming").connect();
    empty.write_all(b"{\"type\": \"audio-stop\"}\n").unwrap();
    let mut bytes = vec![0; 1000];
    let count = empty.read(&mut bytes).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..count]).contains("transcript"));
    drop(empty);
    let heard = client(&server, server.also("Wyoming").address, "wyoming_describe");
    assert_eq!(heard["name"], "hearken");
    server.end();
}

#[test]
fn wyomings_clients_have_the_limits_of_the_tenant_that_is_named() {
    let settings =
        format!("[wyoming]\nlisten = \"127.0.0.1:0\"\ntenant = \"a\"\n{}", two_tenants("streams = 1"));
    let server = Server::with(&settings);
    let start = b"{\"type\": \"audio-start\", \"data\": {\"rate\": 16000, \"width\": 2, \"channels\": 1}}\n";
    let mut first = server.also("Wyoming").connect();
    first.write_all(start).unwrap();
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"wyoming\"} 1");
    let second = answers(&server, start);
    assert_eq!(second[1]["code"], "too_many_streams");
    // A client that is cut off gives its place back.
    drop(first);
    server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"wyoming\"} 0");
    server.end();
}

#[test]
fn a_recording_that_comes_when_the_server_ends_has_its_text() {
    let server = start();
    let wyoming = server.also("Wyoming");
    let rate = crate::SPEECH.format.sample_rate;
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let mut stream = wyoming.connect();
    let head = format!(
        "{{\"type\": \"audio-chunk\", \"data\": {{\"rate\": {rate}, \"width\": 2, \"channels\": 1}}, \"payload_length\": {until}}}\n"
    );
    stream.write_all(&[head.as_bytes(), &crate::PCM[..until]].concat()).unwrap();
    server.wait_for_metric("hearken_open{tenant=\"local\",protocol=\"wyoming\"} 1");
    server.signal(rustix::process::Signal::TERM);
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all);
    assert!(all.contains(&format!("\"text\":\"{}\"", PHRASES[0])), "{all}");
    server.end_after_signal();
}
