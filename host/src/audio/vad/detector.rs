//! Whether one frame is voiced.

use webrtc_vad::{SampleRate, Vad, VadMode};

/// Level below which a frame is never speech, as mean square of samples from -1 to 1: -60 dB of full scale.
///
/// Digital silence, dither and the noise floor of an open microphone lie below; speech that a recogniser can use does
/// not: whispering into a headset is at about -50 dB.
const GATE: f32 = 1e-6;

/// How much louder than the steady noise around it a frame must be to be speech, as a ratio of energies: 3 dB. The
/// energy of white noise varies by a third of that over 10 ms.
const ABOVE_NOISE: f32 = 2.0;

/// Seconds over which the quietest frame is the steady noise. Speech has pauses in that time; webrtc-vad alone calls a
/// loud fan speech forever.
const NOISE_SECONDS: usize = 10;

/// Coefficient of the one-pole high-pass that removes DC: -3 dB at 20 Hz, below any voice.
const POLE: f32 = 0.992_15;

/// Coefficient of the one-pole high-pass before the level above the noise is taken: -3 dB at 200 Hz. Rumble and the low end of
/// pink noise vary by much more than [`ABOVE_NOISE`] over 10 ms; every voice has its formants above.
const VOICE_POLE: f32 = 0.924;

/// webrtc-vad on a copy of the audio that has no DC offset, behind two energy gates: a fixed one, and one above the
/// steady noise.
///
/// The audio itself is never touched: what the recogniser gets is what came in.
#[derive(Debug)]
pub(super) struct Detector {
    vad: Movable,
    mode: u8,
    /// The high-pass' last input and output; none before the first sample, so that an offset makes no step.
    last: Option<(f32, f32)>,
    /// The voice high-pass' last output; its last input is the other's last output.
    last_voice: f32,
    pcm: Vec<i16>,
    noise: NoiseFloor,
}

impl Detector {
    /// `mode` from 0 to 3; higher ones count as 3.
    pub(super) fn new(mode: u8) -> Self {
        Self {
            vad: Movable::new(mode),
            mode,
            last: None,
            last_voice: 0.0,
            pcm: Vec::new(),
            noise: NoiseFloor::default(),
        }
    }

    /// Judges the next 10, 20 or 30 ms of 16 kHz audio.
    pub(super) fn is_voiced(&mut self, frame: &[f32]) -> bool {
        let (mut energy, mut voice_energy) = (0.0, 0.0);
        self.pcm.clear();
        for &sample in frame {
            // Whoever pushes samples may push anything; one NaN must not stay in the filter forever.
            let input = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
            let (last_input, last_output) = self.last.unwrap_or((input, 0.0));
            let output = input - last_input + POLE * last_output;
            self.last = Some((input, output));
            energy += output * output;
            self.last_voice = output - last_output + VOICE_POLE * self.last_voice;
            voice_energy += self.last_voice * self.last_voice;
            // A cast saturates.
            self.pcm.push((output * 32_767.0) as i16);
        }
        // The detector sees quiet frames too: it learns the noise from them.
        let voiced = self.vad.0.is_voice_segment(&self.pcm).unwrap_or(false);
        let [level, voice] = [energy, voice_energy].map(|energy| energy / frame.len() as f32);
        let noise = self.noise.update(voice, frame.len());
        voiced && level > GATE && voice > ABOVE_NOISE * noise
    }

    /// Forgets what was heard.
    pub(super) fn reset(&mut self) {
        self.vad = Movable::new(self.mode);
        self.last = None;
        self.last_voice = 0.0;
        self.noise = NoiseFloor::default();
    }
}

/// The quietest frame of the last [`NOISE_SECONDS`], found second by second (minimum statistics, after Martin 2001).
#[derive(Debug, Default)]
struct NoiseFloor {
    /// Minimum of each of the last whole seconds; the oldest is overwritten.
    seconds: [f32; NOISE_SECONDS],
    /// Where the next whole second goes.
    turn: usize,
    /// Minimum of the second that runs, and its samples so far.
    running: (f32, usize),
}

impl NoiseFloor {
    /// Takes in the mean square of a frame and returns that of the noise: 0 as long as it is not known.
    fn update(&mut self, level: f32, samples: usize) -> f32 {
        let (least, so_far) = self.running;
        self.running = (if so_far == 0 { level } else { least.min(level) }, so_far + samples);
        if self.running.1 >= crate::SAMPLE_RATE as usize {
            self.seconds[self.turn] = self.running.0;
            self.turn = (self.turn + 1) % NOISE_SECONDS;
            self.running = (0.0, 0);
        }
        self.seconds.iter().copied().fold(f32::INFINITY, f32::min)
    }
}

/// webrtc-vad's state, which may go from thread to thread.
struct Movable(Vad);

impl Movable {
    fn new(mode: u8) -> Self {
        let mode = match mode {
            0 => VadMode::Quality,
            1 => VadMode::LowBitrate,
            2 => VadMode::Aggressive,
            _ => VadMode::VeryAggressive,
        };
        Self(Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode))
    }
}

impl std::fmt::Debug for Movable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vad")
    }
}

// SAFETY: `Vad` is a pointer to one allocation that it alone owns, and frees when dropped. libfvad keeps all its state
// there: it has no mutable statics, no thread-local storage and no locks, so that it does not matter which thread calls
// it. All calls that touch it take `&mut`, and `Movable` is not `Sync`, so that two threads never call it at once.
unsafe impl Send for Movable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn buzz(seconds: f32, level: f32, offset: f32) -> Vec<f32> {
        (0..(seconds * 16_000.0) as usize)
            .map(|n| {
                let t = n as f32 / 16_000.0;
                let voice: f32 =
                    (1..30).map(|k| (t * 130.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
                offset + level * voice
            })
            .collect()
    }

    fn voiced_frames(detector: &mut Detector, audio: &[f32]) -> usize {
        audio.chunks_exact(480).filter(|frame| detector.is_voiced(frame)).count()
    }

    #[test]
    fn it_works_after_moving_to_another_thread_and_back() {
        let audio = buzz(1.0, 0.2, 0.0);
        let mut detector = Detector::new(2);
        let here = voiced_frames(&mut detector, &audio);
        let (there, mut detector) = std::thread::spawn(move || {
            detector.reset();
            let there = voiced_frames(&mut detector, &buzz(1.0, 0.2, 0.0));
            (there, detector)
        })
        .join()
        .expect("the other thread lives");
        detector.reset();
        assert!(here > 20, "{here}");
        assert_eq!([here, there], [here, voiced_frames(&mut detector, &audio)]);
    }

    #[test]
    fn an_offset_changes_no_decision() {
        let decide = |offset| {
            let mut detector = Detector::new(2);
            let mut audio = vec![offset; 16_000];
            audio.extend(buzz(1.0, 0.1, offset));
            audio.extend(vec![offset; 16_000]);
            audio.chunks_exact(480).map(|frame| detector.is_voiced(frame)).collect::<Vec<_>>()
        };
        let clean = decide(0.0);
        assert!(clean.iter().filter(|v| **v).count() > 20);
        for offset in [-0.5, -0.01, 0.3] {
            assert_eq!(decide(offset), clean, "offset {offset}");
        }
    }

    #[test]
    fn what_is_below_the_gate_is_never_voiced() {
        let mut detector = Detector::new(0);
        assert_eq!(voiced_frames(&mut detector, &buzz(2.0, 0.000_3, 0.0)), 0);
        assert_eq!(voiced_frames(&mut detector, &vec![0.0; 32_000]), 0);
    }

    #[test]
    fn a_loud_fan_is_silence_once_it_is_known_and_speech_over_it_is_not() {
        let mut seed = 5u32;
        let mut fan = |seconds: usize| -> Vec<f32> {
            (0..seconds * 16_000)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    0.1 * f32::from((seed >> 16) as i16) / 32_768.0
                })
                .collect()
        };
        let mut detector = Detector::new(2);
        assert!(voiced_frames(&mut detector, &fan(5)) > 100, "webrtc-vad alone takes it for speech");
        voiced_frames(&mut detector, &fan(6));
        assert_eq!(voiced_frames(&mut detector, &fan(10)), 0);
        let over: Vec<f32> = fan(1).iter().zip(buzz(1.0, 0.2, 0.0)).map(|(a, b)| a + b).collect();
        assert!(voiced_frames(&mut detector, &over) > 20);
    }

    #[test]
    fn samples_that_are_not_numbers_do_not_stay_in_the_filter() {
        let mut detector = Detector::new(2);
        let mut audio = vec![0.0; 480];
        audio[7] = f32::NAN;
        audio[9] = f32::INFINITY;
        assert!(!detector.is_voiced(&audio));
        assert!(voiced_frames(&mut detector, &buzz(1.0, 0.2, 0.0)) > 20);
    }
}
