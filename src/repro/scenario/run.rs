//! Running a scenario on the storm's engine.

use super::aim::{AimError, aim, ends_at, offsets, span_of, text_of};
use super::{Scenario, ScenarioError};
use crate::allocations;
use crate::engine::{
    Counts, Course, Dropped, Found, LayoutMarks, Live, Lock, Mode, OpSet, Pattern, Plan, Reading,
    Run, Script, Storm, StormError, Unpredicted, calibrate, first_fresh, lay_out, merge_rules,
};
use crate::kernel::{Arena, MapsFile, Mm, ReserveError};
use crate::model::{KindSet, Layout, MAX_FILES, MergeRules, Op};
use crate::oracle::Contract;
use rustix::io::Errno;
use std::sync::Arc;
use std::time::Duration;

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// How long at most.
    pub duration: Duration,
    /// The seed of what the readers draw, and of the noise.
    pub seed: u64,
    /// What makes an anomaly a violation.
    pub contract: Contract,
    /// Whether each call on maps has to show one instant, whatever the contract: what reading
    /// under mmap_lock gives.
    pub maps_at_once: bool,
    /// The same for smaps, which may be read under another lock.
    pub smaps_at_once: bool,
    /// Signatures that do not count as alarming.
    pub allow: Vec<Pattern>,
    /// Stop at the first violation that is not allowed.
    pub fail_fast: bool,
    /// Stop at the first violation with one of these signatures, or beginnings of one: `hole`, for
    /// instance, or `hole/replaced-in-flight/remap/walk`.
    pub until: Vec<Pattern>,
    /// Workers beside the scenario's, a storm in lanes of its own: a quarter of them read.
    pub noise: usize,
    /// The operations of the noise: those that calibration proves, tried on two lanes before
    /// anything lies there.
    pub may: Option<OpSet>,
    /// Time between two standstills.
    pub pause_every: Duration,
    /// How long a call may take before it is a stall.
    pub stall: Duration,
}

impl Default for RunPlan {
    fn default() -> RunPlan {
        RunPlan {
            duration: Duration::from_secs(5),
            seed: 0,
            contract: Contract::Series,
            maps_at_once: false,
            smaps_at_once: false,
            allow: Vec::new(),
            fail_fast: false,
            until: Vec::new(),
            noise: 0,
            may: None,
            pause_every: Duration::from_secs(1),
            stall: Duration::from_secs(10),
        }
    }
}

impl RunPlan {
    /// Whether each call on a file that is read under `lock` has to show one instant.
    fn at_once(&self, lock: Lock) -> bool {
        match lock {
            Lock::Maps => self.maps_at_once,
            Lock::Smaps => self.smaps_at_once,
        }
    }
}

/// Why a scenario did not run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum RunError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    #[error(transparent)]
    Aim(#[from] AimError),
    #[error("nothing can be tested here: {0}")]
    Calibrate(String),
    #[error("this kernel does not offer its reader {mode} ({source}); {takes}")]
    NoReader { mode: Mode, source: Errno, takes: &'static str },
    #[error("this kernel does not do its operation {op}: {}", std::io::Error::from(*.source))]
    Refused { op: Op, source: Errno },
    #[error(transparent)]
    Storm(#[from] StormError),
}

/// A scenario that was run.
pub struct ScenarioRun {
    /// The engine, with the violations and the counters of all workers.
    pub storm: Arc<Storm>,
    /// How it went. Its counters are of all workers, those of the noise included.
    pub run: Run,
    /// Number of the scenario's readers; they are the first workers.
    pub readers: usize,
    /// Number of the scenario's mutators.
    pub mutators: usize,
    /// Lines that were made below the lanes.
    pub padding: usize,
    /// Whether the page of output still ended at the boundary after the run; `None` without one,
    /// or when the lanes were left in another layout than the first.
    pub aimed: Option<bool>,
    /// Calls that calibration for the noise did not predict, in words: each is a violation, too.
    pub unpredicted: Vec<String>,
    /// Heap allocations between start and stop, where they are counted.
    pub allocations: u64,
}

impl ScenarioRun {
    /// What one of the scenario's readers did.
    pub fn reader(&self, index: usize) -> Counts {
        assert!(index < self.readers);
        self.storm.worker(index)
    }

    /// What all of the scenario's readers did.
    pub fn reading(&self) -> Counts {
        let mut sum = Counts::default();
        (0..self.readers).for_each(|reader| sum.merge(&self.storm.worker(reader)));
        sum
    }

    /// What the scenario's mutators did.
    pub fn mutating(&self) -> Counts {
        let first = self.storm.plan().readers;
        let mut sum = Counts::default();
        (first..first + self.mutators).for_each(|mutator| sum.merge(&self.storm.worker(mutator)));
        sum
    }

    /// Calls `f` with the violations by signature, oldest first, and with the number of those for
    /// which there was no room.
    pub fn with_findings<R>(&self, f: impl FnOnce(&[Box<Found>], u64) -> R) -> R {
        self.storm.findings().with(f)
    }

    /// Violations whose signature matches: how many, and when the first was found.
    pub fn found(&self, pattern: &Pattern) -> (u64, Option<Duration>) {
        self.with_findings(|found, _| {
            let hits = found.iter().filter(|found| pattern.matches(&found.signature));
            let first = hits.clone().map(|found| found.first_ns).min();
            (hits.map(|found| found.count).sum(), first.map(Duration::from_nanos))
        })
    }
}

/// Runs a scenario until its time is over, what it waits for is found, or `signal` gives a number.
/// It can be called again: threads, lanes and padding go when the run is dropped.
///
/// # Errors
/// When it can't be run here.
pub fn run(
    scenario: &Scenario,
    plan: &RunPlan,
    signal: impl Fn() -> Option<i32>,
) -> Result<ScenarioRun, RunError> {
    run_showing(scenario, plan, signal, |_| {})
}

/// The same, with `show` called some times a second.
///
/// # Errors
/// When it can't be run here.
pub fn run_showing(
    scenario: &Scenario,
    plan: &RunPlan,
    signal: impl Fn() -> Option<i32>,
    show: impl FnMut(&Live<'_>),
) -> Result<ScenarioRun, RunError> {
    scenario.check()?;
    let layouts = scenario.layouts()?;
    let noise = Noise::of(plan.noise);
    offered(&scenario.readers)?;
    let lanes = layouts.len() + noise.lanes;
    let mut arena = Arena::reserve(lanes, scenario.pages as usize)?;
    arena.have_files(MAX_FILES)?;
    let (may, unpredicted) = match plan.may {
        Some(may) => (may, Vec::new()),
        None => op_set(&arena, noise.mutators > 0)?,
    };
    for ops in &scenario.mutators {
        lay_out_all(&arena, may.rules, &layouts)?;
        carry_out_alone(&arena, ops)?;
    }
    lay_out_all(&arena, may.rules, &layouts)?;
    let target = scenario.boundary.map(|b| arena.geometry().address(b.lane, b.page as usize));
    let (padding, readers) = readings(scenario, plan, &mut arena, target)?;
    let loops: Vec<Arc<[Op]>> = scenario.mutators.iter().map(|ops| ops.clone().into()).collect();
    let (first_mode, script_readers) = (scenario.readers[0], readers.len());
    let script = Script {
        views: LayoutMarks::new(*arena.geometry(), may.rules, &layouts, &loops),
        layouts,
        loops,
        readers,
    };
    let plan = engine_plan(scenario, plan, &noise);
    let storm = Arc::new(Storm::scripted(arena, plan, may, script)?);
    let words = unpredicted.iter().map(|found| found.words.clone()).collect();
    storm.findings().unpredicted(unpredicted);
    let before = allocations::count();
    let run = storm.run(signal, show, allocations::arm, |_| {})?;
    let aimed = target.and_then(|target| still_aimed(&storm, first_mode, target));
    Ok(ScenarioRun {
        storm,
        run,
        readers: script_readers,
        mutators: scenario.mutators.len(),
        padding,
        aimed,
        unpredicted: words,
        allocations: allocations::count() - before,
    })
}

/// Whether this kernel offers all ways of reading.
///
/// # Errors
/// The first that it does not.
fn offered(readers: &[Mode]) -> Result<(), RunError> {
    for &mode in readers {
        let lacks = |source| RunError::NoReader { mode, source, takes: mode.takes() };
        mode.offered().map_err(lacks)?;
    }
    Ok(())
}

fn lay_out_all(arena: &Arena, rules: MergeRules, layouts: &[Layout]) -> Result<(), StormError> {
    (0..).zip(layouts).try_for_each(|(lane, layout)| {
        let made = lay_out(arena, rules, lane, layout, first_fresh(lane));
        made.map(drop).map_err(|(op, source)| StormError::Prepare { op, source })
    })
}

/// Does the operations of a loop once round with no other thread about. All of them fit where the loop
/// has come to, so one that fails is not offered here, and to race it would test nothing.
fn carry_out_alone(arena: &Arena, ops: &[Op]) -> Result<(), RunError> {
    let refused = |op: &Op, source| RunError::Refused { op: *op, source };
    ops.iter().try_for_each(|op| arena.carry_out(op).map_err(|source| refused(op, source)))
}

/// The workers beside the scenario's.
struct Noise {
    readers: usize,
    mutators: usize,
    lanes: usize,
}

impl Noise {
    fn of(workers: usize) -> Noise {
        let readers = workers / 4;
        let mutators = workers - readers;
        Noise { readers, mutators, lanes: mutators.min(8) }
    }
}

/// How the noise reads: as a storm does, each reader for itself.
fn noise_reads() -> impl Iterator<Item = Mode> {
    let alone = |mode: &Mode| mode.course().is_some_and(|course| course != Course::Shared);
    Mode::ALL.into_iter().filter(|mode| mode.is_default()).filter(alone)
}

fn engine_plan(scenario: &Scenario, plan: &RunPlan, noise: &Noise) -> Plan {
    let readers = scenario.readers.len() + noise.readers;
    Plan {
        threads: readers + scenario.mutators.len() + noise.mutators,
        readers,
        faulters: 0,
        duration: plan.duration,
        seed: plan.seed,
        contract: plan.contract,
        one_instant: plan.maps_at_once,
        modes: noise_reads().collect(),
        allow: plan.allow.clone(),
        fail_fast: plan.fail_fast,
        until: plan.until.clone(),
        pause_every: plan.pause_every,
        stall: plan.stall,
        ..Plan::default()
    }
}

/// What the noise may do on this kernel: everything that calibration proves, tried on two lanes
/// before anything lies there. And what it did not predict.
fn op_set(arena: &Arena, noise: bool) -> Result<(OpSet, Vec<Unpredicted>), RunError> {
    let all = OpSet::full(KindSet::all(), arena.file_count());
    let mut file = MapsFile::own().map_err(StormError::Maps)?;
    let failed =
        |dropped: Dropped| RunError::Calibrate(format!("{}: {}", dropped.what, dropped.why));
    if !noise {
        let rules = merge_rules(arena, &mut file).map_err(failed)?;
        return Ok((OpSet { rules, ..all }, Vec::new()));
    }
    let calibration = calibrate(arena, &mut file, all).map_err(failed)?;
    let kinds = calibration.kinds();
    Ok((OpSet { kinds, ..calibration.may }, calibration.unpredicted))
}

/// Makes the padding and gives each reader its part.
fn readings(
    scenario: &Scenario,
    plan: &RunPlan,
    arena: &mut Arena,
    target: Option<u64>,
) -> Result<(usize, Vec<Reading>), AimError> {
    // smaps is always read by pages.
    let later_reads = |mode: Mode| scenario.later_reads.filter(|_| !mode.has_details());
    let by_pages = |mode: Mode| mode.course() == Some(Course::Pages) && later_reads(mode).is_none();
    let of_pages = |mode: &&Mode| by_pages(**mode);
    let padding = match (target, scenario.readers.iter().find(of_pages)) {
        (Some(target), Some(&mode)) => aim(arena, mode, target)?,
        _ => 0,
    };
    let geometry = arena.geometry();
    let (low, high) = (geometry.base, geometry.address(scenario.lanes.len() as u16, 0));
    let reading = |&mode: &Mode| {
        let line_before = |there: bool| {
            let at = target.filter(|_| there);
            at.map(|target| offsets(mode, target)).transpose()
        };
        let from_bottom = matches!(mode.course(), Some(Course::Pages | Course::Pieces));
        let steps = from_bottom && !by_pages(mode);
        let first_read = match line_before(steps)? {
            Some((_, start)) => Some(start as usize),
            None => scenario.first_read.map(|bytes| bytes as usize),
        };
        Ok(Reading {
            mode,
            contract: plan.contract,
            one_instant: plan.at_once(mode.lock()),
            first_read,
            later_reads: later_reads(mode).map(|bytes| bytes as usize),
            text: span_of(mode, low, high)?,
            offsets: line_before(mode.begins_in_middle())?,
        })
    };
    let readings = scenario.readers.iter().map(reading).collect::<Result<_, AimError>>()?;
    Ok((padding, readings))
}

/// Reads again whether the page ends at the boundary: only lanes as they were tell.
fn still_aimed(storm: &Storm, mode: Mode, target: u64) -> Option<bool> {
    if mode.course() != Some(Course::Pages) {
        return None;
    }
    for (lane, layout) in storm.first_layouts().iter().enumerate() {
        let rules = storm.oracle().rules();
        lay_out(storm.arena(), rules, lane as u16, layout, first_fresh(lane as u16)).ok()?;
    }
    ends_at(&text_of(mode).ok()?, target).ok()
}
