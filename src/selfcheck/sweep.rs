//! Simulated kernels, many at a time.

use super::report::{BugRow, ModelRow, Report};
use crate::oracle::Oracle;
use crate::sim::{Bug, Deaf, Found, Model, Shape, SimFile, Watch, World};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
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
    let mut shape = Shape::draw(seed);
    if bug == Some(Bug::HistoryTailStays) {
        // An overrun needs a history that is soon full.
        shape.history = 8;
    }
    if bug.is_none() && seed.is_multiple_of(4) {
        // Operations that fail must not raise an alarm.
        shape.failures = 30;
    }
    let oracle = Oracle::new(shape.geometry, &shape.initial(seed), shape.history);
    let world = World::new(&oracle, shape, model, bug, seed);
    let mut watch = Watch::new(&oracle, SimFile::new(world), model, seed, Deaf);
    let found = watch.run(steps);
    Life { steps: watch.steps(), undecided: watch.tally().undecided, found }
}

/// Runs everything: the bugs first, then the right kernels for as long as there is time.
pub(super) fn sweep(seed: u64, time: Duration, only: Option<Bug>, stop: &AtomicBool) -> Report {
    let begun = Instant::now();
    let bugs: Vec<Bug> = match only {
        Some(bug) => vec![bug],
        None => Bug::ALL.to_vec(),
    };
    let models = if only.is_some() { &[][..] } else { &Model::ALL[..] };
    let bar = progress(bugs.len() + models.len());
    let each = time / (2 * bugs.len().max(1) as u32);
    let bug_rows = bugs
        .iter()
        .map(|&bug| {
            bar.set_message(bug.name());
            let row = hunt(bug, seed, each, stop);
            bar.inc(1);
            row
        })
        .collect();
    let mut model_rows = Vec::new();
    for (i, &model) in models.iter().enumerate() {
        bar.set_message(model.word());
        let left = time.saturating_sub(begun.elapsed()) / (models.len() - i) as u32;
        model_rows.push(endure(model, seed, left.max(time / 20), stop));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let interrupted = stop.load(Ordering::Relaxed);
    Report { seed, elapsed: begun.elapsed(), interrupted, bugs: bug_rows, models: model_rows }
}

/// Only on a terminal, and without a thread of its own.
fn progress(steps: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Kernels with one bug on, until there are enough of them and the time is over.
fn hunt(bug: Bug, seed: u64, time: Duration, stop: &AtomicBool) -> BugRow {
    let deadline = Instant::now() + time;
    let mut lives: Vec<Life> = Vec::new();
    let batch = rayon::current_num_threads().max(LEAST as usize) as u64;
    while (lives.len() as u64) < LEAST || (lives.len() as u64) < MOST && Instant::now() < deadline {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let first = seed.wrapping_add(lives.len() as u64);
        let more = (0..batch).into_par_iter();
        lives.par_extend(
            more.map(|i| live(bug.model(), Some(bug), first.wrapping_add(i), PATIENCE)),
        );
    }
    BugRow::of(bug, &lives)
}

/// Right kernels, one after the other on each core, until the time is over.
fn endure(model: Model, seed: u64, time: Duration, stop: &AtomicBool) -> ModelRow {
    let begun = Instant::now();
    let mut row = ModelRow::of(model);
    let batch = 8 * rayon::current_num_threads() as u64;
    while begun.elapsed() < time && !stop.load(Ordering::Relaxed) {
        let first = seed.wrapping_add(row.kernels);
        let over = || begun.elapsed() >= time || stop.load(Ordering::Relaxed);
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
