//! Fake microphone with a given signal, for tests of code on top of capture.
//!
//! ```
//! use hearken::audio::Format;
//! use hearken::capture::{Capture, Input, fake};
//!
//! let (backend, mut microphone) = fake::microphone("Test microphone", Format::MODEL);
//! let capture = Capture::open(&backend, &Input::Microphone)?;
//! microphone.hear(&[0.0; 160]);
//! assert_eq!(capture.device().name, "Test microphone");
//! # Ok::<(), hearken::capture::CaptureError>(())
//! ```

use std::sync::Arc;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::{Backend, CaptureError, Device, Input, Kind, Stream, choose};
use crate::audio::{Format, RingWriter};

/// A sound system with this one device.
pub fn microphone(name: &str, format: Format) -> (FakeBackend, FakeMicrophone) {
    let line = Arc::new(Mutex::new(None));
    let device = Device { default: true, ..Device::new("fake:0", name, Kind::Microphone, Some(format)) };
    (FakeBackend { device, format, line: Arc::clone(&line) }, FakeMicrophone { line })
}

/// Destination of the callback's samples and errors, while a capture runs.
type Line = Arc<Mutex<Option<(RingWriter, Sender<CaptureError>, String)>>>;

/// A sound system with one microphone.
pub struct FakeBackend {
    device: Device,
    format: Format,
    line: Line,
}

/// Content of the microphone's signal.
pub struct FakeMicrophone {
    line: Line,
}

impl FakeMicrophone {
    /// Runs the device's callback with these interleaved samples. Nothing happens while no capture
    /// runs.
    pub fn hear(&mut self, interleaved: &[f32]) {
        if let Some((writer, ..)) = &mut *self.line.lock() {
            writer.write(interleaved.iter().copied());
        }
    }

    /// The device is pulled out.
    pub fn unplug(&mut self) {
        if let Some((_, failures, device)) = &*self.line.lock() {
            let _ =
                failures.send(CaptureError::Gone { device: device.clone(), reason: "unplugged".to_owned() });
        }
    }
}

impl Backend for FakeBackend {
    fn devices(&self) -> Result<Vec<Device>, CaptureError> {
        Ok(vec![self.device.clone()])
    }

    fn open(
        &self,
        input: &Input,
        connect: &mut dyn FnMut(Format) -> Result<RingWriter, CaptureError>,
        failures: Sender<CaptureError>,
    ) -> Result<(Device, Box<dyn Stream>), CaptureError> {
        let devices = self.devices()?;
        let device = choose(&devices, input)?.clone();
        let line = (connect(self.format)?, failures, device.name.clone());
        *self.line.lock() = Some(line);
        Ok((device, Box::new(FakeStream { line: Arc::clone(&self.line) })))
    }
}

struct FakeStream {
    line: Line,
}

impl Stream for FakeStream {}

impl Drop for FakeStream {
    fn drop(&mut self) {
        *self.line.lock() = None;
    }
}
