//! Containers and codecs are parsed in the sandbox alone.

use std::process::Command;

/// Names of libraries that parse media; of none of them is there anything in the host.
const PARSERS: [&str; 8] = ["symphonia", "opus", "ffmpeg", "minimp3", "claxon", "lewton", "hound", "fdk"];

#[test]
fn the_host_has_no_parser_of_media() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "hearken",
            "--all-features",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(
        names.contains(&"wasmtime") && names.contains(&"rubato"),
        "this is not the tree of hearken: {tree}"
    );
    for name in names {
        assert!(!PARSERS.iter().any(|parser| name.contains(parser)), "{name} is in the host");
    }
}
