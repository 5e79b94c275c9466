//! The threads of a sample: each settles in, waits for the others at a barrier, and works.

use super::args::Planted;
use super::clock::now_ns;
use super::heartbeat::Heartbeat;
use super::mapper::{Calls, Tally, drive};
use super::planted::{HangingCalls, HangingScan};
use super::region::Region;
use super::sample::Spec;
use super::scan::{self, Scan, Scanned};
use crate::host::{pin, priority};
use anyhow::{Context, anyhow};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{Builder, JoinHandle, Thread};
use std::time::Duration;

/// The niceness of scanners.
pub const SCANNER_NICE: i32 = 15;

/// What the threads of a sample share.
pub struct Shared {
    /// Where all wait until all are ready.
    pub start: Barrier,
    /// That it is time to end.
    pub halt: AtomicBool,
    /// The mapper's heartbeat, then the scanners'.
    pub slots: Box<[Heartbeat]>,
}

/// What the mapper hands back.
pub struct Mapped {
    /// Its calls.
    pub tally: Tally,
    /// From its start to its last call.
    pub elapsed_ns: u64,
    /// The region, as the last call left it.
    pub region: Region,
}

/// A thread of a sample.
pub type Handle<T> = JoinHandle<anyhow::Result<T>>;

/// What a thread that has ended hands back.
///
/// # Errors
/// Its own, or that it panicked.
pub fn join<T>(handle: Handle<T>) -> anyhow::Result<T> {
    handle.join().unwrap_or_else(|_| Err(anyhow!("a thread of the measurement panicked")))
}

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<Handle<T>> {
    Builder::new()
        .name(name.clone())
        .stack_size(256 << 10)
        .spawn(work)
        .with_context(|| format!("cannot start thread `{name}`; are there limits on threads?"))
}

/// Runs `prepare`, waits for the other threads, then tells whether to go on. A thread that fails to
/// prepare halts them all; it still comes to the barrier, or the others would wait for ever.
fn gather<T>(shared: &Shared, prepare: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let prepared = prepare();
    if prepared.is_err() {
        // Relaxed: the barrier that follows orders it before every load that matters.
        shared.halt.store(true, Ordering::Relaxed);
    }
    shared.start.wait();
    prepared
}

fn settle(cpu: usize, nice: i32) -> anyhow::Result<()> {
    pin([cpu]).with_context(|| format!("cannot move a thread to CPU {cpu}"))?;
    priority::be_nice(nice).with_context(|| format!("cannot set a thread's niceness to {nice}"))
}

/// Starts the mapper. It wakes the calling thread when it ends.
///
/// # Errors
/// A thread that cannot be started.
pub fn spawn_mapper(spec: &Spec<'_>, shared: &Arc<Shared>) -> anyhow::Result<Handle<Mapped>> {
    let shared = Arc::clone(shared);
    let watcher: Thread = std::thread::current();
    let (cpu, seed, bytes) = (spec.placement.mapper_cpu, spec.seed, spec.region_bytes);
    let duration = spec.duration.as_nanos() as u64;
    let hang = spec.planted == Some(Planted::HangMapper);
    spawn("mapper".to_owned(), move || {
        let prepared = gather(&shared, || {
            shared.slots[0].claim();
            settle(cpu, 0)?;
            let region = Region::populated(bytes).with_context(|| {
                format!("cannot map and populate {} MiB; try a smaller --mb", bytes >> 20)
            })?;
            Ok((region, Tally::default()))
        });
        let mapped = prepared.map(|(mut region, mut tally)| {
            let pages = region.pages();
            let elapsed_ns = if hang {
                let mut calls = HangingCalls::new(&mut region);
                run(&mut calls, pages, &shared, seed, duration, &mut tally)
            } else {
                run(&mut region, pages, &shared, seed, duration, &mut tally)
            };
            Mapped { tally, elapsed_ns, region }
        });
        watcher.unpark();
        mapped
    })
}

/// The timed part; returns how long it took, in ns.
fn run<C: Calls>(
    calls: &mut C,
    pages: u64,
    shared: &Shared,
    seed: u64,
    duration: u64,
    tally: &mut Tally,
) -> u64 {
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(seed);
    let began = now_ns();
    let end = began + duration;
    // Relaxed: see `scan::over_and_over`.
    let go_on = |now| now < end && !shared.halt.load(Ordering::Relaxed);
    drive(calls, pages, &mut draws, &shared.slots[0], tally, go_on) - began
}

/// Starts scanner number `index`.
///
/// # Errors
/// A thread that cannot be started.
pub fn spawn_scanner(
    spec: &Spec<'_>,
    index: usize,
    shared: &Arc<Shared>,
) -> anyhow::Result<Handle<Scanned>> {
    let shared = Arc::clone(shared);
    let reader = spec.reader.clone();
    let cpu = spec.placement.of_scanner(index);
    let hang = index == 0 && spec.planted == Some(Planted::HangScanner);
    spawn(format!("scanner-{index}"), move || {
        let heartbeat = &shared.slots[1 + index];
        let context = || format!("scanner {index}: cannot read {reader}");
        let mut scan = gather(&shared, || {
            heartbeat.claim();
            settle(cpu, SCANNER_NICE)?;
            let scan = scan::scan_of(&reader).with_context(context)?;
            let scan = scan.expect("a sample with scanners has something to scan");
            let mut scan: Box<dyn Scan> = match hang {
                true => Box::new(HangingScan::new(scan)),
                false => scan,
            };
            // The first scan proves that it can be done, and touches the buffers.
            scan::once(&mut *scan, heartbeat).with_context(context)?;
            Ok(scan)
        })?;
        scan::over_and_over(&mut *scan, heartbeat, &shared.halt).with_context(context)
    })
}

/// Starts a busy thread on `cpu`.
///
/// # Errors
/// A thread that cannot be started.
pub fn spawn_busy(spin: Duration, cpu: usize, shared: &Arc<Shared>) -> anyhow::Result<Handle<()>> {
    let shared = Arc::clone(shared);
    spawn(format!("busy-{cpu}"), move || {
        gather(&shared, || settle(cpu, 0))?;
        scan::busy(spin, &shared.halt);
        Ok(())
    })
}
