//! Chance that can be repeated.

use std::hash::{DefaultHasher, Hash, Hasher};

/// SplitMix64: small, good enough, and the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice for one question: equal seeds and questions throw alike, in whatever order they are asked.
    pub(crate) fn new(seed: u64, question: impl Hash) -> Self {
        // Its keys are fixed: the same in every process.
        let mut hasher = DefaultHasher::new();
        (seed, question).hash(&mut hasher);
        Self(hasher.finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in `n` of a thousand throws.
    pub(crate) fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// One of the items, each as often as its weight says.
    pub(crate) fn weighed<T: Copy>(&mut self, items: &[(u64, T)]) -> T {
        let mut left = self.below(items.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in items {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *item,
            }
        }
        unreachable!("it is less than the sum of all weights")
    }
}
