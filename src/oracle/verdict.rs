//! The words of a judgement.

use super::clock::{Tick, Window};
use super::evidence::Mechanism;
use super::history::{Overrun, Version};
use crate::model::{Geometry, Observation};
use crate::vocabulary::words;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The contract asked for, weakest first.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Contract {
    /// What the patch series promises: rules 1 to 5.
    #[default]
    Series,
    /// That, and addresses never go backwards: Documentation/filesystems/proc.rst, guarantee 1.
    Documented,
    /// That, and each read call shows one instant: what holding mmap_lock gives (up to 6.16).
    Snapshot,
}

words!(Contract, "contract");

/// A promise, one line of the scorecard each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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
    /// The kernel finds nothing wrong with itself.
    NoSplat,
}

words!(Rule, "promise");

impl Rule {
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
            Rule::NoSplat => "the kernel finds nothing wrong",
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
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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
    /// The kernel says that something is wrong with itself: WARN, BUG, oops, lockdep and the like.
    Splat,
}

words!(Class, "class");

/// Allowed by the series, and counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Tolerated {
    /// A VMA reported again after it grew or merged downwards over what was reported: the line
    /// starts below the end of the line before it (cases 1, 2, 4, 7 of the series).
    Twice,
    /// A gap was reported, and then the VMA that filled it (cases 6 and 8).
    GapThenVma,
}

words!(Tolerated, "tolerated anomaly");

impl Tolerated {
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

impl Break {
    /// Whether what is missing, or altered, lies outside of the arena: then it is known from the
    /// standstills, and no version tells of it.
    pub fn lies_outside(&self, geometry: &Geometry) -> bool {
        match (self.missing, self.rule, self.observation) {
            (Some(missing), ..) => !(geometry.base..geometry.end()).contains(&missing),
            (None, Rule::Existence, Some(seen)) => !geometry.overlaps(seen.start, seen.end),
            _ => false,
        }
    }
}
