//! Keys: the credentials of a tenant, and their hashes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::values::hex;

/// Prefix of a key, so that one that was published by mistake is found.
const PREFIX: &str = "hk_";
/// Prefix of a hash in the configuration.
const SCHEME: &str = "sha256:";

/// A tenant's key: 256 random bits. The server keeps only its [hash](KeyHash).
pub struct Key(String);

impl Key {
    /// A new one, from the system's generator.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// The key itself, for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Hash that the configuration keeps of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

/// SHA-256 of a key. Keys are random and long: a hash made slow on purpose, as passwords need it,
/// would protect nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", hex(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Error of a text that is no hash of a key.
#[derive(Debug, thiserror::Error)]
#[error("a key's hash is `sha256:` and 64 hexadecimal digits; `hearken serve key` makes a key and its hash")]
#[non_exhaustive]
pub struct InvalidKeyHash;

impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidKeyHash> {
        let digits = text.strip_prefix(SCHEME).ok_or(InvalidKeyHash)?.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(InvalidKeyHash);
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = (high.ok_or(InvalidKeyHash)? << 4 | low.ok_or(InvalidKeyHash)?) as u8;
        }
        Ok(Self(hash))
    }
}

impl<'de> serde::Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Random bits for names that cannot be guessed, as 32 hexadecimal digits.
pub(super) fn random_name() -> String {
    let mut bytes = [0u8; 16];
    // Where the system has no randomness TLS and keys do not work either; such a name must not be
    // guessable.
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_and_read_and_matches_its_key_alone() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_ne!(key.expose(), other.expose());
        assert!(key.expose().starts_with("hk_") && key.expose().len() == 67, "{}", key.expose());
        let read: KeyHash = key.hash().to_string().parse().unwrap();
        assert!(bool::from(read.matches(&KeyHash::of(key.expose()))));
        assert!(!bool::from(read.matches(&other.hash())));
        // The standard's own example (FIPS 180-2, appendix B.1).
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_string(), abc);
    }

    #[test]
    fn a_malformed_hash_is_refused() {
        let hash = KeyHash::of("abc").to_string();
        for wrong in
            ["", "sha256:", "abc", &hash[7..], &hash[..70], &format!("{hash}0"), &hash.replace('a', "g")]
        {
            assert!(wrong.parse::<KeyHash>().is_err(), "{wrong}");
        }
        assert!(hash.to_uppercase().replace("SHA", "sha").parse::<KeyHash>().is_ok());
    }
}
