//! Cost of the rounding of `--compute fast` in words: run by `make bench-precision`, prints one
//! table.
//!
//! Each of `HEARKEN_MODELS` (names of the store; the embedded model without) transcribes every
//! recording of the lists that `HEARKEN_REFERENCES` names (`hearken eval --help` has their format;
//! several with `:` between), exactly and fast. The difference of the word error rates is held
//! against chance by the paired bootstrap.

use std::path::Path;

use hearken::store::Store;
use hearken::{Compute, Engine, Model, ModelSource, TranscribeOptions, audio};
use hearken_measure::Difference;
use hearken_measure::Errors;
use hearken_measure::normalize::Normalizer;

/// Draws of the bootstrap.
const SAMPLES: usize = 10_000;

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Ok(lists) = std::env::var("HEARKEN_REFERENCES") else {
        println!("precision: name lists of recordings in HEARKEN_REFERENCES");
        return;
    };
    let names = std::env::var("HEARKEN_MODELS").unwrap_or_default();
    let (mut all, mut all_others) = (Vec::new(), 0);
    for (number, name) in names.split(':').enumerate() {
        let models = [Compute::Exact, Compute::Fast].map(|compute| load(name, compute));
        if number == 0 {
            println!("fast is {}\n", models[1].engine().describe_compute());
            println!(
                "| model, recordings | words | exact | fast | difference | 95 of 100 | other words |\n|---|---|---|---|---|---|---|"
            );
        }
        for list in lists.split(':') {
            let (pairs, others) = compare(Path::new(list), &models);
            print(if name.is_empty() { "embedded" } else { name }, list, &pairs, others);
            all.extend(pairs);
            all_others += others;
        }
    }
    if lists.contains(':') || names.contains(':') {
        print("all", "all", &all, all_others);
    }
}

fn load(name: &str, compute: Compute) -> Model {
    let engine = Engine::builder().compute(compute).build().expect("an engine");
    let source = if name.is_empty() {
        ModelSource::Embedded
    } else {
        let stored = Store::open().and_then(|store| store.find(name));
        ModelSource::File(stored.unwrap_or_else(|error| panic!("{name}: {error}")).path)
    };
    engine.load(&source).expect("a model that loads")
}

/// The errors of both on each recording, and how many recordings gave other words.
fn compare(list: &Path, models: &[Model; 2]) -> (Vec<(Errors, Errors)>, usize) {
    let text = std::fs::read_to_string(list).expect("a list of recordings");
    let root = list.parent().unwrap_or(Path::new(""));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut others = 0;
    let mut pairs = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let mut columns = line.split('\t');
        let (Some(path), Some(_), Some(said)) = (columns.next(), columns.next(), columns.next()) else {
            panic!("{}: {line:?} has not three columns", list.display());
        };
        if number % 50 == 0 {
            eprint!("\r\x1b[K{}: {number} of {}", list.display(), lines.len());
        }
        let normalizer = Normalizer::for_language("en");
        let said = normalizer.text(said);
        let heard = models.each_ref().map(|model| {
            let mut source = audio::open(&root.join(path)).expect("a recording");
            let options = TranscribeOptions::new().language("en".to_owned());
            let transcript = model.transcribe(&mut source, &options, |_| {}).expect("a transcript");
            let texts: Vec<&str> = transcript.segments.iter().map(|segment| segment.text.trim()).collect();
            normalizer.text(&texts.join(" "))
        });
        others += usize::from(heard[0] != heard[1]);
        let [exact, fast] =
            heard.map(|heard| Errors::between(said.split_whitespace(), heard.split_whitespace()));
        pairs.push((exact, fast));
    }
    eprint!("\r\x1b[K");
    (pairs, others)
}

fn print(model: &str, name: &str, pairs: &[(Errors, Errors)], others: usize) {
    let name = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    let words: u64 = pairs.iter().map(|(exact, _)| exact.reference).sum();
    let rate = |edits: u64| 100.0 * edits as f64 / words as f64;
    let exact = rate(pairs.iter().map(|(exact, _)| exact.edits()).sum());
    let fast = rate(pairs.iter().map(|(_, fast)| fast.edits()).sum());
    let difference = Difference::between(pairs, SAMPLES).expect("words in the references");
    let (low, high) = difference.interval;
    println!(
        "| {model}, {name} ({}) | {words} | {exact:.2} % | {fast:.2} % | {:+.2} points | {low:+.2} to {high:+.2}{} | {others} |",
        pairs.len(),
        difference.points,
        if difference.may_be_chance() { "" } else { ": not chance" },
    );
}
