//! The simulated kernel's `/proc/PID/maps`.

use super::seq::Seq;
use super::text::{self, LONGEST};
use super::world::World;
use crate::engine::Settle;
use crate::kernel::{Answer, Line, MapsRead, QueryFlags};
use rustix::io::Errno;
use std::cell::RefCell;
use std::rc::Rc;

/// An open maps file of a simulated process. Reading it is what makes time pass there.
pub struct SimFile<'a> {
    process: Process<'a>,
    seq: Seq,
}

/// The process behind an open file: its reader waits through it.
#[derive(Clone)]
pub struct Process<'a>(Rc<RefCell<World<'a>>>);

impl Process<'_> {
    /// A page fault of another thread, at `address`: what it finds there. It makes time pass like a call
    /// of the reader's.
    pub fn fault(&self, address: u64) -> Option<Line<'static>> {
        let mut world = self.0.borrow_mut();
        let shift = world.setup.geometry.page_shift;
        let found = world.fault(address >> shift);
        found.map(|record| text::line(&record, shift))
    }

    /// Steps of the reader so far.
    pub fn steps(&self) -> u64 {
        self.0.borrow().steps()
    }
}

/// The workers of the process always go on.
impl Settle for Process<'_> {
    fn wait(&self) -> bool {
        self.0.borrow_mut().wait();
        true
    }
}

impl<'a> SimFile<'a> {
    /// Opens the process's file.
    pub fn new(world: World<'a>) -> SimFile<'a> {
        let size = world.setup.buffer.max(LONGEST + 1);
        SimFile { process: Process(Rc::new(RefCell::new(world))), seq: Seq::new(size) }
    }

    /// The process.
    pub fn process(&self) -> &Process<'a> {
        &self.process
    }
}

impl MapsRead for SimFile<'_> {
    #[inline]
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        Ok(self.seq.read(&mut self.process.0.borrow_mut(), buf, offset))
    }

    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        _answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        let mut world = self.process.0.borrow_mut();
        let shift = world.setup.geometry.page_shift;
        let or_next = flags == QueryFlags::CoveringOrNext;
        let found = world.query(address >> shift, or_next);
        Ok(found.map(|record| text::line(&record, shift)))
    }
}
