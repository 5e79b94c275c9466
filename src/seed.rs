//! Random streams: one seed a run, one stream a role.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// The generator's name and the version of the way it is used; part of every saved file. It
/// changes when the same seed would draw something else.
pub const GENERATOR: &str = "xoshiro256++/1";

/// A seed that nobody asked for.
pub fn draw() -> u64 {
    // The only randomness of a run that its seed does not give: the addresses and the time.
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}

/// The seed that a flag gives.
///
/// # Errors
/// A word that is no number of 64 bits.
pub fn parse(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not a 64-bit number, decimal or 0x hexadecimal"))
}

/// A stream of random numbers.
///
/// Xoshiro256++ seeded through SplitMix64. Ranges are drawn by [`Stream::below`] and not by the
/// generator crate's own methods, whose way to draw them may change with a minor release.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream of member `index` of `role` in the run seeded with `seed`.
    pub fn new(seed: u64, role: &str, index: usize) -> Stream {
        // FNV-1a over the role keeps two roles with the same index apart.
        let fold = |hash: u64, byte: u8| (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
        let role = role.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
        let index = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Stream(Xoshiro256PlusPlus::seed_from_u64(seed ^ role ^ index))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`; `n` must not be 0. The bias is below n / 2^64.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0);
        ((self.bits() as u128 * n as u128) >> 64) as usize
    }

    /// A number in `low..=high`.
    #[inline]
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times.
    #[inline]
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of the items.
    #[inline]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        assert_eq!(parse("17"), Ok(17));
        assert_eq!(parse("0xff"), Ok(255));
        assert!(parse("ff").is_err() && parse("0x1ffffffffffffffff").is_err());
    }

    #[test]
    fn a_seed_draws_the_same_on_every_machine() {
        let mut stream = Stream::new(42, "reader", 3);
        let drawn: Vec<usize> = (0..6).map(|_| stream.below(1000)).collect();
        // Changing these means that saved seeds no longer repeat: raise GENERATOR's version.
        assert_eq!(drawn, EXPECTED);
    }

    const EXPECTED: [usize; 6] = [199, 355, 66, 320, 233, 230];

    #[test]
    fn streams_differ_by_seed_role_and_index() {
        let first = |seed, role, index| Stream::new(seed, role, index).bits();
        let base = first(1, "reader", 0);
        assert_ne!(base, first(2, "reader", 0));
        assert_ne!(base, first(1, "mutator", 0));
        assert_ne!(base, first(1, "reader", 1));
    }

    #[test]
    fn ranges_reach_both_ends_and_no_further() {
        let mut stream = Stream::new(7, "test", 0);
        // 2000 draws from 7 values miss one of them with probability 7 * (6/7)^2000 < 1e-130.
        let drawn: Vec<usize> = (0..2000).map(|_| stream.between(3, 9)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&9)));
    }
}
