//! Operations as sequences of small steps.
//!
//! An operation is a few tasks; a task looks at the address space when its turn comes and puts
//! down its steps. Every VMA that changes is write-locked first and stays so until the operation
//! is over; the tree and the VMAs change one after the other.

use super::bugs::{Bug, Model};
use super::kernel::{Kernel, Progress};
use super::tree::{Entry, Id};
use crate::model::{Advice, Op, Page, Prot};

/// Part of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// Splits the VMA that spans `at`; with `below` the new one is the lower part (mm/vma.c,
    /// `__split_vma`).
    Cut { at: u64, below: bool },
    /// Locks and detaches the VMAs in the range (`vms_gather_munmap_vmas`).
    Take { from: u64, to: u64 },
    /// Empties the range in the tree (`vms_clear_ptes` and the store before it).
    Erase { from: u64, to: u64 },
    /// A VMA over the range, merged with its neighbours if they allow (`vma_merge_new_range`), but not
    /// at `apart`.
    Lay { from: u64, to: u64, piece: Piece, apart: [u64; 2] },
    /// The copy of a move, from page `source` on (`copy_vma`).
    Copy { source: u64, from: u64, to: u64, keep: bool },
    /// What a move that keeps its source leaves there (`dontunmap_complete`).
    Empty { from: u64, to: u64 },
    /// Writes to each page of the range (mm/rmap.c, `__anon_vma_prepare`).
    Touch { from: u64, to: u64 },
    /// Changes the VMAs in the range, lowest first (`vma_modify`).
    Alter { from: u64, to: u64, change: Change },
}

/// What is laid: its first page, anon_vma and anonymous page offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub page: Page,
    pub anon: u32,
    pub offset: u64,
}

impl Piece {
    /// The part of it from the `n`th page on.
    pub(super) fn step(self, n: u64) -> Piece {
        Piece { page: self.page.step(n as u16), offset: self.offset + n, ..self }
    }
}

/// Nowhere: no page has this number.
pub(super) const NOWHERE: [u64; 2] = [u64::MAX; 2];

/// What `mprotect`, `madvise` and `prctl` change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Prot(Prot),
    Advice(Advice, bool),
    Name(u8),
}

impl Change {
    pub(super) fn on(self, page: Page) -> Page {
        match self {
            Change::Prot(prot) => page.with_prot(prot),
            Change::Advice(advice, on) => page.with_advice(advice, on),
            Change::Name(name) => page.with_name(name),
        }
    }
}

/// What happens in one go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Lock(Id),
    /// Moves the start; the page becomes the given one.
    Start(Id, u64, Page),
    End(Id, u64),
    Page(Id, Page),
    /// Its anon_vma and anonymous page offset.
    Anon(Id, u32, u64),
    /// Notes the case that shrank it.
    Trimmed(Id, u8),
    Store(Id),
    Clear(u64, u64),
    Detach(Id),
}

impl Kernel {
    /// Sets an operation up, mmap_lock being held for writing.
    pub(super) fn begin(&mut self, op: &Op) {
        debug_assert!(self.tasks.is_empty() && self.steps.is_empty());
        let (from, to) = self.range(op.at());
        let mut tasks: arrayvec::ArrayVec<Task, 12> = Default::default();
        self.refused = self.refuses(op);
        match *op {
            Op::Map { .. } if self.refused && self.has(Bug::RefusedTooLate) => {
                tasks.extend(remove(from, to));
            }
            _ if self.refused => {}
            Op::Map { page, .. } => {
                let piece = Piece { page, anon: 0, offset: from };
                let lay = Task::Lay { from, to, piece, apart: NOWHERE };
                tasks.extend(replace(from, to, lay, self.has(Bug::MapUnmapsFirst)));
            }
            Op::Unmap { .. } => tasks.extend(remove(from, to)),
            Op::Protect { prot, .. } => {
                tasks.push(Task::Alter { from, to, change: Change::Prot(prot) })
            }
            Op::Advise { advice, on, .. } => {
                tasks.push(Task::Alter { from, to, change: Change::Advice(advice, on) });
            }
            Op::Name { name, .. } => {
                tasks.push(Task::Alter { from, to, change: Change::Name(name) })
            }
            Op::Touch { .. } => tasks.push(Task::Touch { from, to }),
            Op::Resize { at, new_len } if new_len < at.span.len => {
                tasks.extend(remove(from + new_len as u64, to));
            }
            Op::Resize { at, new_len } => {
                let piece = self.piece_at(from).step(at.span.len.into());
                let to_end = from + new_len as u64;
                tasks.push(Task::Lay { from: to, to: to_end, piece, apart: NOWHERE });
            }
            Op::Remap { to: there, keep, .. } => {
                let (low, high) = self.range(there);
                let copy = Task::Copy { source: from, from: low, to: high, keep };
                tasks.extend(replace(low, high, copy, self.has(Bug::ReplacedInFlight)));
                if keep {
                    tasks.push(Task::Empty { from, to });
                } else if !self.half_done() {
                    tasks.extend(remove(from, to));
                }
            }
        }
        // The last is done first.
        self.tasks.extend(tasks.into_iter().rev());
    }

    /// Whether an operation fails before it begins because there are as many VMAs as there may be: mmap
    /// (mm/mmap.c, `do_mmap`), a hole within one VMA (mm/vma.c, `vms_gather_munmap_vmas`), and a move
    /// (mm/mremap.c, `__check_map_count_against_split`). What changes VMAs one after the other fails
    /// where it splits: see [`Task::Alter`].
    fn refuses(&self, op: &Op) -> bool {
        if self.limit == 0 {
            return false;
        }
        let hole = |from: u64, to: u64| {
            let around = |entry: Entry| entry.start < from && to < entry.end;
            self.is_full(0) && self.tree.covering(from).is_some_and(around)
        };
        let (from, to) = self.range(op.at());
        match *op {
            Op::Map { .. } => self.count() > self.limit || hole(from, to),
            Op::Unmap { .. } => hole(from, to),
            Op::Resize { at, new_len } if new_len < at.span.len => hole(from + new_len as u64, to),
            Op::Remap { .. } => self.count() + 4 > self.limit,
            _ => false,
        }
    }

    /// Sets up what is left of an operation that fails half-way.
    ///
    /// A failed mmap(MAP_FIXED) may already have unmapped its range, and so may an mremap onto
    /// it; mprotect and madvise stop after the first VMA. The others fail before they begin.
    pub(super) fn begin_failing(&mut self, op: &Op) {
        match *op {
            Op::Map { at, .. } | Op::Remap { to: at, .. } => {
                let (from, to) = self.range(at);
                self.tasks.extend(remove(from, to).collect::<Vec<_>>().into_iter().rev());
            }
            Op::Protect { at, prot } => {
                let (from, to) = self.range(at);
                let end = self.tree.covering(from).map_or(to, |entry| entry.end.min(to));
                let change = Change::Prot(prot);
                self.tasks.push(Task::Alter { from, to: end, change });
            }
            _ => {}
        }
    }

    /// Whether the bug of a move whose source stays shows this time.
    fn half_done(&mut self) -> bool {
        self.moves += 1;
        self.has(Bug::HalfDoneMove) && self.moves.is_multiple_of(4)
    }

    pub(super) fn piece_at(&self, at: u64) -> Piece {
        let none = Piece { page: Page::HOLE, anon: 0, offset: at };
        self.tree.covering(at).map_or(none, |entry| {
            let vma = self.vma(entry.id);
            let whole = Piece { page: vma.page, anon: vma.anon, offset: vma.anon_offset };
            whole.step(at - vma.start)
        })
    }

    /// One step of the operation under way.
    pub(super) fn work(&mut self) -> Progress {
        if self.model == Model::Atomic {
            while self.work_step() == Progress::Stepped {}
            self.end_write();
            return Progress::Done;
        }
        let progress = self.work_step();
        if progress == Progress::Done {
            self.end_write();
        }
        progress
    }

    fn work_step(&mut self) -> Progress {
        while self.steps.is_empty() {
            match self.tasks.pop() {
                None => return Progress::Done,
                Some(task) => self.put_down(task),
            }
        }
        let next = self.steps.front().copied();
        if let Some(Step::Lock(id)) = next
            && !self.write_lock(id)
        {
            return Progress::Waits;
        }
        if let Some(step) = self.steps.pop_front() {
            self.take_step(step);
        }
        Progress::Stepped
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Lock(_) => {}
            Step::Start(id, start, page) => {
                let vma = &mut self.vmas[id as usize];
                vma.anon_offset = vma.anon_offset.wrapping_add(start.wrapping_sub(vma.start));
                (vma.start, vma.page) = (start, page);
            }
            Step::End(id, end) => self.vmas[id as usize].end = end,
            Step::Page(id, page) => self.vmas[id as usize].page = page,
            Step::Anon(id, anon, offset) => {
                let vma = &mut self.vmas[id as usize];
                (vma.anon, vma.anon_offset) = (anon, offset);
            }
            Step::Trimmed(id, case) => self.vmas[id as usize].trimmed = case,
            Step::Store(id) => {
                self.drop_locks_early();
                let vma = self.vmas[id as usize];
                self.tree.store(vma.start, vma.end, Some(id));
            }
            Step::Clear(from, to) => {
                self.drop_locks_early();
                self.tree.store(from, to, None);
            }
            Step::Detach(id) => {
                self.vmas[id as usize].detached = true;
                self.gathered.push(id);
            }
        }
    }

    fn drop_locks_early(&mut self) {
        if self.has(Bug::UnlockedEarly) {
            self.unlock_vmas();
        }
    }
}

fn replace(from: u64, to: u64, by: Task, gap: bool) -> impl Iterator<Item = Task> {
    let cut = [Task::Cut { at: from, below: true }, Task::Cut { at: to, below: false }];
    let take = Task::Take { from, to };
    let erase = gap.then_some(Task::Erase { from, to });
    cut.into_iter().chain([take]).chain(erase).chain([by])
}

fn remove(from: u64, to: u64) -> impl Iterator<Item = Task> {
    let cut = [Task::Cut { at: from, below: true }, Task::Cut { at: to, below: false }];
    cut.into_iter().chain([Task::Take { from, to }, Task::Erase { from, to }])
}
