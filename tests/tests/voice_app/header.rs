//! The header is what the library is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::library::Library;

/// Public modules, in reading order.
const ROOMS: [&str; 8] =
    ["version.rs", "status.rs", "engine.rs", "model.rs", "pcm.rs", "session.rs", "event.rs", "input.rs"];

/// The header as the sources have it.
fn generated() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/capi");
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("a configuration");
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = ROOMS.iter().fold(builder, |builder, file| builder.with_src(folder.join(file)));
    let mut header = Vec::new();
    builder.generate().expect("sources that cbindgen reads").write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

fn header() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/include/hearken.h")
}

#[test]
fn it_is_up_to_date() {
    let generated = generated();
    if std::env::var_os("HEARKEN_BLESS").is_some() {
        fs::write(header(), &generated).expect("a file of ours");
    }
    let kept = fs::read_to_string(header()).expect("the header is committed");
    assert!(
        kept == generated,
        "host/include/hearken.h is not what host/src/capi says; set HEARKEN_BLESS=1 and run this test again"
    );
}

/// The shared library exports exactly the symbols that the header declares.
#[test]
fn the_library_exports_what_it_declares_and_nothing_else() {
    let library = Library::installed();
    let shared = library.folder().join("lib/libhearken.so");
    let listed = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=just-symbols"])
        .arg(shared)
        .output();
    let listed = String::from_utf8(listed.expect("nm runs").stdout).expect("names");
    let mut exported: Vec<&str> = listed.split_whitespace().collect();
    exported.sort_unstable();
    let header = fs::read_to_string(header()).expect("the header is committed");
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']))
        .filter_map(|line| line.split_once('(')?.0.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("hearken_"))
        .collect();
    declared.sort_unstable();
    assert!(declared.len() > 15, "{declared:?}");
    assert_eq!(exported, declared);
    let installed = fs::read_to_string(library.folder().join("include/hearken.h")).expect("it is installed");
    assert!(installed == header, "the installed header is another one");
}
