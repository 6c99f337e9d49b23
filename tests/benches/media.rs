//! The cost of decoding a recording in the sandbox: how many times as fast as real time, beside
//! ffmpeg on the same file, and how long it takes from a file's name to its first sound.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hearken::audio::open;

/// Length of each recording [s].
const SECONDS: u32 = 600;
/// Runs of each; the fastest counts, and they take turns.
const RUNS: usize = 5;

fn ffmpeg(folder: &Path, arguments: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-threads", "1"])
        .args(arguments)
        .current_dir(folder)
        .status()
        .expect("ffmpeg can be run");
    assert!(status.success(), "{arguments:?}");
}

/// Time to decode all of a file, and to its first block.
fn decode(path: &Path) -> (Duration, Duration) {
    let start = Instant::now();
    let mut source = open(path).expect("a recording");
    let mut block = Vec::new();
    let mut first = None;
    while source.read(&mut block).expect("sound") > 0 {
        first.get_or_insert_with(|| start.elapsed());
    }
    (start.elapsed(), first.expect("sound"))
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let source = format!(
        "aevalsrc='0.3*sin(2*PI*(200+50*sin(t))*t)+0.1*(random(0)-0.5)|0.3*sin(2*PI*310*t)':s=44100:d={SECONDS}"
    );
    println!("{SECONDS} s at 44.1 kHz, stereo, one thread; the fastest of {RUNS} runs");
    println!("| | times real time | ffmpeg, in a process of its own | first sound after |");
    println!("|---|---|---|---|");
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("WAV", "a.wav", &["-c:a", "pcm_s16le"]),
        ("FLAC", "a.flac", &["-c:a", "flac"]),
        ("MP3", "a.mp3", &["-c:a", "libmp3lame", "-b:a", "128k"]),
        ("AAC", "a.m4a", &["-c:a", "aac", "-b:a", "128k"]),
        ("Vorbis", "a.ogg", &["-c:a", "libvorbis", "-q:a", "4"]),
        ("Opus", "a.opus", &["-c:a", "libopus", "-b:a", "96k"]),
    ];
    for (name, file, options) in kinds {
        let arguments = [["-f", "lavfi", "-i", &source].as_slice(), options, &[file]].concat();
        ffmpeg(folder, &arguments);
        let path = folder.join(file);
        decode(&path);
        let (mut whole, mut first, mut other) = (Duration::MAX, Duration::MAX, Duration::MAX);
        for _ in 0..RUNS {
            let (all, start) = decode(&path);
            (whole, first) = (whole.min(all), first.min(start));
            let start = Instant::now();
            ffmpeg(folder, &["-i", file, "-f", "null", "-"]);
            other = other.min(start.elapsed());
        }
        let times = |time: Duration| f64::from(SECONDS) / time.as_secs_f64();
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} ms |",
            times(whole),
            times(other),
            first.as_secs_f64() * 1e3
        );
    }
}
