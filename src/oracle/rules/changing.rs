//! Where a walk passes a place while it changes.
//!
//! What comes before a tear, and is none: it tells which ways to read and to change tear soonest.

use super::{Cursor, Version, Walk};
use crate::model::{Observation, span_mask};
use std::ops::Range;

/// A reader that was at work never finds more changes of a lane than this between two lines that follow
/// each other.
const SLEPT_THROUGH: Version = 16;

impl Walk<'_> {
    /// The last line, `seen`, lies at a changing place: since `reached` explained the line before, which
    /// ended at `before`, other VMAs begin or end beside one of the two places that the walk stepped from
    /// and to. The text it read is then of two layouts, and an iterator stood where they differ. Gives
    /// the lane, and the version that the last such change made; `None` where nothing changed, or the
    /// lane is another one. What moves no boundary, as a VMA that another takes the place of, is not seen.
    ///
    /// Where many changes lie between, the reader slept through them, and they are no place that it
    /// passed. Nothing is confirmed, and no verdict may rest on it.
    #[inline]
    pub(crate) fn changing_place(
        &self,
        reached: Cursor,
        before: Option<u64>,
        seen: &Observation,
    ) -> Option<(u16, Version)> {
        let (lane, now) = (self.now.lane, self.now.version);
        let changes = now.wrapping_sub(reached.version);
        if changes.wrapping_sub(1) >= SLEPT_THROUGH || reached.lane != Some(lane) {
            return None;
        }
        let made = self.changed_between(reached.version..now, before, seen.start)?;
        Some((lane, made))
    }

    /// What the last change behind one of these `versions` of the lane reached made, if it was of a
    /// page beside one of the addresses.
    fn changed_between(
        &self,
        versions: Range<Version>,
        before: Option<u64>,
        start: u64,
    ) -> Option<Version> {
        let geometry = self.oracle.geometry();
        let pages = usize::from(geometry.pages);
        let beside = |address| {
            let (lane, page) = geometry.contains(address).then(|| geometry.locate(address))?;
            (lane == self.now.lane && page <= pages)
                .then(|| span_mask(page.saturating_sub(1), (page + 1).min(pages)))
        };
        let places = beside(start)? | before.and_then(beside).unwrap_or(0);
        let history = self.oracle.history(self.now.lane);
        versions.rev().map(|version| version + 1).find(|&made| {
            let (mapped, starts) = history.masks(made);
            let (once_mapped, once_starts) = history.masks(made - 1);
            ((mapped ^ once_mapped) | (starts ^ once_starts)) & places != 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Geometry, Layout, Op, Page, Place, Prot, Span};
    use crate::oracle::{Oracle, Verdict, Window};

    /// One lane of 24 pages, every other of them mapped, and all alike.
    fn oracle() -> Oracle {
        let layout = Layout::empty(24).repaged(|pages| {
            let every_other = pages.iter_mut().step_by(2);
            every_other.for_each(|page| *page = Page::anon(Prot::from_bits(1)));
        });
        Oracle::new(Geometry::new(0x10_0000, 4096, 1, 24), &[layout], 64)
    }

    /// Unmaps each of these pages that is mapped, and maps each that is not, one after the other, and
    /// gives the window they lie in.
    fn change(oracle: &Oracle, pages: &[usize]) -> Window {
        let from = oracle.clock().now();
        for &page in pages {
            let mut held = oracle.hold(0);
            let at = Place { lane: 0, span: Span::new(page, page + 1) };
            let op = match held.current().layout.pages()[page] {
                Page::HOLE => Op::Map { at, page: Page::anon(Prot::from_bits(1)) },
                _ => Op::Unmap { at },
            };
            let invoked = oracle.invoke(&op, 0, &mut held, None);
            oracle.returned(invoked);
        }
        Window { from, to: oracle.clock().now() }
    }

    /// What is told of a line of the pages `span` behind that of page 2, with these pages changed
    /// meanwhile.
    fn told(changed: &[usize], span: Range<usize>) -> Option<Version> {
        let oracle = oracle();
        let window = change(&oracle, changed);
        let address = |page| oracle.geometry().address(0, page);
        let line = |span: Range<usize>| Observation {
            start: address(span.start),
            end: address(span.end),
            page: Page::anon(Prot::from_bits(1)).visible(),
        };
        let mut walk = Walk::new(&oracle);
        walk.begin(None, window);
        assert_eq!(walk.line(&line(2..3), window), Verdict::Right);
        let (reached, before, seen) = (walk.reached(), walk.pos(), line(span));
        assert_eq!(walk.line(&seen, window), Verdict::Right);
        walk.changing_place(reached, before, &seen).map(|(_, made)| made)
    }

    #[test]
    fn a_change_that_the_walk_passes_is_told() {
        // Where the line before ended, and where this one begins.
        assert_eq!(told(&[3, 2], 3..5), Some(2));
        assert_eq!(told(&[5, 4], 5..7), Some(2));
    }

    #[test]
    fn of_several_changes_the_last_one_there_is_told() {
        assert_eq!(told(&[5, 4, 5], 6..7), Some(3));
        // The last one makes the line longer than it was, further on.
        assert_eq!(told(&[5, 4, 7], 5..9), Some(2));
    }

    #[test]
    fn a_change_elsewhere_is_none() {
        assert_eq!(told(&[8], 4..5), None);
        assert_eq!(told(&[8, 4], 6..7), None);
        assert_eq!(told(&[5], 4..7), None);
        assert_eq!(told(&[4], 6..7), None, "passed over");
    }

    #[test]
    fn what_the_reader_slept_through_is_none() {
        let mut changed = [10; SLEPT_THROUGH as usize + 1];
        changed[SLEPT_THROUGH as usize - 1..].copy_from_slice(&[5, 4]);
        assert_eq!(told(&changed[1..], 5..7), Some(SLEPT_THROUGH));
        assert_eq!(told(&changed, 5..7), None);
    }

    #[test]
    fn the_first_line_of_a_lane_is_none() {
        let oracle = oracle();
        let window = change(&oracle, &[3]);
        let mut walk = Walk::new(&oracle);
        walk.begin(None, window);
        let (reached, start) = (walk.reached(), oracle.geometry().address(0, 2));
        let page = Page::anon(Prot::from_bits(1)).visible();
        let seen = Observation { start, end: start + 3 * 4096, page };
        assert_eq!(walk.line(&seen, window), Verdict::Right);
        assert_eq!(walk.reached().version, 1);
        assert_eq!(walk.changing_place(reached, None, &seen), None);
    }
}
