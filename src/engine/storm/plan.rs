//! What a storm is asked to do, and what came of it.

use super::MOST_DIFFERENCES;
use crate::engine::bandit::Bandit;
use crate::engine::modes::ModeSet;
use crate::engine::overlap::Overlap;
use crate::engine::pattern::Pattern;
use crate::engine::planted::Planted;
use crate::engine::quiesce::Difference;
use crate::engine::tally::Counts;
use crate::engine::workload::Workload;
use crate::host::{Cpus, Overdue, VmaLockCounts};
use crate::model::Op;
use crate::oracle::{Class, Contract};
use rustix::io::Errno;
use std::time::Duration;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All workers.
    pub threads: usize,
    /// Those that read; the others mutate.
    pub readers: usize,
    /// Threads beside the workers that fault in the arena.
    pub faulters: usize,
    /// How long.
    pub duration: Duration,
    /// The run's seed.
    pub seed: u64,
    /// What makes an anomaly a violation.
    pub contract: Contract,
    /// Whether each read call has to show one instant, whatever the contract: what reading under
    /// mmap_lock gives. It is no part of a stronger contract, because it says nothing of lines of
    /// different calls: up to 6.16, too, a VMA that grew in between is reported twice.
    pub one_instant: bool,
    /// How to read.
    pub modes: ModeSet,
    /// The only workload of slices; `None` to let the storm choose among those that differ in it.
    pub workload: Option<Workload>,
    /// vm.max_map_count, where the storm is to come up to it ([`Workload::Limit`]).
    pub map_limit: Option<u64>,
    /// Signatures that do not fail the run.
    pub allow: Vec<Pattern>,
    /// Stop at the first violation that is not allowed.
    pub fail_fast: bool,
    /// Stop at the first violation with one of these signatures, or beginnings of one.
    pub until: Vec<Pattern>,
    /// Stop when each of those has been found, and not at the first.
    pub until_all: bool,
    /// Time between two standstills.
    pub pause_every: Duration,
    /// Examples kept of each signature.
    pub keep: usize,
    /// A fault to plant, to see that it is found.
    pub inject: Option<Planted>,
    /// How long the kernel may keep a call before it is a stall.
    pub stall: Duration,
    /// CPUs that workers can run on.
    pub cpus: Cpus,
    /// The workers' niceness, if it is not to be that of the process.
    pub nice: Option<i32>,
}

impl Plan {
    /// All threads: readers first, then mutators, then faulters.
    pub fn threads_and_faulters(&self) -> usize {
        self.threads + self.faulters
    }
}

impl Default for Plan {
    /// A storm of one reader and one mutator for 10 s, judged by the series, which nothing ends sooner.
    fn default() -> Plan {
        Plan {
            threads: 2,
            readers: 1,
            faulters: 0,
            duration: Duration::from_secs(10),
            seed: 1,
            contract: Contract::Series,
            one_instant: false,
            modes: ModeSet::new(),
            workload: None,
            map_limit: None,
            allow: Vec::new(),
            fail_fast: false,
            until: Vec::new(),
            until_all: false,
            pause_every: Duration::from_secs(1),
            keep: 1,
            inject: None,
            stall: Duration::from_secs(10),
            cpus: Cpus::allowed(),
            nice: None,
        }
    }
}

/// How a storm ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its time was over.
    Time,
    /// By a signal, its number.
    Signal(i32),
    /// By the violation it was to stop at.
    FailFast,
    /// A worker's call did not come back; its thread could not be joined.
    Stall,
    /// Too many lanes were lost to failing operations, maps could not be read, or a worker did not
    /// come to rest at the end.
    Lost,
}

/// What goes wrong before or during a storm, other than a violation.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum StormError {
    #[error(
        "cannot start thread {index} of {threads} ({source}); raise RLIMIT_NPROC (ulimit -u), \
         kernel.threads-max or the cgroup's pids.max, or ask for fewer --threads"
    )]
    Spawn { index: usize, threads: usize, source: std::io::Error },
    #[error("cannot read /proc/self/maps ({0}); is /proc mounted, and does the sandbox allow it?")]
    Maps(Errno),
    #[error(
        "cannot load from the arena ({0}): SIGSEGV and SIGBUS can't be caught here, or huge pages not \
         kept out of the process; use --faulters 0"
    )]
    Loads(Errno),
    #[error(
        "cannot fill the address space up to vm.max_map_count ({0}): the limit has changed meanwhile, or \
         there is too little address space; use another --workload"
    )]
    Ballast(Errno),
    #[error("cannot make the first layout: {op}: {source}")]
    Prepare { op: Op, source: Errno },
}

/// A storm as it is now, to show progress.
pub struct Live<'a> {
    /// Time since the start.
    pub elapsed: Duration,
    /// All counters.
    pub counts: &'a Counts,
    /// Violations found, and those not allowed.
    pub violations: (u64, u64),
    /// Violations by class.
    pub by_class: [(Class, u64); Class::ALL.len()],
    /// Memory resident now.
    pub rss_bytes: u64,
}

/// A storm that is over.
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub elapsed: Duration,
    /// All counters.
    pub counts: Counts,
    /// Standstills at which the layouts were compared.
    pub standstills: u64,
    /// Lanes that differed at a standstill, the first few.
    pub differences: Vec<Difference>,
    /// Lanes that differed at a standstill.
    pub mismatches: u64,
    /// Lanes given a new layout after a failed operation.
    pub repaired: u64,
    /// Standstills and comparisons that could not be made, with the reason.
    pub lost: Option<String>,
    /// Standstills that did not come about, because a worker's call had not come back.
    pub standstills_missed: u64,
    /// The worker that did not come back.
    pub stalled: Option<u32>,
    /// Calls that took longer than they may and were no stalls.
    pub overdue: Overdue,
    /// The worker that did not come to rest at the end: its thread can't be joined.
    pub(super) left: Option<usize>,
    /// How long readers and mutators ran, and at once.
    pub overlap: Overlap,
    /// Slices played.
    pub slices: u64,
    /// Those with faulters in them.
    pub faulted_slices: u64,
    /// How long they took together.
    pub faulted: Duration,
    /// What the kernel counted of VMA locks meanwhile, where it does.
    pub vma_locks: Option<VmaLockCounts>,
    /// What the workloads of slices have brought; nothing in a scenario.
    pub workloads: Bandit,
}

impl Run {
    pub(super) fn new(workloads: Vec<Workload>) -> Run {
        Run {
            ended: Ended::Time,
            elapsed: Duration::ZERO,
            counts: Counts::default(),
            standstills: 0,
            differences: Vec::with_capacity(MOST_DIFFERENCES),
            mismatches: 0,
            repaired: 0,
            lost: None,
            standstills_missed: 0,
            stalled: None,
            overdue: Overdue::default(),
            left: None,
            overlap: Overlap::default(),
            slices: 0,
            faulted_slices: 0,
            faulted: Duration::ZERO,
            vma_locks: None,
            workloads: Bandit::new(workloads),
        }
    }
}
