//! Simulated kernels, many at a time, each read by the storm's own reader.

use super::report::{BugRow, ModelRow, Report};
use crate::console::{self, Progress};
use crate::engine::{Counts, Findings, Mode, Place, Reader, Settle, Surroundings, Tally};
use crate::header::Header;
use crate::kernel::{Answer, Identities, Line, MapsRead, QueryFlags};
use crate::oracle::{Break, Class, Oracle, Rule, Verdict, Walk, Window};
use crate::seed::Stream;
use crate::sim::{
    Bug, Deaf, Model, Process, Setup, SimFile, Watch, World, identities, tell_outside,
};
use rayon::prelude::*;
use rustix::io::Errno;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A bug that is not found within this many steps is missed by that kernel.
const PATIENCE: u64 = 2_000_000;
/// Steps of one right kernel; many short lives see more than one long one.
const LIFE: u64 = 400_000;
/// Kernels with the bug on that are run at least, so that there is a median.
const LEAST: u64 = 11;
/// And at most.
const MOST: u64 = 201;

/// Versions of the history that a verdict may rest on.
const VERSIONS: usize = 512;
/// The ways of reading, each as often as its share of the turns.
const MODES: [Mode; 8] = [
    Mode::Walk,
    Mode::Walk,
    Mode::Walk,
    Mode::Short,
    Mode::Short,
    Mode::Pread,
    Mode::Pread,
    Mode::Query,
];
/// Faults come after one turn in so many, and so many at a time.
const FAULT_AFTER: usize = 4;
const FAULTS: usize = 8;
/// Calls of one walk at most. Two bugs repeat a line for ever when the calls are shorter than it.
const CALLS: u32 = 4000;

/// What became of one simulated kernel.
pub(super) struct Life {
    pub steps: u64,
    pub undecided: u64,
    pub found: Option<Found>,
}

/// The first violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Its class.
    pub class: Class,
    /// The rules that were broken in the turn that found it.
    pub rules: Vec<Rule>,
    /// The reader's steps until the end of that turn.
    pub steps: u64,
}

/// A maps file in which no walk goes on for ever.
struct Bounded<'a> {
    file: SimFile<'a>,
    /// Where a call goes on with the walk, and the calls of the walk so far.
    next: u64,
    calls: u32,
}

impl MapsRead for Bounded<'_> {
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.calls = if offset == self.next { self.calls + 1 } else { 1 };
        if self.calls > CALLS {
            self.calls = 0;
            return Err(Errno::INTR);
        }
        let got = self.file.pread(buf, offset)?;
        self.next = offset + got as u64;
        Ok(got)
    }

    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        self.file.query(address, flags, answer)
    }
}

/// How big the kernel of a seed is.
fn setup(bug: Option<Bug>, seed: u64) -> Setup {
    let mut setup = Setup::draw(seed);
    match (bug, seed % 4) {
        (Some(bug), _) => setup = setup.for_bug(bug),
        // Operations that fail must not raise an alarm.
        (None, 0) => setup.failures = 30,
        (None, 1) => setup.spare = Some((seed / 4 % 8) as usize),
        (None, _) => {}
    }
    setup
}

/// One kernel, read by the storm's reader from its birth to the first verdict or the given number
/// of steps.
fn live(model: Model, bug: Option<Bug>, seed: u64, steps: u64) -> Life {
    if let Some(bug @ Bug::HistoryHeadFirst) = bug {
        return live_judged_once(bug, seed, steps);
    }
    let setup = setup(bug, seed);
    let oracle = setup.oracle(seed);
    let file = SimFile::new(World::new(&oracle, setup, model, bug, seed));
    let process = file.process().clone();
    let identities = identities(setup.geometry.page_shift);
    let outside = Surroundings::with_room(4, 1024, 4, 0);
    // What is found is counted, and no example of it kept.
    let findings = Findings::new(Vec::new(), false, 0, 0);
    // Every turn lies between two standstills, at which the lines outside of the arena are the same.
    let standstill = || {
        let told = outside.renew(&findings, |outside| {
            tell_outside(&setup.geometry, outside);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = told;
    };
    standstill();
    let tally = Tally::default();
    let place = Place {
        versions: VERSIONS,
        settle: Some(&process),
        ..Place::new(&oracle, &identities, &outside, &findings, &tally)
    };
    let source = Bounded { file, next: 0, calls: 0 };
    let mut reader = Reader::new(source, None, Stream::new(seed, "reader", 0), place)
        .with_one_instant(model.one_instant());
    let mut modes = Stream::new(seed, "modes", 0);
    let mut faults = Faults::new(&oracle, seed);
    while process.steps() < steps && findings.counts().0 == 0 {
        reader.turn(*modes.pick(&MODES));
        if modes.one_in(FAULT_AFTER) {
            faults.some(&process, &identities);
        }
        standstill();
        if let Some(found) = faults.found.take() {
            return Life {
                steps: process.steps(),
                undecided: faults.undecided,
                found: Some(found),
            };
        }
    }
    let mut counts = Counts::from(&tally);
    let broken_outside = outside.counts().broken;
    counts.broken.iter_mut().zip(broken_outside).for_each(|(sum, broken)| *sum += broken);
    let class = findings.with(|found, _| found.first().map(|found| found.signature.class));
    let steps = process.steps();
    let found = class.map(|class| Found { class, rules: broken(&counts, model), steps });
    Life { steps, undecided: counts.undecided + faults.undecided, found }
}

/// Page faults, each judged: what a fault finds is a VMA, or nothing, as it was at an instant of its
/// window. That is the rule of a query for the address alone.
struct Faults<'a> {
    oracle: &'a Oracle,
    walk: Walk<'a>,
    rng: Stream,
    undecided: u64,
    found: Option<Found>,
}

impl<'a> Faults<'a> {
    fn new(oracle: &'a Oracle, seed: u64) -> Faults<'a> {
        let rng = Stream::new(seed, "faults", 0);
        Faults { oracle, walk: Walk::new(oracle), rng, undecided: 0, found: None }
    }

    /// Some faults, anywhere.
    fn some(&mut self, process: &Process<'_>, identities: &Identities) {
        let geometry = self.oracle.geometry();
        for _ in 0..FAULTS {
            let lane = self.rng.below(geometry.lanes.into()) as u16;
            let page = self.rng.below(usize::from(geometry.pages) + 1);
            let address = geometry.address(lane, page);
            let from = self.oracle.clock().now();
            let line = process.fault(address);
            let window = Window { from, to: self.oracle.clock().now() };
            let seen = line.map(|line| identities.sight(&line));
            let judge = |walk: &mut Walk<'_>| walk.query(address, false, seen.as_ref(), window);
            let first = judge(&mut self.walk);
            if matches!(first, Verdict::Wrong(_)) {
                // Had an operation failed that is under way, nothing would be known of the lane.
                while !self.oracle.settled(lane, self.oracle.history(lane).head()) {
                    process.wait();
                }
            }
            match judge(&mut self.walk) {
                Verdict::Wrong(Break { rule, class, .. }) => {
                    let steps = process.steps();
                    self.found = Some(Found { class, rules: vec![rule], steps });
                    return;
                }
                Verdict::Undecided => self.undecided += 1,
                Verdict::Right | Verdict::Tolerated(_) => {}
            }
        }
    }
}

/// The same, read by the reader that says at once what it sees.
///
/// [`Bug::HistoryHeadFirst`] publishes a version before it is written down, for the time of a
/// worker's step. The storm's reader judges a violation once more when the operations it is about
/// have returned (`Judge::certain`); by then the version is there, and no alarm is raised. So the
/// bug does no harm to that reader, and the history is held to its promise by the one that judges
/// once.
fn live_judged_once(bug: Bug, seed: u64, steps: u64) -> Life {
    let setup = setup(Some(bug), seed);
    let oracle = setup.oracle(seed);
    let file = SimFile::new(World::new(&oracle, setup, bug.model(), Some(bug), seed));
    let mut watch = Watch::new(&oracle, file, bug.model(), seed, Deaf);
    let found = watch.run(steps);
    let found = found.map(|found| Found {
        class: found.class,
        rules: vec![found.rule],
        steps: found.steps,
    });
    Life { steps: watch.steps(), undecided: watch.tally().undecided, found }
}

/// The rules that were broken, of those that this model has to keep by the contract of the series.
fn broken(counts: &Counts, model: Model) -> Vec<Rule> {
    let judged = |rule: &Rule| match rule {
        Rule::NeverBack => false,
        Rule::OneInstant => model.one_instant(),
        _ => true,
    };
    let broken = |rule: &Rule| counts.broken[*rule as usize] > 0;
    Rule::ALL.into_iter().filter(judged).filter(broken).collect()
}

/// Whether a signal has arrived.
fn stopped(stop: &AtomicUsize) -> bool {
    // Relaxed: nothing else is published with it.
    stop.load(Ordering::Relaxed) != 0
}

/// Runs everything: the bugs first, then the right kernels for as long as there is time.
pub(super) fn sweep(
    header: Header,
    seed: u64,
    time: Duration,
    only: Option<Bug>,
    quiet: bool,
    stop: &AtomicUsize,
) -> Report {
    let begun = Instant::now();
    let bugs: Vec<Bug> = match only {
        Some(bug) => vec![bug],
        None => Bug::ALL.to_vec(),
    };
    let models = if only.is_some() { &[][..] } else { &Model::ALL[..] };
    let (here, all) = (Progress::here(quiet), bugs.len() + models.len());
    let each = time / (2 * bugs.len().max(1) as u32);
    let hunted = bugs.iter().enumerate().map(|(i, &bug)| {
        progress(here, i, all, bug.word());
        hunt(bug, seed, each, stop)
    });
    let bug_rows = hunted.collect();
    let mut model_rows = Vec::new();
    for (i, &model) in models.iter().enumerate() {
        progress(here, bugs.len() + i, all, model.word());
        let left = time.saturating_sub(begun.elapsed()) / (models.len() - i) as u32;
        model_rows.push(endure(model, seed, left.max(time / 20), stop));
    }
    console::clear();
    // Relaxed: nothing else is published with it.
    let interrupted = Some(stop.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0);
    Report { header, elapsed: begun.elapsed(), interrupted, bugs: bug_rows, models: model_rows }
}

/// Shows what is under way, on a terminal only: a log gets the table soon enough.
fn progress(progress: Progress, done: usize, of: usize, what: &str) {
    if progress == Progress::Terminal {
        progress.show(&format!("{done} of {of} done, now {what}"));
    }
}

/// Kernels with one bug on, until there are enough of them and the time is over.
fn hunt(bug: Bug, seed: u64, time: Duration, stop: &AtomicUsize) -> BugRow {
    let begun = Instant::now();
    let deadline = begun + time;
    let mut lives: Vec<Life> = Vec::new();
    let batch = rayon::current_num_threads().max(LEAST as usize) as u64;
    while (lives.len() as u64) < LEAST || (lives.len() as u64) < MOST && Instant::now() < deadline {
        if stopped(stop) {
            break;
        }
        let first = seed.wrapping_add(lives.len() as u64);
        let more = (0..batch).into_par_iter();
        lives.par_extend(
            more.map(|i| live(bug.model(), Some(bug), first.wrapping_add(i), PATIENCE)),
        );
    }
    BugRow::of(bug, &lives, begun.elapsed())
}

/// Right kernels, one after the other on each core, until the time is over.
fn endure(model: Model, seed: u64, time: Duration, stop: &AtomicUsize) -> ModelRow {
    let begun = Instant::now();
    let mut row = ModelRow::of(model);
    let batch = 8 * rayon::current_num_threads() as u64;
    while begun.elapsed() < time && !stopped(stop) {
        let first = seed.wrapping_add(row.kernels);
        let over = || begun.elapsed() >= time || stopped(stop);
        let lives: Vec<Option<(u64, Life)>> = (0..batch)
            .into_par_iter()
            .map(|i| first.wrapping_add(i))
            .map(|seed| (!over()).then(|| (seed, live(model, None, seed, LIFE))))
            .collect();
        lives.iter().flatten().for_each(|(seed, life)| row.add(*seed, life));
    }
    row.elapsed = begun.elapsed();
    row
}
