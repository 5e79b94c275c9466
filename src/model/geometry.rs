//! Where the lanes lie: addresses to lanes and pages, and back.

/// The arena's lanes in the address space.
///
/// Lane `i` starts at `base + i * stride`; the stride is a power of two and at least one page
/// longer than the lane. The pages between the lanes are never mapped: without them the last VMA
/// of one lane could merge with the first of the next, and no lane could be judged by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometry {
    /// Address of the first page of lane 0; a multiple of the stride is not needed.
    pub base: u64,
    /// log2 of [`Geometry::page_size`].
    pub page_shift: u32,
    /// log2 of the distance between two lanes in bytes.
    pub stride_shift: u32,
    /// Number of lanes.
    pub lanes: u16,
    /// Pages in a lane, at most [`MAX_PAGES`](super::MAX_PAGES).
    pub pages: u8,
}

impl Geometry {
    /// Lanes of `pages` pages from `base` on.
    ///
    /// # Panics
    /// When `page_size` is no power of two, or a count is out of range: the command line's limits
    /// are checked before anything is built.
    pub fn new(base: u64, page_size: usize, lanes: usize, pages: usize) -> Geometry {
        assert!(page_size.is_power_of_two());
        assert!((1..=super::MAX_PAGES).contains(&pages));
        let page_shift = page_size.trailing_zeros();
        Geometry {
            base,
            page_shift,
            stride_shift: page_shift + Geometry::stride(pages).trailing_zeros(),
            lanes: u16::try_from(lanes).expect("lanes are limited to 16 bits"),
            pages: pages as u8,
        }
    }

    /// Pages from one lane's first page to the next lane's, for lanes of `pages` pages.
    pub const fn stride(pages: usize) -> usize {
        (pages + 1).next_power_of_two()
    }

    /// Bytes from the first lane's start to the end of the last lane's guard.
    pub fn bytes(&self) -> u64 {
        (self.lanes as u64) << self.stride_shift
    }

    /// One past the last address of the arena.
    pub fn end(&self) -> u64 {
        self.base + self.bytes()
    }

    /// Bytes in a page of a lane: one page of memory, or several that are mapped and unmapped together.
    pub fn page_size(&self) -> u64 {
        1 << self.page_shift
    }

    /// The address of page `page` of lane `lane`; `page` may be the lane's end.
    pub fn address(&self, lane: u16, page: usize) -> u64 {
        self.base + ((lane as u64) << self.stride_shift) + ((page as u64) << self.page_shift)
    }

    /// Whether the address lies in the arena, guards included.
    pub fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.base) < self.bytes()
    }

    /// Whether something of `start..end` lies in the arena, guards included.
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        start < self.end() && end > self.base
    }

    /// Lane and page of an address of the arena. A page at or above [`Geometry::pages`] lies in
    /// the lane's guard.
    pub fn locate(&self, address: u64) -> (u16, usize) {
        debug_assert!(self.contains(address));
        let offset = address - self.base;
        let lane = offset >> self.stride_shift;
        let page = (offset & ((1 << self.stride_shift) - 1)) >> self.page_shift;
        (lane as u16, page as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_places_are_inverse() {
        for pages in [1, 3, 7, 16, 64] {
            let geometry = Geometry::new(0x7000_0000_1000, 4096, 5, pages);
            for lane in 0..5 {
                for page in 0..=pages {
                    let address = geometry.address(lane, page);
                    assert!(geometry.contains(address));
                    assert_eq!(geometry.locate(address), (lane, page));
                    assert_eq!(geometry.locate(address + 4095), (lane, page));
                }
            }
            assert!(!geometry.contains(geometry.base - 1));
            assert!(!geometry.contains(geometry.end()));
        }
    }
}
