//! The thread between the ring and a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::{Capture, CaptureError};
use crate::audio::{RING_PERIOD, RingRead};
use crate::session::Session;

/// Level of the audio, relative to full scale: the root mean square of the latest 10 ms or so.
#[derive(Debug, Clone, Default)]
pub struct Level(Arc<AtomicU32>);

impl Level {
    /// Level \[dBFS\]; 0 is the loudest, silence is minus infinity.
    pub fn decibels(&self) -> f32 {
        20.0 * f32::from_bits(self.0.load(Ordering::Relaxed)).log10()
    }

    fn measure(&self, samples: &[f32]) {
        let energy = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32;
        self.0.store(energy.sqrt().to_bits(), Ordering::Relaxed);
    }
}

/// Moves captured audio into a session, on a thread of its own, until it is stopped or the device
/// is gone; then it finishes the session. Results are the session's events.
pub struct Pump {
    /// Dropped to stop.
    stop: Option<Sender<()>>,
    level: Level,
    thread: Option<JoinHandle<Result<(), CaptureError>>>,
}

impl Pump {
    /// Starts the thread. The session's format must be the capture's.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Thread`] when the system refuses a thread.
    pub fn start(capture: Capture, session: Session) -> Result<Self, CaptureError> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let level = Level::default();
        let meter = level.clone();
        let mut run = Run { capture, session, meter };
        let pump = move || {
            let result = run.until(|| stopped.recv_timeout(RING_PERIOD) != Err(RecvTimeoutError::Timeout));
            let finished = run.session.finish().map_err(CaptureError::from);
            result.and(finished)
        };
        let thread = std::thread::Builder::new().name("hearken-capture".to_owned()).spawn(pump);
        Ok(Self { stop: Some(stop), level, thread: Some(thread.map_err(CaptureError::Thread)?) })
    }

    /// Handle to the current level.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// Stops listening. What was captured before is still recognized, and the session then
    /// finished.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits for the end: after [`Pump::stop`], or when the device is gone.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Gone`] when the device stopped by itself, or [`CaptureError::Panicked`] when
    /// the thread did: the session's events have ended then, and the latest audio is lost.
    pub fn join(mut self) -> Result<(), CaptureError> {
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).unwrap_or(Err(CaptureError::Panicked))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Run {
    capture: Capture,
    session: Session,
    meter: Level,
}

impl Run {
    /// Feeds the session until `wait`, which takes a while, answers that it is over.
    fn until(&mut self, wait: impl Fn() -> bool) -> Result<(), CaptureError> {
        let mut block = Vec::new();
        loop {
            match self.feed(&mut block)? {
                RingRead::Empty => {}
                _ => return Ok(()),
            }
            let failure = self.capture.failures.try_recv().ok();
            if failure.is_some() || wait() {
                self.capture.disconnect();
                self.feed(&mut block)?;
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Feeds the ring's content to the session; returns the ring's last state.
    fn feed(&mut self, block: &mut Vec<f32>) -> Result<RingRead, CaptureError> {
        loop {
            match self.session.push_from(&mut self.capture.reader, block)? {
                RingRead::Frames(_) => self.meter.measure(block),
                RingRead::Lost(_) => {}
                end => return Ok(end),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Format, RingWriter};
    use crate::capture::{Backend, Device, Input, Kind, Stream};
    use crate::session::SessionOptions;
    use crate::{Engine, ModelSource};

    /// A device that panics when it is let go.
    struct Broken {
        _writer: RingWriter,
    }

    impl Stream for Broken {}

    impl Drop for Broken {
        fn drop(&mut self) {
            panic!("the driver has a defect");
        }
    }

    impl Backend for Kind {
        fn devices(&self) -> Result<Vec<Device>, CaptureError> {
            Ok(vec![Device::new("broken:0", "Broken", *self, Some(Format::MODEL))])
        }

        fn open(
            &self,
            _: &Input,
            connect: &mut dyn FnMut(Format) -> Result<RingWriter, CaptureError>,
            _: Sender<CaptureError>,
        ) -> Result<(Device, Box<dyn Stream>), CaptureError> {
            let writer = connect(Format::MODEL)?;
            Ok((self.devices()?.remove(0), Box::new(Broken { _writer: writer })))
        }
    }

    #[test]
    fn a_panic_while_listening_is_an_error() {
        let model = Engine::new().unwrap().load(&ModelSource::Embedded).unwrap();
        let session = Session::new(&model, SessionOptions::new(Format::MODEL)).unwrap();
        let events = session.events().clone();
        let capture = Capture::open(&Kind::Microphone, &Input::Microphone).unwrap();
        let mut pump = Pump::start(capture, session).unwrap();
        pump.stop();
        assert!(matches!(pump.join(), Err(CaptureError::Panicked)));
        assert!(events.iter().next().is_none(), "they have ended");
    }
}
