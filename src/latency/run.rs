//! A run: samples of all columns by turns, until done, stopped, or hung.

use super::args::LatencyArgs;
use super::facts::MachineFacts;
use super::failure::Failure;
use super::file::Saved;
use super::hang;
use super::meter::Meter;
use super::outcome::{Column, Ended, KIND, Outcome, SCHEMA_VERSION, Setup};
use super::overhead;
use super::placement::{Placement, place};
use super::plan::{Condition, Reader, Role, conditions, order};
use super::probe::probe;
use super::region::PAUSE;
use super::sample::{self, Spec, Taken};
use super::team::SCANNER_NICE;
use crate::command_line::with_seed;
use crate::console::{self, Progress};
use crate::header::Header;
use crate::host::{Limits, Machine, allowed_cpus, pin};
use crate::seed;
use anyhow::Context;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Measures what `args` ask for. Ends early, with what is there, when `stop` is not 0.
///
/// # Errors
/// A [`super::Failure`] for what cannot be asked for here; anything else is an environment error.
pub fn measure(
    args: &LatencyArgs,
    stop: &AtomicUsize,
    progress: Progress,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let allowed = allowed_cpus().context("cannot learn which CPUs may be used")?;
    let placement =
        place(&allowed, args.mapper_cpu, args.scanner_cpus.as_deref(), args.scanners as usize)?;
    let flag = if args.gb.is_some() { "--gb" } else { "--mb" };
    Limits::here()
        .allow_region(args.region_bytes(), rustix::param::page_size() as u64)
        .map_err(|refused| Failure::usage(flag, refused.to_string(), refused.remedy("--mb")))?;
    let conditions = conditions(Reader::File(args.procfile.clone()), &args.against);
    probe(&conditions, &args.procfile)?;
    let saved = args.save.as_deref().map(Saved::open).transpose()?;
    let away = Away::from_mapper(&allowed, &placement)?;
    let seed = args.seed.unwrap_or_else(seed::draw);
    let mut outcome = begin(args, seed, &allowed, placement, &conditions);
    let mut run = Run {
        args,
        seed,
        stop,
        conditions: &conditions,
        began,
        meter: Meter::new(progress, args.nsamples * conditions.len() as u32, args.duration),
        saved,
    };
    let ended = run.rounds(&mut outcome);
    console::clear();
    drop(away);
    outcome.ended = ended?;
    run.close(&mut outcome)?;
    Ok(outcome)
}

/// Measures the overhead where the mapper will run and fills in what is known beforehand.
fn begin(
    args: &LatencyArgs,
    seed: u64,
    allowed: &[usize],
    placement: Placement,
    conditions: &[Condition],
) -> Outcome {
    // On a CPU that cannot be had the overhead is measured where we are; the mapper, which must
    // have it, will say so.
    let _ = pin([placement.mapper_cpu]);
    let overhead = overhead::measure();
    let _ = pin(elsewhere(allowed, &placement));
    Outcome {
        schema_version: SCHEMA_VERSION,
        kind: KIND.to_owned(),
        header: Header::new(&Machine::here(), Some(seed), with_seed(seed)),
        elapsed_ms: 0.0,
        ended: Ended::Running,
        machine: MachineFacts::here(allowed),
        setup: setup(args, placement),
        overhead,
        warnings: Vec::new(),
        columns: conditions.iter().map(empty).collect(),
    }
}

fn setup(args: &LatencyArgs, placement: Placement) -> Setup {
    Setup {
        nsamples: args.nsamples,
        duration_ms: args.duration.as_secs_f64() * 1e3,
        busy_ms: args.busyduration,
        pause_us: PAUSE.as_micros() as u64,
        region_bytes: args.region_bytes(),
        scanners: args.scanners,
        scanner_nice: SCANNER_NICE,
        hang_ms: args.hang_seconds.as_secs_f64() * 1e3,
        placement,
    }
}

fn empty(condition: &Condition) -> Column {
    Column {
        role: condition.role,
        reader: condition.reader.to_string(),
        label: condition.label(),
        samples: Vec::new(),
        hangs: Vec::new(),
    }
}

/// All CPUs but the mapper's, where there are others.
fn elsewhere(allowed: &[usize], placement: &Placement) -> Vec<usize> {
    let others = |&cpu: &usize| cpu != placement.mapper_cpu;
    let others: Vec<usize> = allowed.iter().copied().filter(others).collect();
    if others.is_empty() { allowed.to_vec() } else { others }
}

/// Keeps the watching thread off the mapper's CPU, and gives it back its CPUs when dropped.
struct Away<'a>(&'a [usize]);

impl<'a> Away<'a> {
    fn from_mapper(allowed: &'a [usize], placement: &Placement) -> anyhow::Result<Away<'a>> {
        pin(elsewhere(allowed, placement)).context("cannot choose CPUs")?;
        Ok(Away(allowed))
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        // They were ours before.
        let _ = pin(self.0.iter().copied());
    }
}

struct Run<'a> {
    args: &'a LatencyArgs,
    seed: u64,
    stop: &'a AtomicUsize,
    conditions: &'a [Condition],
    began: Instant,
    meter: Meter,
    saved: Option<Saved>,
}

impl Run<'_> {
    fn rounds(&mut self, outcome: &mut Outcome) -> anyhow::Result<Ended> {
        let mut place = 0;
        for round in 0..self.args.nsamples {
            for column in order(round as usize, self.conditions.len()) {
                if self.stopped() {
                    return Ok(Ended::Interrupted);
                }
                let taken = self.take(outcome, column, round, place)?;
                place += 1;
                if self.keep(&mut outcome.columns[column], taken, round, place - 1) {
                    return Ok(Ended::Hang);
                }
            }
            self.save(outcome)?;
        }
        Ok(if self.stopped() { Ended::Interrupted } else { Ended::Complete })
    }

    fn stopped(&self) -> bool {
        // Relaxed: the signal's number is all there is to learn.
        self.stop.load(Ordering::Relaxed) != 0
    }

    fn take(
        &mut self,
        outcome: &Outcome,
        column: usize,
        round: u32,
        place: u32,
    ) -> anyhow::Result<Taken> {
        let Column { role, label, .. } = &outcome.columns[column];
        let spec = Spec {
            reader: &self.conditions[column].reader,
            scanners: self.args.scanners as usize,
            busy: Duration::from_millis(self.args.busyduration),
            duration: self.args.duration,
            region_bytes: self.args.region_bytes() as usize,
            placement: &outcome.setup.placement,
            hang: self.args.hang_seconds,
            // Every column of a round draws the same pages.
            seed: self.seed.wrapping_add(u64::from(round)),
            planted: self.args.inject.filter(|_| *role == Role::Main),
        };
        let meter = &mut self.meter;
        sample::take(&spec, self.stop, &mut || meter.show(place + 1, label))
    }

    /// Puts a sample where it belongs; whether there was a hang.
    fn keep(&self, column: &mut Column, taken: Taken, round: u32, place: u32) -> bool {
        if let Some(mut sample) = taken.sample {
            (sample.round, sample.place) = (round, place);
            column.samples.push(sample);
        }
        for hang in &taken.hangs {
            preserve(&self.args.hang_dir, hang, &column.label);
        }
        let hung = !taken.hangs.is_empty();
        column.hangs.extend(taken.hangs);
        hung
    }

    fn save(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        outcome.elapsed_ms = self.began.elapsed().as_secs_f64() * 1e3;
        self.saved.as_ref().map_or(Ok(()), |saved| saved.write(outcome))
    }

    fn close(&self, outcome: &mut Outcome) -> anyhow::Result<()> {
        outcome.warnings = super::warnings::of(outcome);
        self.save(outcome)
    }
}

/// Saves the evidence at once, or where that fails, says it.
fn preserve(directory: &Path, hang: &hang::Hang, label: &str) {
    let text = hang::describe(hang, label);
    match hang::save(directory, hang.tid, &text) {
        Ok(path) => console::note(format_args!("a call hangs; evidence in {}", path.display())),
        Err(error) => console::note(format_args!(
            "a call hangs; no evidence file in {}: {error}\n{text}",
            directory.display()
        )),
    }
}
