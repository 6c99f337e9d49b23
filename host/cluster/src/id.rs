//! Identities of processes and sandboxes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A random number of 128 bits, which is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Id(u64, u64);

impl Id {
    /// Makes a new one.
    ///
    /// # Panics
    ///
    /// When the system has no random numbers: nothing works without.
    pub(crate) fn new() -> Self {
        let number = || getrandom::u64().expect("the system has random numbers");
        Self(number(), number())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

impl std::str::FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = |part: Option<&str>| u64::from_str_radix(part.ok_or(())?, 16).map_err(drop);
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        Ok(Self(hex(text.get(..16))?, hex(text.get(16..))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_as_text() {
        let id = Id::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(Id::new(), id);
        for text in ["", "x", "+0000000000000000000000000000000", "00000000000000000000000000000000é"] {
            assert_eq!(text.parse::<Id>(), Err(()), "{text}");
        }
    }
}
