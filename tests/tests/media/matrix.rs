//! Every codec in every container, at the rates and channels that people use: as ffmpeg writes
//! them, and compared with how ffmpeg reads them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hearken::audio::{AudioError, Format};

use super::{Heard, correlation, ffmpeg, hear, references};

/// Length of each recording [s]: two tones that rise, with silence around them.
const SECONDS: f64 = 1.5;

/// Recordings that one ffmpeg writes and reads.
const TOGETHER: usize = 12;

/// A way to write a recording.
pub(crate) struct Kind {
    /// Options of ffmpeg's encoder and muxer.
    pub(crate) options: &'static [&'static str],
    /// Extension of the file.
    pub(crate) extension: &'static str,
    pub(crate) rates: &'static [u32],
    pub(crate) channels: &'static [u16],
    /// Frames by which the length may differ from ffmpeg's, at 48 kHz: what a format does not say,
    /// or symphonia does not trim.
    slack: usize,
}

const SPEECH: &[u32] = &[8_000, 16_000, 22_050, 44_100, 48_000];
const MPEG: &[u32] = &[16_000, 24_000, 32_000, 44_100, 48_000];
const FULL: &[u32] = &[16_000, 44_100, 96_000];
const ONE: &[u16] = &[1];
const TWO: &[u16] = &[1, 2];
const SIX: &[u16] = &[1, 2, 6];

/// An encoder's frame, and what it needs to settle.
const LOSSY: usize = 4_096;

pub(crate) const fn kind(
    extension: &'static str,
    options: &'static [&'static str],
    rates: &'static [u32],
    channels: &'static [u16],
    slack: usize,
) -> Kind {
    Kind { options, extension, rates, channels, slack }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("wav", &["-c:a", "pcm_u8"], SPEECH, TWO, 0),
    kind("wav", &["-c:a", "pcm_s16le"], SPEECH, SIX, 0),
    kind("wav", &["-c:a", "pcm_s24le"], FULL, SIX, 0),
    kind("wav", &["-c:a", "pcm_s32le"], FULL, TWO, 0),
    kind("wav", &["-c:a", "pcm_f32le"], FULL, TWO, 0),
    kind("wav", &["-c:a", "pcm_f64le"], &[44_100], TWO, 0),
    kind("wav", &["-c:a", "pcm_alaw"], SPEECH, TWO, 0),
    kind("wav", &["-c:a", "pcm_mulaw"], SPEECH, TWO, 0),
    kind("wav", &["-c:a", "adpcm_ms"], SPEECH, TWO, LOSSY),
    kind("wav", &["-c:a", "adpcm_ima_wav"], SPEECH, TWO, LOSSY),
    kind("wav", &["-c:a", "libmp3lame"], MPEG, TWO, LOSSY),
    kind("wav", &["-c:a", "pcm_s16le", "-rf64", "always"], SPEECH, TWO, 0),
    kind("w64", &["-c:a", "pcm_s16le"], SPEECH, TWO, 0),
    kind("w64", &["-c:a", "pcm_f32le"], FULL, TWO, 0),
    kind("aiff", &["-c:a", "pcm_s16be"], SPEECH, TWO, 0),
    kind("aiff", &["-c:a", "pcm_s24be"], FULL, TWO, 0),
    kind("caf", &["-c:a", "pcm_s16be"], SPEECH, TWO, 0),
    kind("caf", &["-c:a", "pcm_s24be"], FULL, TWO, 0),
    kind("caf", &["-c:a", "alac"], FULL, TWO, LOSSY),
    kind("mov", &["-c:a", "pcm_s16le"], SPEECH, TWO, 0),
    kind("mov", &["-c:a", "pcm_s16be"], SPEECH, TWO, 0),
    kind("mov", &["-c:a", "pcm_s24be"], FULL, TWO, 0),
    kind("mov", &["-c:a", "pcm_s24le"], FULL, TWO, 0),
    kind("mov", &["-c:a", "pcm_s32be"], FULL, TWO, 0),
    kind("mov", &["-c:a", "pcm_f32be"], FULL, TWO, 0),
    kind("mov", &["-c:a", "pcm_f32le"], FULL, TWO, 0),
    kind("mov", &["-c:a", "aac", "-b:a", "96k"], SPEECH, TWO, 0),
    kind("flac", &["-c:a", "flac"], SPEECH, SIX, 0),
    kind("ogg", &["-c:a", "flac"], FULL, TWO, 0),
    kind("mka", &["-c:a", "flac"], FULL, TWO, 0),
    kind("m4a", &["-c:a", "alac"], FULL, TWO, 0),
    kind("m4a", &["-c:a", "aac", "-b:a", "96k"], SPEECH, TWO, 0),
    kind("mp4", &["-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"], SPEECH, TWO, LOSSY),
    kind("mp4", &["-c:a", "libopus", "-b:a", "64k"], &[48_000], TWO, LOSSY),
    kind("mka", &["-c:a", "aac", "-b:a", "96k"], SPEECH, TWO, LOSSY),
    kind("aac", &["-c:a", "aac", "-b:a", "96k"], SPEECH, TWO, LOSSY),
    kind("mp3", &["-c:a", "libmp3lame", "-b:a", "64k"], MPEG, TWO, 0),
    kind("mp3", &["-c:a", "libmp3lame", "-q:a", "4"], MPEG, TWO, 0),
    kind("mp3", &["-c:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0"], MPEG, TWO, LOSSY),
    kind("mka", &["-c:a", "libmp3lame", "-b:a", "64k"], MPEG, TWO, LOSSY),
    kind("mp4", &["-c:a", "libmp3lame", "-b:a", "64k"], MPEG, TWO, LOSSY),
    kind(
        "mp2",
        &["-c:a", "mp2", "-b:a", "64k"],
        &[16_000, 22_050, 24_000, 32_000, 44_100, 48_000],
        ONE,
        LOSSY,
    ),
    kind("ogg", &["-c:a", "libvorbis", "-q:a", "4"], SPEECH, SIX, LOSSY),
    kind("webm", &["-c:a", "libvorbis", "-q:a", "4"], SPEECH, TWO, LOSSY),
    // Decoded at 16 kHz, of which a frame is three at 48 kHz.
    kind("opus", &["-c:a", "libopus", "-b:a", "64k"], &[8_000, 16_000, 24_000, 48_000], TWO, 3),
    kind("opus", &["-c:a", "libopus", "-b:a", "96k"], &[16_000, 48_000], &[6], LOSSY),
    kind("webm", &["-c:a", "libopus", "-b:a", "64k"], &[8_000, 16_000, 24_000, 48_000], TWO, LOSSY),
    kind("mka", &["-c:a", "libopus", "-b:a", "96k"], &[48_000], SIX, LOSSY),
    kind("caf", &["-c:a", "pcm_mulaw"], SPEECH, TWO, 0),
    kind("caf", &["-c:a", "pcm_alaw"], SPEECH, TWO, 0),
];

/// A function that decodes a file.
pub(crate) type Ear = fn(&Path) -> Result<Heard, AudioError>;

impl Kind {
    /// One format among those that people use.
    pub(crate) fn usual(&self) -> Format {
        Format { sample_rate: self.rates[self.rates.len() / 2], channels: self.channels[0] }
    }

    /// Writes a recording.
    pub(crate) fn write(&self, folder: &Path, file: &str, format: Format) {
        write(folder, format, &[(self, file.to_owned())]);
    }
}

/// Writes recordings of a format, by one ffmpeg.
fn write(folder: &Path, Format { sample_rate, channels }: Format, files: &[(&Kind, String)]) {
    let count = channels.to_string();
    let source = format!(
        "aevalsrc='0.4*sin(2*PI*(300+400*t)*t)*between(t,0.2,1.2)+0.2*sin(2*PI*(1200+200*t)*t)*between(t,0.5,1.3)':s={sample_rate}:d={SECONDS}"
    );
    let mut arguments = vec!["-f", "lavfi", "-i", &source];
    for (kind, file) in files {
        arguments.extend(["-ac", &count]);
        arguments.extend(kind.options);
        arguments.push(file);
    }
    ffmpeg(folder, &arguments);
}

/// One recording of the matrix.
#[derive(Clone, Copy)]
struct Case<'a> {
    number: usize,
    kind: &'a Kind,
    format: Format,
}

impl Case<'_> {
    fn file(&self) -> String {
        format!("{}.{}", self.number, self.kind.extension)
    }

    fn hear(&self, folder: &Path, hear: Ear) -> Result<Heard, String> {
        let heard = hear(&folder.join(self.file())).map_err(|error| error.to_string())?;
        let found = heard.format.channels;
        if found == self.format.channels { Ok(heard) } else { Err(format!("{found} channels")) }
    }
}

/// Writes recordings of one format, and compares each; returns what is wrong with each.
fn check(folder: &Path, cases: &[Case<'_>], hear: Ear) -> Vec<Result<(), String>> {
    let files: Vec<(&Kind, String)> = cases.iter().map(|case| (case.kind, case.file())).collect();
    write(folder, cases[0].format, &files);
    let heard: Vec<Result<Heard, String>> = cases.iter().map(|case| case.hear(folder, hear)).collect();
    let readable = cases.iter().zip(&heard).filter_map(|(case, heard)| {
        let heard = heard.as_ref().ok()?;
        Some((case.file(), heard.format.sample_rate))
    });
    let readable: Vec<(String, u32)> = readable.collect();
    let mut expected =
        if readable.is_empty() { Vec::new() } else { references(folder, &readable) }.into_iter();
    let compare = |(case, heard): (&Case<'_>, Result<Heard, String>)| {
        let heard = heard?;
        is_the_same(&heard, &expected.next().expect("one for each"), case.kind.slack)
    };
    cases.iter().zip(heard).map(compare).collect()
}

/// Compares a recording with the samples that ffmpeg makes of it.
pub(crate) fn is_the_same(heard: &Heard, expected: &[f32], slack: usize) -> Result<(), String> {
    if let Some(error) = &heard.error {
        return Err(error.to_string());
    }
    if heard.faults.is_damaged() {
        return Err(format!("{:?}", heard.faults));
    }
    let width = usize::from(heard.format.channels);
    let slack = (slack * heard.format.sample_rate as usize).div_ceil(48_000);
    let (frames, wanted) = (heard.samples.len() / width, expected.len() / width);
    if frames.abs_diff(wanted) > slack {
        return Err(format!("{frames} frames, not {wanted}"));
    }
    // Sound in one channel lies in the middle one of six, and Opus and Vorbis have an order of
    // channels of their own.
    let energy = |samples: &[f32], channel: &usize| {
        samples.iter().skip(*channel).step_by(width).map(|sample| sample * sample).sum::<f32>()
    };
    let channel = |samples: &[f32]| {
        let loudest = (0..width).max_by(|one, other| energy(samples, one).total_cmp(&energy(samples, other)));
        samples.iter().copied().skip(loudest.unwrap_or(0)).step_by(width).collect::<Vec<_>>()
    };
    let step = (heard.format.sample_rate as usize / 6_000).max(1);
    let (found, lag) = correlation(&channel(&heard.samples), &channel(expected), slack, step);
    if found < 0.99 {
        return Err(format!("correlation {found:.4} at a delay of {lag} frames"));
    }
    Ok(())
}

#[test]
fn what_ffmpeg_writes_is_read_as_ffmpeg_reads_it() {
    let mut formats = Vec::new();
    for kind in KINDS {
        for &sample_rate in kind.rates {
            formats.extend(kind.channels.iter().map(|&channels| (kind, Format { sample_rate, channels })));
        }
    }
    assert!(formats.len() >= 300, "{} cases", formats.len());
    compare(&formats, hear);
}

/// Writes recordings, and compares how they are heard with how ffmpeg reads them.
pub(crate) fn compare(formats: &[(&Kind, Format)], hear: Ear) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cases: Vec<Case<'_>> =
        formats.iter().enumerate().map(|(number, &(kind, format))| Case { number, kind, format }).collect();
    cases.sort_by_key(|case| (case.format.sample_rate, case.format.channels));
    let groups: Vec<&[Case<'_>]> = cases
        .chunk_by(|one, other| one.format == other.format)
        .flat_map(|same| same.chunks(TOGETHER))
        .collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(String::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let results = group.iter().zip(check(folder.path(), group, hear));
                    for (case, why) in results.filter_map(|(case, result)| Some((case, result.err()?))) {
                        let Format { sample_rate, channels } = case.format;
                        let Kind { options, extension, .. } = case.kind;
                        let mut failures = failures.lock().expect("no panic");
                        let _ =
                            writeln!(failures, "{extension} {options:?} {sample_rate} Hz x{channels}: {why}");
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no panic");
    println!("{} recordings compared, {} differ", cases.len(), failures.lines().count());
    assert!(failures.is_empty(), "of {} recordings:\n{failures}", cases.len());
}
