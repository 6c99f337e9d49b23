//! Capture of sound on this machine: its microphones, and loopback.
//!
//! A [`Backend`] lists [`Device`]s and opens one; [`System`] is this machine's, [`fake`] is one for
//! tests. What is captured goes through a lock-free ring ([`audio::ring`](crate::audio::ring)) to a
//! [`Pump`], which feeds a [`Session`](crate::session::Session):
//!
//! ```no_run
//! use hearken::capture::{Capture, Input, Pump, System};
//! use hearken::session::{Session, SessionOptions};
//! use hearken::{Engine, ModelSource};
//!
//! let model = Engine::new()?.load(&ModelSource::Embedded)?;
//! let capture = Capture::open(&System::new()?, &Input::Microphone)?;
//! let session = Session::new(&model, SessionOptions::new(capture.format()))?;
//! let events = session.events().clone();
//! let pump = Pump::start(capture, session)?;
//! for event in events {
//!     println!("{event:?}");
//! }
//! # pump.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod fake;
mod pump;
mod system;

use crossbeam_channel::{Receiver, Sender};

pub use self::error::CaptureError;
pub use self::pump::{Level, Pump};
pub use self::system::System;
use crate::audio::{Format, RING_HOLD, RingReader, RingWriter, ring};

/// Selection of an input device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Input {
    /// The default microphone.
    #[default]
    Microphone,
    /// Loopback: the computer's own output (system audio), such as calls and videos.
    System,
    /// The device of this [`Device::id`], or the only one whose name has this text in it, in any
    /// case.
    Device(String),
}

/// Kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A microphone.
    Microphone,
    /// Loopback: the computer's own output.
    System,
}

/// Something that can be listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Identifier for [`Input::Device`]; stable as long as the device is the same.
    pub id: String,
    /// Name for people. Devices name themselves: it has no control characters, and is not to be
    /// trusted further.
    pub name: String,
    /// Kind of the device.
    pub kind: Kind,
    /// True if [`Input::Microphone`] or [`Input::System`] selects this device.
    pub default: bool,
    /// Native rate and channels; `None` when the device does not state them.
    pub format: Option<Format>,
}

impl Device {
    /// A device that is not the default one. Names lose their control characters.
    pub fn new(id: &str, name: &str, kind: Kind, format: Option<Format>) -> Self {
        let clean = crate::text::sanitize_trimmed;
        Self { id: clean(id), name: clean(name), kind, default: false, format }
    }
}

/// Provider of devices.
pub trait Backend {
    /// Lists the devices that can be captured, default ones first.
    ///
    /// # Errors
    ///
    /// When the sound system does not answer.
    fn devices(&self) -> Result<Vec<Device>, CaptureError>;

    /// Starts capturing. `connect` is called once, with the format that the device delivers, and
    /// returns the writer for its callback. `failures` receives an error when the device stops
    /// delivering by itself.
    ///
    /// # Errors
    ///
    /// When there is no such device, or it cannot be opened.
    fn open(
        &self,
        input: &Input,
        connect: &mut dyn FnMut(Format) -> Result<RingWriter, CaptureError>,
        failures: Sender<CaptureError>,
    ) -> Result<(Device, Box<dyn Stream>), CaptureError>;
}

/// A device that delivers. Dropping it ends that, and drops the writer.
pub trait Stream: Send {}

/// A device that is listened to.
pub struct Capture {
    device: Device,
    reader: RingReader,
    failures: Receiver<CaptureError>,
    /// `None` once the device is let go.
    stream: Option<Box<dyn Stream>>,
}

impl Capture {
    /// Starts capturing. Audio is kept for four seconds until it is read.
    ///
    /// # Errors
    ///
    /// When there is no such device, or it cannot be opened.
    pub fn open(backend: &dyn Backend, input: &Input) -> Result<Self, CaptureError> {
        let (failed, failures) = crossbeam_channel::bounded(16);
        let mut reader = None;
        let mut connect = |format| {
            let (writer, end) = ring(format, RING_HOLD)?;
            reader = Some(end);
            Ok(writer)
        };
        let (device, stream) = backend.open(input, &mut connect, failed)?;
        let reader = reader.ok_or_else(|| CaptureError::Silent { device: device.name.clone() })?;
        Ok(Self { device, reader, failures, stream: Some(stream) })
    }

    /// The captured device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Format that the device delivers.
    pub fn format(&self) -> Format {
        self.reader.format()
    }

    /// Lets the device go. What it delivered can still be read.
    fn disconnect(&mut self) {
        self.stream = None;
    }
}

/// The device that `input` means.
fn choose<'a>(devices: &'a [Device], input: &Input) -> Result<&'a Device, CaptureError> {
    let default = |kind| devices.iter().find(|device| device.kind == kind && device.default);
    match input {
        // A machine with nothing but monitors still has a default source: the one in the user's
        // settings.
        Input::Microphone => default(Kind::Microphone)
            .or_else(|| devices.iter().find(|device| device.default))
            .ok_or(CaptureError::NoMicrophone),
        Input::System => default(Kind::System).ok_or(CaptureError::NoSystem),
        Input::Device(wanted) => {
            if let Some(device) = devices.iter().find(|device| device.id == *wanted) {
                return Ok(device);
            }
            let lower = wanted.to_lowercase();
            let mut matching = devices.iter().filter(|device| device.name.to_lowercase().contains(&lower));
            match (matching.next(), matching.next()) {
                (Some(device), None) => Ok(device),
                (None, _) => Err(CaptureError::NoDevice { wanted: wanted.clone() }),
                (Some(one), Some(other)) => Err(CaptureError::Ambiguous {
                    wanted: wanted.clone(),
                    names: format!("{} ({}), {} ({})", one.name, one.id, other.name, other.id),
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<Device> {
        vec![
            Device { default: true, ..Device::new("a:usb", "USB Headset", Kind::Microphone, None) },
            Device::new("a:int", "Internal Microphone", Kind::Microphone, None),
            Device { default: true, ..Device::new("a:mon", "Monitor of USB Headset", Kind::System, None) },
        ]
    }

    #[test]
    fn an_input_means_one_device_or_none() {
        let all = devices();
        let id = |input: Input| choose(&all, &input).map(|device| device.id.as_str());
        assert_eq!(id(Input::Microphone).unwrap(), "a:usb");
        assert_eq!(id(Input::System).unwrap(), "a:mon");
        assert_eq!(id(Input::Device("a:int".into())).unwrap(), "a:int");
        assert_eq!(id(Input::Device("INTERNAL".into())).unwrap(), "a:int");
        let ambiguous = id(Input::Device("headset".into())).unwrap_err().to_string();
        assert!(ambiguous.contains("a:usb") && ambiguous.contains("a:mon"), "{ambiguous}");
        assert!(matches!(id(Input::Device("webcam".into())), Err(CaptureError::NoDevice { .. })));
        assert!(matches!(choose(&all[1..2], &Input::Microphone), Err(CaptureError::NoMicrophone)));
        assert!(matches!(choose(&all[..2], &Input::System), Err(CaptureError::NoSystem)));
    }
}
