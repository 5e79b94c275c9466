//! Faulters: threads that load from the arena all the time, the other user of VMA locks.
//!
//! A load may race with everything, because a fault that reads changes no layout: private anonymous
//! memory gets the zero page and no anon_vma (mm/memory.c, `do_anonymous_page`; huge pages, which do
//! otherwise, are kept out of the process), and of a memfd a page is read, in a private mapping as in a
//! shared one (`do_read_fault`). A store to private memory would change it; and a faulter never knows
//! what is mapped where it loads. So there are no stores.
//!
//! What loads bring in is bounded: a page of the memfds stays until their pages are given back, which a
//! faulter does after some thousand faults.

use super::tally::Tally;
use crate::kernel::{Arena, Loads, faults_of_thread};
use crate::oracle::{Oracle, Version};
use crate::seed::Stream;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the faults of one faulter may have brought in until it gives back the pages of the memfds.
/// A fault brings in a page at most: the kernel maps others around it only where they are there already
/// (mm/memory.c, `do_fault_around`).
const BYTES_KEPT: u64 = 16 << 20;

/// Of the loads that find their page there already, one in so many is done again, and faults: the page
/// tables forget the page first. Of those that fault without it nearly all are refused, because a page
/// that is there stays until an operation takes it away.
const AGAIN_ONE_IN: usize = 4;

/// Loads in one lane in a row.
const IN_A_ROW: usize = 32;

/// One faulter.
pub(super) struct Faulter<'a> {
    oracle: &'a Oracle,
    arena: &'a Arena,
    tally: &'a Tally,
    loads: Loads,
    rng: Stream,
    /// Where it loads from, for the account of a load that does not come back.
    at: &'a AtomicU64,
    /// Its faults as the kernel has counted them.
    counted: u64,
    /// Faults since the memfds' pages were given back.
    kept: u64,
    lane: u16,
    left: usize,
}

impl<'a> Faulter<'a> {
    pub(super) fn new(
        oracle: &'a Oracle,
        arena: &'a Arena,
        tally: &'a Tally,
        loads: Loads,
        rng: Stream,
        at: &'a AtomicU64,
    ) -> Faulter<'a> {
        Faulter { oracle, arena, tally, loads, rng, at, counted: 0, kept: 0, lane: 0, left: 0 }
    }

    /// A slice begins: faults of the thread from before are none of the storm's.
    pub(super) fn attend(&mut self) {
        self.counted = faults_of_thread();
        self.left = 0;
    }

    /// One load, in one of the `lanes` lanes from `first` on.
    #[inline]
    pub(super) fn step(&mut self, first: u16, lanes: u16) {
        let geometry = self.oracle.geometry();
        if self.left == 0 {
            self.left = IN_A_ROW;
            self.lane = first + self.rng.below(lanes.into()) as u16;
        }
        self.left -= 1;
        let lane = self.lane;
        // The guard is one of the pages: there a load is always refused.
        let page = self.rng.below(usize::from(geometry.pages) + 1);
        // A page of the model may stand for several of memory: any of these.
        let memory = self.arena.memory_page();
        let within = self.rng.below((geometry.page_size() / memory) as usize) as u64;
        let address = geometry.address(lane, page) + within * memory;
        // Relaxed: for the account of a load that does not come back, long after.
        self.at.store(address, Ordering::Relaxed);
        if self.load(lane, address) && self.rng.one_in(AGAIN_ONE_IN) {
            self.arena.forget_page(address);
            self.load(lane, address);
        }
    }

    /// One load, counted. Gives whether its page was there without a fault.
    #[inline]
    fn load(&mut self, lane: u16, address: u64) -> bool {
        let before = self.newest(lane);
        let allowed = self.loads.load(address);
        let after = self.newest(lane);
        Tally::add(&self.tally.loads, 1);
        let counted = faults_of_thread();
        let faults = (counted - self.counted) + u64::from(!allowed);
        self.counted = counted;
        if faults > 0 {
            Tally::add(&self.tally.faults, faults);
            Tally::add(&self.tally.refused, u64::from(!allowed));
            // An operation was under way in the lane when the load began, or began meanwhile.
            if before.1 || after.0 != before.0 {
                Tally::add(&self.tally.met, 1);
            }
            self.kept += faults;
            if self.kept * self.arena.memory_page() >= BYTES_KEPT {
                self.kept = 0;
                self.arena.give_back_pages();
                self.counted = faults_of_thread();
            }
        }
        Tally::add(&self.tally.returned, 1);
        faults == 0
    }

    /// The newest version of a lane, and whether the operation that made it is under way.
    fn newest(&self, lane: u16) -> (Version, bool) {
        let newest = self.oracle.history(lane).head();
        (newest, !self.oracle.settled(lane, newest))
    }
}
