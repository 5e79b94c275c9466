//! The smallest scenario that still shows a tear.
//!
//! Tears come by chance: a candidate that shows nothing in a while may only have been unlucky, and
//! one that is shown once may only have been lucky. So each is tried until its sightings tell
//! whether it is shown at least half as often as the yardstick ([`rates`](super::rates)), for as
//! long as follows from the yardstick's rate.
//!
//! The yardstick is the scenario to begin with, and after that whichever of the best was measured
//! to be shown most often. A chain of candidates, each a little rarer than the one before it, thus
//! ends at half of the highest rate, not at half of half of it. Its rate is always measured from
//! sightings that nothing was decided by: those that a candidate was accepted on are too many for
//! their time.

use super::attempt::attempt;
use super::derive::Target;
use super::rates::{Decision, SIGHTINGS, Seen, decide, most, patience};
use super::shrink::{Change, Size, candidates};
use crate::oracle::Contract;
use crate::repro::scenario::{RunError, Scenario};
use std::time::{Duration, Instant};

/// A scenario that seems to be shown so many times as often as the yardstick is measured: it may
/// be the next one.
const FASTER: f64 = 1.5;
/// Of the whole budget, this part at most is kept for the last measurement.
const LAST: f64 = 0.15;

/// What was tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Tried {
    /// What it does without; `None` for the scenario to begin with.
    pub change: Option<Change>,
    /// What came of it. The scenario to begin with is always accepted.
    pub decision: Decision,
    /// What was seen of it.
    pub seen: Seen,
    /// The size of the best so far.
    pub best: Size,
}

/// Hears of each candidate.
pub type Progress<'a> = &'a mut dyn FnMut(&Tried, &Scenario);

/// What became of all candidates.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Fates {
    /// Shown at least half as often as the yardstick.
    pub accepted: usize,
    /// Not so.
    pub rejected: usize,
    /// Tried, and not decided within the time that there was.
    pub undecided: usize,
}

/// How the search ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Minimized {
    /// The smallest scenario found.
    pub best: Target,
    /// What was seen of it.
    pub seen: Seen,
    /// Whether nothing was decided by those sightings; else they are those it was accepted on, and
    /// its rate is lower than they say.
    pub apart: bool,
    /// Whether all that is smaller was tried.
    pub complete: bool,
    /// What became of it.
    pub fates: Fates,
    /// A signal that ended the search.
    pub signal: Option<i32>,
}

/// What scenarios are tried on.
trait Bench {
    /// Runs it until it is shown, for so long at most.
    fn attempt(&mut self, target: &Target, time: Duration) -> Result<Seen, RunError>;
    /// The time since the search began.
    fn elapsed(&self) -> Duration;
    /// A signal that came.
    fn signal(&self) -> Option<i32>;
}

/// This machine.
struct Here<'a> {
    contract: Contract,
    begun: Instant,
    signal: &'a dyn Fn() -> Option<i32>,
    seed: u64,
}

impl Bench for Here<'_> {
    fn attempt(&mut self, target: &Target, time: Duration) -> Result<Seen, RunError> {
        // Each attempt draws anew what its reader draws.
        self.seed += 1;
        let attempt = attempt(target, self.contract, time, self.seed, self.signal)?;
        let sightings = u32::from(attempt.shown > 0);
        Ok(Seen { sightings, time: attempt.took, walks: attempt.walks })
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn signal(&self) -> Option<i32> {
        (self.signal)()
    }
}

/// Searches for the smallest scenario that shows what `target` shows, for `budget` at most. `None`
/// when not even the scenario to begin with shows it in that time.
///
/// # Errors
/// When it can't be run here.
pub fn minimize(
    target: &Target,
    contract: Contract,
    budget: Duration,
    signal: &dyn Fn() -> Option<i32>,
    progress: Progress<'_>,
) -> Result<Option<Minimized>, RunError> {
    let here = Here { contract, begun: Instant::now(), signal, seed: 0 };
    Search { bench: here, budget }.run(target, progress)
}

struct Search<B> {
    bench: B,
    budget: Duration,
}

/// The best so far, and what the candidates are held against.
struct ArmStats {
    best: Target,
    /// What was seen of the best, and whether nothing was decided by it.
    seen: Seen,
    apart: bool,
    yardstick: Seen,
}

impl<B: Bench> Search<B> {
    fn run(
        mut self,
        target: &Target,
        progress: Progress<'_>,
    ) -> Result<Option<Minimized>, RunError> {
        let seen = self.measure(target, self.budget / 2)?;
        if seen.sightings == 0 {
            return Ok(None);
        }
        let mut now = ArmStats { best: target.clone(), seen, apart: true, yardstick: seen };
        let size = Size::of(&target.scenario);
        let first = Tried { change: None, decision: Decision::Accepted, seen, best: size };
        progress(&first, &target.scenario);
        let mut fates = Fates::default();
        let complete = self.descend(&mut now, &mut fates, progress)?;
        if !now.apart && self.bench.signal().is_none() {
            let left = self.budget.saturating_sub(self.bench.elapsed());
            let seen = self.measure(&now.best, left)?;
            if seen.sightings > 0 {
                (now.seen, now.apart) = (seen, true);
            }
        }
        let ArmStats { best, seen, apart, .. } = now;
        let signal = self.bench.signal();
        Ok(Some(Minimized { best, seen, apart, complete, fates, signal }))
    }

    /// Goes from the best to what is smaller, as long as there is anything, and time. Whether all
    /// was tried.
    fn descend(
        &mut self,
        now: &mut ArmStats,
        fates: &mut Fates,
        progress: Progress<'_>,
    ) -> Result<bool, RunError> {
        let mut failed: Vec<Scenario> = Vec::new();
        // In one pass a change that failed is not tried again, although the scenario has become
        // another; passes go on until one changes nothing.
        let mut refused: Vec<Change> = Vec::new();
        let mut improved = false;
        loop {
            let open = |(change, smaller): &(Change, Scenario)| {
                !refused.contains(change) && !failed.contains(smaller)
            };
            let Some((change, smaller)) = candidates(&now.best.scenario).into_iter().find(open)
            else {
                if !improved {
                    return Ok(true);
                }
                refused.clear();
                improved = false;
                continue;
            };
            if self.left(now).is_zero() {
                return Ok(false);
            }
            let candidate = Target { scenario: smaller, ..now.best.clone() };
            let (decision, seen) = self.weigh(&candidate, now)?;
            match decision {
                Decision::Accepted => {
                    fates.accepted += 1;
                    improved = true;
                    self.take(candidate, seen, now)?;
                }
                _ => {
                    *if decision == Decision::Rejected {
                        &mut fates.rejected
                    } else {
                        &mut fates.undecided
                    } += 1;
                    failed.push(candidate.scenario);
                    refused.push(change.clone());
                }
            }
            let best = Size::of(&now.best.scenario);
            progress(&Tried { change: Some(change), decision, seen, best }, &now.best.scenario);
        }
    }

    /// The time that is left for candidates: some is kept to measure the best at the end.
    fn left(&self, now: &ArmStats) -> Duration {
        if self.bench.signal().is_some() {
            return Duration::ZERO;
        }
        let last = now.seen.every().unwrap_or_default() * SIGHTINGS;
        let kept = if now.apart { Duration::ZERO } else { last.min(self.budget.mul_f64(LAST)) };
        self.budget.saturating_sub(kept).saturating_sub(self.bench.elapsed())
    }

    /// Tries a candidate until its sightings tell what it is.
    fn weigh(&mut self, candidate: &Target, now: &ArmStats) -> Result<(Decision, Seen), RunError> {
        let mut seen = Seen::default();
        loop {
            let rule = most(&now.yardstick).saturating_sub(seen.time);
            let time = patience(&now.yardstick, &seen).min(rule).min(self.left(now));
            if time.is_zero() {
                return Ok((Decision::Open, seen));
            }
            seen.add(self.bench.attempt(candidate, time)?);
            let decision = decide(&now.yardstick, &seen);
            if decision != Decision::Open {
                return Ok((decision, seen));
            }
        }
    }

    /// Makes an accepted candidate the best; and the yardstick, if it is shown more often.
    fn take(&mut self, best: Target, seen: Seen, now: &mut ArmStats) -> Result<(), RunError> {
        let rate =
            |seen: &Seen| seen.every().map_or(0.0, |every| 1.0 / every.as_secs_f64().max(1e-9));
        (now.best, now.seen, now.apart) = (best, seen, false);
        if rate(&seen) < FASTER * rate(&now.yardstick) {
            return Ok(());
        }
        let measured = self.measure(&now.best, self.left(now))?;
        if measured.sightings == SIGHTINGS {
            (now.seen, now.apart) = (measured, true);
            if rate(&measured) > rate(&now.yardstick) {
                now.yardstick = measured;
            }
        }
        Ok(())
    }

    /// Counts [`SIGHTINGS`] sightings, or as many as there are in that time.
    fn measure(&mut self, target: &Target, time: Duration) -> Result<Seen, RunError> {
        let until = self.bench.elapsed() + time;
        let mut seen = Seen::default();
        while seen.sightings < SIGHTINGS && self.bench.signal().is_none() {
            let left = until.saturating_sub(self.bench.elapsed());
            if left.is_zero() {
                break;
            }
            seen.add(self.bench.attempt(target, left)?);
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Stream;

    /// A machine on which a scenario is shown as often as `rate` says, and time is what attempts
    /// take.
    struct Simulated<R> {
        rng: Stream,
        rate: R,
        elapsed: Duration,
    }

    impl<R: Fn(&Scenario) -> f64> Bench for Simulated<R> {
        fn attempt(&mut self, target: &Target, time: Duration) -> Result<Seen, RunError> {
            let unit = (self.rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
            let next = -(1.0 - unit).ln() / (self.rate)(&target.scenario).max(1e-9);
            let next = Duration::try_from_secs_f64(next).unwrap_or(Duration::MAX);
            let took = next.min(time);
            self.elapsed += took;
            Ok(Seen { sightings: u32::from(next <= time), time: took, walks: 1 })
        }

        fn elapsed(&self) -> Duration {
            self.elapsed
        }

        fn signal(&self) -> Option<i32> {
            None
        }
    }

    fn target() -> Target {
        let text = r#"{"schema_version": 1, "name": "hole", "pages": 8,
            "lanes": ["[0..2 rw-p anon] [2..4 r--p anon] [4..6 rw-p anon] [6..8 r--s memfd0+3]"],
            "mutators": [[
                {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "rw-"},
                {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "r--"}]],
            "readers": ["pread", "walk"]}"#;
        crate::repro::replay::target_of(&serde_json::from_str(text).unwrap())
    }

    fn vmas(scenario: &Scenario) -> usize {
        Size::of(scenario).vmas
    }

    fn search(
        seed: usize,
        seconds: u64,
        rate: impl Fn(&Scenario) -> f64,
    ) -> (Minimized, Vec<Tried>) {
        let bench =
            Simulated { rng: Stream::new(9, "search", seed), rate, elapsed: Duration::ZERO };
        let mut all = Vec::new();
        let search = Search { bench, budget: Duration::from_secs(seconds) };
        let found = search.run(&target(), &mut |tried, _| all.push(tried.clone())).unwrap();
        (found.expect("it is shown"), all)
    }

    #[test]
    fn a_candidate_ten_times_rarer_is_rejected_and_the_next_ones_get_their_time() {
        // Without its last two vmas it is shown every 10 s in place of every second.
        let rate = |scenario: &Scenario| if vmas(scenario) < 3 { 0.1 } else { 1.0 };
        for seed in 0..20 {
            let (found, all) = search(seed, 10_000, rate);
            assert_eq!(rate(&found.best.scenario), 1.0, "{seed}: {:?}", found.best.scenario);
            assert!(found.complete && found.apart, "{seed}");
            assert!(vmas(&found.best.scenario) < 4 || found.fates.undecided > 0, "{seed}");
            for tried in all.iter().filter(|tried| tried.decision == Decision::Rejected) {
                assert!(tried.seen.time > Duration::from_secs(2), "{seed}: {tried:?}");
            }
        }
    }

    #[test]
    fn a_chain_of_a_little_rarer_ones_ends_at_half() {
        // Each page less takes a quarter of the rate. At the end a quarter of the first rate would
        // be left, were each candidate compared with the one before.
        let rate = |scenario: &Scenario| 0.75f64.powi(8 - i32::from(scenario.pages));
        let (mut below, searches) = (0, 40);
        for seed in 0..searches {
            let (found, _) = search(seed, 100_000, rate);
            below += usize::from(rate(&found.best.scenario) < 0.42);
        }
        // Three pages less leave 0.42 of the rate, four 0.32. One such candidate in ten at most is
        // accepted by mistake, and a search has a few.
        assert!(below <= searches / 4, "{below} of {searches}");
    }

    #[test]
    fn the_yardstick_rises_with_the_best() {
        // One reader less makes it ten times as frequent, and then a vma less half as frequent as
        // at first: a twentieth of what it had become.
        let rate = |scenario: &Scenario| {
            let readers = if scenario.readers.len() < 2 { 10.0 } else { 1.0 };
            let vmas = if vmas(scenario) < 4 { 0.1 } else { 1.0 };
            readers * vmas
        };
        for seed in 0..20 {
            let (found, _) = search(seed, 10_000, rate);
            assert_eq!(rate(&found.best.scenario), 10.0, "{seed}");
            assert_eq!(found.seen.sightings, SIGHTINGS, "{seed}");
        }
    }

    #[test]
    fn what_there_is_no_time_for_is_undecided_and_the_search_not_complete() {
        // A share of 0.7 takes long to tell from a half, and half a minute is left for it.
        let first = Size::of(&target().scenario);
        let rate = |scenario: &Scenario| if Size::of(scenario) == first { 1.0 } else { 0.7 };
        for seed in 0..20 {
            let (found, all) = search(seed, 60, rate);
            assert!(!found.complete, "{seed}");
            let Fates { accepted, rejected, undecided } = found.fates;
            assert_eq!(accepted + rejected + undecided + 1, all.len(), "{seed}");
            let open = all.iter().filter(|tried| tried.decision == Decision::Open);
            assert_eq!(open.count(), undecided, "{seed}");
            // Some time was kept for its rate, which nothing was decided by.
            assert!(found.apart, "{seed}: {found:?}");
        }
        assert!(search(1, 60, rate).0.fates.undecided > 0);
    }

    #[test]
    fn what_is_never_shown_is_nothing_to_minimize() {
        let rng = Stream::new(1, "never", 0);
        let bench = Simulated { rng, rate: |_: &Scenario| 0.0, elapsed: Duration::ZERO };
        let search = Search { bench, budget: Duration::from_secs(9) };
        assert_eq!(search.run(&target(), &mut |_, _| ()).unwrap(), None);
    }
}
