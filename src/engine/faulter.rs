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

use super::settle::Settle;
use super::signature::Signature;
use super::tally::Tally;
use super::violations::Findings;
use crate::kernel::{Arena, Loads, Refused, faults_of_thread};
use crate::model::Layout;
use crate::oracle::{Class, Oracle, Rule, Version, Window};
use crate::seed::Stream;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

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

/// Where a fault is planted, one load in so many is taken for refused.
const PLANTED_ONE_IN: usize = 64;

/// A load that SIGSEGV refused although the page could be read at every instant of its window.
#[derive(Clone, Copy, Debug)]
pub struct RefusedLoad {
    /// The lane.
    pub lane: u16,
    /// The page of the lane.
    pub page: usize,
    /// The address.
    pub address: u64,
    /// The counter just before and just after the load.
    pub window: Window,
    /// The first version that counts, and the last.
    pub versions: (Version, Version),
    /// What they look like.
    pub layouts: [Layout; 2],
}

/// Where faulters bring their loads that should not have been refused.
pub(super) struct Refusals<'a> {
    pub findings: &'a Findings,
    /// The first of all faulters'.
    pub first: &'a Mutex<Option<RefusedLoad>>,
    /// Whether the storm is over.
    pub over: &'a AtomicBool,
    pub begun: Instant,
    /// Whether loads are taken for refused that were not.
    pub planted: bool,
}

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
    refusals: Refusals<'a>,
}

impl<'a> Faulter<'a> {
    pub(super) fn new(
        oracle: &'a Oracle,
        arena: &'a Arena,
        tally: &'a Tally,
        loads: Loads,
        rng: Stream,
        at: &'a AtomicU64,
        refusals: Refusals<'a>,
    ) -> Faulter<'a> {
        Faulter {
            oracle,
            arena,
            tally,
            loads,
            rng,
            at,
            counted: 0,
            kept: 0,
            lane: 0,
            left: 0,
            refusals,
        }
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
        if self.load(lane, page, address) && self.rng.one_in(AGAIN_ONE_IN) {
            self.arena.forget_page(address);
            self.load(lane, page, address);
        }
    }

    /// One load, counted. Gives whether its page was there without a fault.
    #[inline]
    fn load(&mut self, lane: u16, page: usize, address: u64) -> bool {
        let before = self.newest(lane);
        let from = self.oracle.clock().now();
        let mut done = self.loads.load(address);
        let window = Window { from, to: self.oracle.clock().now() };
        if self.refusals.planted && self.rng.one_in(PLANTED_ONE_IN) {
            done = Err(Refused::NotReadable);
        }
        let allowed = done.is_ok();
        if done == Err(Refused::NotReadable) {
            self.judge(lane, page, address, window);
        }
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

    /// Judges a load that was refused: see `oracle/load.rs`.
    fn judge(&self, lane: u16, page: usize, address: u64, window: Window) {
        let Ok(readable) = self.oracle.may_refuse(lane, page, window) else {
            return Tally::add(&self.tally.refused_undecided, 1);
        };
        if readable.is_none() {
            return;
        }
        // Whether an operation under way has failed is known when it has returned.
        let history = self.oracle.history(lane);
        let newest = history.head();
        while history.invoked(newest) < window.to && !self.oracle.settled(lane, newest) {
            if !self.refusals.over.wait() {
                return Tally::add(&self.tally.refused_undecided, 1);
            }
        }
        let versions = match self.oracle.may_refuse(lane, page, window) {
            Ok(Some(versions)) => versions,
            Ok(None) => return,
            Err(_) => return Tally::add(&self.tally.refused_undecided, 1),
        };
        let layouts = [versions.0, versions.1].map(|version| history.layout(version));
        let in_flight = self.oracle.kinds_between(lane, versions);
        Tally::add(&self.tally.refused_readable, 1);
        Tally::add(&self.tally.broken[Rule::NoHole as usize], 1);
        let signature = Signature { in_flight, ..Signature::bare(Class::Hole) };
        let at = self.refusals.begun.elapsed().as_nanos() as u64;
        self.refusals.findings.record(signature, at, None);
        let refused = RefusedLoad { lane, page, address, window, versions, layouts };
        self.refusals.first.lock().get_or_insert(refused);
    }

    /// The newest version of a lane, and whether the operation that made it is under way.
    fn newest(&self, lane: u16) -> (Version, bool) {
        let newest = self.oracle.history(lane).head();
        (newest, !self.oracle.settled(lane, newest))
    }
}
