//! Whether a region of touched memory fits this machine.

use super::Limits;

/// Memory that stays free beside the region.
const MEMORY_LEFT: u64 = 64 << 20;

/// VMAs for the program, its libraries and its threads.
const OTHER_VMAS: u64 = 512;

/// The VMAs that a region of `pages` pages may come to, one mapping and the guards included.
///
/// Each page is mapped with even odds, so half of them are in the end, and no more than five
/// standard deviations (of sqrt(pages) / 2) above that. Two mapped neighbours are one VMA only
/// while their anon_vma is the same (mm/vma.c, `is_mergeable_anon_vma`). Pages that were mapped
/// alone have each its own, so no merge is counted on.
fn vmas_of(pages: u64) -> u64 {
    let deviation = (pages as f64).sqrt() / 2.0;
    pages / 2 + (5.0 * deviation) as u64 + 3
}

/// A region that a limit does not allow: the problem. [`RegionTooLarge::remedy`] is what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum RegionTooLarge {
    #[error("a region of {mib} MiB does not fit the {available} MiB of memory available")]
    Memory { mib: u64, available: u64, most: u64 },
    #[error(
        "a region of {mib} MiB may fall into {needed} VMAs, and vm.max_map_count allows {allowed}"
    )]
    Vmas { mib: u64, needed: u64, allowed: u64, most: u64 },
}

impl RegionTooLarge {
    /// What to do about it, where `flag` gives the size in MiB.
    pub fn remedy(&self, flag: &str) -> String {
        match self {
            RegionTooLarge::Memory { most, .. } => format!("at most {flag} {most} fits"),
            RegionTooLarge::Vmas { most, needed, .. } => format!(
                "at most {flag} {most} fits, or raise the limit: sysctl vm.max_map_count={needed}"
            ),
        }
    }
}

impl Limits {
    /// Whether a region of `bytes` bytes, all of them touched, in pages of `page` bytes is possible.
    ///
    /// # Errors
    /// A region that is larger than memory, or that vm.max_map_count does not allow.
    pub fn allow_region(&self, bytes: u64, page: u64) -> Result<(), RegionTooLarge> {
        let mib = bytes >> 20;
        if let Some(available) = self.available {
            let most = available.saturating_sub(MEMORY_LEFT);
            if bytes > most {
                let (available, most) = (available >> 20, most >> 20);
                return Err(RegionTooLarge::Memory { mib, available, most });
            }
        }
        let needed = vmas_of(bytes / page) + OTHER_VMAS;
        match self.max_map_count {
            Some(allowed) if needed > allowed => {
                let most = most_mib(allowed, page);
                Err(RegionTooLarge::Vmas { mib, needed, allowed, most })
            }
            _ => Ok(()),
        }
    }
}

/// The most MiB whose VMAs `allowed` allows.
fn most_mib(allowed: u64, page: u64) -> u64 {
    let fits = |mib: u64| vmas_of((mib << 20) / page) + OTHER_VMAS <= allowed;
    // The need grows with the size, and half a VMA a page is its greatest part.
    let (mut low, mut high) = (0, ((allowed * 2 * page) >> 20) + 1);
    while high - low > 1 {
        let middle = (low + high) / 2;
        match fits(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::tests::NONE;
    use super::*;

    const USUAL: Limits = Limits { available: Some(8 << 30), max_map_count: Some(65_530), ..NONE };

    #[test]
    fn the_default_region_fits_the_default_limits() {
        USUAL.allow_region(128 << 20, 4096).unwrap();
    }

    #[test]
    fn a_region_larger_than_memory_is_refused_with_the_limit() {
        let small = Limits { available: Some(164 << 20), ..USUAL };
        small.allow_region(100 << 20, 4096).unwrap();
        let refused = small.allow_region(128 << 20, 4096).unwrap_err();
        assert_eq!(
            format!("{refused}; {}", refused.remedy("--mb")),
            "a region of 128 MiB does not fit the 164 MiB of memory available; at most --mb 100 fits"
        );
    }

    #[test]
    fn the_largest_region_named_is_the_largest_accepted() {
        let refused = USUAL.allow_region(4 << 30, 4096).unwrap_err();
        let RegionTooLarge::Vmas { most, allowed: 65_530, .. } = refused else {
            panic!("{refused}");
        };
        USUAL.allow_region(most << 20, 4096).unwrap();
        assert!(USUAL.allow_region((most + 1) << 20, 4096).is_err());
    }

    #[test]
    fn unknown_limits_do_not_bind() {
        NONE.allow_region(1 << 40, 4096).unwrap();
    }
}
