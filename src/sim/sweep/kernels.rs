//! Simulated kernels, many at a time.

use super::report::{BugRow, ModelRow, Report};
use crate::console::{self, Progress};
use crate::header::Header;
use crate::oracle::Oracle;
use crate::sim::{Bug, Deaf, Found, Model, Setup, SimFile, Watch, World};
use rayon::prelude::*;
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

/// What became of one simulated kernel.
pub(super) struct Life {
    pub steps: u64,
    pub undecided: u64,
    pub found: Option<Found>,
}

/// One kernel, from its birth to the first verdict or the given number of steps.
fn live(model: Model, bug: Option<Bug>, seed: u64, steps: u64) -> Life {
    let mut setup = Setup::draw(seed);
    if bug == Some(Bug::HistoryTailStays) {
        // An overrun needs a history that is soon full.
        setup.history = 8;
    }
    if bug.is_none() && seed.is_multiple_of(4) {
        // Operations that fail must not raise an alarm.
        setup.failures = 30;
    }
    let oracle = Oracle::new(setup.geometry, &setup.initial(seed), setup.history);
    let world = World::new(&oracle, setup, model, bug, seed);
    let mut watch = Watch::new(&oracle, SimFile::new(world), model, seed, Deaf);
    let found = watch.run(steps);
    Life { steps: watch.steps(), undecided: watch.tally().undecided, found }
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
        progress(here, i, all, bug.name());
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
