//! Foreign protocols: misbehaving clients, and the details that the protocols' own clients do not
//! show.

use std::io::Write;
use std::time::{Duration, Instant};

use hearken_tests::serve::{Answer, Came, Server, Socket};
use hearken_tests::speech::with_pauses;
use hearken_tests::wav;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::{PCM, PHRASES, SPEECH};

fn listen(server: &Server, more: &str) -> Socket {
    let rate = SPEECH.format.sample_rate;
    server.socket(&format!("/v1/listen?encoding=linear16&sample_rate={rate}{more}"), &[]).unwrap()
}

pub(crate) fn realtime(server: &Server) -> Socket {
    let mut socket = server.socket("/v1/realtime?intent=transcription", &[]).unwrap();
    assert_eq!(socket.json()["type"], "session.created");
    socket
}

/// The session's settings, in the present form.
pub(crate) fn settings(input: Value) -> Value {
    json!({ "type": "session.update", "event_id": "mine", "session": { "type": "transcription", "audio": { "input": input } } })
}

/// Sends audio as a client does.
pub(crate) fn append(socket: &mut Socket, audio: &[u8]) {
    for audio in audio.chunks(30_000) {
        socket.say(&json!({ "type": "input_audio_buffer.append", "audio": base64(audio) }));
    }
}

/// Base64, as a client writes it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit > three.len() { '=' } else { DIGITS[at].into() });
        }
    }
    text
}

/// Captions are placed by `start` and `duration`: those of the words, not of the silence around
/// them.
#[test]
fn deepgrams_final_results_lie_where_their_words_do() {
    let server = Server::start();
    let mut socket = listen(&server, "&interim_results=true");
    socket.push(&PCM);
    socket.say(&json!({"type": "CloseStream"}));
    let (messages, _) = socket.rest();
    let number = |value: &Value| value.as_f64().unwrap();
    let mut finals = 0;
    for result in messages.iter().filter(|message| message["is_final"] == true) {
        let words = result["channel"]["alternatives"][0]["words"].as_array().unwrap();
        let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
        let (start, duration) = (number(&result["start"]), number(&result["duration"]));
        assert!((start - number(&first["start"])).abs() < 1e-3, "{result}");
        assert!((start + duration - number(&last["end"])).abs() < 1e-3, "{result}");
        finals += 1;
    }
    assert!(finals >= PHRASES.len(), "{messages:?}");
    server.end();
}

#[test]
fn deepgram_writes_words_in_the_place_of_others() {
    let server = Server::start();
    let replaced = |text: &str| text.replace("seven three", "73").replace("left ", "");
    let expected = replaced(&PHRASES.join(" "));
    let rate = SPEECH.format.sample_rate;
    let query = "&model=nova-2-phonecall&replace=Seven%20Three:73&replace=left";
    let path = format!("/v1/listen?encoding=linear16&sample_rate={rate}{query}");
    let answer = server.request("POST", &path, &[], &PCM).json();
    let alternative = &answer["results"]["channels"][0]["alternatives"][0];
    assert_eq!(alternative["transcript"], expected);
    let first = &alternative["words"][0];
    assert!(first["word"] == "73" && first["end"].as_f64() > first["start"].as_f64(), "{first}");
    let mut socket = listen(&server, query);
    socket.push(&PCM);
    socket.say(&json!({ "type": "CloseStream" }));
    let (messages, _) = socket.rest();
    let finals = messages.iter().filter(|message| message["is_final"] == true);
    let said: Vec<&str> = finals
        .map(|message| message["channel"]["alternatives"][0]["transcript"].as_str().unwrap())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(said.join(" "), expected);
    server.end();
}

#[test]
fn deepgram_refuses_what_it_would_have_to_ignore() {
    let server = Server::start();
    for (query, word) in [
        ("model=gpt-9", "gpt-9"),
        ("encoding=speex&sample_rate=16000", "speex"),
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear16&sample_rate=7", "7 Hz"),
        ("encoding=linear16&sample_rate=16000&channels=9", "9 channels"),
        ("encoding=linear16&sample_rate=16000&diarize=true", "diarize"),
        ("encoding=linear16&sample_rate=16000&language=klingon", "klingon"),
    ] {
        let Err((status, body)) = server.socket(&format!("/v1/listen?{query}"), &[]) else {
            panic!("{query}")
        };
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 400, "{query}");
        assert!(body["err_msg"].as_str().unwrap().contains(word), "{query}: {body}");
        assert!(body["err_code"].is_string() && body["request_id"].is_string(), "{body}");
    }
    server.end();
}

#[test]
fn deepgram_ends_streams_in_its_own_words() {
    let server = Server::start();
    // Text where audio belongs.
    let mut socket = listen(&server, "");
    socket.0.send(Message::text("nonsense")).unwrap();
    let error = socket.json();
    assert_eq!((&error["type"], &error["variant"]), (&json!("Error"), &json!("SchemaError")), "{error}");
    let Came::Closed(1008, reason) = socket.come() else { panic!() };
    assert!(reason.starts_with("DATA-0000"), "{reason}");
    // Ten seconds without a word; another stream is kept alive meanwhile.
    let (mut silent, mut alive) = (listen(&server, ""), listen(&server, ""));
    let start = Instant::now();
    let keeping = std::thread::spawn(move || {
        for _ in 0..4 {
            alive.say(&json!({ "type": "KeepAlive" }));
            std::thread::sleep(Duration::from_secs(4));
        }
        alive.say(&json!({ "type": "CloseStream" }));
        alive.rest()
    });
    let (messages, end) = silent.rest();
    assert!((9..40).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(messages.last().unwrap()["code"], "NET-0001");
    assert!(matches!(&end, Came::Closed(1011, reason) if reason.starts_with("NET-0001")), "{end:?}");
    let (messages, end) = keeping.join().unwrap();
    assert_eq!(
        (messages.last().unwrap()["type"].as_str(), end),
        (Some("Metadata"), Came::Closed(1000, String::new()))
    );
    server.end();
}

#[test]
fn deepgrams_finalize_is_answered_and_the_stream_goes_on() {
    let server = Server::start();
    let mut socket = listen(&server, "&punctuate=true");
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    socket.push(&PCM[..until]);
    socket.say(&json!({ "type": "Finalize" }));
    let first = loop {
        let result = socket.json();
        if result["from_finalize"] == true {
            break result;
        }
    };
    assert_eq!(first["channel"]["alternatives"][0]["transcript"], PHRASES[0]);
    // Nothing is left: it is answered all the same.
    socket.say(&json!({ "type": "Finalize" }));
    let empty = socket.json();
    assert_eq!(
        (&empty["from_finalize"], &empty["channel"]["alternatives"][0]["transcript"]),
        (&json!(true), &json!(""))
    );
    socket.push(&PCM[until..]);
    // As streams were closed before there was CloseStream.
    socket.push(&[]);
    let (messages, _) = socket.rest();
    let finals = messages.iter().filter(|message| message["speech_final"] == true);
    let finals: Vec<&Value> =
        finals.map(|message| &message["channel"]["alternatives"][0]["transcript"]).collect();
    assert_eq!(
        finals,
        PHRASES[1..].iter().map(|phrase| json!(phrase)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    server.end();
}

#[test]
fn deepgrams_short_endpointing_ends_speech_early_and_keeps_the_context() {
    let server = Server::start();
    let mut socket = listen(&server, "&endpointing=150");
    let speech = with_pauses(&PHRASES[..2], 300);
    let before = with_pauses(&PHRASES[..1], 300).samples.len() - speech.format.sample_rate as usize;
    let (before, behind) = speech.samples.split_at(before);
    socket.push(&wav::s16le(before));
    // Half of the silence that would end the utterance has come.
    let mut messages = Vec::new();
    while messages.last().is_none_or(|message: &Value| message["speech_final"] != true) {
        messages.push(socket.json());
    }
    socket.push(&wav::s16le(behind));
    socket.say(&json!({ "type": "CloseStream" }));
    messages.extend(socket.rest().0);
    let finals: Vec<&Value> = messages.iter().filter(|message| message["is_final"] == true).collect();
    let told = |message: &&Value| message["channel"]["alternatives"][0]["transcript"].clone();
    assert_eq!(finals.iter().map(told).collect::<Vec<_>>(), PHRASES[..2], "{finals:#?}");
    assert!(finals.iter().all(|message| message["speech_final"] == true), "{finals:#?}");
    // Where the speech is, and in order.
    let ends = finals
        .iter()
        .map(|message| message["start"].as_f64().unwrap() + message["duration"].as_f64().unwrap());
    assert!(ends.is_sorted_by(|one, next| one + 1.0 < *next), "{finals:#?}");
    server.end();
}

#[test]
fn deepgram_takes_recordings_without_a_header() {
    let server = Server::start();
    let rate = SPEECH.format.sample_rate;
    let answer =
        server.request("POST", &format!("/v1/listen?encoding=linear16&sample_rate={rate}"), &[], &PCM);
    assert_eq!(answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"], PHRASES.join(" "));
    server.end();
}

#[test]
fn realtime_errors_are_reported_and_the_session_goes_on() {
    let server = Server::start();
    let mut socket = realtime(&server);
    let mut wrong = |message: Message, word: &str| {
        let told = message.to_string();
        socket.0.send(message).unwrap();
        let error = socket.json();
        assert_eq!(error["type"], "error", "{told}: {error}");
        assert!(error["error"]["message"].as_str().unwrap().contains(word), "{told}: {error}");
        error
    };
    wrong(Message::text("nonsense"), "nonsense");
    wrong(Message::text(r#"{"type":"response.create"}"#), "response.create");
    wrong(Message::text(r#"{"type":"session.update"}"#), "session");
    wrong(Message::binary(vec![0; 10]), "base64");
    wrong(Message::text(r#"{"type":"input_audio_buffer.append","audio":"not base64!"}"#), "base64");
    let model = settings(json!({ "transcription": { "model": "gpt-9" } }));
    let error = wrong(Message::text(model.to_string()), "gpt-9");
    assert_eq!(
        (&error["error"]["event_id"], &error["error"]["code"]),
        (&json!("mine"), &json!("model_not_found"))
    );
    wrong(
        Message::text(settings(json!({ "transcription": { "language": "klingon" } })).to_string()),
        "klingon",
    );
    wrong(Message::text(settings(json!({ "format": { "type": "audio/mp3" } })).to_string()), "audio/pcm");
    socket.say(&settings(json!({
        "format": { "type": "audio/pcm", "rate": SPEECH.format.sample_rate }, "turn_detection": null,
    })));
    assert_eq!(socket.json()["type"], "session.updated");
    // The client says where a turn ends; there is nothing to commit before there is audio.
    socket.say(&json!({ "type": "input_audio_buffer.commit" }));
    assert_eq!(socket.json()["type"], "error");
    append(&mut socket, &PCM[..50_000]);
    socket.say(&json!({ "type": "input_audio_buffer.clear" }));
    assert_eq!(socket.json()["type"], "input_audio_buffer.cleared");
    let until = hearken_tests::speech::espeak("en-us", 140, PHRASES[0]).samples.len() * 2;
    append(&mut socket, &PCM[..until]);
    socket.say(&json!({ "type": "input_audio_buffer.commit" }));
    let heard = socket.until("conversation.item.input_audio_transcription.completed");
    assert_eq!(heard.last().unwrap()["transcript"], PHRASES[0], "what was cleared was not heard: {heard:?}");
    assert_eq!(heard[0]["type"], "input_audio_buffer.committed");
    drop(socket);
    let Err((400, body)) = server.socket("/v1/realtime?intent=conversation", &[]) else { panic!() };
    assert!(body.contains("intent"), "{body}");
    server.end();
}

#[test]
fn slow_senders_are_cut_off_and_delay_no_other_client() {
    let server = Server::start();
    // In the headers.
    let slow = |text: String, from: usize| {
        let mut connection = server.connect();
        let reader = connection.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = std::io::Read::read_to_end(&mut { reader }, &mut answer);
            (Instant::now(), String::from_utf8_lossy(&answer).into_owned())
        });
        std::thread::spawn(move || {
            connection.write_all(&text.as_bytes()[..from]).unwrap();
            for byte in text.as_bytes()[from..].chunks(1).cycle() {
                if connection.write_all(byte).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        reading
    };
    let start = Instant::now();
    let head = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nX: ", server.address);
    let in_head = slow(format!("{head}{}", "x".repeat(1000)), head.len());
    let head = format!(
        "POST /v1/listen HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n",
        server.address
    );
    let in_body = slow(format!("{head}{}", "x".repeat(1000)), head.len());
    // Or says nothing at all.
    let silent = server.connect();
    let silent = std::thread::spawn(move || {
        let _ = std::io::Read::read_to_end(&mut { silent }, &mut Vec::new());
        Instant::now()
    });
    // Others are served meanwhile.
    let wave = wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    let answer: Answer = server.request("POST", "/v1/listen", &[], &wave);
    assert_eq!(answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"], PHRASES.join(" "));
    let ended = silent.join().unwrap();
    assert!((ended - start).as_secs() < 60, "nothing: {:?}", ended - start);
    let (ended, _) = in_head.join().unwrap();
    assert!((ended - start).as_secs() < 60, "headers: {:?}", ended - start);
    let (ended, answer) = in_body.join().unwrap();
    assert!(
        (ended - start).as_secs() < 90 && answer.contains("SLOW_UPLOAD"),
        "{:?}: {answer}",
        ended - start
    );
    server.end();
}

#[test]
fn clients_that_never_read_delay_no_other_client() {
    let server = Server::start();
    let mut deaf: Vec<Socket> =
        (0..10).map(|_| listen(&server, "&interim_results=true&vad_events=true")).collect();
    for socket in &mut deaf {
        for audio in PCM.chunks(64 << 10) {
            assert!(socket.push(audio));
        }
    }
    let mut socket = listen(&server, "");
    socket.push(&PCM);
    socket.say(&json!({ "type": "CloseStream" }));
    let (messages, _) = socket.rest();
    let finals = messages.iter().filter(|message| message["speech_final"] == true).count();
    assert_eq!(finals, PHRASES.len());
    // It ends within its time although they neither read nor leave.
    let start = Instant::now();
    server.end();
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
}
