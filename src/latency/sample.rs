//! One sample: a fresh region, its mapper, what runs beside it, and the watch over them.

use super::args::Planted;
use super::hang::{Hang, Watch};
use super::heartbeat::Heartbeat;
use super::mapper::Tally;
use super::placement::Placement;
use super::plan::Reader;
use super::scan::Scanned;
use super::series::Series;
use super::team::{Handle, Mapped, Shared, join, spawn_busy, spawn_mapper, spawn_scanner};
use anyhow::bail;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the watching thread looks up during a sample, and while threads end.
const POLL: Duration = Duration::from_millis(50);
const POLL_END: Duration = Duration::from_millis(1);

/// What one sample measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "SampleFields")]
pub struct Sample {
    /// The round, from 0; every column has at most one sample a round.
    pub round: u32,
    /// The place in the run, from 0, over all columns.
    pub place: u32,
    /// Whether it lasted as long as asked for.
    pub complete: bool,
    /// From the start of the mapper to its last call.
    pub elapsed_ms: f64,
    /// VMAs of the process when the mapper ended: how fragmented the region was.
    pub vmas_at_end: u64,
    /// The mapper's calls.
    #[serde(flatten)]
    pub tally: Tally,
    /// The scanners, in order.
    pub scanners: Vec<Scanned>,
}

/// A sample as it is read from a file. serde can't refuse unknown fields of a flattened struct, so
/// the fields of the tally are named here once more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleFields {
    round: u32,
    place: u32,
    complete: bool,
    elapsed_ms: f64,
    vmas_at_end: u64,
    mmap: Series,
    munmap: Series,
    scanners: Vec<Scanned>,
}

impl From<SampleFields> for Sample {
    fn from(fields: SampleFields) -> Sample {
        let SampleFields { round, place, complete, elapsed_ms, vmas_at_end, .. } = fields;
        let tally = Tally { mmap: fields.mmap, munmap: fields.munmap };
        let scanners = fields.scanners;
        Sample { round, place, complete, elapsed_ms, vmas_at_end, tally, scanners }
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// What is beside the mapper.
    pub reader: &'a Reader,
    /// How many threads do that.
    pub scanners: usize,
    /// How long busy threads spin; zero for none.
    pub busy: Duration,
    /// How long the mapper runs.
    pub duration: Duration,
    /// The size of the region.
    pub region_bytes: usize,
    /// Which thread runs where.
    pub placement: &'a Placement,
    /// How long a thread may stand still.
    pub hang: Duration,
    /// Seed of the choice of pages.
    pub seed: u64,
    /// A fault to plant.
    pub planted: Option<Planted>,
}

/// How a sample ended.
#[derive(Debug)]
pub struct Taken {
    /// What was measured; `None` where the mapper itself hung.
    pub sample: Option<Sample>,
    /// Threads that stood still. They are left behind.
    pub hangs: Vec<Hang>,
}

struct Team {
    shared: Arc<Shared>,
    mapper: Handle<Mapped>,
    scanners: Vec<Handle<Scanned>>,
    busy: Vec<Handle<()>>,
}

/// Takes one sample. `stop` ends it early when it is not 0. `tick` is called now and then and must
/// not allocate, because the mapper would feel what malloc does to the address space.
///
/// # Errors
/// Memory, threads or files that cannot be had, and reads that fail.
pub fn take(spec: &Spec<'_>, stop: &AtomicUsize, tick: &mut dyn FnMut()) -> anyhow::Result<Taken> {
    let team = Team::start(spec)?;
    let mut watch = Watch::new(team.shared.slots.len(), spec.hang);
    while !team.mapper.is_finished() {
        std::thread::park_timeout(POLL);
        tick();
        // Relaxed: the signal's number is all there is to learn.
        if stop.load(Ordering::Relaxed) != 0 {
            team.halt();
        }
        if team.hung(&mut watch)? {
            break;
        }
    }
    team.halt();
    while !team.is_finished() && !team.is_lost(&mut watch)? {
        std::thread::sleep(POLL_END);
    }
    team.end(spec, &watch)
}

impl Team {
    fn start(spec: &Spec<'_>) -> anyhow::Result<Team> {
        let beside = match spec.reader {
            Reader::None => 0,
            _ => spec.scanners,
        };
        let busy_cpus = match (beside, spec.busy) {
            (0, _) | (_, Duration::ZERO) => &[],
            _ => busy_cpus(spec.placement, beside),
        };
        let shared = Arc::new(Shared {
            start: Barrier::new(1 + beside + busy_cpus.len()),
            halt: AtomicBool::new(false),
            slots: (0..1 + beside).map(|_| Heartbeat::default()).collect(),
        });
        let scanners = (0..beside)
            .map(|index| spawn_scanner(spec, index, &shared))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let busy = busy_cpus
            .iter()
            .map(|&cpu| spawn_busy(spec.busy, cpu, &shared))
            .collect::<anyhow::Result<Vec<_>>>()?;
        // Last, when nothing of ours maps any more but the mapper.
        let mapper = spawn_mapper(spec, &shared)?;
        Ok(Team { shared, mapper, scanners, busy })
    }

    fn halt(&self) {
        // Relaxed: see `scan::over_and_over`.
        self.shared.halt.store(true, Ordering::Relaxed);
    }

    fn is_finished(&self) -> bool {
        self.mapper.is_finished()
            && self.scanners.iter().all(JoinHandle::is_finished)
            && self.busy.iter().all(JoinHandle::is_finished)
    }

    /// Whether the kernel keeps a thread in a call.
    fn hung(&self, watch: &mut Watch) -> anyhow::Result<bool> {
        let ended = |index: usize| match index {
            0 => self.mapper.is_finished(),
            _ => self.scanners[index - 1].is_finished(),
        };
        let hung = watch.look(&self.shared.slots, ended);
        if let Some((index, doing)) = watch.undecided().filter(|_| !hung) {
            bail!(
                "{} does not come back from a call, and it can't be told that this is the kernel's \
                 fault: it {}",
                name(index),
                doing.words()
            );
        }
        Ok(hung)
    }

    /// Whether there is nothing left to wait for: a thread hangs, and the mapper has ended or does not
    /// come back itself. (Its sample is worth waiting for.)
    fn is_lost(&self, watch: &mut Watch) -> anyhow::Result<bool> {
        Ok(self.hung(watch)? && (self.mapper.is_finished() || watch.is_over(0)))
    }

    /// Joins what has ended and describes what has not.
    fn end(self, spec: &Spec<'_>, watch: &Watch) -> anyhow::Result<Taken> {
        let mut hangs = Vec::new();
        if !self.is_finished() {
            for index in watch.hung() {
                hangs.push(watch.describe(index, &self.shared.slots[index], name(index)));
            }
        }
        let mut scanners = Vec::with_capacity(self.scanners.len());
        for scanner in self.scanners {
            if scanner.is_finished() {
                scanners.push(join(scanner)?);
            }
        }
        let sample = match self.mapper.is_finished() {
            true => Some(finish(join(self.mapper)?, scanners, spec.duration)),
            false => None,
        };
        Ok(Taken { sample, hangs })
    }
}

/// The thread with heartbeat number `index`.
fn name(index: usize) -> String {
    match index {
        0 => "mapper".to_owned(),
        _ => format!("scanner {}", index - 1),
    }
}

/// The CPUs that have scanners, each once.
fn busy_cpus(placement: &Placement, scanners: usize) -> &[usize] {
    &placement.scanner_cpus[..scanners.min(placement.scanner_cpus.len())]
}

fn finish(mapped: Mapped, scanners: Vec<Scanned>, duration: Duration) -> Sample {
    let lines = std::fs::read("/proc/self/maps")
        .map(|maps| memchr::memchr_iter(b'\n', &maps).count())
        .unwrap_or_default();
    drop(mapped.region);
    Sample {
        round: 0,
        place: 0,
        complete: u128::from(mapped.elapsed_ns) >= duration.as_nanos(),
        elapsed_ms: mapped.elapsed_ns as f64 / 1e6,
        vmas_at_end: lines as u64,
        tally: mapped.tally,
        scanners,
    }
}

#[cfg(test)]
mod tests {
    use super::super::placement::place;
    use super::*;
    use crate::host::Doing;

    fn taken(reader: &Reader, planted: Option<Planted>, stop: usize) -> Taken {
        let allowed = crate::host::allowed_cpus().unwrap();
        let spec = Spec {
            reader,
            scanners: 2,
            busy: Duration::from_millis(1),
            // A hang or a stop is to come before the sample ends by itself.
            duration: Duration::from_millis(if planted.is_some() || stop != 0 {
                60_000
            } else {
                100
            }),
            region_bytes: 4 << 20,
            placement: &place(&allowed, None, None, 2).unwrap(),
            hang: Duration::from_millis(if planted.is_some() { 3000 } else { 60_000 }),
            seed: 5,
            planted,
        };
        take(&spec, &AtomicUsize::new(stop), &mut || ()).unwrap()
    }

    #[test]
    fn a_sample_holds_every_call() {
        let taken = taken(&Reader::File("maps".into()), None, 0);
        let sample = taken.sample.unwrap();
        assert!(taken.hangs.is_empty() && sample.complete);
        assert!(sample.elapsed_ms >= 100.0);
        let Tally { mmap, munmap } = sample.tally;
        assert!(mmap.calls + munmap.calls > 0);
        assert!(mmap.is_whole() && munmap.is_whole());
        assert_eq!((mmap.failed, munmap.failed), (0, 0));
        assert_eq!(sample.scanners.len(), 2);
        assert!(sample.vmas_at_end > 10);
    }

    #[test]
    fn nobody_is_beside_a_lone_mapper() {
        let sample = taken(&Reader::None, None, 0).sample.unwrap();
        assert!(sample.scanners.is_empty() && sample.complete);
    }

    #[test]
    fn a_stop_ends_it_early_and_keeps_what_is_there() {
        let sample = taken(&Reader::Idle, None, 2).sample.unwrap();
        assert!(!sample.complete);
        assert!(sample.tally.mmap.calls + sample.tally.munmap.calls > 0);
    }

    #[test]
    fn a_planted_hang_of_the_mapper_is_found() {
        let taken = taken(&Reader::Query, Some(Planted::HangMapper), 0);
        assert!(taken.sample.is_none());
        let [hang] = &taken.hangs[..] else { panic!("{:?}", taken.hangs) };
        assert_eq!((hang.thread.as_str(), hang.completed_calls), ("mapper", 99));
        assert!(hang.tid > 0 && hang.waited_ms >= 3000.0);
        assert_eq!(hang.doing, Doing::SleepingUninterruptibly);
        assert_eq!(hang.evidence.len(), 5);
    }

    #[test]
    fn a_planted_hang_of_a_scanner_keeps_the_mappers_sample() {
        let taken = taken(&Reader::File("maps".into()), Some(Planted::HangScanner), 0);
        let sample = taken.sample.unwrap();
        assert!(!sample.complete && sample.tally.mmap.calls > 0);
        assert_eq!(taken.hangs.len(), 1);
        assert_eq!(taken.hangs[0].thread, "scanner 0");
        assert_eq!(taken.hangs[0].doing, Doing::SleepingUninterruptibly);
    }
}
