//! Which workload the next slice has: more often those in which it nearly happened.
//!
//! A violation is rare; what comes before one is not. Readers count near misses, none of which
//! knows a mechanism: lines at a changing place, VMAs told twice because they grew under the
//! reader's hands, and windows with an operation inside. A workload is worth the lines at a
//! changing place that a second of it brought lately: the other two hardly differ between workloads
//! that tear often and others that don't, because windows are long, and VMAs grow less where they
//! are small. What was played little is taken for nearly as good as the best.

use super::tally::NearMisses;
use super::workload::Workload;
use crate::seed::Stream;
use std::time::Duration;

/// What one workload has brought.
#[derive(Clone, Copy, Default, Debug)]
pub struct ArmStats {
    /// Slices played.
    pub slices: u64,
    /// How long they took together.
    pub time: Duration,
    /// What came before tears.
    pub near: NearMisses,
    /// Violations.
    pub tears: u64,
    /// Lines at a changing place, lately, and the seconds that brought them.
    lately: (f64, f64),
}

impl ArmStats {
    /// Lines at a changing place a second, lately, as if [`UNKNOWN`] had been played besides and
    /// had brought `expected` a second. What was played for a few milliseconds is worth nearly
    /// that, whatever it brought; what has been played for long is worth what it brings.
    fn worth(&self, expected: f64) -> f64 {
        let (places, seconds) = self.lately;
        let unknown = UNKNOWN.as_secs_f64();
        (places + expected * unknown) / (seconds + unknown)
    }
}

/// How long a slice is.
pub(super) const SLICE: Duration = Duration::from_millis(16);
/// The same of one whose workload is tried: with many threads some workloads bring nothing at all.
const TRIAL: Duration = Duration::from_millis(4);
/// How long a workload is taken to bring as much as the best, beside what it did bring: one that
/// had bad luck in its trial would have to wait for seconds, otherwise, until it is tried again.
const UNKNOWN: Duration = Duration::from_millis(8);
/// What the last slice counts beside all those before it, at least.
const LAST: f64 = 0.125;
/// Of so many slices, one goes to the workload in which readers went past mutators that stood still most
/// often: what makes a tear makes no hang.
const HELD_ONE_IN: usize = 4;
/// Of so many slices, one goes to a workload whatever it is worth.
const TRY_ONE_IN: usize = 24;

/// Chooses the workloads of slices, and remembers what came of them.
#[derive(Clone, Debug)]
pub struct Bandit {
    workloads: Vec<Workload>,
    arms: [ArmStats; Workload::ALL.len()],
}

impl Bandit {
    /// A choice among these workloads, of which there is one at least.
    pub fn new(workloads: Vec<Workload>) -> Bandit {
        Bandit { workloads, arms: Default::default() }
    }

    /// The next workload, and how long to play it: by worth, with one in `TRY_ONE_IN` at random.
    /// Before that, as long as there are workloads never played, every other slice goes to the next
    /// of them, in their order. What is not chosen for its worth, or before all are known, is
    /// played for a short time only: the more spots are hammered the sooner one tears.
    pub fn next(&self, rng: &mut Stream) -> (Workload, Duration) {
        if let [only] = self.workloads[..] {
            return (only, SLICE);
        }
        // Not all of them at once: with 256 threads on two CPUs those that everybody plays in take
        // longer to get going and to end than all others together, and tear nothing meanwhile.
        let untried = self.arms().find(|(_, stats)| stats.slices == 0);
        let slices: u64 = self.arms().map(|(_, stats)| stats.slices).sum();
        if let Some((workload, _)) = untried
            && slices.is_multiple_of(2)
        {
            return (workload, TRIAL);
        }
        if rng.one_in(TRY_ONE_IN) {
            return (*rng.pick(&self.workloads), TRIAL);
        }
        if let Some(workload) = self.holds_most()
            && rng.one_in(HELD_ONE_IN)
        {
            return (workload, if untried.is_some() { TRIAL } else { SLICE });
        }
        // With nothing expected, so that good luck in a trial makes no best.
        let most = |expected| {
            let worths = self.arms().map(move |(_, stats)| stats.worth(expected));
            worths.fold(1.0, f64::max)
        };
        let expected = most(0.0);
        let best = most(expected);
        // The sixth power, so that what is worth half as much gets a 64th of the slices, and nine
        // tenths as much half of them. Near misses are no tears, and each mechanism has workloads
        // that it likes best, so no workload that is nearly as good as the best is left out for
        // long.
        let weight = |stats: &ArmStats| match stats.slices {
            // Its turn comes.
            0 => 0,
            _ => ((stats.worth(expected) / best).powi(6) * 1e6) as usize + 1,
        };
        let mut left = rng.below(self.arms().map(|(_, stats)| weight(stats)).sum());
        for (workload, stats) in self.arms() {
            match left.checked_sub(weight(stats)) {
                None => return (workload, if untried.is_some() { TRIAL } else { SLICE }),
                Some(rest) => left = rest,
            }
        }
        unreachable!("the weights add up")
    }

    /// Of the workloads in which a mutator can stand still because a reader has its CPU, the one in which most
    /// calls went past such a mutator. Elsewhere it only takes long.
    fn holds_most(&self) -> Option<Workload> {
        let rate = |stats: &ArmStats| stats.near.held as f64 / stats.time.as_secs_f64().max(1e-3);
        let shared = |workload: &Workload| workload.shares_cpus();
        let arms = self.arms().filter(|(workload, stats)| shared(workload) && stats.near.held > 0);
        arms.max_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b))).map(|(workload, _)| workload)
    }

    /// A slice is over, which took so long: what it brought.
    pub fn learn(&mut self, workload: Workload, took: Duration, near: NearMisses, tears: u64) {
        let stats = &mut self.arms[workload as usize];
        let seconds = took.as_secs_f64();
        // What took a quarter of a slice makes forget a quarter as much.
        let kept = 1.0 - LAST * (seconds / SLICE.as_secs_f64()).min(1.0);
        let (places, before) = stats.lately;
        stats.lately = (places * kept + near.places as f64, before * kept + seconds);
        stats.slices += 1;
        stats.time += took;
        stats.near = stats.near + near;
        stats.tears += tears;
    }

    /// The workloads among which it chooses, and what each has brought.
    pub fn arms(&self) -> impl Iterator<Item = (Workload, &ArmStats)> {
        self.workloads.iter().map(|&workload| (workload, &self.arms[workload as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn calls_past_a_mutator_that_stood_still_count_where_it_has_lost_its_cpu() {
        let workloads = vec![Workload::Filled, Workload::SameCpu, Workload::Moved];
        let mut bandit = Bandit::new(workloads);
        let held = |held| NearMisses { held, ..NearMisses::default() };
        bandit.learn(Workload::Filled, MS, held(1000), 0);
        assert_eq!(bandit.holds_most(), None, "its calls take long");
        bandit.learn(Workload::SameCpu, MS, held(10), 0);
        bandit.learn(Workload::Moved, MS, held(5), 0);
        assert_eq!(bandit.holds_most(), Some(Workload::SameCpu));
    }

    fn places(places: u64) -> NearMisses {
        NearMisses { places, ..NearMisses::default() }
    }

    #[test]
    fn everything_is_tried_for_a_short_time_and_the_best_most_often() {
        let mut choice = Bandit::new(Workload::ALL.to_vec());
        let mut rng = Stream::new(1, "choice", 0);
        // The same near misses a second, however long it is played.
        let mut play = |choice: &mut Bandit| {
            let (workload, long) = choice.next(&mut rng);
            let a_ms = if workload == Workload::Pair { 100 } else { 10 };
            choice.learn(workload, long, places(a_ms * long.as_millis() as u64), 0);
            long
        };
        for tried in 1..=Workload::ALL.len() {
            assert_eq!(play(&mut choice), TRIAL);
            let played = choice.arms().filter(|(_, stats)| stats.slices > 0).count();
            assert_eq!(played, tried);
            play(&mut choice);
        }
        let long = (0..1000).filter(|_| play(&mut choice) == SLICE).count();
        // One in 24 is a trial.
        assert!((900..990).contains(&long), "{long}");
        for (workload, stats) in choice.arms() {
            match workload {
                // At a tenth of the worth the others get trials only.
                Workload::Pair => assert!(stats.slices > 800, "{}", stats.slices),
                _ => {
                    assert!((2..30).contains(&stats.slices), "{workload} {}", stats.slices);
                }
            }
        }
    }

    #[test]
    fn four_fifths_of_the_worth_get_a_quarter_of_the_spells() {
        let mut choice = Bandit::new(Workload::ALL.to_vec());
        let worth = |workload| match workload {
            Workload::Duel => 100_000,
            Workload::Small => 80_000,
            _ => 1000,
        };
        Workload::ALL
            .iter()
            .for_each(|&workload| choice.learn(workload, 160 * MS, places(worth(workload)), 0));
        let mut rng = Stream::new(3, "choice", 0);
        let mut slices = [0; Workload::ALL.len()];
        (0..2000).for_each(|_| slices[choice.next(&mut rng).0 as usize] += 1);
        let [duel, small] =
            [Workload::Duel, Workload::Small].map(|workload| slices[workload as usize]);
        assert!(small > duel / 5 && small < duel / 3, "{duel} {small}");
        assert!(duel + small > 1800, "{duel} {small}");
    }

    #[test]
    fn what_is_worth_nothing_any_more_is_left() {
        let mut choice = Bandit::new(Workload::ALL.to_vec());
        Workload::ALL.iter().for_each(|&workload| choice.learn(workload, 16 * MS, places(10), 0));
        (0..50).for_each(|_| choice.learn(Workload::Crowd, 16 * MS, places(1600), 0));
        let before = choice.arms[Workload::Crowd as usize].worth(0.0);
        (0..50).for_each(|_| choice.learn(Workload::Crowd, 16 * MS, places(10), 0));
        let after = choice.arms[Workload::Crowd as usize].worth(0.0);
        assert!(before > 90_000.0 && after < 2_000.0, "{before} {after}");
    }

    #[test]
    fn bad_luck_in_a_trial_does_not_last_and_a_second_spell_of_it_does() {
        let mut choice = Bandit::new(Workload::ALL.to_vec());
        Workload::ALL.iter().for_each(|&workload| choice.learn(workload, 160 * MS, places(0), 0));
        choice.arms[Workload::Pair as usize] = ArmStats::default();
        choice.learn(Workload::Duel, 160 * MS, places(16_000), 0);
        choice.learn(Workload::Pair, TRIAL, places(0), 0);
        let mut rng = Stream::new(4, "choice", 0);
        let mut spells_of_pair = |choice: &Bandit| {
            (0..2400).filter(|_| choice.next(&mut rng).0 == Workload::Pair).count()
        };
        // 8 ms of 12 at the best's rate: (2/3)^6 of its weight.
        let after_a_trial = spells_of_pair(&choice);
        assert!((140..280).contains(&after_a_trial), "{after_a_trial}");
        choice.learn(Workload::Pair, SLICE, places(0), 0);
        // One in 24 slices is one at random of twelve.
        let after_a_spell = spells_of_pair(&choice);
        assert!(after_a_spell < 24, "{after_a_spell}");
    }

    #[test]
    fn a_pinned_shape_is_the_only_one() {
        let choice = Bandit::new(vec![Workload::Idle]);
        let mut rng = Stream::new(2, "choice", 0);
        assert!((0..50).all(|_| choice.next(&mut rng) == (Workload::Idle, SLICE)));
    }
}
