//! Text of a model is text and nothing else, in every form in which the server delivers it.

use hearken_tests::model::{SyntheticModel, Vocabulary};
use hearken_tests::serve::{Server, Socket, form};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::{PCM, SPEECH};

/// Acts on a terminal, turns text around, or hides it.
fn acts(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// All strings of a message are clean and of one line; how many characters of text they have.
fn clean(value: &Value, context: &str) -> usize {
    match value {
        Value::String(text) => {
            assert!(!text.contains(|c| acts(c) || c == '\n'), "{context}: {text:?}");
            text.len()
        }
        Value::Array(all) => all.iter().map(|value| clean(value, context)).sum(),
        Value::Object(all) => all.values().map(|value| clean(value, context)).sum(),
        _ => 0,
    }
}

/// Checks all messages until the server closes.
fn rest_is_clean(socket: &mut Socket, context: &str) {
    let said: usize = socket.rest().0.iter().map(|message| clean(message, context)).sum();
    assert!(said > 200, "{context}: too little to show anything: {said}");
}

#[test]
fn only_clean_text_leaves_the_server_whatever_the_vocabulary_holds() {
    let folder = tempfile::tempdir().unwrap();
    let vocabularies = [
        ("escapes", Vocabulary::Escapes),
        ("markup", Vocabulary::Markup),
        ("broken", Vocabulary::BrokenUtf8),
    ];
    let mut models = String::new();
    for (name, vocabulary) in vocabularies {
        // Such a model never ends by itself: a short text context ends it. It is sure of what it
        // says: the guards would drop the rest.
        let model =
            SyntheticModel { vocabulary, n_text_ctx: 64, deviation: 20.0, ..SyntheticModel::smallest() };
        let file = folder.path().join(name);
        std::fs::write(&file, model.bytes()).unwrap();
        models += &format!("{name} = {file:?}\n");
    }
    let server = Server::with(&format!("default_model = \"markup\"\n[models]\n{models}"));
    let rate = SPEECH.format.sample_rate;
    let wave = wav::pcm16(&SPEECH.samples, rate, 1);
    for (name, _) in vocabularies {
        let mut own = server.socket("/v1/stream", &[]).unwrap();
        own.say(&json!({"type": "start", "encoding": "s16le", "sample_rate": rate, "model": name}));
        own.push(&PCM);
        own.say(&json!({"type": "finish"}));
        rest_is_clean(&mut own, name);
        let query =
            format!("/v1/listen?encoding=linear16&sample_rate={rate}&model={name}&interim_results=true");
        let mut deepgram = server.socket(&query, &[]).unwrap();
        deepgram.push(&PCM);
        deepgram.say(&json!({"type": "CloseStream"}));
        rest_is_clean(&mut deepgram, name);
        for wanted in ["json", "verbose_json", "text", "srt", "vtt"] {
            let context = format!("{name} as {wanted}");
            let fields = [("model", name), ("response_format", wanted)];
            let (kind, body) = form(&fields, Some(("speech.wav", &wave)));
            let answer =
                server.request("POST", "/v1/audio/transcriptions", &[("Content-Type", &kind)], &body);
            assert_eq!(answer.status, 200, "{context}: {answer:?}");
            if wanted.ends_with("json") {
                assert!(clean(&answer.json(), &context) > 20, "{context}: {answer:?}");
                continue;
            }
            assert!(answer.body.len() > 20 && !answer.body.contains(acts), "{context}: {:?}", answer.body);
            if wanted != "text" {
                assert!(!answer.body.contains("<script"), "{context}: {:?}", answer.body);
                // A cue has one line of times; what a model says makes no other.
                for cue in answer.body.split("\n\n").filter(|cue| !matches!(cue.trim(), "" | "WEBVTT")) {
                    assert_eq!(cue.matches("-->").count(), 1, "{context}: {cue:?}");
                }
            }
        }
    }
    server.end();
}
