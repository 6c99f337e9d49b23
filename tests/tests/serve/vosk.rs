//! Vosk's WebSocket, for its clients as they are: a file sent as vosk-server's test.py sends it, a
//! conference as Jigasi sends it, and what Nextcloud Talk and FreeSWITCH say besides.

use hearken_tests::serve::{Came, Server, Socket};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::clients::client;
use crate::{PCM, PHRASES, SPEECH, two_tenants};

fn parsed(answer: &Value) -> Value {
    let text = answer.as_str().unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The texts of results that are not empty, and how many partial texts had words.
pub(crate) fn said<'a>(answers: impl IntoIterator<Item = &'a Value>) -> (Vec<String>, usize) {
    let (mut texts, mut partials) = (Vec::new(), 0);
    for answer in answers {
        let answer = parsed(answer);
        match (&answer["partial"], &answer["text"]) {
            (Value::String(partial), Value::Null) => partials += usize::from(!partial.is_empty()),
            (Value::Null, Value::String(text)) if text.is_empty() => {}
            (Value::Null, Value::String(text)) => texts.push(text.clone()),
            _ => panic!("{answer}"),
        }
    }
    (texts, partials)
}

#[test]
fn vosks_test_client_has_an_answer_to_each_chunk_and_the_rest_at_the_end() {
    let server = Server::start();
    let heard = client(&server, server.address, "vosk_file");
    let answers = heard["answers"].as_array().unwrap();
    let chunks = (SPEECH.samples.len()).div_ceil(SPEECH.format.sample_rate as usize / 5);
    assert_eq!(answers.len(), chunks);
    let (texts, _) = said(answers.iter().chain([&heard["last"]]));
    assert_eq!(texts, PHRASES, "each utterance is a result of its own");
    assert_eq!(heard["code"], 1000);
    // To the byte, for clients that do not parse JSON.
    let first = answers[0].as_str().unwrap();
    assert_eq!(first, "{\n  \"partial\" : \"\"\n}");
    let result =
        answers.iter().chain([&heard["last"]]).find(|answer| parsed(answer)["text"] == PHRASES[1]).unwrap();
    let result = result.as_str().unwrap();
    assert!(result.starts_with("{\n  \"result\" : [{\n      \"conf\" : 0."), "{result}");
    assert!(result.ends_with("\n    }],\n  \"text\" : \"go left\"\n}"), "{result}");
    let words = parsed(&json!(result))["result"].as_array().unwrap().clone();
    assert_eq!(words.iter().map(|word| word["word"].as_str().unwrap()).collect::<Vec<_>>(), ["go", "left"]);
    assert!(words[0]["start"].as_f64() < words[1]["start"].as_f64() && words[1]["end"].as_f64() < Some(8.0));
    server.end();
}

#[test]
fn a_conference_has_partial_texts_while_somebody_speaks() {
    let server = Server::start();
    let heard = client(&server, server.address, "vosk_live");
    let answers = heard["answers"].as_array().unwrap();
    assert_eq!(answers.len() as u64, heard["sent"].as_u64().unwrap() + 1);
    let (texts, partials) = said(answers);
    assert_eq!(texts, PHRASES);
    assert!(partials > 3, "{partials}: {answers:?}");
    server.end();
}

/// Answers until one is a result, which is returned.
fn result(socket: &mut Socket) -> Value {
    loop {
        let answer = socket.json();
        if answer.get("text").is_some() {
            return answer;
        }
    }
}

#[test]
fn settings_are_taken_before_audio_and_in_the_middle() {
    let server = Server::start();
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    let mut socket = server.socket("/", &[]).unwrap();
    // What FreeSWITCH sends first.
    socket.say(&json!({ "uuid": "a call" }));
    // Nextcloud waits for this answer, and switches the language while it listens.
    socket
        .say(&json!({ "config": { "sample_rate": f64::from(SPEECH.format.sample_rate), "language": "en" } }));
    assert_eq!(socket.json(), json!({ "success": true }));
    socket.push(&PCM[..until]);
    socket.0.send(Message::text("{\"reset\" : 1}")).unwrap();
    assert_eq!(result(&mut socket)["text"], PHRASES[0], "reset tells what there is");
    socket.say(&json!({ "config": { "language": "de" } }));
    assert_eq!(socket.json(), json!({ "success": false }), "the model knows English alone");
    socket.say(
        &json!({ "config": { "language": "en-GB", "words": false, "phrase_list": ["go left", "[unk]"] } }),
    );
    assert_eq!(socket.json(), json!({ "success": true }));
    socket.push(&PCM[until..]);
    socket.0.send(Message::text("{\"eof\" : 1}")).unwrap();
    let (rest, end) = socket.rest();
    let texts = rest.iter().filter_map(|answer| answer["text"].as_str()).collect::<Vec<_>>().join(" ");
    assert_eq!(texts, PHRASES[1..].join(" "));
    assert!(rest.iter().all(|answer| answer.get("result").is_none()), "without words: {rest:?}");
    assert_eq!(end, Came::Closed(1000, String::new()));
    // Times go on across the change.
    let mut socket = server.socket("/", &[]).unwrap();
    let rate = SPEECH.format.sample_rate;
    socket.say(&json!({ "config": { "sample_rate": rate } }));
    socket.push(&PCM[..until]);
    socket.say(&json!({ "config": { "phrase_list": ["left"] } }));
    socket.push(&PCM[until..]);
    socket.say(&json!({ "eof": 1 }));
    let (rest, _) = socket.rest();
    let words: Vec<&Value> = rest.iter().filter_map(|answer| answer["result"].as_array()).flatten().collect();
    assert_eq!(
        words.iter().map(|word| word["word"].as_str().unwrap()).collect::<Vec<_>>().join(" "),
        PHRASES.join(" ")
    );
    assert!(words.is_sorted_by_key(|word| word["start"].as_f64().unwrap()), "{words:?}");
    server.end();
}

#[test]
fn a_stream_without_audio_or_with_a_wrong_setting_ends_properly() {
    let server = Server::start();
    let mut socket = server.socket("/", &[]).unwrap();
    socket.say(&json!({ "eof": 1 }));
    assert_eq!(socket.rest(), (vec![json!({ "text": "" })], Came::Closed(1000, String::new())));
    let mut socket = server.socket("/", &[]).unwrap();
    socket.say(&json!({ "config": { "sample_rate": "fast" } }));
    assert!(matches!(socket.come(), Came::Closed(1008, reason) if reason.contains("sample_rate")));
    // The page is still there.
    let page = server.get("/", &[]);
    assert!(page.status == 200 && page.head.contains("text/html"), "{}", page.head);
    server.end();
}

#[test]
fn a_key_comes_with_the_address_and_a_port_may_be_vosks_alone() {
    let server = Server::with(&format!("vosk = \"127.0.0.1:0\"\n{}", two_tenants("")));
    assert!(matches!(server.socket("/", &[]), Err((401, _))));
    assert!(matches!(server.socket("/?key=wrong", &[]), Err((401, _))));
    assert!(server.socket("/?key=key-a", &[]).is_ok());
    let vosk = server.also("Vosk");
    for path in ["/", "/any/path"] {
        let mut socket =
            vosk.socket(&format!("{path}?key=key-b&sample_rate={}", SPEECH.format.sample_rate)).unwrap();
        socket.push(&PCM);
        socket.say(&json!({ "eof": 1 }));
        let (answers, _) = socket.rest();
        let texts: Vec<&str> = answers
            .iter()
            .filter_map(|answer| answer["text"].as_str())
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(texts.join(" "), PHRASES.join(" "), "{path}");
    }
    server.wait_for_metric("hearken_opened_total{tenant=\"b\",protocol=\"vosk\"} 2");
    server.end();
}
