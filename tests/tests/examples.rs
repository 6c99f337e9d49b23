//! What the examples show who runs them.

use std::path::Path;
use std::process::Command;

use hearken_tests::command::{fine, program, settle};

/// Runs an example in a folder of its own.
fn show(name: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program(name));
    settle(command.current_dir(folder.path()));
    fine(&mut command)
}

/// Clips that the embedded model was not trained on: digits and commands by espeak-ng, and a person who names loudspeakers.
#[test]
fn the_demo_hears_what_was_said() {
    let shown = show("hearken-demo");
    let counts: Vec<(u32, u32)> = shown
        .lines()
        .filter_map(|line| line.trim().strip_prefix("word error rate "))
        .map(|rate| {
            let counts = rate.split(['(', ')']).nth(1).expect("counts");
            let (wrong, all) = counts.trim_end_matches(" words").split_once(" of ").expect("both");
            (wrong.parse().expect("a number"), all.parse().expect("a number"))
        })
        .collect();
    let clips = if Path::new("/usr/share/sounds/alsa").is_dir() { 2 } else { 1 };
    assert_eq!(counts.iter().map(|(_, all)| *all).collect::<Vec<_>>(), [19, 16][..clips], "{shown}");
    let wrong: u32 = counts.iter().map(|(wrong, _)| wrong).sum();
    assert!(wrong <= 1, "{wrong} words are wrong:\n{shown}");
}

#[test]
fn both_tenants_are_told_what_they_said() {
    let shown = show("hearken-multi-tenant");
    for line in ["    acme  seven three nine two zero five", " initech  one two three four five six"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "a pipe is no terminal:\n{shown:?}");
}
