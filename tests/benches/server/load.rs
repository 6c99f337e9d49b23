//! Runs `hearken load` against a server, and reads its results.

use std::process::{Child, Command, Stdio};

use hearken_tests::command::hearken;
use hearken_tests::serve::Server;
use serde_json::Value;

use crate::speech::{PAUSE, Speech};

/// Load on a server.
pub(crate) struct Load<'a> {
    pub(crate) server: &'a Server,
    pub(crate) speech: &'a Speech,
    pub(crate) streams: usize,
    /// Time for which streams begin recordings [s].
    pub(crate) seconds: u64,
    /// Within how many seconds the streams start.
    pub(crate) ramp: u64,
    pub(crate) key: Option<&'a str>,
}

impl Load<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self) -> Figures {
        Figures::of(self.start())
    }

    /// Runs beside other things; its [`Figures`] are had when it has ended.
    pub(crate) fn start(&self) -> Child {
        let mut command: Command = hearken(&["load", "--json", "--url"]);
        command.arg(format!("http://{}", self.server.address));
        command.arg("--refs").arg(self.speech.folder.path().join("refs.tsv"));
        command.args(["--pause", &((PAUSE * 1000.0) as u64).to_string()]);
        command.args(["--streams", &self.streams.to_string()]);
        command.args(["--duration", &self.seconds.to_string(), "--ramp", &self.ramp.to_string()]);
        command.args(self.key.iter().flat_map(|key| ["--key", key]));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    }
}

/// Results of a load.
pub(crate) struct Figures(Value);

impl Figures {
    /// Waits for the end.
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().expect("it was started");
        let figures = serde_json::from_slice(&output.stdout);
        Self(figures.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// The 95th percentile of the time from the detected end of an utterance to its final text, in
    /// seconds.
    pub(crate) fn latency(&self) -> f64 {
        self.0["final_latency_detected_s"]["p95"].as_f64().unwrap_or(f64::INFINITY)
    }

    /// Returns true if no stream was rejected, none broke, and nothing was dropped.
    pub(crate) fn is_whole(&self) -> bool {
        let none = |counts: &Value| counts.as_object().is_some_and(serde_json::Map::is_empty);
        none(&self.0["refused"]) && none(&self.0["broken"]) && self.0["dropped_s"] == 0.0
    }

    pub(crate) fn words_lost(&self) -> u64 {
        self.0["words"]["lost"].as_u64().expect("a number")
    }

    /// Streams that were served to their end.
    pub(crate) fn complete(&self) -> u64 {
        self.0["streams"]["complete"].as_u64().expect("a number")
    }

    /// A figure as `hearken load` gives it.
    pub(crate) fn get(&self, name: &str) -> &Value {
        &self.0[name]
    }
}
