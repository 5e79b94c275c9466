//! Counters of what workers do: one block for each worker, added up for the report.

use super::layout_marks::View;
use super::modes::Mode;
use crate::model::{Case, Change, Kind};
use crate::oracle::{Rule, Tolerated};
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

const KINDS: usize = Kind::ALL.len();
const MODES: usize = Mode::COUNT;
const RULES: usize = Rule::ALL.len();
const TOLERATED: usize = Tolerated::ALL.len();
const CHANGES: usize = Change::COUNT;
const VIEWS: usize = View::COUNTED.len();

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident $([$len:ident])?),* $(,)?) => {
        /// One worker's counters. Only the worker writes them.
        #[derive(Default)]
        #[repr(align(128))]
        pub struct Tally {
            $($(#[$doc])* pub(super) $name: counters!(@cell $($len)?),)*
        }

        /// Counters as plain numbers, of one worker or summed over several.
        #[derive(Clone, Default, PartialEq, Eq, Debug)]
        pub struct Counts {
            $($(#[$doc])* pub $name: counters!(@plain $($len)?),)*
        }

        impl From<&Tally> for Counts {
            fn from(tally: &Tally) -> Counts {
                let mut counts = Counts::default();
                counts.add(tally);
                counts
            }
        }

        impl Counts {
            /// Adds a worker's counters as they stand.
            pub fn add(&mut self, tally: &Tally) {
                $(counters!(@add self, tally, $name $($len)?);)*
            }

            /// Adds other counts.
            pub fn merge(&mut self, other: &Counts) {
                $(counters!(@merge self, other, $name $($len)?);)*
            }
        }
    };
    (@cell) => { AtomicU64 };
    (@cell $len:ident) => { [AtomicU64; $len] };
    (@plain) => { u64 };
    (@plain $len:ident) => { [u64; $len] };
    (@add $sum:ident, $tally:ident, $name:ident) => {
        // Relaxed: numbers for people, read while they change.
        $sum.$name += $tally.$name.load(Ordering::Relaxed)
    };
    (@merge $sum:ident, $other:ident, $name:ident) => {
        $sum.$name += $other.$name
    };
    (@merge $sum:ident, $other:ident, $name:ident $len:ident) => {
        for (sum, n) in $sum.$name.iter_mut().zip(&$other.$name) {
            *sum += n;
        }
    };
    (@add $sum:ident, $tally:ident, $name:ident $len:ident) => {
        for (sum, cell) in $sum.$name.iter_mut().zip(&$tally.$name) {
            *sum += cell.load(Ordering::Relaxed);
        }
    };
}

counters! {
    /// Operations that succeeded, by [`Kind`].
    operations[KINDS],
    /// Operations that failed.
    failed,
    /// Those that failed for want of room for another VMA, and left all as it was.
    refused_at_limit,
    /// Those that may have been half done then.
    half_done_at_limit,
    /// Read calls and queries, by [`Mode`].
    calls[MODES],
    /// Read calls and queries that have come back, each counted at once: a sign of life.
    returned,
    /// Walks begun: sequences of read calls after a seek.
    walks,
    /// Lines that were parsed.
    lines,
    /// Lines, answers and ends of file that were judged against the oracle.
    checked,
    /// Lines outside of the arena that lie where the last standstill had none: nothing is known of them.
    strangers,
    /// Windows that were judged: calls that delivered at least one checked line or answer.
    windows,
    /// Windows with at least one line that could not be judged.
    undecided,
    /// Loads from the arena, by faulters.
    loads,
    /// Page faults that they brought about.
    faults,
    /// Those that were refused, by SIGSEGV or SIGBUS.
    refused,
    /// Those of them that should not have been: the page could be read all the time.
    refused_readable,
    /// Those of which that can't be told.
    refused_undecided,
    /// Those that had an operation under way in their lane.
    met,
    /// Calls that failed.
    errors,
    /// Windows in which at least one operation was in flight or took effect.
    busy,
    /// Windows in which nothing happened, and after which an operation was still in flight: its mutator
    /// stood still in the middle of it, and a reader went past.
    held,
    /// Lines at a changing place: a VMA began or ended there, between the line before and this one,
    /// that did not before. Those that are wrong for another reason, too.
    places,
    /// Verdicts that were wrong, by [`Rule`], whether or not the contract asked for makes them
    /// violations.
    broken[RULES],
    /// Calls whose lines could be tried for a common instant.
    tried_instants,
    /// Anomalies that the series tolerates, by [`Tolerated`].
    tolerated[TOLERATED],
    /// Those of them that the contract asked for forbids.
    forbidden[TOLERATED],
    /// What operations that succeeded made of their pages, by [`Change`]; of a move, two.
    changes[CHANGES],
    /// Bytes read.
    bytes,
    /// Walks and queries by what they showed of a scenario, by [`View::COUNTED`].
    views[VIEWS],
}

/// What comes before a tear, counted: none of it is wrong by itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NearMisses {
    /// Lines at a changing place.
    pub places: u64,
    /// VMAs told twice, and gaps followed by the VMA that filled them.
    pub twice: u64,
    /// Windows in which an operation was in flight or took effect.
    pub busy: u64,
    /// Calls that went past an operation whose mutator stood still: had it stood in the middle of a change
    /// to the tree, a lookup that waits for the rest of it would not have come back.
    pub held: u64,
}

impl Add for NearMisses {
    type Output = NearMisses;

    fn add(self, other: NearMisses) -> NearMisses {
        NearMisses {
            places: self.places + other.places,
            twice: self.twice + other.twice,
            busy: self.busy + other.busy,
            held: self.held + other.held,
        }
    }
}

impl Sub for NearMisses {
    type Output = NearMisses;

    fn sub(self, earlier: NearMisses) -> NearMisses {
        NearMisses {
            places: self.places - earlier.places,
            twice: self.twice - earlier.twice,
            busy: self.busy - earlier.busy,
            held: self.held - earlier.held,
        }
    }
}

impl Counts {
    /// How often a kind of anomaly came that the contract asked for allows.
    pub fn tolerated(&self, kind: Tolerated) -> u64 {
        self.tolerated[kind as usize].saturating_sub(self.forbidden[kind as usize])
    }

    /// Calls of PROCMAP_QUERY.
    pub fn queries(&self) -> u64 {
        Mode::ALL.into_iter().filter(|mode| mode.is_query()).map(|mode| self.calls_of(mode)).sum()
    }

    /// Read calls and queries of one way of reading.
    pub fn calls_of(&self, mode: Mode) -> u64 {
        self.calls[mode as usize]
    }

    /// How often an operation was `case`: some are two, most are none, of a move each end counts.
    pub fn case(&self, case: Case) -> u64 {
        let which = Change::all().filter(|change| change.cases().has(case));
        which.map(|change| self.changes[change.index()]).sum()
    }
}

impl Tally {
    /// Calls that have come back, of a reader.
    pub(super) fn returned(&self) -> u64 {
        // Relaxed: compared with itself a long time later.
        self.returned.load(Ordering::Relaxed)
    }

    /// What this worker counted that comes before a tear.
    pub(super) fn near_misses(&self) -> NearMisses {
        // Relaxed: they steer the next slice, roughly.
        NearMisses {
            places: self.places.load(Ordering::Relaxed),
            twice: self.tolerated.iter().map(|cell| cell.load(Ordering::Relaxed)).sum(),
            busy: self.busy.load(Ordering::Relaxed),
            held: self.held.load(Ordering::Relaxed),
        }
    }

    /// Adds to a counter of this worker's own.
    #[inline]
    pub(super) fn add(cell: &AtomicU64, n: u64) {
        // Relaxed and no read-modify-write: one writer.
        cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
}
