//! Who plays and who rests: the director's hold on the workers.

use super::findings::Mode;
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// What the workers that play do until the next spell.
///
/// Packed in one word, so that a worker reads it in one load.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spell {
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
}

impl Spell {
    fn pack(self) -> u64 {
        let [low, high] = self.first_lane.to_le_bytes();
        let [few, many] = self.lanes.to_le_bytes();
        let Spell { hammer, spin, sleep, idle, longest, .. } = self;
        let sleep = sleep | u8::from(idle) << 7;
        u64::from_le_bytes([low, high, few, many, hammer, spin, sleep, longest])
    }

    fn unpack(word: u64) -> Spell {
        let [low, high, few, many, hammer, spin, sleep, longest] = word.to_le_bytes();
        Spell {
            first_lane: u16::from_le_bytes([low, high]),
            lanes: u16::from_le_bytes([few, many]),
            hammer,
            spin,
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
pub struct Cue {
    /// The spell's generation, for [`Stage::is_on`].
    pub generation: u32,
    /// What to do in it.
    pub spell: Spell,
    /// The CPU to run on; `None` for any.
    pub cpu: Option<usize>,
}

/// One worker as the director sees it.
#[derive(Default)]
struct Seat {
    plays: AtomicBool,
    /// Whether it waits in `attend`; for reports only.
    rests: AtomicBool,
    /// The CPU to run on in this spell, or [`ANY_CPU`].
    cpu: AtomicU32,
    /// Counts calls; a worker that does not rest and whose count stands still is looked at.
    beats: AtomicU64,
    /// How it reads: one more than the place in [`Mode::ALL`], 0 before and in a mutator.
    reading: AtomicU8,
    thread: OnceLock<(Thread, u32)>,
}

/// The stage: workers attend to it between any two of their system calls.
pub struct Stage {
    /// Raised with every spell; a worker compares it in its inner loop.
    generation: CachePadded<AtomicU32>,
    spell: AtomicU64,
    stop: AtomicBool,
    resting: AtomicU32,
    seats: Box<[CachePadded<Seat>]>,
}

impl Stage {
    /// A stage for `workers` workers, all of them resting.
    pub fn new(workers: usize) -> Stage {
        Stage {
            generation: CachePadded::new(AtomicU32::new(0)),
            spell: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            resting: AtomicU32::new(0),
            seats: (0..workers).map(|_| CachePadded::new(Seat::default())).collect(),
        }
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.seats.len()
    }

    /// Called by worker `me` once, before it attends for the first time.
    pub fn enter(&self, me: usize) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let _ = self.seats[me].thread.set((std::thread::current(), tid));
    }

    /// The worker's thread id, once it has entered.
    pub fn tid(&self, worker: usize) -> Option<u32> {
        self.seats[worker].thread.get().map(|(_, tid)| *tid)
    }

    /// Waits until worker `me` is to play; `None` when the storm is over.
    pub fn attend(&self, me: usize) -> Option<Cue> {
        let seat = &self.seats[me];
        let mut rested = false;
        loop {
            // Acquire: pairs with the director's release in `raise`; who sees the generation sees
            // the plan and the spell that belong to it.
            let generation = self.generation.load(Ordering::Acquire);
            if self.stop.load(Ordering::Relaxed) {
                if !rested {
                    self.resting.fetch_add(1, Ordering::Release);
                }
                return None;
            }
            if seat.plays.load(Ordering::Relaxed) {
                if rested {
                    seat.rests.store(false, Ordering::Relaxed);
                    self.resting.fetch_sub(1, Ordering::SeqCst);
                }
                // The director raises the generation and then looks at `resting`; this worker
                // leaves `resting` and then looks at the generation. Both sequentially consistent:
                // a director that still found everybody resting has raised it before, which is
                // seen here, and the worker attends again without having done anything.
                if self.generation.load(Ordering::SeqCst) == generation {
                    let cpu = seat.cpu.load(Ordering::Relaxed);
                    return Some(Cue {
                        generation,
                        spell: Spell::unpack(self.spell.load(Ordering::Relaxed)),
                        cpu: (cpu != ANY_CPU).then_some(cpu as usize),
                    });
                }
                rested = false;
                continue;
            }
            if !rested {
                // Release: what this worker did in the last spell is seen by whoever finds
                // everybody resting.
                seat.rests.store(true, Ordering::Relaxed);
                self.resting.fetch_add(1, Ordering::Release);
                rested = true;
            }
            // A timeout, so that an unpark lost to somebody else's park costs a moment only.
            std::thread::park_timeout(Duration::from_secs(2));
        }
    }

    /// Whether the spell of `generation` is still on.
    #[inline]
    pub fn is_on(&self, generation: u32) -> bool {
        // Relaxed: only a hint to attend, where it is loaded again.
        self.generation.load(Ordering::Relaxed) == generation
    }

    /// Worker `me` tells that another call of its has come back.
    #[inline]
    pub fn beat(&self, me: usize) {
        let beats = &self.seats[me].beats;
        // Relaxed, and no read-modify-write: one writer, read by the director as a sign of life.
        beats.store(beats.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Worker `me` tells how it is going to read.
    #[inline]
    pub fn reads(&self, me: usize, mode: Mode) {
        // Relaxed: for the report of a call that does not come back, long after.
        self.seats[me].reading.store(mode as u8 + 1, Ordering::Relaxed);
    }

    /// How the worker reads; nothing of a mutator.
    pub fn reading(&self, worker: usize) -> Option<Mode> {
        let reading = self.seats[worker].reading.load(Ordering::Relaxed) as usize;
        Mode::ALL.get(reading.checked_sub(1)?).copied()
    }

    /// Calls of the worker that have come back.
    pub fn beats(&self, worker: usize) -> u64 {
        self.seats[worker].beats.load(Ordering::Relaxed)
    }

    /// Whether the worker rests.
    pub fn rests(&self, worker: usize) -> bool {
        self.seats[worker].rests.load(Ordering::Relaxed)
    }

    /// Begins a spell. `part` gives each worker's part: `None` to rest, else the CPU to play on,
    /// or `Some(None)` to play on any.
    pub fn play(&self, spell: Spell, part: impl Fn(usize) -> Option<Option<usize>>) {
        self.spell.store(spell.pack(), Ordering::Relaxed);
        for (worker, seat) in self.seats.iter().enumerate() {
            let part = part(worker);
            seat.plays.store(part.is_some(), Ordering::Relaxed);
            let cpu = part.flatten().map_or(ANY_CPU, |cpu| cpu as u32);
            seat.cpu.store(cpu, Ordering::Relaxed);
        }
        self.raise();
        for seat in self.seats.iter().filter(|seat| seat.plays.load(Ordering::Relaxed)) {
            if let Some((thread, _)) = seat.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Calls everybody to rest; [`Stage::at_rest`] tells when they do.
    pub fn rest(&self) {
        for seat in &self.seats {
            seat.plays.store(false, Ordering::Relaxed);
        }
        self.raise();
    }

    /// Whether every worker rests, and no call of any of them is under way.
    pub fn at_rest(&self) -> bool {
        // SeqCst: see `attend`; it also acquires what the workers did before they rested.
        self.resting.load(Ordering::SeqCst) as usize == self.seats.len()
    }

    /// Ends the storm: everybody leaves at the next call.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.raise();
        for seat in &self.seats {
            if let Some((thread, _)) = seat.thread.get() {
                thread.unpark();
            }
        }
    }

    fn raise(&self) {
        // SeqCst: see `attend`; it also releases the plan and the spell stored before.
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}
