//! Memory that this process takes.

use std::fs;

/// Bytes, as Linux counts them for the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Proportional set size: a page that is mapped several times counts once in all.
    pub proportional: i64,
    /// Pages that are nobody else's because they were written: the heap, and what was copied on
    /// write.
    pub written: i64,
}

impl Footprint {
    /// The footprint now.
    ///
    /// # Panics
    ///
    /// Where there is no `/proc/self/smaps_rollup` (Linux 4.14 or later has it).
    pub fn now() -> Self {
        let rollup =
            fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel's account of this process");
        let bytes = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).expect("a known line");
            line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number of kB") << 10
        };
        Self { proportional: bytes("Pss:"), written: bytes("Anonymous:") }
    }

    /// Growth since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { proportional: self.proportional - before.proportional, written: self.written - before.written }
    }
}
