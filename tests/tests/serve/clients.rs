//! Clients that were written against OpenAI and Deepgram work unchanged: their own packages from
//! PyPI are driven here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearken_tests::serve::{Server, form};
use hearken_tests::wav;
use serde_json::{Value, json};

use crate::{PHRASES, SPEECH, two_tenants};

/// The Python that has the packages: `.ci/setup clients` makes it.
pub(crate) fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/bin/python");
    assert!(python.is_file(), "{} is missing: `.ci/setup clients` makes it", python.display());
    python
}

/// The client of that name, ready to run; the key may be another argument of its own.
pub(crate) fn command(server: &Server, address: SocketAddr, case: &str, key: &str) -> Command {
    let recording = server.folder().join("speech.wav");
    std::fs::write(&recording, wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/clients.py");
    let mut command = Command::new(python());
    command.arg(script).args([case, &address.to_string(), key]).arg(recording);
    // Whatever proxies this machine's user has, the server is here.
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs the client of that name; returns its result.
pub(crate) fn client(server: &Server, address: SocketAddr, case: &str) -> Value {
    let output = command(server, address, case, "key-a").output().expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", server.log());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// Services of the frameworks for voice agents: the package that has each, and its row.
const SERVICES: [(&str, &str); 7] = [
    ("livekit-plugins-openai", "LiveKit Agents, OpenAI STT"),
    ("livekit-plugins-deepgram", "LiveKit Agents, Deepgram STT"),
    ("livekit-plugins-deepgram", "LiveKit Agents, Deepgram STTv2 (Flux)"),
    ("pipecat-ai", "Pipecat, OpenAI STT"),
    ("pipecat-ai", "Pipecat, OpenAI Realtime STT"),
    ("pipecat-ai", "Pipecat, Deepgram STT"),
    ("pipecat-ai", "Pipecat, Deepgram Flux STT"),
];

/// docs/clients.md names each package that is driven here, in the version that is, and no others as
/// tested.
#[test]
fn the_table_of_clients_states_the_versions_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let pinned = |path: &str| {
        let list = read(path);
        let lines = list.lines().filter_map(|line| line.split_once("=="));
        let package = |package: &str| package.split('[').next().unwrap().to_owned();
        lines.map(|(name, version)| (package(name), version.to_owned())).collect::<Vec<_>>()
    };
    let mut clients: Vec<String> = pinned("tests/tests/serve/requirements.txt")
        .into_iter()
        .map(|(package, version)| format!("{package} (Python), {version}"))
        .collect();
    let node: Value = serde_json::from_str(&read("tests/tests/serve/node/package.json")).unwrap();
    // The others are what these two stand on.
    for package in ["openai", "@deepgram/sdk"] {
        clients.push(format!("{package} (Node), {}", text(&node["dependencies"][package])));
    }
    let agents = pinned("tests/tests/serve/requirements-agents.txt");
    for (package, service) in SERVICES {
        let (_, version) = agents.iter().find(|(name, _)| name == package).expect("a pinned package");
        clients.push(format!("{service}, {version}"));
    }
    let table = read("docs/clients.md");
    for client in &clients {
        let row = format!("| {client} · tested |");
        assert!(table.contains(&row), "docs/clients.md has no row that begins with {row:?}");
    }
    let has_version = |cell: &str| cell.rsplit_once(", ").is_some_and(|(_, version)| version.contains('.'));
    let stated = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" · tested |"));
    for (cell, _) in stated.filter(|(cell, _)| has_version(cell)) {
        assert!(clients.iter().any(|client| client == cell), "{cell} is tested nowhere");
    }
}

#[test]
fn openais_client_transcribes_files_in_every_form() {
    let server = Server::with(&two_tenants(""));
    let answers = client(&server, server.address, "openai_files");
    let all = PHRASES.join(" ");
    assert_eq!(answers["json"]["text"], all);
    assert_eq!(text(&answers["text"]), format!("{all}\n"));
    let (srt, vtt) = (text(&answers["srt"]), text(&answers["vtt"]));
    assert!(srt.starts_with("1\n00:00:0") && srt.contains(",") && srt.contains(PHRASES[0]), "{srt}");
    assert!(vtt.starts_with("WEBVTT\n\n00:00:0") && vtt.contains(PHRASES[2]), "{vtt}");
    let verbose = &answers["verbose_json"];
    assert_eq!((&verbose["text"], &verbose["language"]), (&json!(all), &json!("english")));
    let seconds = SPEECH.samples.len() as f64 / f64::from(SPEECH.format.sample_rate);
    assert!((verbose["duration"].as_f64().unwrap() - seconds).abs() < 0.01, "{verbose}");
    let segments = verbose["segments"].as_array().unwrap();
    assert_eq!(segments.iter().map(|segment| text(&segment["text"])).collect::<Vec<_>>().join(" "), all);
    for segment in segments {
        let (start, end) = (segment["start"].as_f64().unwrap(), segment["end"].as_f64().unwrap());
        assert!(0.0 <= start && start < end && end <= seconds + 0.01, "{segment}");
        assert!(
            segment["avg_logprob"].as_f64().unwrap() <= 0.0
                && !segment["tokens"].as_array().unwrap().is_empty()
        );
    }
    assert!(verbose["words"].is_null());
    let words = answers["words"]["words"].as_array().unwrap();
    assert_eq!(words.iter().map(|word| text(&word["word"])).collect::<Vec<_>>().join(" "), all);
    assert!(words.is_sorted_by_key(|word| word["start"].as_f64().unwrap()), "{words:?}");
    for word in words {
        assert!(word["start"].as_f64().unwrap() < word["end"].as_f64().unwrap(), "{word}");
    }
    assert!(answers["words"]["segments"].is_null(), "only words were asked for");
    assert_eq!(answers["models"], json!(["digits"]));
    assert_eq!((&answers["model"]["id"], &answers["model"]["object"]), (&json!("digits"), &json!("model")));
    assert!(!server.end().contains("seven"), "what is said is not logged");
}

#[test]
fn openais_client_reads_text_as_it_comes() {
    let server = Server::with(&two_tenants(""));
    let answer = client(&server, server.address, "openai_stream");
    let deltas: String = answer["deltas"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(
        (deltas.as_str(), text(&answer["text"])),
        (PHRASES.join(" ").as_str(), PHRASES.join(" ").as_str())
    );
    server.end();
}

#[test]
fn openais_client_raises_its_own_errors() {
    let server = Server::with(&two_tenants(""));
    let errors = client(&server, server.address, "openai_errors");
    for (case, kind, status, code, param) in [
        ("key", "AuthenticationError", 401, "invalid_api_key", json!(null)),
        ("model", "NotFoundError", 404, "model_not_found", json!("model")),
        ("language", "BadRequestError", 400, "invalid_request", json!("language")),
        ("file", "BadRequestError", 400, "invalid_audio", json!("file")),
        ("empty", "BadRequestError", 400, "invalid_audio", json!("file")),
        ("granularity", "BadRequestError", 400, "invalid_request", json!("timestamp_granularities")),
        ("format", "BadRequestError", 400, "invalid_request", json!("response_format")),
        ("translate", "BadRequestError", 400, "invalid_request", json!("model")),
    ] {
        let expected = json!({ "kind": kind, "status": status, "code": code, "param": param });
        assert_eq!(errors[case], expected, "{case}");
    }
    server.end();
}

#[test]
fn openais_client_follows_live_speech() {
    let server = Server::with(&two_tenants(""));
    let heard = client(&server, server.address, "openai_realtime");
    let transcripts: Vec<&str> =
        heard["transcripts"].as_array().unwrap().iter().map(|pair| text(&pair[0])).collect();
    assert_eq!(transcripts, PHRASES);
    for pair in heard["transcripts"].as_array().unwrap() {
        assert_eq!(pair[0], pair[1], "the deltas are the transcript");
    }
    let kinds: Vec<&str> = heard["kinds"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(kinds[..2], ["session.created", "session.updated"]);
    for kind in ["speech_started", "speech_stopped", "committed"] {
        assert_eq!(
            kinds.iter().filter(|name| **name == format!("input_audio_buffer.{kind}")).count(),
            3,
            "{kind}"
        );
    }
    server.end();
}

#[test]
fn deepgrams_client_transcribes_files() {
    let server = Server::with(&two_tenants(""));
    let answer = client(&server, server.address, "deepgram_file");
    let alternative = &answer["results"]["channels"][0]["alternatives"][0];
    assert_eq!(alternative["transcript"], PHRASES.join(" "));
    let words = alternative["words"].as_array().unwrap();
    assert_eq!(words.len(), PHRASES.join(" ").split(' ').count());
    assert!(words.iter().all(|word| (0.0..=1.0).contains(&word["confidence"].as_f64().unwrap())));
    let said: Vec<&str> =
        answer["results"]["utterances"].as_array().unwrap().iter().map(|u| text(&u["transcript"])).collect();
    assert_eq!(said.join(" "), PHRASES.join(" "));
    assert_eq!(text(&answer["metadata"]["sha256"]).len(), 64);
    server.end();
}

#[test]
fn deepgrams_client_follows_live_speech() {
    let server = Server::with(&two_tenants(""));
    let messages = client(&server, server.address, "deepgram_live");
    let messages = messages.as_array().unwrap();
    let of = |kind: &str| messages.iter().filter(|message| message["type"] == kind).collect::<Vec<_>>();
    let results = of("Results");
    let transcript = |message: &Value| text(&message["channel"]["alternatives"][0]["transcript"]).to_owned();
    // What its documentation tells callers to do: join what is final until the speech is.
    let (mut said, mut utterance) = (Vec::new(), String::new());
    for result in results.iter().filter(|result| result["is_final"] == true) {
        utterance = format!("{utterance} {}", transcript(result)).trim().to_owned();
        if result["speech_final"] == true {
            said.push(std::mem::take(&mut utterance));
        }
    }
    assert_eq!(said, PHRASES);
    assert!(results.iter().any(|result| result["is_final"] == false), "text while it is spoken");
    assert!(results.iter().any(|result| result["from_finalize"] == true), "Finalize is answered");
    assert_eq!(of("SpeechStarted").len(), 3);
    assert!(!of("UtteranceEnd").is_empty(), "{messages:?}");
    let last = messages.last().unwrap();
    assert_eq!(last["type"], "Metadata");
    let seconds = SPEECH.samples.len() as f64 / f64::from(SPEECH.format.sample_rate);
    assert!((last["duration"].as_f64().unwrap() - seconds).abs() < 0.01, "{last}");
    server.end();
}

#[test]
fn deepgrams_client_of_flux_gets_turns() {
    let server = Server::with(&two_tenants(""));
    let messages = client(&server, server.address, "deepgram_flux");
    let messages = messages.as_array().unwrap();
    let sequence: Vec<u64> = messages.iter().filter_map(|message| message["sequence_id"].as_u64()).collect();
    assert_eq!(sequence, (0..messages.len() as u64).collect::<Vec<_>>(), "each message has its number");
    assert_eq!(messages[0]["type"], "Connected");
    let of = |kind: &str| messages.iter().filter(|message| message["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("ConfigureFailure").len(), 1, "a threshold of 0.2");
    let configured = of("ConfigureSuccess");
    assert_eq!(
        (&configured[0]["thresholds"], &configured[0]["keyterms"]),
        (
            &json!({ "eot_threshold": 0.6, "eager_eot_threshold": 0.55, "eot_timeout_ms": 5000 }),
            &json!(["go"])
        )
    );
    let turns = of("TurnInfo");
    let ends: Vec<&&Value> = turns.iter().filter(|message| message["event"] == "EndOfTurn").collect();
    let said: Vec<&str> = ends.iter().map(|end| text(&end["transcript"])).collect();
    assert_eq!(said.join(" "), PHRASES.join(" "));
    let mut index = 0;
    for (number, end) in ends.iter().enumerate() {
        assert_eq!(end["turn_index"], number);
        assert!(["model", "timeout", "manual"].contains(&text(&end["trigger"])), "{end}");
    }
    // Of each turn: it starts with text, there is text while it is spoken, and it ends once.
    for turn in turns.chunk_by(|one, other| one["turn_index"] == other["turn_index"]) {
        let events: Vec<&str> = turn.iter().map(|message| text(&message["event"])).collect();
        assert_eq!(events[0], "StartOfTurn", "{events:?}");
        assert_eq!(events.iter().filter(|event| **event == "StartOfTurn").count(), 1, "{events:?}");
        assert_eq!(
            events.iter().position(|event| *event == "EndOfTurn"),
            Some(events.len() - 1),
            "{events:?}"
        );
        assert!(events.contains(&"Update"), "{events:?}");
        assert!(turn.iter().all(|message| !text(&message["transcript"]).is_empty()), "{turn:?}");
        index += 1;
    }
    assert_eq!(index, ends.len());
    assert!(
        ends.iter()
            .any(|end| end["trigger"] == "model" && end["end_of_turn_confidence"].as_f64() >= Some(0.6))
    );
    let eager = turns.iter().filter(|message| message["event"] == "EagerEndOfTurn");
    assert!(eager.count() >= 1, "{turns:?}");
    server.end();
}

#[test]
fn deepgrams_client_raises_its_own_errors() {
    let server = Server::with(&two_tenants(""));
    let errors = client(&server, server.address, "deepgram_errors");
    for (case, status, code) in [
        ("key", 401, "INVALID_AUTH"),
        ("live_key", 401, "INVALID_AUTH"),
        ("flux_key", 401, "INVALID_AUTH"),
        ("flux_threshold", 400, "INVALID_QUERY_PARAMETER"),
        ("live_model", 400, "INVALID_QUERY_PARAMETER"),
        ("live_rate", 400, "Bad Request"),
        ("url", 400, "INVALID_QUERY_PARAMETER"),
        ("audio", 400, "Bad Request"),
    ] {
        assert_eq!(
            (&errors[case]["status"], &errors[case]["body"]["err_code"]),
            (&json!(status), &json!(code)),
            "{errors}"
        );
    }
    server.end();
}

#[test]
fn curl_is_a_client_too() {
    let server = Server::start();
    let recording = server.folder().join("speech.wav");
    std::fs::write(&recording, wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1)).unwrap();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "-F",
            "model=whisper-1",
            "-F",
            "response_format=text",
            "-F",
        ])
        .arg(format!("file=@{}", recording.display()))
        .arg(format!("http://{}/v1/audio/transcriptions", server.address))
        .output()
        .expect("curl can be run (`make setup` installs it)");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", PHRASES.join(" ")), "{output:?}");
    server.end();
}

#[test]
fn forms_that_lie_are_refused() {
    let server = Server::with(&two_tenants("upload_mib = 1"));
    let key = ("Authorization", "Bearer key-a");
    let wave = wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    let post = |kind: &str, body: &[u8]| {
        server.request("POST", "/v1/audio/transcriptions", &[key, ("Content-Type", kind)], body)
    };
    let (kind, whole) = form(&[("model", "whisper-1")], Some(("speech.wav", &wave)));
    assert_eq!(post(&kind, &whole).status, 200);
    let error = |answer: &hearken_tests::serve::Answer| {
        (answer.status, text(&answer.json()["error"]["code"]).to_owned())
    };
    let refused = |status, code: &str| (status, code.to_owned());
    // No form; no boundary; another boundary; no file; two files; not UTF-8; no number of parts
    // ends it.
    assert_eq!(error(&post("application/json", b"{}")), refused(400, "invalid_request"));
    assert_eq!(error(&post("multipart/form-data", &whole)), refused(400, "invalid_request"));
    assert_eq!(post("multipart/form-data; boundary=other", &whole).status, 400);
    let (_, none) = form(&[("model", "whisper-1")], None);
    assert_eq!(error(&post(&kind, &none)), refused(400, "invalid_request"));
    let (_, many) = form(&[("a", "b"); 200], Some(("speech.wav", &wave)));
    assert_eq!(error(&post(&kind, &many)), refused(400, "invalid_request"));
    let (_, long) = form(&[("prompt", &"x".repeat(100_000))], Some(("speech.wav", &wave)));
    assert_eq!(error(&post(&kind, &long)), refused(400, "invalid_request"));
    // Cut off, with a length that promises more: the connection ends before the body does.
    let head = |length: usize| {
        format!(
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer key-a\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            server.address
        )
    };
    let mut cut = server.connect();
    std::io::Write::write_all(&mut cut, &[head(whole.len() + 1000).as_bytes(), &whole[..5000]].concat())
        .unwrap();
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    drop(cut);
    // A length that is too long is refused before anything comes, and a body that is too long while
    // it comes.
    let answer = server.raw(head(100 << 20).as_bytes());
    assert_eq!(error(&answer), refused(413, "upload_too_large"));
    let (_, large) = form(&[], Some(("large.wav", &vec![0; 3 << 20])));
    let chunked = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer key-a\r\nContent-Type: {kind}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n",
        server.address,
        large.len()
    );
    let answer = server.raw(&[chunked.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat());
    assert_eq!(error(&answer), refused(413, "upload_too_large"));
    assert_eq!(post(&kind, &whole).status, 200, "and it still serves");
    server.end();
}
