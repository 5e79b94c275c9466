//! Which shape the next spell has: more often those in which it nearly happened.
//!
//! A violation is rare; what comes before one is not. Readers count near misses, none of which
//! knows a mechanism: VMAs told twice because they grew under the reader's hands, and windows
//! with an operation inside. A shape is worth what a spell of it brought lately.

use super::shape::Shape;
use crate::seed::Stream;

/// What one shape has brought.
#[derive(Clone, Copy, Default, Debug)]
pub struct Standing {
    /// Spells played.
    pub spells: u64,
    /// VMAs told twice, and gaps followed by the VMA that filled them.
    pub twice: u64,
    /// Windows in which an operation was in flight or took effect.
    pub busy: u64,
    /// Violations.
    pub tears: u64,
    /// Near misses a spell, lately.
    worth: f64,
}

/// How much a VMA told twice counts beside a window with an operation inside.
const TWICE: f64 = 16.0;
/// What the last spell counts beside all those before it.
const LAST: f64 = 0.125;
/// Of so many spells, one goes to a shape whatever it is worth.
const TRY_ONE_IN: usize = 24;

/// Chooses the shapes of spells, and remembers what came of them.
#[derive(Clone, Debug)]
pub struct Choice {
    only: Option<Shape>,
    standings: [Standing; Shape::ALL.len()],
}

impl Choice {
    /// A choice among all shapes, or of the only one.
    pub fn new(only: Option<Shape>) -> Choice {
        Choice { only, standings: Default::default() }
    }

    /// The next shape: first each once, in their order, then by worth, with one in `TRY_ONE_IN` at random.
    pub fn next(&self, rng: &mut Stream) -> Shape {
        if let Some(only) = self.only {
            return only;
        }
        let untried = Shape::ALL.iter().zip(&self.standings).find(|(_, s)| s.spells == 0);
        if let Some((shape, _)) = untried {
            return *shape;
        }
        if rng.one_in(TRY_ONE_IN) {
            return *rng.pick(&Shape::ALL);
        }
        let best = self.standings.iter().map(|standing| standing.worth).fold(1.0, f64::max);
        // To the fourth power, so that what is worth half as much gets a sixteenth of the spells.
        let weight = |standing: &Standing| ((standing.worth / best).powi(8) * 1e6) as usize + 1;
        let mut left = rng.below(self.standings.iter().map(weight).sum());
        for (shape, standing) in Shape::ALL.iter().zip(&self.standings) {
            match left.checked_sub(weight(standing)) {
                None => return *shape,
                Some(rest) => left = rest,
            }
        }
        unreachable!("the weights add up")
    }

    /// A spell is over: what it brought.
    pub fn learn(&mut self, shape: Shape, twice: u64, busy: u64, tears: u64) {
        let standing = &mut self.standings[shape as usize];
        let worth = twice as f64 * TWICE + busy as f64;
        standing.worth = match standing.spells {
            0 => worth,
            _ => standing.worth + (worth - standing.worth) * LAST,
        };
        standing.spells += 1;
        standing.twice += twice;
        standing.busy += busy;
        standing.tears += tears;
    }

    /// What each shape has brought.
    pub fn standings(&self) -> impl Iterator<Item = (Shape, &Standing)> {
        Shape::ALL.into_iter().zip(&self.standings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_tried_and_the_best_most_often() {
        let mut choice = Choice::new(None);
        let mut rng = Stream::new(1, "choice", 0);
        for _ in 0..Shape::ALL.len() {
            let shape = choice.next(&mut rng);
            choice.learn(shape, if shape == Shape::Pair { 10 } else { 1 }, 5, 0);
        }
        assert!(choice.standings().all(|(_, standing)| standing.spells == 1));
        for _ in 0..1000 {
            let shape = choice.next(&mut rng);
            choice.learn(shape, if shape == Shape::Pair { 10 } else { 1 }, 5, 0);
        }
        for (shape, standing) in choice.standings() {
            match shape {
                // One in 24 goes to any of 12 shapes, 3 or 4 each of 1000; at a third of the worth
                // the others go to the best with few exceptions.
                Shape::Pair => assert!(standing.spells > 600, "{}", standing.spells),
                _ => assert!((2..150).contains(&standing.spells), "{shape} {}", standing.spells),
            }
        }
    }

    #[test]
    fn what_is_worth_nothing_any_more_is_left() {
        let mut choice = Choice::new(None);
        Shape::ALL.iter().for_each(|&shape| choice.learn(shape, 0, 10, 0));
        (0..50).for_each(|_| choice.learn(Shape::Crowd, 100, 0, 0));
        let before = choice.standings[Shape::Crowd as usize].worth;
        (0..50).for_each(|_| choice.learn(Shape::Crowd, 0, 10, 0));
        let after = choice.standings[Shape::Crowd as usize].worth;
        assert!(before > 1500.0 && after < 30.0, "{before} {after}");
    }

    #[test]
    fn a_pinned_shape_is_the_only_one() {
        let choice = Choice::new(Some(Shape::Idle));
        let mut rng = Stream::new(2, "choice", 0);
        assert!((0..50).all(|_| choice.next(&mut rng) == Shape::Idle));
    }
}
