//! Words to expect are recognized where a model without them writes others, and nowhere else.

use std::fs;
use std::path::Path;

use hearken_tests::command::{fine, hearken};
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::wav;
use serde_json::Value;

/// Prompts in which tiny.en hears "color" for "caller" and "pre pending".
const NAMES: [&str; 6] = [
    "demo-moreinfo",
    "priv-callpending",
    "screen-callee-options",
    "queue-quantity2",
    "vm-forwardoptions",
    "vm-msginstruct",
];
const SAID: &str = "Asterisk\ncaller\ncallers\nprepend\nprepending\nundelete\n";

/// Words that nobody says there.
const UNSAID: &str = "Kubernetes\nasteroid\nvoyage\nextensive\npompous\nreceptacle\nHawkesbury\n\
    Messenger\nPresley\nNumbers\nparsley\nCologne\nAda Lovelace\n";

/// Minimum share of the missed words that the bias recovers [%].
const RECOVERED: u64 = 60;

/// Evaluates the prompts, joined, with lists of words.
fn measure(model: &Path, ways: &str, lists: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let joined = prompts::joined(&prompts::named("en", &NAMES), 30.0);
    let mut lines = String::new();
    for (number, prompt) in joined.iter().enumerate() {
        let (samples, rate) = (&prompt.recording.samples, prompt.recording.format.sample_rate);
        fs::write(folder.path().join(format!("{number}.wav")), wav::pcm16(samples, rate, 1))
            .expect("a recording");
        lines += &format!("{number}.wav\ten\t{}\n", prompt.text);
    }
    fs::write(folder.path().join("refs.tsv"), lines).expect("a list");
    // Few hypotheses: what is measured does not depend on their number.
    let mut eval = hearken(&["eval", "--json", "--step", "1000", "--ways", ways]);
    eval.arg(folder.path().join("refs.tsv")).arg("--model").arg(model);
    for (option, words) in lists {
        let list = folder.path().join(option.trim_start_matches('-'));
        fs::write(&list, words).expect("a list");
        eval.arg(option).arg(list);
    }
    serde_json::from_str(&fine(&mut eval)).expect("JSON")
}

/// Figures of files and of streams.
fn both(figures: &Value) -> [(&'static str, &Value); 2] {
    [("files", &figures["offline"]), ("streams", &figures["streaming"][0]["computation_unaware"])]
}

fn count(figures: &Value, name: &str) -> u64 {
    figures["terms"][name].as_u64().expect("a count")
}

#[test]
fn words_to_expect_are_recognized_and_others_are_not() {
    let Some(model) = official("tiny.en") else { return };
    let without = measure(&model, "offline,streaming", &[("--terms", SAID)]);
    let with = measure(&model, "offline,streaming", &[("--bias", SAID)]);
    let unsaid = measure(&model, "offline", &[("--bias", UNSAID)]);
    let errors = |figures: &Value| -> u64 {
        let kinds = ["substitutions", "deletions", "insertions"];
        kinds.iter().map(|kind| figures["wer"][*kind].as_u64().expect("a count")).sum()
    };
    for ((what, before), (_, after)) in both(&without).into_iter().zip(both(&with)) {
        let said = count(before, "said");
        let (missed, still) = (said - count(before, "recognized"), said - count(after, "recognized"));
        println!(
            "{what}: of {said} words {missed} were missed, {still} with the bias; of {} words {} are wrong, {} with it",
            before["wer"]["words"],
            errors(before),
            errors(after)
        );
        assert!(missed >= 3, "{what}: the model misses too few to tell");
        assert!(
            100 * missed.saturating_sub(still) >= RECOVERED * missed,
            "{what}: {still} of {missed} are missed still"
        );
        assert_eq!(count(after, "wrong"), 0, "{what}");
        assert!(errors(after) < errors(before), "{what}: the other words are worse");
    }
    let (before, others) = (&without["offline"], &unsaid["offline"]);
    assert_eq!(count(others, "wrong"), 0, "words that nobody says");
    assert!(errors(others) <= errors(before), "words that nobody says cost others");
}
