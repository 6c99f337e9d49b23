//! Voice activity detection on one frame.

use webrtc_vad::{SampleRate, Vad, VadMode};

use crate::audio::usable_sample;

/// Level below which a frame is speech only where all is quiet, as mean square of samples from -1
/// to 1: -60 dB of full scale.
///
/// Digital silence, dither and the noise floor of an open microphone lie below; most speech does
/// not: whispering into a headset is at about -50 dB.
const GATE: f32 = 1e-6;

/// Level of the loudest frame of the last [`SECONDS`] below which all is quiet: -50 dB. Then
/// [faint](Faint) speech is looked for.
const QUIET: f32 = 1e-5;

/// Level below which nothing is faint speech: -82 dB. Dither and the idle noise of 16-bit
/// converters lie below.
const FAINT_GATE: f32 = 6e-9;

/// Gain of faint sound for webrtc-vad: 34 dB. webrtc-vad takes nothing below some -60 dB for
/// speech.
const FAINT_GAIN: f32 = 50.0;

/// Ratio of energies by which a frame of faint speech is above the quietest frame: 10 dB. A
/// converter's or a preamplifier's noise varies by a few.
const FAINT_ABOVE_NOISE: f32 = 10.0;

/// Minimum ratio of a speech frame's energy to that of the steady noise around it: 3 dB. The energy
/// of white noise varies by a third of that over 10 ms.
const ABOVE_NOISE: f32 = 2.0;

/// Number of seconds over which the quietest frame is the steady noise, and the loudest decides if
/// all is quiet. Speech has pauses in that time; webrtc-vad alone calls a loud fan speech forever.
const SECONDS: usize = 10;

/// Coefficient of the one-pole high-pass that removes DC: -3 dB at 20 Hz, below any voice.
const POLE: f32 = 0.992_15;

/// Coefficient of the one-pole high-pass before the level above the noise is taken: -3 dB at 200
/// Hz. Rumble and the low end of pink noise vary by much more than [`ABOVE_NOISE`] over 10 ms;
/// every voice has its formants above.
const VOICE_POLE: f32 = 0.924;

/// webrtc-vad on a copy of the audio that has no DC offset, behind two energy gates: a fixed one,
/// and one above the steady noise.
///
/// The audio itself is never changed: the recognizer gets the input.
#[derive(Debug)]
pub(super) struct Detector {
    vad: Movable,
    mode: u8,
    /// The high-pass' last input and output; none before the first sample, so that an offset makes
    /// no step.
    last: Option<(f32, f32)>,
    /// The voice high-pass' last output; its last input is the other's last output.
    last_voice: f32,
    pcm: Vec<i16>,
    /// The frame without its offset.
    filtered: Vec<f32>,
    recent: Recent,
    /// Detector of faint speech, made when something faint is heard: most streams have nothing of
    /// the kind.
    faint: Option<Faint>,
    /// Level of the loudest frame of all.
    loudest: f32,
}

/// A second webrtc-vad, which gets an amplified copy of audio that is too quiet for the first.
#[derive(Debug)]
struct Faint(Movable);

impl Faint {
    fn is_voiced(&mut self, pcm: &[f32], scratch: &mut Vec<i16>) -> bool {
        scratch.clear();
        // A cast saturates.
        scratch.extend(pcm.iter().map(|sample| (sample * FAINT_GAIN * 32_767.0) as i16));
        self.0.0.is_voice_segment(scratch).unwrap_or(false)
    }
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
            filtered: Vec::new(),
            recent: Recent::default(),
            faint: None,
            loudest: 0.0,
        }
    }

    /// Judges the next 10, 20 or 30 ms of 16 kHz audio.
    pub(super) fn is_voiced(&mut self, frame: &[f32]) -> bool {
        let (mut energy, mut voice_energy) = (0.0, 0.0);
        self.pcm.clear();
        self.filtered.clear();
        for &sample in frame {
            // Callers may push anything; one NaN must not stay in the filter forever.
            let input = usable_sample(sample);
            let (last_input, last_output) = self.last.unwrap_or((input, 0.0));
            let output = input - last_input + POLE * last_output;
            self.last = Some((input, output));
            energy += output * output;
            self.last_voice = output - last_output + VOICE_POLE * self.last_voice;
            voice_energy += self.last_voice * self.last_voice;
            self.filtered.push(output);
            // A cast saturates.
            self.pcm.push((output * 32_767.0) as i16);
        }
        // The detector sees quiet frames too: it learns the noise from them.
        let voiced = self.vad.0.is_voice_segment(&self.pcm).unwrap_or(false);
        let [level, voice] = [energy, voice_energy].map(|energy| energy / frame.len() as f32);
        self.recent.update(voice, level, frame.len());
        self.loudest = self.loudest.max(level);
        let is_plain = voiced && level > GATE && voice > ABOVE_NOISE * self.recent.noise();
        is_plain || (level > FAINT_GATE && self.recent.loudest() < QUIET && self.is_faint_speech(voice))
    }

    /// Resets to the initial state.
    pub(super) fn reset(&mut self) {
        self.vad = Movable::new(self.mode);
        self.last = None;
        self.last_voice = 0.0;
        self.recent = Recent::default();
        self.faint = None;
    }

    /// Level of the loudest frame that was ever judged, as mean square.
    pub(super) fn loudest(&self) -> f32 {
        self.loudest
    }

    /// Judges the frame that was just filtered, where all is quiet.
    fn is_faint_speech(&mut self, voice: f32) -> bool {
        let mode = self.mode;
        let faint = self.faint.get_or_insert_with(|| Faint(Movable::new(mode)));
        // It learns the noise from the frames without speech.
        let voiced = faint.is_voiced(&self.filtered, &mut self.pcm);
        voiced && voice > FAINT_ABOVE_NOISE * self.recent.quietest()
    }
}

/// The quietest and the loudest frame of the last [`SECONDS`], found second by second (minimum
/// statistics, after Martin 2001).
#[derive(Debug, Default)]
struct Recent {
    /// Extremes of each of the last whole seconds; the oldest is overwritten.
    seconds: [Extremes; SECONDS],
    /// Whole seconds so far.
    whole: usize,
    /// Extremes of the current second, and its samples so far.
    running: (Extremes, usize),
}

#[derive(Debug, Clone, Copy)]
struct Extremes {
    quietest: f32,
    loudest: f32,
}

impl Default for Extremes {
    fn default() -> Self {
        Self { quietest: f32::INFINITY, loudest: 0.0 }
    }
}

impl Recent {
    /// Takes in the mean squares of a frame: above 200 Hz, which is compared for the quietest, and
    /// of all of it.
    fn update(&mut self, voice: f32, level: f32, samples: usize) {
        let (extremes, so_far) = &mut self.running;
        extremes.quietest = extremes.quietest.min(voice);
        extremes.loudest = extremes.loudest.max(level);
        *so_far += samples;
        if *so_far >= crate::SAMPLE_RATE as usize {
            self.seconds[self.whole % SECONDS] = *extremes;
            self.whole += 1;
            self.running = Default::default();
        }
    }

    /// The steady noise: 0 as long as it is not known.
    fn noise(&self) -> f32 {
        if self.whole < SECONDS {
            0.0
        } else {
            self.known().map(|known| known.quietest).fold(f32::INFINITY, f32::min)
        }
    }

    /// The quietest frame so far.
    fn quietest(&self) -> f32 {
        self.known().chain([self.running.0]).map(|known| known.quietest).fold(f32::INFINITY, f32::min)
    }

    /// The loudest.
    fn loudest(&self) -> f32 {
        self.known().chain([self.running.0]).map(|known| known.loudest).fold(0.0, f32::max)
    }

    fn known(&self) -> impl Iterator<Item = Extremes> {
        self.seconds.into_iter().take(self.whole)
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

// SAFETY: `Vad` is a pointer to one allocation that it alone owns, and frees when dropped. libfvad
// keeps all its state there: it has no mutable statics, no thread-local storage and no locks, so
// that it does not matter which thread calls it. All calls that touch it take `&mut`, and `Movable`
// is not `Sync`, so that two threads never call it at once.
unsafe impl Send for Movable {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

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
    fn sound_below_the_gates_is_never_voiced() {
        let mut detector = Detector::new(0);
        assert_eq!(voiced_frames(&mut detector, &buzz(2.0, 0.000_02, 0.0)), 0);
        assert_eq!(voiced_frames(&mut detector, &vec![0.0; 32_000]), 0);
    }

    #[test]
    fn faint_speech_is_heard_where_all_is_quiet_and_only_there() {
        let faint: Vec<f32> =
            (0..10).flat_map(|_| [buzz(0.3, 0.000_5, 0.0), vec![0.000_01; 4_800]].concat()).collect();
        let mut detector = Detector::new(2);
        assert!(voiced_frames(&mut detector, &faint) > 50, "at about -67 dB");
        let mut detector = Detector::new(2);
        voiced_frames(&mut detector, &buzz(1.0, 0.2, 0.0));
        let beside = voiced_frames(&mut detector, &faint);
        // webrtc-vad takes sound right behind speech for speech.
        assert!(beside <= 3, "beside speech it is an echo, or somebody else's: {beside}");
    }

    #[test]
    fn a_microphone_s_own_noise_is_not_faint_speech() {
        let mut noise = Noise(5);
        let mut noise =
            |level: f32| -> Vec<f32> { (0..20 * 16_000).map(|_| level * noise.sample()).collect() };
        for level in [0.000_1, 0.000_3, 0.000_7, 0.001] {
            let mut detector = Detector::new(2);
            assert_eq!(voiced_frames(&mut detector, &noise(level)), 0, "{level}");
        }
    }

    #[test]
    fn a_loud_fan_is_silence_once_it_is_known_and_speech_over_it_is_not() {
        let mut noise = Noise(5);
        let mut fan =
            |seconds: usize| -> Vec<f32> { (0..seconds * 16_000).map(|_| 0.1 * noise.sample()).collect() };
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
