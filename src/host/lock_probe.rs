//! A long read and short writer calls side by side: does the one hold the others up?
//!
//! Each call that changes the address space takes mmap_lock for writing, an mprotect of a single
//! page, too (mm/mprotect.c, `do_mprotect_pkey`). A read call that holds mmap_lock from its first
//! VMA to its last (fs/proc/task_mmu.c, `m_start` to `m_stop`) lets no such call through meanwhile.
//! One that locks single VMAs lets hundreds through.

use super::cpus::{allowed_cpus, pin};
use crate::kernel::{MapsFile, MapsRead};
use memmap2::{MmapMut, MmapOptions};
use rustix::mm::{MprotectFlags, mprotect};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What the reads of a contest showed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Score {
    /// Reads during which the writer made less than a sixteenth of the calls it had time for.
    pub(super) held: usize,
    /// Reads during which it made more than a quarter of them.
    pub(super) through: usize,
    /// Reads in between.
    pub(super) unclear: usize,
}

/// Reads of one kind that make an answer.
const ENOUGH: usize = 12;
/// How many times the others they have to be, all taken together.
const MARGIN: usize = 3;
/// How long is looked at most. An answer takes some 20 ms, and beside twice as many busy threads
/// as CPUs up to 2 s.
const PATIENCE: Duration = Duration::from_secs(4);

impl Score {
    /// Whether the reads held the writer up, or `None` where they do not agree.
    ///
    /// The margin is for interrupts. A reader that is interrupted between its look at the writer
    /// and the lock shows calls that the read did not let through. A writer that is interrupted
    /// just when a read begins shows none. Where the threads share their CPUs with others, one read
    /// in ten is like that.
    pub(super) fn held_up(self) -> Option<bool> {
        let clear = |some: usize, others| some >= ENOUGH && some >= MARGIN * others;
        if clear(self.held, self.through + self.unclear) {
            Some(true)
        } else if clear(self.through, self.held + self.unclear) {
            Some(false)
        } else {
            None
        }
    }

    /// Counts one read: during which the writer made `calls` calls, and `fits` would have fit.
    fn count(&mut self, calls: u64, fits: u64) {
        if calls * 16 <= fits {
            self.held += 1;
        } else if calls * 4 >= fits {
            self.through += 1;
        } else {
            self.unclear += 1;
        }
    }
}

/// Memory that makes a read long by its many lines, and above it a page for the writer. A read that
/// meets that page's VMA has done its long part.
pub(super) struct Ground {
    map: MmapMut,
    /// The writer's page: between pages without access, so that it never merges.
    page: usize,
}

impl Ground {
    /// Reserves `pages` pages to make reads long with.
    pub(super) fn reserve(pages: usize) -> Option<Ground> {
        let size = rustix::param::page_size();
        let len = (pages + 3) * size;
        let mut map = MmapOptions::new().len(len).no_reserve_swap().map_anon().ok()?;
        let page = map.as_mut_ptr() as usize + (pages + 1) * size;
        // SAFETY: pages of this mapping; no reference to them is given out.
        unsafe { mprotect((page - size) as *mut _, 3 * size, MprotectFlags::empty()) }.ok()?;
        Some(Ground { map, page })
    }

    /// Gives every page a page table entry: smaps looks at each of them (fs/proc/task_mmu.c,
    /// `smap_gather_stats`). Reading maps the zero page (mm/memory.c, `do_anonymous_page`), so that
    /// large pages take no more memory than small ones.
    pub(super) fn populate(self) -> Ground {
        let _ = self.map.advise(memmap2::Advice::NoHugePage);
        let size = rustix::param::page_size();
        let long = self.map.len() - 3 * size;
        for page in self.map[..long].chunks(size) {
            std::hint::black_box(page[0]);
        }
        self
    }

    /// Whether a read of all of `file`, which was just opened, takes as long as many calls of the
    /// writer: [`LONG`] times [`ALIVE`] of them. Tried while neither is at work.
    pub(super) fn is_long(&self, mut file: MapsFile) -> bool {
        let size = rustix::param::page_size();
        let least = |what: &mut dyn FnMut()| {
            let times = (0..5).map(|_| {
                let begun = Instant::now();
                what();
                begun.elapsed()
            });
            times.min().unwrap_or_default()
        };
        let calls = least(&mut || {
            for call in 0..ALIVE {
                let prot = if call % 2 == 0 { MprotectFlags::READ } else { READ_WRITE };
                // SAFETY: a page of the ground; no reference to it is given out.
                let _ = unsafe { mprotect(self.page as *mut _, size, prot) };
            }
        });
        let mut offset = BEHIND;
        let read = least(&mut || {
            let _ = file.pread(&mut [0; 8], offset);
            offset ^= 1;
        });
        read >= calls * LONG
    }

    /// Makes a VMA of each page, so that maps gets a line of each.
    pub(super) fn split(self) -> Option<Ground> {
        let size = rustix::param::page_size();
        let first = self.map.as_ptr() as usize;
        for page in (first..self.page - size).step_by(2 * size) {
            // SAFETY: pages of this mapping; no reference to them is given out.
            unsafe { mprotect(page as *mut _, size, MprotectFlags::READ) }.ok()?;
        }
        Some(self)
    }
}

/// Calls of the writer that are waited for before and after a read.
const ALIVE: u64 = 16;
/// How many times as long as those a read has to take to count.
const FITS: u64 = 4;
/// The same for a read that is made long: some calls slip in before it has its lock, and beside it
/// the writer's are slower than alone.
const LONG: u32 = 8 * FITS as u32;
/// What the writer's page is in turn, beside readable.
const READ_WRITE: MprotectFlags = MprotectFlags::READ.union(MprotectFlags::WRITE);
/// An offset behind the end makes the kernel generate every line in one call, and keep none
/// (fs/seq_file.c, `traverse`); at the same offset again it would go on from there, so every other
/// read is at the next one.
const BEHIND: u64 = 1 << 40;
/// How long the two try to meet before they rest: a time slice. Threads that have slept get a CPU
/// sooner than those that always want one.
const ROUND: Duration = Duration::from_millis(4);
const REST: Duration = Duration::from_millis(2);

/// What the writer is to do, in place of a CPU to stay off.
const SLEEP: usize = usize::MAX;
const STOP: usize = usize::MAX - 1;

/// What reader and writer share. All of it Relaxed: numbers by which nothing else is read.
struct Shared {
    /// The writer's calls.
    calls: AtomicU64,
    /// The CPU of the reader, which the writer stays off; or [`SLEEP`], or [`STOP`].
    turn: AtomicUsize,
}

/// Reads the whole of `file` over and over beside a writer on `ground`.
///
/// Only reads count that ran for most of their time, and with the writer seen at work before and
/// after them: a writer that was held up because it lost its CPU is not back that soon.
pub(super) fn watch(file: MapsFile, ground: &Ground) -> Score {
    let Some(cpus) = allowed_cpus().ok().filter(|cpus| cpus.len() >= 2) else {
        return Score::default();
    };
    let shared = Shared { calls: AtomicU64::new(0), turn: AtomicUsize::new(SLEEP) };
    std::thread::scope(|scope| {
        let (shared, cpus) = (&shared, &cpus);
        // Without threads nothing is observed. What needs them for more than this says so.
        let thread = || std::thread::Builder::new().name("probe".into());
        let Ok(writer) = thread().spawn_scoped(scope, || shared.write(ground, cpus)) else {
            return Score::default();
        };
        let writer = writer.thread().clone();
        let stop = |writer: &Thread| {
            shared.turn.store(STOP, Ordering::Relaxed);
            writer.unpark();
        };
        let of_writer = writer.clone();
        // The reader has a thread of its own, too, because it is bound to CPUs.
        let reader = thread().spawn_scoped(scope, move || {
            let score = shared.read(file, cpus, &of_writer);
            stop(&of_writer);
            score
        });
        match reader {
            Ok(reader) => reader.join().unwrap_or_default(),
            Err(_) => {
                stop(&writer);
                Score::default()
            }
        }
    })
}

impl Shared {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn write(&self, ground: &Ground, cpus: &[usize]) {
        let size = rustix::param::page_size();
        let mut prot = MprotectFlags::READ;
        loop {
            let turn = self.turn.load(Ordering::Relaxed);
            match turn {
                STOP => return,
                SLEEP => std::thread::park(),
                reader => {
                    let _ = pin(cpus.iter().copied().filter(|&cpu| cpu != reader));
                }
            }
            while turn < STOP && self.turn.load(Ordering::Relaxed) == turn {
                // SAFETY: a page of the ground; no reference to it is given out.
                let _ = unsafe { mprotect(ground.page as *mut _, size, prot) };
                prot ^= MprotectFlags::WRITE;
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn read(&self, mut file: MapsFile, cpus: &[usize], writer: &Thread) -> Score {
        let mut score = Score::default();
        let begun = Instant::now();
        let mut offset = BEHIND;
        while score.held_up().is_none() && begun.elapsed() < PATIENCE {
            let Some(pace) = self.alive(ROUND) else {
                self.elsewhere(cpus, writer);
                continue;
            };
            let before = self.calls();
            let (from, ran) = (Instant::now(), ran());
            let read = file.pread(&mut [0; 8], offset);
            let (took, ran) = (from.elapsed(), self::ran().saturating_sub(ran));
            let during = self.calls() - before;
            offset ^= 1;
            let fits = (took.as_nanos() * u128::from(ALIVE) / pace.as_nanos().max(1)) as u64;
            // What was done did fit, however slow the writer was before.
            let fits = fits.max(during);
            let whole = read == Ok(0) && fits >= FITS * ALIVE && ran > took / 2;
            if whole && self.alive(took).is_some() {
                score.count(during, fits);
            }
        }
        score
    }

    /// Rests, and begins again on the CPU where the scheduler then puts the reader.
    fn elsewhere(&self, cpus: &[usize], writer: &Thread) {
        self.turn.store(SLEEP, Ordering::Relaxed);
        let _ = pin(cpus.iter().copied());
        std::thread::sleep(REST);
        let cpu = rustix::thread::sched_getcpu();
        let _ = pin([cpu]);
        self.turn.store(cpu, Ordering::Relaxed);
        writer.unpark();
    }

    /// Waits until the writer is seen at work beside this thread: [`ALIVE`] of its calls, watched
    /// one by one. Gives the time they took, or `None` when that does not come about within
    /// `patience`.
    ///
    /// Two threads that take turns on one CPU do not see each other's single calls.
    fn alive(&self, patience: Duration) -> Option<Duration> {
        let begun = Instant::now();
        loop {
            let (from, first) = (Instant::now(), self.calls());
            let (mut last, mut looks) = (first, 0);
            while last - first < ALIVE {
                if begun.elapsed() > patience {
                    return None;
                }
                let calls = self.calls();
                looks += u64::from(calls != last);
                last = calls;
                std::hint::spin_loop();
            }
            if looks >= ALIVE / 2 {
                return Some(from.elapsed() * ALIVE as u32 / (last - first) as u32);
            }
        }
    }
}

/// How long the calling thread has run.
fn ran() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reads_have_to_agree() {
        for (held, through, unclear, told) in [
            (12, 0, 0, Some(true)),
            (12, 3, 1, Some(true)),
            (12, 4, 1, None),
            (11, 0, 0, None),
            (0, 12, 0, Some(false)),
            (4, 12, 1, None),
            (4, 15, 1, Some(false)),
            (90, 90, 0, None),
            (0, 0, 40, None),
        ] {
            assert_eq!(Score { held, through, unclear }.held_up(), told, "{held} {through}");
        }
    }

    #[test]
    fn a_read_counts_by_the_calls_it_had_time_for() {
        let mut score = Score::default();
        for (calls, fits) in [(0, 64), (4, 64), (5, 64), (15, 64), (16, 64), (90, 64)] {
            score.count(calls, fits);
        }
        assert_eq!(score, Score { held: 2, through: 2, unclear: 2 });
    }
}
