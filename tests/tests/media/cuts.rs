//! Recordings that end too soon: a download that broke off, a disk that was full.

use std::fs::File;
use std::path::Path;

use hearken::audio::{AudioError, from_reader};

use super::matrix::{KINDS, Kind};
use super::{ffmpeg, hear, hear_all};

/// The message of a decoder that trapped.
pub(crate) const TRAP: &str = "its parser failed";

/// Places at which each recording is cut.
const PLACES: usize = 20;

/// Kinds of which nothing tells that the end is missing, by extension and an option: frames follow
/// each other, and the file says neither how many there are nor how long it is.
fn has_no_end(kind: &Kind) -> bool {
    let has = |option| kind.options.contains(&option);
    matches!(kind.extension, "aac" | "mp2")
        || kind.extension == "mp3" && has("-write_xing")
        || has("+frag_keyframe+empty_moov")
}

#[test]
fn each_kind_gives_what_there_is_and_says_that_it_is_cut() {
    cut(KINDS, has_no_end, 0.2);
}

/// Cuts a recording of each kind, and hears what there is. If more is missing than `slack` \[s\],
/// it must be said.
pub(crate) fn cut(kinds: &[Kind], has_no_end: fn(&Kind) -> bool, slack: f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (mut cuts, mut failures) = (0, Vec::new());
    for (number, kind) in kinds.iter().enumerate() {
        let format = kind.usual();
        let file = format!("{number}.{}", kind.extension);
        kind.write(folder, &file, format);
        let bytes = std::fs::read(folder.join(&file)).expect("a file");
        let whole = hear(&folder.join(&file)).expect("it opens");
        let name = format!("{} {:?}", kind.extension, kind.options);
        for place in 1..=PLACES {
            let cut = &bytes[..bytes.len() * place / (PLACES + 1)];
            let path = folder.join(format!("cut.{}", kind.extension));
            std::fs::write(&path, cut).expect("written");
            let pipe = from_reader("it", File::open(&path).expect("a file")).map(hear_all);
            for (way, heard) in [("file", hear(&path)), ("pipe", pipe)] {
                cuts += 1;
                let context = format!("{name}, {way}, cut at {place}");
                let error = match &heard {
                    Err(error) => Some(error),
                    Ok(heard) => heard.error.as_ref(),
                };
                if let Some(error) = error {
                    let message = error.to_string();
                    assert!(!message.contains('\n'), "{context}: {message}");
                    assert!(!matches!(error, AudioError::Sandbox { .. }), "{context}: {message}");
                    assert!(!message.contains(TRAP), "{context}: {message}");
                }
                let Ok(heard) = heard else { continue };
                assert!(heard.frames() <= whole.frames() + 8_192, "{context}: {} frames", heard.frames());
                let is_short = heard.seconds() + slack < whole.seconds();
                if is_short && heard.error.is_none() && !has_no_end(kind) {
                    failures.push(format!(
                        "{context}: {} of {} frames, and no word of it",
                        heard.frames(),
                        whole.frames()
                    ));
                }
            }
        }
    }
    println!("{cuts} cuts");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A recording that takes more memory or time than a decoder has is a damaged file, and harms
/// nobody.
#[test]
fn bombs_go_off_in_their_sandbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let complain = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).expect("written");
        let message = match hear(&folder.join(name)) {
            Err(error) => error.to_string(),
            Ok(heard) => heard.error.map(|error| error.to_string()).unwrap_or_default(),
        };
        assert!(!message.contains('\n'), "{name}: {message}");
        message
    };
    // Ogg: one packet over pages without end, which a reader has to collect.
    let mut page = b"OggS\0\x01\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\xff".to_vec();
    page.extend([0xFF; 255]);
    page.resize(page.len() + 255 * 255, 0x55);
    complain("packet.ogg", &page.repeat(512));
    // MP4: tables that state four billion entries.
    make_table_bomb(folder, &complain);
    // FLAC: a picture that states its length.
    let picture = [b"fLaC\x06\xff\xff\xff".as_slice(), &[0; 1 << 20]].concat();
    assert!(!complain("picture.flac", &picture).is_empty());
    // WAV: chunks without end, and a frame of 65,535 channels of eight bytes.
    let chunks = [b"RIFF\xff\xff\xff\xffWAVE".as_slice(), &b"JUNK\0\0\0\0".repeat(100_000)].concat();
    assert!(complain("chunks.wav", &chunks).contains("no data"));
    let wide = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x03\0\xff\xff\x80\x3e\0\0\0\0\0\0\xf8\xff\x40\0data\0\0\0\x40";
    complain("wide.wav", &[wide.as_slice(), &[0; 1 << 20]].concat());
    // ID3: tags one behind the other, each of which states a length of 256 MiB.
    complain("tags.mp3", &b"ID3\x04\0\0\x7f\x7f\x7f\x7f".repeat(1_000));
}

fn make_table_bomb(folder: &Path, complain: &impl Fn(&str, &[u8]) -> String) {
    let source = "sine=f=440:r=16000:d=1";
    ffmpeg(folder, &["-f", "lavfi", "-i", source, "-c:a", "aac", "whole.m4a"]);
    let whole = std::fs::read(folder.join("whole.m4a")).expect("a file");
    for table in [b"stts", b"stsc", b"stsz", b"stco", b"elst", b"stsd"] {
        let mut bytes = whole.clone();
        let at = bytes.windows(4).position(|bytes| bytes == table).expect("a table");
        // Behind the version: the number of entries, of samples' sizes behind the common size.
        let count = at + if table == b"stsz" { 12 } else { 8 };
        bytes[count..count + 4].fill(0xFF);
        complain("table.m4a", &bytes);
    }
}
