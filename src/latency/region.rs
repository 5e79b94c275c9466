//! The region: reserved address space in which single pages come and go.

use super::mapper::Calls;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::time::Duration;

/// What the mapper sleeps between two calls.
pub const PAUSE: Duration = Duration::from_micros(10);

/// Address space above the region that is free while it exists. The kernel places new mappings in
/// the highest hole that fits (mm/mmap.c, `vm_unmapped_area_topdown`): thread stacks and malloc's
/// arenas go there and not into a hole that the mapper has just made.
const DECOY: usize = 1 << 30;

/// A populated private anonymous region and a guard page on either side.
pub struct Region {
    base: *mut c_void,
    pages: u64,
    page_bytes: usize,
}

// SAFETY: a region is an address range that it alone owns; no thread keeps a reference into it,
// and nothing in it is ever read or written.
unsafe impl Send for Region {}

impl Region {
    /// Maps and populates `bytes`, a multiple of the page size.
    ///
    /// # Errors
    /// What mmap(2) gave: ENOMEM where memory or address space (RLIMIT_AS) does not suffice.
    pub fn populated(bytes: usize) -> Result<Region, Errno> {
        let page_bytes = rustix::param::page_size();
        let whole = bytes + 2 * page_bytes;
        let reserve = |bytes| {
            // SAFETY: the kernel chooses an address range that nothing uses.
            unsafe {
                mmap_anonymous(
                    std::ptr::null_mut(),
                    bytes,
                    ProtFlags::empty(),
                    MapFlags::PRIVATE | MapFlags::NORESERVE,
                )
            }
        };
        let lowest = match reserve(whole + DECOY) {
            Ok(lowest) => {
                // SAFETY: the upper part of the reservation just made, to which nothing refers.
                unsafe { munmap(lowest.byte_add(whole), DECOY)? };
                lowest
            }
            // Address space is limited; without the decoy it may still do.
            Err(_) => reserve(whole)?,
        };
        let region = Region {
            base: lowest.wrapping_byte_add(page_bytes),
            pages: (bytes / page_bytes) as u64,
            page_bytes,
        };
        region.map_at(region.base, bytes)?;
        Ok(region)
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    fn page(&self, index: u64) -> *mut c_void {
        debug_assert!(index < self.pages);
        self.base.wrapping_byte_add(index as usize * self.page_bytes)
    }

    fn map_at(&self, address: *mut c_void, bytes: usize) -> Result<(), Errno> {
        let flags = MapFlags::FIXED | MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: the callers pass ranges inside the region, which this value owns and to which
        // no reference exists.
        unsafe { mmap_anonymous(address, bytes, ProtFlags::WRITE, flags).map(drop) }
    }
}

impl Calls for Region {
    #[inline]
    fn unmap(&mut self, page: u64) -> Result<(), Errno> {
        // SAFETY: a page of the region, as in `map_at`; unmapping a hole is no error.
        unsafe { munmap(self.page(page), self.page_bytes) }
    }

    #[inline]
    fn map(&mut self, page: u64) -> Result<(), Errno> {
        self.map_at(self.page(page), self.page_bytes)
    }

    #[inline]
    fn pause(&mut self) {
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let whole = self.pages as usize * self.page_bytes + 2 * self.page_bytes;
        // SAFETY: the region with its guards, which nothing else refers to.
        // An error would leave address space behind and nothing else.
        let _ = unsafe { munmap(self.base.wrapping_byte_sub(self.page_bytes), whole) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::parse;

    /// The permissions of each page of `region`, `?` where nothing is mapped.
    fn picture(region: &Region) -> String {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let lines: Vec<_> =
            maps.split(|&byte| byte == b'\n').filter_map(|line| parse(line).ok()).collect();
        (0..region.pages + 2)
            .map(|i| region.base as u64 + i * region.page_bytes as u64 - region.page_bytes as u64)
            .map(|address| {
                match lines.iter().find(|line| (line.start..line.end).contains(&address)) {
                    Some(line) if line.perms == 0b0010 => 'w',
                    Some(line) if line.perms == 0 => '-',
                    Some(_) => 'x',
                    None => '?',
                }
            })
            .collect()
    }

    #[test]
    fn pages_come_and_go_between_guards() {
        let mut region = Region::populated(4 * rustix::param::page_size()).unwrap();
        assert_eq!(picture(&region), "-wwww-");
        region.unmap(1).unwrap();
        region.unmap(1).unwrap();
        region.unmap(3).unwrap();
        assert_eq!(picture(&region), "-w?w?-");
        region.map(1).unwrap();
        region.map(0).unwrap();
        assert_eq!(picture(&region), "-www?-");
    }

    #[test]
    fn more_than_the_address_space_is_an_error() {
        assert!(Region::populated(1 << 50).is_err());
    }
}
