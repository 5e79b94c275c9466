//! The reservation: lanes out of one mapping, with room for strangers around them.

use super::files::memfd;
use super::identity::Identities;
use super::padding::Padding;
use crate::space::{Geometry, MAX_PGOFF};
use memmap2::MmapOptions;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::ffi::c_void;
use std::mem::ManuallyDrop;

/// Why there is no arena.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// No address space.
    #[error(
        "cannot reserve {bytes} bytes of address space for the arena and the room around it ({source}); \
         raise RLIMIT_AS (ulimit -v), or, with vm.overcommit_memory=2, vm.overcommit_ratio, \
         or ask for fewer --lanes or --pages"
    )]
    Space {
        /// What the smallest reservation tried would have taken.
        bytes: u64,
        /// What mmap gave.
        source: std::io::Error,
    },
    /// No memfd.
    #[error("cannot make a memfd ({0}); the storm needs memfd_create(2) and /proc/self/fd")]
    File(Errno),
    /// A system call on the reservation failed.
    #[error("cannot prepare the arena: {0}")]
    Prepare(Errno),
    /// The process's own mappings land in the arena's holes.
    #[error(
        "this process's own mappings land in the arena's holes instead of in the room kept for \
         them: nothing can be judged here. Try without unlimited stack (ulimit -s 8192)"
    )]
    Strangers,
}

/// Number of memfds: two, so that neighbouring mappings can differ in the file alone.
const FILES: usize = 2;

/// The lanes, mapped out of one reservation, with unmapped room below and above.
///
/// Holes in the arena attract the process's own later mappings: thread stacks, malloc arenas. The
/// kernel searches for a free range from the top down (or, with an unlimited stack, from the
/// bottom up; mm/mmap.c, `mmap_is_legacy`). So the reservation is made large, and its upper and
/// lower part are given back: whichever way the kernel searches it comes by that room first.
pub struct Arena {
    geometry: Geometry,
    files: [OwnedFd; FILES],
    identities: Identities,
    padding: Option<Padding>,
}

impl Arena {
    /// The room on each side that is tried first, in bytes; halved until it can be had.
    const ROOM: u64 = 64 << 30;
    /// The smallest room: a few hundred thread stacks of 2 MiB each.
    const LEAST_ROOM: u64 = 1 << 30;

    /// Reserves `lanes` lanes of `pages` pages, all unmapped.
    ///
    /// # Errors
    /// When there is no address space or no memfd, or when the process's own mappings would land
    /// in the lanes nevertheless.
    pub fn reserve(lanes: usize, pages: usize) -> Result<Arena, ReserveError> {
        let page_size = rustix::param::page_size();
        let bytes = Geometry::new(0, page_size, lanes, pages).bytes();
        // A page below the first lane keeps it from merging with whatever lies there.
        let guard = page_size as u64;
        let mut room = Arena::ROOM;
        let reservation = loop {
            let whole = 2 * room + guard + bytes;
            // PROT_NONE would be enough, but memmap2 knows none; untouched and not reserved in
            // swap, it costs address space only.
            match MmapOptions::new().len(whole as usize).no_reserve_swap().map_anon() {
                Ok(map) => break map,
                Err(_) if room > Arena::LEAST_ROOM => room /= 2,
                Err(source) => {
                    return Err(ReserveError::Space { bytes: whole, source });
                }
            }
        };
        // From here on the range belongs to the arena, which gives the lanes back when dropped.
        // Were memmap2 to unmap it, everything that came to live in the room would go with it.
        let mut reservation = ManuallyDrop::new(reservation);
        let start = reservation.as_mut_ptr();
        let base = start as u64 + room + guard;
        // SAFETY: the whole range was mapped just now, nothing points into it, and the handle
        // that would unmap it again is never dropped.
        unsafe { rustix::mm::munmap(start.cast::<c_void>(), reservation.len()) }
            .map_err(ReserveError::Prepare)?;
        let geometry = Geometry::new(base, page_size, lanes, pages);
        let file_bytes = (MAX_PGOFF as u64 + 1) << geometry.page_shift;
        let file =
            |i: usize| memfd(&format!("mapstorm-{i}"), file_bytes).map_err(ReserveError::File);
        let ((first, first_identity), (second, second_identity)) = (file(0)?, file(1)?);
        let identities =
            Identities::new(geometry.page_shift, vec![first_identity, second_identity]);
        let arena = Arena { geometry, files: [first, second], identities, padding: None };
        if arena.attracts_strangers()? {
            return Err(ReserveError::Strangers);
        }
        Ok(arena)
    }

    /// Whether mappings without a fixed address land in the arena: tried with a page, a thread
    /// stack and a malloc arena.
    fn attracts_strangers(&self) -> Result<bool, ReserveError> {
        let mut attracted = false;
        for bytes in [self.geometry.page_size() as usize, 8 << 20, 64 << 20] {
            let map = MmapOptions::new()
                .len(bytes)
                .no_reserve_swap()
                .map_anon()
                .map_err(|source| ReserveError::Space { bytes: bytes as u64, source })?;
            let start = map.as_ptr() as u64;
            attracted |= start < self.geometry.end() && start + bytes as u64 > self.geometry.base;
        }
        Ok(attracted)
    }

    /// Where the lanes lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The number of memfds whose pages can be mapped.
    pub fn file_count(&self) -> u8 {
        FILES as u8
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
            rustix::mm::munmap(start, self.geometry.bytes() as usize)
        };
        debug_assert_eq!(unmapped, Ok(()), "munmap of the own arena");
    }
}
