//! What the element says of itself: `gst-inspect-1.0 hearken`.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

/// Default of the property `latency`, in ms.
pub(crate) const LATENCY_MS: u32 = 3_000;
/// Default of the property `step`, in ms.
pub(crate) const STEP_MS: u32 = 500;

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
            .blurb("ISO 639-1 code, such as de; without one it is detected from the first speech")
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

/// Name, class and purpose.
pub(crate) static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
    gst::subclass::ElementMetadata::new(
        "Speech to text (hearken)",
        "Converter/Audio/Text",
        "Turns speech into timed text, with whisper.cpp inside a WebAssembly sandbox. Messages: hearken-partial, \
         hearken-final, hearken-speech-started, hearken-speech-ended, hearken-language, hearken-dropped",
        "The hearken developers",
    )
});

/// What its pads take and give.
pub(crate) static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
    let audio = gst_audio::AudioCapsBuilder::new_interleaved()
        .format_list([gst_audio::AudioFormat::F32le, gst_audio::AudioFormat::S16le])
        .rate_range(8_000..=192_000)
        .channels_range(1..=8)
        .build();
    let mut text = gst::Caps::builder("text/x-raw").field("format", "utf8").build();
    text.merge(gst::Caps::new_empty_simple("application/x-subtitle"));
    text.merge(gst::Caps::new_empty_simple("application/x-subtitle-vtt"));
    let template = |name, direction, caps| {
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).expect("a valid template")
    };
    vec![template("sink", gst::PadDirection::Sink, &audio), template("src", gst::PadDirection::Src, &text)]
});
