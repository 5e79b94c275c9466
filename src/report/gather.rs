//! From a storm that is over to its report.

use super::data::{
    Ending, FailedAtLimit, FaultersReport, KeptExample, KernelLogReport, Operations, OutsideReport,
    OverdueCalls, Reads, SCHEMA_VERSION, Score, Standstills, StormReport, Violation, WorkloadCount,
};
use super::example::{example_text, in_short};
use super::overlap::OverlapReport;
use super::verdict::Verdict;
use crate::count::counted;
use crate::engine::{
    ArmStats, Counts, Dropped, Ended, Found, Mode, NoEvidence, RefusedLoad, Run, Signature, Storm,
    Workload,
};
use crate::evidence::Kept;
use crate::header::Header;
use crate::host::{MapsLocking, taint, thread_files, thread_words};
use crate::model::{Case, Kind, KindSet, MergeRule};
use crate::oracle::{Class, Contract, Mechanism, Rule, Tolerated};
use std::collections::BTreeMap;

/// Of the windows judged, this many in a thousand may be undecided.
pub(crate) const MOST_UNDECIDED_PER_MILLE: u64 = 10;
/// A run that judged fewer lines than this says nothing.
pub(crate) const FEWEST_CHECKED: u64 = 100;

/// What the report says that the storm does not know.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    /// The program, the machine and the run.
    pub header: &'a Header,
    /// How maps is read.
    pub locking: MapsLocking,
    /// What was dropped.
    pub dropped: &'a [Dropped],
    /// How the kernel merges, as calibration found; nothing where it could not be decided.
    pub merge_rules: Vec<(MergeRule, Option<bool>)>,
    /// What calls left that the model does not predict, in words.
    pub unpredicted: Vec<String>,
    /// Heap allocations counted.
    pub allocations: Option<u64>,
    /// What became of the examples.
    pub kept: &'a [Kept],
}

/// Merge rules by their words.
pub fn merge_rules(rules: &[(MergeRule, Option<bool>)]) -> BTreeMap<&'static str, Option<bool>> {
    rules.iter().map(|(rule, has)| (rule.word(), *has)).collect()
}

impl StormReport {
    /// The report of a run that is over.
    pub fn new(storm: &Storm, run: &Run, around: &Circumstances<'_>) -> StormReport {
        let plan = storm.plan();
        let counts = &run.counts;
        let geometry = storm.arena().geometry();
        let (violations, violations_beyond) = violations(storm, around.kept);
        let (all, alarming) = storm.findings().counts();
        let by_mode = Mode::ALL.map(|mode| (mode.word(), counts.calls_of(mode)));
        let by_kind = Kind::ALL.map(|kind| (kind.word(), counts.operations[kind as usize]));
        StormReport {
            schema_version: SCHEMA_VERSION,
            header: around.header.clone(),
            maps_locking: around.locking,
            elapsed_ms: run.elapsed.as_millis() as u64,
            verdict: verdict(storm, run),
            ended: ending(run),
            threads: plan.threads,
            readers: plan.readers,
            nice: plan.nice,
            lanes: geometry.lanes as usize,
            pages: geometry.pages as usize,
            page_span: (geometry.page_size() / rustix::param::page_size() as u64) as usize,
            dropped: around.dropped.iter().map(|d| [d.what.clone(), d.why.clone()]).collect(),
            merge_rules: merge_rules(&around.merge_rules),
            unpredicted: around.unpredicted.clone(),
            operations: Operations {
                total: counts.operations.iter().sum(),
                failed: counts.failed,
                failed_at_limit: plan.map_limit.map(|max_map_count| FailedAtLimit {
                    max_map_count,
                    unchanged: counts.refused_at_limit,
                    half_done: counts.half_done_at_limit,
                }),
                by_kind: by_kind.into_iter().collect(),
                cases: Case::ALL
                    .map(|case| (case.number(), counts.case(case)))
                    .into_iter()
                    .collect(),
            },
            reads: Reads {
                calls: counts.calls.iter().sum::<u64>() - counts.queries(),
                walks: counts.walks,
                queries: counts.queries(),
                lines: counts.lines,
                bytes: counts.bytes,
                failed: counts.errors,
                by_mode: by_mode.into_iter().collect(),
            },
            checked_lines: counts.checked,
            windows: counts.windows,
            busy_windows: counts.busy,
            undecided: counts.undecided,
            tolerated: Tolerated::ALL
                .map(|kind| (kind.word(), counts.tolerated(kind)))
                .into_iter()
                .collect(),
            scorecard: scorecard(storm, run),
            violations,
            violations_beyond,
            allowed_violations: all - alarming,
            standstills: Standstills {
                checked: run.standstills,
                mismatches: run.mismatches,
                repaired: run.repaired,
                missed: run.standstills_missed,
                differences: run.differences.iter().map(ToString::to_string).collect(),
            },
            outside: outside(storm, counts),
            kernel_log: KernelLogReport {
                watched: storm.log_trouble().is_none(),
                why: storm.log_trouble().map(|errno| errno.to_string()),
                taint_before: storm.taint_before(),
                taint_after: taint(),
            },
            faulters: faulters(storm, run),
            overdue_calls: OverdueCalls::from(run.overdue),
            overlap: OverlapReport::from(run.overlap),
            slices: run.slices,
            workloads: workloads(run),
            allocations_in_storm: around.allocations,
            peak_rss_bytes: peak_rss(),
        }
    }
}

fn faulters(storm: &Storm, run: &Run) -> Option<FaultersReport> {
    let counts = &run.counts;
    (storm.plan().faulters > 0).then(|| FaultersReport {
        threads: storm.plan().faulters,
        slices: run.faulted_slices,
        played_ms: run.faulted.as_millis() as u64,
        loads: counts.loads,
        faults: counts.faults,
        refused: counts.refused,
        refused_readable: counts.refused_readable,
        refused_undecided: counts.refused_undecided,
        first_refused: storm.refused_load().as_ref().map(refused_words),
        met_operation: counts.met,
        vma_locks: run.vma_locks,
    })
}

fn refused_words(load: &RefusedLoad) -> String {
    let RefusedLoad { lane, page, address, window, versions, layouts } = load;
    let mut words = format!(
        "SIGSEGV at {address:#x} (lane {lane} page {page}), which could be read at every instant from \
         tick {} to tick {}: lane {lane} was {}",
        window.from, window.to, layouts[0]
    );
    if versions.0 != versions.1 {
        words += &format!(
            ", and then, {}, {}",
            counted(versions.1 - versions.0, "operation"),
            layouts[1]
        );
    }
    words
}

fn outside(storm: &Storm, counts: &Counts) -> OutsideReport {
    let outside = storm.outside();
    OutsideReport {
        lines: outside.lines,
        changed: outside.changed,
        left_out: outside.left_out,
        not_judged: counts.strangers,
        undecided: outside.undecided,
    }
}

fn verdict(storm: &Storm, run: &Run) -> Verdict {
    let counts = &run.counts;
    let (all, alarming) = storm.findings().counts();
    let too_many = counts.undecided * 1000 > counts.windows * MOST_UNDECIDED_PER_MILLE;
    if alarming > 0 {
        Verdict::Violated
    } else if run.lost.is_some() || too_many || counts.checked < FEWEST_CHECKED || counts.busy == 0
    {
        Verdict::Undecided
    } else if all > 0 {
        Verdict::Allowed
    } else {
        Verdict::Upheld
    }
}

fn ending(run: &Run) -> Ending {
    match run.ended {
        Ended::Time => Ending::Time,
        Ended::Signal(number) => Ending::Signal(number),
        Ended::FailFast => Ending::FailFast,
        Ended::Stall => Ending::Stall { tid: run.stalled, state: thread_state(run.stalled) },
        Ended::Lost => Ending::Lost(run.lost.clone().unwrap_or_default()),
    }
}

/// Where a thread is stuck: its system call, wait channel and kernel stack, as far as readable.
fn thread_state(tid: Option<u32>) -> String {
    let Some(tid) = tid else { return String::new() };
    thread_words(&thread_files(tid as i32)).trim_end().into()
}

fn scorecard(storm: &Storm, run: &Run) -> Vec<Score> {
    let counts: &Counts = &run.counts;
    let outside = storm.outside();
    let asked = storm.plan().contract;
    let score = |rule: Rule| {
        let (checked, broken) = match rule {
            Rule::Standstill => {
                (run.standstills * storm.arena().geometry().lanes as u64, run.mismatches)
            }
            Rule::Return => {
                let calls =
                    counts.calls.iter().sum::<u64>() + counts.operations.iter().sum::<u64>();
                (calls, u64::from(matches!(run.ended, Ended::Stall)))
            }
            Rule::NoSplat => {
                let splats = storm.findings().by_class().into_iter();
                let splats =
                    splats.filter(|(class, _)| *class == Class::Splat).map(|(_, n)| n).sum();
                (u64::from(storm.log_trouble().is_none()), splats)
            }
            Rule::OneInstant => (counts.tried_instants, counts.broken[rule as usize]),
            _ => (counts.checked, counts.broken[rule as usize] + outside.broken[rule as usize]),
        };
        Score {
            rule,
            promise: rule.promise(),
            contract: rule.contract(),
            asked: rule.contract() <= asked || rule == Rule::OneInstant && storm.plan().one_instant,
            checked,
            broken,
        }
    };
    Rule::ALL.into_iter().map(score).collect()
}

fn violations(storm: &Storm, kept: &[Kept]) -> (Vec<Violation>, u64) {
    let words = |kinds: KindSet| kinds.iter().map(Kind::word).collect();
    storm.findings().with(|found, beyond| {
        let violations = found.iter().map(|found| Violation {
            signature: found.signature.to_string(),
            rule: broken(found),
            class: found.signature.class.word(),
            mechanism: found.signature.mechanism.map(|mechanism| mechanism.word()),
            reader: found.signature.mode,
            operations: words(found.signature.in_flight),
            count: found.count,
            first_at_ms: found.first_ns as f64 / 1e6,
            allowed: found.allowed,
            example: example_text(found, storm.arena()),
            in_short: in_short(found, storm.arena().geometry()),
            no_example: found.lost().map(NoEvidence::sentence),
            kept: kept
                .iter()
                .filter(|kept| kept.signature == found.signature)
                .map(KeptExample::from)
                .collect(),
        });
        (violations.collect(), beyond)
    })
}

/// The rule that a violation breaks. Its example says so; without one the signature has to do.
fn broken(found: &Found) -> Rule {
    if let Some((example, _)) = found.examples().first() {
        return example.evidence.found.rule;
    }
    let Signature { class, mechanism, .. } = found.signature;
    match (mechanism.map(Mechanism::contract), class) {
        (Some(Contract::Documented), _) => Rule::NeverBack,
        (Some(Contract::Snapshot), _) => Rule::OneInstant,
        (_, Class::Hole) => Rule::NoHole,
        (_, Class::Torn | Class::Stale | Class::Unknown) => Rule::Existence,
        (_, Class::Disorder) => Rule::Order,
        (_, Class::Malformed | Class::Truncated) => Rule::WholeLines,
        (_, Class::Mismatch) => Rule::Standstill,
        (_, Class::Stall) => Rule::Return,
        (_, Class::Splat) => Rule::NoSplat,
    }
}

/// The high-water mark of resident memory, in bytes.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn workloads(run: &Run) -> Vec<WorkloadCount> {
    let played = run.workloads.arms().filter(|(_, standing)| standing.slices > 0);
    let count = |(workload, standing): (Workload, &ArmStats)| WorkloadCount {
        workload: workload.word(),
        about: workload.about(),
        slices: standing.slices,
        ms: standing.time.as_millis() as u64,
        places: standing.near.places,
        twice: standing.near.twice,
        busy: standing.near.busy,
        tears: standing.tears,
    };
    played.map(count).collect()
}
