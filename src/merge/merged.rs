//! What many runs come to.

use super::input::{Broken, Found};
use super::run::{Run, Score};
use crate::exit::Exit;
use crate::header::Header;
use crate::report::Verdict;
use crate::shard::Shard;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the JSON form.
const SCHEMA_VERSION: u32 = 1;

/// Many runs as one report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Merged {
    schema_version: u32,
    /// The merging: where and when.
    #[serde(flatten)]
    pub header: Header,
    /// The worst of the runs; without a violation `undecided` where shards are missing or broken.
    pub verdict: Verdict,
    /// Kernel by kernel, by the release.
    pub kernels: Vec<Kernel>,
    /// Shards of which there is no report: `3/4 of seed 0x7`.
    pub missing: Vec<String>,
    /// Files that should hold a report and hold none that is whole.
    pub broken: Vec<Broken>,
    /// All runs, the earliest first.
    pub runs: Vec<Run>,
}

/// What the runs on one kernel come to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Kernel {
    /// uname's release.
    pub kernel: String,
    /// uname's version.
    pub kernel_version: String,
    /// uname's machine.
    pub arch: String,
    /// The worst of its runs.
    pub verdict: Verdict,
    /// How many runs.
    pub runs: usize,
    /// On how many hosts.
    pub hosts: usize,
    /// How long they went on together.
    pub elapsed_ms: u64,
    /// Operations of all of them.
    pub operations: u64,
    /// Lines, answers and ends of file judged.
    pub checked_lines: u64,
    /// Windows judged.
    pub windows: u64,
    /// Windows that could not be judged.
    pub undecided: u64,
    /// Promise by promise.
    pub scorecard: Vec<Score>,
    /// Signature by signature, the earliest first.
    pub signatures: Vec<Signature>,
}

/// The violations of one signature on one kernel.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Signature {
    /// `class/mechanism/operations/reader`.
    pub signature: String,
    /// How many.
    pub count: u64,
    /// In how many runs.
    pub runs: usize,
    /// Whether each of these runs was told to allow it.
    pub allowed: bool,
    /// The least time from the start of a run to its first.
    pub first_at_ms: f64,
    /// The host of that run.
    pub host: String,
    /// The command of that run.
    pub command: String,
    /// The files with its examples in all runs, as the runs named them.
    pub files: Vec<String>,
}

impl Merged {
    /// Of what was found.
    pub fn new(header: Header, found: Found) -> Merged {
        let mut runs = found.runs;
        runs.sort_by(|one, two| one.id().cmp(&two.id()));
        runs.dedup_by(|later, earlier| later.id() == earlier.id());
        let mut by_kernel = BTreeMap::<[&str; 3], Vec<&Run>>::new();
        for run in &runs {
            let Header { kernel, kernel_version, arch, .. } = &run.header;
            by_kernel.entry([kernel, kernel_version, arch]).or_default().push(run);
        }
        let kernels: Vec<Kernel> = by_kernel.values().map(|runs| Kernel::of(runs)).collect();
        let missing = missing(&runs);
        let gaps = !missing.is_empty() || !found.broken.is_empty();
        let gap = gaps.then_some(Verdict::Undecided);
        let verdict = Verdict::of(kernels.iter().map(|kernel| kernel.verdict).chain(gap));
        let broken = found.broken;
        Merged { schema_version: SCHEMA_VERSION, header, verdict, kernels, missing, broken, runs }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self.runs.iter().any(Run::is_doubtful) {
            true => Exit::Internal,
            false => self.verdict.exit(None),
        }
    }
}

/// The shards without a report, of fleets of which there is one. A fleet is told by its seed and its
/// size.
fn missing(runs: &[Run]) -> Vec<String> {
    let mut fleets = BTreeMap::<(&str, u64), BTreeSet<Shard>>::new();
    for Header { shard, fleet_seed, .. } in runs.iter().map(|run| &run.header) {
        if let (Some(shard), Some(seed)) = (shard, fleet_seed) {
            fleets.entry((seed, shard.count())).or_default().insert(*shard);
        }
    }
    let mut missing = Vec::new();
    for ((seed, count), there) in fleets {
        let Some(&first) = there.first() else { continue };
        let all = (1..=count).map(|index| first.sibling(index));
        missing.extend(
            all.filter(|shard| !there.contains(shard))
                .map(|shard| format!("{shard} of seed {seed}")),
        );
    }
    missing
}

impl Kernel {
    /// Of runs on the same kernel; there is one at least.
    fn of(runs: &[&Run]) -> Kernel {
        let Header { kernel, kernel_version, arch, .. } = runs[0].header.clone();
        let hosts: BTreeSet<&str> = runs.iter().map(|run| run.header.host.as_str()).collect();
        let sum = |count: fn(&Run) -> u64| runs.iter().map(|run| count(run)).sum();
        Kernel {
            kernel,
            kernel_version,
            arch,
            verdict: Verdict::of(runs.iter().map(|run| run.verdict)),
            runs: runs.len(),
            hosts: hosts.len(),
            elapsed_ms: sum(|run| run.elapsed_ms),
            operations: sum(|run| run.operations.total),
            checked_lines: sum(|run| run.checked_lines),
            windows: sum(|run| run.windows),
            undecided: sum(|run| run.undecided),
            scorecard: scorecard(runs),
            signatures: signatures(runs),
        }
    }
}

/// The promises in the order of the runs' scorecards.
fn scorecard(runs: &[&Run]) -> Vec<Score> {
    let mut scores: Vec<Score> = Vec::new();
    for score in runs.iter().flat_map(|run| &run.scorecard) {
        match scores.iter_mut().find(|known| known.rule == score.rule) {
            Some(known) => {
                known.asked |= score.asked;
                known.checked += score.checked;
                known.broken += score.broken;
            }
            None => scores.push(score.clone()),
        }
    }
    scores
}

fn signatures(runs: &[&Run]) -> Vec<Signature> {
    let mut found = BTreeMap::<&str, Signature>::new();
    for run in runs {
        for violation in &run.violations {
            let one = Signature {
                signature: violation.signature.clone(),
                count: 0,
                runs: 0,
                allowed: true,
                first_at_ms: f64::INFINITY,
                host: String::new(),
                command: String::new(),
                files: Vec::new(),
            };
            let all = found.entry(&violation.signature).or_insert(one);
            all.count += violation.count;
            all.runs += 1;
            all.allowed &= violation.allowed;
            all.files.extend(violation.kept.iter().filter_map(|kept| kept.file.clone()));
            if violation.first_at_ms < all.first_at_ms {
                all.first_at_ms = violation.first_at_ms;
                all.host.clone_from(&run.header.host);
                all.command.clone_from(&run.header.command);
            }
        }
    }
    let mut found: Vec<Signature> = found.into_values().collect();
    found.sort_by(|one, two| one.first_at_ms.total_cmp(&two.first_at_ms));
    found
}

#[cfg(test)]
mod tests;
