//! Live streams whose channels are transcribed apart: the speakers of a call.

use hearken_tests::serve::{Came, Server};
use hearken_tests::tenants::{KEY_A, two_tenants};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::containers::{OGG, written_by_ffmpeg};
use crate::{PHRASES, SPEECH};

/// Two speakers who say the same, one of them a second later, so that they talk at once; as samples
/// of both channels.
pub(crate) fn call() -> Vec<f32> {
    let second = SPEECH.format.sample_rate as usize;
    let [left, right] = [second, 2 * second].map(|before| {
        let mut samples = vec![0.0; before];
        samples.extend(&SPEECH.samples);
        samples.resize(SPEECH.samples.len() + 2 * second, 0.0);
        samples
    });
    left.into_iter().zip(right).flat_map(|(left, right)| [left, right]).collect()
}

#[test]
fn deepgrams_clients_get_the_channels_of_a_stream_apart() {
    let server = Server::start();
    let rate = SPEECH.format.sample_rate;
    let path = format!(
        "/v1/listen?encoding=linear16&sample_rate={rate}&channels=2&multichannel=true\
         &vad_events=true"
    );
    let mut socket = server.socket(&path, &[]).unwrap();
    // Messages end in the middle of frames.
    for piece in wav::s16le(&call()).chunks(9_999) {
        assert!(socket.push(piece));
    }
    socket.say(&json!({ "type": "Finalize" }));
    socket.say(&json!({ "type": "CloseStream" }));
    let (messages, end) = socket.rest();
    assert!(matches!(end, Came::Closed(1000, _)), "{end:?}");
    let results = |channel: usize| {
        let all = messages.iter().filter(|message| message["type"] == "Results");
        all.filter(move |message| message["channel_index"] == json!([channel, 2]))
    };
    for channel in 0..2 {
        let said: Vec<&str> = results(channel)
            .filter(|message| message["is_final"] == true)
            .filter_map(|message| message["channel"]["alternatives"][0]["transcript"].as_str())
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(said.join(" "), PHRASES.join(" "), "channel {channel}");
        let answered = results(channel).filter(|message| message["from_finalize"] == true).count();
        assert_eq!(answered, 1, "Finalize is answered on channel {channel}");
    }
    let starts = |channel: usize| {
        let started = messages
            .iter()
            .find(|message| message["type"] == "SpeechStarted" && message["channel"] == json!([channel, 2]));
        started.and_then(|message| message["timestamp"].as_f64()).expect("speech")
    };
    let between = starts(1) - starts(0);
    assert!((0.8..1.2).contains(&between), "{between} s between the speakers");
    let last = messages.last().unwrap();
    assert_eq!((&last["type"], &last["channels"]), (&json!("Metadata"), &json!(2)));
    server.end();
}

fn finals(messages: &[Value], channel: usize) -> String {
    let said: Vec<&str> = messages
        .iter()
        .filter(|message| message["type"] == "final" && message["channel"] == channel)
        .filter_map(|message| message["text"].as_str())
        .collect();
    said.join(" ")
}

/// The connection breaks in between, and both channels go on.
#[test]
fn channels_apart_survive_a_broken_connection() {
    let server = Server::start();
    let (audio, rate) = (wav::s16le(&call()), SPEECH.format.sample_rate);
    let start = json!({
        "type": "start", "encoding": "s16le", "sample_rate": rate, "channels": 2, "separate_channels": true,
    });
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&start);
    let started = socket.json();
    assert_eq!((&started["type"], &started["channel"]), (&json!("started"), &Value::Null));
    assert!(socket.push(&audio[..audio.len() / 2]));
    let mut messages = socket.until("final");
    let seq = messages.last().unwrap()["seq"].clone();
    // Without a closing handshake.
    drop(socket);
    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({ "type": "resume", "stream": started["stream"], "received": seq }));
    let resumed = socket.json();
    let from = resumed["frames"].as_u64().expect("a frame") as usize * 4;
    assert!(socket.push(&audio[from..]));
    socket.say(&json!({ "type": "finish" }));
    let (rest, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    messages.extend(rest);
    for channel in 0..2 {
        assert_eq!(finals(&messages, channel), PHRASES.join(" "), "channel {channel}");
    }
    let finished: Vec<&Value> = messages.iter().filter(|message| message["type"] == "finished").collect();
    assert_eq!(finished.len(), 1, "one end for all channels");
    assert_eq!(finished[0]["channel"], Value::Null);
    server.end();
}

#[test]
fn each_channel_takes_a_place_and_is_charged() {
    let server = Server::with(&two_tenants("streams = 2"));
    let start = |channels: u16| {
        let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
        socket.say(&json!({
            "type": "start", "encoding": "s16le", "sample_rate": 16_000, "channels": channels,
            "separate_channels": true,
        }));
        let first = socket.json();
        (socket, first)
    };
    let (_socket, refused) = start(3);
    assert_eq!(refused["code"], "too_many_streams", "{refused}");
    let (mut socket, started) = start(2);
    assert_eq!(started["type"], "started");
    // Both places are taken, and are free afterwards.
    assert_eq!(start(1).1["code"], "too_many_streams");
    assert!(socket.push(&vec![0; 16_000 * 2 * 2 * 3]));
    socket.say(&json!({ "type": "finish" }));
    assert_eq!(socket.rest().1, Came::Closed(1000, String::new()));
    assert_eq!(start(2).1["type"], "started");
    server.wait_for_metric("hearken_audio_seconds_total{tenant=\"a\"} 6.0");
    server.end();
}

/// A call in a container, with a second one behind it that has one channel.
#[test]
fn channels_of_a_container_are_taken_apart() {
    let call = written_by_ffmpeg(&call(), 2, OGG);
    let server = Server::start();
    let mut socket = server.socket("/v1/listen?multichannel=true", &[]).unwrap();
    for piece in call.chunks(1_500) {
        assert!(socket.push(piece));
    }
    socket.say(&json!({ "type": "CloseStream" }));
    let (messages, end) = socket.rest();
    assert!(matches!(end, Came::Closed(1000, _)), "{end:?}");
    for channel in 0..2 {
        let said: Vec<&str> = messages
            .iter()
            .filter(|message| message["channel_index"] == json!([channel, 2]) && message["is_final"] == true)
            .filter_map(|message| message["channel"]["alternatives"][0]["transcript"].as_str())
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(said.join(" "), PHRASES.join(" "), "channel {channel}");
    }
    let last = messages.last().unwrap();
    assert_eq!((&last["type"], &last["channels"]), (&json!("Metadata"), &json!(2)));

    let mut socket = server.socket("/v1/stream", &[]).unwrap();
    socket.say(&json!({ "type": "start", "encoding": "container", "separate_channels": true }));
    assert_eq!(socket.json()["type"], "started");
    assert!(socket.push(&call));
    // What follows has one channel: it is heard on both.
    assert!(socket.push(&written_by_ffmpeg(&SPEECH.samples, 1, OGG)));
    socket.say(&json!({ "type": "finish" }));
    let (messages, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    for channel in 0..2 {
        assert_eq!(finals(&messages, channel), [PHRASES, PHRASES].concat().join(" "), "channel {channel}");
    }
    server.end();
}

#[test]
fn channels_of_a_container_take_a_place_each() {
    let server = Server::with(&two_tenants("streams = 2"));
    let start = || {
        let mut socket = server.socket("/v1/stream", &[KEY_A]).unwrap();
        socket.say(&json!({ "type": "start", "encoding": "container", "separate_channels": true }));
        assert_eq!(socket.json()["type"], "started");
        socket
    };
    let call = written_by_ffmpeg(&call(), 2, OGG);
    let (mut one, mut other) = (start(), start());
    // Nobody knew that it has two channels.
    assert!(one.push(&call));
    let (messages, end) = one.rest();
    assert_eq!(messages.last().unwrap()["code"], "too_many_streams", "{messages:?}");
    assert!(matches!(end, Came::Closed(1008, _)), "{end:?}");
    assert!(other.push(&call));
    other.say(&json!({ "type": "finish" }));
    assert_eq!(other.rest().1, Came::Closed(1000, String::new()));
    server.end();
}
