//! Under which lock does this kernel read maps? Observed, because version numbers lie:
//! distributions backport.

use crate::maps::{MapsFile, MapsRead};
use memmap2::MmapOptions;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// How `/proc/PID/maps` is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapsLocking {
    /// Under the locks of single VMAs: Linux 6.17 and later. A read came and went while another
    /// thread held mmap_lock for writing.
    PerVma,
    /// Under mmap_lock, up to 6.16: reads had to wait.
    MmapLock,
    /// Not to be told, for want of a second CPU or of clear observations.
    Unknown,
}

impl MapsLocking {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            MapsLocking::PerVma => "per-vma locks (6.17 and later)",
            MapsLocking::MmapLock => "mmap_lock (up to 6.16)",
            MapsLocking::Unknown => "a lock that could not be observed",
        }
    }
}

/// Bytes of the mapping that mprotect is kept busy with. mprotect holds mmap_lock for writing
/// while it goes through its page tables: some tens of microseconds, ten times what a page of
/// maps takes.
const BUSY_BYTES: usize = 16 << 20;
const ROUNDS: usize = 400;
/// Reads within an mprotect that make the answer "per VMA". One can slip in under mmap_lock, when
/// the thread is interrupted between its look at the clock and the lock.
const ENOUGH_WITHIN: usize = 3;
/// Reads that began within an mprotect and had to see its end, that make the answer "mmap_lock".
const ENOUGH_HELD_UP: usize = 20;

/// Finds out how maps is read: a thread changes the protection of a large populated mapping over
/// and over, and reads are counted that begin and end within one such call, and that begin within
/// and end after it.
///
/// `MmapLock` makes the contract stricter, so it takes both: reads held up and none that was not,
/// and a `version` below 6.17. Everything doubtful is `Unknown`, which is judged as `PerVma`.
pub fn observe_locking(version: Option<(u32, u32)>) -> MapsLocking {
    let Some((within, held_up)) = watch() else { return MapsLocking::Unknown };
    if within >= ENOUGH_WITHIN {
        MapsLocking::PerVma
    } else if within == 0 && held_up >= ENOUGH_HELD_UP && version.is_some_and(|v| v < (6, 17)) {
        MapsLocking::MmapLock
    } else {
        MapsLocking::Unknown
    }
}

/// Counts reads that lay within an mprotect, and reads that began in one and outlasted it.
fn watch() -> Option<(usize, usize)> {
    if rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count()) < 2 {
        return None;
    }
    let mut file = MapsFile::own().ok()?;
    let mut map = MmapOptions::new().len(BUSY_BYTES).no_reserve_swap().map_anon().ok()?;
    // One page table entry a page: a huge page would be changed too quickly.
    let _ = map.advise(memmap2::Advice::NoHugePage);
    for page in map.chunks_mut(rustix::param::page_size()) {
        page[0] = 1;
    }
    let begun = Instant::now();
    let now = || begun.elapsed().as_nanos() as u64;
    // The read under way, and the last finished one.
    let (under_way, from, to) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    Some(std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut page = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let start = now();
                // Release (three times): who sees one of these sees those stored before it.
                under_way.store(start, Ordering::Release);
                let _ = file.pread(&mut page, 0);
                from.store(start, Ordering::Release);
                to.store(now(), Ordering::Release);
            }
        });
        let (mut within, mut held_up) = (0, 0);
        let mut prot = libc::PROT_READ;
        for _ in 0..ROUNDS {
            let before = now();
            // SAFETY: the mapping is this function's own and is not looked at again.
            unsafe { libc::mprotect(map.as_mut_ptr().cast(), BUSY_BYTES, prot) };
            let (end, start) = (to.load(Ordering::Acquire), from.load(Ordering::Acquire));
            let running = under_way.load(Ordering::Acquire);
            let after = now();
            // A start later than its end belongs to a newer read: the pair says nothing.
            within += usize::from(before < start && start < end && end < after);
            held_up += usize::from(before < running && running > end && running < after);
            prot ^= libc::PROT_WRITE;
            if within >= ENOUGH_WITHIN {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        (within, held_up)
    }))
}
