//! `hearken load`: its report of a server is true.

use std::process::Command;
use std::sync::LazyLock;

use hearken_tests::command::{Ended, hearken, run};
use hearken_tests::serve::Server;
use hearken_tests::speech::espeak;
use hearken_tests::wav;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::two_tenants;

/// Spoken texts, and the references in the list: the last reference has a word that is not spoken.
const CLIPS: [(&str, &str); 2] = [("go left", "go left"), ("stop", "stop now")];

static SPEECH: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let mut list = String::new();
    for (number, (spoken, said)) in CLIPS.iter().enumerate() {
        let clip = espeak("en-us", 140, spoken);
        let file = format!("{number}.wav");
        std::fs::write(folder.path().join(&file), wav::pcm16(&clip.samples, clip.format.sample_rate, 1))
            .expect("a file");
        list += &format!("{file}\ten\t{said}\n");
    }
    std::fs::write(folder.path().join("refs.tsv"), list).expect("a file");
    folder
});

fn refs() -> String {
    SPEECH.path().join("refs.tsv").display().to_string()
}

fn load(server: &Server, more: &[&str]) -> Command {
    let mut command = hearken(&["load", "--refs", &refs(), "--ramp", "0", "--duration", "1"]);
    command.args(["--url", &format!("http://{}", server.address), "--key", "key-a"]).args(more);
    command
}

fn figures(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn every_protocol_is_measured() {
    let server = Server::with(&two_tenants(""));
    for protocol in ["hearken", "realtime", "deepgram", "files"] {
        // Three streams: two begin with the first recording, one with the second.
        let mut command = load(&server, &["--protocol", protocol, "--streams", "3", "--json"]);
        let ended = run(&mut command);
        let figures = figures(&ended);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{protocol}: {figures:#}");
        let recordings = figures["recordings"].as_u64().unwrap();
        assert_eq!(figures["streams"], json!({ "asked": 3, "most_at_once": 3, "complete": 3 }), "{protocol}");
        assert!(recordings >= 3, "{protocol}: {figures:#}");
        // Only "now" is lost, once for each time that "stop" was played.
        let (lost, words) =
            (figures["words"]["lost"].as_u64().unwrap(), figures["words"]["reference"].as_u64());
        assert!(0 < lost && lost < recordings, "{protocol}: {figures:#}");
        assert_eq!(words, Some(recordings * 2), "{protocol}");
        assert_eq!((&figures["refused"], &figures["dropped_s"]), (&json!({}), &json!(0.0)));
        let count = |name: &str| figures[name]["count"].as_u64();
        if protocol == "files" {
            assert_eq!((count("answer_s"), count("final_latency_true_s")), (Some(recordings), None));
            continue;
        }
        for name in ["first_partial_s", "final_latency_true_s", "final_latency_detected_s"] {
            assert_eq!(count(name), Some(recordings), "{protocol}: {name}");
        }
        // The hangover of 600 ms lies between the true end and the detected one; Deepgram's final
        // results end with their words.
        let median = |name: &str| figures[name]["median"].as_f64().unwrap();
        let (level, detected) = (median("final_latency_true_s"), median("final_latency_detected_s"));
        let hangover = if protocol == "deepgram" { f64::NEG_INFINITY } else { 0.3 };
        assert!(0.0 < detected && detected + hangover < level, "{protocol}: {figures:#}");
    }
    let metrics = server.get("/metrics", &[]).body;
    for protocol in ["hearken", "realtime", "deepgram", "openai"] {
        let line = format!("hearken_opened_total{{tenant=\"a\",protocol=\"{protocol}\"}} ");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    server.end();
}

#[test]
fn a_person_gets_a_table() {
    let server = Server::with(&two_tenants(""));
    let ended = run(&mut load(&server, &[]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for line in ["streams   ", "words lost   ", "word error rate   ", "final latency, end by level (s)   "] {
        assert!(ended.stdout.lines().any(|other| other.starts_with(line)), "{line}:\n{}", ended.stdout);
    }
    server.end();
}

#[test]
fn refusals_are_counted_by_what_the_server_calls_them() {
    let server = Server::with(&two_tenants("streams = 1"));
    for (protocol, code) in [
        ("hearken", "too_many_streams"),
        ("deepgram", "429 TOO_MANY_REQUESTS"),
        ("realtime", "429 too_many_streams"),
    ] {
        let ended = run(&mut load(&server, &["--protocol", protocol, "--streams", "3", "--json"]));
        let figures = figures(&ended);
        assert_eq!(ended.code, Some(3), "{protocol}: {figures:#}");
        assert_eq!(figures["refused"], json!({ code: 2 }), "{protocol}");
        assert_eq!(figures["streams"]["complete"], 1, "{protocol}");
    }
    server.end();
}

#[test]
fn an_impossible_measurement_is_an_error_of_one_line() {
    let server = Server::with(&two_tenants(""));
    let url = format!("http://{}", server.address);
    let wrong_key = ["load", "--refs", &refs(), "--url", &url, "--duration", "1", "--key", "nonsense"];
    run(&mut hearken(&wrong_key)).only_says(1, &["nothing was measured", "401 invalid_api_key"]);
    run(&mut load(&server, &["--model", "gpt-9"])).only_says(1, &["model_not_found"]);
    run(&mut load(&server, &["--filter", "nowhere"])).only_says(1, &["no recordings are chosen"]);
    let elsewhere =
        |url: &str| run(&mut hearken(&["load", "--refs", &refs(), "--duration", "1", "--url", url]));
    elsewhere("127.0.0.1:8080").only_says(2, &["address for HTTP", "http://HOST:PORT"]);
    elsewhere("http://127.0.0.1/v1/listen").only_says(2, &["--protocol"]);
    // Nobody is there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    elsewhere(&format!("http://{taken}")).only_says(1, &["nothing was measured"]);
    server.end();
}
