//! The memfds whose mappings join the storm.

use super::identity::FileIdentity;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::ffi::CString;

/// Makes a memfd of `bytes` bytes, none of them ever touched, and says how it shows in maps.
///
/// # Errors
/// What memfd_create(2), ftruncate(2), fstat(2) or readlink(2) gave.
pub(super) fn memfd(name: &str, bytes: u64) -> Result<(OwnedFd, FileIdentity), Errno> {
    let label = CString::new(name).map_err(|_| Errno::INVAL)?;
    let fd = rustix::fs::memfd_create(label.as_c_str(), MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&fd, bytes)?;
    let stat = rustix::fs::fstat(&fd)?;
    // The link's text is what d_path() gives, and so does the maps line (fs/d_path.c).
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let identity = FileIdentity {
        dev_major: rustix::fs::major(stat.st_dev),
        dev_minor: rustix::fs::minor(stat.st_dev),
        inode: stat.st_ino,
        name: rustix::fs::readlink(link, Vec::new())?.into_bytes(),
    };
    Ok((fd, identity))
}
