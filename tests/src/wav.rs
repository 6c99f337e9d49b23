//! WAV files.

/// The samples as signed 16-bit little-endian integers.
pub fn s16le(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|&sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect()
}

/// A file of 16-bit integers, from interleaved samples.
pub fn pcm16(interleaved: &[f32], rate: u32, channels: u16) -> Vec<u8> {
    container(1, 2, &s16le(interleaved), rate, channels)
}

/// A file of 32-bit floats, one channel at 16 kHz.
pub fn float32(samples: &[f32]) -> Vec<u8> {
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
