//! VMAs that nobody changes, up to as many as the mm may have.

use super::files::memfd;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};
use std::ffi::c_void;
use std::ptr;

/// Single pages outside of the arena, each a VMA because its neighbours may be read and it may not,
/// or the other way about. They fill the mm up to vm.max_map_count.
///
/// The lower part stays as long as the ballast does. The upper one comes and goes
/// ([`Ballast::fill`], [`Ballast::give_back`]): what is mapped without it always finds room.
///
/// Pages of a file of its own, so that none merges with what lies beside it. None is ever touched.
pub struct Ballast {
    file: OwnedFd,
    /// VMAs that are left to others while the upper part is not there.
    room: u64,
    lower: Option<Pages>,
    upper: Option<Pages>,
}

/// A mapping of so many pages, unmapped when it is dropped.
struct Pages {
    start: *mut c_void,
    pages: usize,
}

// SAFETY: an address of memory that nobody reads or writes.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps so many pages of `file`, from page `offset` of it on.
    fn map(file: &OwnedFd, offset: u64, pages: usize) -> Result<Pages, Errno> {
        let size = rustix::param::page_size();
        let (flags, none) = (MapFlags::PRIVATE | MapFlags::NORESERVE, ProtFlags::empty());
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            mmap(ptr::null_mut(), pages * size, none, flags, file, offset * size as u64)?
        };
        Ok(Pages { start, pages })
    }

    fn at(&self, page: usize) -> *mut c_void {
        self.start.wrapping_byte_add(page * rustix::param::page_size())
    }

    /// Makes each page a VMA, until there is no room for another. Gives how many there are then; the
    /// last of them holds all pages that are left.
    fn divide(&self) -> usize {
        let size = rustix::param::page_size();
        for page in (1..self.pages - 1).step_by(2) {
            // SAFETY: a page of this mapping, which nobody reads or writes.
            let divided = unsafe { mprotect(self.at(page), size, MprotectFlags::READ) };
            if divided.is_err() {
                // It may have been split off at its lower edge (mm/vma.c, `vma_modify`).
                return page;
            }
        }
        self.pages
    }

    /// Unmaps all but the first `pages` pages.
    fn cut(&mut self, pages: usize) {
        let size = rustix::param::page_size();
        // SAFETY: pages of this mapping. It begins where a VMA does, so that it is never refused for
        // want of room (mm/vma.c, `vms_gather_munmap_vmas`).
        let cut = unsafe { munmap(self.at(pages), (self.pages - pages) * size) };
        if cut.is_ok() {
            self.pages = pages;
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.pages > 0 {
            self.cut(0);
        }
    }
}

impl Ballast {
    const NAME: &str = "mapstorm-ballast";

    /// Whether a line of maps, without its newline, shows a part of a ballast.
    pub fn shows_in(text: &[u8]) -> bool {
        let name = text.strip_suffix(b" (deleted)").unwrap_or_default();
        name.strip_suffix(Ballast::NAME.as_bytes()).is_some_and(|rest| rest.ends_with(b" /memfd:"))
    }

    /// Where in the file the upper part begins: its pages follow on from no page of the lower one.
    const UPPER: u64 = 1 << 24;

    /// Nothing yet. `room` VMAs are left to others while the upper part is not there.
    ///
    /// # Errors
    /// When a memfd can't be made.
    pub fn new(room: u64) -> Result<Ballast, Errno> {
        let (file, _) = memfd(Ballast::NAME, 0)?;
        Ok(Ballast { file, room, lower: None, upper: None })
    }

    /// Maps the lower part, of a mm that may have `limit` VMAs. Gives how many it has.
    ///
    /// # Errors
    /// When there is no address space, or the limit is higher than that: then nothing is mapped.
    pub fn lay(&mut self, limit: u64) -> Result<u64, Errno> {
        self.lower = None;
        let mut lower = Pages::map(&self.file, 0, limit as usize + 2)?;
        let vmas = lower.divide();
        if vmas == lower.pages {
            return Err(Errno::RANGE);
        }
        let kept = vmas.saturating_sub(self.room as usize);
        lower.cut(kept);
        if kept > 0 {
            self.lower = Some(lower);
        }
        Ok(kept as u64)
    }

    /// Maps the upper part, so that there is room for `spare` VMAs and no more. Others may map and
    /// unmap at the same time, so that it is about so many.
    ///
    /// # Errors
    /// When not even one mapping finds room.
    pub fn fill(&mut self, spare: usize) -> Result<(), Errno> {
        self.upper = None;
        // Twice as many, should others unmap meanwhile.
        let mut upper = Pages::map(&self.file, Ballast::UPPER, 2 * self.room as usize + 2)?;
        let vmas = upper.divide();
        if vmas < upper.pages {
            // What was split off last, the rest, and what is given back.
            let kept = vmas.saturating_sub(spare);
            upper.cut(kept.max(1));
        }
        self.upper = Some(upper);
        Ok(())
    }

    /// Unmaps the upper part.
    pub fn give_back(&mut self) {
        self.upper = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lines_are_told_by_their_name() {
        let line = "7f0000000000-7f0000001000 r--p 00000000 00:01 77                         ";
        for (name, is) in [
            ("/memfd:mapstorm-ballast (deleted)", true),
            ("/memfd:mapstorm-0 (deleted)", false),
            ("/memfd:mapstorm-ballast", false),
            ("/tmp/x/memfd:mapstorm-ballast (deleted)", false),
            ("", false),
        ] {
            assert_eq!(Ballast::shows_in(format!("{line}{name}").as_bytes()), is, "{name}");
        }
    }

    /// Far from the limit there is nothing to fill, and all is unmapped again.
    #[test]
    fn below_the_limit_it_is_refused_and_leaves_nothing() {
        let mut ballast = Ballast::new(16).unwrap();
        assert_eq!(ballast.lay(64), Err(Errno::RANGE));
        let maps = std::fs::read("/proc/self/maps").unwrap();
        assert!(!maps.split(|&byte| byte == b'\n').any(Ballast::shows_in));
    }
}
