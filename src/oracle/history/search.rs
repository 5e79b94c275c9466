//! Which version is the first that can be seen at a tick.

use super::{History, Overrun, Version};
use crate::oracle::clock::Tick;
use crate::oracle::word::{Ordering, Word};

impl<W: Word> History<W> {
    /// [`History::first_at`], where it is known already that no version before `least` can be seen
    /// then: most often it is that one, or one of the next. What is looked at besides the answer was
    /// passed over since, so that no other version's line has to be waited for.
    ///
    /// # Errors
    /// Those of [`History::first_at`].
    #[inline]
    pub fn first_from(&self, least: Version, from: Tick) -> Result<Version, Overrun> {
        /// Beyond so many it is found sooner from the newest one down.
        const NEAR: u64 = 32;
        // Slots up to the head were written before it was raised. The head itself is not closed
        // before `from`, as `first_at` says.
        let head = self.head();
        if head.saturating_sub(least) <= NEAR {
            let mut version = least;
            while version < head && self.closed(version) < from {
                version += 1;
            }
            if self.confirm(least).is_ok() {
                return Ok(version);
            }
        }
        self.first_at(from)
    }

    /// The first version that can be seen at tick `from` or later: the first one not closed
    /// before it.
    ///
    /// # Errors
    /// [`Overrun`] when that version, or one before it that might be it, is gone.
    #[inline]
    pub fn first_at(&self, from: Tick) -> Result<Version, Overrun> {
        let head = self.head();
        let Some(last) = head.checked_sub(1) else {
            return self.confirm(0).map(|()| 0);
        };
        // Nearly always nothing happened since. What replaced a version has returned after it was
        // invoked. The tick may be that of a version which is about to replace the head.
        // Relaxed: see `Head::raise`.
        let invoked = self.head.invoked.load(Ordering::Relaxed);
        if invoked < from && self.closed(last) < from {
            return self.confirm(last).map(|()| head);
        }
        // If something did, and here alone, each operation took two ticks of the clock. That tells
        // where to look: every look may have to wait for what another CPU has just written.
        let mut step = invoked.saturating_add(1).saturating_sub(from) / 2 + 2;
        // Invariant: `found` was not closed before `from`. The head was not: either its own operation
        // or the one that is about to replace it was invoked at `from` or later, or what it replaced
        // was closed then. Gallop down until a version is found that was, then search between, from
        // below on.
        let mut found = head;
        let mut below = loop {
            if found == 0 {
                return self.confirm(0).map(|()| 0);
            }
            let probe = found.saturating_sub(step);
            if probe < self.tail() {
                // What lies below the tail is gone; the answer may still lie above it.
                let tail = self.tail();
                if tail >= found || self.closed(tail) >= from {
                    return Err(Overrun);
                }
                break tail;
            }
            if self.closed(probe) < from {
                break probe;
            }
            found = probe;
            step = step.saturating_mul(2);
        };
        let mut step = 1;
        while found - below > 1 {
            let probe = below + step.min((found - below) / 2);
            if self.closed(probe) < from {
                below = probe;
                step *= 2;
            } else {
                found = probe;
            }
        }
        // `below` is the evidence that nothing earlier can be meant, so it has to be confirmed.
        self.confirm(below)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{filled, layout};
    use super::*;
    use crate::oracle::history::Origin;

    #[test]
    fn the_first_version_at_a_tick_is_the_first_not_closed_before_it() {
        let history = filled(64, 40);
        for from in 0..100 {
            let expected = (0..=40).find(|&v| history.closed(v) >= from).unwrap();
            assert_eq!(history.first_at(from), Ok(expected), "from {from}");
        }
    }

    #[test]
    fn the_first_version_is_found_whatever_else_took_ticks_meanwhile() {
        let mut rng = crate::seed::Stream::new(1, "ticks", 0);
        for _ in 0..200 {
            let (history, rare) = (History::new(64, &layout(0)), rng.between(1, 40));
            let origin = Origin { op: None, worker: 0, peer: None, known: true };
            let versions = rng.between(1, 63) as u64;
            let mut tick = 0;
            let mut take = || {
                tick += 1 + u64::from(rng.one_in(rare)) * rng.below(60) as u64;
                tick
            };
            for n in 1..=versions {
                history.push(take(), &layout(n), &origin);
                history.close(n - 1, take());
            }
            for from in 0..take() + 3 {
                let expected = (0..=versions).find(|&v| history.closed(v) >= from).unwrap();
                assert_eq!(history.first_at(from), Ok(expected), "from {from}");
            }
            // Another version is about to be pushed: its tick is there, its number not yet.
            let about = take();
            history.head.invoked.store(about, Ordering::Relaxed);
            for from in 0..about + 1 {
                let expected = (0..=versions).find(|&v| history.closed(v) >= from).unwrap();
                assert_eq!(history.first_at(from), Ok(expected), "from {from}, {about} to come");
                let least = rng.below(expected as usize + 1) as u64;
                assert_eq!(history.first_from(least, from), Ok(expected), "{least}, {from}");
            }
        }
    }
}
