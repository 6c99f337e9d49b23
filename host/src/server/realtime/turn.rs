//! Audio that waits for a commit, where the client detects speech itself.

use bytes::Bytes;

use crate::Share;
use crate::meter::Kept;
use crate::server::refusal::Refusal;

/// Longest turn, in seconds.
const SECONDS: usize = 300;
/// The most that one has, whatever its rate: as many seconds at the rate that most clients send, 24 kHz of 16 bits.
const BYTES: usize = SECONDS * 24_000 * 2;

/// A turn that is not committed. Its memory counts as the tenant's.
pub(super) struct Turn {
    audio: Vec<u8>,
    kept: Kept,
    most: usize,
}

impl Turn {
    /// An empty one, of audio of so many bytes a second.
    pub(super) fn new(share: &Share, bytes_per_second: usize) -> Self {
        Self { audio: Vec::new(), kept: share.kept(), most: BYTES.min(SECONDS * bytes_per_second) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.audio.is_empty()
    }

    /// Appends audio, as long as it is not too much.
    pub(super) fn append(&mut self, audio: &[u8]) -> Result<(), Refusal> {
        let len = self.audio.len() + audio.len();
        if len > self.most {
            return Err(Refusal::invalid(
                "audio",
                format!("{} bytes wait for a commit, which is the most; commit, or clear", self.audio.len()),
            ));
        }
        if len > self.audio.capacity() {
            // Half as much again each time, as a vector does by itself; but what it takes is known before.
            let capacity = len.max(self.audio.capacity() * 3 / 2).min(self.most);
            if !self.kept.set(capacity as u64) {
                return Err(Refusal::invalid(
                    "audio",
                    "this key's streams hold as much memory as they may; commit, clear, or try again later",
                ));
            }
            self.audio.reserve_exact(capacity - self.audio.len());
        }
        self.audio.extend_from_slice(audio);
        Ok(())
    }

    /// The audio, and what counts it until it is taken in.
    pub(super) fn commit(self) -> (Bytes, Kept) {
        (self.audio.into(), self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShareLimits;

    /// Bytes that are taken, in pieces of so many.
    fn taken(turn: &mut Turn, piece: usize) -> usize {
        let piece = vec![0; piece];
        let (before, mut taken) = (turn.audio.len(), 0);
        while turn.append(&piece).is_ok() {
            taken += piece.len();
        }
        assert_eq!(turn.audio.len(), before + taken);
        taken
    }

    #[test]
    fn a_turn_has_a_bound_in_seconds_and_in_bytes() {
        for (bytes_per_second, most) in [(8_000, 2_400_000), (48_000, BYTES), (384_000, BYTES)] {
            let mut turn = Turn::new(&Share::default(), bytes_per_second);
            assert_eq!(taken(&mut turn, 100_000), most / 100_000 * 100_000, "{bytes_per_second}");
            assert!(turn.audio.capacity() <= most);
        }
    }

    #[test]
    fn turns_of_one_share_have_its_memory_together() {
        let share = Share::limited(1, &ShareLimits::default().memory_bytes(20 << 20));
        let mut turns = [(); 3].map(|()| Turn::new(&share, 384_000));
        let all: usize = turns.iter_mut().map(|turn| taken(turn, 100_000)).sum();
        assert!((18_000_000..=20 << 20).contains(&all), "{all}");
        let [first, mut second, _] = turns;
        let (audio, kept) = first.commit();
        assert!(second.append(&[0; 4_000_000]).is_err());
        drop((audio, kept));
        assert!(taken(&mut second, 100_000) > 5_000_000);
    }
}
