//! Recordings that FFmpeg's libraries read, in the module that an operator adds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hearken::audio::{self, AudioError, Track, from_reader, open_track, open_with_added};
use hearken_tests::command::{fine, hearken, run};
use hearken_tests::random::Random;
use hearken_tests::serve::Server;
use hearken_tests::tenants::{PHRASES, SPEECH};
use hearken_tests::wav;
use serde_json::json;
use wasmparser::{Parser, Payload};

use super::cuts::{TRAP, cut};
use super::field::{SECONDS, SOUND, has_sound, is_whole, make};
use super::matrix::{self, Kind, compare, is_the_same, kind};
use super::{Heard, ffmpeg, hear, hear_all, reference};

/// Exit code of the script that builds the module where its source cannot be had.
const UNAVAILABLE: i32 = 75;

/// The module; `None`, with a word about it, where FFmpeg's source cannot be had.
///
/// # Panics
///
/// When its source is there and it cannot be built. Debian's archive drops a version when a newer
/// one comes: until the script names that one, these tests say that they are skipped.
fn module() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = root.join("target/media-ffmpeg/ffmpeg.wasm");
    if module.exists() {
        return Some(module);
    }
    let output =
        Command::new(root.join("scripts/media-ffmpeg")).arg(&module).output().expect("the script can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Some(module);
    }
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "no module: {said}");
    println!("skipped: {said}");
    None
}

/// Adds the module to this process; false if there is none.
fn add() -> bool {
    let Some(module) = module() else { return false };
    audio::add_media(&fs::read(module).expect("a file")).expect("a module");
    true
}

fn hear_added(path: &Path) -> Result<Heard, AudioError> {
    open_with_added(path).map(hear_all)
}

const NARROW: &[u32] = &[8_000];
const WIDE: &[u32] = &[16_000];
const CD: &[u32] = &[44_100];
const FILM: &[u32] = &[48_000];
const ONE: &[u16] = &[1];
const TWO: &[u16] = &[1, 2];
const SIX: &[u16] = &[6];

/// Frames by which the length may differ from what the command `ffmpeg` writes, at 48 kHz: a frame
/// of the codec.
const FRAME: usize = 2_048;

/// Ways to write what the first module refuses.
const KINDS: &[Kind] = &[
    kind("m4a", &["-c:a", "aac", "-b:a", "256k"], FILM, SIX, 0),
    kind("mp4", &["-c:a", "ac3"], FILM, SIX, FRAME),
    kind("mp4", &["-c:a", "eac3"], FILM, TWO, FRAME),
    kind("mkv", &["-c:a", "ac3"], FILM, TWO, FRAME),
    kind("mkv", &["-c:a", "wavpack"], CD, TWO, FRAME),
    kind("ac3", &["-c:a", "ac3"], &[32_000, 44_100, 48_000], TWO, 0),
    kind("eac3", &["-c:a", "eac3"], FILM, TWO, 0),
    kind("dts", &["-c:a", "dca", "-strict", "-2"], FILM, SIX, 0),
    kind("thd", &["-c:a", "truehd", "-strict", "-2"], FILM, &[2], 0),
    kind("spx", &["-c:a", "libspeex"], &[8_000, 16_000, 32_000], TWO, 0),
    kind("flv", &["-c:a", "libspeex"], WIDE, ONE, FRAME),
    kind("flv", &["-c:a", "libmp3lame"], CD, TWO, FRAME),
    kind("flv", &["-c:a", "aac"], CD, TWO, FRAME),
    kind("flv", &["-c:a", "nellymoser"], CD, ONE, FRAME),
    kind("wav", &["-c:a", "libgsm_ms"], NARROW, ONE, 0),
    kind("wav", &["-c:a", "g723_1", "-b:a", "6300"], NARROW, ONE, 0),
    kind("wav", &["-c:a", "g722"], WIDE, ONE, 0),
    kind("wav", &["-c:a", "g726"], NARROW, ONE, 0),
    kind("wav", &["-c:a", "wmav2"], CD, TWO, FRAME),
    kind("gsm", &["-c:a", "libgsm"], NARROW, ONE, 0),
    kind("ts", &["-c:a", "mp2"], FILM, TWO, 0),
    kind("ts", &["-c:a", "aac"], FILM, TWO, 0),
    kind("ts", &["-c:a", "ac3"], FILM, TWO, 0),
    kind("ts", &["-c:a", "libopus"], FILM, TWO, FRAME),
    kind("vob", &["-c:a", "mp2"], FILM, TWO, 0),
    kind("vob", &["-c:a", "ac3"], FILM, TWO, 0),
    kind("avi", &["-c:a", "libmp3lame"], CD, TWO, FRAME),
    kind("avi", &["-c:a", "pcm_s16le"], CD, TWO, 0),
    kind("avi", &["-c:a", "ac3"], FILM, TWO, 0),
    kind("wv", &["-c:a", "wavpack"], CD, TWO, 0),
    kind("tta", &["-c:a", "tta"], CD, TWO, 0),
    kind("wma", &["-c:a", "wmav2"], CD, TWO, FRAME),
    kind("asf", &["-c:a", "wmav1"], CD, TWO, FRAME),
    kind("rm", &["-c:a", "ac3"], FILM, TWO, FRAME),
    kind("rm", &["-c:a", "real_144"], NARROW, ONE, FRAME),
    kind("ts", &["-c:a", "s302m", "-strict", "-2"], FILM, &[2], 0),
    kind("au", &["-c:a", "pcm_s16be"], WIDE, TWO, 0),
    kind("voc", &["-c:a", "pcm_u8"], WIDE, ONE, FRAME),
];

/// Kinds of which nothing tells that the end is missing: their packets follow each other. Of Flash
/// video with so little sound the description is cut, too.
fn has_no_end(kind: &Kind) -> bool {
    matches!(
        kind.extension,
        "ac3" | "eac3" | "dts" | "thd" | "spx" | "gsm" | "ts" | "vob" | "au" | "voc" | "rm"
    ) || kind.extension == "flv" && kind.options.contains(&"libspeex")
}

#[test]
fn what_the_first_module_refuses_is_read_as_ffmpeg_reads_it() {
    if !add() {
        return;
    }
    let formats: Vec<_> = KINDS
        .iter()
        .flat_map(|kind| {
            kind.rates.iter().flat_map(move |&sample_rate| {
                kind.channels.iter().map(move |&channels| (kind, audio::Format { sample_rate, channels }))
            })
        })
        .collect();
    compare(&formats, hear);
}

#[test]
fn what_the_first_module_reads_ffmpeg_reads_too() {
    if !add() {
        return;
    }
    let formats: Vec<_> = matrix::KINDS.iter().map(|kind| (kind, kind.usual())).collect();
    compare(&formats, hear_added);
}

/// AMR, for which this machine has no encoder: frames of speech in which each bit is a toss.
#[test]
fn amr_is_read_as_ffmpeg_reads_it() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // Tosses are louder than any sound.
    let expected = |file, heard: &Heard| {
        let samples = reference(folder, file, heard.format.sample_rate).into_iter();
        samples.map(|sample| sample.clamp(-1.0, 1.0)).collect::<Vec<_>>()
    };
    // Headers of frames of 12.2 and of 23.85 kbit/s, and their lengths.
    for (file, magic, header, len) in
        [("it.amr", "#!AMR\n", 0x3C, 31), ("it.awb", "#!AMR-WB\n", 0x44, 60), ("it.3ga", "#!AMR\n", 0x3C, 31)]
    {
        let mut random = Random::new(7);
        let mut bytes = magic.as_bytes().to_vec();
        for _ in 0..150 {
            bytes.push(header);
            bytes.extend((0..len).map(|_| random.below(256) as u8));
        }
        fs::write(folder.join(file), &bytes).expect("written");
        let heard = hear(&folder.join(file)).expect("it opens");
        assert!((heard.seconds() - 3.0).abs() < 0.01, "{file}: {} s", heard.seconds());
        is_the_same(&heard, &expected(file, &heard), 0).unwrap_or_else(|why| panic!("{file}: {why}"));
    }
    // As telephones record it.
    ffmpeg(folder, &["-i", "it.amr", "-c", "copy", "it.3gp"]);
    let heard = hear(&folder.join("it.3gp")).expect("it opens");
    is_the_same(&heard, &expected("it.3gp", &heard), 0).expect("3GP");
}

#[test]
fn recordings_of_the_field_are_heard_to_their_end() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (options, file) in [
        (["-ac", "6", "-c:a", "aac"].as_slice(), "six.m4a"),
        (&["-c:a", "libspeex"], "sound.spx"),
        (&["-c:a", "aac", "-f", "mpegts"], "sound.ts"),
        (&["-c:a", "libmp3lame", "-f", "avi"], "sound.avi"),
        (&["-ar", "48000", "-c:a", "ac3"], "sound.ac3"),
        (&["-ar", "8000", "-c:a", "libgsm_ms"], "gsm.wav"),
    ] {
        make(folder, options, file);
        is_whole(hear(&folder.join(file)));
    }
    // Two of them joined, of which the second has another rate and other channels.
    let one = make(folder, &["-ar", "48000", "-c:a", "ac3"], "one.ac3");
    let other = make(folder, &["-ar", "32000", "-ac", "2", "-c:a", "ac3"], "other.ac3");
    fs::write(folder.join("joined.ac3"), [one, other].concat()).expect("written");
    let heard = hear(&folder.join("joined.ac3")).expect("it opens");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert!((heard.seconds() - 2.0 * SECONDS).abs() < 0.2, "{} s", heard.seconds());
    has_sound(&heard, 0.0);
    has_sound(&heard, SECONDS + 0.05);
    // A broadcast whose clock jumps ahead by two hours, and back.
    let part = |file, offset| {
        make(folder, &["-ar", "48000", "-c:a", "ac3", "-output_ts_offset", offset, "-f", "mpegts"], file)
    };
    let parts = [part("one.ts", "0"), part("ahead.ts", "7200"), part("back.ts", "60")].concat();
    fs::write(folder.join("parts.ts"), parts).expect("written");
    let heard = hear(&folder.join("parts.ts")).expect("it opens");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert!((heard.seconds() - 3.0 * SECONDS).abs() < 0.3, "{} s", heard.seconds());
    has_sound(&heard, 2.0 * SECONDS + 0.1);
    // What nobody reads is still named by the first module, and so is a format out of range.
    fs::write(folder.join("it.zip"), b"PK\x03\x04 and more").expect("written");
    let message = hear(&folder.join("it.zip")).err().expect("it is none").to_string();
    assert!(message.contains("a ZIP archive"), "{message}");
    let whole = make(folder, &["-c:a", "aac"], "sound.m4a");
    fs::write(folder.join("unfinished.m4a"), &whole[..whole.len() / 2]).expect("written");
    let message = hear(&folder.join("unfinished.m4a")).err().expect("it is none").to_string();
    assert!(message.contains("was not finished"), "{message}");
    ffmpeg(folder, &["-f", "lavfi", "-i", "aevalsrc='0|0|0|0|0|0|0|0|0|0':s=48000:d=0.2", "ten.au"]);
    let message = hear(&folder.join("ten.au")).err().expect("it is refused").to_string();
    assert!(message.contains("10 channels"), "{message}");
}

#[test]
fn edit_lists_late_tracks_and_choices_are_honored() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let picture = ["-f", "lavfi", "-i", "color=s=64x64:r=10:d=8"];
    for (file, video, codec) in [
        ("late.mp4", "mpeg4", "ac3"),
        ("late.mkv", "mpeg4", "ac3"),
        ("late.ts", "mpeg2video", "aac"),
        ("late.flv", "flv1", "libmp3lame"),
    ] {
        let sound = ["-itsoffset", "3", "-f", "lavfi", "-i", SOUND, "-map", "0", "-map", "1", "-ar", "44100"];
        let options = ["-c:v", video, "-c:a", codec, file];
        ffmpeg(folder, &[picture.as_slice(), &sound, &options].concat());
        let heard = hear(&folder.join(file)).expect("it opens");
        assert!(heard.error.is_none(), "{file}: {:?}", heard.error);
        assert!((heard.seconds() - SECONDS - 3.0).abs() < 0.15, "{file}: {} s", heard.seconds());
        assert_eq!(heard.level(0.0, 2.9), 0.0, "{file}");
        has_sound(&heard, 3.0);
    }

    let mut cut = make(folder, &["-ac", "6", "-c:a", "aac"], "whole.m4a");
    let at = cut.windows(4).position(|bytes| bytes == b"elst").expect("an edit list") + 12;
    // 2 s from 2.4 s on: the second tone, 0.4 s into it.
    cut[at..at + 4].copy_from_slice(&2_000u32.to_be_bytes());
    cut[at + 4..at + 8].copy_from_slice(&(2_400 * 16 + 1_024u32).to_be_bytes());
    fs::write(folder.join("cut.m4a"), &cut).expect("written");
    let heard = hear(&folder.join("cut.m4a")).expect("it opens");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    // FFmpeg cuts the end at a packet.
    assert!((heard.seconds() - 2.0).abs() < 0.07, "{} s", heard.seconds());
    assert!(heard.level(0.05, 0.35) < 0.01 && heard.level(0.45, 1.9) > 0.05);

    let silence = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-f", "lavfi", "-i", SOUND];
    let tracks = ["-map", "0", "-map", "1", "-c:a", "ac3", "-ar", "48000", "-t", "4.8"];
    let names = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"];
    let default = ["-disposition:a:0", "0", "-disposition:a:1", "default", "tracks.mkv"];
    ffmpeg(folder, &[silence.as_slice(), &tracks, &names, &default].concat());
    let file = folder.join("tracks.mkv");
    is_whole(hear(&file));
    let level = |track: Track| {
        let source = open_track(&file, &track).map_err(|error| error.to_string())?;
        let tracks = source.tracks().expect("several");
        assert_eq!(tracks.languages, [Some("ger".to_owned()), Some("eng".to_owned())]);
        Ok::<_, String>((tracks.chosen, hear_all(source).level(0.5, 1.9) > 0.1))
    };
    assert_eq!(level(Track::Default), Ok((2, true)));
    assert_eq!(level(Track::Number(1)), Ok((1, false)));
    assert_eq!(level(Track::Language("en".to_owned())), Ok((2, true)));
    let message = level(Track::Number(3)).expect_err("there is none");
    assert!(message.contains("has no sound track"), "{message}");
}

#[test]
fn each_kind_that_ffmpeg_reads_gives_what_there_is_of_a_cut_one() {
    if add() {
        cut(KINDS, has_no_end, 0.3);
    }
}

/// Damage is an error or a fault, and no trap: a packet that is not understood is silence.
#[test]
fn damaged_recordings_are_faults_and_no_traps() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut random, mut heard, mut refused, mut skipped) = (Random::new(1), 0, 0, 0);
    for (number, kind) in KINDS.iter().enumerate() {
        let file = format!("{number}.{}", kind.extension);
        kind.write(folder, &file, kind.usual());
        let whole = fs::read(folder.join(&file)).expect("a file");
        for round in 0..12 {
            let mut bytes = whole.clone();
            // In the header, or anywhere.
            let most = if round % 3 == 0 { 512.min(bytes.len()) } else { bytes.len() };
            for _ in 0..1 << (round % 6) {
                let at = random.below(most);
                bytes[at] = if round % 2 == 0 { random.below(256) as u8 } else { 0xFF };
            }
            let path = folder.join(format!("damaged.{}", kind.extension));
            fs::write(&path, &bytes).expect("written");
            let error = match hear_added(&path) {
                Ok(damaged) => {
                    heard += 1;
                    skipped += u32::from(damaged.faults.skipped_packets > 0);
                    damaged.error
                }
                Err(error) => {
                    refused += 1;
                    Some(error)
                }
            };
            let message = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(!message.contains(TRAP) && !message.contains('\n'), "{file}, {round}: {message}");
        }
    }
    println!("{heard} heard, {refused} refused, {skipped} with packets that were skipped");
    assert!(heard > 200 && skipped > 10, "{heard} heard, {skipped} with faults");
}

#[test]
fn bombs_go_off_in_the_sandbox_of_the_added_module() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let complain = |file: &str, bytes: &[u8]| {
        fs::write(folder.join(file), bytes).expect("written");
        let message = match hear_added(&folder.join(file)) {
            Err(error) => error.to_string(),
            Ok(heard) => heard.error.map(|error| error.to_string()).unwrap_or_default(),
        };
        assert!(!message.contains('\n') && !message.contains(TRAP), "{file}: {message}");
    };
    let bomb = |options: &[&str], file: &str, name: &[u8], behind: usize| {
        let mut bytes = make(folder, options, file);
        let at = bytes.windows(name.len()).position(|bytes| bytes == name).expect("a field") + behind;
        bytes[at..at + 4].fill(0xFF);
        complain(file, &bytes);
        bytes[at + 3] = 0x7F;
        complain(file, &bytes);
    };
    // Sizes of chunks, of tables and of frames, and numbers of them.
    for table in [b"stts", b"stsc", b"stsz", b"stco", b"elst", b"stsd"] {
        bomb(&["-ac", "6", "-c:a", "aac"], "it.m4a", table, if table == b"stsz" { 12 } else { 8 });
    }
    bomb(&["-c:a", "tta"], "it.tta", b"TTA1", 14);
    bomb(&["-c:a", "wavpack"], "it.wv", b"wvpk", 4);
    bomb(&["-c:a", "wavpack"], "it.wv", b"wvpk", 20);
    bomb(&["-c:a", "libmp3lame"], "it.avi", b"strf", 4);
    bomb(&["-c:a", "libmp3lame"], "it.avi", b"movi", 8);
    bomb(&["-c:a", "wmav2"], "it.wma", b"\x30\x26\xb2\x75", 16);
    bomb(&["-c:a", "aac"], "it.flv", b"FLV", 5);
    bomb(&["-ar", "8000", "-c:a", "libgsm_ms"], "it.wav", b"fmt ", 4);
    bomb(&["-ar", "8000", "-c:a", "real_144"], "it.rm", b"PROP", 4);
    bomb(&["-c:a", "libspeex"], "it.spx", b"Speex   ", 64);
    // Chunks without end.
    complain(
        "chunks.avi",
        &[b"RIFF\xff\xff\xff\xffAVI ".as_slice(), &b"JUNK\0\0\0\0".repeat(100_000)].concat(),
    );
    complain("sync.ts", &[0x47].repeat(1 << 20));
    complain("noise.ac3", &b"\x0b\x77\x00\x00\x50\x40".repeat(100_000));
}

/// Counts the bytes that were read.
struct Counted<R>(R, Arc<AtomicUsize>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // As they come over a network.
        let len = out.len().min(188);
        let read = self.0.read(&mut out[..len])?;
        self.1.fetch_add(read, Ordering::Relaxed);
        Ok(read)
    }
}

#[test]
fn streams_are_heard_as_they_come() {
    if !add() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let source = "aevalsrc='0.4*sin(2*PI*440*t)':s=48000:d=30";
    // With the length of a packet [s], two of which a stream may be behind.
    for (file, packet, options) in [
        ("it.ts", 0.032, ["-c:a", "ac3", "-ar", "48000", "-pes_payload_size", "0"]),
        ("it.flv", 0.024, ["-c:a", "aac", "-ar", "44100", "-b:a", "64k"]),
        ("it.ac3", 0.032, ["-c:a", "ac3", "-ar", "48000", "-b:a", "64k"]),
        ("it.mkv", 0.032, ["-c:a", "ac3", "-ar", "48000", "-cluster_time_limit", "20"]),
        ("it.spx", 0.020, ["-c:a", "libspeex", "-ar", "16000", "-page_duration", "20000"]),
    ] {
        ffmpeg(folder, &[["-f", "lavfi", "-i", source].as_slice(), &options, &[file]].concat());
        let total = fs::metadata(folder.join(file)).expect("a file").len() as f64;
        let read = Arc::new(AtomicUsize::new(0));
        let bytes = Counted(File::open(folder.join(file)).expect("a file"), Arc::clone(&read));
        let mut source = from_reader("it", bytes).expect("it opens");
        let opened = read.load(Ordering::Relaxed);
        let (mut block, mut frames, mut behind) = (Vec::new(), 0usize, 0f64);
        loop {
            let count = source.read(&mut block).expect("sound");
            if count == 0 {
                break;
            }
            frames += count;
            let heard = frames as f64 / f64::from(source.format().sample_rate);
            let come = read.load(Ordering::Relaxed) as f64 / total * 30.0;
            // What was needed to know the stream is behind it after a second.
            if heard > 10.0 {
                behind = behind.max(come - heard);
            }
        }
        let heard = frames as f64 / f64::from(source.format().sample_rate);
        println!("{file}: opened after {opened} bytes, {:.0} ms behind, {heard} s", behind * 1e3);
        assert!((heard - 30.0).abs() < 0.2, "{file}: {heard} s");
        // A packet's own length, and two packets.
        assert!(behind < 3.5 * packet, "{file}: {behind} s behind");
    }
}

#[test]
fn the_command_takes_the_module() {
    let Some(module) = module() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let speech = wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    fs::write(folder.join("speech.wav"), speech).expect("written");
    ffmpeg(folder, &["-i", "speech.wav", "-c:a", "wavpack", "speech.wv"]);
    ffmpeg(folder, &["-i", "speech.wav", "-ar", "48000", "-b:a", "192k", "-c:a", "ac3", "speech.ts"]);
    let path = |file: &str| folder.join(file).to_str().expect("a name").to_owned();
    let (lossless, film) = (path("speech.wv"), path("speech.ts"));
    let module = module.to_str().expect("a name").to_owned();
    let expected: Vec<&str> = PHRASES.to_vec();
    let text = fine(&mut hearken(&["file", &lossless, "--media", &module]));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let text = fine(hearken(&["file", &film]).env("HEARKEN_MEDIA", &module));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    // Without it, and with something else.
    run(&mut hearken(&["file", &lossless])).only_says(1, &["WavPack", "convert"]);
    let wrong = path("speech.wav");
    run(&mut hearken(&["file", &lossless, "--media", &wrong]))
        .only_says(1, &["speech.wav", "not a hearken guest"]);
    let missing = path("missing.wasm");
    run(&mut hearken(&["file", &lossless, "--media", &missing])).only_says(1, &["missing.wasm", "--media"]);
}

#[test]
fn a_server_takes_the_module_before_it_gives_up_its_rights() {
    let Some(module) = module() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let speech = wav::pcm16(&SPEECH.samples, SPEECH.format.sample_rate, 1);
    fs::write(folder.join("speech.wav"), speech).expect("written");
    ffmpeg(folder, &["-i", "speech.wav", "-ar", "48000", "-b:a", "192k", "-c:a", "ac3", "speech.ts"]);
    let bytes = fs::read(folder.join("speech.ts")).expect("a file");
    let server = Server::with_arguments("", &["--hardened", "--media", module.to_str().expect("a name")]);
    let answer = server.request("POST", "/v1/listen", &[], &bytes).json();
    let text = &answer["results"]["channels"][0]["alternatives"][0]["transcript"];
    assert_eq!(text, &PHRASES.join(" "), "{answer}");
    let mut socket = server.socket("/v1/listen", &[]).expect("a live stream");
    for piece in bytes.chunks(1_500) {
        assert!(socket.push(piece));
    }
    socket.say(&json!({ "type": "CloseStream" }));
    let (messages, _) = socket.rest();
    let said: Vec<&str> = messages
        .iter()
        .filter(|message| message["is_final"] == true)
        .filter_map(|message| message["channel"]["alternatives"][0]["transcript"].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(said.join(" "), PHRASES.join(" "));
    server.end();
}

#[test]
fn the_module_asks_for_nothing_that_the_first_one_does_not() {
    let Some(module) = module() else { return };
    let bytes = fs::read(module).expect("a file");
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        if let Payload::ImportSection(imports) = payload.expect("a module") {
            for import in imports.into_imports() {
                let import = import.expect("an import");
                names.push((import.module.to_owned(), import.name.to_owned()));
            }
        }
    }
    let ours: Vec<&str> =
        names.iter().filter(|(module, _)| module == "hearken").map(|(_, name)| name.as_str()).collect();
    assert!(ours.iter().all(|name| matches!(*name, "emit" | "source_read")), "{ours:?}");
    assert_eq!(ours.len(), 2);
    for (module, name) in &names {
        let opens = ["path", "sock", "poll"].iter().any(|word| name.starts_with(word));
        assert!(module == "hearken" || module == "wasi_snapshot_preview1" && !opens, "{module}.{name}");
    }
}
