//! Voice activity in noise. `make bench-vad` measures it on recordings, over its settings.

use hearken::audio::{VadConfig, VadEvent, VoiceActivity};
use hearken_tests::random::Random;
use hearken_tests::scene::{self, Noise, Scene, Utterance};

/// From the first to the last sample of each utterance found.
fn found(audio: &[f32]) -> Vec<(usize, usize)> {
    let (mut found, mut began) = (Vec::new(), 0);
    let mut activity = VoiceActivity::new(VadConfig::default());
    let mut sink = |event: VadEvent<'_>| match event {
        VadEvent::Start { position } => began = position as usize,
        VadEvent::End { position, .. } => found.push((began, position as usize)),
        _ => {}
    };
    activity.push(audio, &mut sink);
    activity.finish(&mut sink);
    found
}

#[test]
fn no_first_or_last_word_is_cut_at_10_db_and_better() {
    let utterances = scene::synthesized(60);
    let mut random = Random::new(5);
    let scene = Scene::join(&utterances, 1_500..3_500, &mut random);
    let babble = scene::babble(&utterances, 16, &mut random);
    // Babble at 10 dB is made of the same voices: docs/evaluation.md says what becomes of it.
    let kinds = [(Noise::white(1), &[20.0, 10.0][..]), (Noise::pink(2), &[20.0, 10.0]), (babble, &[20.0])];
    for (noise, snrs) in kinds {
        for &snr in snrs {
            let found = found(&scene.with_noise(&noise, snr));
            let check = |(place, utterance): (&std::ops::Range<usize>, &Utterance)| {
                let whole = found.iter().any(|(start, end)| *start <= place.start && place.end <= *end);
                assert!(whole, "{} is cut in {} noise at {snr} dB", utterance.name, noise.name);
            };
            scene.utterances.iter().zip(&utterances).for_each(check);
        }
    }
}
