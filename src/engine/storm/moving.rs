//! Takes mutators off their CPUs wherever in an operation they are.
//!
//! A thread that runs is moved to another CPU by that CPU's stopper (kernel/sched/core.c,
//! `__set_cpus_allowed_ptr`, `migration_cpu_stop`), which goes before every other thread: it preempts the
//! mutator at whatever instruction it is at, if the kernel can be preempted there at all. A wakeup or the
//! end of a time slice comes a few hundred times a second, and where preemption is lazy only between two
//! calls or at a tick. Then the mutator waits for the reader's CPU.
//!
//! The mover has a reader's CPU itself: on the mutator's it would find the mutator waiting, between two
//! calls as a rule. Where that reader hangs, the mover hangs with it, and nobody needs it any more.

use super::{Storm, StormError};
use crate::engine::lineup::Lineup;
use crate::host::{pin, pin_thread};
use crate::seed::Stream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// The longest that a mutator is left on a CPU, in nanoseconds.
const AT_MOST: usize = 200_000;
/// How long the mover sleeps at most where nobody is to be moved.
const PARKED: Duration = Duration::from_secs(2);
/// No CPU.
const NONE: u32 = u32::MAX;

/// What the mover is told, and tells.
pub(super) struct Mover {
    /// For each worker, its CPU, the one that it is taken to, and the reader that has that.
    places: Box<[[AtomicU32; 3]]>,
    /// Whether a worker is not where its slice wants it.
    astray: Box<[AtomicBool]>,
    on: AtomicBool,
    over: AtomicBool,
    thread: OnceLock<Thread>,
}

// Relaxed, all of it: places are hints, and each worker is pinned anew before it plays.
impl Mover {
    /// A mover of so many workers.
    pub fn new(workers: usize) -> Mover {
        let nowhere = || [NONE; 3].map(AtomicU32::new);
        Mover {
            places: (0..workers).map(|_| nowhere()).collect(),
            astray: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            on: AtomicBool::new(false),
            over: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Whether the worker was left where its slice did not want it, since this was last asked.
    pub fn was_astray(&self, worker: usize) -> bool {
        self.astray[worker].swap(false, Ordering::Relaxed)
    }

    /// Begins to move mutators about.
    fn begin(&self, place: impl Fn(usize) -> Option<[usize; 3]>) {
        for (worker, cells) in self.places.iter().enumerate() {
            let place = place(worker).map_or([NONE; 3], |place| place.map(|at| at as u32));
            cells.iter().zip(place).for_each(|(cell, at)| cell.store(at, Ordering::Relaxed));
        }
        self.on.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Ends that; does not wait.
    pub fn end(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Ends the thread; does not wait.
    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.end();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Where a worker is to be, where it is taken, and the reader that is there.
    fn place(&self, worker: usize) -> Option<[usize; 3]> {
        let [own, to, reader] =
            self.places[worker].each_ref().map(|cell| cell.load(Ordering::Relaxed));
        (own != NONE && own != to).then_some([own, to, reader].map(|at| at as usize))
    }
}

impl Storm {
    /// Starts the mover, where a workload of the storm needs it.
    pub(super) fn spawn_mover(self: &Arc<Storm>) -> Result<JoinHandle<()>, StormError> {
        let storm = Arc::clone(self);
        let threads = self.plan.threads_and_faulters();
        std::thread::Builder::new()
            .name("mapstorm-mover".into())
            .stack_size(64 << 10)
            .spawn(move || storm.move_all())
            .map_err(|source| StormError::Spawn { index: threads, threads: threads + 2, source })
    }

    /// Has the mutators of a slice moved about until [`Mover::end`].
    pub(super) fn move_about(&self, lineup: &Lineup) {
        self.mover.begin(|worker| {
            let own = lineup.part(worker, &self.plan).flatten()?;
            let (reader, to) = lineup.reader_of(worker, &self.plan)?;
            Some([own, to, reader])
        });
    }

    fn move_all(&self) {
        let _ = self.mover.thread.set(std::thread::current());
        let mut rng = Stream::new(self.plan.seed, "mover", 0);
        let mut pause = || {
            std::thread::sleep(Duration::from_nanos(rng.below(AT_MOST) as u64));
        };
        let mutators = self.plan.readers..self.plan.threads;
        while !self.mover.over.load(Ordering::Relaxed) {
            if !self.mover.on.load(Ordering::Relaxed) {
                std::thread::park_timeout(PARKED);
                continue;
            }
            let place = |worker| self.mover.place(worker);
            if let Some([_, to, _]) = mutators.clone().find_map(place) {
                // Where that is not allowed it moves them from where it is.
                let _ = pin([to]);
            }
            for worker in mutators.clone() {
                let Some([own, to, reader]) = place(worker) else { continue };
                pause();
                let calls = |worker| self.scheduler.beats(worker) + self.tallies[worker].returned();
                let before = (calls(worker), calls(reader));
                self.mover.astray[worker].store(true, Ordering::Relaxed);
                self.move_to(worker, to);
                // Where neither comes back from a call the reader may wait for what the mutator has not
                // done yet. To take the mutator away would end a hang before anybody sees it.
                while self.mover.on.load(Ordering::Relaxed) {
                    pause();
                    if calls(worker) != before.0 || calls(reader) != before.1 {
                        self.move_to(worker, own);
                        break;
                    }
                }
            }
        }
    }

    /// Where it is not allowed, the worker stays: no verdict depends on it.
    fn move_to(&self, worker: usize, cpu: usize) {
        if let Some(tid) = self.scheduler.tid(worker) {
            let _ = pin_thread(tid, cpu);
        }
    }
}
