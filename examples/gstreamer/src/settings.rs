//! The element's properties.

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

/// Default of the property `latency`, in ms.
const LATENCY_MS: u32 = 3_000;
/// Default of the property `step`, in ms.
const STEP_MS: u32 = 500;

/// The properties.
pub(crate) static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(
                "A ggml Whisper model file. Without one it is the small model inside hearken, which knows English \
                 digits and some commands. Read when the element leaves NULL, which takes seconds the first time",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("language")
            .nick("Language")
            .blurb("ISO 639-1 code, such as de; without one it is detected in each utterance")
            .build(),
        glib::ParamSpecUInt::builder("latency")
            .nick("Latency budget")
            .blurb(
                "Live only: milliseconds after which a word goes out, certain or not, and what the latency query is \
                 answered with. More gives fewer wrong words",
            )
            .default_value(LATENCY_MS)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("step")
            .nick("Step")
            .blurb("Milliseconds of new speech between two partial texts, at least. Less is sooner, and costs more")
            .minimum(100)
            .maximum(60_000)
            .default_value(STEP_MS)
            .build(),
    ]
});

/// Current property values.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) model: Option<PathBuf>,
    pub(crate) language: Option<String>,
    pub(crate) latency: u32,
    pub(crate) step: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: None, language: None, latency: LATENCY_MS, step: STEP_MS }
    }
}

impl Settings {
    /// Sets one of the [`PROPERTIES`].
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) {
        let text = || value.get::<Option<String>>().ok().flatten().filter(|text| !text.is_empty());
        let number = |before| value.get::<u32>().unwrap_or(before);
        match name {
            "model" => self.model = text().map(PathBuf::from),
            "language" => self.language = text(),
            "step" => self.step = number(self.step),
            "latency" => self.latency = number(self.latency),
            _ => {}
        }
    }

    /// The value of one of the [`PROPERTIES`].
    pub(crate) fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.as_ref().map(|path| path.display().to_string()).to_value(),
            "language" => self.language.to_value(),
            "step" => self.step.to_value(),
            _ => self.latency.to_value(),
        }
    }
}
