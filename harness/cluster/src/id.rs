//! Ids of runs, and the little randomness that this crate needs.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Id of a run: seven characters of `[a-z0-9]`, the first a letter. Four come from the time (they repeat after
/// about 19 days), three are random, so that runs that start together differ and old ones sort before new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// A new id.
    pub fn generate() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut id = String::with_capacity(7);
        id.push(char::from(b'a' + (seconds / 46_656 % 26) as u8));
        id.push_str(&base36(seconds % 46_656, 3));
        id.push_str(&base36(random(), 3));
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for RunId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The last `width` base-36 digits of a number.
pub(crate) fn base36(mut number: u64, width: usize) -> String {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    String::from_utf8(digits).expect("base-36 digits are ASCII")
}

/// A random number: the keys of a new `RandomState` come from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A duration between half of `full` and `full`.
pub(crate) fn jitter(full: Duration) -> Duration {
    full / 2 + full.mul_f64((random() % 1000) as f64 / 2000.0)
}

/// FNV-1a, for short and stable suffixes of names.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_labels_and_differ() {
        let ids: std::collections::BTreeSet<_> = (0..50).map(|_| RunId::generate()).collect();
        assert!(ids.len() > 45, "{ids:?}");
        for id in ids {
            assert_eq!(id.as_str().len(), 7);
            assert!(id.as_str().starts_with(|c: char| c.is_ascii_lowercase()));
            assert!(id.as_str().bytes().all(|b| DIGITS.contains(&b)));
        }
    }

    #[test]
    fn jitter_stays_between_half_and_full() {
        for _ in 0..100 {
            let pause = jitter(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
