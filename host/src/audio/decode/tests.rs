//! Each fixture holds the same second: 440 Hz from 0.25 to 0.75 s at -6 dB, silence around it; in
//! stereo, the right channel at half the level of the left.

use std::io::Write as _;

use super::*;
use crate::allocation;
use crate::noise::Noise;

macro_rules! fixture {
    ($name:literal) => {
        (include_bytes!(concat!("../fixtures/", $name)) as &[u8])
    };
}

const FLAC: &[u8] = fixture!("tone-8k-mono.flac");
const MP3: &[u8] = fixture!("tone-44k-stereo.mp3");
const OPUS: &[u8] = fixture!("tone-48k-mono.opus");

/// Most bytes that a small recording may have allocated at once.
const MOST_BYTES: usize = 4 << 20;

/// The fixture's audio.
fn tone(rate: u32, channels: u16) -> Vec<f32> {
    (0..rate)
        .flat_map(|n| {
            let t = f64::from(n) / f64::from(rate);
            let on = (0.25..0.75).contains(&t);
            let level = 0.5 * ((t - 0.25) * 440.0 * std::f64::consts::TAU).sin();
            let level = if on { level } else { 0.0 };
            (0..channels).map(move |channel| (level * 0.5f64.powi(channel.into())) as f32)
        })
        .collect()
}

/// A WAV file of 16-bit PCM whose header speaks of `stated` bytes of data.
fn wav(rate: u32, channels: u16, samples: &[i16], stated: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let block = channels * 2;
    file.extend(b"RIFF");
    file.extend(stated.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(16u16.to_le_bytes());
    file.extend(b"data");
    file.extend(stated.to_le_bytes());
    file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    file
}

fn whole_wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    wav(rate, channels, samples, samples.len() as u32 * 2)
}

fn on_disk(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file
}

struct Heard {
    format: Format,
    samples: Vec<f32>,
    error: Option<AudioError>,
    faults: Faults,
}

fn hear(mut source: Box<dyn Source>) -> Heard {
    let format = source.format();
    let (mut samples, mut block) = (Vec::new(), vec![7.0]);
    let error = loop {
        match source.read(&mut block) {
            Ok(0) => break None,
            Ok(frames) => {
                assert_eq!(frames * usize::from(format.channels), block.len());
                assert!(block.len() <= 400_000, "a block is bounded");
                assert!(block.iter().all(|s| s.abs() <= 1.0));
                samples.extend_from_slice(&block);
            }
            Err(error) => {
                assert_eq!(source.read(&mut block).expect("an error is the end"), 0);
                break Some(error);
            }
        }
    };
    assert!(block.is_empty());
    let faults = source.faults();
    Heard { format, samples, error, faults }
}

fn hear_file(bytes: &[u8]) -> Heard {
    hear(open(on_disk(bytes).path()).expect("opens"))
}

fn hear_pipe(bytes: &'static [u8]) -> Heard {
    hear(from_reader("pipe", bytes).expect("opens"))
}

fn complaint(bytes: &[u8]) -> AudioError {
    match open(on_disk(bytes).path()) {
        Ok(_) => panic!("it must not open"),
        Err(error) => error,
    }
}

/// Root mean square of one channel between two times in seconds.
fn level(heard: &Heard, channel: usize, from: f64, to: f64) -> f32 {
    let rate = f64::from(heard.format.sample_rate);
    let frames: Vec<f32> = heard
        .samples
        .chunks_exact(usize::from(heard.format.channels))
        .map(|frame| frame[channel])
        .skip((from * rate) as usize)
        .take(((to - from) * rate) as usize)
        .collect();
    (frames.iter().map(|s| s * s).sum::<f32>() / frames.len() as f32).sqrt()
}

/// Where the tone begins, in seconds.
fn onset(heard: &Heard) -> f64 {
    let channels = usize::from(heard.format.channels);
    let first = heard.samples.iter().position(|s| s.abs() > 0.25).expect("a tone");
    (first / channels) as f64 / f64::from(heard.format.sample_rate)
}

#[test]
fn every_promised_format_is_decoded_with_the_tone_in_its_place() {
    // Allowed delay in ms: what the container or symphonia does not compensate for.
    let cases: &[(&str, &[u8], u32, u16, f64)] = &[
        ("flac", FLAC, 8_000, 1, 0.0),
        ("mp3", MP3, 44_100, 2, 0.0),
        ("mp3 without a tag", fixture!("untagged-16k-mono.mp3"), 16_000, 1, 80.0),
        ("ogg vorbis", fixture!("tone-44k-stereo.ogg"), 44_100, 2, 0.0),
        ("ogg opus", OPUS, 16_000, 1, 0.0),
        ("webm opus", fixture!("tone-48k-stereo.webm"), 16_000, 2, 0.0),
        ("m4a aac", fixture!("tone-44k-stereo.m4a"), 44_100, 2, 25.0),
        ("m4a alac", fixture!("alac-16k-mono.m4a"), 16_000, 1, 0.0),
        ("aiff", fixture!("tone-8k-mono.aiff"), 8_000, 1, 0.0),
        ("caf alac", fixture!("alac-16k-mono.caf"), 16_000, 1, 0.0),
        ("caf mu-law", fixture!("mulaw-8k-mono.caf"), 8_000, 1, 0.0),
    ];
    for (name, bytes, sample_rate, channels, delay_ms) in cases {
        let heard = hear_file(bytes);
        assert!(heard.error.is_none(), "{name}: {:?}", heard.error);
        assert!(!heard.faults.is_damaged(), "{name}: {:?}", heard.faults);
        let format = Format { sample_rate: *sample_rate, channels: *channels };
        assert_eq!(heard.format, format, "{name}");
        let seconds = heard.samples.len() as f64 / f64::from(*sample_rate) / f64::from(*channels);
        let begin = onset(&heard);
        assert!((0.25..0.254 + delay_ms / 1000.0).contains(&begin), "{name}: the tone begins at {begin} s");
        assert!((1.0..1.03 + 2.0 * delay_ms / 1000.0).contains(&seconds), "{name}: {seconds} s");
        for channel in 0..usize::from(*channels) {
            let expected = 0.5f32.powi(channel as i32 + 1) / 2f32.sqrt();
            let loud = level(&heard, channel, begin + 0.05, begin + 0.4);
            assert!((loud / expected - 1.0).abs() < 0.06, "{name}: channel {channel} at {loud}");
            assert!(level(&heard, channel, 0.0, 0.2) < 0.02, "{name}: silence before");
        }
    }
}

#[test]
fn lossless_formats_are_exact() {
    for bytes in [FLAC, fixture!("alac-16k-mono.m4a")] {
        let heard = hear_file(bytes);
        let expected = tone(heard.format.sample_rate, 1);
        assert_eq!(heard.samples.len(), expected.len());
        let worst = heard.samples.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1.0 / 16_384.0, "{worst}");
    }
}

#[test]
fn sixteen_bit_wav_becomes_the_same_floats_as_everywhere_else() {
    let samples: Vec<i16> = (0..30_000).map(|n: i32| (n * 7_919 % 65_536 - 32_768) as i16).collect();
    for channels in [1, 2, 5] {
        let heard = hear_file(&whole_wav(16_000, channels, &samples));
        let expected: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32_768.0).collect();
        assert!(heard.error.is_none(), "{:?}", heard.error);
        assert_eq!(heard.samples, expected);
        assert_eq!(heard.faults, Faults::default());
    }
}

#[test]
fn a_pipe_gives_what_the_file_gives() {
    for bytes in [FLAC, MP3, OPUS, fixture!("tone-48k-stereo.webm"), fixture!("faststart-44k-stereo.m4a")] {
        let (file, pipe) = (hear_file(bytes), hear_pipe(bytes));
        assert!(pipe.error.is_none(), "{:?}", pipe.error);
        assert!(file.samples == pipe.samples, "{:?}", file.format);
    }
}

#[test]
fn a_wav_that_was_written_to_a_pipe_runs_to_its_end() {
    let samples = [1_000i16; 5_000];
    for stated in [u32::MAX, 0x7FFF_F000] {
        let heard = hear_file(&wav(16_000, 1, &samples, stated));
        assert_eq!(heard.samples.len(), samples.len(), "{stated:x}");
        assert!(heard.error.is_none(), "{stated:x}: {:?}", heard.error);
    }
}

#[test]
fn a_recording_without_a_frame_is_not_an_error() {
    let heard = hear_file(&whole_wav(22_050, 2, &[]));
    assert!(heard.error.is_none());
    assert_eq!(heard.format, Format { sample_rate: 22_050, channels: 2 });
    assert!(heard.samples.is_empty());
}

#[test]
fn a_file_that_is_cut_off_gives_its_audio_and_then_says_so() {
    let samples: Vec<i16> = (0..16_000).map(|n| (n % 251) as i16 * 100).collect();
    let wav = whole_wav(16_000, 1, &samples);
    // 1 byte more: the cut is within a sample.
    for cut in [wav.len() / 2, wav.len() / 2 + 1, wav.len() - 1, wav.len() - 2] {
        let heard = hear_file(&wav[..cut]);
        let whole = (cut - 44) / 2;
        assert_eq!(heard.samples.len(), whole, "all whole samples of {cut} bytes");
        assert!(
            matches!(heard.error, Some(AudioError::Truncated { frames, expected: Some(16_000), .. })
                if frames == whole as u64),
            "{:?}",
            heard.error
        );
    }
    let others: &[(&str, &[u8])] = &[
        ("flac", FLAC),
        ("mp3", MP3),
        ("ogg vorbis", fixture!("tone-44k-stereo.ogg")),
        ("ogg opus", OPUS),
        ("webm opus", fixture!("tone-48k-stereo.webm")),
        ("m4a aac", fixture!("faststart-44k-stereo.m4a")),
        ("aiff", fixture!("tone-8k-mono.aiff")),
    ];
    for (name, bytes) in others {
        let whole = hear_file(bytes);
        for cut in [bytes.len() * 4 / 5, bytes.len() * 9 / 10] {
            let source = match open(on_disk(&bytes[..cut]).path()) {
                Ok(source) => source,
                Err(error) => panic!("{name} cut to {cut} bytes: {error}"),
            };
            let heard = hear(source);
            assert!(matches!(heard.error, Some(AudioError::Truncated { .. })), "{name}: {:?}", heard.error);
            assert!(heard.samples.len() > whole.samples.len() / 5, "{name}: {}", heard.samples.len());
            assert!(heard.samples.len() < whole.samples.len(), "{name}");
            let same = heard.samples.len() - heard.samples.len() / 10;
            assert!(heard.samples[..same] == whole.samples[..same], "{name}: what there is, is as it was");
        }
    }
}

#[test]
fn a_caf_file_that_is_cut_off_says_so_at_once() {
    let caf = fixture!("mulaw-8k-mono.caf");
    let error = complaint(&caf[..caf.len() * 4 / 5]);
    assert!(error.to_string().contains("ends too soon"), "{error}");
}

#[test]
fn damage_in_the_middle_is_skipped_counted_and_leaves_the_rest_in_its_place() {
    for (name, bytes) in [("flac", FLAC), ("mp3", MP3), ("opus in webm", fixture!("tone-48k-stereo.webm"))] {
        let whole = hear_file(bytes);
        let mut damaged = bytes.to_vec();
        let middle = bytes.len() / 2;
        for byte in &mut damaged[middle..middle + 40] {
            *byte = byte.wrapping_mul(29).wrapping_add(91);
        }
        let heard = hear_file(&damaged);
        assert!(heard.samples != whole.samples, "{name}: the damage matters");
        match name {
            "flac" => {
                assert!(heard.error.is_none(), "{:?}", heard.error);
                assert_eq!(heard.faults.concealed_frames, 512, "one block");
            }
            // Its structure is gone: there is no way back into it.
            "opus in webm" => {
                assert!(matches!(heard.error, Some(AudioError::Damaged { .. })), "{:?}", heard.error);
                continue;
            }
            // MP3 has no checksum: damaged sound, in its place.
            _ => assert!(heard.error.is_none(), "{name}: {:?}", heard.error),
        }
        assert_eq!(heard.samples.len(), whole.samples.len(), "{name}");
        let end = whole.samples.len() * 4 / 5;
        assert_eq!(heard.samples[end..], whole.samples[end..], "{name}: the rest is in its place");
    }
}

#[test]
fn a_packet_that_cannot_be_decoded_becomes_silence_of_its_length() {
    // The payload of a packet, found by its place behind a block's header: Opus code 3 with an
    // impossible count.
    let mut damaged = fixture!("tone-48k-stereo.webm").to_vec();
    let whole = hear_file(&damaged);
    let blocks: Vec<usize> =
        damaged.windows(2).enumerate().filter(|(_, w)| w[0] == 0xa3).map(|(at, _)| at).collect();
    let block = blocks[blocks.len() / 2];
    let payload = block + if damaged[block + 1] & 0x80 != 0 { 6 } else { 7 };
    damaged[payload] |= 3;
    damaged[payload + 1] = 0xff;
    let heard = hear_file(&damaged);
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert_eq!(heard.faults.skipped_packets, 1, "{:?}", heard.faults);
    assert!(heard.samples.len().abs_diff(whole.samples.len()) < 2 * 4_800);
}

#[test]
fn an_mp3_whose_length_can_only_be_guessed_is_not_trimmed_to_the_guess() {
    // The bit rate of the start promises a quarter of the length.
    let mut file = fixture!("untagged-128k-start.mp3").to_vec();
    let start = hear_file(&file).samples.len();
    let rest = fixture!("untagged-16k-mono.mp3");
    for _ in 0..3 {
        file.extend(rest);
    }
    assert_eq!(hear_file(&file).samples.len(), start + 3 * hear_file(rest).samples.len());
}

#[test]
fn files_without_audio_are_named_in_one_line() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(2_000);
    let mut noise = Noise(1);
    let noise: Vec<u8> = (0..200_000).map(|_| (noise.next() >> 24) as u8).collect();
    let elf = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
    let cases: [&[u8]; 7] =
        [b"x", b"RIFF", text.as_bytes(), &noise, &[0; 5_000], &FLAC[..30], &elf[..elf.len().min(300_000)]];
    for bytes in cases {
        let error = complaint(bytes);
        let message = error.to_string();
        assert!(matches!(error, AudioError::NotAudio { .. }), "{message}");
        assert!(!message.contains('\n') && message.contains("convert"), "{message}");
    }
    assert!(complaint(&elf).to_string().contains("it is a program"));
    // Frames of an MP3 behind a signature are not searched for.
    let hidden = [b"PK\x03\x04".as_slice(), MP3].concat();
    assert!(complaint(&hidden).to_string().contains("it is a ZIP archive"));
    assert!(matches!(complaint(b""), AudioError::Empty { .. }));
    assert!(matches!(from_reader("pipe", &b""[..]).err(), Some(AudioError::Empty { .. })));
}

#[test]
fn a_film_without_sound_and_a_codec_that_is_missing_are_named() {
    let error = complaint(fixture!("video-only.webm"));
    assert!(matches!(error, AudioError::NoTrack { .. }), "{error}");
    let error = complaint(fixture!("ac3.mkv"));
    assert!(matches!(error, AudioError::Codec { .. }), "{error}");
}

#[test]
fn missing_files_directories_and_hostile_names_are_one_line() {
    let error = open(Path::new("no/such\n\x1b[31mfile.wav")).err().expect("missing");
    assert!(matches!(error, AudioError::Open { .. }));
    assert!(!error.to_string().contains(['\n', '\x1b']), "{error}");
    let directory = tempfile::tempdir().expect("a directory");
    let error = open(directory.path()).err().expect("a directory");
    assert!(matches!(error, AudioError::Directory { .. }), "{error}");
}

#[test]
fn a_stream_that_changes_its_format_goes_on_in_the_first_one() {
    // Chained Ogg: legal, and what a radio station's recording looks like.
    let mut chained = OPUS.to_vec();
    chained.extend(fixture!("tone-44k-stereo.ogg"));
    chained.extend(OPUS);
    let heard = hear_file(&chained);
    let first = hear_file(OPUS);
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert_eq!(heard.format, first.format);
    let len = first.samples.len();
    assert!(heard.samples[..len] == first.samples, "all before the change is as it was");
    assert!(heard.samples.len().abs_diff(3 * len) < 3_000, "{} of 3 x {len}", heard.samples.len());
    for second in 0..3 {
        let start = f64::from(second);
        // The two channels of the second, averaged: three quarters of the tone.
        let tone = if second == 1 { 0.75 } else { 1.0 } * 0.5 / 2f32.sqrt();
        let level = level(&heard, 0, start + 0.35, start + 0.65);
        assert!((level - tone).abs() < 0.02, "second {second}: {level}, not {tone}");
    }
}

#[test]
fn a_chain_of_the_same_format_goes_on() {
    let mut chained = OPUS.to_vec();
    chained.extend(OPUS);
    let (heard, first) = (hear_pipe(chained.leak()), hear_file(OPUS));
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert_eq!(heard.faults.concealed_frames, 0);
    let len = first.samples.len();
    assert!(heard.samples.len().abs_diff(2 * len) < 2_000, "{} of 2 x {len}", heard.samples.len());
}

#[test]
fn a_rate_that_is_not_supported_is_refused() {
    for (rate, channels) in [(4_000, 1), (16_000, 10), (400_000, 2)] {
        let error = complaint(&whole_wav(rate, channels, &[5; 500]));
        assert!(matches!(error, AudioError::RecordingFormat { .. }), "{error}");
    }
}

/// A CAF file of fixed packets: format, bytes and frames in each packet, channels, bits, data.
fn caf(format: &[u8; 4], [bytes, frames, channels, bits]: [u32; 4], data: &[u8]) -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc".to_vec();
    file.extend(32u64.to_be_bytes());
    file.extend(16_000f64.to_be_bytes());
    file.extend(format);
    // Floating point for PCM, which other formats have no use for.
    for number in [u32::from(format == b"lpcm"), bytes, frames, channels, bits] {
        file.extend(number.to_be_bytes());
    }
    file.extend(b"data");
    file.extend((4 + data.len() as u64).to_be_bytes());
    file.extend([0; 4]);
    file.extend(data);
    file
}

fn atom(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(8 + body.len() as u32).to_be_bytes()[..], name, &body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A MOV file with one sample of sound whose entry is of version 2, as QuickTime writes it: format,
/// frames that the entry states for a packet, frames that the time table states for the sample.
fn mov(format: &[u8; 4], packet_frames: u32, sample_frames: u32) -> Vec<u8> {
    let data = [0; 680];
    let file_type = atom(b"ftyp", &[b"qt  \0\0\0\0qt  "]);
    let movie = |data_at: u32| {
        let rate = 16_000f64.to_be_bytes();
        let entry = atom(
            format,
            &[
                &[0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0],
                &[0, 3, 0, 16, 0xFF, 0xFE, 0, 0, 0, 1, 0, 0, 0, 0, 0, 72],
                &rate,
                &words(&[8, 0x7F00_0000, 8, 0, 8, packet_frames]),
            ],
        );
        let table = atom(
            b"stbl",
            &[
                &atom(b"stsd", &[&words(&[0, 1]), &entry]),
                &atom(b"stts", &[&words(&[0, 1, 1, sample_frames])]),
                &atom(b"stsc", &[&words(&[0, 1, 1, 1, 1])]),
                &atom(b"stsz", &[&words(&[0, data.len() as u32, 1])]),
                &atom(b"stco", &[&words(&[0, 1, data_at])]),
            ],
        );
        let media = atom(
            b"mdia",
            &[
                &atom(b"mdhd", &[&words(&[0, 0, 0, 16_000, 16_000, 0])]),
                &atom(b"hdlr", &[&words(&[0, 0]), b"soun", &words(&[0, 0, 0]), &[0]]),
                &atom(b"minf", &[&atom(b"smhd", &[&words(&[0, 0])]), &table]),
            ],
        );
        let track = atom(b"tkhd", &[&words(&[7, 0, 0, 1, 0, 16_000]), &[0; 60]]);
        let header = atom(b"mvhd", &[&words(&[0, 0, 0, 16_000, 16_000]), &[0; 80]]);
        atom(b"moov", &[&header, &atom(b"trak", &[&track, &media])])
    };
    let data_at = file_type.len() + movie(0).len() + 8;
    [file_type, movie(data_at as u32), atom(b"mdat", &[&data])].concat()
}

#[test]
fn no_number_in_a_small_file_decides_how_much_memory_is_taken() {
    let bombs = [
        ("CAF, PCM", caf(b"lpcm", [8, u32::MAX, 1, 64], &[0; 64])),
        ("CAF, ADPCM", caf(b"ima4", [34, 0xFF00_0040, 1, 0], &[0; 3_400])),
        ("MOV, PCM", mov(b"lpcm", u32::MAX, 85)),
        ("MOV, PCM, a long sample", mov(b"lpcm", 1, u32::MAX)),
        ("CAF, ADPCM, short packets", caf(b"ima4", [34, 65_536, 1, 0], &[0; 3_400])),
    ];
    for (name, bytes) in bombs {
        let file = on_disk(&bytes);
        let outcome = allocation::within(MOST_BYTES, || {
            let mut source = open(file.path())?;
            let (mut block, mut frames) = (Vec::new(), 0);
            while let more @ 1.. = source.read(&mut block)? {
                frames += more;
            }
            Ok::<_, AudioError>(frames)
        });
        println!("{name}: {outcome:?}");
        // What there is of it may be heard, and no more.
        assert!(outcome.is_err() || outcome.is_ok_and(|frames| frames <= 85), "{name}");
    }
}

#[test]
fn no_damage_makes_it_panic_or_run_forever() {
    let fixtures: [&'static [u8]; 8] = [
        FLAC,
        MP3,
        OPUS,
        fixture!("tone-44k-stereo.ogg"),
        fixture!("tone-48k-stereo.webm"),
        fixture!("faststart-44k-stereo.m4a"),
        fixture!("tone-8k-mono.aiff"),
        fixture!("mulaw-8k-mono.caf"),
    ];
    let mut noise = Noise(12_345);
    let mut random = || (noise.next() >> 8) as usize;
    for bytes in fixtures {
        for round in 0..150 {
            let mut damaged = bytes.to_vec();
            // Headers are where parsers break.
            let reach = if round % 2 == 0 { 200.min(damaged.len()) } else { damaged.len() };
            for _ in 0..1 + random() % 6 {
                damaged[random() % reach] = random() as u8;
            }
            let file = on_disk(&damaged);
            allocation::within(MOST_BYTES, || {
                let Ok(mut source) = open(file.path()) else { return };
                let mut block = Vec::new();
                for _ in 0..20_000 {
                    match source.read(&mut block) {
                        Ok(frames) if frames > 0 => {}
                        _ => break,
                    }
                }
            });
        }
    }
}
