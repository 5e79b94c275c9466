//! The measured loop.

use super::clock::now_ns;
use super::heartbeat::Heartbeat;
use super::series::Series;
use rand::Rng;
use rand::rngs::Xoshiro256PlusPlus;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What the loop calls. [`super::region::Region`] for measuring; nothing at all for measuring the
/// loop itself.
pub trait Calls {
    /// Unmaps a page.
    ///
    /// # Errors
    /// What munmap(2) gave.
    fn unmap(&mut self, page: u64) -> Result<(), Errno>;

    /// Maps a page, in place of what is there.
    ///
    /// # Errors
    /// What mmap(2) gave.
    fn map(&mut self, page: u64) -> Result<(), Errno>;

    /// Waits between two calls.
    fn pause(&mut self);
}

/// What a mapper measured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The calls of mmap.
    pub mmap: Series,
    /// The calls of munmap.
    pub munmap: Series,
}

/// Unmaps or maps one random page of `pages`, with even odds, and times each call, until `go_on`,
/// given the time after a call, says no. Returns that time, in ns.
///
/// Allocates nothing and takes no lock: what it writes is in `tally` and `heartbeat`.
pub fn drive<C: Calls>(
    calls: &mut C,
    pages: u64,
    draws: &mut Xoshiro256PlusPlus,
    heartbeat: &Heartbeat,
    tally: &mut Tally,
    mut go_on: impl FnMut(u64) -> bool,
) -> u64 {
    loop {
        let draw = draws.next_u64();
        // The high 63 bits choose the page, the lowest the call.
        let page = ((u128::from(draw >> 1) * u128::from(pages)) >> 63) as u64;
        let map = draw & 1 == 1;
        heartbeat.enter();
        let before = now_ns();
        let done = if map { calls.map(page) } else { calls.unmap(page) };
        let after = now_ns();
        heartbeat.leave();
        let series = if map { &mut tally.mmap } else { &mut tally.munmap };
        series.record(after - before, done.is_err());
        if !go_on(after) {
            return after;
        }
        calls.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Counts calls page by page; every tenth fails.
    #[derive(Default)]
    struct Counted {
        maps: [u32; 16],
        unmaps: [u32; 16],
        calls: u64,
        pauses: u64,
    }

    impl Counted {
        fn outcome(&mut self) -> Result<(), Errno> {
            self.calls += 1;
            if self.calls.is_multiple_of(10) {
                return Err(Errno::NOMEM);
            }
            Ok(())
        }
    }

    impl Calls for Counted {
        fn unmap(&mut self, page: u64) -> Result<(), Errno> {
            self.unmaps[page as usize] += 1;
            self.outcome()
        }

        fn map(&mut self, page: u64) -> Result<(), Errno> {
            self.maps[page as usize] += 1;
            self.outcome()
        }

        fn pause(&mut self) {
            self.pauses += 1;
        }
    }

    fn driven(seed: u64, count: u64) -> (Counted, Tally) {
        let (mut calls, mut tally) = (Counted::default(), Tally::default());
        let mut left = count;
        drive(
            &mut calls,
            16,
            &mut Xoshiro256PlusPlus::seed_from_u64(seed),
            &Heartbeat::default(),
            &mut tally,
            |_| {
                left -= 1;
                left > 0
            },
        );
        (calls, tally)
    }

    #[test]
    fn every_call_is_counted_where_it_belongs() {
        let (calls, tally) = driven(1, 20_000);
        let sum = |pages: [u32; 16]| u64::from(pages.iter().sum::<u32>());
        assert_eq!(tally.mmap.calls, sum(calls.maps));
        assert_eq!(tally.munmap.calls, sum(calls.unmaps));
        assert_eq!(tally.mmap.calls + tally.munmap.calls, 20_000);
        assert_eq!(tally.mmap.failed + tally.munmap.failed, 2_000);
        assert_eq!(calls.pauses, 19_999);
        assert!(tally.mmap.is_whole() && tally.munmap.is_whole());
    }

    #[test]
    fn odds_and_pages_are_even() {
        // 320,000 draws over 32 outcomes: 10,000 each, standard deviation 98. The seed is fixed,
        // so this holds or does not for good.
        let (calls, _) = driven(7, 320_000);
        for count in calls.maps.into_iter().chain(calls.unmaps) {
            assert!((9_500..10_500).contains(&count), "{count}");
        }
    }

    #[test]
    fn a_seed_says_which_calls() {
        let (one, _) = driven(3, 1000);
        let (same, _) = driven(3, 1000);
        let (other, _) = driven(4, 1000);
        assert_eq!((one.maps, one.unmaps), (same.maps, same.unmaps));
        assert_ne!(one.maps, other.maps);
    }
}
