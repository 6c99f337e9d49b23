//! Output of the examples.

use std::path::Path;
use std::process::Command;

use hearken_tests::command::{fine, program, settle};
use hearken_tests::official::official;

/// Runs an example in a folder of its own.
fn show(name: &str, environment: &[(&str, &Path)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program(name));
    settle(command.current_dir(folder.path()));
    fine(command.envs(environment.iter().copied()))
}

/// Wrong words and all words of each demonstration.
fn word_errors(shown: &str) -> Vec<(u32, u32)> {
    let rates = shown.lines().filter_map(|line| line.trim().strip_prefix("word error rate "));
    rates
        .map(|rate| {
            let counts = rate.split(['(', ')']).nth(1).expect("counts");
            let (wrong, all) = counts.trim_end_matches(" words").split_once(" of ").expect("both");
            (wrong.parse().expect("a number"), all.parse().expect("a number"))
        })
        .collect()
}

/// Clips that the embedded model was not trained on: digits and commands by espeak-ng, and a person
/// who names loudspeakers. Numbers count as one word.
#[test]
fn the_demo_without_an_official_model_hears_digits_and_commands() {
    let shown = show("hearken-demo", &[]);
    let names = if Path::new("/usr/share/sounds/alsa").is_dir() { 16 } else { 8 };
    let errors = word_errors(&shown);
    assert_eq!(errors.iter().map(|(_, all)| *all).collect::<Vec<_>>(), [8, names, 8], "{shown}");
    let wrong: u32 = errors.iter().map(|(wrong, _)| wrong).sum();
    assert!(wrong <= 1, "{wrong} words are wrong:\n{shown}");
    assert!(shown.contains("the small model inside hearken"), "{shown}");
}

#[test]
fn the_demo_with_tiny_en_hears_people() {
    let Some(model) = official("tiny.en") else { return };
    let store = model.parent().expect("a model lies in a folder");
    let shown = show("hearken-demo", &[("HEARKEN_MODELS_DIR", store)]);
    let errors = word_errors(&shown);
    assert_eq!(errors.len(), 3, "{shown}");
    for (wrong, all) in errors {
        assert!(all >= 30 && wrong * 5 <= all, "{wrong} of {all} words are wrong:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "a pipe is no terminal:\n{shown:?}");
}

#[test]
fn both_tenants_get_their_captions() {
    let shown = show("hearken-multi-tenant", &[]);
    for line in ["    acme  seven three nine two zero five", " initech  one two three four five six"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "a pipe is no terminal:\n{shown:?}");
}
