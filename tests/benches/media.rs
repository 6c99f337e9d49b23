//! The cost of decoding a recording in the sandbox: how many times as fast as real time, by
//! hearken's own module and by FFmpeg's libraries as one (`make media-ffmpeg`), beside ffmpeg on
//! the same file, and how long it takes from a file's name to its first sound.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hearken::audio::{AudioError, Source, add_media, open, open_with_added};

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

/// A function that opens a recording.
type Open = fn(&Path) -> Result<Box<dyn Source>, AudioError>;

/// Time to decode all of a file, and to its first block.
fn decode(open: Open, path: &Path) -> (Duration, Duration) {
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
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/media-ffmpeg/ffmpeg.wasm");
    let start = Instant::now();
    add_media(&std::fs::read(module).expect("make media-ffmpeg")).expect("a module");
    println!("the module was added after {:.2} s", start.elapsed().as_secs_f64());
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let source = format!(
        "aevalsrc='0.3*sin(2*PI*(200+50*sin(t))*t)+0.1*(random(0)-0.5)|0.3*sin(2*PI*310*t)':s=44100:d={SECONDS}"
    );
    println!("{SECONDS} s at 44.1 kHz, stereo, one thread; the fastest of {RUNS} runs");
    println!(
        "| | times real time | first sound after | FFmpeg as a module | first sound after | ffmpeg, in a process of its own |"
    );
    println!("|---|---|---|---|---|---|");
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
        let opens: [Open; 2] = [open, open_with_added];
        let mut modules = [(Duration::MAX, Duration::MAX); 2];
        let mut other = Duration::MAX;
        for _ in 0..RUNS {
            for (open, (whole, first)) in opens.into_iter().zip(&mut modules) {
                let (all, start) = decode(open, &path);
                (*whole, *first) = ((*whole).min(all), (*first).min(start));
            }
            let start = Instant::now();
            ffmpeg(folder, &["-i", file, "-f", "null", "-"]);
            other = other.min(start.elapsed());
        }
        let times = |time: Duration| f64::from(SECONDS) / time.as_secs_f64();
        let module = |(whole, first): (Duration, Duration)| {
            format!("{:.0} | {:.2} ms", times(whole), first.as_secs_f64() * 1e3)
        };
        println!("| {name} | {} | {} | {:.0} |", module(modules[0]), module(modules[1]), times(other));
    }
}
