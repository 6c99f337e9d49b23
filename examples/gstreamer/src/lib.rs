//! The GStreamer plug-in `hearken`, with one element of the same name: raw audio in, timed text
//! out.
//!
//! ```console
//! $ gst-launch-1.0 filesrc location=talk.mp3 ! decodebin ! audioconvert ! hearken ! \
//!       application/x-subtitle ! filesink location=talk.srt
//! ```
//!
//! The element's contract, properties and messages are in its own documentation:
//! `gst-inspect-1.0 hearken`, and `docs/voice-apps.md`.

mod clock;
mod delivery;
mod description;
mod element;
mod models;
mod output;
mod settings;
mod stream;

use gst::glib;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    element::register(plugin)
}

gst::plugin_define!(
    hearken,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("CARGO_PKG_VERSION")),
    "MIT/X11",
    env!("CARGO_PKG_NAME"),
    "hearken",
    "https://crates.io/crates/hearken",
    "2026-11-24"
);
