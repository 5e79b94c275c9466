//! Operations as sequences of small steps.
//!
//! An operation is a few tasks; a task looks at the address space when its turn comes and puts
//! down its steps. Every VMA that changes is write-locked first and stays so until the operation
//! is over; the tree and the VMAs change one after the other.

use super::bugs::{Bug, Model};
use super::kernel::{Kernel, Progress};
use super::tree::Id;
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
    /// A VMA over the range, merged with its neighbours if they allow (`vma_merge_new_range`).
    Lay { from: u64, to: u64, page: Page },
    /// Changes the VMAs in the range, lowest first (`vma_modify`).
    Alter { from: u64, to: u64, change: Change },
}

/// What `mprotect`, `madvise` and `prctl` change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Prot(Prot),
    Advice(Advice, bool),
    Name(u8),
}

impl Change {
    fn on(self, page: Page) -> Page {
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
        match *op {
            Op::Map { page, .. } => {
                tasks.extend(self.replace(from, to, page, self.has(Bug::MapUnmapsFirst)));
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
            Op::Resize { at, new_len } if new_len < at.span.len => {
                tasks.extend(remove(from + new_len as u64, to));
            }
            Op::Resize { at, new_len } => {
                let page = self.page_at(from).step(at.span.len as u16);
                tasks.push(Task::Lay { from: to, to: from + new_len as u64, page });
            }
            Op::Remap { to: there, keep, .. } => {
                let page = self.page_at(from);
                let (low, high) = self.range(there);
                tasks.extend(self.replace(low, high, page, self.has(Bug::ReplacedInFlight)));
                if !keep {
                    tasks.extend(remove(from, to));
                }
            }
        }
        // The last is done first.
        self.tasks.extend(tasks.into_iter().rev());
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

    fn replace(&self, from: u64, to: u64, page: Page, gap: bool) -> impl Iterator<Item = Task> {
        let cut = [Task::Cut { at: from, below: true }, Task::Cut { at: to, below: false }];
        let take = Task::Take { from, to };
        let erase = gap.then_some(Task::Erase { from, to });
        cut.into_iter().chain([take]).chain(erase).chain([Task::Lay { from, to, page }])
    }

    fn page_at(&self, at: u64) -> Page {
        self.tree.covering(at).map_or(Page::HOLE, |entry| {
            let vma = self.vma(entry.id);
            vma.page.step((at - vma.start) as u16)
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
                (vma.start, vma.page) = (start, page);
            }
            Step::End(id, end) => self.vmas[id as usize].end = end,
            Step::Page(id, page) => self.vmas[id as usize].page = page,
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

    fn put_down(&mut self, task: Task) {
        match task {
            Task::Cut { at, below } => {
                let spanning = self.tree.covering(at).filter(|entry| entry.start < at);
                if let Some(entry) = spanning {
                    self.split(entry.id, at, below);
                }
            }
            Task::Take { from, to } => {
                let mut at = from;
                while let Some(entry) = self.tree.next(at).filter(|entry| entry.start < to) {
                    self.steps.extend([Step::Lock(entry.id), Step::Detach(entry.id)]);
                    at = entry.end;
                }
            }
            Task::Erase { from, to } => self.steps.push_back(Step::Clear(from, to)),
            Task::Lay { from, to, page } => self.lay(from, to, page),
            Task::Alter { from, to, change } => {
                if let Some(entry) = self.tree.next(from).filter(|entry| entry.start < to) {
                    let end = entry.end.min(to);
                    if end < to {
                        self.tasks.push(Task::Alter { from: end, to, change });
                    }
                    self.alter(entry.id, entry.start.max(from), end, change);
                }
            }
        }
    }

    fn split(&mut self, id: Id, at: u64, below: bool) {
        let vma = *self.vma(id);
        let upper = vma.page.step((at - vma.start) as u16);
        self.cases[if below { 9 } else { 10 }] += 1;
        self.lock(id);
        if below {
            let new = self.allot(vma.start, at, vma.page);
            let page = if self.has(Bug::OffsetAfterSplit) { vma.page } else { upper };
            self.steps.extend([Step::Start(id, at, page), Step::Trimmed(id, 9), Step::Store(new)]);
        } else {
            let new = self.allot(at, vma.end, upper);
            self.steps.extend([Step::End(id, at), Step::Trimmed(id, 10), Step::Store(new)]);
        }
    }

    fn lock(&mut self, id: Id) {
        if !self.has(Bug::WriteLockMissing) {
            self.steps.push_back(Step::Lock(id));
        }
    }

    /// Whether VMA `below`, which ends at `at`, takes in a page laid there.
    fn merges_below(&self, at: u64, page: Page) -> Option<Id> {
        let id = self.tree.ending(at)?.id;
        let vma = self.vma(id);
        let last = vma.page.step((vma.end - vma.start - 1) as u16);
        (!vma.detached && self.follows(last, page)).then_some(id)
    }

    /// Whether the VMA that starts at `at` goes on from `last`, the page below it.
    fn merges_above(&self, at: u64, last: Page) -> Option<Id> {
        let entry = self.tree.covering(at).filter(|entry| entry.start == at)?;
        let vma = self.vma(entry.id);
        (!vma.detached && self.follows(last, vma.page)).then_some(entry.id)
    }

    fn follows(&self, below: Page, above: Page) -> bool {
        const OFFSET: u32 = 0xffff << 16;
        let same_but_offset = || (below.bits() ^ above.bits()) & !OFFSET == 0;
        below.continues(above)
            || self.has(Bug::MergeIgnoresOffset) && below.is_file() && same_but_offset()
    }

    fn lay(&mut self, from: u64, to: u64, page: Page) {
        let last = page.step((to - from - 1) as u16);
        let replaces = self.tree.next(from).is_some_and(|entry| entry.start < to);
        let both_full = |vacant: usize| if replaces { 0 } else { vacant };
        match (self.merges_below(from, page), self.merges_above(to, last)) {
            (Some(below), Some(above)) => {
                self.cases[if replaces { 1 } else { 6 }] += 1;
                let end = self.vma(above).end;
                self.lock(below);
                self.lock(above);
                self.steps.extend([Step::End(below, end), Step::Store(below), Step::Detach(above)]);
            }
            (Some(below), None) => {
                self.cases[both_full(7)] += 1;
                self.lock(below);
                self.steps.extend([Step::End(below, to), Step::Store(below)]);
            }
            (None, Some(above)) => {
                self.cases[both_full(8)] += 1;
                self.lock(above);
                self.steps.extend([Step::Start(above, from, page), Step::Store(above)]);
            }
            (None, None) => {
                self.cases[0] += 1;
                let new = self.allot(from, to, page);
                self.steps.push_back(Step::Store(new));
            }
        }
    }

    /// Changes pages `from..to` of one VMA (mm/vma.c, `vma_merge_existing_range` and, where
    /// nothing merges, the splits of `vma_modify`).
    fn alter(&mut self, id: Id, from: u64, to: u64, change: Change) {
        let vma = *self.vma(id);
        let old = vma.page.step((from - vma.start) as u16);
        let page = change.on(old);
        if page == old {
            return;
        }
        let last = page.step((to - from - 1) as u16);
        let below = (from == vma.start).then(|| self.merges_below(from, page)).flatten();
        let above = (to == vma.end).then(|| self.merges_above(to, last)).flatten();
        match (below, above) {
            (Some(below), Some(above)) => {
                self.cases[1] += 1;
                let end = self.vma(above).end;
                [below, id, above].into_iter().for_each(|id| self.lock(id));
                self.steps.extend([Step::End(below, end), Step::Store(below)]);
                self.steps.extend([Step::Detach(id), Step::Detach(above)]);
            }
            (Some(below), None) => {
                [below, id].into_iter().for_each(|id| self.lock(id));
                if to == vma.end {
                    self.cases[2] += 1;
                    self.steps.extend([Step::End(below, to), Step::Store(below), Step::Detach(id)]);
                } else {
                    self.cases[3] += 1;
                    let rest = vma.page.step((to - vma.start) as u16);
                    self.steps.extend([Step::Start(id, to, rest), Step::Trimmed(id, 3)]);
                    self.steps.extend([Step::End(below, to), Step::Store(below)]);
                }
            }
            (None, Some(above)) => {
                [id, above].into_iter().for_each(|id| self.lock(id));
                if from > vma.start {
                    self.cases[5] += 1;
                    self.steps.extend([Step::End(id, from), Step::Trimmed(id, 5)]);
                    self.steps.extend([Step::Start(above, from, page), Step::Store(above)]);
                } else {
                    self.cases[4] += 1;
                    self.steps.extend([Step::Start(above, from, page), Step::Store(above)]);
                    self.steps.push_back(Step::Detach(id));
                }
            }
            (None, None) => self.alter_alone(id, from, to, page),
        }
    }

    fn alter_alone(&mut self, id: Id, from: u64, to: u64, page: Page) {
        let vma = *self.vma(id);
        if from > vma.start {
            // The upper part stays the old VMA, so that the steps below find it.
            self.split(id, from, true);
        }
        if to < vma.end {
            let upper = vma.page.step((to - vma.start) as u16);
            self.cases[10] += 1;
            self.lock(id);
            let new = self.allot(to, vma.end, upper);
            self.steps.extend([Step::End(id, to), Step::Trimmed(id, 10), Step::Store(new)]);
        }
        self.lock(id);
        let page = if self.has(Bug::OffsetAfterSplit) && from > vma.start {
            page.step((vma.start.wrapping_sub(from)) as u16)
        } else {
            page
        };
        self.steps.push_back(Step::Page(id, page));
    }
}

fn remove(from: u64, to: u64) -> impl Iterator<Item = Task> {
    let cut = [Task::Cut { at: from, below: true }, Task::Cut { at: to, below: false }];
    cut.into_iter().chain([Task::Take { from, to }, Task::Erase { from, to }])
}
