//! How a task puts down its steps: what is locked and split, and what merges (mm/vma.c).

use super::bugs::Bug;
use super::kernel::{Kernel, Vma};
use super::plan::{Change, NOWHERE, Piece, Step, Task};
use super::tree::Id;
use crate::model::{Advice, Backing, MergeRule, Page, Prot};

impl Kernel {
    pub(super) fn put_down(&mut self, task: Task) {
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
            Task::Lay { from, to, piece, apart } => self.lay(from, to, piece, apart),
            Task::Copy { source, from, to, keep } => self.copy(source, from, to, keep),
            Task::Empty { from, to } => {
                if let Some(entry) = self.tree.covering(from)
                    && (entry.start, entry.end) == (from, to)
                {
                    let reset = self.rules.has(MergeRule::KeptSourceIsNew);
                    let offset = if reset { from } else { self.vma(entry.id).anon_offset };
                    self.steps.push_back(Step::Anon(entry.id, 0, offset));
                }
            }
            Task::Touch { from, to } => {
                if let Some(entry) = self.tree.next(from).filter(|entry| entry.start < to) {
                    self.tasks.push(Task::Touch { from: entry.end, to });
                    self.touch(entry.id);
                }
            }
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
            let new = self.allot_part(&vma, vma.start, at);
            let page = if self.has(Bug::OffsetAfterSplit) { vma.page } else { upper };
            self.steps.extend([Step::Start(id, at, page), Step::Trimmed(id, 9), Step::Store(new)]);
        } else {
            let new = self.allot_part(&vma, at, vma.end);
            self.steps.extend([Step::End(id, at), Step::Trimmed(id, 10), Step::Store(new)]);
        }
    }

    /// A VMA that is a part of `vma` and shares its anon_vma.
    fn allot_part(&mut self, vma: &Vma, start: u64, end: u64) -> Id {
        let id = self.allot(start, end, vma.page.step((start - vma.start) as u16));
        let part = &mut self.vmas[id as usize];
        part.anon = vma.anon;
        part.anon_offset = vma.anon_offset.wrapping_add(start - vma.start);
        id
    }

    fn lock(&mut self, id: Id) {
        if !self.has(Bug::WriteLockMissing) {
            self.steps.push_back(Step::Lock(id));
        }
    }

    /// The VMA that ends at `at`, if it takes in what is laid from there on.
    fn merges_below(&self, at: u64, laid: Piece) -> Option<Id> {
        let id = self.tree.ending(at)?.id;
        let vma = self.vma(id);
        let below = Piece { page: vma.page, anon: vma.anon, offset: vma.anon_offset };
        let last = below.step(vma.end - vma.start - 1);
        (!vma.detached && self.follows(last, laid) && self.lets_in(laid.anon, vma.anon))
            .then_some(id)
    }

    /// The VMA that starts at `at`, if it takes in what is laid below, whose last page is `last`.
    fn merges_above(&self, at: u64, last: Piece) -> Option<Id> {
        let entry = self.tree.covering(at).filter(|entry| entry.start == at)?;
        let vma = self.vma(entry.id);
        let above = Piece { page: vma.page, anon: vma.anon, offset: vma.anon_offset };
        (!vma.detached && self.follows(last, above) && self.lets_in(last.anon, vma.anon))
            .then_some(entry.id)
    }

    /// The one above, where it and the one below it go with each other, too.
    fn merges_both(&self, below: Option<Id>, above: Option<Id>) -> Option<Id> {
        let anon = |id: Id| self.vma(id).anon;
        let (low, high) = (below.map_or(0, anon), above.map_or(0, anon));
        let unlike = low != 0 && high != 0 && low != high && !self.has(Bug::MergeUnlikeAnon);
        above.filter(|_| !unlike)
    }

    fn follows(&self, below: Piece, above: Piece) -> bool {
        const OFFSET: u32 = 0xffff << 16;
        let same_but_offset = || (below.page.bits() ^ above.page.bits()) & !OFFSET == 0;
        let offsets = match below.page.backing() {
            Backing::Anon => below.offset.wrapping_add(1) == above.offset,
            Backing::PrivateFile if self.rules.has(MergeRule::PrivateFileOffsets) => {
                below.offset.wrapping_add(1) == above.offset
            }
            _ => true,
        };
        offsets && below.page.continues(above.page)
            || self.has(Bug::MergeIgnoresOffset) && below.page.is_file() && same_but_offset()
    }

    fn lets_in(&self, source: u32, target: u32) -> bool {
        match (source, target) {
            (0, _) => true,
            (_, 0) => self.rules.has(MergeRule::TouchedIntoUntouched),
            _ => source == target || self.has(Bug::MergeUnlikeAnon),
        }
    }

    /// What a VMA that takes in others has for an anon_vma afterwards (`dup_anon_vma`).
    fn hand_on(&mut self, to: Id, others: [u32; 2]) {
        let vma = *self.vma(to);
        if self.has(Bug::FlagLostInMerge) {
            self.vmas[to as usize].page = vma.page.with_advice(Advice::DontDump, false);
        }
        let anon = others.into_iter().find(|&anon| anon != 0).filter(|_| vma.anon == 0);
        let Some(mut anon) = anon.filter(|_| !self.has(Bug::AnonNotHandedOn)) else { return };
        if self.has(Bug::WrongAnonHandedOn) {
            self.anon_vmas += 1;
            anon = self.anon_vmas;
        }
        // What becomes of its start is a step of its own, which moves the offset along.
        self.vmas[to as usize].anon = anon;
    }

    fn copy(&mut self, source: u64, from: u64, to: u64, keep: bool) {
        let piece = self.piece_at(source);
        let anonymous = piece.page.backing() == Backing::Anon;
        let untouched = piece.anon == 0;
        let stays = !untouched && !self.has(Bug::OffsetLostOnMove);
        let offset = if stays { piece.offset } else { from };
        let allowed = self.rules.has(MergeRule::CopyIntoKeptSource);
        let apart = match self.tree.covering(source) {
            Some(entry) if keep && anonymous && untouched && !allowed => [entry.start, entry.end],
            _ => NOWHERE,
        };
        self.lay(from, to, Piece { offset, ..piece }, apart);
    }

    fn touch(&mut self, id: Id) {
        let vma = *self.vma(id);
        if vma.anon != 0 {
            return;
        }
        let own = Piece { page: vma.page, anon: 0, offset: vma.anon_offset };
        let piece = |id: Id| {
            let vma = self.vma(id);
            Piece { page: vma.page, anon: vma.anon, offset: vma.anon_offset }
        };
        let alike = |piece: Piece| Piece { page: piece.page.with_prot(Prot::NONE), ..piece };
        let next = self.tree.covering(vma.end).filter(|entry| entry.start == vma.end);
        let next = next.map(|entry| piece(entry.id)).filter(|&next| {
            let last = own.step(vma.end - vma.start - 1);
            next.anon != 0 && self.follows(alike(last), alike(next))
        });
        let before = self.tree.ending(vma.start).map(|entry| {
            let below = self.vma(entry.id);
            piece(entry.id).step(below.end - below.start - 1)
        });
        let before = before.filter(|&last| last.anon != 0 && self.follows(alike(last), alike(own)));
        let lent = next.or(before).map(|piece| piece.anon);
        let anon = lent.unwrap_or_else(|| {
            self.anon_vmas += 1;
            self.anon_vmas
        });
        self.steps.push_back(Step::Anon(id, anon, vma.anon_offset));
    }

    fn lay(&mut self, from: u64, to: u64, piece: Piece, apart: [u64; 2]) {
        let page = piece.page;
        let last = piece.step(to - from - 1);
        let replaces = self.tree.next(from).is_some_and(|entry| entry.start < to);
        let both_full = |vacant: usize| if replaces { 0 } else { vacant };
        let below = self.merges_below(from, piece).filter(|_| !apart.contains(&from));
        let above = self.merges_above(to, last).filter(|_| !apart.contains(&to));
        match (below, self.merges_both(below, above)) {
            (Some(below), Some(above)) => {
                self.cases[if replaces { 1 } else { 6 }] += 1;
                let end = self.vma(above).end;
                self.lock(below);
                self.lock(above);
                self.hand_on(below, [self.vma(above).anon, piece.anon]);
                self.steps.extend([Step::End(below, end), Step::Store(below), Step::Detach(above)]);
            }
            (Some(below), None) => {
                self.cases[both_full(7)] += 1;
                self.lock(below);
                self.hand_on(below, [piece.anon, 0]);
                self.steps.extend([Step::End(below, to), Step::Store(below)]);
            }
            (None, Some(above)) => {
                self.cases[both_full(8)] += 1;
                self.lock(above);
                self.hand_on(above, [piece.anon, 0]);
                self.steps.extend([Step::Start(above, from, page), Step::Store(above)]);
            }
            (None, None) => {
                self.cases[0] += 1;
                let new = self.allot(from, to, page);
                let vma = &mut self.vmas[new as usize];
                (vma.anon, vma.anon_offset) = (piece.anon, piece.offset);
                self.steps.push_back(Step::Store(new));
            }
        }
    }

    /// Changes pages `from..to` of one VMA (mm/vma.c, `vma_merge_existing_range` and, where
    /// nothing merges, the splits of `vma_modify`).
    fn alter(&mut self, id: Id, from: u64, to: u64, change: Change) {
        let vma = *self.vma(id);
        let whole = Piece { page: vma.page, anon: vma.anon, offset: vma.anon_offset };
        let old = whole.step(from - vma.start);
        let page = change.on(old.page);
        if page == old.page && !self.has(Bug::BoundaryLost) {
            return;
        }
        let piece = Piece { page, ..old };
        let last = piece.step(to - from - 1);
        let below = (from == vma.start).then(|| self.merges_below(from, piece)).flatten();
        let above = (to == vma.end).then(|| self.merges_above(to, last)).flatten();
        match (below, self.merges_both(below, above)) {
            (Some(below), Some(above)) => {
                self.cases[1] += 1;
                let end = self.vma(above).end;
                [below, id, above].into_iter().for_each(|id| self.lock(id));
                self.hand_on(below, [self.vma(above).anon, vma.anon]);
                self.steps.extend([Step::End(below, end), Step::Store(below)]);
                self.steps.extend([Step::Detach(id), Step::Detach(above)]);
            }
            (Some(below), None) => {
                [below, id].into_iter().for_each(|id| self.lock(id));
                self.hand_on(below, [vma.anon, 0]);
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
                self.hand_on(above, [vma.anon, 0]);
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

    /// Whether there is no room for the VMA that a split makes, after `splits` others. Then what is left
    /// of the operation is left out, and nobody takes back what is done (`vma_modify`).
    fn refuses_split(&mut self, splits: usize) -> bool {
        if !self.is_full(splits) {
            return false;
        }
        self.refused = true;
        self.tasks.clear();
        true
    }

    fn alter_alone(&mut self, id: Id, from: u64, to: u64, page: Page) {
        let vma = *self.vma(id);
        let mut splits = 0;
        if from > vma.start {
            if self.refuses_split(splits) {
                if self.has(Bug::SplitBeforeRefused) {
                    self.split(id, from, true);
                }
                return;
            }
            splits += 1;
            // The upper part stays the old VMA, so that the steps below find it.
            self.split(id, from, true);
        }
        if to < vma.end {
            if self.refuses_split(splits) {
                return;
            }
            self.cases[10] += 1;
            self.lock(id);
            let new = self.allot_part(&vma, to, vma.end);
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
