//! Recordings as people have them: sound before speech, sound without speech, two languages, and
//! channels that cancel each other out.

use std::f32::consts::TAU;

use hearken::audio::{Format, Samples, VadConfig, VadEvent, VoiceActivity};
use hearken::session::{SessionEvent, SessionOptions};
use hearken::{Engine, Model, ModelSource, TranscribeOptions, Transcript, Warning, Word};
use hearken_measure::normalize::Normalizer;
use hearken_measure::{Computation, Errors, Stamped, Timeline, simulate, speech_span};
use hearken_tests::command;
use hearken_tests::official::official;
use hearken_tests::prompts;
use hearken_tests::scene::{Noise, power};

/// Samples of a second.
const SECOND: usize = 16_000;

/// Level of the sounds that are made here, as a peak.
const LEVEL: f32 = 0.2;

pub(crate) fn load(name: &str) -> Option<Model> {
    let path = official(name)?;
    let engine = Engine::builder().cache_dir(command::cache()).build().expect("an engine");
    Some(engine.load(&ModelSource::File(path)).expect("hearken loads it"))
}

fn file(model: &Model, samples: &[f32], format: Format) -> Transcript {
    let mut source = Samples::new(samples.to_vec(), format).expect("a valid format");
    model.transcribe(&mut source, &TranscribeOptions::new(), |_| {}).expect("a transcript")
}

fn live(model: &Model, samples: &[f32]) -> Vec<Stamped> {
    let options = SessionOptions::new(Format::MODEL);
    simulate(model, &options, samples, Computation::Unaware).expect("a session").events
}

fn of_file(model: &Model, samples: &[f32]) -> Vec<Word> {
    let segments = file(model, samples, Format::MODEL).segments;
    segments.into_iter().flat_map(|segment| segment.words).collect()
}

fn of_stream(model: &Model, samples: &[f32]) -> Vec<Word> {
    Timeline::of(&live(model, samples)).words.into_iter().map(|word| word.word).collect()
}

/// Words of a file, and of a stream.
pub(crate) fn both(model: &Model, samples: &[f32]) -> [Vec<Word>; 2] {
    [of_file(model, samples), of_stream(model, samples)]
}

fn text(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Word error rate.
fn errors(said: &str, heard: &str, language: &str) -> f64 {
    let words = |text| {
        let words = Normalizer::for_language(language).words(&[text]);
        words.into_iter().map(|word| word.text).collect::<Vec<_>>()
    };
    Errors::between(words(said), words(heard)).rate().expect("something is said")
}

/// Something like an animal that bleats: a buzz of a second with a tremble, twice, with a second
/// between.
fn bleating() -> Vec<f32> {
    let bleat = |n: usize| {
        let t = n as f32 / SECOND as f32;
        let hz = 320.0 + 12.0 * (TAU * 7.0 * t).sin();
        let buzz: f32 = (1..20).map(|k| (TAU * hz * k as f32 * t).sin() / k as f32).sum();
        LEVEL * buzz * (0.6 + 0.4 * (TAU * 11.0 * t).sin()) * (std::f32::consts::PI * t).sin()
    };
    let one: Vec<f32> = (0..SECOND).map(bleat).collect();
    [one.clone(), vec![0.0; SECOND], one].concat()
}

#[test]
fn an_animal_before_speech_neither_hides_nor_moves_it() {
    let Some(model) = load("base") else { return };
    let prompt = &prompts::sentences("en", 1)[0];
    let before = [bleating(), vec![0.0; SECOND * 12 / 10]].concat();
    let speech = prompt.recording.mono();
    let start = before.len() as u64 + speech_span(&speech).expect("speech").start;
    let samples = [before, speech].concat();
    let language = live(&model, &samples).into_iter().find_map(|stamped| match stamped.event {
        SessionEvent::Language(language) => Some(language.code),
        _ => None,
    });
    assert_eq!(language.as_deref(), Some("en"), "the stream's");
    for (way, words) in ["file", "stream"].into_iter().zip(both(&model, &samples)) {
        let wrong = errors(&prompt.text, &text(&words), "en");
        assert!(wrong <= 0.2, "{way}: {:?} became {:?}", prompt.text, text(&words));
        let first = words[0].start;
        assert!(first + SECOND as u64 / 2 >= start, "{way}: the first word is at {first}, speech at {start}");
    }
}

/// Five seconds of each noise, or as many minutes as `HEARKEN_NOISE_MINUTES` says. `HEARKEN_NOISES`
/// names those to measure, with commas, if not all.
#[test]
fn noise_has_no_words() {
    let minutes = std::env::var("HEARKEN_NOISE_MINUTES").ok().map(|minutes| minutes.parse::<u64>());
    let seconds = minutes.map_or(5, |minutes| 60 * minutes.expect("HEARKEN_NOISE_MINUTES is a number"));
    let noises: [fn(u64) -> Noise; 12] = [
        Noise::white,
        Noise::pink,
        Noise::brown,
        |_| Noise::hum(),
        Noise::clicks,
        Noise::applause,
        |_| Noise::tones(),
        Noise::keys,
        |_| Noise::siren(),
        |_| Noise::chords(),
        Noise::melody,
        Noise::drums,
    ];
    let chosen = std::env::var("HEARKEN_NOISES").ok();
    let chosen = |noise: &str| chosen.as_ref().is_none_or(|names| names.split(',').any(|name| name == noise));
    let mut heard = Vec::new();
    for name in ["tiny.en", "base"] {
        let Some(model) = load(name) else { continue };
        for noise in noises.into_iter().filter(|noise| chosen(&noise(1).name)) {
            let samples = (1..).flat_map(|seed| noise(seed).samples).take(seconds as usize * SECOND);
            let samples: Vec<f32> = samples.map(|sample| LEVEL * sample).collect();
            let noise = noise(1).name;
            for (way, words) in ["file", "stream"].into_iter().zip(both(&model, &samples)) {
                println!("{name}, {noise}, {seconds} s, {way}: {} words", words.len());
                heard.extend(words.iter().map(|word| format!("{name}, {noise}, {way}: {word:?}")));
            }
        }
    }
    assert!(heard.is_empty(), "{heard:#?}");
}

#[test]
fn sound_without_words_is_reported_however_short() {
    let Some(model) = load("tiny.en") else { return };
    let mut short = 0;
    for noise in [Noise::applause, Noise::keys, Noise::drums, Noise::melody] {
        let samples: Vec<f32> =
            noise(1).samples.iter().take(SECOND * 6 / 10).map(|sample| LEVEL * sample).collect();
        let transcript = file(&model, &samples, Format::MODEL);
        assert_eq!(transcript.text(), "", "{}", noise(1).name);
        match &transcript.warnings()[..] {
            [Warning::Unrecognized(voice)] => short += u32::from(voice.end - voice.start < SECOND as u64),
            [Warning::NoSpeech(level)] => assert!(*level > -40.0, "{level}"),
            warnings => panic!("{}: {warnings:?}", noise(1).name),
        }
    }
    assert!(short > 0, "voice activity takes one of them for voice");
}

/// Otherwise words would be dropped as hallucinations of music. A drawn-out vowel may be one: the
/// end of a Spanish "mudo" is, 0.3 s long.
#[test]
fn speech_has_hardly_any_tones() {
    let (mut spoken, mut tones) = (0, 0);
    for language in ["en", "es", "fr", "it", "ru"] {
        for prompt in prompts::sentences(language, 40) {
            let mut activity = VoiceActivity::new(VadConfig::default());
            let mut sink = |event: VadEvent<'_>| {
                if let VadEvent::Speech { samples, tone, .. } = event {
                    spoken += samples.len() as u64;
                    tones += tone.map_or(0, |(start, end)| end - start);
                }
            };
            activity.push(&prompt.recording.mono(), &mut sink);
            activity.finish(&mut sink);
        }
    }
    println!("{tones} of {spoken} samples of speech are tones");
    assert!(spoken > 200 * SECOND as u64 && 1000 * tones < spoken, "{tones} of {spoken}");
}

#[test]
fn thanks_that_are_said_are_heard() {
    for name in ["tiny.en", "base"] {
        let Some(model) = load(name) else { continue };
        for prompt in prompts::named("en", &["auth-thankyou", "priv-introsaved"]) {
            for (way, words) in ["file", "stream"].into_iter().zip(both(&model, &prompt.recording.mono())) {
                let wrong = errors(&prompt.text, &text(&words), "en");
                assert!(wrong <= 0.2, "{name}, {way}: {:?} became {:?}", prompt.text, text(&words));
            }
        }
    }
}

#[test]
fn very_quiet_speech_is_heard() {
    let Some(model) = load("tiny.en") else { return };
    let prompt = &prompts::sentences("en", 1)[0];
    let mut samples = prompt.recording.mono();
    // -65 dB of full scale on average, as a power.
    let gain = (10f64.powf(-6.5) / power(&samples)).sqrt() as f32;
    samples.iter_mut().for_each(|sample| *sample *= gain);
    for (way, words) in ["file", "stream"].into_iter().zip(both(&model, &samples)) {
        let wrong = errors(&prompt.text, &text(&words), "en");
        assert!(wrong <= 0.2, "{way}: {:?} became {:?}", prompt.text, text(&words));
    }
}

#[test]
fn channels_that_cancel_each_other_out_are_heard() {
    let Some(model) = load("tiny.en") else { return };
    let prompt = &prompts::sentences("en", 1)[0];
    let samples = prompt.recording.mono();
    let stereo: Vec<f32> = samples.iter().flat_map(|sample| [*sample, -sample]).collect();
    let transcript = file(&model, &stereo, Format { sample_rate: 16_000, channels: 2 });
    assert_eq!(transcript.taken_channel, Some(0));
    assert_eq!(transcript.text(), file(&model, &samples, Format::MODEL).text());
}

#[test]
fn a_recording_in_two_languages_is_heard_in_both() {
    let Some(model) = load("base") else { return };
    // With two sentences each, both languages are in one chunk; with four they are not. A stream
    // has no chunks.
    two_languages(&model, 2, &["file", "stream"]);
    two_languages(&model, 4, &["file"]);
}

fn two_languages(model: &Model, sentences: usize, ways: &[&str]) {
    let part = |language| prompts::joined(&prompts::sentences(language, sentences), 1e9).remove(0);
    let (spanish, english) = (part("es"), part("en"));
    let samples = [spanish.recording.mono(), vec![0.0; 2 * SECOND], english.recording.mono()].concat();
    let said = format!("{} {}", spanish.text, english.text);
    for way in ways {
        let words = if *way == "file" { of_file(model, &samples) } else { of_stream(model, &samples) };
        let wrong = errors(&said, &text(&words), "es");
        println!("{sentences} sentences, {way}: {:.0} % wrong of {:?}", 100.0 * wrong, text(&words));
        // Of a chunk with both languages the part behind the change may be heard in the first.
        assert!(wrong <= 0.45, "{way}: {said:?} became {:?}", text(&words));
        for phrase in ["número de agente", "by the pound key"] {
            assert!(
                text(&words).to_lowercase().contains(phrase),
                "{way}: no {phrase:?} in {:?}",
                text(&words)
            );
        }
    }
}
