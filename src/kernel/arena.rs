//! The reservation: lanes out of one mapping, with room for strangers around them.

use super::files::memfd;
use super::identity::{FileIdentity, Identities};
use super::odd_file::{NoOddFile, odd_file};
use super::padding::Padding;
use crate::model::{Geometry, MAX_PGOFF};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Resource, getrlimit};
use std::ffi::c_void;
use std::ptr;

/// Why there is no arena.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum ReserveError {
    #[error(
        "cannot reserve {} KiB of address space for the arena and the room around it: {} KiB are in \
         use, and RLIMIT_AS allows {} KiB. Raise it (ulimit -v {})",
        .bytes.div_ceil(1024), .used.div_ceil(1024), .allowed / 1024, (.bytes + .used).div_ceil(1024)
    )]
    Limit { bytes: u64, used: u64, allowed: u64 },
    #[error(
        "cannot reserve {bytes} bytes of address space for the arena and the room around it \
         ({source}): the address space has no gap of that size{}",
        if *.arena > .bytes / 2 { "; ask for fewer --lanes or --pages" } else { "" }
    )]
    Space { bytes: u64, arena: u64, source: Errno },
    #[error("cannot make a memfd ({0}); the storm needs memfd_create(2) and /proc/self/fd")]
    File(Errno),
    #[error("cannot prepare the arena: {0}")]
    Prepare(Errno),
    #[error(
        "this process's own mappings land in the arena's holes instead of in the room kept for \
         them: nothing can be judged here. Try with a stack of the usual limit (ulimit -s 8192)"
    )]
    Strangers,
}

/// The lanes, mapped out of one reservation, with unmapped room below and above.
///
/// Holes in the arena attract the process's own later mappings: thread stacks, malloc arenas. The
/// kernel searches for a free range from the top down (or, with an unlimited stack, from the
/// bottom up; mm/mmap.c, `mmap_is_legacy`). So the reservation is made large, and its upper and
/// lower part are given back: whichever way the kernel searches it comes by that room first.
pub struct Arena {
    geometry: Geometry,
    files: Vec<OwnedFd>,
    identities: Identities,
    padding: Option<Padding>,
}

/// Where the kernel puts a mapping of so many bytes that has no address of its own; nothing is
/// mapped there any more.
///
/// PROT_NONE, it counts neither against RLIMIT_DATA (mm/mmap.c, `is_data_mapping`) nor against
/// what vm.overcommit_memory=2 lets be promised (mm/vma.c, `accountable_mapping`).
fn free_range(bytes: u64) -> Result<u64, Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice, unmapped again before anybody
    // knows of it.
    unsafe {
        let start = mmap_anonymous(ptr::null_mut(), bytes as usize, ProtFlags::empty(), flags)?;
        munmap(start, bytes as usize)?;
        Ok(start as u64)
    }
}

/// Takes READ_IMPLIES_EXEC off this thread and those that it starts: with it every mapping that can be
/// read can be executed, too, and no operation does what it says (mm/mmap.c, `do_mmap`, and
/// mm/mprotect.c, `do_mprotect_pkey`).
///
/// An exec of a 64-bit program takes it off already (arch/x86/kernel/process_64.c,
/// `set_personality_64bit`), so that only what runs in this process can have set it.
fn readable_is_not_executable() {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: personality takes a number and touches no memory.
    let now = unsafe { libc::personality(ASK) };
    if now != -1 && now & libc::READ_IMPLIES_EXEC != 0 {
        // SAFETY: as above.
        unsafe { libc::personality((now & !libc::READ_IMPLIES_EXEC) as libc::c_ulong) };
    }
}

/// Why there is no free range of `bytes` bytes; the arena itself needs `arena` of them.
fn refused(bytes: u64, arena: u64, source: Errno) -> ReserveError {
    let used = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let pages: u64 = text.split(' ').next()?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    });
    match (getrlimit(Resource::As).current, used) {
        (Some(allowed), Some(used)) if used + bytes > allowed => {
            ReserveError::Limit { bytes, used, allowed }
        }
        _ => ReserveError::Space { bytes, arena, source },
    }
}

impl Arena {
    /// The room on each side that is tried first, in bytes; halved until it can be had.
    const ROOM: u64 = 64 << 30;
    /// The smallest room: a few hundred thread stacks of 2 MiB each.
    const LEAST_ROOM: u64 = 1 << 30;

    /// Reserves `lanes` lanes of `pages` pages, all unmapped.
    ///
    /// # Errors
    /// Those of [`Arena::reserve_of`].
    pub fn reserve(lanes: usize, pages: usize) -> Result<Arena, ReserveError> {
        Arena::reserve_of(lanes, pages, 1)
    }

    /// Reserves `lanes` lanes of `pages` pages, each of which stands for `span` pages of memory: a
    /// power of two.
    ///
    /// # Errors
    /// When there is no address space or no memfd, or when the process's own mappings would land
    /// in the lanes nevertheless.
    pub fn reserve_of(lanes: usize, pages: usize, span: usize) -> Result<Arena, ReserveError> {
        readable_is_not_executable();
        let page_size = rustix::param::page_size() * span;
        // Lanes that fill page tables of their own begin with one.
        let align = if span > 1 { (Geometry::stride(pages) * page_size) as u64 } else { 1 };
        let bytes = Geometry::new(0, page_size, lanes, pages).bytes();
        // A page below the first lane keeps it from merging with whatever lies there.
        let guard = page_size as u64;
        let mut room = Arena::ROOM;
        let start = loop {
            let whole = 2 * room + guard + align + bytes;
            match free_range(whole) {
                Ok(start) => break start,
                Err(Errno::NOMEM) if room > Arena::LEAST_ROOM => room /= 2,
                Err(source) => return Err(refused(whole, bytes, source)),
            }
        };
        let base = (start + room + guard).next_multiple_of(align);
        let geometry = Geometry::new(base, page_size, lanes, pages);
        let file_bytes = (MAX_PGOFF as u64 + 1) << geometry.page_shift;
        let file =
            |i: usize| memfd(&format!("mapstorm-{i}"), file_bytes).map_err(ReserveError::File);
        let ((first, first_identity), (second, second_identity)) = (file(0)?, file(1)?);
        let identities =
            Identities::new(geometry.page_shift, vec![first_identity, second_identity]);
        let files = vec![first, second];
        let arena = Arena { geometry, files, identities, padding: None };
        if arena.attracts_strangers()? {
            return Err(ReserveError::Strangers);
        }
        Ok(arena)
    }

    /// Whether mappings without a fixed address land in the arena: tried with a page, a thread
    /// stack and a malloc arena.
    fn attracts_strangers(&self) -> Result<bool, ReserveError> {
        let mut attracted = false;
        for bytes in [rustix::param::page_size() as u64, 8 << 20, 64 << 20] {
            let start = free_range(bytes).map_err(|source| refused(bytes, 0, source))?;
            attracted |= start < self.geometry.end() && start + bytes > self.geometry.base;
        }
        Ok(attracted)
    }

    /// Where the lanes lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The number of files whose pages can be mapped: two memfds, so that neighbouring mappings can
    /// differ in the file alone, and those that were added.
    pub fn file_count(&self) -> u8 {
        self.files.len() as u8
    }

    /// Adds a real file with an odd name. To be called before anything is mapped in the first lane.
    ///
    /// # Errors
    /// Why there is none; then all is as before.
    pub fn add_odd_file(&mut self) -> Result<(), NoOddFile> {
        let (file, identity) = odd_file(&self.geometry)?;
        self.add(file, identity);
        Ok(())
    }

    /// Adds memfds until there are so many files: what a scenario maps of any file is mapped of a
    /// memfd.
    ///
    /// # Errors
    /// When a memfd can't be made.
    pub fn have_files(&mut self, count: u8) -> Result<(), ReserveError> {
        let bytes = (MAX_PGOFF as u64 + 1) << self.geometry.page_shift;
        for number in self.files.len()..count.into() {
            let made = memfd(&format!("mapstorm-{number}"), bytes);
            let (file, identity) = made.map_err(ReserveError::File)?;
            self.add(file, identity);
        }
        Ok(())
    }

    pub(super) fn add(&mut self, file: OwnedFd, identity: FileIdentity) {
        let mut identities = self.identities.files().to_vec();
        identities.push(identity);
        self.files.push(file);
        self.identities = Identities::new(self.geometry.page_shift, identities);
    }

    /// Makes `lines` lines of maps below the lanes, in place of those made before: what a reader
    /// reads first, so that a page of output ends where it is wanted.
    ///
    /// # Errors
    /// What mmap(2), mprotect(2) or munmap(2) gave.
    pub fn pad(&mut self, lines: usize) -> Result<(), Errno> {
        self.padding = None;
        self.padding = Padding::below(&self.geometry, lines)?;
        Ok(())
    }

    /// Bytes of a page of memory; one of the model's stands for one of these or more.
    pub fn memory_page(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    /// Has the process's page tables forget the page at `address`, so that a load from it faults again.
    /// No vma changes (mm/madvise.c, `madvise_dontneed_free`: MADV_DONTNEED takes mmap_lock for reading,
    /// or the lock of one vma, and splits none).
    pub fn forget_page(&self, address: u64) {
        use rustix::mm::{Advice, madvise};
        if !self.geometry.contains(address) {
            return;
        }
        let bytes = self.memory_page() as usize;
        // SAFETY: a page of the arena, into which no reference is ever made. Where nothing is mapped, or
        // what may not be forgotten, nothing happens (ENOMEM, EINVAL).
        let _ = unsafe { madvise(address as *mut c_void, bytes, Advice::LinuxDontNeed) };
    }

    /// Gives back the memory of the files' pages, which then read as zeros: what is in them means
    /// nothing. Mappings stay as they are.
    pub fn give_back_pages(&self) {
        use rustix::fs::{FallocateFlags, fallocate};
        let bytes = (MAX_PGOFF as u64 + 1) << self.geometry.page_shift;
        for file in &self.files {
            // Where it can't be done, they stay until the files go.
            let _ =
                fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, bytes);
        }
    }

    pub(super) fn file(&self, index: u8) -> &OwnedFd {
        &self.files[index as usize]
    }

    /// What tells the arena's mappings in maps from all others.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the range from the first lane to the last guard was reserved by `reserve` and
        // only the arena's operations mapped anything there; its pages are never referenced.
        let unmapped = unsafe {
            let start = self.geometry.base as *mut c_void;
            munmap(start, self.geometry.bytes() as usize)
        };
        debug_assert_eq!(unmapped, Ok(()), "munmap of the own arena");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The personality is each thread's own, so the other tests do not notice.
    #[test]
    fn a_personality_that_makes_memory_executable_is_taken_off() {
        let taken_off = std::thread::spawn(|| {
            // SAFETY: personality takes a number and touches no memory.
            unsafe { libc::personality(libc::READ_IMPLIES_EXEC as libc::c_ulong) };
            let _arena = Arena::reserve(2, 12).expect("address space for a small arena");
            // SAFETY: as above; this number only asks.
            let now = unsafe { libc::personality(0xffff_ffff) };
            now & libc::READ_IMPLIES_EXEC
        });
        assert_eq!(taken_off.join().expect("no panic"), 0);
    }
}
