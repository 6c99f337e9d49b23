//! Noise: everything that is no speech.

use std::f32::consts::TAU;

use super::{Utterance, power};
use crate::random::Random;

/// Seconds of the noises that are made here.
const SECONDS: usize = 30;
const LEN: usize = SECONDS * 16_000;

/// Noise at 16 kHz, without a level of its own: its peak is at most 1.
#[derive(Debug, Clone)]
pub struct Noise {
    /// Name of the noise.
    pub name: String,
    /// Some seconds of it.
    pub samples: Vec<f32>,
}

impl Noise {
    /// Makes noise of this name; `None` for silence (below -60 dB of full scale), which cannot be
    /// made louder.
    pub fn of(name: &str, samples: Vec<f32>) -> Option<Self> {
        (power(&samples) > 1e-6).then(|| Self::scaled(name, samples))
    }

    fn scaled(name: &str, mut samples: Vec<f32>) -> Self {
        let peak = samples.iter().fold(f32::MIN_POSITIVE, |peak, sample| peak.max(sample.abs()));
        samples.iter_mut().for_each(|sample| *sample /= peak);
        Self { name: name.to_owned(), samples }
    }

    fn made(name: &str, mut at: impl FnMut(f32) -> f32) -> Self {
        Self::scaled(name, (0..LEN).map(|n| at(n as f32 / 16_000.0)).collect())
    }

    /// White noise: all frequencies equally.
    pub fn white(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self::made("white", |_| random.sample())
    }

    /// Less of high frequencies, as most of nature: 3 dB less for each octave (Kellet's filter).
    pub fn pink(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut state = [0.0f32; 3];
        Self::made("pink", |_| {
            let white = random.sample();
            let poles = [(0.997_65, 0.099_046), (0.963, 0.296_516_4), (0.57, 1.052_691_3)];
            for (state, (pole, gain)) in state.iter_mut().zip(poles) {
                *state = pole * *state + gain * white;
            }
            state.iter().sum::<f32>() + 0.184_8 * white
        })
    }

    /// Still less of high frequencies: 6 dB less for each octave, as of surf and of wind.
    pub fn brown(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut sum = 0.0;
        Self::made("brown", |_| {
            sum = 0.995 * sum + random.sample();
            sum
        })
    }

    /// The mains: 50 Hz and what a rectifier makes of it.
    pub fn hum() -> Self {
        Self::made("hum", |t| [1.0, 2.0, 3.0, 5.0, 7.0].iter().map(|k| (TAU * 50.0 * k * t).sin() / k).sum())
    }

    /// Clicks, of a keyboard's kind: some milliseconds of noise, two to six times a second.
    pub fn clicks(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut samples = vec![0.0; LEN];
        let mut at = 0;
        while at + 2_000 < LEN {
            let loud = 0.3 + 0.7 * random.sample().abs();
            for n in 0..160 {
                samples[at + n] = loud * random.sample() * (-(n as f32) / 30.0).exp();
            }
            at += 2_700 + random.below(5_300);
        }
        Self::scaled("clicks", samples)
    }

    /// Pure tones of a second each, as of a telephone or a microwave oven.
    pub fn tones() -> Self {
        Self::made("tones", |t| {
            let hz = [425.0, 1_000.0, 2_000.0, 600.0][t as usize % 4];
            if t.fract() < 0.6 { (TAU * hz * t).sin() } else { 0.0 }
        })
    }

    /// The keys of a telephone: two tones of a fifth of a second, and as long a pause.
    pub fn keys(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut key = (0.0, 0.0);
        let mut since = f32::MAX;
        Self::made("keys", |t| {
            if (t % 0.4) < since {
                key = (
                    [697.0, 770.0, 852.0, 941.0][random.below(4)],
                    [1_209.0, 1_336.0, 1_477.0][random.below(3)],
                );
            }
            since = t % 0.4;
            if since < 0.2 { (TAU * key.0 * t).sin() + (TAU * key.1 * t).sin() } else { 0.0 }
        })
    }

    /// A siren: one frequency that rises and falls.
    pub fn siren() -> Self {
        let mut phase = 0.0;
        Self::made("siren", |t| {
            phase += TAU * (1_000.0 + 800.0 * (TAU * 0.3 * t).sin()) / 16_000.0;
            phase.sin()
        })
    }

    /// A tune: notes of a plucked string, three a second.
    pub fn melody(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut hz = 220.0;
        let mut since = f32::MAX;
        Self::made("melody", |t| {
            if (t % 0.3) < since {
                hz = 220.0 * 2f32.powf(random.below(24) as f32 / 12.0);
            }
            since = t % 0.3;
            let overtones = (1..9).map(|k| (TAU * hz * k as f32 * since).sin() / k as f32);
            overtones.sum::<f32>() * (-3.0 * since).exp()
        })
    }

    /// Drums: low and high ones in turn, four a second.
    pub fn drums(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self::made("drums", |t| {
            let since = t % 0.25;
            match (4.0 * t) as usize % 2 {
                0 => (TAU * 80.0 * since).sin() * (-20.0 * since).exp(),
                _ => 0.5 * random.sample() * (-30.0 * since).exp(),
            }
        })
    }

    /// Applause: four seconds of clapping hands, thirty claps a second, and two of silence.
    pub fn applause(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut clap = 0.0;
        Self::made("applause", |t| {
            if t % 6.0 < 4.0 && random.below(16_000 / 30) == 0 {
                clap += 0.2 + 0.8 * random.sample().abs();
            }
            clap *= 0.995;
            clap * random.sample()
        })
    }

    /// Chords with overtones that fade, two a second: music without words.
    pub fn chords() -> Self {
        Self::made("chords", |t| {
            let chord =
                [[262.0, 330.0, 392.0], [220.0, 262.0, 330.0], [175.0, 220.0, 262.0], [196.0, 247.0, 294.0]]
                    [(2.0 * t) as usize % 4];
            let since = (2.0 * t).fract() / 2.0;
            let overtones =
                |hz: f32| (1..6).map(move |k| (TAU * hz * k as f32 * t).sin() / (k * k) as f32).sum::<f32>();
            chord.into_iter().map(overtones).sum::<f32>() * (-5.0 * since).exp() * (since / 0.005).min(1.0)
        })
    }
}

/// Babble: `voices` streams of utterances in an order of their own, added up.
pub fn babble(utterances: &[Utterance], voices: usize, random: &mut Random) -> Noise {
    let mut samples = vec![0.0; LEN];
    for _ in 0..voices {
        let mut order: Vec<&Utterance> = utterances.iter().collect();
        random.shuffle(&mut order);
        let stream = order.iter().cycle().flat_map(|utterance| {
            let gain = (1e-3 / power(&utterance.samples)).sqrt() as f32;
            utterance.samples.iter().map(move |sample| gain * sample)
        });
        samples.iter_mut().zip(stream).for_each(|(sum, sample)| *sum += sample);
    }
    Noise::scaled("babble", samples)
}
