//! Properties of a stream of speech, silence and noise, in blocks of any size.

use proptest::prelude::*;

use super::*;
use crate::audio::Accounting;
use crate::noise::Noise;

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Utterance { start: u64, end: u64, voiced_until: u64 },
    Silence { start: u64, end: u64 },
}

/// Runs the stream in blocks, checks every invariant of the events, and joins neighboring ones.
fn run(mut activity: VoiceActivity, audio: &[f32], block: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut next = 0u64;
    let mut open: Option<u64> = None;
    let mut accounting = Accounting::default();
    let mut sink = |event: VadEvent<'_>| {
        accounting.count(&event);
        match event {
            VadEvent::Start { position } => {
                assert_eq!(position, next);
                assert!(open.replace(position).is_none(), "no start within an utterance");
            }
            VadEvent::Speech { position, samples, voiced_until, .. } => {
                assert!(open.is_some_and(|start| start <= voiced_until), "speech only within an utterance");
                assert!(voiced_until <= position + samples.len() as u64);
                assert_eq!(position, next);
                assert!(!samples.is_empty());
                next += samples.len() as u64;
                assert_eq!(samples, &audio[position as usize..next as usize]);
            }
            VadEvent::End { position, voiced_until } => {
                assert_eq!(position, next);
                let start = open.take().expect("an end only after a start");
                assert!((start..=position).contains(&voiced_until));
                pieces.push(Piece::Utterance { start, end: position, voiced_until });
            }
            VadEvent::Silence { position, samples } => {
                assert!(open.is_none(), "no silence within an utterance");
                assert_eq!(position, next);
                assert!(!samples.is_empty());
                next += samples.len() as u64;
                assert_eq!(samples, &audio[position as usize..next as usize]);
                match pieces.last_mut() {
                    Some(Piece::Silence { end, .. }) => *end = next,
                    _ => pieces.push(Piece::Silence { start: position, end: next }),
                }
            }
        }
    };
    for samples in audio.chunks(block.max(1)) {
        activity.push(samples, &mut sink);
        assert!(activity.held.len() < 16_000 * 3, "what is held back is bounded");
    }
    activity.finish(&mut sink);
    assert!(open.is_none(), "what starts ends");
    assert_eq!(next, audio.len() as u64, "every sample came out");
    assert_eq!(activity.position(), next);
    assert_eq!(accounting.total(), next);
    pieces
}

fn noise(seconds: f32, level: f32) -> Vec<f32> {
    let mut noise = Noise(99);
    (0..(seconds * 16_000.0) as usize).map(|_| level * noise.sample()).collect()
}

/// Syllables: a voice of 130 Hz with two formants, four times a second.
fn speech(seconds: f32, level: f32) -> Vec<f32> {
    (0..(seconds * 16_000.0) as usize)
        .map(|n| {
            let t = n as f32 / 16_000.0;
            let tone = |hz: f32| (t * hz * std::f32::consts::TAU).sin();
            let voice: f32 = (1..25)
                .map(|k| {
                    let hz = 130.0 * k as f32;
                    let formant = |at: f32| (-((hz - at) / 150.0).powi(2)).exp();
                    tone(hz) * (0.05 + formant(700.0) + 0.6 * formant(1_200.0))
                })
                .sum();
            level * 0.3 * voice * (0.55 + 0.45 * tone(4.0))
        })
        .collect()
}

fn utterances(pieces: &[Piece]) -> Vec<(u64, u64)> {
    pieces
        .iter()
        .filter_map(|piece| match *piece {
            Piece::Utterance { start, end, .. } => Some((start, end)),
            Piece::Silence { .. } => None,
        })
        .collect()
}

fn any_config() -> impl Strategy<Value = VadConfig> {
    (0u8..5, 0u32..40, 0u32..700, 0u32..900, 0u32..300).prop_map(
        |(aggressiveness, frame_ms, pre_roll_ms, hangover_ms, min_speech_ms)| VadConfig {
            aggressiveness,
            frame_ms,
            pre_roll_ms,
            hangover_ms,
            min_speech_ms,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_sample_comes_out_once_and_blocks_do_not_matter(
        config in any_config(),
        parts in prop::collection::vec((any::<bool>(), 1usize..12_000, 0u8..3), 0..8),
        block in 1usize..5_000,
    ) {
        let mut audio = Vec::new();
        for (voiced, len, level) in parts {
            let level = [0.001, 0.05, 0.5][usize::from(level)];
            let part = if voiced { speech(1.0, level) } else { noise(1.0, level * 0.02) };
            audio.extend(part.into_iter().cycle().take(len));
        }
        let whole = run(VoiceActivity::new(config), &audio, audio.len());
        prop_assert_eq!(whole, run(VoiceActivity::new(config), &audio, block));
    }

    #[test]
    fn switched_off_it_makes_one_utterance_of_everything(
        len in 0usize..5_000, block in 1usize..700,
    ) {
        let pieces = run(VoiceActivity::always_on(), &noise(1.0, 0.5)[..len], block);
        let end = len as u64;
        let expected = [Piece::Utterance { start: 0, end, voiced_until: end }];
        prop_assert_eq!(&pieces[..], &expected[..usize::from(len > 0)]);
    }
}

fn scene() -> Vec<f32> {
    let mut audio = noise(2.0, 0.001);
    audio.extend(speech(1.5, 0.5));
    audio.extend(noise(2.0, 0.001));
    audio.extend(speech(1.0, 0.5));
    audio.extend(noise(2.0, 0.001));
    audio
}

#[test]
fn utterances_are_found_with_pre_roll_and_hangover() {
    let config = VadConfig::default();
    let pieces = run(VoiceActivity::new(config), &scene(), 333);
    let found = utterances(&pieces);
    assert_eq!(found.len(), 2, "{pieces:?}");
    for ((start, end), (from, to)) in found.into_iter().zip([(32_000, 56_000), (88_000, 104_000)]) {
        let pre_roll = u64::from(config.pre_roll_ms) * 16;
        let hangover = u64::from(config.hangover_ms) * 16;
        assert!((from - 1_600..=from + 1_600).contains(&(start + pre_roll)), "start {start} of {from}");
        // The detector itself keeps on for about 100 ms.
        assert!(end >= to + hangover - 3_200 && end <= to + hangover + 4_800, "end {end} of {to}");
    }
}

#[test]
fn a_pause_shorter_than_the_hangover_does_not_split() {
    let mut audio = noise(1.0, 0.001);
    audio.extend(speech(1.0, 0.5));
    audio.extend(noise(0.4, 0.001));
    audio.extend(speech(1.0, 0.5));
    audio.extend(noise(2.0, 0.001));
    assert_eq!(utterances(&run(VoiceActivity::new(VadConfig::default()), &audio, 480)).len(), 1);
    let short = VadConfig { hangover_ms: 150, ..VadConfig::default() };
    assert_eq!(utterances(&run(VoiceActivity::new(short), &audio, 480)).len(), 2);
}

#[test]
fn a_blip_is_silence() {
    let mut audio = noise(2.0, 0.001);
    audio.extend(speech(0.06, 0.9));
    audio.extend(noise(2.0, 0.001));
    let picky = VadConfig { min_speech_ms: 250, ..VadConfig::default() };
    assert_eq!(utterances(&run(VoiceActivity::new(picky), &audio, 480)), []);
    let keen = VadConfig { min_speech_ms: 0, ..VadConfig::default() };
    assert_eq!(utterances(&run(VoiceActivity::new(keen), &audio, 480)).len(), 1, "the blip is seen at all");
}

#[test]
fn silence_and_a_quiet_room_start_nothing() {
    for audio in [vec![0.0; 160_000], vec![0.25; 160_000], noise(10.0, 0.001)] {
        let pieces = run(VoiceActivity::new(VadConfig::default()), &audio, 480);
        assert_eq!(utterances(&pieces), []);
    }
}

#[test]
fn steady_noise_does_not_keep_an_utterance_alive() {
    for level in [0.01, 0.03, 0.1, 0.3] {
        let pieces = run(VoiceActivity::new(VadConfig::default()), &noise(30.0, level), 480);
        // Until the noise is known it may pass for speech, and after that never again.
        assert!(utterances(&pieces).iter().all(|(_, end)| *end < 12 * 16_000), "{level}: {pieces:?}");
    }
}

#[test]
fn rumble_does_not_keep_an_utterance_alive() {
    // A passing lorry or a ventilator: its level varies much more over 20 ms than that of white
    // noise.
    let mut low = 0.0;
    let rumble: Vec<f32> = noise(40.0, 0.3)
        .into_iter()
        .map(|white| {
            low += 0.03 * (white - low);
            2.0 * low + 0.1 * white
        })
        .collect();
    let pieces = run(VoiceActivity::new(VadConfig::default()), &rumble, 480);
    let late = utterances(&pieces).iter().filter(|(_, end)| *end > 12 * 16_000).count();
    assert_eq!(late, 0, "{pieces:?}");
}

#[test]
fn an_utterance_that_the_end_cuts_off_ends_with_it() {
    let mut audio = noise(1.0, 0.001);
    audio.extend(speech(1.0, 0.5));
    audio.truncate(31_995);
    let pieces = run(VoiceActivity::new(VadConfig::default()), &audio, 480);
    assert_eq!(utterances(&pieces).last().expect("one").1, 31_995, "{pieces:?}");
}

#[test]
fn after_finish_another_stream_follows_at_the_next_position() {
    let mut activity = VoiceActivity::always_on();
    let mut events = Vec::new();
    for _ in 0..2 {
        activity.push(&[0.5; 10], &mut |event| events.push(format!("{event:?}")));
        activity.finish(&mut |event| events.push(format!("{event:?}")));
    }
    assert_eq!(events.len(), 6);
    assert_eq!(events[3], "Start { position: 10 }");
}

#[test]
fn it_may_go_to_another_thread_in_the_middle_of_a_word() {
    let audio = scene();
    let (head, tail) = audio.split_at(40_000);
    let mut here = Vec::new();
    let mut activity = VoiceActivity::new(VadConfig::default());
    activity.push(head, &mut |event| here.push(format!("{event:?}")));
    let there = std::thread::scope(|scope| {
        let handle = scope.spawn(move || {
            let mut there = Vec::new();
            activity.push(tail, &mut |event| there.push(format!("{event:?}")));
            activity.finish(&mut |event| there.push(format!("{event:?}")));
            there
        });
        handle.join().expect("the other thread lives")
    });
    here.extend(there);
    let mut alone = Vec::new();
    let mut activity = VoiceActivity::new(VadConfig::default());
    activity.push(&audio, &mut |event| alone.push(format!("{event:?}")));
    activity.finish(&mut |event| alone.push(format!("{event:?}")));
    assert_eq!(here, alone);
}
