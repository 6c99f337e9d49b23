//! Steady tones: notes, whistles, beeps, which voice activity detection takes for voice.
//!
//! The partials of a note stay at their frequency while it sounds; those of a voice glide. So music
//! shows as horizontal lines in a spectrogram: K. Seyerlehner, T. Pohle, M. Schedl and G. Widmer,
//! *Automatic Music Detection in Television Productions*, DAFx 2007. A frame is tonal if such lines
//! have more than half of its energy, or if nearly all of it lies at one frequency, steady or not.
//!
//! In speech, tonal frames come in short runs, in melodies, chords and telephone tones in runs as
//! long as a note: [`LEAST`] lies between. `speech_has_hardly_any_tones` measures people's speech
//! in five languages (`tests/tests/official/field.rs`).

use std::sync::{Arc, OnceLock};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlannerScalar};

use crate::SAMPLE_RATE;

/// Length of a frame: 64 ms, in which the partials of a chord are apart.
const WINDOW: usize = 1024;
/// Distance between frames: 16 ms.
const HOP: usize = 256;
/// Frequencies of a frame.
const BINS: usize = WINDOW / 2 + 1;
/// The lowest frequency that counts: 200 Hz. Hum lies below, and the fundamental of most voices,
/// which hardly moves from one frequency of a frame to the next.
const LOWEST: usize = 200 * WINDOW / SAMPLE_RATE as usize;
/// Frames in which a partial has its peak at the same frequency, if it is steady: 96 ms.
const HOLD: usize = 6;
/// Frequencies on either side of a peak that it has to stand out from.
const BESIDE: usize = 10;
/// Level of a peak above the mean level around it: 8 dB, in units of [`level`].
const ABOVE: i64 = 22_300_000;
/// Frequencies on either side of a peak that have its energy, because of the window.
const WIDTH: usize = 2;
/// Share of a frame's energy in steady partials from which it is tonal.
const STEADY: f32 = 0.5;
/// Share of a frame's energy around its strongest frequency, within [`NARROW_WIDTH`], from which it
/// is tonal: a whistle, or a siren.
const NARROW: f32 = 0.95;
const NARROW_WIDTH: usize = 5;
/// Coefficient of the filter that raises high frequencies as much as voices lack them.
const EMPHASIS: f32 = 0.97;

/// Gap in a run of tonal frames that does not end it [samples]: 32 ms, from one note to the next.
const GAP: u64 = 2 * HOP as u64;
/// Minimum length of a tone [samples]: 208 ms.
const LEAST: u64 = 13 * HOP as u64;
/// Audio between two tones that is no voice either [samples]: 200 ms, such as the plucking of a
/// string.
const BETWEEN: u64 = SAMPLE_RATE as u64 / 5;

/// Looks for steady tones in an utterance.
#[derive(Debug)]
pub(super) struct Tones {
    /// Samples of the next frame so far, with their high frequencies raised.
    frame: Vec<f32>,
    /// The latest sample, as it came.
    last: Option<f32>,
    /// Position in the stream of the next frame's first sample.
    position: u64,
    /// The latest frames, oldest first, [`HOLD`] at most.
    rows: Vec<Row>,
    /// The latest run of tonal frames.
    run: Option<(u64, u64)>,
    /// Behind the latest tone.
    behind: Option<u64>,
}

/// Spectrum of a frame.
#[derive(Debug, Clone)]
struct Row {
    power: Vec<f32>,
    /// For each frequency the number of frames in a row, up to this one, that have a peak there; at
    /// most [`HOLD`].
    held: Vec<u8>,
}

impl Tones {
    /// Begins with the sample at `position` of the stream.
    pub(super) fn new(position: u64) -> Self {
        Self {
            frame: Vec::with_capacity(WINDOW),
            last: None,
            position,
            rows: Vec::with_capacity(HOLD),
            run: None,
            behind: None,
        }
    }

    /// Takes the next samples, and returns where a tone was found meanwhile, as first position and
    /// the one behind the last; of several, the last one. A tone that goes on is found again and
    /// again, each time from where it ended before.
    pub(super) fn push(&mut self, samples: &[f32]) -> Option<(u64, u64)> {
        let mut found = None;
        for &sample in samples {
            let before = self.last.replace(sample).unwrap_or(sample);
            self.frame.push(sample - EMPHASIS * before);
            if self.frame.len() == WINDOW {
                found = match (found, self.hear()) {
                    // One that goes on.
                    (Some((start, behind)), Some((from, end))) if from <= behind => Some((start, end)),
                    (earlier, later) => later.or(earlier),
                };
                self.frame.drain(..HOP);
                self.position += HOP as u64;
            }
        }
        found
    }

    /// Takes in a complete frame, and decides on the oldest one.
    fn hear(&mut self) -> Option<(u64, u64)> {
        let power = spectrum(&self.frame);
        let before = self.rows.last().map(|row| &row.held[..]);
        let held = held(&power, before);
        if self.rows.len() == HOLD {
            self.rows.remove(0);
        }
        self.rows.push(Row { power, held });
        if self.rows.len() < HOLD || !self.is_tonal() {
            return None;
        }
        // The middle of the oldest frame.
        let start = self.position - ((HOLD - 1) * HOP) as u64 + ((WINDOW - HOP) / 2) as u64;
        self.lengthen(start, start + HOP as u64)
    }

    /// Returns true if the oldest frame is tonal.
    fn is_tonal(&self) -> bool {
        let Row { power, held } = &self.rows[0];
        let all: f32 = power[LOWEST..].iter().sum();
        if all <= 0.0 {
            return false;
        }
        let around =
            |at: usize, width: usize| at.saturating_sub(width).max(LOWEST)..(at + width + 1).min(BINS);
        let mut steady = 0.0;
        let mut counted = LOWEST;
        for (at, so_far) in held.iter().enumerate().skip(LOWEST) {
            if *so_far == 0 {
                continue;
            }
            let later = self.rows[1..].iter().take_while(|row| row.held[at] > 0).count();
            if usize::from(*so_far) + later >= HOLD {
                let range = around(at, WIDTH);
                steady += power[range.start.max(counted)..range.end.max(counted)].iter().sum::<f32>();
                counted = range.end;
            }
        }
        let strongest = (LOWEST..BINS).max_by(|one, other| power[*one].total_cmp(&power[*other]));
        let narrow: f32 = strongest.map_or(0.0, |at| power[around(at, NARROW_WIDTH)].iter().sum());
        steady > STEADY * all || narrow > NARROW * all
    }

    /// Adds a tonal frame to the run, or begins another one. Returns the part that is new of a
    /// tone.
    fn lengthen(&mut self, start: u64, end: u64) -> Option<(u64, u64)> {
        let first = self.run.filter(|run| start <= run.1 + GAP).map_or(start, |run| run.0);
        self.run = Some((first, end));
        if end - first < LEAST {
            return None;
        }
        let from = self.behind.filter(|behind| first <= behind + BETWEEN).unwrap_or(first);
        self.behind = Some(end);
        Some((from, end))
    }
}

/// Power at each frequency of a frame.
fn spectrum(frame: &[f32]) -> Vec<f32> {
    static PLAN: OnceLock<(Arc<dyn Fft<f32>>, Vec<f32>)> = OnceLock::new();
    // Without the processor's own instructions, so that all machines find the same tones.
    let (plan, window) = PLAN.get_or_init(|| {
        let hann = |n| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / WINDOW as f32).cos();
        (FftPlannerScalar::new().plan_fft_forward(WINDOW), (0..WINDOW).map(hann).collect())
    });
    let mut values: Vec<_> =
        frame.iter().zip(window).map(|(sample, weight)| Complex::new(sample * weight, 0.0)).collect();
    plan.process(&mut values);
    values[..BINS].iter().map(Complex::norm_sqr).collect()
}

/// For each frequency, the number of frames in a row that have a peak there: one more than
/// `before`, up to [`HOLD`], or none.
fn held(power: &[f32], before: Option<&[u8]>) -> Vec<u8> {
    let levels: Vec<i64> = power.iter().map(|power| level(*power)).collect();
    let at = |index: isize| levels[index.clamp(0, BINS as isize - 1) as usize];
    let count = 2 * BESIDE as i64 + 1;
    // Sum of the levels around a frequency; those at the ends count for those beyond.
    let mut sum: i64 = (-(BESIDE as isize)..=BESIDE as isize).map(at).sum();
    let mut held = vec![0; BINS];
    for index in 0..BINS {
        if (LOWEST..BINS - 1).contains(&index) {
            let is_peak = power[index] >= power[index - 1] && power[index] > power[index + 1];
            if is_peak && (levels[index] - ABOVE) * count > sum {
                let so_far = before.map_or(0, |before| before[index]);
                held[index] = (so_far + 1).min(HOLD as u8);
            }
        }
        let index = index as isize;
        sum += at(index + 1 + BESIDE as isize) - at(index - BESIDE as isize);
    }
    held
}

/// Level of a power: its logarithm to base 2 times 2²³, exact at powers of two and linear between.
/// The same on all machines, which a library's logarithm is not.
fn level(power: f32) -> i64 {
    (power.max(1e-12)).to_bits().into()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::noise::Noise;

    const SECOND: usize = SAMPLE_RATE as usize;

    /// The tones, from and to tenths of a second.
    fn found(samples: &[f32]) -> Vec<(u64, u64)> {
        let mut tones = Tones::new(0);
        let mut all: Vec<(u64, u64)> = Vec::new();
        for block in samples.chunks(320) {
            let Some((start, end)) = tones.push(block) else { continue };
            match all.last_mut() {
                Some(last) if last.1 >= start => last.1 = end,
                _ => all.push((start, end)),
            }
        }
        let tenth = SECOND as u64 / 10;
        all.iter().map(|(start, end)| (start / tenth, end / tenth)).collect()
    }

    /// Eight partials, whose fundamental is `hz` at each second.
    fn partials(seconds: f32, hz: impl Fn(f32) -> f32) -> Vec<f32> {
        let mut phase = 0.0;
        let sample = |n: usize| {
            phase += TAU * hz(n as f32 / SECOND as f32) / SECOND as f32;
            (1..9).map(|k| (k as f32 * phase).sin() / k as f32).sum::<f32>() * 0.1
        };
        (0..(seconds * SECOND as f32) as usize).map(sample).collect()
    }

    #[test]
    fn a_note_is_a_tone_and_a_voice_that_glides_is_none() {
        // The last 112 ms are not decided.
        assert_eq!(found(&partials(1.0, |_| 220.0)), [(0, 8)]);
        // As a voice in a sentence does: a fifth in a second.
        assert_eq!(found(&partials(1.0, |at| 220.0 * (1.0 + 0.5 * at))), []);
        // Vibrato of half a semitone, five times a second.
        assert_eq!(found(&partials(2.0, |at| 220.0 * (1.0 + 0.03 * (TAU * 5.0 * at).sin()))), []);
    }

    #[test]
    fn notes_in_a_row_are_one_tone_and_a_pause_ends_it() {
        let note = |hz: f32| partials(0.3, |_| hz);
        let melody = [note(220.0), note(330.0), note(262.0)].concat();
        assert_eq!(found(&[melody.clone(), vec![0.0; 200]].concat()), [(0, 8)]);
        let (pause, rest) = (vec![0.0; SECOND / 2], vec![0.0; SECOND / 5]);
        let twice = [melody.clone(), pause, melody, rest].concat();
        // A frame's middle counts: some milliseconds before the first sample of a tone.
        assert_eq!(found(&twice), [(0, 9), (13, 23)]);
    }

    #[test]
    fn a_siren_is_a_tone_and_noise_is_none() {
        let siren = |n: usize| (TAU * 900.0 * (TAU * 0.3 * n as f32 / SECOND as f32).sin()).sin() * 0.2;
        let siren: Vec<f32> = (0..SECOND).map(siren).collect();
        assert_eq!(found(&siren).len(), 1);
        let mut noise = Noise(1);
        let noise: Vec<f32> = (0..5 * SECOND).map(|_| noise.next() as f32 / u32::MAX as f32 - 0.5).collect();
        assert_eq!(found(&noise), []);
        assert_eq!(found(&vec![0.0; SECOND]), []);
    }

    #[test]
    fn the_size_of_a_block_makes_no_difference() {
        let melody = [partials(0.4, |_| 300.0), partials(0.4, |_| 400.0)].concat();
        let ends = |size: usize| {
            let mut tones = Tones::new(7);
            melody.chunks(size).filter_map(|block| tones.push(block)).last().map(|(_, end)| end)
        };
        assert!(ends(1).is_some());
        assert_eq!(ends(1), ends(999));
    }
}
