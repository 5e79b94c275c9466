//! What the kernel counts of VMA locks.

use serde::Serialize;

/// Page faults that took the lock of a VMA, and those that did not (mm/memory.c, `lock_vma_under_rcu`
/// and its callers), of all processes since the machine began. Where CONFIG_PER_VMA_LOCK_STATS is set.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct VmaLockCounts {
    /// Faults that were handled under it.
    pub success: u64,
    /// Faults that could not be, and took mmap_lock.
    pub abort: u64,
    /// Faults that began so and had to be tried again under mmap_lock.
    pub retry: u64,
    /// Lookups that found a VMA which was changing.
    pub miss: u64,
}

impl VmaLockCounts {
    /// What the counters say now.
    pub fn now() -> Option<VmaLockCounts> {
        VmaLockCounts::of(&std::fs::read_to_string("/proc/vmstat").ok()?)
    }

    fn of(vmstat: &str) -> Option<VmaLockCounts> {
        let count = |name: &str| {
            let mut fields = vmstat.lines().filter_map(|line| line.split_once(' '));
            fields.find(|(field, _)| *field == name)?.1.parse().ok()
        };
        Some(VmaLockCounts {
            success: count("vma_lock_success")?,
            abort: count("vma_lock_abort")?,
            retry: count("vma_lock_retry")?,
            miss: count("vma_lock_miss")?,
        })
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &VmaLockCounts) -> VmaLockCounts {
        VmaLockCounts {
            success: self.success.wrapping_sub(before.success),
            abort: self.abort.wrapping_sub(before.abort),
            retry: self.retry.wrapping_sub(before.retry),
            miss: self.miss.wrapping_sub(before.miss),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_those_of_vmstat_or_none() {
        let text = "nr_free_pages 7\nvma_lock_success 40\nvma_lock_abort 3\nvma_lock_retry 2\nvma_lock_miss 1\n";
        let counts = VmaLockCounts::of(text).unwrap();
        assert_eq!((counts.success, counts.abort, counts.retry, counts.miss), (40, 3, 2, 1));
        assert_eq!(counts.since(&counts), VmaLockCounts::default());
        assert_eq!(VmaLockCounts::of("nr_free_pages 7\nvma_lock_success 40\n"), None);
    }
}
