//! Whether a region fits this machine.

use super::failure::Failure;

/// What bounds a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Page size.
    pub page_bytes: u64,
    /// MemAvailable of /proc/meminfo; `None` where unknown.
    pub available_bytes: Option<u64>,
    /// `vm.max_map_count`; `None` where unknown.
    pub max_map_count: Option<u64>,
}

/// Memory that stays free beside the region.
const MEMORY_LEFT: u64 = 64 << 20;

/// VMAs for the program, its libraries and its threads.
const OTHER_VMAS: u64 = 512;

/// The VMAs that a region of `pages` pages may come to, one mapping and guards included.
///
/// Each page is mapped or not by the toss of a coin, so half of them are in the end, and no more
/// than five standard deviations above (sqrt(pages) / 2 each). Two mapped pages side by side are
/// one VMA only while their anon_vma is the same (mm/vma.c, `is_mergeable_anon_vma`); pages that
/// were mapped alone have each its own, so no merge is counted on.
pub fn vmas_of(pages: u64) -> u64 {
    let deviation = (pages as f64).sqrt() / 2.0;
    pages / 2 + (5.0 * deviation) as u64 + 3
}

impl Limits {
    /// Those of this machine.
    pub fn here() -> Limits {
        Limits {
            page_bytes: rustix::param::page_size() as u64,
            available_bytes: super::machine::meminfo_kib("MemAvailable").map(|kib| kib << 10),
            max_map_count: super::machine::max_map_count(),
        }
    }

    /// Checks a region of `bytes`, given by `flag`.
    ///
    /// # Errors
    /// A region that is larger than memory, or that vm.max_map_count does not allow.
    pub fn check(&self, flag: &str, bytes: u64) -> Result<(), Failure> {
        if let Some(available) = self.available_bytes {
            let most = available.saturating_sub(MEMORY_LEFT);
            if bytes > most {
                return Err(Failure::usage(
                    flag,
                    format!(
                        "a region of {} MiB does not fit the {} MiB of memory available",
                        bytes >> 20,
                        available >> 20
                    ),
                    format!("at most --mb {} fits", most >> 20),
                ));
            }
        }
        let Some(allowed) = self.max_map_count else {
            return Ok(());
        };
        let needed = vmas_of(bytes / self.page_bytes) + OTHER_VMAS;
        if needed <= allowed {
            return Ok(());
        }
        Err(Failure::usage(
            flag,
            format!(
                "a region of {} MiB may fall into {needed} VMAs, and vm.max_map_count allows {allowed}",
                bytes >> 20
            ),
            format!(
                "at most --mb {} fits, or raise the limit: sysctl vm.max_map_count={needed}",
                self.most_mib(allowed)
            ),
        ))
    }

    fn most_mib(&self, allowed: u64) -> u64 {
        let fits = |mib: u64| vmas_of((mib << 20) / self.page_bytes) + OTHER_VMAS <= allowed;
        // The need grows with the size, and half a VMA a page is its greatest part.
        let (mut low, mut high) = (0, ((allowed * 2 * self.page_bytes) >> 20) + 1);
        while high - low > 1 {
            let middle = (low + high) / 2;
            match fits(middle) {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Limits =
        Limits { page_bytes: 4096, available_bytes: Some(8 << 30), max_map_count: Some(65_530) };

    #[test]
    fn the_default_region_fits_the_default_limits() {
        USUAL.check("--mb", 128 << 20).unwrap();
    }

    #[test]
    fn a_region_larger_than_memory_is_refused_with_the_limit() {
        let small = Limits { available_bytes: Some(164 << 20), ..USUAL };
        small.check("--mb", 100 << 20).unwrap();
        let text = small.check("--mb", 128 << 20).unwrap_err().to_string();
        assert_eq!(
            text,
            "--mb: a region of 128 MiB does not fit the 164 MiB of memory available; at most --mb 100 fits"
        );
    }

    #[test]
    fn the_largest_region_named_is_the_largest_accepted() {
        let text = USUAL.check("--gb", 4 << 30).unwrap_err().to_string();
        let most: u64 = text
            .split_once("at most --mb ")
            .and_then(|(_, rest)| rest.split_once(' '))
            .and_then(|(number, _)| number.parse().ok())
            .unwrap();
        USUAL.check("--mb", most << 20).unwrap();
        assert!(USUAL.check("--mb", (most + 1) << 20).is_err());
        assert!(text.starts_with("--gb: ") && text.contains("vm.max_map_count allows 65530"));
    }

    #[test]
    fn unknown_limits_do_not_bind() {
        let unknown = Limits { available_bytes: None, max_map_count: None, ..USUAL };
        unknown.check("--gb", 1 << 40).unwrap();
    }
}
