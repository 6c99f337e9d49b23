//! Recordings that are made when they are needed.

use std::process::Command;
use std::sync::OnceLock;

/// What [`speech`] says.
pub(crate) const WORDS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// Synthetic speech at 16 kHz, with silence around it.
pub(crate) fn speech() -> &'static [f32] {
    static SPEECH: OnceLock<Vec<f32>> = OnceLock::new();
    SPEECH.get_or_init(|| {
        let output = Command::new("espeak-ng")
            .args(["--stdout", &WORDS.join(" ")])
            .output()
            .expect("espeak-ng is installed (apt-get install espeak-ng)");
        assert!(output.status.success(), "espeak-ng failed: {output:?}");
        let (head, data) = output.stdout.split_at(44);
        let rate = u32::from_le_bytes(head[24..28].try_into().unwrap());
        let samples: Vec<f32> = data
            .chunks_exact(2)
            .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect();
        let silence = vec![0.0; 8000];
        [silence.clone(), resampled(&samples, rate, 16_000), silence].concat()
    })
}

/// The mean of what each new sample covers, or the straight line between neighbours: good enough to be understood.
pub(crate) fn resampled(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let step = f64::from(from) / f64::from(to);
    let at = |position: f64| {
        let index = position as usize;
        let part = (position - index as f64) as f32;
        let next = samples[(index + 1).min(samples.len() - 1)];
        samples[index.min(samples.len() - 1)] * (1.0 - part) + next * part
    };
    let parts = (step.ceil() as u32 * 4).max(1);
    (0..(samples.len() as f64 / step) as usize)
        .map(|index| {
            let sum: f32 =
                (0..parts).map(|part| at((index as f64 + f64::from(part) / f64::from(parts)) * step)).sum();
            sum / parts as f32
        })
        .collect()
}

pub(crate) fn s16le(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|&sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect()
}

/// A WAV file in which each channel has these samples, as 16-bit integers.
pub(crate) fn wav(samples: &[f32], rate: u32, channels: u16) -> Vec<u8> {
    let frames: Vec<f32> = samples.iter().flat_map(|&s| std::iter::repeat_n(s, channels.into())).collect();
    container(1, 2, &s16le(&frames), rate, channels)
}

/// A WAV file of 32-bit floats, one channel at 16 kHz.
pub(crate) fn float_wav(samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    container(3, 4, &data, 16_000, 1)
}

fn container(tag: u16, bytes: u16, data: &[u8], rate: u32, channels: u16) -> Vec<u8> {
    let frame = bytes * channels;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend([tag, channels].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([rate, rate * u32::from(frame)].iter().flat_map(|v| v.to_le_bytes()));
    file.extend([frame, bytes * 8].iter().flat_map(|v| v.to_le_bytes()));
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}
