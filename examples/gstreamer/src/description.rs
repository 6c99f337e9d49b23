//! Static description of the element: `gst-inspect-1.0 hearken`.

use std::sync::LazyLock;

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

/// Templates of the sink and source pads.
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
