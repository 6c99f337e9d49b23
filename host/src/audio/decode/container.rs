//! Packets of a container, decoded: the only place that names symphonia's types.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_PCM_ALAW, CODEC_ID_PCM_MULAW,
};
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, CODEC_ID_NULL_AUDIO,
};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_AIFF, FORMAT_ID_CAF, FORMAT_ID_FLAC, FORMAT_ID_MKV, FORMAT_ID_MP1, FORMAT_ID_MP2,
    FORMAT_ID_MP3, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;
use symphonia_adapter_libopus::OpusDecoder;

use crate::audio::Format;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    codecs
});

/// Data length from which a WAV header means "until the end": what writes to a pipe cannot go back and fill it in.
/// ffmpeg writes 0xFFFFFFFF, SoX 0x7FFFF000 or so.
const UNKNOWN_WAV_BYTES: u64 = 0x7FFF_0000;

/// Most frames in a packet of ADPCM. symphonia allocates room for as many as the file states, before it has read one.
const MAX_ADPCM_FRAMES: u64 = 65_536;

/// Longest packet, in bytes. Real ones have some thousands; what one holds is decoded at once, into several times as much memory.
const MAX_PACKET: usize = 4 << 20;

/// Most frames in a byte of ADPCM: it stores 4 bits of each, and states the first of a block otherwise.
const ADPCM_FRAMES_PER_BYTE: u64 = 4;

/// One audio track and its decoder.
pub(super) struct Container {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    time_base: Option<TimeBase>,
}

/// What one packet gave.
pub(super) enum Step {
    /// Decoded audio, in the block.
    Audio {
        format: Format,
        /// Where the container says the block starts, in seconds as a fraction; none if it does not say.
        time: Option<Time>,
    },
    /// The packet could not be decoded.
    Skipped {
        /// How long it would have been.
        length: Option<Time>,
    },
    /// Another stream follows in the same file, with times of its own.
    Restarted,
    /// The proper end.
    End,
}

/// An exact time: `ticks * numer / denom` seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    ticks: i128,
    base: TimeBase,
}

impl Time {
    /// In frames of the given rate, rounded to the nearest.
    pub(super) fn frames(self, rate: u32) -> i128 {
        let denom = i128::from(self.base.denom.get());
        let scaled = self.ticks * i128::from(self.base.numer.get()) * i128::from(rate);
        (2 * scaled + denom).div_euclid(2 * denom)
    }
}

/// Why no more packets come.
#[derive(Debug)]
pub(super) enum Failure {
    /// The bytes end where more are needed.
    Cut,
    /// The system failed to deliver them.
    Io(std::io::Error),
    /// They make no sense.
    Damaged(String),
    /// There is no audio among them.
    NoTrack,
    /// No decoder for what they hold.
    Codec(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Cut,
            Error::IoError(error) => Self::Io(error),
            Error::Unsupported(what) => Self::Codec(what.to_owned()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Parsers meet hostile bytes here. A panic in one is a damaged file, not the end of the service; the reader and the
/// decoder are not used again after it.
fn guard<T>(parse: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(parse))
        .unwrap_or_else(|_| Err(Failure::Damaged("its parser failed".to_owned())))
}

impl Container {
    /// Finds out what the bytes are, and chooses the default audio track.
    pub(super) fn open(source: Box<dyn MediaSource>, extension: Option<&str>) -> Result<Self, Failure> {
        guard(|| {
            let stream = MediaSourceStream::new(source, Default::default());
            let mut hint = Hint::new();
            if let Some(extension) = extension {
                hint.with_extension(extension);
            }
            let reader = symphonia::default::get_probe()
                .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
                .map_err(|error| match error {
                    // Of the container, not of what is in it.
                    Error::Unsupported(what) => Failure::Damaged(what.to_owned()),
                    error => error.into(),
                })?;
            let (track, decoder) = choose(&*reader)?;
            Ok(Self { time_base: track.time_base, track: track.id, decoder, reader })
        })
    }

    /// Decodes the next packet of the track into `block`, which is empty unless the step is [`Step::Audio`].
    pub(super) fn next(&mut self, block: &mut Vec<f32>) -> Result<Step, Failure> {
        block.clear();
        guard(|| self.step(block))
    }

    fn step(&mut self, block: &mut Vec<f32>) -> Result<Step, Failure> {
        let packet = loop {
            match self.reader.next_packet() {
                Ok(None) => return Ok(Step::End),
                Ok(Some(packet)) if packet.track_id == self.track => break packet,
                Ok(Some(_)) => {}
                Err(Error::ResetRequired) => {
                    let (track, decoder) = choose(&*self.reader)?;
                    (self.track, self.time_base) = (track.id, track.time_base);
                    self.decoder = decoder;
                    return Ok(Step::Restarted);
                }
                Err(error) => return Err(error.into()),
            }
        };
        if packet.data.len() > MAX_PACKET {
            let len = packet.data.len();
            return Err(Failure::Damaged(format!("it has a packet of {len} bytes, more than {MAX_PACKET}")));
        }
        let time = |ticks| self.time_base.map(|base| Time { ticks, base });
        if self.claims_too_much(&packet) {
            return Ok(Step::Skipped { length: None });
        }
        match self.decoder.decode(&packet) {
            Ok(audio) => {
                let format = Format {
                    sample_rate: audio.spec().rate(),
                    channels: u16::try_from(audio.spec().channels().count()).unwrap_or(u16::MAX),
                };
                audio.copy_to_vec_interleaved(block);
                let start = i128::from(packet.pts.get()) + i128::from(packet.trim_start.get());
                Ok(Step::Audio { format, time: time(start) })
            }
            Err(Error::DecodeError(_) | Error::IoError(_)) => {
                Ok(Step::Skipped { length: time(i128::from(packet.dur.get())) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns true if the file states more frames for a packet than its bytes can hold, and the decoder would allocate them.
    fn claims_too_much(&self, packet: &Packet) -> bool {
        let most = packet.data.len() as u64 * ADPCM_FRAMES_PER_BYTE;
        is_adpcm(self.decoder.codec_params().codec) && packet.block_dur().get() > most
    }

    /// What the header says about the format, for recordings without a single packet.
    pub(super) fn stated_format(&self) -> Option<Format> {
        let params = self.decoder.codec_params();
        let format = Format {
            sample_rate: params.sample_rate?,
            channels: u16::try_from(params.channels.as_ref()?.count()).ok()?,
        };
        format.validate().ok()
    }

    fn track(&self) -> Option<&Track> {
        self.reader.tracks().iter().find(|track| track.id == self.track)
    }

    /// How many frames the header speaks of, exactly or not.
    pub(super) fn stated_frames(&self, rate: u32) -> Option<u64> {
        let track = self.track()?;
        let info = self.reader.media_info();
        let (duration, base) = track.duration.zip(track.time_base).or(info.duration.zip(info.time_base))?;
        let ticks = i128::from(duration.get());
        let frames = u64::try_from(Time { ticks, base }.frames(rate)).ok()?;
        let params = self.decoder.codec_params();
        let bits = u64::from(params.bits_per_coded_sample.unwrap_or(8));
        let channels = params.channels.as_ref().map_or(1, |channels| channels.count() as u64);
        let endless = self.reader.format_info().format == FORMAT_ID_WAVE
            && frames.saturating_mul(bits / 8).saturating_mul(channels) >= UNKNOWN_WAV_BYTES;
        (!endless).then_some(frames)
    }

    /// How many frames there must be for the recording to be complete, if its header is to be trusted with that.
    ///
    /// The other containers show a cut by themselves; an MP3 without an encoder's tag only has an estimate.
    pub(super) fn promised_frames(&self, rate: u32) -> Option<u64> {
        let frames = self.stated_frames(rate)?;
        let format = self.reader.format_info().format;
        let lossless = matches!(format, FORMAT_ID_WAVE | FORMAT_ID_AIFF | FORMAT_ID_FLAC);
        let tagged = is_mpeg(format) && self.track()?.delay.is_some();
        if lossless {
            Some(frames)
        } else if tagged || format == FORMAT_ID_CAF {
            // Encoders differ in what they count as padding: one of their frames, give or take.
            Some(frames.saturating_sub(4_096))
        } else {
            None
        }
    }

    /// Whether bytes that end here are no cut, with `delivered` frames out.
    ///
    /// Matroska has no mark at its end, and a pipe no known length: there the stated duration decides, and a live
    /// recording, which has none, ends wherever its bytes do. So does a WAV that was written to a pipe.
    pub(super) fn may_end_here(&self, delivered: u64, rate: u32) -> bool {
        let open_ended = matches!(self.reader.format_info().format, FORMAT_ID_MKV | FORMAT_ID_WAVE);
        // 50 ms: encoder delay, rounding, and a picture that stays a little longer than the sound.
        open_ended && self.stated_frames(rate).is_none_or(|stated| delivered + u64::from(rate / 20) >= stated)
    }

    /// Whether a packet's time is exact to the frame.
    pub(super) fn has_exact_times(&self) -> bool {
        self.reader.format_info().format == FORMAT_ID_FLAC
    }
}

fn is_mpeg(format: symphonia::core::formats::FormatId) -> bool {
    matches!(format, FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3)
}

fn is_adpcm(codec: AudioCodecId) -> bool {
    matches!(codec, CODEC_ID_ADPCM_IMA_QT | CODEC_ID_ADPCM_IMA_WAV | CODEC_ID_ADPCM_MS)
}

fn choose(reader: &dyn FormatReader) -> Result<(Track, Box<dyn AudioDecoder>), Failure> {
    let track = reader
        .default_track(TrackType::Audio)
        .or_else(|| reader.first_track(TrackType::Audio))
        .ok_or(Failure::NoTrack)?;
    let mut params: AudioCodecParameters =
        track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(Failure::NoTrack)?.clone();
    if params.codec == CODEC_ID_NULL_AUDIO {
        return Err(Failure::Codec("unknown codec".to_owned()));
    }
    // CAF states the 8 bits that are stored, where the decoder wants to hear of the 16 that come out.
    if matches!(params.codec, CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW) {
        (params.bits_per_sample, params.bits_per_coded_sample) = (None, None);
    }
    if !is_adpcm(params.codec) {
        // The file's number, which PCM is allocated by. Without it memory grows with what a packet holds.
        params.max_frames_per_packet = None;
    } else if let Some(frames) = params.max_frames_per_packet.max(params.frames_per_block)
        && frames > MAX_ADPCM_FRAMES
    {
        return Err(Failure::Damaged(format!(
            "it states {frames} frames in each packet of ADPCM, more than {MAX_ADPCM_FRAMES}"
        )));
    }
    // An MP3 without an encoder's tag has an estimated length, and trimming to an estimate loses audio.
    let gapless = !is_mpeg(reader.format_info().format) || track.delay.is_some();
    let decoder = CODECS.make_audio_decoder(&params, &AudioDecoderOptions::default().gapless(gapless))?;
    Ok((track.clone(), decoder))
}
