//! The words of a judgement.

use super::clock::{Tick, Window};
use super::evidence::Mechanism;
use super::history::{Overrun, Version};
use crate::model::Observation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The contract asked for, weakest first.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// What the patch series promises: rules 1 to 5.
    #[default]
    Series,
    /// That, and addresses never go backwards: Documentation/filesystems/proc.rst, guarantee 1.
    Documented,
    /// That, and each read call shows one instant: what holding mmap_lock gives (up to 6.16).
    Snapshot,
}

impl Contract {
    /// All contracts, weakest first.
    pub const ALL: [Contract; 3] = [Contract::Series, Contract::Documented, Contract::Snapshot];

    /// The word `--contract` takes.
    pub const fn word(self) -> &'static str {
        match self {
            Contract::Series => "series",
            Contract::Documented => "documented",
            Contract::Snapshot => "snapshot",
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A promise, one line of the scorecard each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Rule {
    /// Rule 1: a VMA exactly like the line existed at an instant of the line's window.
    Existence,
    /// Rule 2: every page left out was unmapped at an instant, in order with the lines.
    NoHole,
    /// Rule 3: the instants never go back.
    Order,
    /// Rule 4: each line ends above the line before it.
    Progress,
    /// Rule 5: every line parses, and a walk ends only where nothing lies above.
    WholeLines,
    /// `proc.rst`, guarantee 1: no line starts below the end of the line before it.
    NeverBack,
    /// Everything that one call delivers was true at one instant.
    OneInstant,
    /// At a standstill the kernel's layout is the oracle's.
    Standstill,
    /// Every call comes back.
    Return,
}

impl Rule {
    /// All rules in the scorecard's order.
    pub const ALL: [Rule; 9] = [
        Rule::Existence,
        Rule::NoHole,
        Rule::Order,
        Rule::Progress,
        Rule::WholeLines,
        Rule::NeverBack,
        Rule::OneInstant,
        Rule::Standstill,
        Rule::Return,
    ];

    /// What the scorecard calls it.
    pub const fn promise(self) -> &'static str {
        match self {
            Rule::Existence => "every line existed",
            Rule::NoHole => "no hole",
            Rule::Order => "order",
            Rule::Progress => "progress",
            Rule::WholeLines => "whole lines",
            Rule::NeverBack => "addresses never go back",
            Rule::OneInstant => "each read was a snapshot",
            Rule::Standstill => "at a standstill maps is the oracle's",
            Rule::Return => "every call comes back",
        }
    }

    /// The weakest contract that makes the promise.
    pub const fn contract(self) -> Contract {
        match self {
            Rule::NeverBack => Contract::Documented,
            Rule::OneInstant => Contract::Snapshot,
            _ => Contract::Series,
        }
    }
}

/// The class of a violation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Class {
    /// Something mapped at every instant is missing.
    Hole,
    /// A line made of parts of two VMAs.
    Torn,
    /// A line that was true only before the window.
    Stale,
    /// A line that was never true.
    Unknown,
    /// A line or a hole that was true only before what was already seen.
    Disorder,
    /// A line that does not parse.
    Malformed,
    /// The file ends although something lies above.
    Truncated,
    /// The layout at a standstill is not the oracle's.
    Mismatch,
    /// A call that does not come back.
    Stall,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 9] = [
        Class::Hole,
        Class::Torn,
        Class::Stale,
        Class::Unknown,
        Class::Disorder,
        Class::Malformed,
        Class::Truncated,
        Class::Mismatch,
        Class::Stall,
    ];

    /// The first word of a signature. `torn`, `stale` and `unknown` are the three phantoms.
    pub const fn word(self) -> &'static str {
        match self {
            Class::Hole => "hole",
            Class::Torn => "torn",
            Class::Stale => "stale",
            Class::Unknown => "unknown",
            Class::Disorder => "disorder",
            Class::Malformed => "malformed",
            Class::Truncated => "truncated",
            Class::Mismatch => "mismatch",
            Class::Stall => "stall",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Allowed by the series, and counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Tolerated {
    /// A VMA reported again after it grew or merged downwards over what was reported: the line
    /// starts below the end of the line before it (cases 1, 2, 4, 7 of the series).
    Twice,
    /// A gap was reported, and then the VMA that filled it (cases 6 and 8).
    GapThenVma,
}

impl Tolerated {
    /// All of them.
    pub const ALL: [Tolerated; 2] = [Tolerated::Twice, Tolerated::GapThenVma];

    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Tolerated::Twice => "twice",
            Tolerated::GapThenVma => "gap-then-vma",
        }
    }

    /// What the kernel does to bring it about.
    pub const fn mechanism(self) -> &'static str {
        match self {
            Tolerated::Twice => {
                "the vma just reported grew or merged before the next lookup, which finds it again \
                 at its new size (fs/proc/task_mmu.c, proc_get_vma, goes on at the old end)"
            }
            Tolerated::GapThenVma => {
                "a gap was passed, then a vma grew or merged over it before the next lookup, which \
                 finds that vma from its start"
            }
        }
    }
}

/// What a rule says of a line, an answer or the end of a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Instants exist.
    Right,
    /// Instants exist, but not as the documentation has it.
    Tolerated(Tolerated),
    /// The history needed is gone, or an operation failed half-way.
    Undecided,
    /// No choice of instants exists.
    Wrong(Break),
}

impl From<Overrun> for Verdict {
    fn from(_: Overrun) -> Verdict {
        Verdict::Undecided
    }
}

/// Where a walk broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Break {
    /// The rule that no choice of instants satisfies.
    pub rule: Rule,
    /// The violation's class.
    pub class: Class,
    /// What a weaker contract tolerates it as, where only a stricter one forbids it.
    pub known: Option<Mechanism>,
    /// The lane it broke in, where one can be named.
    pub lane: Option<u16>,
    /// The end of the line before; `None` at the start of a walk in mid-file.
    pub pos: Option<u64>,
    /// Whether `pos` is the end of a reported line, and not where a query or a walk began.
    pub reported: bool,
    /// The line that breaks it; `None` for an end of file or "no VMA".
    pub observation: Option<Observation>,
    /// For a hole: the first address that was mapped at every instant left.
    pub missing: Option<u64>,
    /// For a hole: one past the last address that was passed over.
    pub gap_end: Option<u64>,
    /// The earliest instant that what was seen before allows.
    pub earliest: Tick,
    /// The lane's version at that instant: the last that still explains the walk.
    pub version: Version,
    /// The window of the line.
    pub window: Window,
}
