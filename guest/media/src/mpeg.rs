//! Headers of MPEG audio frames (ISO/IEC 11172-3, 13818-3).

/// Rates of MPEG-1 [Hz], by their number in a header. MPEG-2 has half of them, MPEG-2.5 a quarter.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// Rate [Hz] and channels of a frame; `None` if it is none.
pub(crate) fn frame(data: &[u8]) -> Option<(u32, usize)> {
    let &[first, second, third, fourth] = data.first_chunk()?;
    if first != 0xFF || second & 0xE0 != 0xE0 {
        return None;
    }
    let halvings = match second >> 3 & 3 {
        0 => 2,
        2 => 1,
        3 => 0,
        _ => return None,
    };
    let rate = RATES.get(usize::from(third >> 2 & 3))? >> halvings;
    Some((rate, if fourth >> 6 == 3 { 1 } else { 2 }))
}
