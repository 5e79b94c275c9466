//! Which workers take part in a slice, in which lanes and on which CPUs, and what they do.
//!
//! Threads that wait for a CPU tear nothing, so how the parts are given matters more than how many
//! threads it has. A [`Workload`] is one way to spend a slice; which one comes next is for
//! [`Bandit`](super::bandit::Bandit) to say.

use super::scheduler::Slice;
use super::script::Script;
use super::storm::Plan;
use crate::seed::Stream;
use crate::vocabulary::words;
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

/// One way to spend a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Workload {
    /// One worker a CPU, each on its own; one spot in one lane is hammered without a pause.
    Duel,
    /// The same, with pauses of a few microseconds at most between two operations.
    Paused,
    /// The same, with pauses of up to some tens of microseconds.
    Slow,
    /// The same, with short pauses, in a lane of many small VMAs.
    Small,
    /// One worker a CPU; two lanes, with moves from one to the other.
    Pair,
    /// One worker a CPU; two lanes, with pauses of a few microseconds.
    PairPaused,
    /// One worker a CPU; operations anywhere in all lanes.
    Scatter,
    /// Two workers a CPU, which run where the scheduler puts them, in one lane.
    Double,
    /// A reader and a mutator on each CPU: they change places only when one is preempted.
    SameCpu,
    /// A reader and a mutator on each CPU: the reader has idle priority, and the mutator, woken by
    /// a timer, takes its place.
    Idle,
    /// All workers, in all lanes.
    Crowd,
    /// All workers, in one lane.
    Queue,
}

/// The workers that take part, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Players {
    /// As many as there are CPUs, each on its own.
    OneEach,
    /// Twice as many, anywhere.
    TwoEach,
    /// Readers and mutators in equal number, one of both on each CPU.
    Couples,
    /// All.
    Everybody,
}

/// How many lanes are in play.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InPlay {
    One,
    Two,
    All,
}

/// A workload, taken apart.
struct Traits {
    players: Players,
    in_play: InPlay,
    hammer: u8,
    spin: u8,
    sleep: u8,
    idle: bool,
    longest: u8,
}

words!(Workload, "workload");

impl Workload {
    /// What it is, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Workload::Duel => "one worker a cpu, one lane, one spot hammered",
            Workload::Paused => "the same, pauses up to 4 us",
            Workload::Slow => "the same, pauses up to 32 us",
            Workload::Small => "the same, pauses up to 4 us, many small vmas",
            Workload::Pair => "one worker a cpu, two lanes",
            Workload::PairPaused => "the same, pauses up to 4 us",
            Workload::Scatter => "one worker a cpu, all lanes",
            Workload::Double => "two workers a cpu, anywhere",
            Workload::SameCpu => "a reader and a mutator on each cpu",
            Workload::Idle => "the same, readers at idle priority",
            Workload::Crowd => "everybody, all lanes",
            Workload::Queue => "everybody, one lane",
        }
    }

    /// How many lanes it takes to be what it is.
    pub const fn fewest_lanes(self) -> usize {
        match self.traits().in_play {
            InPlay::Two => 2,
            InPlay::One | InPlay::All => 1,
        }
    }

    /// How many CPUs it takes to be what it is: a reader and a mutator, each on one of its own.
    pub const fn fewest_cpus(self) -> usize {
        match self.traits().players {
            Players::OneEach => 2,
            Players::TwoEach | Players::Couples | Players::Everybody => 1,
        }
    }

    const fn traits(self) -> Traits {
        const DUEL: Traits = Traits {
            players: Players::OneEach,
            in_play: InPlay::One,
            hammer: 8,
            spin: 0,
            sleep: 0,
            idle: false,
            longest: 0,
        };
        match self {
            Workload::Duel => DUEL,
            Workload::Paused => Traits { spin: 12, ..DUEL },
            Workload::Slow => Traits { spin: 15, ..DUEL },
            Workload::Small => Traits { spin: 12, longest: 3, ..DUEL },
            Workload::Pair => Traits { in_play: InPlay::Two, hammer: 6, ..DUEL },
            Workload::PairPaused => Traits { in_play: InPlay::Two, hammer: 6, spin: 12, ..DUEL },
            Workload::Scatter => Traits { in_play: InPlay::All, hammer: 2, ..DUEL },
            Workload::Double => Traits { players: Players::TwoEach, ..DUEL },
            Workload::SameCpu => Traits { players: Players::Couples, ..DUEL },
            Workload::Idle => Traits { players: Players::Couples, sleep: 16, idle: true, ..DUEL },
            Workload::Crowd => {
                Traits { players: Players::Everybody, in_play: InPlay::All, hammer: 6, ..DUEL }
            }
            Workload::Queue => Traits { players: Players::Everybody, ..DUEL },
        }
    }
}

/// What of a slice follows from its workload alone, in a given storm.
#[derive(PartialEq, Eq)]
struct Outline {
    /// How many play.
    play: usize,
    sharing: Sharing,
    /// Its first lane is not drawn yet.
    slice: Slice,
}

impl Workload {
    /// The workloads that are slices of their own in this storm: where two threads a CPU are
    /// everybody, or there is one CPU only, some are the same. One whose readers would stay at idle
    /// priority for the rest of the storm is none of them.
    pub(super) fn distinct(plan: &Plan, lanes: u16) -> Vec<Workload> {
        let mut outlines = Vec::new();
        let mut is_new = |workload: &Workload| {
            let outline = workload.outline(plan, lanes);
            let new = !outlines.contains(&outline);
            outlines.push(outline);
            new
        };
        let comes_back =
            |workload: &Workload| !workload.traits().idle || plan.cpus.returns_from_idle();
        Workload::ALL
            .into_iter()
            .filter(|workload| comes_back(workload) && is_new(workload))
            .collect()
    }

    fn outline(self, plan: &Plan, lanes: u16) -> Outline {
        let Traits { players, in_play, hammer, spin, sleep, idle, longest } = self.traits();
        let cpus = plan.cpus.count();
        let play = match players {
            Players::OneEach => cpus,
            Players::TwoEach | Players::Couples => 2 * cpus,
            Players::Everybody => plan.threads,
        };
        let play = play.clamp(2, plan.threads);
        let sharing = match players {
            Players::OneEach if play <= cpus => Sharing::Apart,
            Players::Couples => Sharing::Together,
            _ => Sharing::Anywhere,
        };
        let lanes = match in_play {
            InPlay::One => 1,
            InPlay::Two => lanes.min(2),
            InPlay::All => lanes,
        };
        Outline {
            play,
            sharing,
            slice: Slice { first_lane: 0, lanes, hammer, spin, sleep, idle, longest },
        }
    }
}

/// A slice as it is drawn: which workers take part, on which CPU, and what they do.
pub(super) struct Casting {
    /// What those that play do.
    pub slice: Slice,
    first_reader: usize,
    readers: usize,
    first_mutator: usize,
    mutators: usize,
    sharing: Sharing,
}

/// Which worker runs on which CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
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

    /// The first turn: anybody's.
    pub fn draw(rng: &mut Stream, plan: &Plan) -> Turn {
        Turn {
            first_reader: rng.below(plan.readers),
            first_mutator: rng.below(plan.threads - plan.readers),
            left: Turn::SLICES,
        }
    }

    /// A slice of this turn begins. Those that play in the last one of a turn are followed by the
    /// next ones, so that no worker is left out.
    pub fn pass(&mut self, casting: &Casting, plan: &Plan) {
        self.left -= 1;
        if self.left == 0 {
            let mutators = plan.threads - plan.readers;
            self.first_reader = (self.first_reader + casting.readers) % plan.readers;
            self.first_mutator = (self.first_mutator + casting.mutators) % mutators;
            self.left = Turn::SLICES;
        }
    }
}

impl Casting {
    /// Draws a slice of this workload. With fewer threads than it asks for all of them play.
    pub fn draw(
        rng: &mut Stream,
        workload: Workload,
        plan: &Plan,
        lanes: u16,
        turn: Turn,
    ) -> Casting {
        let (all_readers, all_mutators) = (plan.readers, plan.threads - plan.readers);
        let Outline { play, sharing, mut slice } = workload.outline(plan, lanes);
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
        Casting {
            slice,
            first_reader: turn.first_reader,
            readers,
            first_mutator: turn.first_mutator,
            mutators: play - readers,
            sharing,
        }
    }

    /// All workers take part: the scenario's in their lanes, noise in those beyond.
    pub fn script(script: &Script, plan: &Plan, lanes: u16) -> Casting {
        let own = script.layouts.len() as u16;
        // Without lanes beyond there is no noise, and the slice's lanes mean nothing.
        let noise = lanes.saturating_sub(own);
        let first_lane = own.min(lanes - 1);
        let apart = plan.threads <= plan.cpus.count();
        Casting {
            slice: Slice { first_lane, lanes: noise.max(1), hammer: 6, ..Slice::default() },
            first_reader: 0,
            readers: plan.readers,
            first_mutator: 0,
            mutators: plan.threads - plan.readers,
            sharing: if apart { Sharing::Apart } else { Sharing::Anywhere },
        }
    }

    /// A worker's part: `None` to rest, else the CPU to play on, if it is to keep to one.
    pub fn part(&self, worker: usize, plan: &Plan) -> Option<Option<usize>> {
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
    use crate::engine::{Cpus, ModeSet};
    use crate::oracle::Contract;
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
            workload: None,
            allow: Vec::new(),
            fail_fast: false,
            until: Vec::new(),
            until_all: false,
            pause_every: Duration::from_secs(1),
            keep: 1,
            inject: None,
            stall: Duration::from_secs(1),
            cpus: Cpus::allowed(),
            nice: None,
        }
    }

    #[test]
    fn every_spell_has_both_and_every_worker_gets_its_turn() {
        for workload in Workload::ALL {
            for (threads, readers) in [(2, 1), (3, 2), (3, 1), (64, 16), (64, 63), (64, 1)] {
                let plan = plan(threads, readers);
                let mut rng = Stream::new(5, "workload", threads);
                let mut played = vec![false; threads];
                let mut turn = Turn::draw(&mut rng, &plan);
                // Every turn passes on by one at least.
                for _ in 0..Turn::SLICES * 63 {
                    let casting = Casting::draw(&mut rng, workload, &plan, 8, turn);
                    turn.pass(&casting, &plan);
                    let parts: Vec<bool> =
                        (0..threads).map(|w| casting.part(w, &plan).is_some()).collect();
                    let (reading, mutating) = parts.split_at(readers);
                    assert!(reading.contains(&true) && mutating.contains(&true));
                    assert!(casting.slice.first_lane + casting.slice.lanes <= 8);
                    played.iter_mut().zip(parts).for_each(|(played, plays)| *played |= plays);
                }
                assert!(
                    !played.contains(&false),
                    "{workload}: {threads} threads, {readers} readers"
                );
            }
        }
    }

    #[test]
    fn a_shape_that_is_another_one_is_left_out() {
        let left_out = |threads: usize, cpus: usize, lanes: u16| {
            let plan = Plan { cpus: Cpus::first(cpus), ..plan(threads, 1) };
            let distinct = Workload::distinct(&plan, lanes);
            let left_out =
                Workload::ALL.into_iter().filter(|workload| !distinct.contains(workload));
            left_out.collect::<Vec<_>>()
        };
        assert_eq!(left_out(5, 2, 8), []);
        // Two a CPU are all there are, and may run anywhere.
        assert_eq!(left_out(4, 2, 8), [Workload::Queue]);
        assert_eq!(left_out(2, 8, 8), [Workload::Queue]);
        // Both of two lanes are all of them, but less is hammered there.
        assert_eq!(left_out(5, 2, 2), []);
        // No worker has the only CPU to itself.
        assert_eq!(left_out(3, 1, 8), [Workload::Double]);
        assert_eq!(left_out(2, 1, 8), [Workload::Double, Workload::Queue]);
    }

    #[test]
    fn every_shape_has_a_word_of_its_own() {
        for workload in Workload::ALL {
            assert_eq!(workload.word().parse(), Ok(workload));
        }
        let error = "duell".parse::<Workload>().unwrap_err();
        assert!(error.contains("duell") && error.contains("same-cpu"), "{error}");
    }
}
