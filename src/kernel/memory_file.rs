//! A file kept in memory.

use super::{Answer, Line, MapsRead, QueryFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::rc::Rc;

/// A file of the format of maps that says what it is told to, and has no PROCMAP_QUERY. Clones are
/// the same file.
#[derive(Clone, Debug, Default)]
pub struct MemoryFile(Rc<RefCell<Vec<u8>>>);

impl MemoryFile {
    /// A file that says `text`.
    pub fn new(text: &[u8]) -> MemoryFile {
        let kept = MemoryFile::default();
        kept.say(text);
        kept
    }

    /// Says `text` from now on.
    pub fn say(&self, text: &[u8]) {
        let mut kept = self.0.borrow_mut();
        kept.clear();
        kept.extend_from_slice(text);
    }
}

impl MapsRead for MemoryFile {
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = self.0.borrow();
        let rest = text.get(offset as usize..).unwrap_or_default();
        let got = rest.len().min(buf.len());
        buf[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    fn query<'a>(
        &mut self,
        _: u64,
        _: QueryFlags,
        _: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        Err(Errno::NOTTY)
    }
}
