//! The memfds whose mappings join the storm.

use crate::maps::Line;
use rustix::fd::OwnedFd;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::ffi::CString;

/// A memfd and how its mappings show in maps.
#[derive(Debug)]
pub struct MemFile {
    pub(super) fd: OwnedFd,
    dev_major: u32,
    dev_minor: u32,
    inode: u64,
    name: Vec<u8>,
}

impl MemFile {
    /// Makes a memfd of `bytes` bytes, none of them ever touched.
    ///
    /// # Errors
    /// What memfd_create(2), ftruncate(2), fstat(2) or readlink(2) gave.
    pub fn new(name: &str, bytes: u64) -> Result<MemFile, Errno> {
        let label = CString::new(name).map_err(|_| Errno::INVAL)?;
        let fd = rustix::fs::memfd_create(label.as_c_str(), MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&fd, bytes)?;
        let stat = rustix::fs::fstat(&fd)?;
        // The link's text is what d_path() gives, and so does the maps line (fs/d_path.c).
        let link = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&fd));
        let name = rustix::fs::readlink(link, Vec::new())?.into_bytes();
        Ok(MemFile {
            fd,
            dev_major: rustix::fs::major(stat.st_dev),
            dev_minor: rustix::fs::minor(stat.st_dev),
            inode: stat.st_ino,
            name,
        })
    }

    /// Whether the line shows a mapping of this memfd.
    #[inline]
    pub fn shows_in(&self, line: &Line<'_>) -> bool {
        line.inode == self.inode
            && line.dev_minor == self.dev_minor
            && line.dev_major == self.dev_major
            && line.name == self.name
    }
}
