//! Hallucinations: none on noise and silence.

use hearken::audio::{Format, Samples};
use hearken::{TranscribeOptions, Word};
use hearken_tests::random::Random;
use hearken_tests::scene::{Noise, Sentence, words_of};

use crate::{DIGITS, MODEL, stream, text};

fn transcribe(audio: &[f32]) -> Vec<Word> {
    let mut source = Samples::new(audio.to_vec(), Format::MODEL).expect("a valid format");
    let transcript = MODEL.transcribe(&mut source, &TranscribeOptions::new(), |_| {}).expect("a transcript");
    transcript.segments.into_iter().flat_map(|segment| segment.words).collect()
}

#[test]
fn silence_noise_hum_clicks_and_tones_have_no_words() {
    let silence = Noise { name: "silence".to_owned(), samples: vec![0.0; 480_000] };
    let noises = [
        silence,
        Noise::white(1),
        Noise::pink(2),
        Noise::hum(),
        Noise::clicks(3),
        Noise::tones(),
        Noise::siren(),
        Noise::melody(4),
    ];
    let mut heard = Vec::new();
    for noise in &noises {
        for peak in [0.5, 0.05, 0.005] {
            // A second of silence before: a stream does not begin with the noise.
            let mut audio = vec![0.0; 16_000];
            audio.extend(noise.samples.iter().map(|sample| peak * sample));
            for (way, words) in [("file", transcribe(&audio)), ("session", stream(&audio).0)] {
                if !words.is_empty() {
                    heard.push(format!("{way}: {} at {peak}: {:?}", noise.name, text(&words)));
                }
            }
        }
    }
    assert!(heard.is_empty(), "{heard:#?}");
}

#[test]
fn minutes_of_silence_and_of_faint_noise_between_words_add_none() {
    let spoken = words_of("en-us", DIGITS);
    let mut random = Random::new(4);
    let first = Sentence::join(&spoken[1..6], 100..300, &mut random);
    let second = Sentence::join(&spoken[5..10], 100..300, &mut random);
    let pause = 3 * 60 * 16_000;
    for (name, noise) in [
        ("silence", vec![0.0; pause]),
        (
            "white",
            Noise::white(6).samples.into_iter().cycle().take(pause).map(|sample| 0.003 * sample).collect(),
        ),
        (
            "pink",
            Noise::pink(7).samples.into_iter().cycle().take(pause).map(|sample| 0.01 * sample).collect(),
        ),
    ] {
        let audio = [&first.samples[..], &noise, &second.samples, &noise].concat();
        let expected = "one two three four five five six seven eight nine";
        assert_eq!(text(&stream(&audio).0), expected, "{name}, session");
        assert_eq!(text(&transcribe(&audio)), expected, "{name}, file");
    }
}
