//! Under which lock does this kernel read maps? Observed, because version numbers lie:
//! distributions backport.

use crate::maps::{MapsFile, MapsRead};
use memmap2::MmapOptions;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
/// while it goes through its page tables: a hundred microseconds, ten times and more what a page
/// of maps or smaps takes.
const BUSY_BYTES: usize = 16 << 20;
/// How long is looked at most; on a busy machine the reader rarely runs beside the writer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Calls of mprotect with a read about that it takes for an answer.
const ENOUGH: usize = 12;
/// Calls of mprotect with a read about that need no further looking.
const PLENTY: usize = 60;
/// Of so many calls of mprotect that held reads up, one may seem to have let them through.
const ONE_IN: usize = 8;

/// Finds out how maps is read: a thread changes the protection of a large populated mapping over
/// and over, and the reads that come back during each such call are counted. If they fill half of
/// its time, it let them through; under mmap_lock a few come back at its beginning, while it waits
/// for the lock. A call that took longer than its thread ran does not count: it slept.
///
/// `MmapLock` makes the contract stricter, so it takes both: reads held up and hardly a call that
/// let them through, and a `version` below 6.17. Everything doubtful is `Unknown`, which is judged
/// as `PerVma`.
pub fn observe_locking(version: Option<(u32, u32)>) -> MapsLocking {
    observe("/proc/self/maps", version.is_some_and(|v| v < (6, 17)))
}

/// Finds out the same of smaps, which went on under mmap_lock when maps no longer did: the
/// patches that change it were written for 7.2 or later.
pub fn observe_smaps_locking(version: Option<(u32, u32)>) -> MapsLocking {
    observe("/proc/self/smaps", version.is_some_and(|v| v < (7, 2)))
}

fn observe(path: &str, may_be_mmap_lock: bool) -> MapsLocking {
    match watch(path) {
        None => MapsLocking::Unknown,
        Some((through, about)) => told(through, about, may_be_mmap_lock),
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
fn watch(path: &str) -> Option<(usize, usize)> {
    if rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count()) < 2 {
        return None;
    }
    let mut file = MapsFile::open(path).ok()?;
    let mut map = MmapOptions::new().len(BUSY_BYTES).no_reserve_swap().map_anon().ok()?;
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
        let a_read = time_of_a_read(path);
        let mut prot = libc::PROT_READ;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && about < PLENTY {
            let before = reads.load(Ordering::Relaxed);
            let (wall, ran) = (Instant::now(), ran());
            // SAFETY: the mapping is this function's own and is not looked at again.
            unsafe { libc::mprotect(map.as_mut_ptr().cast(), BUSY_BYTES, prot) };
            let (wall, ran) = (wall.elapsed(), self::ran().saturating_sub(ran));
            let during = reads.load(Ordering::Relaxed) - before;
            prot ^= libc::PROT_WRITE;
            if wall > ran + ran / 20 {
                continue;
            }
            through += usize::from(a_read * during as u32 * 2 >= wall);
            about += usize::from(during >= 1);
        }
        stop.store(true, Ordering::Relaxed);
        (through, about)
    }))
}

/// How long a read takes that nothing holds up: the shortest of some.
fn time_of_a_read(path: &str) -> Duration {
    let Ok(mut file) = MapsFile::open(path) else { return Duration::ZERO };
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
