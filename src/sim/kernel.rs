//! The simulated address space: VMAs, the tree, and the locks around them.

use super::bugs::{Bug, Model};
use super::plan::{Step, Task};
use super::tree::{Entry, Id, Tree};
use crate::kernel::Mm;
use crate::model::{AnonVma, Geometry, Layout, MergeRules, Op, Page, Place, Prot, Vma as Drawn};
use arrayvec::ArrayVec;
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::VecDeque;

/// A VMA object. Addresses are page numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Vma {
    pub start: u64,
    pub end: u64,
    /// The first page.
    pub page: Page,
    /// Its anon_vma, 0 for none.
    pub anon: u32,
    /// Anonymous page offset of the first page: the page number that private memory was first written
    /// to at, or that it is mapped at.
    pub anon_offset: u64,
    /// Write-locked exactly when this equals the kernel's own number (mm/mmap_lock.c,
    /// `vm_lock_seq` and `mm_lock_seq`): to raise that one number is to unlock all.
    pub lock_seq: u64,
    pub readers: u8,
    pub detached: bool,
    /// The case of the series that shrank it last, or 0.
    pub trimmed: u8,
}

/// Why a VMA can't be locked for reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// An operation holds it.
    WriteLocked,
    /// It is no longer part of the address space.
    Detached,
}

/// The address space.
pub struct Kernel {
    pub(super) geometry: Geometry,
    pub(super) rules: MergeRules,
    pub(super) model: Model,
    pub(super) bug: Option<Bug>,
    pub(super) tree: Tree,
    pub(super) vmas: Vec<Vma>,
    pub(super) free: Vec<Id>,
    /// Taken out by the operation under way, free once it is over.
    pub(super) gathered: Vec<Id>,
    /// Raised when mmap_lock is taken for writing and when it is released.
    seq: u64,
    /// See [`Vma::lock_seq`].
    vma_seq: u64,
    writer: Option<u16>,
    map_readers: u32,
    pub(super) tasks: ArrayVec<Task, 12>,
    pub(super) steps: VecDeque<Step>,
    /// How often each of the series' ten cases came about; 0 counts the rest.
    pub(super) cases: [u64; 11],
    /// Anon_vmas made so far.
    pub(super) anon_vmas: u32,
    /// Moves so far.
    pub(super) moves: u32,
    /// The most VMAs that it may have; 0 for any number.
    pub(super) limit: usize,
    /// Whether the operation under way has failed for want of room for another.
    pub(super) refused: bool,
}

/// What a worker's step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// Something was done.
    Stepped,
    /// It waits for the reader.
    Waits,
    /// The operation is complete and all locks are released.
    Done,
}

/// A VMA outside of the arena, in page numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub start: u64,
    pub end: u64,
    pub page: Page,
}

/// The VMAs outside of the arena, which nobody changes, lowest first: a program below it, a library
/// and a stack above.
pub(super) fn fixed(geometry: &Geometry) -> [Fixed; 3] {
    let first = geometry.base >> geometry.page_shift;
    let last = geometry.end() >> geometry.page_shift;
    let at = |start, end, prot| Fixed { start, end, page: Page::FOREIGN.with_prot(prot) };
    [
        at(first - 4000, first - 3900, Prot::READ),
        at(last + 4000, last + 4020, LIBRARY),
        at(last + 5000, last + 5033, Prot::READ_WRITE),
    ]
}

/// What a library's code may be used for.
pub(super) const LIBRARY: Prot = Prot::from_bits(5);

impl Kernel {
    /// An address space whose lanes look like `initial`.
    /// None of it has been written to.
    pub fn new(
        geometry: Geometry,
        rules: MergeRules,
        initial: &[Layout],
        model: Model,
        bug: Option<Bug>,
    ) -> Kernel {
        let most = geometry.lanes as usize * geometry.pages as usize + 16;
        let mut kernel = Kernel {
            geometry,
            rules,
            model,
            bug,
            tree: Tree::with_room(most),
            vmas: Vec::with_capacity(most),
            free: Vec::new(),
            gathered: Vec::with_capacity(most),
            seq: 0,
            vma_seq: 1,
            writer: None,
            map_readers: 0,
            tasks: ArrayVec::new(),
            steps: VecDeque::with_capacity(64),
            cases: [0; 11],
            anon_vmas: 0,
            moves: 0,
            limit: 0,
            refused: false,
        };
        for Fixed { start, end, page } in fixed(&geometry) {
            kernel.plant(start, end, page);
        }
        for (lane, layout) in initial.iter().enumerate() {
            for vma in layout.vmas() {
                let start = kernel.number(lane as u16, vma.start);
                kernel.plant(start, start + (vma.end - vma.start) as u64, vma.page);
            }
        }
        kernel
    }

    /// The same with no more VMAs than so many, those outside of the arena included; 0 for any number.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Kernel {
        self.limit = limit;
        self
    }

    /// How many VMAs there are.
    pub(super) fn count(&self) -> usize {
        self.tree.entries().len()
    }

    /// Whether there is no room for another one, beside `more`.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.limit > 0 && self.count() + more >= self.limit
    }

    /// Whether the operation that is over has failed for want of room, to be asked once.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn plant(&mut self, start: u64, end: u64, page: Page) {
        let id = self.allot(start, end, page);
        self.vmas[id as usize].lock_seq = 0;
        self.tree.store(start, end, Some(id));
    }

    /// The number of a lane's page.
    pub(super) fn number(&self, lane: u16, page: usize) -> u64 {
        self.geometry.address(lane, page) >> self.geometry.page_shift
    }

    /// The page numbers of a place.
    pub(super) fn range(&self, at: Place) -> (u64, u64) {
        let start = self.number(at.lane, at.span.start());
        (start, start + at.span.len as u64)
    }

    #[inline]
    pub(super) fn vma(&self, id: Id) -> &Vma {
        &self.vmas[id as usize]
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// A new VMA, write-locked as every new one is.
    pub(super) fn allot(&mut self, start: u64, end: u64, page: Page) -> Id {
        let vma = Vma {
            start,
            end,
            page,
            anon: 0,
            anon_offset: start,
            lock_seq: self.vma_seq,
            readers: 0,
            detached: false,
            trimmed: 0,
        };
        match self.free.pop() {
            Some(id) => {
                self.vmas[id as usize] = vma;
                id
            }
            None => {
                self.vmas.push(vma);
                (self.vmas.len() - 1) as Id
            }
        }
    }

    // The writer's side.

    /// Takes mmap_lock for writing, if nobody has it.
    pub(super) fn try_write(&mut self, worker: u16) -> bool {
        if self.writer.is_some() || self.map_readers > 0 {
            return false;
        }
        self.writer = Some(worker);
        self.seq += 1;
        true
    }

    pub(super) fn write_lock(&mut self, id: Id) -> bool {
        let seq = self.vma_seq;
        let vma = &mut self.vmas[id as usize];
        if vma.readers > 0 {
            return false;
        }
        vma.lock_seq = seq;
        true
    }

    /// Unlocks all VMAs at once.
    pub(super) fn unlock_vmas(&mut self) {
        self.vma_seq += 1;
    }

    pub(super) fn end_write(&mut self) {
        self.unlock_vmas();
        self.seq += 1;
        self.writer = None;
        let Kernel { free, gathered, .. } = self;
        free.append(gathered);
        debug_assert!(self.tree.entries().iter().all(|entry| {
            let vma = self.vma(entry.id);
            (vma.start, vma.end, vma.detached) == (entry.start, entry.end, false)
        }));
    }

    // The reader's side.

    /// The number that tells whether something was written meanwhile, and whether somebody is
    /// writing now (mm, `mmap_lock_speculate_try_begin`).
    #[inline]
    pub(super) fn speculate(&self) -> (u64, bool) {
        (self.seq, self.writer.is_some())
    }

    pub(super) fn try_read(&mut self) -> bool {
        if self.writer.is_some() {
            return false;
        }
        self.map_readers += 1;
        true
    }

    pub(super) fn end_read(&mut self) {
        self.map_readers -= 1;
    }

    #[inline]
    pub(super) fn read_lock(&mut self, id: Id) -> Result<(), Refused> {
        let seq = self.vma_seq;
        let vma = &mut self.vmas[id as usize];
        if vma.detached {
            return Err(Refused::Detached);
        }
        if vma.lock_seq == seq {
            return Err(Refused::WriteLocked);
        }
        vma.readers += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn read_unlock(&mut self, id: Id) {
        // Only a bug frees a VMA that is read, whose count then starts anew.
        let vma = &mut self.vmas[id as usize];
        debug_assert!(vma.readers > 0 || self.bug.is_some());
        vma.readers = vma.readers.saturating_sub(1);
    }

    /// The entry that ends above `from`, if there is one in the piece of the tree that `from`
    /// lies in; else where the next piece starts. A lookup reads nodes upwards one after the
    /// other, and pieces of a few pages stand for the nodes.
    #[inline]
    pub(super) fn next_in_piece(&self, from: u64) -> Result<Entry, u64> {
        const PIECE: u64 = 8;
        let until = (from / PIECE + 1) * PIECE;
        let next = self.tree.next(from);
        let top = (self.geometry.end() >> self.geometry.page_shift) + PIECE;
        let bottom = self.geometry.base >> self.geometry.page_shift;
        match next {
            // Outside the arena nothing changes; no need to take it in steps.
            Some(entry) if entry.start < until || from + PIECE < bottom || from > top => Ok(entry),
            _ => Err(until),
        }
    }

    /// How often each of the series' ten cases came about; index 0 counts everything else.
    pub fn cases(&self) -> [u64; 11] {
        self.cases
    }

    /// Makes all memory of the lane as if it had never been written to.
    pub(super) fn untouch(&mut self, lane: u16) {
        let first = self.number(lane, 0);
        let inside = first..first + u64::from(self.geometry.pages);
        for entry in self.tree.entries().iter().filter(|entry| inside.contains(&entry.start)) {
            let vma = &mut self.vmas[entry.id as usize];
            (vma.anon, vma.anon_offset) = (0, vma.start);
        }
    }

    /// What the lane looks like now.
    pub fn layout(&self, lane: u16) -> Layout {
        let first = self.number(lane, 0);
        let pages = u64::from(self.geometry.pages);
        let inside = |entry: &&Entry| (first..first + pages).contains(&entry.start);
        let entries = || self.tree.entries().iter().filter(inside);
        let vmas = entries().map(|entry| {
            let page = self.vma(entry.id).page;
            let page = page.step((entry.start - self.vma(entry.id).start) as u16);
            let (start, end) = (entry.start - first, entry.end - first);
            Drawn { start: start as usize, end: (end as usize).min(pages as usize), page }
        });
        let layout = Layout::from_vmas(pages as usize, vmas);
        layout.with_anon(|page| {
            let entry = entries().find(|entry| entry.start == first + page as u64);
            entry.map_or(AnonVma::NONE, |entry| {
                let vma = self.vma(entry.id);
                let moved = vma.anon_offset.wrapping_sub(vma.start) as i32;
                let private = !vma.page.is_shared();
                AnonVma { number: vma.anon.into(), moved: if private { moved } else { 0 } }
            })
        })
    }
}

/// A kernel with nobody else in it: each operation is carried out from its first step to its
/// last. The seam of the storm, for tests of the model.
pub struct Still(pub RefCell<Kernel>);

impl Mm for Still {
    fn carry_out(&self, op: &Op) -> Result<(), Errno> {
        let mut kernel = self.0.borrow_mut();
        if !kernel.try_write(0) {
            return Err(Errno::DEADLK);
        }
        kernel.begin(op);
        loop {
            match kernel.work() {
                Progress::Stepped => {}
                Progress::Waits => return Err(Errno::DEADLK),
                Progress::Done if kernel.take_refused() => return Err(Errno::NOMEM),
                Progress::Done => return Ok(()),
            }
        }
    }
}
