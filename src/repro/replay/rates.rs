//! Whether one scenario shows a tear at least half as often as another.
//!
//! A tear comes by chance, so its sightings are taken for a Poisson process: `m` sightings of the
//! yardstick in a time `T`, `n` of a candidate in a time `t`. What is asked is the candidate's
//! share, its rate divided by the yardstick's. The yardstick's rate is not known but measured, so
//! it must not matter: only `t / T` is looked at, and the likelihood ratio of a share `a` to a
//! share `b` is then
//!
//! ```text
//! (a / b)^n * ((T + b t) / (T + a t))^(n + m)
//! ```
//!
//! (the ratio of the two Poisson likelihoods, the unknown rate integrated out by its invariant
//! measure, which gives the ratio of the densities of the times divided by `T`). While the
//! candidate goes on it is a martingale where its share is `b`, with mean 1: by Ville's inequality
//! it comes to `1 / e` at any time at all with probability `e` at most. So looking after each
//! observation costs nothing, and two such ratios decide:
//!
//! - **Accepted** once a share of 1 explains the sightings [`ODDS`] times better than one of
//!   [`SHARE`] does. For any candidate with a share of [`SHARE`] or less this happens with
//!   probability [`ERROR`] at most: with fewer sightings the ratio is smaller at any time.
//! - **Rejected** once smaller shares explain it [`ODDS`] times better than [`SHARE`]: the mean of
//!   a share of 0 and one of [`FEWER`]. For a share of [`SHARE`] or more, again [`ERROR`] at most.
//!
//! A share between [`SHARE`] and 1 may take long. A candidate that is neither after
//! [`MOST_MEAN_TIMES`] of the yardstick's mean times is undecided.

use std::time::Duration;

/// The least share of the yardstick's rate that a candidate may have.
pub const SHARE: f64 = 0.5;
/// How probable each of the two mistakes is at most: one in ten.
pub const ERROR: f64 = 0.1;
/// What one explanation has to be better by than another.
pub const ODDS: f64 = 1.0 / ERROR;
/// A share that is told from [`SHARE`] by some sightings, where none would take too long.
pub const FEWER: f64 = 0.2;
/// Observations of a yardstick: with so many an equal candidate is accepted after some 20, five times
/// of six.
pub const SIGHTINGS: u32 = 25;
/// The yardstick's mean times that a candidate gets at most.
pub const MOST_MEAN_TIMES: f64 = 60.0;

/// Observations, and what they took.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Seen {
    /// How many.
    pub sightings: u32,
    /// The time until the last of them, and what was spent in vain since.
    pub time: Duration,
    /// Walks and queries in that time.
    pub walks: u64,
}

/// What the sightings say of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is shown at least half as often.
    Accepted,
    /// It is not.
    Rejected,
    /// Nothing yet.
    Open,
}

impl Seen {
    /// Mean time between two sightings; `None` without one.
    pub fn every(&self) -> Option<Duration> {
        (self.sightings > 0).then(|| self.time / self.sightings)
    }

    /// Adds what was seen in another attempt.
    pub fn add(&mut self, more: Seen) {
        self.sightings += more.sightings;
        self.time += more.time;
        self.walks += more.walks;
    }

    fn seconds(&self) -> f64 {
        // A clock may give the same time twice; a rate without end explains nothing.
        self.time.as_secs_f64().max(1e-9)
    }
}

/// The logarithm of how much better a share `a` explains the candidate's sightings than a share
/// `b` does.
fn better(a: f64, b: f64, yardstick: &Seen, candidate: &Seen) -> f64 {
    let (m, all_time) = (f64::from(yardstick.sightings), yardstick.seconds());
    let (n, time) = (f64::from(candidate.sightings), candidate.time.as_secs_f64());
    let shares = if candidate.sightings == 0 { 0.0 } else { n * (a / b).ln() };
    shares + (n + m) * ((all_time + b * time) / (all_time + a * time)).ln()
}

fn speaks_for(yardstick: &Seen, candidate: &Seen) -> f64 {
    better(1.0, SHARE, yardstick, candidate).exp()
}

fn speaks_against(yardstick: &Seen, candidate: &Seen) -> f64 {
    // A share of 0 explains no observation at all: the logarithm is minus infinity then.
    let none = better(0.0, SHARE, yardstick, candidate).exp();
    0.5 * (none + better(FEWER, SHARE, yardstick, candidate).exp())
}

/// What the candidate's sightings say, all of its time counted.
///
/// # Panics
/// When the yardstick was never seen.
pub fn decide(yardstick: &Seen, candidate: &Seen) -> Decision {
    assert!(yardstick.sightings > 0, "nothing to compare with");
    if speaks_for(yardstick, candidate) >= ODDS {
        Decision::Accepted
    } else if speaks_against(yardstick, candidate) >= ODDS {
        Decision::Rejected
    } else {
        Decision::Open
    }
}

/// The longest that a candidate is tried in all: it follows from the yardstick's rate.
pub fn most(yardstick: &Seen) -> Duration {
    yardstick.every().unwrap_or_default().mul_f64(MOST_MEAN_TIMES)
}

/// How long the candidate has to go on without an observation to be rejected; more than it may where that
/// is longer than [`most`]. With few observations of the yardstick no time is enough.
pub fn patience(yardstick: &Seen, candidate: &Seen) -> Duration {
    let after = |more: Duration| Seen { time: candidate.time + more, ..*candidate };
    let rejected = |more: Duration| decide(yardstick, &after(more)) == Decision::Rejected;
    // What speaks against it only grows while nothing is seen.
    let mut high = yardstick.every().unwrap_or_default().max(Duration::from_micros(1));
    while !rejected(high) {
        if high > most(yardstick) {
            return high;
        }
        high *= 2;
    }
    let mut low = Duration::ZERO;
    while high - low > Duration::from_nanos(1) + high / 100_000 {
        let middle = low + (high - low) / 2;
        *if rejected(middle) { &mut high } else { &mut low } = middle;
    }
    high
}

/// The bounds of a rate that was seen `sightings` times, as parts of the one counted. All but one
/// in forty at each end lie between (Garwood's interval, to one part in a hundred).
pub fn interval(sightings: u32) -> (f64, f64) {
    let n = f64::from(sightings.max(1));
    // Wilson and Hilferty's cube, for the quantiles of a gamma distribution.
    let quantile = |shape: f64, z: f64| {
        let ninth = 1.0 / (9.0 * shape);
        (1.0 - ninth + z * ninth.sqrt()).max(0.0).powi(3) * shape
    };
    (quantile(n, -1.96) / n, quantile(n + 1.0, 1.96) / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Stream;

    fn seen(sightings: u32, seconds: f64) -> Seen {
        Seen { sightings, time: Duration::from_secs_f64(seconds), walks: 0 }
    }

    /// What becomes of candidates of a given share: accepted, rejected, undecided.
    type Fates = [f64; 3];

    /// More sightings than any undecided candidate has.
    const MOST_SIGHTINGS: usize = 160;

    /// The exact probabilities of all three, for a yardstick of rate 1 whose sightings took
    /// `all_time`. Between two times at which a decision may fall the sightings grow as a Poisson
    /// process; those that reach a decision leave it.
    fn fates_after(all_time: f64, share: f64) -> Fates {
        let yardstick = seen(SIGHTINGS, all_time);
        let end = most(&yardstick).as_secs_f64();
        // The last time at which so many sightings are enough, and the first at which they are too
        // few. Both are found by halving, because the evidence for falls with time and that against
        // grows.
        let turns = |n: usize, holds: &dyn Fn(&Seen) -> bool| {
            let (mut low, mut high) = (0.0, end);
            if !holds(&seen(n as u32, end)) {
                for _ in 0..50 {
                    let middle = (low + high) / 2.0;
                    *if holds(&seen(n as u32, middle)) { &mut low } else { &mut high } = middle;
                }
            } else {
                low = end;
            }
            low
        };
        let enough: Vec<f64> = (0..MOST_SIGHTINGS)
            .map(|n| turns(n, &|seen| n > 0 && speaks_for(&yardstick, seen) >= ODDS))
            .collect();
        let too_few: Vec<f64> = (0..MOST_SIGHTINGS)
            .map(|n| turns(n, &|seen| speaks_against(&yardstick, seen) < ODDS))
            .collect();
        let mut times: Vec<f64> = enough.iter().chain(&too_few).copied().chain([end]).collect();
        times.sort_by(f64::total_cmp);
        let mut at = vec![0.0; MOST_SIGHTINGS];
        at[0] = 1.0;
        let (mut fates, mut now) = ([0.0; 3], 0.0);
        for then in times {
            if then > now {
                // From `n` to `n + k` sightings; those for which `enough` is yet to pass decide.
                let mean = share * (then - now);
                let first = enough.iter().position(|&until| until >= then);
                let first = first.unwrap_or(MOST_SIGHTINGS);
                let mut next = vec![0.0; MOST_SIGHTINGS];
                for (n, &here) in at.iter().enumerate().filter(|(_, here)| **here > 0.0) {
                    let (mut term, mut left) = (here * (-mean).exp(), here);
                    for (k, slot) in next[n..first.max(n)].iter_mut().enumerate() {
                        *slot += term;
                        left -= term;
                        term *= mean / (k + 1) as f64;
                    }
                    fates[0] += left.max(0.0);
                }
                (at, now) = (next, then);
            }
            for (n, here) in at.iter_mut().enumerate() {
                if too_few[n] <= now && too_few[n] < end {
                    fates[1] += std::mem::take(here);
                }
            }
        }
        fates[2] = at.iter().sum();
        fates
    }

    /// The same with the yardstick's sightings left to chance: their time has a gamma distribution.
    fn fates(share: f64) -> Fates {
        let m = f64::from(SIGHTINGS);
        let log_factorial: f64 = (1..SIGHTINGS).map(|n| f64::from(n).ln()).sum();
        let step = 1.0;
        let mut sum = [0.0; 3];
        let mut weights = 0.0;
        for number in 1..60 {
            let all_time = f64::from(number) * step;
            let weight = ((m - 1.0) * all_time.ln() - all_time - log_factorial).exp() * step;
            weights += weight;
            let fates = fates_after(all_time, share);
            sum.iter_mut().zip(fates).for_each(|(sum, fate)| *sum += weight * fate);
        }
        // The sum stands for the integral: for a density as smooth as this one it is as good.
        assert!((weights - 1.0).abs() < 1e-6, "{weights}");
        sum
    }

    #[test]
    fn both_mistakes_are_as_rare_as_is_said() {
        for (share, mistake) in [(SHARE, 0), (0.4, 0), (0.1, 0), (SHARE, 1), (0.7, 1), (1.0, 1)] {
            let fates = fates(share);
            assert!((fates.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{share}: {fates:?}");
            assert!(fates[mistake] <= ERROR, "{share}: {fates:?}");
        }
    }

    #[test]
    fn what_is_ten_times_rarer_is_never_accepted_and_an_equal_is_seldom_refused() {
        let rare = fates(0.1);
        assert!(rare[0] < 1e-4 && rare[1] > 0.98, "{rare:?}");
        let equal = fates(1.0);
        assert!(equal[0] > 0.8 && equal[1] < 0.01, "{equal:?}");
        let faster = fates(2.0);
        assert!(faster[0] > 0.99, "{faster:?}");
    }

    /// The time until the next observation of a process of this rate.
    fn draw(rng: &mut Stream, rate: f64) -> f64 {
        let unit = (rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
        -(1.0 - unit).ln() / rate
    }

    /// A candidate tried as the search tries it.
    fn tried(rng: &mut Stream, share: f64) -> Decision {
        let all_time: f64 = (0..SIGHTINGS).map(|_| draw(rng, 1.0)).sum();
        let yardstick = seen(SIGHTINGS, all_time);
        let mut candidate = Seen::default();
        loop {
            let left = most(&yardstick).saturating_sub(candidate.time);
            let time = patience(&yardstick, &candidate).min(left);
            let next = Duration::from_secs_f64(draw(rng, share));
            let shown = next <= time;
            candidate.add(Seen { sightings: shown.into(), time: next.min(time), walks: 0 });
            match decide(&yardstick, &candidate) {
                Decision::Open if shown => {}
                decision => return decision,
            }
        }
    }

    #[test]
    fn simulated_candidates_come_out_as_computed() {
        let mut rng = Stream::new(3, "candidates", 0);
        for share in [0.1, 0.5, 1.0] {
            let mut counts = [0.0; 3];
            (0..2000).for_each(|_| counts[tried(&mut rng, share) as usize] += 1.0 / 2000.0);
            // Four standard deviations of 2000 draws, and the seed is fixed.
            for (counted, computed) in counts.into_iter().zip(fates(share)) {
                let most = 4.0 * (computed * (1.0 - computed) / 2000.0).sqrt() + 0.001;
                assert!((counted - computed).abs() < most, "{share}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_yardstick_of_few_sightings_may_never_reject_and_patience_ends() {
        let time = Duration::from_millis(12);
        let yardstick = Seen { sightings: 3, time, walks: 100 };
        let candidate = Seen { sightings: 1, time, walks: 100 };
        assert!(patience(&yardstick, &candidate) > most(&yardstick));
    }

    #[test]
    fn without_a_sighting_patience_is_some_of_the_yardsticks_mean_times() {
        let yardstick = seen(SIGHTINGS, 2.0);
        let patience = patience(&yardstick, &Seen::default()).as_secs_f64();
        // 20 = (1 + t / 4)^25, or a little less: the other share speaks against it, too.
        let alone = 4.0 * (20f64.powf(1.0 / 25.0) - 1.0);
        assert!(patience < alone && patience > 0.9 * alone, "{patience} {alone}");
        // It grows with the mean time, and nothing caps it.
        let slow = seen(SIGHTINGS, 200.0);
        let slower = super::patience(&slow, &Seen::default()).as_secs_f64();
        assert!((slower / patience - 100.0).abs() < 0.1, "{slower}");
        assert_eq!(most(&slow).as_secs_f64(), 8.0 * MOST_MEAN_TIMES);
    }

    #[test]
    fn a_patience_that_is_over_rejects_and_one_a_little_shorter_does_not() {
        let yardstick = seen(SIGHTINGS, 3.0);
        for before in [seen(0, 0.0), seen(2, 1.0), seen(9, 2.5)] {
            let after = |part: f64| Seen {
                time: before.time + patience(&yardstick, &before).mul_f64(part),
                ..before
            };
            assert_eq!(decide(&yardstick, &after(1.0)), Decision::Rejected, "{before:?}");
            assert_eq!(decide(&yardstick, &after(0.99)), Decision::Open, "{before:?}");
        }
    }

    #[test]
    fn an_interval_holds_what_tables_say() {
        // Garwood's, for 1, 10 and 20 counted: 0.0253 to 5.57, 4.80 to 18.39, 12.22 to 30.89.
        for (n, low, high) in [(1, 0.0253, 5.57), (10, 4.80, 18.39), (20, 12.22, 30.89)] {
            let (below, above) = interval(n);
            let near = |a: f64, b: f64| (a - b).abs() < 0.02 * f64::from(n);
            assert!(near(below * f64::from(n), low), "{n}: {below}");
            assert!(near(above * f64::from(n), high), "{n}: {above}");
        }
    }
}
