//! Operations: keys, limits, health, metrics.

use std::time::Duration;

use hearken_tests::command::{hearken, run};
use hearken_tests::serve::{Came, Server, certificate};
use rustix::process::Signal;
use serde_json::json;

use crate::{KEY_A, KEY_B, PCM, SPEECH, two_tenants};

#[test]
fn a_key_opens_the_server_and_is_kept_as_a_hash() {
    let made = run(&mut hearken(&["serve", "key"]));
    let word = |name: &str| {
        let line = made.stdout.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    let (key, hash) = (word("key"), word("hash"));
    let server = Server::with(&format!("[tenants.acme]\nkeys = [\"{hash}\"]\n"));
    let header = format!("Bearer {key}");
    assert!(server.socket("/v1/stream", &[("Authorization", &header)]).is_ok());
    // Browsers have no other way.
    let offered = format!("hearken, hearken.key.{key}");
    assert!(server.socket("/v1/stream", &[("Sec-WebSocket-Protocol", &offered)]).is_ok());
    for headers in [vec![], vec![("Authorization", "Bearer nonsense")], vec![("Authorization", "Basic Zm9v")]]
    {
        let Err((status, body)) = server.socket("/v1/stream", &headers) else { panic!("{headers:?}") };
        assert_eq!(status, 401, "{body}");
    }
    assert!(!server.end().contains(&key), "a key is never logged");
}

#[test]
fn keys_are_read_again_without_a_restart() {
    let server = Server::with(&two_tenants(""));
    let opens = |key| server.socket("/v1/stream", &[key]).is_ok();
    assert!(opens(KEY_A) && opens(KEY_B));
    let both = two_tenants("");
    let (only_a, _) = both.split_once("[tenants.b]").unwrap();
    server.configure(only_a);
    server.signal(Signal::HUP);
    server.wait_for_log("were read again");
    assert!(opens(KEY_A) && !opens(KEY_B));
    // What is wrong changes nothing, and is said.
    server.configure("[tenants.a]\nkeys = [\"secret\"]");
    server.signal(Signal::HUP);
    server.wait_for_log("stays as it was");
    assert!(opens(KEY_A));
    server.end();
}

#[test]
fn a_tenant_at_its_limits_is_refused_and_the_other_is_not() {
    let server = Server::with(&two_tenants("streams = 1\naudio_seconds_per_minute = 2"));
    let start = json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate});
    let open = |key| {
        let mut socket = server.socket("/v1/stream", &[key]).unwrap();
        socket.say(&start);
        let answer = socket.json();
        (socket, answer)
    };
    let (mut first, answer) = open(KEY_A);
    assert_eq!(answer["type"], "started");
    let (mut second, answer) = open(KEY_A);
    assert_eq!(answer["code"], "too_many_streams");
    assert_eq!(second.come(), Came::Closed(1008, "too_many_streams".to_owned()));
    let (mut other, answer) = open(KEY_B);
    assert_eq!(answer["type"], "started");
    for audio in PCM.chunks(8 << 10) {
        if !first.push(audio) {
            break;
        }
        assert!(other.push(audio));
    }
    let (messages, end) = first.rest();
    assert_eq!(messages.last().unwrap()["code"], "rate_limit_exceeded");
    assert!(messages.last().unwrap()["retry_after"].as_u64().unwrap() >= 1);
    assert!(matches!(end, Came::Closed(1008, _) | Came::Lost), "{end:?}");
    other.say(&json!({"type": "finish"}));
    let (messages, _) = other.rest();
    assert_eq!(messages.last().unwrap()["type"], "finished");
    // The place is free again.
    let (_, answer) = open(KEY_A);
    assert_eq!(answer["type"], "started");
    server.end();
}

/// The numbers name tenants: a proxy on this machine does not pass them on, nor does a browser to a
/// page of another name.
#[test]
fn numbers_are_for_this_machine_alone() {
    let server = Server::with(&two_tenants(""));
    assert_eq!(server.get("/metrics", &[]).status, 200);
    for (name, value) in [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")] {
        assert_eq!(server.get("/metrics", &[(name, value)]).status, 403, "{name}");
    }
    let renamed = server.raw(b"GET /metrics HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    assert_eq!(renamed.status, 403);
    server.end();
}

#[test]
fn health_and_numbers_are_there() {
    let server = Server::with(&two_tenants(""));
    assert_eq!((server.get("/healthz", &[]).status, server.get("/readyz", &[]).status), (200, 200));
    let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate}));
    socket.push(&PCM);
    socket.until("final");
    let metrics = server.get("/metrics", &[]).body;
    for line in [
        "hearken_open{tenant=\"a\",protocol=\"hearken\"} 1",
        "hearken_final_latency_seconds_count{tenant=\"a\"} 1",
        "hearken_refusals_total{reason=\"invalid_api_key\"} 1",
        "hearken_audio_seconds_total{tenant=\"a\"} ",
    ] {
        let _ = server.socket("/v1/stream", &[("Authorization", "Bearer wrong")]).is_ok();
        let metrics =
            if line.contains("refusals") { server.get("/metrics", &[]).body } else { metrics.clone() };
        let line = if line.contains("refusals") {
            "hearken_refusals_total{reason=\"invalid_api_key\"} "
        } else {
            line
        };
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    server.end();
}

#[test]
fn a_configuration_error_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hearken.toml");
    for (text, words) in [
        ("listen = \"0.0.0.0:0\"", ["listen: ", "hearken serve key"]),
        ("prot = 1", ["hearken.toml:1: prot: ", "docs/operations.md"]),
        ("[models]\nx = \"no-such-model\"", ["no-such-model", "model"]),
        (
            "[tls]\ncertificate = \"/nonexistent\"\nkey = \"/nonexistent\"",
            ["tls.certificate: /nonexistent", "PEM"],
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = hearken(&["serve", "--listen", "127.0.0.1:0", "--config"]);
        if text.starts_with("listen") {
            command = hearken(&["serve", "--config"]);
        }
        run(command.arg(&file)).only_says(1, &words);
    }
    let missing = run(&mut hearken(&["serve", "--config", "/nonexistent"]));
    missing.only_says(1, &["/nonexistent", "check the path"]);
    // An address that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&mut hearken(&["serve", "--listen", &address])).only_says(1, &[&address, "choose another address"]);
}

#[test]
fn without_tenants_other_sites_pages_are_refused() {
    let server = Server::start();
    let status = |headers: &[(&'static str, &str)]| {
        server.socket("/v1/stream", headers).err().map(|(status, _)| status)
    };
    assert_eq!(status(&[("Origin", "https://example.com")]), Some(403));
    assert_eq!(status(&[("Host", "example.com")]), Some(403), "a name that somebody pointed at this machine");
    let own = format!("http://{}", server.address);
    assert_eq!(status(&[("Origin", &own)]), None);
    server.end();
}

#[test]
fn encryption_is_on_when_there_is_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, tls) = certificate(folder.path());
    let server = Server::with(&tls);
    let answer = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
        .arg(&certificate)
        .arg(format!("https://localhost:{}/readyz", server.address.port()))
        .output()
        .expect("curl can be run (`make setup` installs it)");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "ready\n", "{answer:?}");
    // A client without encryption gets nothing, and harms nobody.
    let mut plain = server.connect();
    std::io::Write::write_all(&mut plain, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.end();
}
