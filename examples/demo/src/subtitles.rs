//! A recording as subtitles.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use console::style;
use hearken::formats::{Format, cues};
use hearken::{Model, TranscribeOptions};

use crate::recordings::Recording;
use crate::report::{self, Words};

/// The path of the file that players take.
const FILE: &str = "target/demo/subtitles.srt";

pub(crate) fn show(model: &Model, recording: &Recording) -> Result<(), Box<dyn Error>> {
    report::heading("Subtitles", recording);
    let transcript = model.transcribe(&mut recording.source()?, &TranscribeOptions::new(), |_| {})?;
    fs::create_dir_all(Path::new(FILE).parent().unwrap_or(Path::new(".")))?;
    Format::Srt.write(&transcript, &mut File::create(FILE)?)?;

    for cue in transcript.segments.iter().flat_map(cues) {
        let times = format!("{} – {}", clock(cue.start), clock(cue.end));
        println!("  {}  {}", style(times).cyan(), cue.lines.join(" "));
    }
    let words = Words::compare(&recording.said, &transcript.text());
    report::figures(&[words.error_rate(), format!("the file: {FILE}")]);
    Ok(())
}

/// Minutes, seconds and tenths.
fn clock(milliseconds: u64) -> String {
    let tenths = milliseconds / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}
