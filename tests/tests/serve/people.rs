//! People who speak English, by official tiny.en, in every protocol: the clients in Python, and
//! calls as telephone providers send them. Other tests have the protocols' details, with the
//! embedded model.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use hearken_tests::serve::{Came, Socket};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::KEY_A;
use crate::broadcast::{CALL, frame, mu_law, texts, watch};
use crate::packages::Case;
use crate::protocols::base64;
use crate::vosk;

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value}"))
}

fn joined<'a>(texts: impl IntoIterator<Item = &'a Value>) -> String {
    texts.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn clients_in_python_hear_people() {
    let Some(case) = Case::with(false, "") else { return };
    let address = &case.server.address.to_string();
    thread::scope(|scope| {
        scope.spawn(|| {
            let heard = case.python("openai_files", address);
            for text in [&heard["text"], &heard["json"]["text"], &heard["verbose_json"]["text"]] {
                case.heard(text.as_str().expect("text"));
            }
            let heard = case.python("openai_realtime", address);
            case.heard(&joined(list(&heard["transcripts"]).iter().map(|pair| &pair[0])));
            let first = |end: &str| {
                let kinds = list(&heard["kinds"]).iter();
                kinds.filter_map(Value::as_str).position(|kind| kind.ends_with(end)).expect(end)
            };
            assert!(first("transcription.delta") < first("transcription.completed"), "{heard}");
        });
        scope.spawn(|| {
            let heard = case.python("deepgram_file", address);
            let transcript = &heard["results"]["channels"][0]["alternatives"][0]["transcript"];
            case.heard(transcript.as_str().expect("text"));
            let heard = case.python("deepgram_live", address);
            let of =
                |is_final: bool| list(&heard).iter().filter(move |message| message["is_final"] == is_final);
            case.heard(&joined(of(true).map(|result| &result["channel"]["alternatives"][0]["transcript"])));
            assert!(of(false).next().is_some(), "text while somebody speaks");
            let heard = case.python("deepgram_flux", address);
            let of =
                |event: &'static str| list(&heard).iter().filter(move |message| message["event"] == event);
            case.heard(&joined(of("EndOfTurn").map(|turn| &turn["transcript"])));
            assert!(of("Update").next().is_some(), "text while somebody speaks");
        });
    });
    for (client, protocol) in
        [("openai_realtime", "realtime"), ("deepgram_live", "deepgram"), ("deepgram_flux", "deepgram")]
    {
        case.killed(client, protocol);
    }
    case.end();
}

#[test]
fn clients_of_vosk_and_wyoming_hear_people() {
    let Some(case) = Case::with(false, "[wyoming]\nlisten = \"127.0.0.1:0\"\ntenant = \"a\"\n") else {
        return;
    };
    let heard = case.python("wyoming_speech", &case.server.also("Wyoming").address.to_string());
    for recording in list(&heard) {
        case.heard(recording["text"].as_str().expect("text"));
    }
    assert!(heard[0]["before_stop"].as_u64() > Some(1), "text while somebody speaks: {heard}");
    // The key is in the address, which is all that such a client has.
    let heard = case.python("vosk_live", &format!("{}/?key=key-a", case.server.address));
    let (said, partials) = vosk::said(list(&heard["answers"]));
    case.heard(&said.join(" "));
    assert!(partials > 1, "text while somebody speaks: {heard}");
    // Without a goodbye.
    let mut socket = case.server.socket("/?key=key-a", &[]).expect("a key");
    assert!(socket.push(&wav::s16le(&case.samples[..16_000])));
    case.server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"vosk\"} 1");
    drop(socket);
    case.server.wait_for_metric("hearken_open{tenant=\"a\",protocol=\"vosk\"} 0");
    let Err((401, _)) = case.server.socket("/?key=wrong", &[]) else { panic!("a wrong key") };
    case.end();
}

/// Sends audio as fast as it is spoken, in pieces of 20 ms.
fn spoken(audio: &[u8], piece: usize, mut send: impl FnMut(&[u8])) {
    for audio in audio.chunks(piece) {
        send(audio);
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that watchers of a call have had its words, and text while somebody spoke.
#[track_caller]
fn watched(case: &Case, mut watcher: Socket) {
    let seen = watcher.until("off_air");
    case.heard(&texts(&seen));
    let first = |kind: &str| seen.iter().position(|message| message["type"] == kind).expect(kind);
    assert!(first("partial") < first("final"), "text while somebody speaks");
}

#[test]
fn calls_of_telephones_hear_people() {
    let Some(case) = Case::with(false, "[audiosocket]\nlisten = \"127.0.0.1:0\"\ntenant = \"a\"\n") else {
        return;
    };
    let server = &case.server;
    let audio = wav::s16le(&case.samples);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (watcher, _) = watch(server, CALL.1, &[KEY_A]);
            let mut call = server.also("AudioSocket").connect();
            call.write_all(&frame(0x01, &CALL.0)).expect("it listens");
            // 16 kHz.
            spoken(&audio, 640, |piece| call.write_all(&frame(0x12, piece)).expect("it listens"));
            call.write_all(&frame(0x00, &[])).expect("it listens");
            call.read_to_end(&mut Vec::new()).expect("it hangs up");
            watched(&case, watcher);
        });
        scope.spawn(|| {
            let (watcher, _) = watch(server, "CA1", &[KEY_A]);
            let mut twilio = server.socket("/v1/twilio", &[]).expect("a call");
            twilio.say(&json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }));
            twilio.say(&json!({
                "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
                "start": {
                    "accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"],
                    "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                    "customParameters": { "key": "key-a" },
                },
            }));
            // The prompts were recorded at 8 kHz: each second sample has all of them.
            let samples = case.samples.iter().step_by(2);
            let samples: Vec<u8> = samples.map(|sample| mu_law((sample * 32_767.0) as i32)).collect();
            spoken(&samples, 160, |piece| {
                twilio.say(&json!({
                    "event": "media", "sequenceNumber": "3", "streamSid": "MZ1",
                    "media": { "track": "inbound", "chunk": "1", "timestamp": "5", "payload": base64(piece) },
                }));
            });
            twilio.say(&json!({ "event": "stop", "streamSid": "MZ1", "stop": { "callSid": "CA1" } }));
            assert!(matches!(twilio.rest().1, Came::Closed(1000, _)));
            watched(&case, watcher);
        });
        scope.spawn(|| {
            let (watcher, _) = watch(server, "vapi-1", &[KEY_A]);
            let mut vapi =
                server.socket("/v1/vapi?name=vapi-1", &[("X-Vapi-Secret", "key-a")]).expect("a call");
            vapi.say(&json!({
                "type": "start", "encoding": "linear16", "container": "raw", "sampleRate": 16_000, "channels": 1,
            }));
            spoken(&audio, 640, |piece| assert!(vapi.push(piece)));
            // Vapi ends a conversation without a word.
            vapi.cut();
            watched(&case, watcher);
        });
        scope.spawn(|| {
            let mut jambonz = server.socket("/v1/jambonz", &[KEY_A]).expect("a call");
            jambonz.say(&json!({
                "type": "start", "language": "en-US", "format": "raw", "encoding": "LINEAR16",
                "interimResults": true, "sampleRateHz": 16_000, "options": { "callSid": "c-1" },
            }));
            spoken(&audio, 640, |piece| assert!(jambonz.push(piece)));
            jambonz.say(&json!({ "type": "stop" }));
            let (messages, end) = jambonz.rest();
            assert_eq!(end, Came::Closed(1000, String::new()), "{messages:?}");
            let of = |is_final: bool| messages.iter().filter(move |message| message["is_final"] == is_final);
            case.heard(&joined(of(true).map(|message| &message["alternatives"][0]["transcript"])));
            assert!(of(false).next().is_some(), "text while somebody speaks");
        });
    });
    for protocol in ["audiosocket", "twilio", "vapi", "jambonz"] {
        server.wait_for_metric(&format!("hearken_open{{tenant=\"a\",protocol=\"{protocol}\"}} 0"));
    }
    case.end();
}
