//! Contract of `hearken eval`: figures that agree with each other, and with the recordings.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use hearken_tests::command::{fine, hearken, run};
use hearken_tests::speech::espeak;
use hearken_tests::wav;
use serde_json::Value;
use tempfile::TempDir;

/// Spoken texts, and the references in the list: the last reference is wrong in one of two words,
/// and has one that is not spoken.
const CLIPS: [(&str, &str); 3] =
    [("go left", "Go left!"), ("nine one one", "nine one one"), ("go left", "go right now")];

/// Speech in WAV files, and a list of it.
static SPEECH: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let mut list = String::new();
    for (number, (spoken, said)) in CLIPS.iter().enumerate() {
        let mut clip = espeak("en-us", 140, spoken);
        let quarter = vec![0.0; clip.format.sample_rate as usize / 4];
        clip.samples = [&quarter[..], &clip.samples, &quarter].concat();
        fs::write(
            folder.path().join(format!("{number}.wav")),
            wav::pcm16(&clip.samples, clip.format.sample_rate, 1),
        )
        .expect("a file");
        list += &format!("{number}.wav\ten\t{said}\n");
    }
    fs::write(folder.path().join("refs.tsv"), list).expect("a file");
    folder
});

/// All figures of all clips.
static FIGURES: LazyLock<Value> =
    LazyLock::new(|| json(&fine(&mut hearken(&["eval", path(&SPEECH.path().join("refs.tsv")), "--json"]))));

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A list in a folder of its own.
fn list(lines: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("list.tsv");
    fs::write(&list, lines).expect("a file");
    let name = path(&list).to_owned();
    (folder, name)
}

/// The figures of the three ways.
fn ways(figures: &Value) -> [&Value; 3] {
    [
        &figures["offline"],
        &figures["streaming"][0]["computation_unaware"],
        &figures["streaming"][0]["computation_aware"],
    ]
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn what_was_said_is_right_and_a_wrong_reference_is_wrong_by_as_much() {
    let files = FIGURES["files"].as_array().unwrap();
    for way in 0..3 {
        for file in &files[..2] {
            assert_eq!(ways(file)[way]["wer"]["rate"], 0.0, "{file:#}");
            assert_eq!(ways(file)[way]["cer"]["rate"], 0.0, "{file:#}");
        }
        let wrong = &ways(&files[2])[way]["wer"];
        let errors =
            ["words", "substitutions", "deletions", "insertions"].map(|name| wrong[name].as_u64().unwrap());
        assert_eq!(errors, [3, 1, 1, 0]);
        let total = &ways(&FIGURES)[way]["wer"];
        assert_eq!(total["words"], 2 + 1 + 3);
        assert_eq!(total["rate"].as_f64(), Some(2.0 / 6.0));
    }
    assert_eq!(files[1]["reference"], "911");
}

#[test]
fn totals_are_those_of_the_recordings() {
    let files = FIGURES["files"].as_array().unwrap();
    assert_eq!(FIGURES["recordings"], files.len());
    for way in 0..3 {
        let total = ways(&FIGURES)[way];
        for (group, name) in [
            ("wer", "words"),
            ("wer", "substitutions"),
            ("wer", "deletions"),
            ("wer", "insertions"),
            ("cer", "characters"),
            ("flicker", "unstable"),
            ("flicker", "words"),
        ] {
            let sum: u64 = files.iter().map(|file| ways(file)[way][group][name].as_u64().unwrap()).sum();
            assert_eq!(total[group][name], sum, "{group} {name}");
        }
        for name in ["first_partial_s", "final_latency_true_s", "final_latency_detected_s", "word_latency_s"]
        {
            let all: Vec<f64> = files.iter().flat_map(|file| numbers(&ways(file)[way][name])).collect();
            let (count, max) = (total[name]["count"].as_u64(), total[name]["max"].as_f64());
            if way == 0 {
                assert!(
                    all.is_empty() && total[name].is_null(),
                    "offline text has no moment at which it comes"
                );
            } else {
                assert_eq!(
                    (count, max),
                    (Some(all.len() as u64), all.iter().copied().reduce(f64::max)),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn latencies_are_what_they_can_be() {
    for file in FIGURES["files"].as_array().unwrap() {
        let [_, unaware, aware] = ways(file);
        for (name, least) in
            [("first_partial_s", 0.0), ("final_latency_true_s", 0.5), ("final_latency_detected_s", 0.0)]
        {
            let (stands, runs) = (numbers(&unaware[name]), numbers(&aware[name]));
            assert_eq!(stands.len(), 1, "{name}: {file:#}");
            // What a decode takes comes on top; a text may wait for a later step, but never comes
            // sooner.
            assert!(runs[0] > stands[0] && stands[0] >= least, "{name}: {file:#}");
        }
        // The hangover, and no more than a frame of voice activity and a block.
        assert!(numbers(&unaware["final_latency_detected_s"])[0] <= 0.05, "{file:#}");
        let correct = unaware["wer"]["words"].as_u64().unwrap()
            - unaware["wer"]["substitutions"].as_u64().unwrap()
            - unaware["wer"]["deletions"].as_u64().unwrap();
        assert_eq!(numbers(&unaware["word_latency_s"]).len() as u64, correct);
        assert!(numbers(&unaware["word_latency_s"]).iter().all(|latency| *latency >= 0.0), "{file:#}");
    }
}

#[test]
fn without_computation_the_figures_are_the_same_each_time() {
    let list = SPEECH.path().join("refs.tsv");
    let again = json(&fine(&mut hearken(&["eval", path(&list), "--json", "--limit", "2"])));
    assert_eq!(again["recordings"], 2);
    for number in 0..2 {
        let pick = |figures: &Value| {
            let mut figures = ways(&figures["files"][number])[1].clone();
            let all = figures.as_object_mut().unwrap();
            all.retain(|name, _| !matches!(name.as_str(), "computing_s" | "real_time_factor"));
            figures
        };
        assert_eq!(pick(&again), pick(&FIGURES));
    }
}

#[test]
fn the_table_and_the_picture_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("plot.svg");
    let list = SPEECH.path().join("refs.tsv");
    let table = fine(&mut hearken(&["eval", path(&list), "--filter", "1.wav", "--plot", path(&picture)]));
    assert!(table.starts_with("1 recordings, 0:0"), "{table}");
    for row in [
        "word error rate",
        "character error rate",
        "first partial",
        "true end",
        "detected end",
        "word latency",
    ] {
        assert!(table.contains(row), "{row} is not in {table}");
    }
    let svg = fs::read_to_string(picture).unwrap();
    let svg = roxmltree::Document::parse(&svg).unwrap();
    assert_eq!(svg.root_element().tag_name().name(), "svg");
    let curves = svg.descendants().filter(|node| {
        let curve = node.attribute("class").is_some_and(|class| class.starts_with("curve"));
        curve && node.attribute("d").is_some_and(|path| path.contains('V'))
    });
    // Latencies of words and of finals, aware and not; error rates in three ways.
    assert_eq!(curves.count(), 7);
}

#[test]
fn a_missing_recording_is_skipped_and_said_to_be() {
    let (_folder, list) = list("0.wav\ten\tgo left\nnot-there.wav\ten\tstop\n");
    let ended = run(&mut hearken(&["eval", &list, "--root", path(SPEECH.path()), "--json"]));
    ended.says(3, &["skipping not-there.wav"]);
    let figures = json(&ended.stdout);
    assert_eq!(figures["recordings"], 1);
    assert_eq!(figures["skipped"][0]["path"], "not-there.wav");
    assert_eq!(figures["offline"]["wer"]["rate"], 0.0);
}

#[test]
fn a_language_that_the_model_does_not_know_costs_one_recording() {
    let (_folder, list) = list("0.wav\tde\tgeh links\n0.wav\ten\tgo left\n");
    let ended = run(&mut hearken(&["eval", &list, "--root", path(SPEECH.path())]));
    ended.says(3, &["skipping 0.wav", "English"]);
    assert!(ended.stdout.starts_with("1 recordings"), "{ended:?}");
}

#[test]
fn a_picture_does_not_replace_an_input() {
    let (folder, list) = list("0.wav\ten\tgo left\n");
    let before = fs::read(&list).unwrap();
    run(&mut hearken(&["eval", &list, "--plot", &list])).only_says(2, &["would replace", "list.tsv"]);
    assert_eq!(fs::read(&list).unwrap(), before);
    drop(folder);
}

#[test]
fn a_bad_list_is_an_error_that_names_the_line() {
    for (lines, words) in [
        ("0.wav\ten\tgo left\n\nalone\n", ["line 3", "1 columns"]),
        ("0.wav\t\tgo left\n", ["line 1", "no language"]),
        ("0.wav\ten\tgo left\tsoon\n", ["line 1", "end of speech"]),
        ("", ["no recordings", "list.tsv"]),
    ] {
        let (_folder, list) = list(lines);
        run(&mut hearken(&["eval", &list])).only_says(1, &words);
    }
    run(&mut hearken(&["eval", "/not/there.tsv"])).only_says(1, &["cannot read", "/not/there.tsv"]);
}
