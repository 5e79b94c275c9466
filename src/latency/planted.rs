//! Hangs planted on purpose, to prove that hangs are seen.

use super::mapper::Calls;
use super::region::Region;
use super::scan::{Scan, Step};
use crate::host::fault::Stay;
use rustix::io::Errno;

/// The call that does not come back, counted from 1.
const FATAL: u32 = 100;

/// A region with one call that does not come back.
pub struct HangingCalls<'a> {
    region: &'a mut Region,
    left: u32,
}

impl<'a> HangingCalls<'a> {
    /// Wraps `region`.
    pub fn new(region: &'a mut Region) -> HangingCalls<'a> {
        HangingCalls { region, left: FATAL }
    }

    fn count(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            Stay::Uninterruptible.for_ever();
        }
    }
}

impl Calls for HangingCalls<'_> {
    fn unmap(&mut self, page: u64) -> Result<(), Errno> {
        self.count();
        self.region.unmap(page)
    }

    fn map(&mut self, page: u64) -> Result<(), Errno> {
        self.count();
        self.region.map(page)
    }

    fn pause(&mut self) {
        self.region.pause();
    }
}

/// A scan with one step that does not come back.
pub struct HangingScan {
    scan: Box<dyn Scan>,
    left: u32,
}

impl HangingScan {
    /// Wraps `scan`.
    pub fn new(scan: Box<dyn Scan>) -> HangingScan {
        HangingScan { scan, left: FATAL }
    }
}

impl Scan for HangingScan {
    fn step(&mut self) -> Result<Step, Errno> {
        self.left -= 1;
        if self.left == 0 {
            Stay::Uninterruptible.for_ever();
        }
        self.scan.step()
    }
}
