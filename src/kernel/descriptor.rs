//! Reading: one seam for the real file and for a simulated kernel.

use super::line::Line;
use super::query::{Answer, QueryFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::sync::Arc;

/// A source of maps text and of PROCMAP_QUERY answers.
///
/// Contract: `pread` behaves as on `/proc/PID/maps` (fs/seq_file.c, `seq_read_iter`): a read at
/// the offset where the one before it on this descriptor ended goes on from the VMA reached
/// there; a read at any other offset walks again from the bottom and throws away what lies before
/// the offset; one call delivers at most what is left over from an earlier one and a page.
pub trait MapsRead {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// What the system call gave.
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// Asks for the VMA at `address`; `None` where the kernel answers ENOENT.
    ///
    /// # Errors
    /// What the system call gave; [`Errno::NOTTY`] where the kernel has no PROCMAP_QUERY.
    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno>;
}

/// A source before each call of which something is done: it is given the source, and the offset of a
/// read; nothing for a query.
pub struct Before<M, F> {
    source: M,
    act: F,
}

impl<M, F: FnMut(&mut M, Option<u64>)> Before<M, F> {
    /// `source`, with `act` before each call.
    pub fn new(source: M, act: F) -> Before<M, F> {
        Before { source, act }
    }
}

impl<M: MapsRead, F: FnMut(&mut M, Option<u64>)> MapsRead for Before<M, F> {
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        (self.act)(&mut self.source, Some(offset));
        self.source.pread(buf, offset)
    }

    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        (self.act)(&mut self.source, None);
        self.source.query(address, flags, answer)
    }
}

/// An open `/proc/self/maps`, or another file of the same format.
///
/// Clones share the descriptor and so the kernel's position in it.
#[derive(Clone, Debug)]
pub struct MapsFile(Arc<OwnedFd>);

impl MapsFile {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// What open(2) gave.
    pub fn open(path: &str) -> Result<MapsFile, Errno> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(MapsFile(Arc::new(fd)))
    }

    /// Opens the maps of this process.
    ///
    /// # Errors
    /// What open(2) gave.
    pub fn own() -> Result<MapsFile, Errno> {
        MapsFile::open("/proc/self/maps")
    }
}

impl MapsRead for MapsFile {
    #[inline]
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pread(self.0.as_fd(), buf, offset)
    }

    #[inline]
    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        answer.ask(self.0.as_fd(), address, flags)
    }
}
