//! One operation, one system call.

use super::arena::Arena;
use super::identity::anon_name;
use crate::model::{Advice, Backing, Op, Page, Place, Prot};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::ffi::c_void;

/// An address space that operations can be carried out on.
///
/// Contract: `carry_out` is called with the lanes of the operation locked, after
/// [`Oracle::invoke`](crate::oracle::Oracle::invoke) and before
/// [`Oracle::returned`](crate::oracle::Oracle::returned); when it returns `Ok`, the lanes look as
/// [`apply`](crate::model::apply) says. After `Err` nothing is known of them.
pub trait Mm {
    /// Carries out one operation that [fits](crate::model::fits).
    ///
    /// # Errors
    /// What the system call gave.
    fn carry_out(&self, op: &Op) -> Result<(), Errno>;
}

impl Mm for Arena {
    #[inline]
    fn carry_out(&self, op: &Op) -> Result<(), Errno> {
        match *op {
            Op::Map { at, page } => self.map(at, page),
            // SAFETY: the range lies in a lane. Lanes are reserved for operations, and no
            // reference into them is ever made.
            Op::Unmap { at } => unsafe { mm::munmap(self.start(at), self.bytes(at)) },
            // SAFETY: as for munmap.
            Op::Protect { at, prot } => unsafe {
                mm::mprotect(
                    self.start(at),
                    self.bytes(at),
                    MprotectFlags::from_bits_retain(prot.bits() as u32),
                )
            },
            Op::Resize { at, new_len } => {
                let new_bytes = (new_len as usize) << self.geometry().page_shift;
                // SAFETY: as for munmap; without MREMAP_MAYMOVE the mapping stays in its lane.
                unsafe {
                    mm::mremap(self.start(at), self.bytes(at), new_bytes, MremapFlags::empty())
                }
                .map(drop)
            }
            Op::Remap { from, to, keep } => {
                let flags = if keep {
                    MremapFlags::MAYMOVE | MremapFlags::DONTUNMAP
                } else {
                    MremapFlags::MAYMOVE
                };
                let (old, new) = (self.start(from), self.start(to));
                // SAFETY: as for munmap; both ranges lie in lanes.
                unsafe { mm::mremap_fixed(old, self.bytes(from), self.bytes(to), flags, new) }
                    .map(drop)
            }
            Op::Name { at, name } => self.set_name(at, name),
            Op::Advise { at, advice, on } => {
                let advice = match (advice, on) {
                    (Advice::DontDump, true) => mm::Advice::LinuxDontDump,
                    (Advice::DontDump, false) => mm::Advice::LinuxDoDump,
                    (Advice::DontFork, true) => mm::Advice::LinuxDontFork,
                    (Advice::DontFork, false) => mm::Advice::LinuxDoFork,
                    (Advice::Random, true) => mm::Advice::Random,
                    (Advice::Random, false) => mm::Advice::Normal,
                };
                // SAFETY: as for munmap; none of these discards or reads memory.
                unsafe { mm::madvise(self.start(at), self.bytes(at), advice) }
            }
            Op::Touch { at, whole } => {
                self.write_to(at, whole);
                Ok(())
            }
        }
    }
}

impl Arena {
    fn start(&self, at: Place) -> *mut c_void {
        self.geometry().address(at.lane, at.span.start()) as *mut c_void
    }

    fn bytes(&self, at: Place) -> usize {
        (at.span.len as usize) << self.geometry().page_shift
    }

    /// Writes to each page, in user mode, so that the fault is one that takes the VMA lock first
    /// (arch/x86/mm/fault.c, `do_user_addr_fault`).
    fn write_to(&self, at: Place, whole: bool) {
        let page = self.geometry().page_size() as usize;
        let step = if whole { rustix::param::page_size() } else { page };
        for offset in (0..self.bytes(at)).step_by(step) {
            // SAFETY: the operation fits, so the page lies in a lane and is private memory mapped for
            // writing; the lane's lock is held, so it stays that. No reference into it is ever made.
            unsafe { self.start(at).cast::<u8>().add(offset).write_volatile(1) };
        }
    }

    /// MAP_NORESERVE on every mapping: without it VM_ACCOUNT comes and goes with write permission
    /// and, on kernels before 6.4, stays behind and keeps VMAs from merging (mm/mprotect.c,
    /// `mprotect_fixup`).
    fn map(&self, at: Place, page: Page) -> Result<(), Errno> {
        let (start, bytes) = (self.start(at), self.bytes(at));
        let prot = prot_flags(page.prot());
        let common = MapFlags::FIXED | MapFlags::NORESERVE;
        let share = match page.backing() {
            Backing::Anon => {
                // SAFETY: the range lies in a lane, see `carry_out`.
                let mapped =
                    unsafe { mm::mmap_anonymous(start, bytes, prot, common | MapFlags::PRIVATE) };
                return mapped.map(drop);
            }
            Backing::PrivateFile => MapFlags::PRIVATE,
            Backing::SharedFile => MapFlags::SHARED,
        };
        let file = self.file(page.file_index());
        let offset = (page.pgoff() as u64) << self.geometry().page_shift;
        // SAFETY: the range lies in a lane, see `carry_out`.
        unsafe { mm::mmap(start, bytes, prot, common | share, file, offset) }.map(drop)
    }

    fn set_name(&self, at: Place, name: u8) -> Result<(), Errno> {
        let text = anon_name(name).map_or(std::ptr::null(), |name| name.as_ptr());
        // SAFETY: prctl reads the string, which is static, and sets an attribute of VMAs of a
        // lane.
        let result = unsafe {
            libc::prctl(
                libc::PR_SET_VMA,
                libc::PR_SET_VMA_ANON_NAME,
                self.start(at),
                self.bytes(at),
                text,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    }
}

fn prot_flags(prot: Prot) -> ProtFlags {
    // PROT_READ, PROT_WRITE and PROT_EXEC are 1, 2 and 4 on every architecture of Linux.
    ProtFlags::from_bits_retain(prot.bits() as u32)
}
