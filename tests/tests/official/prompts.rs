//! Debian's prompts in English, joined: how many words are wrong, and where they lie, in files and
//! in streams. Each prompt's first word is known by its level.

use hearken::Word;
use hearken_measure::normalize::Normalizer;
use hearken_measure::{Errors, Spread, correct_words, speech_span};
use hearken_tests::prompts::{self, PAUSE_MS, Prompt};

use crate::field::{both, load};
use crate::limits::{FILES, Files, Rates, STREAM_PROMPT_ERRORS, hold};

/// Prompts of a recording.
const JOINED: usize = 10;

/// At the models' rate, 16 kHz.
const SAMPLES_PER_MS: usize = 16;

/// Texts of words.
fn plain<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let texts: Vec<&str> = texts.into_iter().collect();
    Normalizer::English.words(&texts).into_iter().map(|word| word.text).collect()
}

/// Begins of the first words of joined prompts, recognized minus true [ms], where they are right.
fn onsets(said: &[Prompt], heard: &[Word]) -> Vec<f64> {
    let (mut words, mut firsts, mut at) = (Vec::new(), Vec::new(), 0u64);
    for prompt in said {
        let samples = prompt.recording.mono();
        let start = at + speech_span(&samples).expect("speech").start;
        firsts.push((words.len(), start));
        words.extend(plain([prompt.text.as_str()]));
        at += (samples.len() + PAUSE_MS as usize * SAMPLES_PER_MS) as u64;
    }
    let texts: Vec<&str> = heard.iter().map(|word| word.text.as_str()).collect();
    let normal = Normalizer::English.words(&texts);
    let found: Vec<String> = normal.iter().map(|word| word.text.clone()).collect();
    let pairs = correct_words(&words, &found);
    firsts
        .into_iter()
        .filter_map(|(first, start)| {
            let (_, index) = pairs.iter().find(|(said, _)| *said == first)?;
            Some((heard[normal[*index].last].start as f64 - start as f64) / SAMPLES_PER_MS as f64)
        })
        .collect()
}

/// Holds the words to be in order, inside the recording, and of a length.
fn hold_places(words: &[Word], samples: usize) {
    let mut before = 0;
    for word in words {
        assert!(before <= word.start, "not in order: {word:?} in {words:?}");
        assert!(word.start < word.end, "without a length: {word:?}");
        assert!(word.end <= samples as u64, "behind the end: {word:?}");
        before = word.end;
    }
}

/// Holds this number of prompts, or as many as `HEARKEN_PROMPTS` says.
fn hold_prompts(files: &Files, count: usize) {
    let Some(model) = load(files.model) else { return };
    let count = std::env::var("HEARKEN_PROMPTS").map_or(count, |count| count.parse().expect("a number"));
    let (mut errors, mut begins) = ([Errors::default(); 2], [Vec::new(), Vec::new()]);
    for group in prompts::sentences("en", count).chunks(JOINED) {
        let joined = prompts::joined(group, 1e9).remove(0);
        let samples = joined.recording.mono();
        let said = plain([joined.text.as_str()]);
        for (way, words) in both(&model, &samples).into_iter().enumerate() {
            hold_places(&words, samples.len());
            let heard = plain(words.iter().map(|word| word.text.as_str()));
            errors[way] += Errors::between(said.clone(), heard);
            begins[way].extend(onsets(group, &words));
        }
    }
    let [file, stream] = errors.map(Rates::of);
    hold("Debian's prompts", files.model, (files.prompts, file), (STREAM_PROMPT_ERRORS, stream));
    for (way, found) in ["files", "streams"].into_iter().zip(begins) {
        let spread = Spread::of(found.iter().map(|ms| ms.abs())).expect("words");
        println!("{}, {way}: {spread:?}; {found:.0?}", files.model);
        assert!(found.len() >= count * 5 / 6, "{}, {way}: too few first words were right", files.model);
        assert!(
            spread.median <= 80.0 && spread.p90 <= 200.0 && spread.max <= 700.0,
            "{}, {way}: {spread:?} ms",
            files.model
        );
    }
}

#[test]
fn tiny_en_hears_prompts_and_places_their_words() {
    hold_prompts(&FILES[0], 30);
}

#[test]
fn base_hears_prompts_and_places_their_words() {
    hold_prompts(&FILES[1], 20);
}
