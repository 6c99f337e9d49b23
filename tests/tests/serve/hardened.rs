//! A hardened server: it does everything that it did before dropping privileges.

use hearken_tests::serve::{Server, form};
use hearken_tests::wav;
use rustix::process::Signal;
use serde_json::json;

use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, two_tenants};

#[test]
fn a_hardened_server_serves_and_is_restricted() {
    let both = two_tenants("");
    let server = Server::with_arguments(&both, &["--hardened"]);
    let status = server.status_of_each_thread();
    assert!(!status.is_empty());
    for thread in &status {
        let has = |line: &str| thread.lines().any(|other| other == line);
        assert!(has("NoNewPrivs:\t1") && has("Seccomp:\t2"), "{thread}");
    }
    let rate = SPEECH.format.sample_rate;
    let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": rate}));
    socket.push(&PCM);
    assert_eq!(socket.until("final").last().unwrap()["text"], PHRASES[0]);
    let wave = wav::pcm16(&SPEECH.samples, rate, 1);
    let (kind, body) = form(&[("model", "digits")], Some(("speech.wav", &wave)));
    let answer = server.request("POST", "/v1/audio/transcriptions", &[KEY_A, ("Content-Type", &kind)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["text"].as_str().unwrap().contains(PHRASES[1]), "{answer:?}");
    let metrics = server.get("/metrics", &[]).body;
    assert!(metrics.contains("hearken_sandbox_memory_bytes{tenant=\"a\"}"), "it knows its own memory");
    // The configuration is read again.
    let (only_a, _) = both.split_once("[tenants.b]").unwrap();
    server.configure(only_a);
    server.signal(Signal::HUP);
    server.wait_for_log("were read again");
    assert_eq!(server.get("/v1/models", &[KEY_B]).status, 401);
    server.end();
}
