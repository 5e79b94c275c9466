//! Lines below the lanes, so that a page of output ends at a certain line.

use crate::model::Geometry;
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;

/// A mapping below the arena in which each page is a VMA of its own.
pub(super) struct Padding {
    start: u64,
    bytes: usize,
}

impl Padding {
    /// `lines` VMAs of a page each, the last of them two pages below the first lane. None are
    /// made of no lines.
    ///
    /// # Errors
    /// What mmap(2) or mprotect(2) gave; `EEXIST` when something lies there.
    pub fn below(geometry: &Geometry, lines: usize) -> Result<Option<Padding>, Errno> {
        if lines == 0 {
            return Ok(None);
        }
        let page = geometry.page_size();
        let bytes = lines << geometry.page_shift;
        // A page is left out, so that nothing merges with lane 0; another is the arena's guard.
        let start = geometry.base - 2 * page - bytes as u64;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: a new mapping in a range that nothing is mapped in: the kernel refuses any
        // other with FIXED_NOREPLACE.
        unsafe { mm::mmap_anonymous(start as *mut c_void, bytes, ProtFlags::READ, flags) }?;
        let padding = Padding { start, bytes };
        // Every other page with another protection: none of them merges.
        for line in (1..lines).step_by(2) {
            let at = start + line as u64 * page;
            // SAFETY: a page of the mapping made above, which nothing refers to.
            unsafe { mm::mprotect(at as *mut c_void, page as usize, MprotectFlags::WRITE) }?;
        }
        Ok(Some(padding))
    }
}

impl Drop for Padding {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and its pages are never referenced.
        let unmapped = unsafe { mm::munmap(self.start as *mut c_void, self.bytes) };
        debug_assert_eq!(unmapped, Ok(()), "munmap of the own padding");
    }
}
