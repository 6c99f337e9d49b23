//! Names and values as the clients of today write them, and errors as they read them.

use hearken_tests::serve::{Answer, Server, form};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::protocols::{append, realtime, settings};
use crate::{PCM, PHRASES, SPEECH};

/// The answer to a form with these fields and the speech.
fn post(server: &Server, fields: &[(&str, &str)]) -> Answer {
    let wave = wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    let (kind, body) = form(fields, Some(("speech.wav", &wave)));
    server.request("POST", "/v1/audio/transcriptions", &[("Content-Type", &kind)], &body)
}

#[test]
fn names_that_clients_send_unasked_mean_the_default_model() {
    let server = Server::with(
        "default_model = \"a\"\n[models]\na = \"embedded\"\nb = \"embedded\"\n[aliases]\nwhisper-1 = \"b\"\n",
    );
    let meant = |name: &str| server.get(&format!("/v1/models/{name}"), &[]);
    for name in [
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-realtime-whisper",
        "whisper-large-v3-turbo",
        "nova-2-conversationalai",
        "enhanced-meeting",
        "phonecall",
    ] {
        assert_eq!(meant(name).json()["id"], "a", "{name}");
    }
    assert_eq!(meant("whisper-1").json()["id"], "b", "unless it is an alias");
    assert_eq!(meant("b").json()["id"], "b");
    for name in ["gpt-9", "gpt-4o-transcribe-diarize", "flux-general-en"] {
        let answer = meant(name);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (404, &json!("model_not_found")),
            "{name}"
        );
    }
    // In each interface.
    assert_eq!(post(&server, &[("model", "gpt-transcribe")]).status, 200);
    let listen = "/v1/listen?encoding=linear16&sample_rate=16000&model=nova-3-general";
    assert!(server.socket(listen, &[]).is_ok());
    assert!(server.socket("/v1/realtime?intent=transcription&model=gpt-live-transcribe", &[]).is_ok());
    server.end();
}

#[test]
fn forms_are_read_as_every_client_writes_them() {
    let server = Server::start();
    for fields in [
        &[("language", "auto")][..],
        &[("language", "EN")],
        &[("language", "English")],
        &[("language", "en-US")],
        &[("language", ""), ("model", ""), ("prompt", ""), ("response_format", ""), ("stream", "")],
        &[("temperature", ""), ("timestamp_granularities[]", "")],
        &[("languages[]", "en"), ("languages[]", "en-GB")],
        &[("keywords[0]", "seven"), ("keywords[1]", "left")],
        &[("include[]", "nothing"), ("chunking_strategy", "auto"), ("stream", "False")],
        &[("response_format", "verbose_json"), ("timestamp_granularities[0]", "word")],
    ] {
        let answer = post(&server, fields);
        assert_eq!(answer.status, 200, "{fields:?}: {answer:?}");
        // A prompt may cost a small model words.
        let is_prompted = fields[0].0.starts_with("keywords");
        assert!(is_prompted || answer.json()["text"] == PHRASES.join(" "), "{fields:?}: {answer:?}");
    }
    for (fields, word) in [
        (&[("language", "Klingon")][..], "klingon"),
        (&[("language", "zh-TW")], "English"),
        (&[("languages[]", "en"), ("languages[]", "de")], "English"),
        (&[("stream", "perhaps")], "perhaps"),
        (&[("temperature", "warm")], "warm"),
        (&[("response_format", "docx")], "docx"),
        (&[("keywords[]", &"x".repeat(5000))], "keywords"),
    ] {
        let answer = post(&server, fields);
        assert_eq!(answer.status, 400, "{fields:?}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(word), "{fields:?}: {answer:?}");
    }
    // The recording under another name.
    let (kind, body) = form(&[], Some(("speech.wav", &PCM)));
    let body = String::from_utf8_lossy(&body).replace("name=\"file\"", "name=\"audio\"");
    let answer =
        server.request("POST", "/v1/audio/transcriptions", &[("Content-Type", &kind)], body.as_bytes());
    let error = &answer.json()["error"];
    assert!(answer.status == 400 && error["message"].as_str().unwrap().contains("the part audio"), "{error}");
    server.end();
}

/// Asserts that pieces are the text, and that their probabilities are some.
#[track_caller]
fn are_the_text(pieces: &Value, text: &str) {
    let pieces = pieces.as_array().unwrap_or_else(|| panic!("{pieces}"));
    assert_eq!(pieces.iter().map(|piece| piece["token"].as_str().unwrap()).collect::<String>(), text);
    for piece in pieces {
        assert!((-100.0..=0.0).contains(&piece["logprob"].as_f64().unwrap()), "{piece}");
        let bytes: Vec<Value> = piece["token"].as_str().unwrap().bytes().map(Value::from).collect();
        assert_eq!(piece["bytes"], json!(bytes));
    }
    let sure = pieces.iter().filter(|piece| piece["logprob"].as_f64().unwrap() > -0.7).count();
    assert!(sure > pieces.len() / 2 && pieces.iter().any(|piece| piece["logprob"] != 0.0), "{pieces:?}");
}

#[test]
fn answers_have_the_language_and_probabilities_where_they_are_asked_for() {
    let server = Server::start();
    let all = PHRASES.join(" ");
    let plain = post(&server, &[]).json();
    assert_eq!(plain["languages"], json!([{ "code": "en" }]));
    assert!(plain.get("logprobs").is_none(), "{plain}");
    let answer = post(&server, &[("include[]", "logprobs")]).json();
    are_the_text(&answer["logprobs"], &all);
    let stream = post(&server, &[("include[]", "logprobs"), ("stream", "TRUE")]).body;
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|event| serde_json::from_str(event).unwrap()).collect();
    let (done, deltas) = events.split_last().unwrap();
    assert_eq!((&done["type"], &done["languages"]), (&json!("transcript.text.done"), &plain["languages"]));
    are_the_text(&done["logprobs"], &all);
    let pieces: Vec<Value> =
        deltas.iter().flat_map(|delta| delta["logprobs"].as_array().unwrap().clone()).collect();
    assert_eq!(Value::from(pieces), done["logprobs"]);
    server.end();
}

#[test]
fn realtime_sessions_take_what_newer_clients_send() {
    let server = Server::start();
    let mut socket = realtime(&server);
    let mut update = settings(json!({
        "format": { "type": "audio/pcm", "rate": f64::from(SPEECH.format.sample_rate) },
        "transcription": { "model": "gpt-live-transcribe", "language": "en-US", "keywords": ["seven"], "delay": "low" },
        "turn_detection": { "type": "semantic_vad", "eagerness": "high" },
    }));
    update["session"]["include"] = json!(["item.input_audio_transcription.logprobs"]);
    socket.say(&update);
    let updated = socket.json();
    assert_eq!(updated["type"], "session.updated", "{updated}");
    assert_eq!(
        updated["session"]["audio"]["input"]["turn_detection"],
        json!({ "type": "semantic_vad", "eagerness": "high" })
    );
    append(&mut socket, &PCM);
    let heard = socket.until("conversation.item.input_audio_transcription.completed");
    let completed = heard.last().unwrap();
    assert_eq!(
        (&completed["transcript"], &completed["languages"]),
        (&json!(PHRASES[0]), &json!([{ "code": "en" }]))
    );
    are_the_text(&completed["logprobs"], PHRASES[0]);
    // Base64 as others write it.
    let odd = "A-_\n_AA";
    socket.say(&json!({ "type": "input_audio_buffer.append", "audio": odd }));
    socket.say(&json!({ "type": "response.create" }));
    let next = socket.until("error");
    assert!(
        next.last().unwrap()["error"]["message"].as_str().unwrap().contains("response.create"),
        "{next:?}"
    );
    server.end();
}

#[test]
fn every_error_is_json_in_the_form_of_its_interface() {
    let server = Server::start();
    let openai = |answer: &Answer| answer.json()["error"]["code"].as_str().map(str::to_owned);
    let answer = server.get("/v1/audio/transcriptions", &[]);
    assert_eq!((answer.status, openai(&answer).as_deref()), (405, Some("method_not_allowed")));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "GET is not taken at /v1/audio/transcriptions; use POST");
    assert!(answer.head.to_ascii_lowercase().contains("allow: post"), "{}", answer.head);
    let answer = server.request("DELETE", "/v1/listen", &[], b"");
    assert_eq!((answer.status, &answer.json()["err_code"]), (405, &json!("METHOD_NOT_ALLOWED")));
    assert!(answer.json()["request_id"].is_string());
    // A compressed body, which nobody here unpacks.
    let gzip = ("Content-Encoding", "gzip");
    for path in ["/v1/audio/transcriptions", "/v1/listen"] {
        let answer = server.request("POST", path, &[gzip], b"\x1f\x8b\x08\x00");
        assert_eq!(answer.status, 415, "{path}");
        assert!(answer.json().to_string().contains("gzip"), "{path}: {answer:?}");
    }
    // Addresses of WebSockets, without one.
    for path in
        ["/v1/realtime?intent=transcription", "/v1/listen?encoding=linear16&sample_rate=16000", "/v1/stream"]
    {
        let answer = server.get(path, &[]);
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        assert!(answer.json().is_object(), "{path}");
    }
    assert_eq!(server.get("/v1/models/%ff", &[]).json()["error"]["type"], "invalid_request_error");
    server.end();
}
