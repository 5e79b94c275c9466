//! Which workers take part in a slice, and on which CPU each of them runs.

use super::scheduler::Slice;
use super::script::Script;
use super::storm::Plan;
use super::workload::{Outline, Workload};
use crate::seed::Stream;

/// A slice as it is drawn: which workers take part, on which CPU, and what they do.
pub(super) struct Lineup {
    /// What those that play do.
    pub slice: Slice,
    first_reader: usize,
    readers: usize,
    first_mutator: usize,
    mutators: usize,
    sharing: Sharing,
    /// Whether faulters play.
    pub faulted: bool,
    /// Whether mutators are taken to a reader's CPU in mid-operation.
    pub moved: bool,
}

/// Which worker runs on which CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    Anywhere,
    /// Those that play are numbered through, and so are the CPUs.
    Apart,
    /// Readers are numbered, and so are mutators.
    Together,
}

/// Which workers are next where not all take part.
///
/// The same workers play for some slices in a row: those that rested come back to cold caches, and
/// to a CPU that others have to leave first. With two CPUs and 64 threads it cost a seventh of the
/// tears and a twelfth of the operations when others came with every slice of 16 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The first of those that play, counted among readers and among mutators.
    first_reader: usize,
    first_mutator: usize,
    /// Slices until other workers are next.
    left: u32,
}

impl Turn {
    /// How many slices in a row.
    const SLICES: u32 = 8;

    /// The first turn, drawn.
    pub fn draw(rng: &mut Stream, plan: &Plan) -> Turn {
        Turn {
            first_reader: rng.below(plan.readers),
            first_mutator: rng.below(plan.threads - plan.readers),
            left: Turn::SLICES,
        }
    }

    /// A slice of this turn begins. Those that play in the last one of a turn are followed by the
    /// next ones, so that no worker is left out.
    pub fn pass(&mut self, lineup: &Lineup, plan: &Plan) {
        self.left -= 1;
        if self.left == 0 {
            let mutators = plan.threads - plan.readers;
            self.first_reader = (self.first_reader + lineup.readers) % plan.readers;
            self.first_mutator = (self.first_mutator + lineup.mutators) % mutators;
            self.left = Turn::SLICES;
        }
    }
}

impl Lineup {
    /// Draws a slice of this workload. With fewer threads than it asks for all of them play.
    pub fn draw(
        rng: &mut Stream,
        workload: Workload,
        plan: &Plan,
        lanes: u16,
        turn: Turn,
    ) -> Lineup {
        let (all_readers, all_mutators) = (plan.readers, plan.threads - plan.readers);
        let Outline { play, sharing, moved, mut slice } = workload.outline(plan, lanes);
        // At least one of each; the rest are mutators and readers at random.
        let most = all_readers.min(play - 1);
        let least = play.saturating_sub(all_mutators).max(1);
        let readers = match sharing {
            Sharing::Together => (play / 2).clamp(least, most.max(least)),
            _ => rng.between(least, most.max(least)),
        };
        // The lowest lane is read soonest: half of the slices begin there.
        let most_low = (lanes - slice.lanes) as usize;
        slice.first_lane = if rng.one_in(2) { 0 } else { rng.between(0, most_low) as u16 };
        Lineup {
            slice,
            first_reader: turn.first_reader,
            readers,
            first_mutator: turn.first_mutator,
            mutators: play - readers,
            sharing,
            faulted: false,
            moved,
        }
    }

    /// All workers take part: the scenario's in their lanes, noise in those beyond.
    pub fn script(script: &Script, plan: &Plan, lanes: u16) -> Lineup {
        let own = script.layouts.len() as u16;
        // Without lanes beyond there is no noise, and the slice's lanes mean nothing.
        let noise = lanes.saturating_sub(own);
        let first_lane = own.min(lanes - 1);
        let apart = plan.threads <= plan.cpus.count();
        Lineup {
            slice: Slice { first_lane, lanes: noise.max(1), hammer: 6, ..Slice::default() },
            first_reader: 0,
            readers: plan.readers,
            first_mutator: 0,
            mutators: plan.threads - plan.readers,
            sharing: if apart { Sharing::Apart } else { Sharing::Anywhere },
            faulted: false,
            moved: false,
        }
    }

    /// The reader to whose CPU a mutator that plays may be taken, and that CPU. None where it runs on any.
    pub fn reader_of(&self, worker: usize, plan: &Plan) -> Option<(usize, usize)> {
        let rank = worker.checked_sub(plan.readers).filter(|_| worker < plan.threads)?;
        self.part(worker, plan).flatten()?;
        let reader = (self.first_reader + rank % self.readers) % plan.readers;
        Some((reader, self.part(reader, plan).flatten()?))
    }

    /// A worker's part: `None` to rest, else the CPU to play on, if it is to keep to one.
    pub fn part(&self, worker: usize, plan: &Plan) -> Option<Option<usize>> {
        if worker >= plan.threads {
            // Of faulters all play or none: beside readers and mutators where these share a CPU, else
            // wherever they get one.
            let beside = self.sharing == Sharing::Together || self.moved;
            let cpu = plan.cpus.nth(worker - plan.threads).filter(|_| beside);
            return self.faulted.then_some(cpu);
        }
        // Those that play follow the first one, in a ring.
        let turn = |rank: usize, first: usize, of: usize| (rank + of - first) % of;
        let (number, before) = match worker.checked_sub(plan.readers) {
            None => {
                let turn = turn(worker, self.first_reader, plan.readers);
                ((turn < self.readers).then_some(turn)?, 0)
            }
            Some(rank) => {
                let turn = turn(rank, self.first_mutator, plan.threads - plan.readers);
                ((turn < self.mutators).then_some(turn)?, self.readers)
            }
        };
        Some(match self.sharing {
            Sharing::Anywhere => None,
            Sharing::Apart => plan.cpus.nth(before + number),
            Sharing::Together => plan.cpus.nth(number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slice_has_both_and_every_worker_gets_its_turn() {
        for workload in Workload::ALL {
            for (threads, readers) in [(2, 1), (3, 2), (3, 1), (64, 16), (64, 63), (64, 1)] {
                let plan = Plan { threads, readers, ..Plan::default() };
                let mut rng = Stream::new(5, "workload", threads);
                let mut played = vec![false; threads];
                let mut turn = Turn::draw(&mut rng, &plan);
                // Every turn passes on by one at least.
                for _ in 0..Turn::SLICES * 63 {
                    let lineup = Lineup::draw(&mut rng, workload, &plan, 8, turn);
                    turn.pass(&lineup, &plan);
                    let parts: Vec<bool> =
                        (0..threads).map(|w| lineup.part(w, &plan).is_some()).collect();
                    let (reading, mutating) = parts.split_at(readers);
                    assert!(reading.contains(&true) && mutating.contains(&true));
                    assert!(lineup.slice.first_lane + lineup.slice.lanes <= 8);
                    played.iter_mut().zip(parts).for_each(|(played, plays)| *played |= plays);
                }
                assert!(
                    !played.contains(&false),
                    "{workload}: {threads} threads, {readers} readers"
                );
            }
        }
    }
}
