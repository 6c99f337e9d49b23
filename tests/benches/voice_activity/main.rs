//! Accuracy of voice activity detection in noise, over its settings: run by `make bench-vad`,
//! prints tables.
//!
//! Clean utterances with known pauses are mixed with noise at 20, 10, 5 and 0 dB;
//! `hearken_tests::scene` says how they are labeled. `HEARKEN_SPEECH` names folders of clean
//! speech and `HEARKEN_NOISE` folders of recordings without any (several with `:` between); without
//! the first espeak-ng speaks. `HEARKEN_PICTURE` names a file for the curves (SVG).

mod score;

use std::path::PathBuf;

use hearken::audio::VadConfig;
use hearken_tests::picture::{self, Curve, Panel};
use hearken_tests::random::Random;
use hearken_tests::scene::{self, Noise, Scene, Utterance};

use self::score::{Frames, Score};

/// Utterances of each folder of speech, or of espeak-ng.
const UTTERANCES: usize = 120;
/// Signal-to-noise ratios, dB.
const SNRS: [f64; 4] = [20.0, 10.0, 5.0, 0.0];
/// Voices of the babble.
const VOICES: usize = 16;

fn main() {
    // `cargo bench` passes this argument; a test runner is not to wait for the benchmark.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let speech = folders("HEARKEN_SPEECH");
    let utterances: Vec<Utterance> = match speech.as_slice() {
        [] => scene::synthesized(2 * UTTERANCES),
        folders => folders.iter().flat_map(|folder| scene::folder(folder, UTTERANCES)).collect(),
    };
    let mut random = Random::new(1);
    let mut order: Vec<&Utterance> = utterances.iter().collect();
    random.shuffle(&mut order);
    let scene = Scene::join(order, 2_000..5_000, &mut random);
    let mut noises = vec![Noise::white(1), Noise::pink(2), scene::babble(&utterances, VOICES, &mut random)];
    for path in folders("HEARKEN_NOISE").iter().flat_map(|folder| scene::recordings(folder)) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        noises.extend(Noise::of(&name, scene::read(&path)));
    }
    println!(
        "{} utterances, {:.0} s of speech in {:.0} s\n",
        utterances.len(),
        scene.frames.iter().filter(|speech| **speech).count() as f64 / 100.0,
        scene.clean.len() as f64 / 16_000.0
    );
    // Mixed once: a noise and a ratio each.
    let mixed: Vec<Mixed> = noises
        .iter()
        .flat_map(|noise| {
            SNRS.map(|snr| Mixed { noise: &noise.name, snr, audio: scene.with_noise(noise, snr) })
        })
        .collect();
    let clean = Mixed { noise: "none", snr: f64::INFINITY, audio: scene.clean.clone() };
    frames(&scene, &clean, &mixed);
    default(&scene, &clean, &mixed);
    let panels = curves(&scene, &mixed);
    if let Some(path) = std::env::var_os("HEARKEN_PICTURE") {
        let title = format!("Voice activity on {} utterances in noise, over its settings", utterances.len());
        std::fs::write(path, picture::svg(&title, "%", &panels)).expect("the picture can be written");
    }
}

struct Mixed<'a> {
    noise: &'a str,
    snr: f64,
    audio: Vec<f32>,
}

fn folders(variable: &str) -> Vec<PathBuf> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect()
}

/// Single decisions of 10, 20 and 30 ms, in all modes.
fn frames(scene: &Scene, clean: &Mixed<'_>, mixed: &[Mixed<'_>]) {
    println!(
        "frame precision / recall, %   clean          20 dB          10 dB           5 dB           0 dB"
    );
    for frame_ms in [10, 20, 30] {
        for mode in 0..4 {
            let mut line = format!("  mode {mode}, {frame_ms} ms             ");
            for snr in [f64::INFINITY].into_iter().chain(SNRS) {
                let mut frames = Frames::default();
                for mixed in mixed.iter().chain([clean]).filter(|mixed| mixed.snr == snr) {
                    frames.add(Frames::of(mode, frame_ms, scene, &mixed.audio));
                }
                line += &format!("{:6.1} / {:5.1} ", 100.0 * frames.precision(), 100.0 * frames.recall());
            }
            println!("{line}");
        }
    }
}

/// The default setting, noise by noise.
fn default(scene: &Scene, clean: &Mixed<'_>, mixed: &[Mixed<'_>]) {
    let config = VadConfig::default();
    println!("\n{config:?}");
    println!(
        "noise                           SNR   cut first  last   split   false   passed %  onset ms  offset ms   end known ms"
    );
    let mut at_least_10 = Score::default();
    for mixed in [clean].into_iter().chain(mixed) {
        let score = Score::of(config, scene, &mixed.audio);
        print(mixed.noise, &format!("{:.0}", mixed.snr), &score);
        if mixed.snr >= 10.0 {
            at_least_10.add(score);
        }
    }
    print("all", "≥ 10", &at_least_10);
}

fn print(noise: &str, snr: &str, score: &Score) {
    let ms = |spread: Option<hearken_measure::Spread>| {
        spread.map_or("–".to_owned(), |spread| format!("{:.0}/{:.0}", spread.median, spread.p90))
    };
    println!(
        "{noise:30} {snr:>4} {:7} of {} {:5} {:7} {:7} {:9.1} {:>10} {:>10} {:>12}",
        score.first_cut,
        score.utterances,
        score.last_cut,
        score.split,
        score.false_alarms,
        100.0 * score.passed(),
        ms(score.onset_error()),
        ms(score.offset_error()),
        ms(score.end_known())
    );
}

/// Name of the setting, its values, and its setter.
type Setting = (&'static str, &'static [u32], fn(&mut VadConfig, u32));

/// One setting at a time moves away from the default.
fn curves(scene: &Scene, mixed: &[Mixed<'_>]) -> Vec<Panel> {
    let default = VadConfig::default();
    let settings: [Setting; 4] = [
        ("mode", &[0, 1, 2, 3], |config, value| config.aggressiveness = value as u8),
        ("hangover, ms", &[100, 200, 300, 450, 600, 900, 1_200], |config, value| config.hangover_ms = value),
        ("minimum speech, ms", &[30, 60, 90, 120, 150, 210, 300], |config, value| {
            config.min_speech_ms = value
        }),
        ("pre-roll, ms", &[0, 60, 120, 180, 240, 300, 400, 500], |config, value| config.pre_roll_ms = value),
    ];
    settings
        .into_iter()
        .map(|(name, values, set)| {
            println!(
                "\n{name:20}    cut ≥ 10 dB, %   cut 5 and 0 dB, %   split, %   passed, %   end known, ms"
            );
            let mut curves = [
                ("cut, 10 dB and better", "a"),
                ("cut, 5 and 0 dB", "a dashed"),
                ("silence let through", "b"),
                ("split", "c"),
            ]
            .map(|(name, class)| Curve { name, class, points: Vec::new() });
            for &value in values {
                let mut config = default;
                set(&mut config, value);
                let [mut good, mut bad] = [Score::default(), Score::default()];
                for mixed in mixed {
                    let score = Score::of(config, scene, &mixed.audio);
                    if mixed.snr >= 10.0 { good.add(score) } else { bad.add(score) }
                }
                let [cut, cut_bad] = [good.cut(), bad.cut()];
                let end = good.end_known().map_or(f64::NAN, |spread| spread.median);
                good.add(bad);
                let figures = [cut, cut_bad, good.passed(), good.split()].map(|share| 100.0 * share);
                let mark = if config == default { "default" } else { "" };
                println!(
                    "{value:8} {mark:11} {:18.2} {:19.2} {:10.2} {:11.2} {end:15.0}",
                    figures[0], figures[1], figures[3], figures[2]
                );
                for (curve, figure) in curves.iter_mut().zip(figures) {
                    curve.points.push((f64::from(value), figure));
                }
            }
            Panel { axis: name, curves: curves.to_vec() }
        })
        .collect()
}
