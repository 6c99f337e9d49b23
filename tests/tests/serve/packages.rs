//! Packages that people build voice applications with, each in its default settings but for address
//! and key, against official tiny.en: words, text while somebody speaks, an abrupt end, a wrong
//! key.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearken::audio::Resampler;
use hearken_measure::Errors;
use hearken_measure::normalize::Normalizer;
use hearken_tests::official::official;
use hearken_tests::serve::{Server, certificate};
use hearken_tests::{prompts, wav};
use serde_json::Value;

use crate::clients::python;
use crate::two_tenants;

/// Said one after the other, with a pause of 1.5 s.
const PROMPTS: [&str; 3] = ["check-number-dial-again", "conf-onlyperson", "conf-waitforleader"];

/// A server with official tiny.en, and a recording at 16 kHz.
pub(crate) struct Case {
    pub(crate) server: Server,
    url: String,
    recording: PathBuf,
    /// Samples of the recording.
    pub(crate) samples: Vec<f32>,
    /// Text of each prompt.
    texts: Vec<String>,
    certificate: Option<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Case {
    /// Starts a server, with a certificate if it is `secure`; `None` without the model.
    fn start(secure: bool) -> Option<Self> {
        Self::with(secure, "")
    }

    /// Starts a server with more in its configuration.
    pub(crate) fn with(secure: bool, more: &str) -> Option<Self> {
        let model = official("tiny.en")?;
        let model = format!("en = {:?}", model.display().to_string());
        let mut configuration =
            format!("{more}\n{}", two_tenants("").replace("digits = \"embedded\"", &model));
        let folder = tempfile::tempdir().unwrap();
        let certificate = secure.then(|| certificate(folder.path()));
        configuration.extend(certificate.iter().map(|(_, tls)| tls.as_str()));
        let server = Server::with(&configuration);
        let said = prompts::named("en", &PROMPTS);
        let mut samples = Vec::new();
        for prompt in &said {
            let mut resampler = Resampler::new(prompt.recording.format).unwrap();
            resampler.push(&prompt.recording.samples, &mut samples);
            resampler.finish(&mut samples);
            samples.resize(samples.len() + 24_000, 0.0);
        }
        let recording = folder.path().join("speech.wav");
        std::fs::write(&recording, wav::pcm16(&samples, 16_000, 1)).unwrap();
        let scheme = if secure { "https" } else { "http" };
        Some(Self {
            url: format!("{scheme}://{}", server.address),
            server,
            recording,
            samples,
            texts: said.into_iter().map(|prompt| prompt.text).collect(),
            certificate: certificate.map(|(path, _)| path),
            _folder: folder,
        })
    }

    /// The command that runs this script of a client, for a server at this address.
    fn script(&self, mut command: Command, case: &str, at: &str) -> Command {
        command.args([case, at, "key-a"]).arg(&self.recording);
        // Proxies of this machine's user are not for the server, which is here.
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name);
        }
        if let Some(certificate) = &self.certificate {
            command.env("NODE_EXTRA_CA_CERTS", certificate);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs this script of a client; returns its result.
    fn run(&self, command: Command, case: &str, at: &str) -> Value {
        let output = self.script(command, case, at).output().expect("the client runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", self.server.log());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{errors}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Runs a client for Node.
    fn node(&self, case: &str) -> Value {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let node = here.join("../target/runtimes/bin/node");
        assert!(node.is_file(), "{} is missing: `.ci/setup clients` makes it", node.display());
        let mut command = Command::new(node);
        command.arg(here.join("tests/serve/node/clients.mjs"));
        self.run(command, case, &self.url)
    }

    /// Runs an application of a framework for voice agents.
    fn agents(&self, case: &str) -> Value {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../target/agents/bin/python");
        assert!(python.is_file(), "{} is missing: `.ci/setup clients` makes it", python.display());
        let mut command = Command::new(python);
        command.arg(here.join("tests/serve/agents.py"));
        self.run(command, case, &self.url)
    }

    /// A client in Python: its script.
    fn clients() -> Command {
        let mut command = Command::new(python());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/clients.py"));
        command
    }

    /// Runs a client in Python, for a server at this address.
    pub(crate) fn python(&self, case: &str, at: &str) -> Value {
        self.run(Self::clients(), case, at)
    }

    /// Starts a client in Python, which is killed when its stream is open; nothing is left of it.
    #[track_caller]
    pub(crate) fn killed(&self, case: &str, protocol: &str) {
        let mut command = self.script(Self::clients(), case, &self.server.address.to_string());
        let mut client = command.stdout(Stdio::null()).spawn().expect("the client runs");
        let open = |count| format!("hearken_open{{tenant=\"a\",protocol=\"{protocol}\"}} {count}");
        self.server.wait_for_metric(&open(1));
        client.kill().expect("it runs");
        client.wait().expect("it was started");
        self.server.wait_for_metric(&open(0));
    }

    /// Asserts that all prompts were recognized, but for two words.
    #[track_caller]
    pub(crate) fn heard(&self, text: &str) {
        same(&self.texts.join(" "), text);
    }

    /// Asserts that these are the texts of the prompts, one each.
    #[track_caller]
    fn heard_each(&self, texts: &[&str]) {
        assert_eq!(texts.len(), self.texts.len(), "{texts:?}");
        self.heard(&texts.join(" "));
    }

    /// Ends the server: nothing is left of its clients.
    pub(crate) fn end(self) {
        for protocol in ["openai", "realtime", "deepgram", "flux"] {
            let line = format!("hearken_open{{tenant=\"a\",protocol=\"{protocol}\"}} 0");
            let metrics = self.certificate.is_none().then(|| self.server.get("/metrics", &[]).body);
            if metrics.is_some_and(|metrics| metrics.contains(&format!("protocol=\"{protocol}\""))) {
                self.server.wait_for_metric(&line);
            }
        }
        self.server.end();
    }
}

#[track_caller]
fn same(said: &str, heard: &str) {
    let words = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        Normalizer::English.words(&words).into_iter().map(|word| word.text).collect::<Vec<String>>()
    };
    let errors = Errors::between(words(said), words(heard));
    assert!(errors.edits() <= 2, "{errors:?}: {said:?} was heard as {heard:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter().map(text).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value}"))
}

const COMPLETED: &str = "conversation.item.input_audio_transcription.completed";
const DELTA: &str = "conversation.item.input_audio_transcription.delta";

#[test]
fn openai_for_node_transcribes_files() {
    let Some(case) = Case::start(false) else { return };
    let answers = case.node("openai_files");
    for form in ["json", "text", "streamed"] {
        case.heard(text(&answers[form]));
    }
    assert!(text(&answers["srt"]).starts_with("1\n00:00:0"), "{}", answers["srt"]);
    let words: Vec<&str> = list(&answers["words"]).iter().map(|word| text(&word["word"])).collect();
    case.heard(&words.join(" "));
    assert_eq!(texts(&answers["deltas"]).concat(), text(&answers["streamed"]));
    assert!(list(&answers["deltas"]).len() > 1, "{}", answers["deltas"]);
    assert_eq!(texts(&answers["models"]), ["en"]);
    let failed = |name: &str| {
        (answers[name]["kind"].clone(), answers[name]["status"].clone(), answers[name]["code"].clone())
    };
    assert_eq!(failed("key"), ("AuthenticationError".into(), 401.into(), "invalid_api_key".into()));
    assert_eq!(failed("model"), ("NotFoundError".into(), 404.into(), "model_not_found".into()));
    case.end();
}

/// That package opens Realtime with TLS only.
#[test]
fn openai_for_node_follows_live_speech() {
    let Some(case) = Case::start(true) else { return };
    let heard = case.node("openai_realtime");
    let events = list(&heard["events"]);
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let said: Vec<&str> = of(COMPLETED).iter().map(|event| text(&event["transcript"])).collect();
    case.heard_each(&said);
    let first = |kind: &str| events.iter().position(|event| event["type"] == kind).expect(kind);
    assert!(first(DELTA) < first(COMPLETED), "text while it is spoken");
    assert!(texts(&heard["cut"]).starts_with(&["session.created"]), "{}", heard["cut"]);
    assert!(text(&heard["refused"]).contains("401"), "{}", heard["refused"]);
    case.end();
}

/// Final texts of a live stream of Deepgram.
fn finals(messages: &Value) -> String {
    let results = list(messages).iter().filter(|message| message["is_final"] == true);
    let texts = results.map(|result| text(&result["channel"]["alternatives"][0]["transcript"]));
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn deepgram_for_node_transcribes_files_and_live_speech() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.node("deepgram_file");
    case.heard(text(&heard["answer"]["results"]["channels"][0]["alternatives"][0]["transcript"]));
    assert_eq!(list(&heard["answer"]["results"]["utterances"]).len(), 3);
    assert_eq!(heard["wrong"]["status"], 401, "{}", heard["wrong"]);

    let heard = case.node("deepgram_live");
    for stream in ["live", "container"] {
        assert_eq!(heard[stream]["code"], 1000, "{heard}");
        case.heard(&finals(&heard[stream]["messages"]));
        assert_eq!(list(&heard[stream]["messages"]).last().unwrap()["type"], "Metadata");
    }
    let messages = list(&heard["live"]["messages"]);
    assert!(messages.iter().any(|message| message["is_final"] == false), "text while it is spoken");
    assert!(messages.iter().any(|message| message["type"] == "SpeechStarted"));

    let refused = case.node("deepgram_key");
    for interface in ["live", "flux"] {
        assert!(text(&refused[interface]).contains("401"), "{refused}");
    }
    case.end();
}

#[test]
fn deepgram_for_node_gets_turns() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.node("deepgram_flux");
    let turns = list(&heard["messages"]).iter().filter(|message| message["type"] == "TurnInfo");
    let ends = turns.clone().filter(|turn| turn["event"] == "EndOfTurn");
    case.heard_each(&ends.map(|turn| text(&turn["transcript"])).collect::<Vec<_>>());
    assert!(turns.clone().any(|turn| turn["event"] == "Update"), "text while it is spoken");
    case.end();
}

/// Texts of these events, of which some have none.
fn of_kind<'a>(events: &'a Value, kind: &str) -> Vec<&'a str> {
    let events = list(events).iter().filter(|event| event["type"] == kind);
    events.map(|event| text(&event["text"])).filter(|text| !text.is_empty()).collect()
}

/// Asserts that a stream of LiveKit Agents had each prompt, and text while it was spoken.
#[track_caller]
fn streamed(case: &Case, events: &Value) {
    case.heard_each(&of_kind(events, "final_transcript"));
    let first = |kind: &str| list(events).iter().position(|event| event["type"] == kind).expect(kind);
    assert!(first("interim_transcript") < first("final_transcript"), "text while it is spoken: {events}");
    assert_eq!(first("start_of_speech"), 0, "{events}");
}

#[track_caller]
fn unauthorized(refused: &Value) {
    assert_eq!(refused["status"], 401, "{refused}");
}

#[test]
fn livekit_agents_with_openai_transcribe_utterances() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.agents("livekit_openai");
    case.heard(text(&heard["file"]));
    unauthorized(&heard["key"]);
    case.end();
}

#[test]
fn livekit_agents_with_openai_follow_live_speech() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.agents("livekit_openai_realtime");
    streamed(&case, &heard["detected"]);
    // One whose turns the framework commits, by its own voice activity detection.
    streamed(&case, &heard["committed"]);
    // Options that change while somebody speaks end no stream.
    streamed(&case, &heard["updated"]);
    unauthorized(&heard["key"]);
    case.end();
}

#[test]
fn livekit_agents_with_deepgram_follow_live_speech() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.agents("livekit_deepgram");
    case.heard(text(&heard["file"]));
    streamed(&case, &heard["live"]);
    assert!(list(&heard["live"]).iter().any(|event| event["type"] == "end_of_speech"));
    unauthorized(&heard["key"]);
    case.end();
}

#[test]
fn livekit_agents_with_flux_get_turns() {
    let Some(case) = Case::start(false) else { return };
    let heard = case.agents("livekit_deepgram_flux");
    streamed(&case, &heard["live"]);
    unauthorized(&heard["key"]);
    case.end();
}

/// Asserts that a pipeline of Pipecat had each prompt, and learned why its key was rejected.
fn piped(case: &Case, heard: &Value, interim: bool) {
    case.heard_each(&of_kind(&heard["live"], "TranscriptionFrame"));
    assert_eq!(of_kind(&heard["live"], "ErrorFrame"), Vec::<&str>::new());
    let first = list(&heard["live"]).first().expect("a text");
    assert_eq!(first["type"] == "InterimTranscriptionFrame", interim, "{}", heard["live"]);
    let errors = of_kind(&heard["key"], "ErrorFrame");
    assert!(errors[0].contains("401"), "{errors:?}");
}

#[test]
fn pipecat_with_openai_transcribes_utterances() {
    let Some(case) = Case::start(false) else { return };
    piped(&case, &case.agents("pipecat_openai"), false);
    case.end();
}

#[test]
fn pipecat_with_openai_realtime_follows_live_speech() {
    let Some(case) = Case::start(false) else { return };
    piped(&case, &case.agents("pipecat_openai_realtime"), true);
    case.end();
}

#[test]
fn pipecat_with_deepgram_follows_live_speech() {
    let Some(case) = Case::start(false) else { return };
    piped(&case, &case.agents("pipecat_deepgram"), true);
    case.end();
}

#[test]
fn pipecat_with_flux_gets_turns() {
    let Some(case) = Case::start(false) else { return };
    piped(&case, &case.agents("pipecat_deepgram_flux"), true);
    case.end();
}
