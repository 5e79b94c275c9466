//! Under which lock does this kernel read smaps?

use super::locking::MapsLocking;
use crate::maps::{MapsFile, MapsRead};
use memmap2::MmapOptions;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SMAPS: &str = "/proc/self/smaps";
/// Bytes of the mapping that mprotect is kept busy with. mprotect holds mmap_lock for writing
/// while it goes through its page tables: a few hundred microseconds, ten times and more what a
/// page of smaps takes.
const BUSY_BYTES: usize = 64 << 20;
/// Reads that come back during one mprotect and can be so many that it let them through. Under
/// mmap_lock two can: one that had begun before it, and one that takes the lock before the waiting
/// writer does.
const MANY: u64 = 4;
/// How long is looked at most; on a busy machine the reader rarely runs beside the writer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Calls of mprotect with a read about that it takes for an answer.
const ENOUGH: usize = 12;
/// Calls of mprotect with a read about that need no further looking.
const PLENTY: usize = 60;
/// Of so many calls of mprotect that held reads up, one may seem to have let them through.
const ONE_IN: usize = 8;

/// Finds out how smaps is read. It went on under mmap_lock when maps no longer did; the patches
/// that change it were written for 7.2 or later.
///
/// A thread changes the protection of a large populated mapping over and over, and the reads that
/// come back during each such call are counted. If they fill half of its time, it let them
/// through; under mmap_lock a few come back at its beginning, while it waits for the lock. A call
/// that took longer than its thread ran does not count: it slept.
///
/// `MmapLock` makes the contract stricter, so it takes both: reads held up and hardly a call that
/// let them through, and a `version` below 7.2. Everything doubtful is `Unknown`, which is judged
/// as `PerVma`; on a busy machine that is the usual answer.
pub fn observe_smaps_locking(version: Option<(u32, u32)>) -> MapsLocking {
    match watch(BUSY_BYTES) {
        None => MapsLocking::Unknown,
        Some((through, about)) => told(through, about, version.is_some_and(|v| v < (7, 2))),
    }
}

/// What the counts tell: calls of mprotect that let reads through, of those with a read about.
fn told(through: usize, about: usize, may_be_mmap_lock: bool) -> MapsLocking {
    if about < ENOUGH {
        MapsLocking::Unknown
    } else if through * 3 > about {
        MapsLocking::PerVma
    } else if through * ONE_IN <= about && may_be_mmap_lock {
        MapsLocking::MmapLock
    } else {
        MapsLocking::Unknown
    }
}

/// Counts the calls of mprotect during which many reads came back, and those with a read about.
fn watch(bytes: usize) -> Option<(usize, usize)> {
    if rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count()) < 2 {
        return None;
    }
    let mut file = MapsFile::open(SMAPS).ok()?;
    let mut map = MmapOptions::new().len(bytes).no_reserve_swap().map_anon().ok()?;
    // One page table entry a page: a huge page would be changed too quickly.
    let _ = map.advise(memmap2::Advice::NoHugePage);
    for page in map.chunks_mut(rustix::param::page_size()) {
        page[0] = 1;
    }
    let reads = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    Some(std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut page = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let _ = file.pread(&mut page, 0);
                // Relaxed: a count; what it is compared with comes from the same thread's looks.
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (mut through, mut about) = (0, 0);
        let a_read = time_of_a_read();
        let mut prot = libc::PROT_READ;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && about < PLENTY {
            let before = reads.load(Ordering::Relaxed);
            let (wall, ran) = (Instant::now(), ran());
            // SAFETY: the mapping is this function's own and is not looked at again.
            unsafe { libc::mprotect(map.as_mut_ptr().cast(), bytes, prot) };
            let (wall, ran) = (wall.elapsed(), self::ran().saturating_sub(ran));
            let during = reads.load(Ordering::Relaxed) - before;
            prot ^= libc::PROT_WRITE;
            if wall > ran + ran / 20 {
                continue;
            }
            through += usize::from(during >= MANY && a_read * during as u32 * 2 >= wall);
            about += usize::from(during >= 1);
        }
        stop.store(true, Ordering::Relaxed);
        (through, about)
    }))
}

/// How long a read takes that nothing holds up: the shortest of some.
fn time_of_a_read() -> Duration {
    let Ok(mut file) = MapsFile::open(SMAPS) else { return Duration::ZERO };
    let mut page = [0; 4096];
    let mut time = || {
        let begun = Instant::now();
        let _ = file.pread(&mut page, 0);
        begun.elapsed()
    };
    (0..50).map(|_| time()).min().unwrap_or_default()
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
    fn the_counts_have_to_be_clear() {
        for (through, about, as_told) in [
            (40, 43, MapsLocking::PerVma),
            (12, 12, MapsLocking::PerVma),
            (3, 3, MapsLocking::Unknown),
            (0, 250, MapsLocking::MmapLock),
            (5, 250, MapsLocking::MmapLock),
            (60, 250, MapsLocking::Unknown),
            (0, 11, MapsLocking::Unknown),
        ] {
            assert_eq!(told(through, about, true), as_told, "{through} of {about}");
        }
        assert_eq!(told(0, 300, false), MapsLocking::Unknown);
    }
}
