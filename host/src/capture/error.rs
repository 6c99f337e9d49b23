//! Errors of audio capture.

use crate::audio::AudioError;
use crate::session::SessionError;

/// Why a device is not listened to, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// No sound system answers.
    #[error(
        "no sound system answers: {reason}; on Linux, start PulseAudio or PipeWire, or plug in an ALSA device"
    )]
    NoHost {
        /// Message of the sound system.
        reason: String,
    },
    /// There is no default microphone.
    #[error(
        "this machine has no microphone; plug one in, or choose another device (`hearken devices` lists them)"
    )]
    NoMicrophone,
    /// The loopback source (system audio) is not available.
    #[error(
        "this sound system has no loopback (what the computer plays); on Linux that takes PulseAudio or PipeWire \
         (`hearken devices` lists what there is)"
    )]
    NoSystem,
    /// No device has this name.
    #[error("no device is called `{wanted}`; `hearken devices` lists them")]
    NoDevice {
        /// Requested device.
        wanted: String,
    },
    /// Several devices are called so.
    #[error("`{wanted}` matches several devices: {names}; pass the id in parentheses")]
    Ambiguous {
        /// Requested device.
        wanted: String,
        /// Two that match.
        names: String,
    },
    /// The device does not open.
    #[error("cannot listen to {device}: {reason}; end what uses it, or choose another device")]
    Open {
        /// Name of the device.
        device: String,
        /// Message of the sound system.
        reason: String,
    },
    /// The backend opened the device and never asked where its audio goes.
    #[error("{device} delivers no audio; choose another device")]
    Silent {
        /// Name of the device.
        device: String,
    },
    /// The device stopped by itself.
    #[error("{device} is gone: {reason}; plug it in and start again")]
    Gone {
        /// Name of the device.
        device: String,
        /// Message of the sound system.
        reason: String,
    },
    /// The device's format is out of range.
    #[error(transparent)]
    Format(#[from] AudioError),
    /// The session does not accept the captured audio.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The operating system refused a thread.
    #[error("cannot start a thread for capture: {0}")]
    Thread(std::io::Error),
    /// The thread that moves audio from the device panicked: a defect of hearken or of a
    /// [`Backend`](super::Backend).
    #[error(
        "listening ended with a panic, and the latest audio is lost; start again, and report what was printed"
    )]
    Panicked,
}
