//! Copies memory that another thread may write to.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Copies memory of this process through a pipe: the kernel reads it, so memory that another thread
/// owns, or that is not there at all, is an error at most. A pipe takes no mmap_lock, and memory that
/// is there no page fault.
#[derive(Debug)]
pub struct Peek {
    from: OwnedFd,
    to: OwnedFd,
}

impl Peek {
    /// The most that is copied at once. A pipe holds more, unless the user has very many
    /// (fs/pipe.c, `too_many_pipe_buffers_soft`).
    pub const MOST: usize = 4096;

    /// The pipe.
    ///
    /// # Errors
    /// What pipe2(2) gave.
    pub fn new() -> Result<Peek, Errno> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Peek { from, to })
    }

    /// Fills `copy`, up to [`MOST`](Peek::MOST) bytes, with what lies at `address`.
    ///
    /// # Errors
    /// EFAULT where there is no memory.
    pub fn copy<'a>(&self, address: usize, copy: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        use std::os::fd::AsRawFd;
        let most = copy.len().min(Peek::MOST);
        // SAFETY: write(2) reads the memory on its own and checks it; nothing here does.
        let written = unsafe { libc::write(self.to.as_raw_fd(), address as *const _, most) };
        if written < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Errno::from_io_error(&error).unwrap_or(Errno::FAULT));
        }
        let got = rustix::io::read(&self.from, &mut copy[..written as usize])?;
        Ok(&copy[..got])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_copied_and_where_there_is_none_it_is_told() {
        let peek = Peek::new().unwrap();
        let text = b"what stands here";
        let mut copy = [0; 2 * Peek::MOST];
        let there = peek.copy(text.as_ptr() as usize, &mut copy[..text.len()]);
        assert_eq!(there, Ok(&text[..]));
        assert_eq!(peek.copy(4, &mut copy), Err(Errno::FAULT));
        // What could not be copied leaves nothing behind.
        assert_eq!(peek.copy(text.as_ptr() as usize, &mut copy[..4]), Ok(&b"what"[..]));
    }
}
