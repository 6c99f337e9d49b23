//! AudioSpecificConfig of AAC (ISO/IEC 14496-3, section 1.6.2.1).

/// Object types: low complexity, spectral band replication (HE-AAC), parametric stereo (HE-AAC v2).
const LC: u32 = 2;
const SBR: u32 = 5;
const PS: u32 = 29;
/// Sampling frequency that is written out.
const EXPLICIT: u32 = 15;

/// Reads bits from the first on.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

/// The configuration of the low-complexity core of a stream, which HE-AAC extends: what decodes
/// only the core hears speech at half the rate, and complete. `None` for what has no such core.
pub(crate) fn core(config: &[u8]) -> Option<Vec<u8>> {
    let mut bits = Bits { bytes: config, position: 0 };
    let kind = bits.take(5)?;
    let frequency = bits.take(4)?;
    let explicit = if frequency == EXPLICIT { Some(bits.take(24)?) } else { None };
    let channels = bits.take(4)?;
    if matches!(kind, SBR | PS) {
        if bits.take(4)? == EXPLICIT {
            bits.take(24)?;
        }
        if bits.take(5)? != LC {
            return None;
        }
    } else if kind != LC {
        return None;
    }
    // Frames of 960 samples, a stream that depends on another one, and an extension: none of them
    // is the usual core.
    if bits.take(3)? != 0 || channels == 0 {
        return None;
    }
    let mut out = 0u64;
    let mut len = 0;
    let mut put = |value: u32, count: u32| {
        out = out << count | u64::from(value);
        len += count;
    };
    put(LC, 5);
    put(frequency, 4);
    if let Some(frequency) = explicit {
        put(frequency, 24);
    }
    put(channels, 4);
    put(0, 3);
    let len = len.div_ceil(8) as usize;
    Some((out << (len * 8 - if explicit.is_some() { 40 } else { 16 })).to_be_bytes()[8 - len..].to_vec())
}
