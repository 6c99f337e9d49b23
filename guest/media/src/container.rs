//! Packets of a container, decoded: the only place that names symphonia's readers and decoders.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use hearken_proto::media::{Facts, Failure, Report, Time, Track as Wanted, TrackFacts};
use symphonia::core::audio::layouts;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS, CODEC_ID_OPUS,
    CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F64BE, CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S24BE,
    CODEC_ID_PCM_S32BE,
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
use symphonia::core::formats::{FormatId, FormatOptions, FormatReader, Track, TrackFlags};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use crate::mp4::{self, Edits};
use crate::opus::Opus;
use crate::report::report;
use crate::source::Source;
use crate::track::same_language;
use crate::wave::{self, Samples, Wave};
use crate::{aac, mkv, mpeg, signature};

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs
});

/// Most frames in a packet of ADPCM. symphonia allocates room for as many as the file states,
/// before it has read one.
const MAX_ADPCM_FRAMES: u64 = 65_536;

/// Longest packet, in bytes. Real ones have some thousands; a packet is decoded at once, into
/// several times as much memory.
const MAX_PACKET: usize = 4 << 20;

/// Most frames in a byte of ADPCM: it stores 4 bits of each, and states the first of a block
/// otherwise.
const ADPCM_FRAMES_PER_BYTE: u64 = 4;

/// Frames by which encoders differ in what they count as padding: one of their frames, give or
/// take.
const ENCODER_FRAME: u32 = 4_096;

/// Packets of padding that may follow the stated end of an MP3. More of them are another MP3 that
/// was appended.
const MAX_PADDING_PACKETS: u32 = 2;

/// A recording, of which one audio track is decoded.
pub enum Container {
    /// Samples of a WAV file.
    Samples(Box<Samples>),
    /// Packets of anything else.
    Packets(Box<Packets>),
}

/// One audio track of a container, and its decoder.
pub struct Packets {
    reader: Box<dyn FormatReader>,
    decoder: Decoder,
    track: u32,
    time_base: Option<TimeBase>,
    wanted: Wanted,
    /// Packets in a row that lie behind the end that the header states.
    behind: u32,
    /// Rate [Hz] and channels of the latest frame of MPEG audio.
    frame: Option<(u32, usize)>,
    known: Known,
    /// The parts of the track that are played, if it is not all of it.
    edits: Option<Edits>,
    /// The length in the header is the recording's.
    bounded: bool,
}

/// Facts of a file that symphonia's readers leave out.
#[derive(Default)]
struct Known {
    /// Facts of an MP4 file.
    index: mp4::Index,
    /// Numbers of the tracks of a Matroska file that are not played by default.
    not_default: Vec<u32>,
    /// Set when the bytes of a stream that is wrapped in another file end too soon.
    short: Option<Arc<AtomicBool>>,
}

/// A decoder of packets.
enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Opus),
}

fn failure(error: Error) -> Failure {
    match error {
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Failure::Cut,
        Error::IoError(_) => Failure::Read,
        Error::Unsupported(what) => Failure::Codec(what.to_owned()),
        other => Failure::Damaged(other.to_string()),
    }
}

impl Container {
    /// Finds out what the bytes are, and chooses an audio track.
    ///
    /// # Errors
    /// Says why there is no audio to be had.
    pub fn open(source: Source, extension: Option<&str>, wanted: &Wanted) -> Result<Self, Failure> {
        let mut source = behind_tags(source)?;
        signature::refuse(source.peek(signature::LEN).map_err(|_| Failure::Read)?)?;
        let mut source = match wave::open(source)? {
            Wave::Samples(samples) => return Ok(Self::Samples(Box::new(samples))),
            Wave::Wrapped(source) => {
                let known = Known { short: Some(source.short()), ..Known::default() };
                return Packets::open(source, Some("mp3"), wanted, known, true);
            }
            Wave::Adpcm(source, bounded) => {
                return Packets::open(source, extension, wanted, Known::default(), bounded);
            }
            Wave::Other(source) => source,
        };
        let index = mp4::prepare(&mut source)?.unwrap_or_default();
        let not_default = mkv::not_default(&mut source);
        Packets::open(source, extension, wanted, Known { index, not_default, short: None }, true)
    }

    /// Decodes the next packet of the track into `block`, which is empty unless the report is
    /// [`Report::Audio`].
    pub fn next(&mut self, block: &mut Vec<f32>) -> Report {
        block.clear();
        match self {
            Self::Packets(packets) => packets.step(block).unwrap_or_else(Report::Failed),
            Self::Samples(samples) => match samples.next(block) {
                Ok(()) if block.is_empty() => Report::End,
                Ok(()) => report(samples.rate, samples.channels, block, None),
                Err(_) => Report::Failed(Failure::Read),
            },
        }
    }

    /// Facts that the container states.
    pub fn facts(&self) -> Facts {
        match self {
            Self::Packets(packets) => packets.facts(),
            Self::Samples(samples) => Facts {
                format: u32::try_from(samples.channels).ok().map(|channels| (samples.rate, channels)),
                duration: samples.frames.map(|frames| Time {
                    ticks: i64::try_from(frames).unwrap_or(i64::MAX),
                    numer: 1,
                    denom: samples.rate,
                }),
                tolerance: Some(0),
                open_ended: samples.frames.is_none(),
                tracks: vec![TrackFacts::default()],
                ..Facts::default()
            },
        }
    }
}

/// Leaves out ID3v2 tags, which may hold pictures of any size.
fn behind_tags(mut source: Source) -> Result<Source, Failure> {
    loop {
        let start = source.peek(10).map_err(|_| Failure::Read)?;
        let &[b'I', b'D', b'3', _, _, flags, a, b, c, d] = start else { return Ok(source) };
        // Seven bits of each byte, so that no byte looks like the start of a frame.
        let size = [a, b, c, d].iter().fold(0u64, |size, &byte| size << 7 | u64::from(byte & 0x7F));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        source = source.section(10 + size + footer, None);
    }
}

impl Packets {
    fn open(
        source: Source,
        extension: Option<&str>,
        wanted: &Wanted,
        known: Known,
        bounded: bool,
    ) -> Result<Container, Failure> {
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let mut hint = Hint::new();
        if let Some(extension) = extension {
            hint.with_extension(extension);
        }
        let reader = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|error| match error {
                // Of the container, not of what is in it.
                Error::Unsupported(what) => Failure::Damaged(what.to_owned()),
                error => failure(error),
            })?;
        let (track, mut decoder) = choose(&*reader, wanted, &known)?;
        let (track, time_base) = (track.id, track.time_base);
        let edits = known.index.tracks.get(&track).and_then(|facts| Edits::new(facts.edits.clone()));
        if let (Some(_), Decoder::Opus(decoder)) = (&edits, &mut decoder) {
            // The edit list begins behind them.
            decoder.keep_start();
        }
        let wanted = wanted.clone();
        let packets =
            Self { reader, decoder, track, time_base, wanted, behind: 0, frame: None, known, edits, bounded };
        Ok(Container::Packets(Box::new(packets)))
    }

    fn step(&mut self, block: &mut Vec<f32>) -> Result<Report, Failure> {
        let mut packet = loop {
            match self.reader.next_packet() {
                Ok(None) => {
                    let short = self.known.short.as_ref().is_some_and(|short| short.load(Ordering::Relaxed));
                    return if short { Err(Failure::Cut) } else { Ok(Report::End) };
                }
                Ok(Some(packet)) if packet.track_id == self.track => break packet,
                Ok(Some(_)) => {}
                Err(Error::ResetRequired) => {
                    let (track, decoder) = choose(&*self.reader, &self.wanted, &self.known)?;
                    (self.track, self.time_base) = (track.id, track.time_base);
                    self.decoder = decoder;
                    self.behind = 0;
                    return Ok(Report::Restarted(self.facts()));
                }
                Err(error) => return Err(failure(error)),
            }
        };
        if packet.data.len() > MAX_PACKET {
            let len = packet.data.len();
            return Err(Failure::Damaged(format!("it has a packet of {len} bytes, more than {MAX_PACKET}")));
        }
        self.untrim(&mut packet);
        self.follow(&packet)?;
        // All of it is decoded, for the next packet stands on this one.
        match &mut self.decoder {
            Decoder::Symphonia(decoder) => {
                if claims_too_much(&**decoder, &packet) {
                    return Ok(Report::Skipped { length: None });
                }
                match decoder.decode(&packet) {
                    Ok(audio) => {
                        let (rate, channels) = (audio.spec().rate(), audio.spec().channels().count());
                        audio.copy_to_vec_interleaved(block);
                        Ok(self.audio(&packet, rate, channels, block))
                    }
                    Err(Error::DecodeError(_) | Error::IoError(_)) => Ok(self.skipped(&packet)),
                    Err(error) => Err(failure(error)),
                }
            }
            Decoder::Opus(decoder) => {
                let channels = decoder.channels();
                let trim_end = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
                if decoder.decode(&packet.data, trim_end, block) {
                    Ok(self.audio(&packet, crate::opus::RATE, channels, block))
                } else {
                    Ok(self.skipped(&packet))
                }
            }
        }
    }

    /// The report of a packet that is decoded: all of it, or the part that is played.
    fn audio(&self, packet: &Packet, sample_rate: u32, channels: usize, block: &mut Vec<f32>) -> Report {
        let start = packet.pts.get().saturating_add_unsigned(packet.trim_start.get());
        let Some((edits, base)) = self.edits.as_ref().zip(self.time_base) else {
            return report(sample_rate, channels, block, self.time(start));
        };
        let ticks = u64::try_from(start).unwrap_or(0);
        let Some(played) = edits.played(ticks, packet.dur.get().max(1)) else {
            block.clear();
            return report(sample_rate, channels, block, None);
        };
        let samples = |ticks: u64| {
            let frames = u128::from(ticks) * u128::from(base.numer.get()) * u128::from(sample_rate);
            usize::try_from(frames / u128::from(base.denom.get()))
                .unwrap_or(usize::MAX)
                .saturating_mul(channels)
        };
        let end = if played.skip + played.keep == packet.dur.get() {
            block.len()
        } else {
            samples(played.skip + played.keep).min(block.len())
        };
        block.truncate(end);
        block.drain(..samples(played.skip).min(end));
        let time = self.time(i64::try_from(played.at).unwrap_or(i64::MAX));
        report(sample_rate, channels, block, time)
    }

    fn skipped(&self, packet: &Packet) -> Report {
        Report::Skipped { length: self.time(i64::try_from(packet.dur.get()).unwrap_or(i64::MAX)) }
    }

    /// A time by the track's clock. MPEG audio has none: its reader counts frames.
    fn time(&self, ticks: i64) -> Option<Time> {
        let base = self.time_base.filter(|_| !is_mpeg(self.reader.format_info().format))?;
        Some(Time { ticks, numer: base.numer.get(), denom: base.denom.get() })
    }

    /// Makes a decoder for frames of MPEG audio that have another rate or other channels than those
    /// before: of an MP3 that was appended to another one.
    fn follow(&mut self, packet: &Packet) -> Result<(), Failure> {
        let Decoder::Symphonia(decoder) = &mut self.decoder else { return Ok(()) };
        if !is_mpeg(self.reader.format_info().format) {
            return Ok(());
        }
        let frame = mpeg::frame(&packet.data);
        if let (Some((rate, channels)), Some(before)) = (frame, self.frame)
            && (rate, channels) != before
        {
            let mut params = decoder.codec_params().clone();
            let layout =
                if channels == 1 { layouts::CHANNEL_LAYOUT_MONO } else { layouts::CHANNEL_LAYOUT_STEREO };
            params.with_sample_rate(rate).with_channels(layout);
            *decoder = make(&params, false)?;
        }
        self.frame = frame.or(self.frame);
        Ok(())
    }

    /// Keeps the packets of an MP3 that was appended to another one: the header of the first states
    /// where it ends, and whatever is behind that would be cut away.
    fn untrim(&mut self, packet: &mut Packet) {
        if !is_mpeg(self.reader.format_info().format) {
            return;
        }
        // The reader states the whole length of a frame, and how far its end lies behind the end of
        // the recording.
        if packet.trim_end < packet.dur {
            self.behind = 0;
            return;
        }
        self.behind = self.behind.saturating_add(1);
        if self.behind > MAX_PADDING_PACKETS {
            packet.trim_end = Default::default();
        }
    }

    fn facts(&self) -> Facts {
        let format = self.reader.format_info().format;
        let rate = match &self.decoder {
            Decoder::Symphonia(decoder) => decoder.codec_params().sample_rate,
            Decoder::Opus(_) => Some(crate::opus::RATE),
        };
        let channels = match &self.decoder {
            Decoder::Symphonia(decoder) => decoder.codec_params().channels.as_ref().map(|c| c.count()),
            Decoder::Opus(opus) => Some(opus.channels()),
        };
        let track = self.reader.tracks().iter().find(|track| track.id == self.track);
        let duration = track.and_then(|track| self.duration(track));
        let lossless = matches!(format, FORMAT_ID_WAVE | FORMAT_ID_AIFF | FORMAT_ID_FLAC);
        let tagged = is_mpeg(format) && track.is_some_and(|track| track.delay.is_some());
        let tracks: Vec<&Track> = audio_tracks(&*self.reader).collect();
        Facts {
            format: rate.zip(channels.and_then(|channels| u32::try_from(channels).ok())),
            duration,
            // The other containers show a cut by themselves; an MP3 without an encoder's tag only
            // has an estimate.
            tolerance: if lossless {
                Some(0)
            } else if tagged || format == FORMAT_ID_CAF {
                Some(ENCODER_FRAME)
            } else {
                None
            },
            // Matroska has no mark at its end, and a pipe no known length: there the stated
            // duration decides, and a live recording, which has none, ends wherever its bytes do.
            // So does a WAV that was written to a pipe.
            open_ended: matches!(format, FORMAT_ID_MKV | FORMAT_ID_WAVE),
            exact_times: format == FORMAT_ID_FLAC,
            // Sound that starts behind the picture's start is late.
            absolute_times: self.edits.is_some()
                || format == FORMAT_ID_MKV && self.reader.tracks().len() > tracks.len(),
            chosen: tracks.iter().position(|track| track.id == self.track).unwrap_or(0) as u32,
            tracks: tracks.iter().map(|track| TrackFacts { language: track.language.clone() }).collect(),
        }
    }

    fn duration(&self, track: &Track) -> Option<Time> {
        if !self.bounded {
            return None;
        }
        if let Some((ticks, base)) = self.edits.as_ref().and_then(Edits::len).zip(self.time_base) {
            let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
            return Some(Time { ticks, numer: base.numer.get(), denom: base.denom.get() });
        }
        let info = self.reader.media_info();
        let (duration, base) = track.duration.zip(track.time_base).or(info.duration.zip(info.time_base))?;
        let ticks = i64::try_from(duration.get()).unwrap_or(i64::MAX);
        Some(Time { ticks, numer: base.numer.get(), denom: base.denom.get() })
    }
}

/// Returns true if the file states more frames for a packet than its bytes can hold, and the
/// decoder would allocate them.
fn claims_too_much(decoder: &dyn AudioDecoder, packet: &Packet) -> bool {
    let most = packet.data.len() as u64 * ADPCM_FRAMES_PER_BYTE;
    is_adpcm(decoder.codec_params().codec) && packet.block_dur().get() > most
}

fn is_mpeg(format: FormatId) -> bool {
    matches!(format, FORMAT_ID_MP1 | FORMAT_ID_MP2 | FORMAT_ID_MP3)
}

fn is_adpcm(codec: AudioCodecId) -> bool {
    matches!(codec, CODEC_ID_ADPCM_IMA_QT | CODEC_ID_ADPCM_IMA_WAV | CODEC_ID_ADPCM_MS)
}

/// QuickTime's uncompressed sound has the highest byte first, unless a box says otherwise, which
/// symphonia does not read.
fn in_byte_order(codec: AudioCodecId, facts: &mp4::TrackFacts) -> AudioCodecId {
    match &facts.entry {
        b"in24" if !facts.little_endian => CODEC_ID_PCM_S24BE,
        b"in32" if !facts.little_endian => CODEC_ID_PCM_S32BE,
        b"fl32" if !facts.little_endian => CODEC_ID_PCM_F32BE,
        b"fl64" if !facts.little_endian => CODEC_ID_PCM_F64BE,
        _ => codec,
    }
}

fn audio(track: &Track) -> Option<&AudioCodecParameters> {
    track.codec_params.as_ref()?.audio()
}

fn audio_tracks(reader: &dyn FormatReader) -> impl Iterator<Item = &Track> {
    reader.tracks().iter().filter(|track| audio(track).is_some())
}

fn choose<'a>(
    reader: &'a dyn FormatReader,
    wanted: &Wanted,
    known: &Known,
) -> Result<(&'a Track, Decoder), Failure> {
    let mut tracks = audio_tracks(reader);
    let track = match wanted {
        Wanted::Default => {
            let default = audio_tracks(reader).find(|track| {
                track.flags.contains(TrackFlags::DEFAULT)
                    || !known.not_default.is_empty() && !known.not_default.contains(&track.id)
            });
            let decodes =
                |track: &&Track| audio(track).is_some_and(|audio| audio.codec != CODEC_ID_NULL_AUDIO);
            default.or_else(|| audio_tracks(reader).find(decodes)).or_else(|| tracks.next())
        }
        Wanted::Number(number) => tracks.nth((*number as usize).wrapping_sub(1)),
        Wanted::Language(language) => {
            tracks.find(|track| track.language.as_deref().is_some_and(|own| same_language(own, language)))
        }
    };
    let track = track.ok_or(Failure::NoTrack)?;
    Ok((track, decoder(reader, track, known.index.tracks.get(&track.id))?))
}

fn decoder(
    reader: &dyn FormatReader,
    track: &Track,
    facts: Option<&mp4::TrackFacts>,
) -> Result<Decoder, Failure> {
    let mut params = audio(track).ok_or(Failure::NoTrack)?.clone();
    if params.codec == CODEC_ID_NULL_AUDIO {
        let entry = facts.map(|facts| String::from_utf8_lossy(&facts.entry).into_owned());
        return Err(Failure::Codec(entry.unwrap_or_else(|| "unknown codec".to_owned())));
    }
    if let Some(facts) = facts {
        params.codec = in_byte_order(params.codec, facts);
    }
    if params.codec == CODEC_ID_AAC
        && let Some(core) = params.extra_data.as_deref().and_then(aac::core)
    {
        params.extra_data = Some(core.into());
    }
    if params.codec == CODEC_ID_OPUS {
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        return Opus::new(params.extra_data.as_deref(), channels).map(Decoder::Opus).map_err(Failure::Codec);
    }
    // CAF states the 8 bits that are stored, where the decoder wants to hear of the 16 that come
    // out.
    if matches!(params.codec, CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW) {
        (params.bits_per_sample, params.bits_per_coded_sample) = (None, None);
    }
    if !is_adpcm(params.codec) {
        // The file's number, which PCM is allocated by. Without it memory grows with what a packet
        // holds.
        params.max_frames_per_packet = None;
    } else if let Some(frames) = params.max_frames_per_packet.max(params.frames_per_block)
        && frames > MAX_ADPCM_FRAMES
    {
        return Err(Failure::Damaged(format!(
            "it states {frames} frames in each packet of ADPCM, more than {MAX_ADPCM_FRAMES}"
        )));
    }
    // An MP3 without an encoder's tag has an estimated length, and trimming to an estimate loses
    // audio.
    let gapless = !is_mpeg(reader.format_info().format) || track.delay.is_some();
    make(&params, gapless).map(Decoder::Symphonia)
}

fn make(params: &AudioCodecParameters, gapless: bool) -> Result<Box<dyn AudioDecoder>, Failure> {
    CODECS.make_audio_decoder(params, &AudioDecoderOptions::default().gapless(gapless)).map_err(failure)
}
