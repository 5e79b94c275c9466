//! Who plays in a spell, and where.

use super::director::Plan;
use super::script::Script;
use super::stage::Spell;
use crate::seed::Stream;

/// Who plays in a spell, and where.
pub(super) struct Shape {
    /// What those that play do.
    pub spell: Spell,
    first_reader: usize,
    readers: usize,
    first_mutator: usize,
    mutators: usize,
    /// Each on a CPU of its own.
    spread: bool,
}

impl Shape {
    /// Threads that wait for a core tear nothing: most spells let as many play as there are
    /// CPUs, each on its own, another few twice as many, and some everybody.
    pub fn draw(rng: &mut Stream, plan: &Plan, lanes: u16) -> Shape {
        let (readers, mutators) = (plan.readers, plan.threads - plan.readers);
        let cpus = plan.cpus.count();
        let play = match rng.below(8) {
            0 => plan.threads,
            1 => 2 * cpus,
            _ => cpus,
        };
        // At least one of each; the rest are mutators and readers at random.
        let play = play.clamp(2, plan.threads);
        let most = readers.min(play - 1);
        let least = play.saturating_sub(mutators).max(1);
        let reading = rng.between(least, most.max(least));
        let in_play = match rng.below(4) {
            0 => lanes,
            1 => lanes.min(2),
            _ => 1,
        };
        // The lowest lane is read soonest: half of the spells begin there.
        let most_low = (lanes - in_play) as usize;
        let spell = Spell {
            first_lane: if rng.one_in(2) { 0 } else { rng.between(0, most_low) as u16 },
            lanes: in_play,
            hammer: *rng.pick(&[8, 8, 6, 2]),
        };
        Shape {
            spell,
            first_reader: rng.below(readers),
            readers: reading,
            first_mutator: rng.below(mutators),
            mutators: play - reading,
            spread: play <= cpus,
        }
    }

    /// Everybody plays: the scenario's workers in their lanes, noise in those beyond.
    pub fn script(script: &Script, plan: &Plan, lanes: u16) -> Shape {
        let own = script.layouts.len() as u16;
        // Without lanes beyond there is no noise, and the spell's lanes mean nothing.
        let noise = lanes.saturating_sub(own);
        Shape {
            spell: Spell { first_lane: own.min(lanes - 1), lanes: noise.max(1), hammer: 6 },
            first_reader: 0,
            readers: plan.readers,
            first_mutator: 0,
            mutators: plan.threads - plan.readers,
            spread: plan.threads <= plan.cpus.count(),
        }
    }

    /// A worker's part: `None` to rest, else the CPU to play on, if it is to keep to one.
    pub fn part(&self, worker: usize, plan: &Plan) -> Option<Option<usize>> {
        // Ranks turn round, so that every worker gets its share. Readers and mutators that play
        // are numbered through, and so are the CPUs.
        let turn = |rank: usize, first: usize, of: usize| (rank + of - first) % of;
        let number = match worker.checked_sub(plan.readers) {
            None => {
                let turn = turn(worker, self.first_reader, plan.readers);
                (turn < self.readers).then_some(turn)
            }
            Some(rank) => {
                let turn = turn(rank, self.first_mutator, plan.threads - plan.readers);
                (turn < self.mutators).then_some(self.readers + turn)
            }
        };
        number.map(|number| if self.spread { plan.cpus.nth(number) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Contract;
    use crate::storm::{Cpus, ModeSet};
    use std::time::Duration;

    fn plan(threads: usize, readers: usize) -> Plan {
        Plan {
            threads,
            readers,
            duration: Duration::ZERO,
            seed: 0,
            contract: Contract::Series,
            one_instant: false,
            modes: ModeSet::new(),
            allow: Vec::new(),
            fail_fast: false,
            until: Vec::new(),
            pause_every: Duration::from_secs(1),
            keep: 1,
            inject: None,
            stall: Duration::from_secs(1),
            cpus: Cpus::allowed(),
        }
    }

    #[test]
    fn every_spell_has_both_and_every_worker_gets_its_turn() {
        for (threads, readers) in [(2, 1), (3, 2), (3, 1), (64, 16), (64, 63), (64, 1)] {
            let plan = plan(threads, readers);
            let mut rng = Stream::new(5, "shape", threads);
            let mut played = vec![false; threads];
            // A worker of 64 plays in an eighth of the spells with everybody alone: 2000 spells
            // pass one of them by with probability below 64 * (7/8)^2000 < 1e-100.
            for _ in 0..2000 {
                let shape = Shape::draw(&mut rng, &plan, 8);
                let parts: Vec<bool> =
                    (0..threads).map(|w| shape.part(w, &plan).is_some()).collect();
                let (reading, mutating) = parts.split_at(readers);
                assert!(reading.contains(&true) && mutating.contains(&true));
                assert!(shape.spell.first_lane + shape.spell.lanes <= 8);
                played.iter_mut().zip(parts).for_each(|(played, plays)| *played |= plays);
            }
            assert!(!played.contains(&false), "{threads} threads, {readers} readers");
        }
    }
}
