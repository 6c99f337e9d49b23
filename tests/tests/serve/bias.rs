//! Words to expect: those that a request names, and those of its tenant.

use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::serve::{Server, form};
use hearken_tests::tenants::two_tenants;
use hearken_tests::wav;
use serde_json::json;

use crate::{KEY_A, KEY_B};

/// Said: "I have a caller waiting, who introduces themselves as". tiny.en hears a color.
const PROMPT: &str = "priv-callpending";

struct Case {
    server: Server,
    wave: Vec<u8>,
    pcm: Vec<u8>,
    rate: u32,
}

impl Case {
    /// A server whose first tenant expects callers, if the model is here.
    fn start() -> Option<Self> {
        let model = official("tiny.en")?;
        let tenants = two_tenants("bias = [\"caller\"]");
        let configuration =
            tenants.replace("digits = \"embedded\"", &format!("en = {:?}", model.display().to_string()));
        let recording = &prompts::named("en", &[PROMPT])[0].recording;
        let rate = recording.format.sample_rate;
        Some(Self {
            server: Server::with(&configuration),
            wave: wav::pcm16(&recording.samples, rate, 1),
            pcm: wav::s16le(&recording.samples),
            rate,
        })
    }

    fn openai(&self, key: (&str, &str), fields: &[(&str, &str)]) -> String {
        let (kind, body) = form(fields, Some(("speech.wav", &self.wave)));
        let headers = [("Content-Type", kind.as_str()), key];
        let answer = self.server.request("POST", "/v1/audio/transcriptions", &headers, &body);
        answer.json()["text"].as_str().expect("a text").to_owned()
    }

    fn deepgram(&self, query: &str) -> String {
        let path = format!("/v1/listen?punctuate=true&{query}");
        let answer = self.server.request("POST", &path, &[KEY_B], &self.wave);
        let text = &answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"];
        text.as_str().expect("a text").to_owned()
    }

    fn stream(&self, key: (&'static str, &str), keywords: &[&str]) -> String {
        let mut socket = self.server.socket("/v1/stream", &[key]).unwrap();
        socket.say(&json!({
            "type": "start", "encoding": "s16le", "sample_rate": self.rate, "keywords": keywords,
        }));
        socket.push(&self.pcm);
        socket.say(&json!({ "type": "finish" }));
        socket.until("final").last().expect("a text")["text"].as_str().expect("a text").to_owned()
    }
}

#[test]
fn a_tenant_has_words_to_expect_of_its_own() {
    let Some(case) = Case::start() else { return };
    assert!(case.openai(KEY_A, &[]).contains("a caller waiting"));
    assert!(case.openai(KEY_B, &[]).contains("a color waiting"), "nothing is expected for the other one");
    assert!(case.stream(KEY_A, &[]).contains("a caller waiting"));
    assert!(case.stream(KEY_B, &[]).contains("a color waiting"));
    case.server.end();
}

#[test]
fn every_protocol_takes_words_to_expect() {
    let Some(case) = Case::start() else { return };
    for text in [
        case.openai(KEY_B, &[("keywords[]", "caller"), ("keywords[]", "Digium")]),
        case.deepgram("keyterm=caller"),
        case.deepgram("keywords=caller:1"),
        case.stream(KEY_B, &["caller"]),
    ] {
        assert!(text.contains("a caller waiting"), "{text:?}");
    }
    assert!(case.deepgram("keywords=caller:-1").contains("a color waiting"));
    case.server.end();
}
