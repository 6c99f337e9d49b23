//! Recordings that people reported: written by recorders that were killed, joined with `cat`, cut
//! by an editor, late behind a picture.

use std::fs;
use std::path::Path;

use hearken::audio::{AudioError, Track, open_track};

use super::{Heard, ffmpeg, hear};

/// Two tones of 1.6 s at 0.4 and at 2.8 s, in 4.8 s.
pub(super) const SOUND: &str =
    "aevalsrc='0.4*sin(2*PI*440*t)*(between(t,0.4,2)+between(t,2.8,4.4))':s=16000:d=4.8";
pub(super) const SECONDS: f64 = 4.8;

/// Makes `file` of the sound, with options of ffmpeg's.
pub(super) fn make(folder: &Path, options: &[&str], file: &str) -> Vec<u8> {
    let mut arguments = vec!["-f", "lavfi", "-i", SOUND];
    arguments.extend(options);
    arguments.push(file);
    ffmpeg(folder, &arguments);
    fs::read(folder.join(file)).expect("a file")
}

fn hear_bytes(folder: &Path, file: &str, bytes: &[u8]) -> Result<Heard, AudioError> {
    fs::write(folder.join(file), bytes).expect("written");
    hear(&folder.join(file))
}

/// The sound is heard once, from `start` [s] on.
pub(super) fn has_sound(heard: &Heard, start: f64) {
    for (from, to, on) in [(0.1, 0.3, false), (0.5, 1.9, true), (2.1, 2.7, false), (2.9, 4.3, true)] {
        let level = heard.level(start + from, start + to);
        assert_eq!(level > 0.1, on, "{level} from {:.1} to {:.1} s", start + from, start + to);
    }
}

/// All of it is heard, once, and nothing is wrong with it.
pub(super) fn is_whole(heard: Result<Heard, AudioError>) {
    let heard = heard.expect("it opens");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert!((heard.seconds() - SECONDS).abs() < 0.1, "{} s", heard.seconds());
    has_sound(&heard, 0.0);
}

#[test]
fn mp3_files_joined_with_cat_are_heard_to_their_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let plain = ["-c:a", "libmp3lame", "-b:a", "32k"];
    let bare = |more: &[&'static str]| {
        let options = [plain.as_slice(), &["-write_xing", "0", "-id3v2_version", "0"], more].concat();
        make(folder, &options, "bare.mp3")
    };
    let pairs = [
        (make(folder, &plain, "a.mp3"), make(folder, &plain, "b.mp3")),
        (bare(&[]), bare(&["-ac", "2"])),
        (bare(&["-ac", "2"]), bare(&[])),
        (bare(&[]), bare(&["-ar", "24000"])),
        (
            make(folder, &plain, "a.mp3"),
            make(folder, &[plain.as_slice(), &["-ar", "44100", "-ac", "2"]].concat(), "b.mp3"),
        ),
    ];
    for (number, (one, other)) in pairs.into_iter().enumerate() {
        let heard = hear_bytes(folder, "joined.mp3", &[one, other].concat()).expect("it opens");
        assert!(heard.error.is_none(), "{number}: {:?}", heard.error);
        assert!((heard.seconds() - 2.0 * SECONDS).abs() < 0.25, "{number}: {} s", heard.seconds());
        has_sound(&heard, 0.0);
        has_sound(&heard, SECONDS + 0.05);
    }
}

/// A WAV file of PCM with these sizes in its header, and chunks before the data.
fn wav(pcm: &[u8], riff: u32, data: u32, before: &[u8]) -> Vec<u8> {
    let format = [1u16, 1, 16_000, 0, 32_000, 0, 2, 16].iter().flat_map(|field| field.to_le_bytes());
    let mut file = [b"RIFF".as_slice(), &riff.to_le_bytes(), b"WAVEfmt \x10\0\0\0"].concat();
    file.extend(format);
    file.extend(before);
    file.extend([b"data".as_slice(), &data.to_le_bytes(), pcm].concat());
    file
}

#[test]
fn what_a_killed_recorder_left_is_heard_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let pcm = make(folder, &["-c:a", "pcm_s16le", "-f", "s16le"], "sound.raw");
    let len = pcm.len() as u32;
    let filler = [b"FLLR".as_slice(), &4_044u32.to_le_bytes(), &[0; 4_044]].concat();
    for (riff, data, before) in [
        (len + 36, len, vec![]),
        (len + 36, 0, vec![]),
        (0, 0, vec![]),
        (4_088, 0, filler),
        (u32::MAX, u32::MAX, vec![]),
        (0x7FFF_F024, 0x7FFF_F000, vec![]),
    ] {
        is_whole(hear_bytes(folder, "killed.wav", &wav(&pcm, riff, data, &before)));
    }
    // An empty recording is one, whatever follows.
    let empty = wav(b"LIST\x04\0\0\0INFO", 48, 0, &[]);
    let heard = hear_bytes(folder, "empty.wav", &empty).expect("it opens");
    assert!(heard.samples.is_empty() && heard.error.is_none());
    // A size that is larger than the file is a file that was cut off.
    let heard =
        hear_bytes(folder, "cut.wav", &wav(&pcm[..len as usize / 2], len + 36, len, &[])).expect("it opens");
    assert!(matches!(heard.error, Some(AudioError::Truncated { .. })), "{:?}", heard.error);
    assert!((heard.seconds() - SECONDS / 2.0).abs() < 0.01);
}

#[test]
fn headers_of_old_programs_are_understood() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // The format of µ-law without the field that says how long the extension is.
    let law = make(folder, &["-ar", "8000", "-c:a", "pcm_mulaw", "-f", "mulaw"], "sound.ul");
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data".to_vec();
    file.extend((law.len() as u32).to_le_bytes());
    file.extend(&law);
    is_whole(hear_bytes(folder, "mulaw.wav", &file));
    // A cover of two megabytes before an MP3.
    let mp3 = make(folder, &["-c:a", "libmp3lame", "-id3v2_version", "0"], "sound.mp3");
    let size = 2u32 << 20;
    let size = [size >> 21, size >> 14 & 0x7F, size >> 7 & 0x7F, size & 0x7F].map(|bits| bits as u8);
    let tag = [b"ID3\x03\0\0".as_slice(), &size, &vec![0xFF; 2 << 20]].concat();
    is_whole(hear_bytes(folder, "cover.mp3", &[tag, mp3].concat()));
}

#[test]
fn edit_lists_and_late_tracks_are_honored() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut cut = make(folder, &["-c:a", "aac", "-b:a", "64k"], "whole.m4a");
    is_whole(hear(&folder.join("whole.m4a")));
    let at = cut.windows(4).position(|bytes| bytes == b"elst").expect("an edit list") + 12;
    // 2 s from 2.4 s on: the second tone, 0.4 s into it.
    cut[at..at + 4].copy_from_slice(&2_000u32.to_be_bytes());
    cut[at + 4..at + 8].copy_from_slice(&(2_400 * 16 + 1_024u32).to_be_bytes());
    let heard = hear_bytes(folder, "cut.m4a", &cut).expect("it opens");
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert!((heard.seconds() - 2.0).abs() < 0.01, "{} s", heard.seconds());
    assert!(heard.level(0.05, 0.35) < 0.01 && heard.level(0.45, 1.9) > 0.1);

    let picture = ["-f", "lavfi", "-i", "color=s=64x64:r=10:d=8"];
    for (file, codec) in
        [("late.mp4", "aac"), ("late.mov", "pcm_s16le"), ("late.mkv", "aac"), ("late.webm", "libopus")]
    {
        let video = if file.ends_with("webm") { "libvpx" } else { "mpeg4" };
        let options = [
            "-itsoffset",
            "3",
            "-f",
            "lavfi",
            "-i",
            SOUND,
            "-map",
            "0",
            "-map",
            "1",
            "-c:v",
            video,
            "-c:a",
            codec,
            file,
        ];
        ffmpeg(folder, &[picture.as_slice(), &options].concat());
        let heard = hear(&folder.join(file)).expect("it opens");
        assert!(heard.error.is_none(), "{file}: {:?}", heard.error);
        assert!((heard.seconds() - SECONDS - 3.0).abs() < 0.1, "{file}: {} s", heard.seconds());
        assert_eq!(heard.level(0.0, 2.9), 0.0, "{file}");
        has_sound(&heard, 3.0);
    }
}

#[test]
fn the_default_track_is_heard_and_chapters_do_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let silence = ["-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-f", "lavfi", "-i", SOUND];
    let tracks = [
        "-map",
        "0",
        "-map",
        "1",
        "-c:a",
        "aac",
        "-t",
        "4.8",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default",
        "-metadata:s:a:0",
        "language=ger",
        "-metadata:s:a:1",
        "language=eng",
    ];
    ffmpeg(folder, &[silence.as_slice(), &tracks, &["tracks.mkv"]].concat());
    let file = folder.join("tracks.mkv");
    is_whole(hear(&file));
    let level = |track: Track| {
        let mut source = open_track(&file, &track).map_err(|error| error.to_string())?;
        let tracks = source.tracks().expect("several");
        assert_eq!(tracks.languages, [Some("ger".to_owned()), Some("eng".to_owned())]);
        let (mut loudest, mut block) = (0f32, Vec::new());
        while source.read(&mut block).expect("sound") > 0 {
            loudest = block.iter().fold(loudest, |loudest, sample| loudest.max(sample.abs()));
        }
        Ok::<_, String>((tracks.chosen, loudest > 0.1))
    };
    assert_eq!(level(Track::Default), Ok((2, true)));
    assert_eq!(level(Track::Number(1)), Ok((1, false)));
    assert_eq!(level(Track::Language("en".to_owned())), Ok((2, true)));
    for missing in [Track::Number(0), Track::Number(3), Track::Language("fr".to_owned())] {
        let message = level(missing).expect_err("there is none");
        assert!(message.contains("has no sound track"), "{message}");
    }

    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=one\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=2000\nEND=4800\ntitle=two\n";
    fs::write(folder.join("chapters.txt"), chapters).expect("written");
    let book =
        make(folder, &["-i", "chapters.txt", "-map_metadata", "1", "-c:a", "aac", "-b:a", "48k"], "book.m4b");
    is_whole(hear(&folder.join("book.m4b")));
    is_whole(hear_bytes(folder, "two.m4b", &with_two_entries(&book)));
}

/// The file with a second sample entry in each track that is not sound, as publishers of podcasts
/// write them.
fn with_two_entries(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((size, kind)) =
        rest.first_chunk::<8>().map(|header| (header.first_chunk::<4>(), &header[4..]))
    {
        let size = u32::from_be_bytes(*size.expect("four bytes")) as usize;
        let (whole, behind) = rest.split_at(size);
        let body = match kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" => with_two_entries(&whole[8..]),
            b"stsd" if !whole.windows(4).any(|bytes| bytes == b"mp4a") => {
                [&whole[8..12], &2u32.to_be_bytes(), &whole[16..], &whole[16..]].concat()
            }
            _ => whole[8..].to_vec(),
        };
        out.extend((body.len() as u32 + 8).to_be_bytes());
        out.extend(kind);
        out.extend(body);
        rest = behind;
    }
    out
}

#[test]
fn variants_of_codecs_are_heard_as_far_as_they_are_speech() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // Opus of a recording at 44.1 kHz, as mkvmerge labels it.
    let mut opus = make(folder, &["-c:a", "libopus", "-b:a", "48k"], "opus.webm");
    let at = opus.windows(2).position(|bytes| bytes == [0xB5, 0x88]).expect("a rate") + 2;
    opus[at..at + 8].copy_from_slice(&44_100f64.to_be_bytes());
    is_whole(hear_bytes(folder, "44k.webm", &opus));
    // HE-AAC that says so: its core has all of the speech.
    let mut aac = make(folder, &["-c:a", "aac", "-b:a", "64k"], "aac.m4a");
    let config = [0x14, 0x08, 0x56, 0xE5, 0x00];
    let at = aac.windows(5).position(|bytes| bytes == config).expect("a configuration");
    aac[at..at + 5].copy_from_slice(&[0x2C, 0x0A, 0x88, 0, 0]);
    is_whole(hear_bytes(folder, "he.m4a", &aac));
}

#[test]
fn unsupported_codecs_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let refuse = |file: &str, what: &[&str]| {
        let message = hear(&folder.join(file)).err().unwrap_or_else(|| panic!("{file} opens")).to_string();
        assert!(!message.contains('\n') && message.contains(file), "{message}");
        assert!(what.iter().all(|what| message.contains(what)), "{message}");
    };
    make(folder, &["-ac", "6", "-c:a", "aac"], "six.m4a");
    refuse("six.m4a", &["aac", "convert"]);
    make(folder, &["-c:a", "libspeex"], "sound.spx");
    refuse("sound.spx", &["Speex in Ogg", "convert"]);
    make(folder, &["-c:a", "aac", "-f", "mpegts"], "sound.ts");
    refuse("sound.ts", &["MPEG transport stream"]);
    make(folder, &["-c:a", "libmp3lame", "-f", "avi"], "sound.avi");
    refuse("sound.avi", &["AVI"]);
    make(folder, &["-c:a", "ac3"], "sound.ac3");
    refuse("sound.ac3", &["AC-3"]);
    let gsm = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0\x31\0\x01\0\x40\x1f\0\0\x59\x06\0\0\x41\0\0\0\x02\0\x40\x01data\x41\0\0\0";
    fs::write(folder.join("gsm.wav"), [gsm.as_slice(), &[0; 65]].concat()).expect("written");
    refuse("gsm.wav", &["GSM 6.10 in WAV"]);
    let whole = make(folder, &["-c:a", "aac"], "sound.m4a");
    fs::write(folder.join("unfinished.m4a"), &whole[..whole.len() / 2]).expect("written");
    refuse("unfinished.m4a", &["was not finished"]);
    ffmpeg(folder, &["-f", "lavfi", "-i", "aevalsrc='0|0|0|0|0|0|0|0|0|0':s=16000:d=0.2", "ten.wav"]);
    refuse("ten.wav", &["10 channels"]);
}
