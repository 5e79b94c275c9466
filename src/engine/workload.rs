//! The workloads: ways to spend a slice.
//!
//! Threads that wait for a CPU tear nothing, so how the parts are given matters more than how many
//! threads there are. A [`Workload`] is one way to spend a slice; which one comes next is for
//! [`Bandit`](super::bandit::Bandit) to say.

use super::lineup::Sharing;
use super::scheduler::Slice;
use super::storm::Plan;
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
    /// One worker a CPU; what is mapped is filled with memory, so that each call that takes it away
    /// takes long.
    Filled,
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
    /// One worker a CPU; mutators are taken to a reader's CPU time and again, wherever in an operation
    /// they are, and brought back.
    Moved,
    /// All workers, in all lanes.
    Crowd,
    /// All workers, in one lane.
    Queue,
    /// One worker a CPU; the mm has nearly as many VMAs as it may have, so that calls fail.
    Limit,
}

/// The workers that take part, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crew {
    /// As many as there are CPUs, each on its own.
    OneEach,
    /// Twice as many, anywhere.
    TwoEach,
    /// Readers and mutators in equal number, one of both on each CPU.
    Pairs,
    /// All.
    All,
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
    crew: Crew,
    in_play: InPlay,
    hammer: u8,
    spin: u8,
    sleep: u8,
    idle: bool,
    longest: u8,
    populate: bool,
    full: bool,
    moved: bool,
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
            Workload::Filled => "the same, no pauses, vmas filled with memory",
            Workload::Pair => "one worker a cpu, two lanes",
            Workload::PairPaused => "the same, pauses up to 4 us",
            Workload::Scatter => "one worker a cpu, all lanes",
            Workload::Double => "two workers a cpu, anywhere",
            Workload::SameCpu => "a reader and a mutator on each cpu",
            Workload::Idle => "the same, readers at idle priority",
            Workload::Moved => "mutators taken to a reader's cpu in mid-operation",
            Workload::Crowd => "everybody, all lanes",
            Workload::Queue => "everybody, one lane",
            Workload::Limit => "one worker a cpu, one lane, nearly vm.max_map_count vmas",
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
        match self.traits().crew {
            Crew::OneEach => 2,
            Crew::TwoEach | Crew::Pairs | Crew::All => 1,
        }
    }

    /// Whether it takes nearly as many VMAs as the mm may have.
    pub const fn is_full(self) -> bool {
        self.traits().full
    }

    /// Whether a reader and a mutator may have to share a CPU although there is one for each.
    pub const fn shares_cpus(self) -> bool {
        matches!(self.traits().crew, Crew::Pairs) || self.traits().moved
    }

    /// Whether mutators are taken to a reader's CPU in mid-operation.
    pub const fn moves(self) -> bool {
        self.traits().moved
    }

    const fn traits(self) -> Traits {
        const DUEL: Traits = Traits {
            crew: Crew::OneEach,
            in_play: InPlay::One,
            hammer: 8,
            spin: 0,
            sleep: 0,
            idle: false,
            longest: 0,
            populate: false,
            full: false,
            moved: false,
        };
        match self {
            Workload::Duel => DUEL,
            Workload::Paused => Traits { spin: 12, ..DUEL },
            Workload::Slow => Traits { spin: 15, ..DUEL },
            Workload::Small => Traits { spin: 12, longest: 3, ..DUEL },
            Workload::Filled => Traits { populate: true, ..DUEL },
            Workload::Pair => Traits { in_play: InPlay::Two, hammer: 6, ..DUEL },
            Workload::PairPaused => Traits { in_play: InPlay::Two, hammer: 6, spin: 12, ..DUEL },
            Workload::Scatter => Traits { in_play: InPlay::All, hammer: 2, ..DUEL },
            Workload::Double => Traits { crew: Crew::TwoEach, ..DUEL },
            Workload::SameCpu => Traits { crew: Crew::Pairs, ..DUEL },
            Workload::Idle => Traits { crew: Crew::Pairs, sleep: 16, idle: true, ..DUEL },
            Workload::Moved => Traits { moved: true, ..DUEL },
            Workload::Crowd => Traits { crew: Crew::All, in_play: InPlay::All, hammer: 6, ..DUEL },
            Workload::Queue => Traits { crew: Crew::All, ..DUEL },
            Workload::Limit => Traits { full: true, ..DUEL },
        }
    }
}

/// What of a slice follows from its workload alone, in a given storm.
#[derive(PartialEq, Eq)]
pub(super) struct Outline {
    /// How many play.
    pub play: usize,
    pub sharing: Sharing,
    /// Whether mutators are taken to a reader's CPU in mid-operation.
    pub moved: bool,
    /// Its first lane is not drawn yet.
    pub slice: Slice,
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
        let has_room = |workload: &Workload| !workload.is_full() || plan.map_limit.is_some();
        Workload::ALL
            .into_iter()
            .filter(has_room)
            .filter(|workload| comes_back(workload) && is_new(workload))
            .collect()
    }

    pub(super) fn outline(self, plan: &Plan, lanes: u16) -> Outline {
        let Traits { crew, in_play, hammer, spin, sleep, idle, longest, populate, full, moved } =
            self.traits();
        let cpus = plan.cpus.count();
        let play = match crew {
            Crew::OneEach => cpus,
            Crew::TwoEach | Crew::Pairs => 2 * cpus,
            Crew::All => plan.threads,
        };
        let play = play.clamp(2, plan.threads);
        let sharing = match crew {
            Crew::OneEach if play <= cpus => Sharing::Apart,
            Crew::Pairs => Sharing::Together,
            _ => Sharing::Anywhere,
        };
        let lanes = match in_play {
            InPlay::One => 1,
            InPlay::Two => lanes.min(2),
            InPlay::All => lanes,
        };
        Outline {
            play,
            // Where all keep to a CPU of their own there is one to be taken to.
            moved: moved && sharing == Sharing::Apart,
            sharing,
            slice: Slice {
                first_lane: 0,
                lanes,
                hammer,
                spin,
                sleep,
                idle,
                longest,
                populate,
                full,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Cpus;

    fn plan(threads: usize, readers: usize) -> Plan {
        Plan { threads, readers, ..Plan::default() }
    }

    #[test]
    fn a_workload_that_is_another_one_is_left_out() {
        let left_out = |threads: usize, cpus: usize, lanes: u16| {
            let plan = Plan { cpus: Cpus::first(cpus), map_limit: Some(1000), ..plan(threads, 1) };
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
        assert_eq!(left_out(3, 1, 8), [Workload::Double, Workload::Moved]);
        let left = [Workload::Double, Workload::Moved, Workload::Queue];
        assert_eq!(left_out(2, 1, 8), left);
    }

    #[test]
    fn the_limit_is_played_where_it_is_known() {
        let distinct = |map_limit| {
            let plan = Plan { cpus: Cpus::first(2), map_limit, ..plan(5, 1) };
            Workload::distinct(&plan, 8).contains(&Workload::Limit)
        };
        assert!(distinct(Some(1000)));
        assert!(!distinct(None));
    }

    #[test]
    fn every_workload_has_a_word_of_its_own() {
        for workload in Workload::ALL {
            assert_eq!(workload.word().parse(), Ok(workload));
        }
        let error = "duell".parse::<Workload>().unwrap_err();
        assert!(error.contains("duell") && error.contains("same-cpu"), "{error}");
    }
}
