//! Streams over a restart: a server that was killed or ended is followed by one that goes on.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use hearken_server::KeyHash;
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::serve::{Came, PATIENCE, Server, Socket};
use hearken_tests::wav;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{KEY_A, KEY_B, PCM, PHRASES, SPEECH, two_tenants};

/// A folder that does not exist yet.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("streams");
    (folder, state)
}

fn server(state: &Path, configuration: &str) -> Server {
    Server::with_arguments(configuration, &["--state", state.to_str().expect("a path in UTF-8")])
}

fn logs(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.file_name().is_some_and(|name| name != "lock")).collect()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A client as it should be: it knows what it has received, and which audio it may discard.
struct Client {
    name: String,
    messages: Vec<Value>,
    /// Frames that need not be sent again.
    frames: u64,
    /// Bytes that were sent.
    sent: usize,
    audio: Vec<u8>,
    /// Bytes of a fifth of a second.
    block: usize,
    /// Time that a block takes.
    pace: Duration,
}

impl Client {
    /// A client with the usual speech, which it sends five times as fast as it is spoken.
    fn start(server: &Server, headers: &[(&'static str, &str)]) -> (Self, Socket) {
        let start = json!({"type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate});
        Self::with(server, headers, &start, &PCM, Duration::from_millis(40))
    }

    /// A client with audio of 16 bits, and the time in which it sends a fifth of a second.
    fn with(
        server: &Server,
        headers: &[(&'static str, &str)],
        start: &Value,
        audio: &[u8],
        pace: Duration,
    ) -> (Self, Socket) {
        let mut socket = server.socket("/v1/stream", headers).unwrap();
        socket.say(start);
        let started = socket.json();
        assert_eq!(started["type"], "started", "{started}");
        let name = started["stream"].as_str().unwrap().to_owned();
        let channels = start["channels"].as_u64().unwrap_or(1);
        let block = (start["sample_rate"].as_u64().unwrap() / 5 * 2 * channels) as usize;
        let (messages, audio) = (vec![started], audio.to_vec());
        (Self { name, messages, frames: 0, sent: 0, audio, block, pace }, socket)
    }

    fn take(&mut self, messages: Vec<Value>) {
        for message in messages {
            self.frames = self.frames.max(message["frames"].as_u64().unwrap());
            self.messages.push(message);
        }
    }

    fn received(&self) -> u64 {
        self.messages.last().unwrap()["seq"].as_u64().unwrap()
    }

    /// Sends the speech block by block until a message is one that is waited for.
    fn send_until(&mut self, socket: &mut Socket, wanted: impl Fn(&Value) -> bool) {
        socket.0.get_ref().set_read_timeout(Some(self.pace)).unwrap();
        let start = Instant::now();
        loop {
            if self.sent < self.audio.len() {
                let end = (self.sent + self.block).min(self.audio.len());
                assert!(socket.push(&self.audio[self.sent..end]));
                self.sent = end;
            }
            // As long as nothing comes for a moment.
            while let Some(message) = next(socket) {
                let found = wanted(&message);
                self.take(vec![message]);
                if found {
                    socket.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
                    return;
                }
            }
            assert!(start.elapsed() < PATIENCE, "{:?}", self.messages);
        }
    }

    fn resume(&self, server: &Server, headers: &[(&'static str, &str)]) -> (Value, Socket) {
        let mut socket = server.socket("/v1/stream", headers).unwrap();
        socket.say(&json!({"type": "resume", "stream": self.name, "received": self.received()}));
        (socket.json(), socket)
    }

    /// Comes back to another server, and sends the rest of its audio, whose frames are `bytes`
    /// long.
    fn come_back(&mut self, server: &Server, headers: &[(&'static str, &str)], bytes: usize) {
        let (resumed, mut socket) = self.resume(server, headers);
        assert_eq!(
            (&resumed["type"], &resumed["after"]),
            (&json!("resumed"), &json!(self.received())),
            "{resumed}"
        );
        let from = resumed["frames"].as_u64().unwrap();
        assert!(from >= self.frames, "audio that the client may have discarded: {from} < {}", self.frames);
        assert!(from as usize * bytes <= self.sent, "{from}");
        assert!(socket.push(&self.audio[from as usize * bytes..]));
        socket.say(&json!({"type": "finish"}));
        let (rest, end) = socket.rest();
        assert_eq!(end, Came::Closed(1000, String::new()), "{rest:?}");
        self.take(rest);
    }

    /// Asserts that nothing was lost, said twice or changed.
    fn check(&self) {
        self.check_texts(&PHRASES);
    }

    fn check_texts(&self, texts: &[&str]) {
        let numbers: Vec<u64> =
            self.messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>(), "nothing twice, nothing missing");
        assert_eq!(finals(&self.messages), texts, "{:?}", self.messages);
        let starts = self.messages.iter().filter(|message| message["type"] == "speech_started");
        assert_eq!(starts.count(), texts.len(), "{:?}", self.messages);
        for last in self.messages.iter().filter(|message| message["type"] == "final") {
            let of = |m: &&Value| m["type"] == "partial" && m["utterance"] == last["utterance"];
            let committed: Vec<&Value> = self
                .messages
                .iter()
                .filter(of)
                .flat_map(|message| message["committed"].as_array().unwrap())
                .collect();
            let words: Vec<&Value> = last["words"].as_array().unwrap().iter().collect();
            assert!(words.starts_with(&committed), "{committed:?} in {last}");
        }
        let last = self.messages.last().unwrap();
        assert_eq!((&last["type"], &last["frames"]), (&json!("finished"), &json!(self.audio.len() / 2)));
    }
}

fn next(socket: &mut Socket) -> Option<Value> {
    match socket.0.read() {
        Ok(tungstenite::Message::Text(text)) => Some(serde_json::from_str(&text).expect("JSON")),
        Ok(other) => panic!("{other:?}"),
        Err(tungstenite::Error::Io(error)) => {
            let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            assert!(waits.contains(&error.kind()), "{error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn finals(messages: &[Value]) -> Vec<&str> {
    let finals = messages.iter().filter(|message| message["type"] == "final");
    finals.map(|message| message["text"].as_str().unwrap()).collect()
}

fn has_committed(message: &Value) -> bool {
    message["committed"].as_array().is_some_and(|words| !words.is_empty())
}

fn is(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == kind
}

#[test]
fn a_stream_goes_on_after_its_server_was_killed() {
    let moments: [&dyn Fn(&Value) -> bool; 5] = [
        &is("speech_started"),
        &has_committed,
        &is("speech_ended"),
        &is("final"),
        // In the second utterance.
        &|message| message["type"] == "speech_started" && message["at"].as_f64().unwrap() > 2.0,
    ];
    for moment in moments {
        let (_temporary, state) = folder();
        let first = server(&state, "");
        let (mut client, mut socket) = Client::start(&first, &[]);
        client.send_until(&mut socket, moment);
        drop(first);
        let second = server(&state, "");
        client.come_back(&second, &[], 2);
        client.check();
        second.end();
        assert!(logs(&state).is_empty(), "a stream that is over leaves nothing");
    }
}

/// People, an official model, and telephone's rate: the text is that of a server that was not
/// killed.
#[test]
fn real_speech_is_recognized_as_if_nothing_had_happened() {
    let Some(model) = official("tiny.en") else { return };
    let configuration = format!("[models]\nen = {:?}", model.display().to_string());
    let spoken = &prompts::joined(&prompts::sentences("en", 6), 10.0)[0].recording;
    let start = json!({"type": "start", "encoding": "s16le", "sample_rate": spoken.format.sample_rate});
    let (audio, real_time) = (wav::s16le(&spoken.samples), Duration::from_millis(200));
    let undisturbed = {
        let (_temporary, state) = folder();
        let server = server(&state, &configuration);
        let (mut client, mut socket) = Client::with(&server, &[], &start, &audio, real_time);
        assert!(socket.push(&audio));
        socket.say(&json!({"type": "finish"}));
        let (rest, _) = socket.rest();
        client.take(rest);
        client.messages
    };
    let texts = finals(&undisturbed);
    assert!(texts.iter().map(|text| text.split(' ').count()).sum::<usize>() > 15, "{texts:?}");
    for committed in [3, 9, 15] {
        let (_temporary, state) = folder();
        let first = server(&state, &configuration);
        let (mut client, mut socket) = Client::with(&first, &[], &start, &audio, real_time);
        let count = Cell::new(0);
        client.send_until(&mut socket, |message| {
            count.set(count.get() + message["committed"].as_array().map_or(0, Vec::len));
            count.get() >= committed
        });
        drop(first);
        let second = server(&state, &configuration);
        client.come_back(&second, &[], 2);
        client.check_texts(&texts);
        second.end();
    }
}

#[test]
fn a_server_that_is_ended_sends_its_clients_to_the_next_one() {
    let (_temporary, state) = folder();
    let mut first = server(&state, "");
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, has_committed);
    first.signal(Signal::TERM);
    let (rest, end) = socket.rest();
    assert_eq!(end, Came::Closed(1012, "resume".to_owned()), "service restart");
    client.take(rest);
    assert!(!client.messages.iter().any(is("final")), "the utterance was not ended in mid-word");
    first.wait();
    let second = server(&state, "");
    client.come_back(&second, &[], 2);
    client.check();
    second.end();
}

/// A client that waits for its last texts is not sent away.
#[test]
fn a_stream_that_is_finished_gets_its_last_texts_before_the_server_ends() {
    let (_temporary, state) = folder();
    let mut first = server(&state, "");
    let (mut client, mut socket) = Client::start(&first, &[]);
    socket.push(&PCM);
    socket.say(&json!({"type": "finish"}));
    // All of it was taken in: the end, too.
    while client.frames < PCM.len() as u64 / 2 {
        client.take(vec![socket.json()]);
    }
    first.signal(Signal::TERM);
    let (rest, end) = socket.rest();
    assert!(matches!(end, Came::Closed(1000 | 1001, _)), "{end:?}");
    client.take(rest);
    client.check();
    first.wait();
    assert!(logs(&state).is_empty());
}

#[test]
fn a_stream_that_waits_for_its_client_waits_in_the_next_process() {
    for signal in [Signal::KILL, Signal::TERM] {
        let (_temporary, state) = folder();
        let mut first = server(&state, "");
        let (mut client, mut socket) = Client::start(&first, &[]);
        client.send_until(&mut socket, has_committed);
        socket.cut();
        first.wait_for_metric("hearken_parked 1");
        first.signal(signal);
        if signal == Signal::TERM {
            first.wait();
        }
        drop(first);
        let second = server(&state, "");
        second.wait_for_log("streams of the server before can be resumed");
        client.come_back(&second, &[], 2);
        client.check();
        second.end();
    }
}

/// Also the part of the audio that the client may discard because it came back once.
#[test]
fn a_restart_after_a_broken_connection_costs_nothing() {
    let (_temporary, state) = folder();
    let first = server(&state, "");
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, is("final"));
    socket.cut();
    let (resumed, mut socket) = client.resume(&first, &[]);
    assert_eq!(resumed["type"], "resumed");
    client.frames = resumed["frames"].as_u64().unwrap();
    client.sent = client.frames as usize * 2;
    let others = client.messages.len();
    client.send_until(&mut socket, move |message| message["seq"].as_u64().unwrap() as usize > others);
    drop(first);
    let second = server(&state, "");
    client.come_back(&second, &[], 2);
    client.check();
    second.end();
}

#[test]
fn channels_that_are_transcribed_apart_go_on_too() {
    let (_temporary, state) = folder();
    let first = server(&state, "");
    // The second speaker is two seconds behind the first.
    let silence = vec![0; SPEECH.format.sample_rate as usize * 4];
    let (one, other) = ([&PCM[..], &silence].concat(), [&silence, &PCM[..]].concat());
    let audio: Vec<u8> =
        one.chunks(2).zip(other.chunks(2)).flat_map(|(one, other)| [one, other].concat()).collect();
    let start = json!({
        "type": "start", "encoding": "s16le", "sample_rate": SPEECH.format.sample_rate,
        "channels": 2, "separate_channels": true,
    });
    let (mut client, mut socket) = Client::with(&first, &[], &start, &audio, Duration::from_millis(20));
    client.send_until(&mut socket, is("final"));
    drop(first);
    let second = server(&state, "");
    client.come_back(&second, &[], 4);
    for channel in 0..2 {
        let own: Vec<Value> =
            client.messages.iter().filter(|message| message["channel"] == channel).cloned().collect();
        assert_eq!(finals(&own), PHRASES, "channel {channel}: {own:?}");
    }
    second.end();
}

#[test]
fn a_kept_stream_is_its_tenants_and_needs_a_key_that_is_valid() {
    let (_temporary, state) = folder();
    let both = two_tenants("");
    let first = server(&state, &both);
    let (mut client, mut socket) = Client::start(&first, &[KEY_A]);
    client.send_until(&mut socket, has_committed);
    let (mut other, mut other_socket) = Client::start(&first, &[KEY_B]);
    other.send_until(&mut other_socket, is("speech_started"));
    drop(first);
    assert_eq!(logs(&state).len(), 2);
    // The key of the second tenant is not valid any more.
    let hash = |key| KeyHash::of(key).to_string();
    let second = server(&state, &both.replace(&hash("key-b"), &hash("another")));
    assert_eq!(logs(&state).len(), 1, "what nobody may resume is swept");
    let another = ("Authorization", "Bearer another");
    for (client, key) in [(&client, another), (&other, another), (&other, KEY_A)] {
        let (answer, _) = client.resume(&second, &[key]);
        assert_eq!(answer["code"], "invalid_request", "{answer}");
    }
    client.come_back(&second, &[KEY_A], 2);
    client.check();
    second.end();
}

/// A client that came back with a new key goes on by that one.
#[test]
fn a_kept_stream_goes_on_with_the_key_of_its_latest_connection() {
    let (_temporary, state) = folder();
    let tenant = |keys: &[&str]| {
        let hashes: Vec<_> = keys.iter().map(|key| format!("\"{}\"", KeyHash::of(key))).collect();
        format!("[models]\ndigits = \"embedded\"\n[tenants.a]\nkeys = [{}]\n", hashes.join(", "))
    };
    let (old, new) = (("Authorization", "Bearer old"), ("Authorization", "Bearer new"));
    let first = server(&state, &tenant(&["old", "new"]));
    let (mut client, socket) = Client::start(&first, &[old]);
    socket.cut();
    let (resumed, _socket) = client.resume(&first, &[new]);
    assert_eq!(resumed["type"], "resumed");
    drop(first);
    let second = server(&state, &tenant(&["new"]));
    client.come_back(&second, &[new], 2);
    client.check();
    second.end();
}

#[test]
fn kept_streams_are_swept_when_their_time_is_over() {
    let (_temporary, state) = folder();
    let first = server(&state, "resume_seconds = 1");
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, has_committed);
    drop(first);
    let second = server(&state, "resume_seconds = 1");
    wait_until("it was not swept", || logs(&state).is_empty());
    let (answer, _) = client.resume(&second, &[]);
    assert_eq!(answer["code"], "invalid_request", "{answer}");
    // A server that comes too late sweeps before it serves.
    let (client, _socket) = Client::start(&second, &[]);
    drop(second);
    assert_eq!(logs(&state).len(), 1);
    let lock = File::options().write(true).open(state.join("lock")).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
    let third = server(&state, "resume_seconds = 99");
    assert!(logs(&state).is_empty());
    let (answer, _) = client.resume(&third, &[]);
    assert_eq!(answer["code"], "invalid_request", "{answer}");
    third.end();
}

#[test]
fn damaged_files_cost_their_stream_and_nothing_else() {
    let (_temporary, state) = folder();
    let first = server(&state, "");
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, is("final"));
    drop(first);
    let path = logs(&state).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut cut = [whole.len() - 1, whole.len() / 2, 300, 100, 12, 8, 7, 1, 0]
        .map(|len| whole[..len].to_vec())
        .to_vec();
    let mut other_version = whole.clone();
    other_version[7] = b'9';
    let mut claimed = whole[..8].to_vec();
    claimed.extend([0xff; 64]);
    cut.extend([other_version, claimed, b"#!/bin/sh".to_vec()]);
    for damaged in &cut {
        fs::write(&path, damaged).unwrap();
        let next = server(&state, "");
        let (answer, _) = client.resume(&next, &[]);
        // It may have the messages that the client has: then it goes on.
        let known = answer["type"] == "resumed" || answer["code"] == "invalid_request";
        assert!(known, "{answer}");
        let log = next.log();
        assert!(!log.contains("panicked"), "{log}");
        if damaged.len() < 100 || damaged[7] == b'9' {
            assert_eq!(answer["code"], "invalid_request");
            assert!(log.contains("a stream of the server before is lost"), "{log}");
            assert!(logs(&state).is_empty(), "{log}");
        }
        // Others are served.
        let (mut healthy, mut socket) = Client::start(&next, &[]);
        healthy.send_until(&mut socket, is("speech_started"));
        drop(next);
        logs(&state).iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    fs::write(&path, &whole).unwrap();
    let last = server(&state, "");
    client.come_back(&last, &[], 2);
    client.check();
    last.end();
}

#[test]
fn the_folder_and_its_files_are_their_owners_alone() {
    let (temporary, state) = folder();
    let first = server(&state, "");
    let (client, _socket) = Client::start(&first, &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("lock")), 0o600);
    let path = logs(&state).pop().unwrap();
    assert_eq!(mode(&path), 0o600);
    // With its name a stream could be resumed.
    let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(content.contains("resume_seconds") && !content.contains(&client.name), "{content}");
    assert!(!path.to_str().unwrap().contains(&client.name));
    // Another server does not touch them, nor is a folder used that others can read.
    let second = |state: &Path| {
        let state = state.to_str().unwrap();
        command::run(&mut command::hearken(&["serve", "--listen", "127.0.0.1:0", "--state", state]))
    };
    second(&state).says(1, &["streams", "another server"]);
    let shared = temporary.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o750)).unwrap();
    second(&shared).says(1, &["shared", "chmod 700"]);
    first.end();
}

/// The disk is full after a second of speech.
#[test]
fn a_stream_goes_on_where_the_disk_is_full() {
    let (_temporary, state) = folder();
    fs::create_dir(&state).unwrap();
    let mut first = Server::on_small_disk(&state, 64, "free_mib = 0");
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, is("final"));
    first.wait_for_metric("hearken_state_failures_total 1");
    assert!(first.log().contains("will not survive this process"), "{}", first.log());
    // Another one is kept, since the first one's file is gone.
    let (mut other, other_socket) = Client::start(&first, &[]);
    first.wait_for_metric("hearken_state_failures_total 1");
    assert!(socket.push(&PCM[client.sent..]));
    socket.say(&json!({"type": "finish"}));
    let (rest, end) = socket.rest();
    assert_eq!(end, Came::Closed(1000, String::new()));
    client.take(rest);
    client.check();
    first.signal(Signal::TERM);
    let mut other_socket = other_socket;
    let (rest, end) = other_socket.rest();
    other.take(rest);
    assert_eq!(end, Came::Closed(1012, "resume".to_owned()));
    first.wait();
}

/// Text and audio that were recognized do not stay.
#[test]
fn a_kept_stream_is_bounded() {
    let (_temporary, state) = folder();
    let first = server(&state, "");
    let (mut client, mut socket) = Client::start(&first, &[]);
    let mut largest = 0;
    for _ in 0..4 {
        assert!(socket.push(&PCM));
        for _ in PHRASES {
            client.take(socket.until("final"));
            largest = largest.max(fs::metadata(logs(&state).pop().unwrap()).unwrap().len());
        }
    }
    let all = 4 * hearken::audio::resampled(SPEECH.samples.len() as u64, SPEECH.format.sample_rate) * 4;
    assert!(largest > 0 && largest < all / 2, "{largest} of {all}");
    drop(first);
}

#[test]
fn a_hardened_server_keeps_streams() {
    let (_temporary, state) = folder();
    let hardened = || Server::with_arguments("", &["--hardened", "--state", state.to_str().unwrap()]);
    let first = hardened();
    let (mut client, mut socket) = Client::start(&first, &[]);
    client.send_until(&mut socket, has_committed);
    drop(first);
    let second = hardened();
    client.come_back(&second, &[], 2);
    client.check();
    second.end();
}
