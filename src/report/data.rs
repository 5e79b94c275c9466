//! A run as data; the JSON form is this structure.

use super::overlap::OverlapReport;
use super::verdict::Verdict;
use crate::engine::Mode;
use crate::evidence::{Checked, Kept};
use crate::exit::Exit;
use crate::header::Header;
use crate::host::{MapsLocking, Overdue, VmaLockCounts};
use crate::oracle::{Class, Contract, Rule};
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the JSON form; raised when a field changes its meaning or goes away.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// How the run came to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The time was over.
    Time,
    /// A signal.
    Signal(i32),
    /// The first violation, as `--fail-fast` asks.
    FailFast,
    /// A call that did not come back.
    Stall {
        /// Thread id of the worker.
        tid: Option<u32>,
        /// What the kernel tells of it.
        state: String,
    },
    /// Something made further judging impossible.
    Lost(String),
}

/// What there is to know of the kernel's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KernelLogReport {
    /// Whether it was watched.
    pub watched: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The kernel's taint before the storm.
    pub taint_before: Option<u64>,
    /// The same after it.
    pub taint_after: Option<u64>,
}

/// What the mutators did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Operations {
    /// Operations that succeeded.
    pub total: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Those of them that failed at vm.max_map_count, in a storm that comes up to it.
    pub failed_at_limit: Option<FailedAtLimit>,
    /// Those that succeeded, by kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// Those that were one of the ten merges and splits, by its number.
    pub cases: BTreeMap<u8, u64>,
}

/// Operations that failed because the address space has as many VMAs as it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct FailedAtLimit {
    /// The limit.
    pub max_map_count: u64,
    /// Those that left all as it was.
    pub unchanged: u64,
    /// Those that may be half done: their lanes were not known until they were emptied.
    pub half_done: u64,
}

/// What the readers did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reads {
    /// Read calls.
    pub calls: u64,
    /// Walks: read calls that follow one another after a seek.
    pub walks: u64,
    /// PROCMAP_QUERY calls.
    pub queries: u64,
    /// Lines parsed.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls by way of reading.
    pub by_mode: BTreeMap<&'static str, u64>,
}

/// What the slices of one workload brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorkloadCount {
    /// The workload.
    pub workload: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Slices played.
    pub slices: u64,
    /// How long they took together; one that is tried at random is shorter.
    pub ms: u64,
    /// Near misses: lines at a changing place.
    pub places: u64,
    /// Near misses: VMAs told twice, and gaps followed by the VMA that filled them.
    pub twice: u64,
    /// Near misses: windows in which an operation was in flight or took effect.
    pub busy: u64,
    /// Violations, allowed ones included, that came to light in its slices.
    pub tears: u64,
}

/// One promise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Score {
    /// The rule.
    pub rule: Rule,
    /// The promise.
    pub promise: &'static str,
    /// The weakest contract that makes it.
    pub contract: Contract,
    /// Whether the contract of this run makes it.
    pub asked: bool,
    /// How often it was put to the test.
    pub checked: u64,
    /// How often it was broken, allowed signatures included.
    pub broken: u64,
}

/// The violations with one signature.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Violation {
    /// `class/mechanism/operations/reader`.
    pub signature: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// The class.
    pub class: &'static str,
    /// The mechanism, where one explains it.
    pub mechanism: Option<&'static str>,
    /// The way of reading.
    pub reader: Option<Mode>,
    /// Operations in flight.
    pub operations: Vec<&'static str>,
    /// How many.
    pub count: u64,
    /// When the first was found.
    pub first_at_ms: f64,
    /// Whether `--allow` names it.
    pub allowed: bool,
    /// The first one in full, for people.
    pub example: Vec<String>,
    /// The same in at most six short lines.
    pub in_short: Vec<String>,
    /// Why there is no example, when a reader found the violation and none could be kept.
    pub no_example: Option<&'static str>,
    /// Its examples that were looked at.
    pub kept: Vec<KeptExample>,
}

impl Violation {
    /// Whether a reader found it, so that there is something to be read again.
    pub fn replays(&self) -> bool {
        self.reader.is_some() && self.class != Class::Stall.word()
    }
}

/// What became of one example of a signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeptExample {
    /// What the second checker said: `proved`, `witnessed` (a stall, whose account is consistent),
    /// `undecided` or `disagrees`.
    pub second_checker: &'static str,
    /// How it disagrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// Why there is none although `--out` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_saved: Option<String>,
}

impl From<&Kept> for KeptExample {
    fn from(kept: &Kept) -> KeptExample {
        let (second_checker, disagreement) = match &kept.checked {
            Checked::Proved => ("proved", None),
            Checked::Witnessed => ("witnessed", None),
            Checked::Undecided => ("undecided", None),
            Checked::Disagrees(why) => ("disagrees", Some(why.clone())),
        };
        KeptExample {
            second_checker,
            disagreement,
            file: kept.path.as_ref().map(|path| path.display().to_string()),
            not_saved: kept.trouble.clone(),
        }
    }
}

/// The comparisons while nothing moved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standstills {
    /// How many.
    pub checked: u64,
    /// Lanes that differed.
    pub mismatches: u64,
    /// Lanes given a new layout, after a failed operation or a mismatch.
    pub repaired: u64,
    /// Those that did not come about, because a call had not come back.
    pub missed: u64,
    /// The first differences.
    pub differences: Vec<String>,
}

/// What lies outside of the arena, from standstill to standstill.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct OutsideReport {
    /// Lines at the last standstill, held against every walk since.
    pub lines: u64,
    /// Lines that a standstill had and the next one had not, or not so: of these nothing is judged.
    pub changed: u64,
    /// Lines for which there was no room: of these nothing is judged.
    pub left_out: u64,
    /// Lines that walks showed where the standstill before had none: of these nothing is judged.
    pub not_judged: u64,
    /// Lines that walks lacked, and that had changed at the next standstill.
    pub undecided: u64,
}

/// What the faulters did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FaultersReport {
    /// How many there were.
    pub threads: usize,
    /// Slices in which they played.
    pub slices: u64,
    /// How long these took together.
    pub played_ms: u64,
    /// Loads from the arena.
    pub loads: u64,
    /// Page faults that they brought about, as the faulters counted them.
    pub faults: u64,
    /// Those that were refused by a signal.
    pub refused: u64,
    /// Those of them that should not have been: the page could be read at every instant. Violations.
    pub refused_readable: u64,
    /// Those of which that can't be told.
    pub refused_undecided: u64,
    /// The first that should not have been, in words.
    pub first_refused: Option<String>,
    /// Those with an operation under way in their lane.
    pub met_operation: u64,
    /// What the kernel says of VMA locks, for the time of the storm and all processes of the machine;
    /// nothing where it does not count (CONFIG_PER_VMA_LOCK_STATS).
    pub vma_locks: Option<VmaLockCounts>,
}

/// Calls that took longer than `--stall` and were no stalls: the kernel did not keep them, or it
/// can't be told that it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct OverdueCalls {
    /// Of threads that were runnable and got no CPU, or too little.
    pub waiting_for_cpu: u64,
    /// Of threads stopped by a signal or a debugger.
    pub stopped: u64,
    /// Of threads that ran in user mode.
    pub user_mode: u64,
    /// Of threads that do nothing one can tell.
    pub undecided: u64,
    /// The longest, as far as it was watched.
    pub longest_ms: u64,
}

impl From<Overdue> for OverdueCalls {
    fn from(overdue: Overdue) -> OverdueCalls {
        OverdueCalls {
            waiting_for_cpu: overdue.for_cpu,
            stopped: overdue.stopped,
            user_mode: overdue.user_mode,
            undecided: overdue.undecided,
            longest_ms: overdue.longest.as_millis() as u64,
        }
    }
}

impl OverdueCalls {
    /// How many.
    pub fn total(&self) -> u64 {
        self.waiting_for_cpu + self.stopped + self.user_mode + self.undecided
    }
}

/// A run of the storm.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StormReport {
    /// Version of this form.
    pub schema_version: u32,
    /// The program, the machine and the run.
    #[serde(flatten)]
    pub header: Header,
    /// How maps is read here.
    pub maps_locking: MapsLocking,
    /// How long the storm went on.
    pub elapsed_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// How it ended.
    pub ended: Ending,
    /// All workers.
    pub threads: usize,
    /// Those that read.
    pub readers: usize,
    /// The workers' niceness, where `--nice` gave one.
    pub nice: Option<i32>,
    /// Lanes of the arena.
    pub lanes: usize,
    /// Pages of a lane.
    pub pages: usize,
    /// Pages of memory that a page of a lane stands for.
    pub page_span: usize,
    /// Operation kinds and ways the storm did without, each with the reason.
    pub dropped: Vec<[String; 2]>,
    /// How the kernel merges, by rule: whether it has it, null where that could not be decided.
    pub merge_rules: BTreeMap<&'static str, Option<bool>>,
    /// What calls left at calibration that the model does not predict: a violation each.
    pub unpredicted: Vec<String>,
    /// What the mutators did.
    pub operations: Operations,
    /// What the readers did.
    pub reads: Reads,
    /// Lines, answers and ends of file judged.
    pub checked_lines: u64,
    /// Windows judged.
    pub windows: u64,
    /// Windows during which at least one tick passed.
    pub busy_windows: u64,
    /// Windows that could not be judged.
    pub undecided: u64,
    /// Anomalies that the series tolerates, without those that the contract of this run forbids.
    pub tolerated: BTreeMap<&'static str, u64>,
    /// Promise by promise.
    pub scorecard: Vec<Score>,
    /// Violations, those allowed included, in the order of their first.
    pub violations: Vec<Violation>,
    /// Violations with a signature for which there was no room.
    pub violations_beyond: u64,
    /// How many of all violations `--allow` names.
    pub allowed_violations: u64,
    /// Comparisons while nothing moved.
    pub standstills: Standstills,
    /// Lines outside of the arena.
    pub outside: OutsideReport,
    /// The kernel's log.
    pub kernel_log: KernelLogReport,
    /// What faulters did; nothing where there were none.
    pub faulters: Option<FaultersReport>,
    /// Calls that took longer than `--stall` and were no stalls.
    pub overdue_calls: OverdueCalls,
    /// How much of the time a reader and a mutator ran at once.
    pub overlap: OverlapReport,
    /// Slices played.
    pub slices: u64,
    /// What they brought, by workload; a workload that was never played is left out.
    pub workloads: Vec<WorkloadCount>,
    /// Heap allocations between start and stop, where they were counted.
    pub allocations_in_storm: Option<u64>,
    /// The most memory resident at any time.
    pub peak_rss_bytes: u64,
}

impl StormReport {
    /// Violations on which the checkers differ, with the reason. One of the two is wrong, and the
    /// verdict may be.
    pub fn disagreements(&self) -> impl Iterator<Item = (&str, &str)> {
        self.violations.iter().flat_map(|violation| {
            let reasons = violation.kept.iter().filter_map(|kept| kept.disagreement.as_deref());
            reasons.map(|why| (violation.signature.as_str(), why))
        })
    }

    /// The files in which violations were kept.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let kept = self.violations.iter().flat_map(|violation| &violation.kept);
        kept.filter_map(|kept| kept.file.as_deref())
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        if self.disagreements().next().is_some() {
            return Exit::Internal;
        }
        let signal = match self.ended {
            Ending::Signal(number) => Some(number),
            _ => None,
        };
        self.verdict.exit(signal)
    }
}
