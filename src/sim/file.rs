//! The simulated kernel's `/proc/PID/maps`.

use super::seq::Seq;
use super::text::{self, LONGEST};
use super::world::World;
use crate::kernel::{Answer, Line, MapsRead, QueryFlags};
use rustix::io::Errno;

/// An open maps file of a simulated process. Reading it is what makes time pass there.
pub struct SimFile<'a> {
    world: World<'a>,
    seq: Seq,
}

impl<'a> SimFile<'a> {
    /// Opens the process's file.
    pub fn new(world: World<'a>) -> SimFile<'a> {
        let size = world.setup.buffer.max(LONGEST + 1);
        SimFile { world, seq: Seq::new(size) }
    }

    /// Lets the workers go on.
    pub(super) fn wait(&mut self) {
        self.world.wait();
    }

    /// The process.
    pub fn world(&self) -> &World<'a> {
        &self.world
    }
}

impl MapsRead for SimFile<'_> {
    #[inline]
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        Ok(self.seq.read(&mut self.world, buf, offset))
    }

    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        _answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        let shift = self.world.setup.geometry.page_shift;
        let or_next = flags == QueryFlags::CoveringOrNext;
        let found = self.world.query(address >> shift, or_next);
        Ok(found.map(|record| text::line(&record, shift)))
    }
}
