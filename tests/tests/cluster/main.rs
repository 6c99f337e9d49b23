//! Contract of a cluster: what gateways and workers do together is what one process does, and a
//! worker that dies, hangs or ends costs no word. A real NATS server lies between them.

mod chaos;
mod equal;
mod failures;
mod hostile;
mod metrics;
mod recipes;
mod refused;
mod room;

use hearken_tests::serve::{Server, Socket};
use hearken_tests::tenants::{PCM, PHRASES, SPEECH};
use serde_json::{Value, json};

/// Opens a stream with a partial text after each `step` milliseconds.
fn started(server: &Server, step: u32) -> Socket {
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    let rate = SPEECH.format.sample_rate;
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": rate, "step_ms": step}));
    let message = socket.json();
    assert_eq!(message["type"], "started", "{message}");
    socket
}

fn finals(messages: &[Value]) -> Vec<&str> {
    let finals = messages.iter().filter(|message| message["type"] == "final");
    finals.map(|message| message["text"].as_str().unwrap()).collect()
}

/// Checks that what was committed of each utterance is how its final text begins.
fn assert_committed_stays(messages: &[Value]) {
    for heard in messages.iter().filter(|message| message["type"] == "final") {
        let of = |message: &&Value| message["utterance"] == heard["utterance"];
        let partials = messages.iter().filter(|message| message["type"] == "partial").filter(of);
        let committed: Vec<&Value> =
            partials.flat_map(|message| message["committed"].as_array().unwrap()).collect();
        let words = heard["words"].as_array().unwrap();
        assert!(committed.len() <= words.len(), "{heard}");
        assert_eq!(committed, words.iter().take(committed.len()).collect::<Vec<_>>());
    }
}

/// Bytes of the first phrase, and of the silence behind it.
fn first_phrase() -> (usize, usize) {
    let speech = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    (speech, speech + SPEECH.format.sample_rate as usize * 2)
}

/// Sends the first phrase up to its last fifth, and waits until words of it are committed.
fn begin(socket: &mut Socket) -> (Vec<Value>, usize) {
    let (speech, _) = first_phrase();
    let until = speech / 10 * 8;
    for audio in PCM[..until].chunks(SPEECH.format.sample_rate as usize / 5 * 2) {
        assert!(socket.push(audio));
    }
    let mut messages = Vec::new();
    loop {
        messages.extend(socket.until("partial"));
        let partial = messages.last().unwrap();
        if !partial["committed"].as_array().unwrap().is_empty() {
            return (messages, until);
        }
    }
}
