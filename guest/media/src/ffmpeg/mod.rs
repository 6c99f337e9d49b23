//! Recordings that FFmpeg's libraries read: the decoder of the module that an operator can add.

mod length;

use std::ffi::{CStr, CString, c_char, c_void};
use std::io::{Read, Seek, SeekFrom};
use std::ptr::{self, NonNull};

use hearken_proto::media::{Facts, Failure, Report, Time, Track as Wanted, TrackFacts};

use crate::report::report;
use crate::signature;
use crate::source::Source;
use crate::track::same_language;

/// Most samples of one frame: codecs have some thousands, Monkey's Audio a million or so.
const MAX_SAMPLES: usize = 16 << 20;

/// Difference between a packet's time and the end of the one before it from which a container's
/// clock has started anew [s], where clocks do: `ffmpeg` has the same one.
const JUMP: i128 = 10;

/// Part of a second by which a complete recording may be shorter than its header states: encoders'
/// delays, which some count and some do not.
const TOLERANCE: u32 = 5;

/// Declarations of `shim.h`.
mod shim {
    use super::{c_char, c_void};

    /// A recording that is open.
    #[repr(C)]
    pub(super) struct Recording {
        _opaque: [u8; 0],
    }

    #[repr(C)]
    pub(super) struct Track {
        pub(super) language: *const c_char,
        pub(super) codec: *const c_char,
        pub(super) is_default: i32,
        pub(super) is_decodable: i32,
    }

    #[repr(C)]
    #[derive(Default)]
    pub(super) struct Facts {
        pub(super) sample_rate: i32,
        pub(super) channels: i32,
        pub(super) duration: i64,
        pub(super) numer: i32,
        pub(super) denom: i32,
        pub(super) is_exact: i32,
        pub(super) is_absolute: i32,
        pub(super) may_jump: i32,
    }

    #[repr(C)]
    #[derive(Default)]
    pub(super) struct Frame {
        pub(super) sample_rate: i32,
        pub(super) channels: i32,
        pub(super) frames: i32,
        pub(super) has_time: i32,
        pub(super) time: i64,
    }

    /// Zeros behind the bytes that are probed.
    pub(super) const PADDING: usize = 32;

    pub(super) const AUDIO: i32 = 0;
    pub(super) const SKIPPED: i32 = 1;
    pub(super) const END: i32 = 2;
    pub(super) const CUT: i32 = 3;

    pub(super) const OK: i32 = 0;
    pub(super) const OPEN_CUT: i32 = 1;
    pub(super) const OPEN_MEMORY: i32 = 3;

    pub(super) type Read = unsafe extern "C" fn(*mut c_void, *mut u8, i32) -> i32;
    pub(super) type Seek = unsafe extern "C" fn(*mut c_void, i64) -> i64;

    unsafe extern "C" {
        pub(super) fn ffmpeg_open(
            out: *mut *mut Recording,
            source: *mut c_void,
            read: Read,
            seek: Option<Seek>,
            len: i64,
            name: *const c_char,
            start: *mut u8,
            start_len: i32,
        ) -> i32;
        pub(super) fn ffmpeg_tracks(recording: *const Recording) -> i32;
        pub(super) fn ffmpeg_track(recording: *const Recording, number: i32, out: *mut Track);
        pub(super) fn ffmpeg_choose(recording: *mut Recording, number: i32) -> i32;
        pub(super) fn ffmpeg_facts(recording: *const Recording, out: *mut Facts);
        pub(super) fn ffmpeg_next(recording: *mut Recording, out: *mut Frame) -> i32;
        pub(super) fn ffmpeg_samples(recording: *const Recording, out: *mut f32);
        pub(super) fn ffmpeg_close(recording: *mut Recording);
    }
}

/// The bytes of a recording, as C reads them.
struct Input {
    source: Source,
    /// The host could not read them.
    failed: bool,
}

/// Reads for libavformat.
///
/// # Safety
///
/// `input` is a [`Input`] that nobody else uses, and `out` has room for `len` bytes.
unsafe extern "C" fn read(input: *mut c_void, out: *mut u8, len: i32) -> i32 {
    // SAFETY: the caller's promise.
    let input = unsafe { &mut *input.cast::<Input>() };
    let Ok(len) = usize::try_from(len) else { return -1 };
    // SAFETY: the caller's promise; every byte pattern is a byte.
    let out = unsafe { std::slice::from_raw_parts_mut(out, len) };
    match input.source.read(out) {
        Ok(read) => i32::try_from(read).unwrap_or(-1),
        Err(_) => {
            input.failed = true;
            -1
        }
    }
}

/// Seeks for libavformat.
///
/// # Safety
///
/// `input` is a [`Input`] that nobody else uses.
unsafe extern "C" fn seek(input: *mut c_void, position: i64) -> i64 {
    // SAFETY: the caller's promise.
    let input = unsafe { &mut *input.cast::<Input>() };
    let Ok(position) = u64::try_from(position) else { return -1 };
    match input.source.seek(SeekFrom::Start(position)) {
        Ok(position) => i64::try_from(position).unwrap_or(-1),
        Err(_) => -1,
    }
}

/// One audio track of a recording, and its decoder.
pub struct Container {
    recording: NonNull<shim::Recording>,
    input: NonNull<Input>,
    facts: Facts,
    tick: (u32, u32),
    may_jump: bool,
    /// The file is shorter than it says.
    is_cut: bool,
    /// End of the latest frame in ticks, if its container has a clock.
    end: Option<i128>,
    /// A decoded frame that waits behind the report of a new start.
    held: Option<shim::Frame>,
}

/// Facts of one audio track that decide which one is chosen.
struct Track {
    language: Option<String>,
    codec: String,
    is_default: bool,
    is_decodable: bool,
}

fn text(text: *const c_char) -> Option<String> {
    // SAFETY: libavformat's texts end with a zero, and live as long as the recording.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

impl Container {
    /// Finds out what the bytes are, and chooses an audio track.
    ///
    /// # Errors
    /// Says why there is no audio to be had.
    pub fn open(mut source: Source, extension: Option<&str>, wanted: &Wanted) -> Result<Self, Failure> {
        let mut start = source.peek(signature::LEN).map_err(|_| Failure::Read)?.to_vec();
        signature::refuse_others(&start)?;
        let start_len = i32::try_from(start.len()).unwrap_or(0);
        start.resize(start.len() + shim::PADDING, 0);
        let seekable = source.is_seekable();
        let is_cut = match source.len().filter(|_| seekable) {
            Some(len) => length::stated(&mut source).is_some_and(|stated| stated > len),
            None => false,
        };
        let len = source.len().and_then(|len| i64::try_from(len).ok()).unwrap_or(-1);
        let name = CString::new(format!("it.{}", extension.unwrap_or_default())).unwrap_or_default();
        let input = Box::leak(Box::new(Input { source, failed: false }));
        let input = NonNull::from(input);
        let mut recording = ptr::null_mut();
        // SAFETY: `input` lives until the recording is closed, `name` and `start` until the call is
        // over; the functions are made for them, and `start` has the padding.
        let status = unsafe {
            let seek: Option<shim::Seek> = seekable.then_some(seek);
            shim::ffmpeg_open(
                &mut recording,
                input.as_ptr().cast(),
                read,
                seek,
                len,
                name.as_ptr(),
                start.as_mut_ptr(),
                start_len,
            )
        };
        let Some(recording) = NonNull::new(recording) else {
            // SAFETY: it was leaked above, and FFmpeg's has let go of it.
            let input = unsafe { Box::from_raw(input.as_ptr()) };
            return Err(not_opened(status, input.failed));
        };
        let mut container = Self {
            recording,
            input,
            facts: Facts::default(),
            tick: (1, 1),
            may_jump: false,
            is_cut,
            end: None,
            held: None,
        };
        container.choose(wanted)?;
        Ok(container)
    }

    fn tracks(&self) -> Vec<Track> {
        // SAFETY: the recording is open.
        let count = unsafe { shim::ffmpeg_tracks(self.recording.as_ptr()) };
        let track = |number| {
            let mut track =
                shim::Track { language: ptr::null(), codec: ptr::null(), is_default: 0, is_decodable: 0 };
            // SAFETY: the recording is open, and `track` is of the type that is filled.
            unsafe { shim::ffmpeg_track(self.recording.as_ptr(), number, &mut track) };
            Track {
                // What a container says without knowing it.
                language: text(track.language).filter(|language| language != "und"),
                codec: text(track.codec).unwrap_or_default(),
                is_default: track.is_default != 0,
                is_decodable: track.is_decodable != 0,
            }
        };
        (0..count).map(track).collect()
    }

    /// Chooses a track as the first module does, and makes its decoder.
    fn choose(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let tracks = self.tracks();
        let chosen = match wanted {
            Wanted::Default => tracks
                .iter()
                .position(|track| track.is_default)
                .or_else(|| tracks.iter().position(|track| track.is_decodable))
                .or_else(|| (!tracks.is_empty()).then_some(0)),
            Wanted::Number(number) => {
                Some((*number as usize).wrapping_sub(1)).filter(|&number| number < tracks.len())
            }
            Wanted::Language(language) => tracks
                .iter()
                .position(|track| track.language.as_deref().is_some_and(|own| same_language(own, language))),
        };
        let chosen = chosen.ok_or(Failure::NoTrack)?;
        let number = i32::try_from(chosen).map_err(|_| Failure::NoTrack)?;
        // SAFETY: the recording is open.
        match unsafe { shim::ffmpeg_choose(self.recording.as_ptr(), number) } {
            shim::OK => {}
            shim::OPEN_MEMORY => return Err(not_opened(shim::OPEN_MEMORY, false)),
            _ => return Err(Failure::Codec(tracks[chosen].codec.clone())),
        }
        let mut facts = shim::Facts::default();
        // SAFETY: the recording is open, and `facts` is of the type that is filled.
        unsafe { shim::ffmpeg_facts(self.recording.as_ptr(), &mut facts) };
        let positive = |number: i32| u32::try_from(number).ok().filter(|&number| number > 0);
        self.tick = (positive(facts.numer).unwrap_or(1), positive(facts.denom).unwrap_or(1));
        self.may_jump = facts.may_jump != 0;
        let rate = positive(facts.sample_rate);
        self.facts = Facts {
            format: rate.zip(positive(facts.channels)),
            duration: (facts.duration >= 0).then(|| self.time(facts.duration)),
            tolerance: rate.map(|rate| rate / TOLERANCE).filter(|_| facts.is_exact != 0),
            open_ended: false,
            exact_times: false,
            absolute_times: facts.is_absolute != 0,
            tracks: tracks.into_iter().map(|track| TrackFacts { language: track.language }).collect(),
            chosen: u32::try_from(chosen).unwrap_or(0),
        };
        Ok(())
    }

    fn time(&self, ticks: i64) -> Time {
        Time { ticks, numer: self.tick.0, denom: self.tick.1 }
    }

    /// Decodes the next frame of the track into `block`, which is empty unless the report is
    /// [`Report::Audio`].
    pub fn next(&mut self, block: &mut Vec<f32>) -> Report {
        block.clear();
        if let Some(frame) = self.held.take() {
            return self.audio(&frame, block);
        }
        let mut frame = shim::Frame::default();
        // SAFETY: a track is chosen, and `frame` is of the type that is filled.
        match unsafe { shim::ffmpeg_next(self.recording.as_ptr(), &mut frame) } {
            shim::AUDIO if self.jumps(&frame) => {
                self.held = Some(frame);
                self.end = None;
                Report::Restarted(self.facts())
            }
            shim::AUDIO => self.audio(&frame, block),
            shim::SKIPPED => Report::Skipped { length: (frame.time > 0).then(|| self.time(frame.time)) },
            shim::END if self.is_cut => Report::Failed(Failure::Cut),
            shim::END => Report::End,
            status => Report::Failed(if self.has_failed() {
                Failure::Read
            } else if status == shim::CUT {
                Failure::Cut
            } else {
                Failure::Damaged("FFmpeg finds no more packets".to_owned())
            }),
        }
    }

    fn has_failed(&self) -> bool {
        // SAFETY: it lives as long as this container, and no call into C is under way.
        unsafe { self.input.as_ref() }.failed
    }

    /// Returns true if the clock has started anew between the latest frame and this one.
    fn jumps(&self, frame: &shim::Frame) -> bool {
        let Some(end) = self.end.filter(|_| self.may_jump && frame.has_time != 0) else { return false };
        let (numer, denom) = (i128::from(self.tick.0), i128::from(self.tick.1));
        (i128::from(frame.time) - end).abs() * numer > JUMP * denom
    }

    /// The report of the frame that FFmpeg holds.
    fn audio(&mut self, frame: &shim::Frame, block: &mut Vec<f32>) -> Report {
        let unsigned = |number: i32| usize::try_from(number).unwrap_or(0);
        let (frames, channels) = (unsigned(frame.frames), unsigned(frame.channels));
        let samples = frames.saturating_mul(channels);
        if channels == 0 || frame.sample_rate <= 0 || samples > MAX_SAMPLES {
            return Report::Failed(Failure::Damaged(format!(
                "it has a packet of {frames} frames with {channels} channels at {} Hz",
                frame.sample_rate
            )));
        }
        block.resize(samples, 0.0);
        // SAFETY: the latest frame has this many samples, for which there is room.
        unsafe { shim::ffmpeg_samples(self.recording.as_ptr(), block.as_mut_ptr()) };
        let rate = frame.sample_rate.unsigned_abs();
        let time = (frame.has_time != 0).then(|| self.time(frame.time));
        self.end = time.map(|time| {
            let ticks = frames as i128 * i128::from(self.tick.1);
            i128::from(time.ticks) + ticks / (i128::from(self.tick.0) * i128::from(rate))
        });
        report(rate, channels, block, time)
    }

    /// Facts that the container states.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // SAFETY: it is closed once, here, and lets go of the input, which was leaked when it was
        // opened.
        unsafe {
            shim::ffmpeg_close(self.recording.as_ptr());
            drop(Box::from_raw(self.input.as_ptr()));
        }
    }
}

fn not_opened(status: i32, failed: bool) -> Failure {
    match status {
        _ if failed => Failure::Read,
        shim::OPEN_CUT => Failure::Cut,
        shim::OPEN_MEMORY => Failure::Damaged("reading it takes more memory than there is".to_owned()),
        _ => Failure::Damaged("FFmpeg does not know it".to_owned()),
    }
}
