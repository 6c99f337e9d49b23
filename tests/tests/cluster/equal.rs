//! A cluster's words are one process's.

use hearken_tests::cluster::Nats;
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts::sentences;
use hearken_tests::serve::{Came, Server, form};
use hearken_tests::speech::{Recording, join};
use hearken_tests::tenants::{PCM, PHRASES, SPEECH};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::{assert_committed_stays, finals, started};

/// The final messages of some audio, each decoded once: when decodes for partial texts happen
/// depends on the machine, and the words that they commit with it.
fn heard(server: &Server, speech: &Recording) -> Vec<Value> {
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": speech.format.sample_rate, "step_ms": 10_000}));
    for audio in wav::s16le(&speech.samples).chunks(8_820) {
        assert!(socket.push(audio));
    }
    socket.say(&json!({"type": "finish"}));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()), "{messages:?}");
    messages
        .into_iter()
        .filter(|message| matches!(message["type"].as_str(), Some("final" | "dropped" | "unrecognized")))
        .map(|mut message| {
            // The numbers count the messages of other kinds as well.
            message.as_object_mut().unwrap().retain(|key, _| key != "seq" && key != "frames");
            message
        })
        .collect()
}

fn transcribed(server: &Server, speech: &Recording) -> Value {
    let file = wav::pcm16(&speech.samples, speech.format.sample_rate, 1);
    let (kind, body) =
        form(&[("model", "whisper-1"), ("response_format", "verbose_json")], Some(("speech.wav", &file)));
    let answer = server.request("POST", "/v1/audio/transcriptions", &[("Content-Type", &kind)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn streams_and_recordings_have_the_words_of_one_process() {
    let nats = Nats::start();
    let workers = [nats.worker(), nats.worker()];
    let (gateway, alone) = (nats.gateway(""), Server::start());
    let (there, here) = (heard(&gateway, &SPEECH), heard(&alone, &SPEECH));
    assert_eq!(finals(&there), PHRASES);
    assert_eq!(there, here);
    // Of many chunks, which all workers decode at the same time.
    let long = join(&vec![SPEECH.clone(); 8], 500);
    assert_eq!(transcribed(&gateway, &long), transcribed(&alone, &long));
    let taken: Vec<usize> = workers.iter().map(|worker| worker.taken()).collect();
    assert!(taken.iter().all(|count| *count > 2), "{taken:?}");
    gateway.end();
}

#[test]
fn two_gateways_share_the_workers() {
    let nats = Nats::start();
    let _workers = [nats.worker(), nats.worker()];
    let gateways = [nats.gateway(""), nats.gateway("")];
    std::thread::scope(|scope| {
        for gateway in gateways.iter().cycle().take(6) {
            scope.spawn(|| assert_eq!(finals(&heard(gateway, &SPEECH)), PHRASES));
        }
    });
    for gateway in gateways {
        gateway.wait_for_metric("hearken_workers 2");
        gateway.end();
    }
}

#[test]
fn partial_texts_are_committed_once_with_a_worker_in_between() {
    let nats = Nats::start();
    let _worker = nats.worker();
    let gateway = nats.gateway("");
    let mut socket = started(&gateway, 300);
    for audio in PCM.chunks(8_820) {
        assert!(socket.push(audio));
    }
    socket.say(&json!({"type": "finish"}));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    assert_eq!(finals(&messages), PHRASES);
    assert_committed_stays(&messages);
    assert!(messages.iter().any(|message| message["type"] == "partial"), "{messages:?}");
    let metrics = gateway.get("/metrics", &[]).body;
    assert!(metrics.lines().any(|line| line == "hearken_workers 1"), "{metrics}");
}

#[test]
fn an_official_model_hears_real_speech_as_it_does_in_one_process() {
    let Some(model) = official("tiny.en") else { return };
    let people: Vec<Recording> = sentences("en", 6).into_iter().map(|sentence| sentence.recording).collect();
    let speech = join(&people, 1000);
    let model = model.display().to_string();
    let nats = Nats::start();
    let _workers = [nats.worker_with(&["--model", &model]), nats.worker_with(&["--model", &model])];
    let gateway = nats.gateway("");
    let alone = Server::with_arguments("", &["--model", &model]);
    let (there, here) = (heard(&gateway, &speech), heard(&alone, &speech));
    assert!(!finals(&there).is_empty());
    assert_eq!(there, here);
    assert_eq!(transcribed(&gateway, &speech), transcribed(&alone, &speech));
}

#[test]
fn the_state_of_the_cluster_is_shown() {
    let nats = Nats::start();
    let _worker = nats.worker_with(&["--room", "7"]);
    let _gateway = nats.gateway("");
    let shown = command::run(&mut command::hearken(&["cluster", "status", "--nats", &nats.url]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let mut lines = shown.stdout.lines().skip(1);
    let worker = lines.next().unwrap();
    assert!(worker.contains(" 0 of 7 ") && worker.ends_with(" hearken"), "{shown:?}");
    assert!(lines.next().unwrap().starts_with("1 gateways, 0 streams"), "{shown:?}");
    assert_eq!(lines.next(), Some("0 utterances wait for a worker with room"));
}
