//! Recordings that are small to send and much to take in.

/// The most samples that a recording may have in a second: those of eight channels at 192 kHz.
const RATE: u32 = 192_000;
const CHANNELS: usize = 8;

/// A Matroska file of PCM with eight channels at 192 kHz: 16 frames after each hour, and nothing
/// between them.
pub fn gaps(hours: u32) -> Vec<u8> {
    let unsigned = |id: &[u8], value: u64| element(id, &value.to_be_bytes());
    let header = element(
        &[0x1a, 0x45, 0xdf, 0xa3],
        &[element(&[0x42, 0x82], b"matroska"), unsigned(&[0x42, 0x87], 4), unsigned(&[0x42, 0x85], 2)]
            .concat(),
    );
    let info = element(
        &[0x15, 0x49, 0xa9, 0x66],
        &[
            unsigned(&[0x2a, 0xd7, 0xb1], 1_000_000),
            element(&[0x4d, 0x80], b"hearken"),
            element(&[0x57, 0x41], b"hearken"),
        ]
        .concat(),
    );
    let audio = element(
        &[0xe1],
        &[
            element(&[0xb5], &f64::from(RATE).to_be_bytes()),
            unsigned(&[0x9f], CHANNELS as u64),
            unsigned(&[0x62, 0x64], 16),
        ]
        .concat(),
    );
    let track = element(
        &[0xae],
        &[
            unsigned(&[0xd7], 1),
            unsigned(&[0x73, 0xc5], 1),
            unsigned(&[0x83], 2),
            element(&[0x86], b"A_PCM/INT/LIT"),
            audio,
        ]
        .concat(),
    );
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &track);
    let clusters: Vec<u8> = (0..=u64::from(hours))
        .flat_map(|hour| {
            // A second less than an hour: more would be damage.
            let time = unsigned(&[0xe7], hour * 3_599_000);
            let block = [&[0x81, 0, 0, 0x80][..], &[0; 16 * 2 * CHANNELS]].concat();
            element(&[0x1f, 0x43, 0xb6, 0x75], &[time, element(&[0xa3], &block)].concat())
        })
        .collect();
    let segment = element(&[0x18, 0x53, 0x80, 0x67], &[info, tracks, clusters].concat());
    [header, segment].concat()
}

/// An element of EBML.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    // The length in eight bytes.
    let len = (1u64 << 56 | content.len() as u64).to_be_bytes();
    [id, &len, content].concat()
}

/// A FLAC file of silence with eight channels at 192 kHz: 34 bytes for each third of a second.
pub fn silence(seconds: u32) -> Vec<u8> {
    const BLOCK: u32 = 65_535;
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend([(BLOCK as u16).to_be_bytes(), (BLOCK as u16).to_be_bytes()].concat());
    file.extend([0; 6]);
    // Rate in 20 bits, channels less one in 3, bits less one in 5, length in 36: 0 is not known.
    file.extend((u64::from(RATE) << 44 | (CHANNELS as u64 - 1) << 41 | 15 << 36).to_be_bytes());
    file.extend([0; 16]);
    for number in 0..(seconds * RATE).div_ceil(BLOCK) {
        // A fixed block size, which is stated at the end of the header; rate, eight channels and 16
        // bits.
        let mut frame = vec![0xff, 0xf8, 0x73, 0x78];
        let number = char::from_u32(number).expect("no surrogate: less than an hour");
        frame.extend(number.to_string().bytes());
        frame.extend((BLOCK as u16 - 1).to_be_bytes());
        frame.push(crc(&frame, 8, 0x07) as u8);
        // Each channel is one constant.
        frame.extend([0; 3 * CHANNELS]);
        frame.extend(crc(&frame, 16, 0x8005).to_be_bytes());
        file.extend(frame);
    }
    file
}

/// Computes a cyclic redundancy check of `bits` bits.
fn crc(bytes: &[u8], bits: u32, polynomial: u16) -> u16 {
    let top = 1u32 << (bits - 1);
    let sum = bytes.iter().fold(0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << (bits - 8), |sum, _| {
            if sum & top != 0 { sum << 1 ^ u32::from(polynomial) } else { sum << 1 }
        })
    });
    (sum & (2 * top - 1)) as u16
}

#[cfg(test)]
mod tests {
    use hearken::audio::{Format, Source, from_reader};

    use super::*;

    fn frames(file: Vec<u8>) -> u64 {
        let mut source = from_reader("it", std::io::Cursor::new(file)).expect("a recording");
        assert_eq!(source.format(), Format { sample_rate: RATE, channels: 8 });
        let (mut frames, mut block) = (0, Vec::new());
        loop {
            frames += source.take_gap();
            match source.read(&mut block).expect("no damage") {
                0 => return frames,
                read => frames += read as u64,
            }
        }
    }

    #[test]
    fn they_are_as_long_as_they_should_be() {
        assert_eq!(frames(gaps(2)), 2 * 3599 * 192_000 + 16);
        assert_eq!(frames(silence(60)), u64::from((60 * RATE).div_ceil(65_535)) * 65_535);
    }
}
