//! How a reader comes to the next VMA, in small steps.

use super::bugs::{Bug, Model};
use super::kernel::{LIBRARY, Refused};
use super::text::Record;
use super::tree::{Entry, Id};
use super::world::World;
use crate::model::{Page, Prot};

/// The reader's place in the address space.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Iter {
    /// The VMA it holds locked.
    held: Option<Id>,
    /// Whether it holds mmap_lock.
    mmap_lock: bool,
    /// For a stale iterator: the last page found, and the tree's state then.
    last: Option<(u64, u64)>,
}

/// A VMA that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub record: Record,
    /// Where the next lookup begins.
    pub next: u64,
}

/// What became of an attempt to lock a VMA that was found.
enum Locked {
    Vma(Id, Shown),
    /// Look up again, from here.
    Again(u64),
    /// Look it up under mmap_lock.
    Fallback,
    /// Give up: nothing lies above, they say.
    Nothing,
}

impl World<'_> {
    /// Before the first lookup of a call.
    pub(super) fn enter(&mut self, iter: &mut Iter) {
        iter.last = None;
        if self.kernel.model == Model::MmapLock {
            self.take_mmap_lock(iter);
        }
    }

    /// After the last lookup of a call (`m_stop`).
    pub(super) fn leave(&mut self, iter: &mut Iter) {
        self.unlock(iter);
        if std::mem::take(&mut iter.mmap_lock) {
            self.kernel.end_read();
            self.step();
        }
    }

    fn take_mmap_lock(&mut self, iter: &mut Iter) {
        while !self.kernel.try_read() {
            self.wait();
        }
        iter.mmap_lock = true;
        self.step();
    }

    fn unlock(&mut self, iter: &mut Iter) {
        if let Some(id) = iter.held.take() {
            self.kernel.read_unlock(id);
            self.step();
        }
    }

    /// The first VMA that ends above page `from`, locked where the model locks VMAs.
    pub(super) fn next_vma(&mut self, iter: &mut Iter, from: u64) -> Option<Shown> {
        if self.kernel.model != Model::VmaLocks {
            return self.next_held(iter, from);
        }
        self.unlock(iter);
        let mut at = self.start_of_lookup(iter, from);
        loop {
            match self.attempt(from, at) {
                Locked::Vma(id, shown) => {
                    iter.held = Some(id);
                    iter.last = Some((shown.record.end - 1, self.kernel.tree.changes()));
                    return Some(shown);
                }
                Locked::Again(again) => at = again,
                Locked::Fallback => return self.fallback(iter, from),
                Locked::Nothing => return None,
            }
        }
    }

    /// With mmap_lock held, or nothing moving: no VMA needs a lock.
    fn next_held(&mut self, iter: &mut Iter, from: u64) -> Option<Shown> {
        if self.kernel.has(Bug::LockDroppedBetweenLines) && iter.mmap_lock {
            self.kernel.end_read();
            self.step();
            self.take_mmap_lock(iter);
        }
        let entry = self.find(from)?;
        self.step();
        Some(self.shown(entry.id))
    }

    fn shown(&self, id: Id) -> Shown {
        let vma = self.kernel.vma(id);
        let record = Record { start: vma.start, end: vma.end, page: vma.page };
        Shown { record, next: vma.end }
    }

    /// A fresh lookup begins at `from`; an iterator that went stale does not.
    fn start_of_lookup(&self, iter: &Iter, from: u64) -> u64 {
        let tree = &self.kernel.tree;
        match iter.last {
            Some((last, changes))
                if self.kernel.has(Bug::SkippedAfterMerge) && changes != tree.changes() =>
            {
                // Restarts at the page it was at, and takes the VMA there for the one it knows.
                tree.covering(last).map_or(from, |entry| entry.end.max(from))
            }
            _ => from,
        }
    }

    /// The first entry that ends above `from`, piece by piece.
    fn find(&mut self, mut from: u64) -> Option<Entry> {
        loop {
            match self.kernel.next_in_piece(from) {
                Ok(entry) => return Some(entry),
                Err(piece) if self.kernel.tree.entries().last()?.end > piece => {
                    from = piece;
                    self.step();
                }
                Err(_) => return None,
            }
        }
    }

    /// Finds a VMA from `at` on, locks it, and makes sure that it is the next one above `from`
    /// (mm/mmap_lock.c, `lock_next_vma`).
    fn attempt(&mut self, from: u64, at: u64) -> Locked {
        let (seq, writing) = self.kernel.speculate();
        self.step();
        let Some(found) = self.find(at) else {
            return Locked::Nothing;
        };
        self.step();
        if self.kernel.has(Bug::ReadWithoutLock) {
            return self.read_unlocked(found, from);
        }
        match self.kernel.read_lock(found.id) {
            Ok(()) => {}
            Err(Refused::Detached) if self.kernel.has(Bug::DetachedReported) => {
                self.kernel.vmas[found.id as usize].readers += 1;
                return Locked::Vma(found.id, self.shown(found.id));
            }
            Err(Refused::Detached) => {
                self.step();
                return Locked::Again(from);
            }
            Err(Refused::WriteLocked) => return Locked::Fallback,
        }
        self.step();
        self.verify(found, from, writing, seq)
    }

    /// The VMA is locked and stays as it is; but it may have changed after it was found.
    fn verify(&mut self, found: Entry, from: u64, writing: bool, seq: u64) -> Locked {
        let mut shown = self.shown(found.id);
        let trimmed = self.kernel.vma(found.id).trimmed;
        if self.kernel.has(Bug::VmaReused) {
            return Locked::Vma(found.id, shown);
        }
        let changed = writing || self.kernel.speculate().0 != seq;
        if shown.record.end < found.end && self.excuses(trimmed, &[5, 10]) {
            if from >= shown.record.end {
                self.kernel.read_unlock(found.id);
                return Locked::Again(found.end);
            }
            shown.next = found.end;
            return Locked::Vma(found.id, shown);
        }
        if from >= shown.record.end {
            self.kernel.read_unlock(found.id);
            return Locked::Fallback;
        }
        if changed && self.kernel.has(Bug::OutsideSkipped) && self.is_library(found.id) {
            self.kernel.read_unlock(found.id);
            return Locked::Again(found.end);
        }
        let excused = self.kernel.has(Bug::GapNotVerified)
            || self.kernel.has(Bug::OutsideSkipped)
            || self.excuses(trimmed, &[3, 9]);
        if from < shown.record.start && changed && !excused {
            let again = self.find(from);
            self.step();
            if again.map(|entry| entry.id) != Some(found.id) {
                self.kernel.read_unlock(found.id);
                return Locked::Fallback;
            }
        }
        if changed && self.kernel.has(Bug::NeighbourPerms) {
            shown.record.page = self.with_neighbours_prot(shown.record);
        }
        if changed && self.kernel.has(Bug::OutsideAltered) && self.is_library(found.id) {
            shown.record.page = Page::FOREIGN.with_prot(Prot::READ);
        }
        Locked::Vma(found.id, shown)
    }

    /// Whether it is the VMA next above the arena.
    fn is_library(&self, id: Id) -> bool {
        self.kernel.vma(id).page == Page::FOREIGN.with_prot(LIBRARY)
    }

    fn with_neighbours_prot(&self, record: Record) -> Page {
        let below = self.kernel.tree.ending(record.start);
        below.map_or(record.page, |entry| {
            record.page.with_prot(self.kernel.vma(entry.id).page.prot())
        })
    }

    /// Whether a bug lets a shrink by one of these cases pass.
    fn excuses(&self, trimmed: u8, cases: &[u8]) -> bool {
        let bug = match trimmed {
            3 => Bug::NoRetryCase3,
            5 => Bug::NoRetryCase5,
            9 => Bug::NoRetryCase9,
            10 => Bug::NoRetryCase10,
            _ => return false,
        };
        cases.contains(&trimmed) && self.kernel.has(bug)
    }

    /// Start and end, read one after the other without a lock.
    fn read_unlocked(&mut self, found: Entry, from: u64) -> Locked {
        let start = self.kernel.vma(found.id).start;
        let page = self.kernel.vma(found.id).page;
        self.step();
        let end = self.kernel.vma(found.id).end;
        if end <= from.max(start) {
            return Locked::Again(from);
        }
        self.kernel.vmas[found.id as usize].readers += 1;
        let record = Record { start, end, page };
        Locked::Vma(found.id, Shown { record, next: end })
    }

    /// The slow way, under mmap_lock (`lock_next_vma_under_mmap_lock`).
    fn fallback(&mut self, iter: &mut Iter, from: u64) -> Option<Shown> {
        if self.kernel.has(Bug::EarlyEnd) && self.kernel.speculate().1 {
            return None;
        }
        self.take_mmap_lock(iter);
        let found = self.find(from);
        self.step();
        let locked = found.filter(|entry| self.kernel.read_lock(entry.id).is_ok());
        iter.mmap_lock = false;
        self.kernel.end_read();
        self.step();
        let id = locked?.id;
        iter.held = Some(id);
        let mut shown = self.shown(id);
        iter.last = Some((shown.record.end - 1, self.kernel.tree.changes()));
        if self.kernel.has(Bug::RepeatedAfterFallback) {
            shown.next = from;
        }
        Some(shown)
    }

    /// A page fault from user mode: the VMA that it finds for page `at`, if any (mm/mmap_lock.c,
    /// `lock_vma_under_rcu`; arch/x86/mm/fault.c, `do_user_addr_fault`, which tries again under
    /// mmap_lock what it could not decide).
    pub(super) fn fault(&mut self, at: u64) -> Option<Record> {
        let mut iter = Iter::default();
        self.step();
        self.frozen = self.kernel.model == Model::Atomic;
        let found = match self.kernel.model {
            Model::VmaLocks => self.fault_under_vma_lock(at),
            _ => Err(()),
        };
        let found = found.unwrap_or_else(|()| {
            self.take_mmap_lock(&mut iter);
            let entry = self.find(at).filter(|entry| entry.start <= at);
            self.step();
            let record = entry.map(|entry| self.shown(entry.id).record);
            iter.mmap_lock = false;
            self.kernel.end_read();
            record
        });
        self.frozen = false;
        self.step();
        found
    }

    /// Under the lock of the VMA alone; an error where that does not decide it.
    fn fault_under_vma_lock(&mut self, at: u64) -> Result<Option<Record>, ()> {
        let gives_up = self.kernel.has(Bug::FaultGivesUp);
        // Nothing found is not decided without mmap_lock: the tree may be changing.
        let found = self.find(at).filter(|entry| entry.start <= at).ok_or(())?;
        self.step();
        if self.kernel.read_lock(found.id).is_err() {
            return if gives_up { Ok(None) } else { Err(()) };
        }
        self.step();
        let record = self.shown(found.id).record;
        let covers = record.start <= at && at < record.end;
        self.kernel.read_unlock(found.id);
        self.step();
        match covers || self.kernel.has(Bug::FaultSeesHalf) {
            true => Ok(Some(record)),
            false => Err(()),
        }
    }

    /// One PROCMAP_QUERY (fs/proc/task_mmu.c, `query_matching_vma`).
    pub(super) fn query(&mut self, at: u64, or_next: bool) -> Option<Record> {
        let mut iter = Iter::default();
        self.step();
        self.frozen = self.kernel.model == Model::Atomic;
        self.enter(&mut iter);
        let shown = self.query_vma(&mut iter, at, or_next);
        let found = shown.map(|shown| shown.record).filter(|record| {
            or_next || record.start <= at || self.kernel.has(Bug::QueryAnswersNext)
        });
        self.leave(&mut iter);
        self.frozen = false;
        self.step();
        found
    }

    fn query_vma(&mut self, iter: &mut Iter, at: u64, or_next: bool) -> Option<Shown> {
        let misses = !or_next && self.kernel.has(Bug::QueryMisses);
        let skips = or_next && self.kernel.has(Bug::QuerySkipsLocked);
        if !misses && !skips {
            return self.next_vma(iter, at);
        }
        match self.attempt(at, at) {
            Locked::Vma(id, shown) => {
                iter.held = Some(id);
                Some(shown)
            }
            // Somebody is changing it: "nothing there", or the one after it.
            _ if misses => None,
            _ => {
                let behind = self.find(at)?.end;
                self.next_vma(iter, behind)
            }
        }
    }
}
