//! Which shape the next spell has: more often those in which it nearly happened.
//!
//! A violation is rare; what comes before one is not. Readers count near misses, none of which
//! knows a mechanism: lines at a changing place, VMAs told twice because they grew under the reader's
//! hands, and windows with an operation inside. A shape is worth the lines at a changing place that a
//! second of it brought lately: the other two hardly differ between shapes that tear often and others
//! that don't, because windows are long, and VMAs grow less where they are small. What was played little
//! is taken for nearly as good as the best.

use super::shape::Shape;
use super::tally::NearMisses;
use crate::seed::Stream;
use std::time::Duration;

/// What one shape has brought.
#[derive(Clone, Copy, Default, Debug)]
pub struct Standing {
    /// Spells played.
    pub spells: u64,
    /// How long they took together.
    pub time: Duration,
    /// What came before tears.
    pub near: NearMisses,
    /// Violations.
    pub tears: u64,
    /// Lines at a changing place, lately, and the seconds that brought them.
    lately: (f64, f64),
}

impl Standing {
    /// Lines at a changing place a second, lately, as if [`UNKNOWN`] had been played besides and had
    /// brought `expected` a second. What was played for a few milliseconds is worth nearly that,
    /// whatever it brought; what has been played for long is worth what it brings.
    fn worth(&self, expected: f64) -> f64 {
        let (places, seconds) = self.lately;
        let unknown = UNKNOWN.as_secs_f64();
        (places + expected * unknown) / (seconds + unknown)
    }
}

/// How long a spell is.
pub(super) const SPELL: Duration = Duration::from_millis(16);
/// The same of one whose shape is tried: with many threads some shapes bring nothing at all.
const TRIAL: Duration = Duration::from_millis(4);
/// How long a shape is taken to bring as much as the best, beside what it did bring: one that had
/// bad luck in its trial would have to wait for seconds, otherwise, until it is tried again.
const UNKNOWN: Duration = Duration::from_millis(8);
/// What the last spell counts beside all those before it, at least.
const LAST: f64 = 0.125;
/// Of so many spells, one goes to a shape whatever it is worth.
const TRY_ONE_IN: usize = 24;

/// Chooses the shapes of spells, and remembers what came of them.
#[derive(Clone, Debug)]
pub struct Choice {
    shapes: Vec<Shape>,
    standings: [Standing; Shape::ALL.len()],
}

impl Choice {
    /// A choice among these shapes, of which there is one at least.
    pub fn new(shapes: Vec<Shape>) -> Choice {
        Choice { shapes, standings: Default::default() }
    }

    /// The next shape, and how long to play it: by worth, with one in `TRY_ONE_IN` at random. Before
    /// that, as long as there are shapes never played, every other spell goes to the next of them, in
    /// their order. What is not chosen for its worth, or before all are known, is played for a short
    /// time only: the more spots are hammered the sooner one tears.
    pub fn next(&self, rng: &mut Stream) -> (Shape, Duration) {
        if let [only] = self.shapes[..] {
            return (only, SPELL);
        }
        // Not all of them at once: with 256 threads on two CPUs those that everybody plays in take
        // longer to get going and to end than all others together, and tear nothing meanwhile.
        let untried = self.standings().find(|(_, standing)| standing.spells == 0);
        let spells: u64 = self.standings().map(|(_, standing)| standing.spells).sum();
        if let Some((shape, _)) = untried
            && spells.is_multiple_of(2)
        {
            return (shape, TRIAL);
        }
        if rng.one_in(TRY_ONE_IN) {
            return (*rng.pick(&self.shapes), TRIAL);
        }
        // With nothing expected, so that good luck in a trial makes no best.
        let most = |expected| {
            let worths = self.standings().map(move |(_, standing)| standing.worth(expected));
            worths.fold(1.0, f64::max)
        };
        let expected = most(0.0);
        let best = most(expected);
        // The sixth power, so that what is worth half as much gets a 64th of the spells, and nine
        // tenths as much half of them. Near misses are no tears, and each mechanism has shapes that it
        // likes best, so no shape that is nearly as good as the best is left out for long.
        let weight = |standing: &Standing| match standing.spells {
            // Its turn comes.
            0 => 0,
            _ => ((standing.worth(expected) / best).powi(6) * 1e6) as usize + 1,
        };
        let mut left = rng.below(self.standings().map(|(_, standing)| weight(standing)).sum());
        for (shape, standing) in self.standings() {
            match left.checked_sub(weight(standing)) {
                None => return (shape, if untried.is_some() { TRIAL } else { SPELL }),
                Some(rest) => left = rest,
            }
        }
        unreachable!("the weights add up")
    }

    /// A spell is over, which took so long: what it brought.
    pub fn learn(&mut self, shape: Shape, took: Duration, near: NearMisses, tears: u64) {
        let standing = &mut self.standings[shape as usize];
        let seconds = took.as_secs_f64();
        // What took a quarter of a spell makes forget a quarter as much.
        let kept = 1.0 - LAST * (seconds / SPELL.as_secs_f64()).min(1.0);
        let (places, before) = standing.lately;
        standing.lately = (places * kept + near.places as f64, before * kept + seconds);
        standing.spells += 1;
        standing.time += took;
        standing.near = standing.near + near;
        standing.tears += tears;
    }

    /// The shapes among which it chooses, and what each has brought.
    pub fn standings(&self) -> impl Iterator<Item = (Shape, &Standing)> {
        self.shapes.iter().map(|&shape| (shape, &self.standings[shape as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn places(places: u64) -> NearMisses {
        NearMisses { places, ..NearMisses::default() }
    }

    #[test]
    fn everything_is_tried_for_a_short_time_and_the_best_most_often() {
        let mut choice = Choice::new(Shape::ALL.to_vec());
        let mut rng = Stream::new(1, "choice", 0);
        // The same near misses a second, however long it is played.
        let mut play = |choice: &mut Choice| {
            let (shape, long) = choice.next(&mut rng);
            let a_ms = if shape == Shape::Pair { 100 } else { 10 };
            choice.learn(shape, long, places(a_ms * long.as_millis() as u64), 0);
            long
        };
        for tried in 1..=Shape::ALL.len() {
            assert_eq!(play(&mut choice), TRIAL);
            let played = choice.standings().filter(|(_, standing)| standing.spells > 0).count();
            assert_eq!(played, tried);
            play(&mut choice);
        }
        let long = (0..1000).filter(|_| play(&mut choice) == SPELL).count();
        // One in 24 is a trial.
        assert!((900..990).contains(&long), "{long}");
        for (shape, standing) in choice.standings() {
            match shape {
                // At a tenth of the worth the others get trials only.
                Shape::Pair => assert!(standing.spells > 800, "{}", standing.spells),
                _ => {
                    assert!((2..30).contains(&standing.spells), "{shape} {}", standing.spells);
                }
            }
        }
    }

    #[test]
    fn four_fifths_of_the_worth_get_a_quarter_of_the_spells() {
        let mut choice = Choice::new(Shape::ALL.to_vec());
        let worth = |shape| match shape {
            Shape::Duel => 100_000,
            Shape::Small => 80_000,
            _ => 1000,
        };
        Shape::ALL.iter().for_each(|&shape| choice.learn(shape, 160 * MS, places(worth(shape)), 0));
        let mut rng = Stream::new(3, "choice", 0);
        let mut spells = [0; Shape::ALL.len()];
        (0..2000).for_each(|_| spells[choice.next(&mut rng).0 as usize] += 1);
        let [duel, small] = [Shape::Duel, Shape::Small].map(|shape| spells[shape as usize]);
        assert!(small > duel / 5 && small < duel / 3, "{duel} {small}");
        assert!(duel + small > 1800, "{duel} {small}");
    }

    #[test]
    fn what_is_worth_nothing_any_more_is_left() {
        let mut choice = Choice::new(Shape::ALL.to_vec());
        Shape::ALL.iter().for_each(|&shape| choice.learn(shape, 16 * MS, places(10), 0));
        (0..50).for_each(|_| choice.learn(Shape::Crowd, 16 * MS, places(1600), 0));
        let before = choice.standings[Shape::Crowd as usize].worth(0.0);
        (0..50).for_each(|_| choice.learn(Shape::Crowd, 16 * MS, places(10), 0));
        let after = choice.standings[Shape::Crowd as usize].worth(0.0);
        assert!(before > 90_000.0 && after < 2_000.0, "{before} {after}");
    }

    #[test]
    fn bad_luck_in_a_trial_does_not_last_and_a_second_spell_of_it_does() {
        let mut choice = Choice::new(Shape::ALL.to_vec());
        Shape::ALL.iter().for_each(|&shape| choice.learn(shape, 160 * MS, places(0), 0));
        choice.standings[Shape::Pair as usize] = Standing::default();
        choice.learn(Shape::Duel, 160 * MS, places(16_000), 0);
        choice.learn(Shape::Pair, TRIAL, places(0), 0);
        let mut rng = Stream::new(4, "choice", 0);
        let mut spells_of_pair =
            |choice: &Choice| (0..2400).filter(|_| choice.next(&mut rng).0 == Shape::Pair).count();
        // 8 ms of 12 at the best's rate: (2/3)^6 of its weight.
        let after_a_trial = spells_of_pair(&choice);
        assert!((140..280).contains(&after_a_trial), "{after_a_trial}");
        choice.learn(Shape::Pair, SPELL, places(0), 0);
        // One in 24 spells is one at random of twelve.
        let after_a_spell = spells_of_pair(&choice);
        assert!(after_a_spell < 24, "{after_a_spell}");
    }

    #[test]
    fn a_pinned_shape_is_the_only_one() {
        let choice = Choice::new(vec![Shape::Idle]);
        let mut rng = Stream::new(2, "choice", 0);
        assert!((0..50).all(|_| choice.next(&mut rng) == (Shape::Idle, SPELL)));
    }
}
