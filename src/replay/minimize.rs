//! The smallest scenario that still shows a tear.
//!
//! Tears come by chance, so a candidate that shows nothing in a while may only have been unlucky.
//! How long is long enough follows from the rate of the best scenario so far: shown at rate r, a
//! candidate with half the rate passes a time t without being seen with probability exp(-r t / 2).
//! For that to be below 1 %, t has to be 2 ln(100) / r = 9.2 / r. A candidate that is seen is
//! better, and its rate is measured before the next is tried.

use super::attempt::{Attempt, attempt};
use super::derive::Target;
use super::shrink::{Change, Size, candidates};
use crate::oracle::Contract;
use crate::scenario::{RunError, Scenario};
use std::time::{Duration, Instant};

/// Mean times between two sightings after which a candidate is given up: 2 ln(100).
const PATIENCE: f64 = 9.21;
/// A candidate gets at least this long.
const LEAST: Duration = Duration::from_millis(150);
/// A candidate gets at most this part of the whole budget.
const MOST_OF_BUDGET: f64 = 0.1;
/// Sightings that a rate is taken from.
const SIGHTINGS: u32 = 4;

/// What was tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Tried {
    /// What it does without; `None` for the scenario to begin with.
    pub change: Option<Change>,
    /// Whether it was shown, and after how long; else how long it was tried.
    pub shown: bool,
    /// The time it took.
    pub took: Duration,
    /// The size of the best so far.
    pub best: Size,
}

/// Hears of each candidate.
pub type Progress<'a> = &'a mut dyn FnMut(&Tried, &Scenario);

/// How the search ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Minimized {
    /// The smallest scenario found.
    pub best: Target,
    /// Mean time between two sightings of it.
    pub every: Duration,
    /// Whether nothing smaller is left to try.
    pub complete: bool,
    /// Candidates tried.
    pub tried: usize,
    /// A signal that ended the search.
    pub signal: Option<i32>,
}

struct Search<'a> {
    contract: Contract,
    until: Instant,
    budget: Duration,
    signal: &'a dyn Fn() -> Option<i32>,
    seed: u64,
    tried: usize,
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
    let until = Instant::now() + budget;
    let mut search = Search { contract, until, budget, signal, seed: 0, tried: 0 };
    let mut best = target.clone();
    let Some(mut every) = search.rate(&best, budget / 2)? else { return Ok(None) };
    let size = Size::of(&best.scenario);
    progress(&Tried { change: None, shown: true, took: every, best: size }, &best.scenario);
    let mut failed: Vec<Scenario> = Vec::new();
    // In one pass a change that failed is not tried again, although the scenario has become
    // another; passes go on until one changes nothing.
    let mut refused: Vec<Change> = Vec::new();
    let mut improved = false;
    let complete = loop {
        let next = candidates(&best.scenario);
        let open = |(change, smaller): &(Change, Scenario)| {
            !refused.contains(change) && !failed.contains(smaller)
        };
        let Some((change, smaller)) = next.into_iter().find(open) else {
            if !improved {
                break true;
            }
            refused.clear();
            improved = false;
            continue;
        };
        if search.over() {
            break false;
        }
        let candidate = Target { scenario: smaller, ..best.clone() };
        let begun = Instant::now();
        let rate = search.rate(&candidate, search.patience(every))?;
        if rate.is_none() && search.over() {
            break false;
        }
        match rate {
            Some(rate) => (best, every, improved) = (candidate, rate, true),
            None => {
                failed.push(candidate.scenario);
                refused.push(change.clone());
            }
        }
        let tried = Tried {
            change: Some(change),
            shown: rate.is_some(),
            took: begun.elapsed(),
            best: Size::of(&best.scenario),
        };
        progress(&tried, &best.scenario);
    };
    Ok(Some(Minimized { best, every, complete, tried: search.tried, signal: signal() }))
}

impl Search<'_> {
    fn over(&self) -> bool {
        (self.signal)().is_some() || Instant::now() >= self.until
    }

    /// How long a candidate is tried, the best being seen every so often.
    fn patience(&self, every: Duration) -> Duration {
        every.mul_f64(PATIENCE).max(LEAST).min(self.budget.mul_f64(MOST_OF_BUDGET).max(LEAST))
    }

    /// The mean time between two sightings, from the first few; `None` when there is none within
    /// `patience`.
    fn rate(&mut self, target: &Target, patience: Duration) -> Result<Option<Duration>, RunError> {
        self.tried += 1;
        let mut seen = 0;
        let mut time = Duration::ZERO;
        while seen < SIGHTINGS {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Once seen, it only has to be seen again for its rate.
            let attempt = self.attempt(target, patience.min(left))?;
            time += attempt.took;
            seen += u32::from(attempt.shown > 0);
            if attempt.shown == 0 || attempt.signal.is_some() || (self.signal)().is_some() {
                break;
            }
        }
        Ok((seen > 0).then(|| time / seen))
    }

    fn attempt(&mut self, target: &Target, time: Duration) -> Result<Attempt, RunError> {
        // Each attempt draws anew what its reader draws.
        self.seed += 1;
        attempt(target, self.contract, time, self.seed, self.signal)
    }
}
