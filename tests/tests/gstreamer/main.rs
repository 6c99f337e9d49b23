//! The GStreamer plug-in, as people use it: `gst-inspect-1.0` shows it, `gst-launch-1.0` makes
//! subtitles with it. What it promises to other elements is tested beside it, in
//! `examples/gstreamer`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hearken_tests::command::{Ended, binary, run, settle};
use hearken_tests::speech::espeak;
use hearken_tests::wav;
use tempfile::TempDir;

const PHRASES: [&str; 2] = ["seven three nine two zero five", "one two three four five"];

/// A folder with a recording, and for what is made of it.
struct Studio {
    folder: TempDir,
}

impl Studio {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut samples, mut rate) = (Vec::new(), 0);
        for phrase in PHRASES {
            let spoken = espeak("en-us", 140, phrase);
            rate = spoken.format.sample_rate;
            samples.extend(spoken.samples);
            samples.resize(samples.len() + rate as usize, 0.0);
        }
        fs::write(folder.path().join("talk.wav"), wav::pcm16(&samples, rate, 1))
            .expect("room for a recording");
        Self { folder }
    }

    /// A GStreamer tool that finds the plug-in, and whose own files lie here.
    fn tool(&self, name: &str) -> Command {
        let plugins = plugins();
        let mut command = Command::new(name);
        settle(&mut command);
        command.current_dir(self.folder.path()).env("GST_PLUGIN_PATH", plugins);
        command.env("GST_REGISTRY", self.folder.path().join("registry")).env("LC_ALL", "C");
        command
    }

    fn launch(&self, pipeline: &str) -> Ended {
        let ended = run(self.tool("gst-launch-1.0").arg("-m").args(pipeline.split_whitespace()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("it was made")
    }
}

fn plugins() -> PathBuf {
    // target/release/hearken
    let folder = binary().ancestors().nth(2).expect("a target folder").join("gstreamer");
    assert!(
        folder.join("libgsthearken.so").exists(),
        "{} holds no plug-in: run `make gstreamer`",
        folder.display()
    );
    folder
}

/// The texts of subtitles, one line each.
fn texts(subtitles: &str) -> Vec<&str> {
    let is_text = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    subtitles.lines().filter(is_text).collect()
}

#[test]
fn inspect_shows_the_element_and_its_properties() {
    let ended = run(Studio::new().tool("gst-inspect-1.0").arg("hearken"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for word in [
        "Turns speech into timed text",
        "model ",
        "language ",
        "latency ",
        "step ",
        "text/x-raw",
        "application/x-subtitle",
        "8000, 192000",
    ] {
        assert!(ended.stdout.contains(word), "{word:?} is not in {}", ended.stdout);
    }
}

#[test]
fn a_file_becomes_subtitles() {
    let studio = Studio::new();
    studio.launch("filesrc location=talk.wav ! decodebin ! audioconvert ! hearken ! application/x-subtitle ! filesink location=talk.srt");
    let subtitles = studio.file("talk.srt");
    assert!(subtitles.starts_with("1\n00:00:0"), "{subtitles}");
    assert_eq!(texts(&subtitles), PHRASES);
    studio.launch("filesrc location=talk.wav ! decodebin ! audioconvert ! hearken ! application/x-subtitle-vtt ! filesink location=talk.vtt");
    let subtitles = studio.file("talk.vtt");
    assert!(subtitles.starts_with("WEBVTT\n"), "{subtitles}");
    assert_eq!(texts(&subtitles), PHRASES);
}

/// Subtitles in a Matroska file beside the sound, and out of it again: the times survive.
#[test]
fn subtitles_are_muxed_with_their_times() {
    let studio = Studio::new();
    studio.launch(
        "matroskamux name=mux ! filesink location=talk.mkv \
         filesrc location=talk.wav ! wavparse ! tee name=t \
         t. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! audioconvert ! vorbisenc ! mux. \
         t. ! queue ! audioconvert ! hearken ! mux.",
    );
    let again = studio.launch(
        "-v filesrc location=talk.mkv ! matroskademux name=demux demux.subtitle_0 ! fakesink silent=false sync=false",
    );
    let times: Vec<f64> = again
        .stdout
        .lines()
        .filter(|line| line.contains("chain ") && line.contains("pts: "))
        .filter_map(|line| line.split("pts: ").nth(1)?.split(',').next()?.rsplit(':').next()?.parse().ok())
        .collect();
    assert_eq!(times.len(), PHRASES.len(), "{again:?}");
    // The second phrase begins when the first, some three seconds long, and a second of silence are
    // over.
    assert!(times[0] < 1.0 && (3.0..5.0).contains(&times[1]), "{times:?}");
}

/// A live source: silence from a clock, with the recording mixed into it.
#[test]
fn a_live_source_becomes_text_while_it_is_spoken() {
    let studio = Studio::new();
    let ended = studio.launch(
        "audiotestsrc is-live=true wave=silence samplesperbuffer=441 num-buffers=400 ! \
         audio/x-raw,format=S16LE,rate=22050,channels=1 ! audiomixer name=mix ! hearken step=300 ! \
         filesink location=talk.txt sync=false \
         filesrc location=talk.wav ! wavparse ! mix.",
    );
    let said = studio.file("talk.txt");
    assert!(ended.stdout.contains("hearken-partial"), "{ended:?}");
    assert!(ended.stdout.contains("hearken-final"), "{ended:?}");
    // Pieces of text follow each other without a space in a file.
    assert_eq!(said.replace(' ', ""), PHRASES.concat().replace(' ', ""));
}

#[test]
fn errors_of_properties_are_reported() {
    let studio = Studio::new();
    // Not an error that is known only when audio comes: after those gst-launch-1.0 1.22 does not
    // always end, whatever the element.
    let pipeline = "audiotestsrc num-buffers=10 ! hearken model=/no/such/model.bin ! fakesink";
    let ended = run(studio.tool("gst-launch-1.0").args(pipeline.split_whitespace()));
    assert!(ended.code != Some(0) && ended.stderr.contains("/no/such/model.bin"), "{ended:?}");
}
