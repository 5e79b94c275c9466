//! Who plays in a spell, where, and what they do.
//!
//! Threads that wait for a CPU tear nothing, so how a storm is cast matters more than how many
//! threads it has. A [`Shape`] is one way to spend a spell; which one comes next is for
//! [`Choice`](super::choice::Choice) to say.

use super::director::Plan;
use super::script::Script;
use super::stage::Spell;
use crate::seed::Stream;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// One way to spend a spell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
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
    /// Everybody, in all lanes.
    Crowd,
    /// Everybody, in one lane.
    Queue,
}

/// Who plays, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cast {
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

/// A shape, taken apart.
struct Traits {
    cast: Cast,
    in_play: InPlay,
    hammer: u8,
    spin: u8,
    sleep: u8,
    idle: bool,
    longest: u8,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Shape; 12] = [
        Shape::Duel,
        Shape::Paused,
        Shape::Slow,
        Shape::Small,
        Shape::Pair,
        Shape::PairPaused,
        Shape::Scatter,
        Shape::Double,
        Shape::SameCpu,
        Shape::Idle,
        Shape::Crowd,
        Shape::Queue,
    ];

    /// The word that `--workload` takes and reports use.
    pub const fn word(self) -> &'static str {
        match self {
            Shape::Duel => "duel",
            Shape::Paused => "paused",
            Shape::Slow => "slow",
            Shape::Small => "small",
            Shape::Pair => "pair",
            Shape::PairPaused => "pair-paused",
            Shape::Scatter => "scatter",
            Shape::Double => "double",
            Shape::SameCpu => "same-cpu",
            Shape::Idle => "idle",
            Shape::Crowd => "crowd",
            Shape::Queue => "queue",
        }
    }

    /// What it is, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Shape::Duel => "one worker a cpu, one lane, one spot hammered",
            Shape::Paused => "the same, pauses up to 4 us",
            Shape::Slow => "the same, pauses up to 32 us",
            Shape::Small => "the same, pauses up to 4 us, many small vmas",
            Shape::Pair => "one worker a cpu, two lanes",
            Shape::PairPaused => "the same, pauses up to 4 us",
            Shape::Scatter => "one worker a cpu, all lanes",
            Shape::Double => "two workers a cpu, anywhere",
            Shape::SameCpu => "a reader and a mutator on each cpu",
            Shape::Idle => "the same, readers at idle priority",
            Shape::Crowd => "everybody, all lanes",
            Shape::Queue => "everybody, one lane",
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
        match self.traits().cast {
            Cast::OneEach => 2,
            Cast::TwoEach | Cast::Couples | Cast::Everybody => 1,
        }
    }

    const fn traits(self) -> Traits {
        const DUEL: Traits = Traits {
            cast: Cast::OneEach,
            in_play: InPlay::One,
            hammer: 8,
            spin: 0,
            sleep: 0,
            idle: false,
            longest: 0,
        };
        match self {
            Shape::Duel => DUEL,
            Shape::Paused => Traits { spin: 12, ..DUEL },
            Shape::Slow => Traits { spin: 15, ..DUEL },
            Shape::Small => Traits { spin: 12, longest: 3, ..DUEL },
            Shape::Pair => Traits { in_play: InPlay::Two, hammer: 6, ..DUEL },
            Shape::PairPaused => Traits { in_play: InPlay::Two, hammer: 6, spin: 12, ..DUEL },
            Shape::Scatter => Traits { in_play: InPlay::All, hammer: 2, ..DUEL },
            Shape::Double => Traits { cast: Cast::TwoEach, ..DUEL },
            Shape::SameCpu => Traits { cast: Cast::Couples, ..DUEL },
            Shape::Idle => Traits { cast: Cast::Couples, sleep: 16, idle: true, ..DUEL },
            Shape::Crowd => {
                Traits { cast: Cast::Everybody, in_play: InPlay::All, hammer: 6, ..DUEL }
            }
            Shape::Queue => Traits { cast: Cast::Everybody, ..DUEL },
        }
    }
}

/// What of a spell follows from its shape alone, in a given storm.
#[derive(PartialEq, Eq)]
struct Outline {
    /// How many play.
    play: usize,
    seats: Seats,
    /// Its first lane is not drawn yet.
    spell: Spell,
}

impl Shape {
    /// The shapes that are spells of their own in this storm: where two threads a CPU are everybody, or
    /// there is one CPU only, some are the same. One whose readers would stay at idle priority for the
    /// rest of the storm is none of them.
    pub(super) fn distinct(plan: &Plan, lanes: u16) -> Vec<Shape> {
        let mut outlines = Vec::new();
        let mut is_new = |shape: &Shape| {
            let outline = shape.outline(plan, lanes);
            let new = !outlines.contains(&outline);
            outlines.push(outline);
            new
        };
        let comes_back = |shape: &Shape| !shape.traits().idle || plan.cpus.returns_from_idle();
        Shape::ALL.into_iter().filter(|shape| comes_back(shape) && is_new(shape)).collect()
    }

    fn outline(self, plan: &Plan, lanes: u16) -> Outline {
        let Traits { cast, in_play, hammer, spin, sleep, idle, longest } = self.traits();
        let cpus = plan.cpus.count();
        let play = match cast {
            Cast::OneEach => cpus,
            Cast::TwoEach | Cast::Couples => 2 * cpus,
            Cast::Everybody => plan.threads,
        };
        let play = play.clamp(2, plan.threads);
        let seats = match cast {
            Cast::OneEach if play <= cpus => Seats::Apart,
            Cast::Couples => Seats::Together,
            _ => Seats::Anywhere,
        };
        let lanes = match in_play {
            InPlay::One => 1,
            InPlay::Two => lanes.min(2),
            InPlay::All => lanes,
        };
        Outline {
            play,
            seats,
            spell: Spell { first_lane: 0, lanes, hammer, spin, sleep, idle, longest },
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(word: &str) -> Result<Shape, String> {
        let found = Shape::ALL.into_iter().find(|shape| shape.word() == word);
        found.ok_or_else(|| crate::vocabulary::unknown("shape", word, &Shape::ALL.map(Shape::word)))
    }
}

/// A spell as it is drawn: who plays in it, on which CPU, and what they do.
pub(super) struct Scene {
    /// What those that play do.
    pub spell: Spell,
    first_reader: usize,
    readers: usize,
    first_mutator: usize,
    mutators: usize,
    seats: Seats,
}

/// Who sits where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seats {
    Anywhere,
    /// Those that play are numbered through, and so are the CPUs.
    Apart,
    /// Readers are numbered, and so are mutators.
    Together,
}

/// Whose turn it is where not everybody plays.
///
/// The same workers play for some spells in a row: those that rested come back to cold caches, and to
/// a CPU that others have to leave first. With two CPUs and 64 threads it cost a seventh of the tears
/// and a twelfth of the operations when others came with every spell of 16 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The first of those that play, counted among readers and among mutators.
    first_reader: usize,
    first_mutator: usize,
    /// Spells until it is somebody else's.
    left: u32,
}

impl Turn {
    /// How many spells in a row.
    const SPELLS: u32 = 8;

    /// The first turn: anybody's.
    pub fn draw(rng: &mut Stream, plan: &Plan) -> Turn {
        Turn {
            first_reader: rng.below(plan.readers),
            first_mutator: rng.below(plan.threads - plan.readers),
            left: Turn::SPELLS,
        }
    }

    /// A spell of this turn begins. Those that play in the last one of a turn are followed by the next
    /// ones, so that nobody is left out.
    pub fn pass(&mut self, scene: &Scene, plan: &Plan) {
        self.left -= 1;
        if self.left == 0 {
            let mutators = plan.threads - plan.readers;
            self.first_reader = (self.first_reader + scene.readers) % plan.readers;
            self.first_mutator = (self.first_mutator + scene.mutators) % mutators;
            self.left = Turn::SPELLS;
        }
    }
}

impl Scene {
    /// Draws a spell of this shape. With fewer threads than it asks for all of them play.
    pub fn draw(rng: &mut Stream, shape: Shape, plan: &Plan, lanes: u16, turn: Turn) -> Scene {
        let (all_readers, all_mutators) = (plan.readers, plan.threads - plan.readers);
        let Outline { play, seats, mut spell } = shape.outline(plan, lanes);
        // At least one of each; the rest are mutators and readers at random.
        let most = all_readers.min(play - 1);
        let least = play.saturating_sub(all_mutators).max(1);
        let readers = match seats {
            Seats::Together => (play / 2).clamp(least, most.max(least)),
            _ => rng.between(least, most.max(least)),
        };
        // The lowest lane is read soonest: half of the spells begin there.
        let most_low = (lanes - spell.lanes) as usize;
        spell.first_lane = if rng.one_in(2) { 0 } else { rng.between(0, most_low) as u16 };
        Scene {
            spell,
            first_reader: turn.first_reader,
            readers,
            first_mutator: turn.first_mutator,
            mutators: play - readers,
            seats,
        }
    }

    /// Everybody plays: the scenario's workers in their lanes, noise in those beyond.
    pub fn script(script: &Script, plan: &Plan, lanes: u16) -> Scene {
        let own = script.layouts.len() as u16;
        // Without lanes beyond there is no noise, and the spell's lanes mean nothing.
        let noise = lanes.saturating_sub(own);
        let first_lane = own.min(lanes - 1);
        let apart = plan.threads <= plan.cpus.count();
        Scene {
            spell: Spell { first_lane, lanes: noise.max(1), hammer: 6, ..Spell::default() },
            first_reader: 0,
            readers: plan.readers,
            first_mutator: 0,
            mutators: plan.threads - plan.readers,
            seats: if apart { Seats::Apart } else { Seats::Anywhere },
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
        Some(match self.seats {
            Seats::Anywhere => None,
            Seats::Apart => plan.cpus.nth(before + number),
            Seats::Together => plan.cpus.nth(number),
        })
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
            shape: None,
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
        for shape in Shape::ALL {
            for (threads, readers) in [(2, 1), (3, 2), (3, 1), (64, 16), (64, 63), (64, 1)] {
                let plan = plan(threads, readers);
                let mut rng = Stream::new(5, "shape", threads);
                let mut played = vec![false; threads];
                let mut turn = Turn::draw(&mut rng, &plan);
                // Every turn passes on by one at least.
                for _ in 0..Turn::SPELLS * 63 {
                    let scene = Scene::draw(&mut rng, shape, &plan, 8, turn);
                    turn.pass(&scene, &plan);
                    let parts: Vec<bool> =
                        (0..threads).map(|w| scene.part(w, &plan).is_some()).collect();
                    let (reading, mutating) = parts.split_at(readers);
                    assert!(reading.contains(&true) && mutating.contains(&true));
                    assert!(scene.spell.first_lane + scene.spell.lanes <= 8);
                    played.iter_mut().zip(parts).for_each(|(played, plays)| *played |= plays);
                }
                assert!(!played.contains(&false), "{shape}: {threads} threads, {readers} readers");
            }
        }
    }

    #[test]
    fn a_shape_that_is_another_one_is_left_out() {
        let left_out = |threads: usize, cpus: usize, lanes: u16| {
            let plan = Plan { cpus: Cpus::first(cpus), ..plan(threads, 1) };
            let distinct = Shape::distinct(&plan, lanes);
            let left_out = Shape::ALL.into_iter().filter(|shape| !distinct.contains(shape));
            left_out.collect::<Vec<_>>()
        };
        assert_eq!(left_out(5, 2, 8), []);
        // Two a CPU are all there are, and may run anywhere.
        assert_eq!(left_out(4, 2, 8), [Shape::Queue]);
        assert_eq!(left_out(2, 8, 8), [Shape::Queue]);
        // Both of two lanes are all of them, but less is hammered there.
        assert_eq!(left_out(5, 2, 2), []);
        // Nobody has the only CPU to itself.
        assert_eq!(left_out(3, 1, 8), [Shape::Double]);
        assert_eq!(left_out(2, 1, 8), [Shape::Double, Shape::Queue]);
    }

    #[test]
    fn every_shape_has_a_word_of_its_own() {
        for shape in Shape::ALL {
            assert_eq!(shape.word().parse(), Ok(shape));
        }
        let error = "duell".parse::<Shape>().unwrap_err();
        assert!(error.contains("duell") && error.contains("same-cpu"), "{error}");
    }
}
