//! The tree of VMAs: which VMA each page belongs to, as the lookups see it.
//!
//! In the kernel the tree and the VMAs are two things that change one after the other, and a
//! reader can look in between. So they are two things here.

use std::cell::Cell;

/// Number of a VMA object. It is used again for another VMA once the first is gone, as the
/// kernel's slab does (`SLAB_TYPESAFE_BY_RCU`).
pub(super) type Id = u16;

/// A run of pages and the VMA it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub start: u64,
    pub end: u64,
    pub id: Id,
}

/// The entries, lowest first, none overlapping.
pub(super) struct Tree {
    entries: Vec<Entry>,
    /// Counts changes: an iterator that remembers an older number is stale.
    changes: u64,
    /// Where the last lookup ended; the next one is likely to be near.
    hint: Cell<usize>,
}

impl Tree {
    pub fn with_room(entries: usize) -> Tree {
        Tree { entries: Vec::with_capacity(entries), changes: 0, hint: Cell::new(0) }
    }

    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Index of the first entry that ends above `from`.
    fn index(&self, from: u64) -> usize {
        let mut at = self.hint.get().min(self.entries.len());
        while at > 0 && self.entries[at - 1].end > from {
            at -= 1;
        }
        while at < self.entries.len() && self.entries[at].end <= from {
            at += 1;
        }
        self.hint.set(at);
        at
    }

    /// The first entry that ends above `from`.
    pub fn next(&self, from: u64) -> Option<Entry> {
        self.entries.get(self.index(from)).copied()
    }

    /// The entry that covers page `at`.
    pub fn covering(&self, at: u64) -> Option<Entry> {
        self.next(at).filter(|entry| entry.start <= at)
    }

    /// The entry that ends at `at`.
    pub fn ending(&self, at: u64) -> Option<Entry> {
        let before = self.index(at).checked_sub(1)?;
        Some(self.entries[before]).filter(|entry| entry.end == at)
    }

    /// Gives the pages `start..end` to `id`, or with `None` to nobody. One step: readers see the
    /// tree before or after.
    pub fn store(&mut self, start: u64, end: u64, id: Option<Id>) {
        self.changes += 1;
        let first = self.index(start);
        let mut last = first;
        while last < self.entries.len() && self.entries[last].start < end {
            last += 1;
        }
        let below = self.entries[first..last]
            .first()
            .filter(|entry| entry.start < start)
            .map(|entry| Entry { end: start, ..*entry });
        let above = self.entries[first..last]
            .last()
            .filter(|entry| entry.end > end)
            .map(|entry| Entry { start: end, ..*entry });
        let middle = id.map(|id| Entry { start, end, id });
        let new = [below, middle, above].into_iter().flatten();
        self.entries.splice(first..last, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(tree: &Tree) -> Vec<(u64, u64, Id)> {
        tree.entries().iter().map(|e| (e.start, e.end, e.id)).collect()
    }

    #[test]
    fn a_store_trims_splits_and_swallows() {
        let mut tree = Tree::with_room(8);
        tree.store(10, 20, Some(1));
        tree.store(13, 15, Some(2));
        assert_eq!(drawn(&tree), [(10, 13, 1), (13, 15, 2), (15, 20, 1)]);
        tree.store(12, 16, None);
        assert_eq!(drawn(&tree), [(10, 12, 1), (16, 20, 1)]);
        tree.store(5, 30, Some(3));
        assert_eq!(drawn(&tree), [(5, 30, 3)]);
    }

    #[test]
    fn lookups_find_the_first_entry_above() {
        let mut tree = Tree::with_room(8);
        tree.store(10, 12, Some(1));
        tree.store(14, 16, Some(2));
        for (from, id) in [(0, Some(1)), (11, Some(1)), (12, Some(2)), (15, Some(2)), (16, None)] {
            assert_eq!(tree.next(from).map(|e| e.id), id, "from {from}");
        }
        assert_eq!(tree.covering(12), None);
        assert_eq!(tree.ending(12).map(|e| e.id), Some(1));
        assert_eq!(tree.ending(13), None);
    }
}
