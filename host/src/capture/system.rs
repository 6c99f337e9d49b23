//! This machine's devices, through cpal: PulseAudio (and PipeWire, which speaks its protocol) or
//! else ALSA on Linux, WASAPI on Windows, CoreAudio on macOS.

use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Data, ErrorKind, FromSample, I24, SampleFormat, StreamConfig, SupportedStreamConfig, U24,
};
use crossbeam_channel::Sender;

use super::{Backend, CaptureError, Device, Input, Kind, Stream, choose};
use crate::audio::{Format, RingWriter};

/// Audio that the device delivers at a time, where one can ask: captions do not get earlier below
/// that.
const BLOCK: Duration = Duration::from_millis(20);

/// Maximum time for a device to open.
const OPENING: Duration = Duration::from_secs(5);

/// Suffix by which PulseAudio names the loopback source (monitor) of a sink.
const MONITOR: &str = ".monitor";

/// This machine's sound system.
pub struct System {
    host: cpal::Host,
}

/// A device, and how it is opened.
struct Found {
    device: Device,
    port: cpal::Device,
    /// Format that it delivers; `None` if it does not say.
    config: Option<SupportedStreamConfig>,
}

impl System {
    /// The one that applications use here: PulseAudio or PipeWire where there is one, else the
    /// system's own.
    ///
    /// # Errors
    ///
    /// [`CaptureError::NoHost`] when none answers.
    pub fn new() -> Result<Self, CaptureError> {
        if cpal::available_hosts().is_empty() {
            return Err(CaptureError::NoHost { reason: "there is none that hearken knows".to_owned() });
        }
        Ok(Self { host: cpal::default_host() })
    }

    /// Opens a device by name, of those that [`System::names`] gives.
    ///
    /// # Errors
    ///
    /// [`CaptureError::NoHost`] when it does not answer.
    pub fn named(name: &str) -> Result<Self, CaptureError> {
        let id: cpal::HostId = name.parse().map_err(no_host)?;
        Ok(Self { host: cpal::host_from_id(id).map_err(no_host)? })
    }

    /// The sound systems of this machine: `pulseaudio`, `alsa`, `wasapi`, `coreaudio`.
    pub fn names() -> Vec<String> {
        cpal::available_hosts().iter().map(ToString::to_string).collect()
    }

    /// Name of the device.
    pub fn name(&self) -> String {
        self.host.id().to_string()
    }

    /// The devices that `input` may mean: all, unless it names one by its id. A query of one
    /// device's format can take seconds.
    fn find(&self, input: Option<&Input>) -> Result<Vec<Found>, CaptureError> {
        hush();
        let id = |device: &cpal::Device| device.id().ok().map(|id| id.id().to_owned());
        let microphone = self.host.default_input_device().and_then(|device| id(&device));
        let speaker = self.host.default_output_device().and_then(|device| id(&device));
        let monitor = speaker.as_ref().map(|speaker| format!("{speaker}{MONITOR}"));
        let all = self.host.devices().map_err(no_host)?;
        let mut all: Vec<_> = all.filter_map(|port| Some((id(&port)?, port))).collect();
        if let Some(Input::Device(wanted)) = input
            && let Some(at) = all.iter().position(|(key, _)| key == wanted)
        {
            all = vec![all.swap_remove(at)];
        }
        let mut found = Vec::new();
        for (key, port) in all {
            let Ok(name) = port.description() else { continue };
            let is_monitor = key.ends_with(MONITOR);
            let (kind, config, default) = if port.supports_input() {
                let kind = if is_monitor { Kind::System } else { Kind::Microphone };
                let default = microphone.as_ref() == Some(&key) || monitor.as_ref() == Some(&key);
                (kind, port.default_input_config().ok(), default)
            } else if !cfg!(target_os = "linux") && port.supports_output() {
                // WASAPI and CoreAudio open an output device for input as loopback.
                (Kind::System, port.default_output_config().ok(), speaker.as_ref() == Some(&key))
            } else {
                continue;
            };
            let format = config.as_ref().and_then(format_of);
            let mut device = Device::new(&key, name.name(), kind, format);
            device.default = default;
            found.push(Found { device, port, config });
        }
        found.sort_by_key(|found| !found.device.default);
        Ok(found)
    }
}

impl Backend for System {
    fn devices(&self) -> Result<Vec<Device>, CaptureError> {
        Ok(self.find(None)?.into_iter().map(|found| found.device).collect())
    }

    fn open(
        &self,
        input: &Input,
        connect: &mut dyn FnMut(Format) -> Result<RingWriter, CaptureError>,
        failures: Sender<CaptureError>,
    ) -> Result<(Device, Box<dyn Stream>), CaptureError> {
        let found = self.find(Some(input))?;
        let devices: Vec<Device> = found.iter().map(|found| found.device.clone()).collect();
        let device = choose(&devices, input)?;
        let Found { device, port, config } = found
            .into_iter()
            .find(|found| found.device == *device)
            .ok_or_else(|| CaptureError::NoDevice { wanted: device.id.clone() })?;
        let reject = |reason: String| CaptureError::Open { device: device.name.clone(), reason };
        let supported = config.ok_or_else(|| reject("it does not say what it delivers".to_owned()))?;
        let format = format_of(&supported).ok_or_else(|| {
            reject(format!("{} Hz with {} channels", supported.sample_rate(), supported.channels()))
        })?;

        let block = u64::from(format.sample_rate) * BLOCK.as_millis() as u64 / 1000;
        let mut refused = None;
        // Not every device lets one choose how much it delivers at a time.
        for buffer_size in [BufferSize::Fixed(block as u32), BufferSize::Default] {
            let config =
                StreamConfig { channels: format.channels, sample_rate: format.sample_rate, buffer_size };
            // A writer for each attempt: a failed one has taken its own with it.
            let mut writer = connect(format)?;
            let (failures, name) = (failures.clone(), device.name.clone());
            let stream = port.build_input_stream_raw(
                config,
                supported.sample_format(),
                move |data, _| write(&mut writer, data),
                move |error| complain(&failures, &name, &error),
                Some(OPENING),
            );
            match stream.and_then(|stream| stream.play().map(|()| stream)) {
                Ok(stream) => return Ok((device, Box::new(Running { _stream: stream }))),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        Err(reject(refused.unwrap_or_default()))
    }
}

struct Running {
    _stream: cpal::Stream,
}

impl Stream for Running {}

/// Keeps alsa-lib from writing diagnostics of each device that it tries on this thread to standard
/// error: relevant ones come back as an error. Where it cannot be kept from it, it writes.
fn hush() {
    #[cfg(target_os = "linux")]
    let _ = alsa::Output::local_error_handler();
}

/// Format of a device, if it is in range.
fn format_of(config: &SupportedStreamConfig) -> Option<Format> {
    Format { sample_rate: config.sample_rate(), channels: config.channels() }.validate().ok()
}

/// The callback: converts and hands over, nothing else.
fn write(writer: &mut RingWriter, data: &Data) {
    fn each<T: cpal::SizedSample>(writer: &mut RingWriter, data: &Data)
    where
        f32: FromSample<T>,
    {
        // The type is the one that the stream was opened with; were it not, there would be nothing
        // to hand over.
        let samples = data.as_slice::<T>().unwrap_or_default();
        writer.write(samples.iter().map(|sample| f32::from_sample_(*sample)));
    }
    match data.sample_format() {
        SampleFormat::I8 => each::<i8>(writer, data),
        SampleFormat::I16 => each::<i16>(writer, data),
        SampleFormat::I24 => each::<I24>(writer, data),
        SampleFormat::I32 => each::<i32>(writer, data),
        SampleFormat::I64 => each::<i64>(writer, data),
        SampleFormat::U8 => each::<u8>(writer, data),
        SampleFormat::U16 => each::<u16>(writer, data),
        SampleFormat::U24 => each::<U24>(writer, data),
        SampleFormat::U32 => each::<u32>(writer, data),
        SampleFormat::U64 => each::<u64>(writer, data),
        SampleFormat::F32 => each::<f32>(writer, data),
        SampleFormat::F64 => each::<f64>(writer, data),
        _ => {}
    }
}

/// Reports errors that end a stream. An overrun in the device does not, nor does a change of the
/// default device that the stream has followed.
fn complain(failures: &Sender<CaptureError>, device: &str, error: &cpal::Error) {
    if !matches!(error.kind(), ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied) {
        // A full channel already says that it is over.
        let _ =
            failures.try_send(CaptureError::Gone { device: device.to_owned(), reason: error.to_string() });
    }
}

fn no_host(error: cpal::Error) -> CaptureError {
    CaptureError::NoHost { reason: error.to_string() }
}
