//! Which workers run and which rest: the director's hold on them.

use super::modes::Mode;
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// What the workers that play do until the next slice.
///
/// Packed in one word, so that a worker reads it in one load.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Slice {
    /// The first lane in play.
    pub first_lane: u16,
    /// How many lanes are in play.
    pub lanes: u16,
    /// Of eight stints of a mutator, how many hammer one spot instead of scattering.
    pub hammer: u8,
    /// A mutator spins up to two to this power nanoseconds between two operations; 0 not at all.
    pub spin: u8,
    /// It sleeps so long instead, until a timer wakes it.
    pub sleep: u8,
    /// Whether readers have idle priority.
    pub idle: bool,
    /// The longest span that is hammered, in pages: short ones leave a lane many VMAs. 0 for any.
    pub longest: u8,
    /// Whether what is mapped at a hammered spot is filled with memory.
    pub populate: bool,
    /// Whether the mm has nearly as many VMAs as it may have.
    pub full: bool,
}

impl Slice {
    fn pack(self) -> u64 {
        let [low, high] = self.first_lane.to_le_bytes();
        let [few, many] = self.lanes.to_le_bytes();
        let Slice { hammer, spin, sleep, idle, longest, populate, full, .. } = self;
        let spin = spin | u8::from(full) << 7;
        let hammer = hammer | u8::from(populate) << 7;
        let sleep = sleep | u8::from(idle) << 7;
        u64::from_le_bytes([low, high, few, many, hammer, spin, sleep, longest])
    }

    fn unpack(word: u64) -> Slice {
        let [low, high, few, many, hammer, spin, sleep, longest] = word.to_le_bytes();
        Slice {
            first_lane: u16::from_le_bytes([low, high]),
            lanes: u16::from_le_bytes([few, many]),
            hammer: hammer & 0x7f,
            populate: hammer & 0x80 != 0,
            spin: spin & 0x7f,
            full: spin & 0x80 != 0,
            sleep: sleep & 0x7f,
            idle: sleep & 0x80 != 0,
            longest,
        }
    }
}

/// A worker's CPU where it may run on any.
const ANY_CPU: u32 = u32::MAX;

/// What a worker learns when it is to play.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The slice's generation, for [`Scheduler::is_on`].
    pub generation: u32,
    /// What to do in it.
    pub slice: Slice,
    /// The CPU to run on; `None` for any.
    pub cpu: Option<usize>,
}

/// One worker as the director sees it.
#[derive(Default)]
struct Seat {
    plays: AtomicBool,
    /// Whether it waits in `attend`; for reports only.
    rests: AtomicBool,
    /// The CPU to run on in this slice, or [`ANY_CPU`].
    cpu: AtomicU32,
    /// Counts calls; a worker that does not rest and whose count stands still is looked at.
    beats: AtomicU64,
    /// How it reads: one more than the place in [`Mode::ALL`], 0 before and in a mutator.
    reading: AtomicU8,
    thread: OnceLock<(Thread, u32)>,
}

/// The scheduler: workers attend to it between any two of their system calls.
pub struct Scheduler {
    /// Raised with every slice; a worker compares it in its inner loop.
    generation: CachePadded<AtomicU32>,
    slice: AtomicU64,
    stop: AtomicBool,
    resting: AtomicU32,
    sharing: Box<[CachePadded<Seat>]>,
}

impl Scheduler {
    /// A scheduler for `workers` workers, all of them resting.
    pub fn new(workers: usize) -> Scheduler {
        Scheduler {
            generation: CachePadded::new(AtomicU32::new(0)),
            slice: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            resting: AtomicU32::new(0),
            sharing: (0..workers).map(|_| CachePadded::new(Seat::default())).collect(),
        }
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.sharing.len()
    }

    /// Called by worker `me` once, before it attends for the first time.
    pub fn enter(&self, me: usize) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let _ = self.sharing[me].thread.set((std::thread::current(), tid));
    }

    /// The worker's thread id, once it has entered.
    pub fn tid(&self, worker: usize) -> Option<u32> {
        self.sharing[worker].thread.get().map(|(_, tid)| *tid)
    }

    /// Waits until worker `me` is to play; `None` when the storm is over.
    pub fn attend(&self, me: usize) -> Option<Assignment> {
        let affinity = &self.sharing[me];
        let mut rested = false;
        loop {
            // Acquire: pairs with the director's release in `raise`; who sees the generation sees
            // the plan and the slice that belong to it.
            let generation = self.generation.load(Ordering::Acquire);
            if self.stop.load(Ordering::Relaxed) {
                if !rested {
                    self.resting.fetch_add(1, Ordering::Release);
                }
                return None;
            }
            if affinity.plays.load(Ordering::Relaxed) {
                if rested {
                    affinity.rests.store(false, Ordering::Relaxed);
                    self.resting.fetch_sub(1, Ordering::SeqCst);
                }
                // The director raises the generation and then looks at `resting`; this worker
                // leaves `resting` and then looks at the generation. Both sequentially consistent:
                // a director that still found everybody resting has raised it before, which is
                // seen here, and the worker attends again without having done anything.
                if self.generation.load(Ordering::SeqCst) == generation {
                    let cpu = affinity.cpu.load(Ordering::Relaxed);
                    return Some(Assignment {
                        generation,
                        slice: Slice::unpack(self.slice.load(Ordering::Relaxed)),
                        cpu: (cpu != ANY_CPU).then_some(cpu as usize),
                    });
                }
                rested = false;
                continue;
            }
            if !rested {
                // Release: what this worker did in the last slice is seen by whoever finds
                // everybody resting.
                affinity.rests.store(true, Ordering::Relaxed);
                self.resting.fetch_add(1, Ordering::Release);
                rested = true;
            }
            // A timeout, so that an unpark lost to somebody else's park costs a moment only.
            std::thread::park_timeout(Duration::from_secs(2));
        }
    }

    /// Whether the slice of `generation` is still on.
    #[inline]
    pub fn is_on(&self, generation: u32) -> bool {
        // Relaxed: only a hint to attend, where it is loaded again.
        self.generation.load(Ordering::Relaxed) == generation
    }

    /// Worker `me` tells that another call of its has come back.
    #[inline]
    pub fn beat(&self, me: usize) {
        let beats = &self.sharing[me].beats;
        // Relaxed, and no read-modify-write: one writer, read by the director as a sign of life.
        beats.store(beats.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Worker `me` tells how it is going to read.
    #[inline]
    pub fn reads(&self, me: usize, mode: Mode) {
        // Relaxed: for the report of a call that does not come back, long after.
        self.sharing[me].reading.store(mode as u8 + 1, Ordering::Relaxed);
    }

    /// How the worker reads; nothing of a mutator.
    pub fn reading(&self, worker: usize) -> Option<Mode> {
        let reading = self.sharing[worker].reading.load(Ordering::Relaxed) as usize;
        Mode::ALL.get(reading.checked_sub(1)?).copied()
    }

    /// Calls of the worker that have come back.
    pub fn beats(&self, worker: usize) -> u64 {
        self.sharing[worker].beats.load(Ordering::Relaxed)
    }

    /// Whether the worker rests.
    pub fn rests(&self, worker: usize) -> bool {
        self.sharing[worker].rests.load(Ordering::Relaxed)
    }

    /// Begins a slice. `part` gives each worker's part: `None` to rest, else the CPU to play on,
    /// or `Some(None)` to play on any.
    pub fn play(&self, slice: Slice, part: impl Fn(usize) -> Option<Option<usize>>) {
        self.slice.store(slice.pack(), Ordering::Relaxed);
        for (worker, affinity) in self.sharing.iter().enumerate() {
            let part = part(worker);
            affinity.plays.store(part.is_some(), Ordering::Relaxed);
            let cpu = part.flatten().map_or(ANY_CPU, |cpu| cpu as u32);
            affinity.cpu.store(cpu, Ordering::Relaxed);
        }
        self.raise();
        for affinity in
            self.sharing.iter().filter(|affinity| affinity.plays.load(Ordering::Relaxed))
        {
            if let Some((thread, _)) = affinity.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Calls all workers to rest; [`Scheduler::at_rest`] tells when they do.
    pub fn rest(&self) {
        for affinity in &self.sharing {
            affinity.plays.store(false, Ordering::Relaxed);
        }
        self.raise();
    }

    /// Whether every worker rests, and no call of any of them is under way.
    pub fn at_rest(&self) -> bool {
        // SeqCst: see `attend`; it also acquires what the workers did before they rested.
        self.resting.load(Ordering::SeqCst) as usize == self.sharing.len()
    }

    /// Ends the storm: each worker leaves at its next call.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.raise();
        for affinity in &self.sharing {
            if let Some((thread, _)) = affinity.thread.get() {
                thread.unpark();
            }
        }
    }

    fn raise(&self) {
        // SeqCst: see `attend`; it also releases the plan and the slice stored before.
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_comes_back_from_its_word() {
        let plain = Slice { first_lane: 3, lanes: 8, hammer: 6, longest: 3, ..Slice::default() };
        for slice in [
            plain,
            Slice { spin: 12, ..plain },
            Slice { sleep: 16, idle: true, ..plain },
            Slice { populate: true, ..plain },
            Slice { full: true, spin: 15, ..plain },
        ] {
            assert_eq!(Slice::unpack(slice.pack()), slice);
        }
    }
}
