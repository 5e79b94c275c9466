//! Under which lock does this kernel read maps and smaps? Observed, because version numbers lie:
//! distributions backport.

use super::lock_probe::{Ground, watch};
use crate::kernel::MapsFile;
use serde::Serialize;

/// How `/proc/PID/maps`, or `/proc/PID/smaps`, is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapsLocking {
    /// Under the locks of single VMAs: maps in Linux 6.17 and later. While a read was under way,
    /// another thread changed the address space over and over.
    PerVma,
    /// Under mmap_lock, maps up to 6.16: writers had to wait for the end of the read.
    MmapLock,
    /// Not to be told, for want of a second CPU or of clear observations.
    Unknown,
}

impl MapsLocking {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            MapsLocking::PerVma => "per-vma locks",
            MapsLocking::MmapLock => "mmap_lock",
            MapsLocking::Unknown => "a lock that could not be observed",
        }
    }

    /// `MmapLock` makes the contract stricter, so it takes an observation and a kernel of before
    /// the change. Anything doubtful is `Unknown`, which is judged as `PerVma`.
    fn told(held_up: Option<bool>, version: Option<(u32, u32)>, changed_in: (u32, u32)) -> Self {
        match held_up {
            Some(false) => MapsLocking::PerVma,
            Some(true) if version.is_some_and(|v| v < changed_in) => MapsLocking::MmapLock,
            _ => MapsLocking::Unknown,
        }
    }
}

/// VMAs made for a read of maps to be long: at 100 ns a line it takes 400 us.
const LINES: usize = 4096;
/// Pages populated for a read of smaps to be long, at first and at most: at 5 ns a page table entry
/// 8192 of them take 40 us, and the writer's calls 100 to 1000 ns each. The page tables of the most
/// take 2 MiB.
const PAGES: usize = 8192;
const MOST_PAGES: usize = 1 << 18;

/// Finds out how maps is read: a thread changes the protection of a page over and over, and its
/// calls are counted during a read of some thousand lines.
///
/// Before 6.17 a read holds mmap_lock (fs/proc/task_mmu.c, `m_start`). `version` is the kernel's.
pub fn observe_locking(version: Option<(u32, u32)>) -> MapsLocking {
    let held_up = || {
        let ground = Ground::reserve(LINES)?.split()?;
        watch(MapsFile::own().ok()?, &ground).held_up()
    };
    MapsLocking::told(held_up(), version, (6, 17))
}

/// What `make` makes of the least of `from`, twice, four times as much that is enough; or of the
/// most that can be had, which is no more than `most`.
fn grown<T>(
    from: usize,
    most: usize,
    mut make: impl FnMut(usize) -> Option<(T, bool)>,
) -> Option<T> {
    let (mut size, mut last) = (from, None);
    while let Some((made, enough)) = make(size) {
        last = Some(made);
        if enough || size >= most {
            break;
        }
        size = (2 * size).min(most);
    }
    last
}

/// Finds out how smaps is read, in the same way. Populated memory makes the read long, whatever the
/// size of a page. smaps was still read under mmap_lock when maps no longer was; the patches that
/// change it were written for 7.2 or later.
pub fn observe_smaps_locking(version: Option<(u32, u32)>) -> MapsLocking {
    let held_up = || {
        let smaps = || MapsFile::open("/proc/self/smaps").ok();
        let ground = grown(PAGES, MOST_PAGES, |pages| {
            let ground = Ground::reserve(pages)?.populate();
            let long = ground.is_long(smaps()?);
            Some((ground, long))
        })?;
        watch(smaps()?, &ground).held_up()
    };
    MapsLocking::told(held_up(), version, (7, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_grows_until_a_read_of_it_is_long() {
        let tried = |from, most, enough| {
            let mut tried = Vec::new();
            let got = grown(from, most, |size| {
                tried.push(size);
                Some((size, size >= enough))
            });
            (got, tried)
        };
        assert_eq!(tried(8, 100, 5), (Some(8), vec![8]));
        assert_eq!(tried(8, 100, 30), (Some(32), vec![8, 16, 32]));
        assert_eq!(tried(8, 100, 999), (Some(100), vec![8, 16, 32, 64, 100]), "and no further");
        assert_eq!(grown(8, 100, |_| None::<((), bool)>), None, "without memory nothing");
        let scarce = grown(8, 100, |size| (size < 20).then_some((size, false)));
        assert_eq!(scarce, Some(16), "as much as there is");
    }

    #[test]
    fn mmap_lock_takes_an_observation_and_a_version() {
        let told = |held_up, version| MapsLocking::told(held_up, version, (6, 17));
        assert_eq!(told(Some(true), Some((6, 16))), MapsLocking::MmapLock);
        for (held_up, version) in
            [(Some(true), Some((6, 17))), (Some(true), None), (None, Some((6, 1))), (None, None)]
        {
            assert_eq!(told(held_up, version), MapsLocking::Unknown);
        }
        for version in [Some((6, 1)), Some((6, 17)), None] {
            assert_eq!(told(Some(false), version), MapsLocking::PerVma, "backported");
        }
    }
}
