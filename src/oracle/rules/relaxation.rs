//! What the rules let pass when a violation is named after the mechanism that explains it.
//!
//! Never part of a verdict. A walk that was found wrong is judged a second time with a relaxation.

use super::Walk;
use crate::model::{Kind, KindSet, Layout, MAX_PAGES, Op, Page, span_mask};
use crate::oracle::clock::Window;
use crate::oracle::history::{History, Version};

/// What a checker lets pass, to see whether a known mechanism explains a violation.
///
/// Never used for a verdict: a walk that was found wrong is gone through a second time, and the
/// mechanism whose forgiveness makes it right is the one it is named after.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Relaxation {
    /// Pages that an operation of one of these kinds, in flight, puts a new VMA on count as
    /// unmapped for a moment.
    pub replaced: KindSet,
    /// Pages behind the last line that merged with it count as passed over.
    pub merged: bool,
    /// Pages behind the last line that were of one VMA with its end, before that was split or
    /// replaced within the window, count as passed over.
    pub split: bool,
}

impl Walk<'_> {
    /// The pages that are excused at the present version, in a hole that begins at page `start`.
    #[cold]
    pub(super) fn excused(
        &mut self,
        history: &History,
        lane: u16,
        start: usize,
        window: Window,
    ) -> u64 {
        let version = self.now.version;
        let in_flight = |next: Version| {
            next > 0
                && next <= history.head()
                && history.invoked(next) < window.to
                && history.closed(next - 1) >= self.now.earliest
        };
        let mut pages = 0;
        let mut relaxed = KindSet::EMPTY;
        for next in [version, version + 1].into_iter().filter(|&next| in_flight(next)) {
            let span = match history.origin(next).op {
                Some(Op::Remap { to, .. }) if to.lane == lane => Some((Kind::Remap, to.span)),
                Some(Op::Map { at, .. }) => Some((Kind::Map, at.span)),
                _ => None,
            };
            if let Some((kind, span)) = span.filter(|(kind, _)| self.relaxation.replaced.has(*kind))
            {
                pages |= span.mask();
                relaxed = relaxed.with(kind);
            }
        }
        let geometry = self.oracle.geometry();
        let behind_line = self.reported
            && start > 0
            && self.pos.is_some_and(|pos| geometry.address(lane, start) == pos);
        if behind_line {
            let (end, kinds) = self.skipped(history, start, window);
            pages |= span_mask(start, end);
            relaxed = relaxed.union(kinds);
        }
        if !relaxed.is_empty() && std::mem::take(&mut self.first_relaxed) {
            self.relaxed = KindSet::EMPTY;
        }
        self.relaxed = self.relaxed.union(relaxed);
        pages
    }

    /// Where an iterator that went stale behind page `start` comes out: each step is over a VMA
    /// that began below the page it stands at, either by a later version of the window (it has
    /// merged) or by an earlier one (it was split). With both excused one step follows another.
    ///
    /// A move may merge for a moment only: mm/mremap.c, `move_vma`, maps the copy (`copy_vma`, which
    /// merges it with what lies beside it) before it unmaps the source, and where the source lies
    /// beside its destination they are one VMA in between. No reader is shown it, because it is locked
    /// until the call is over, but the tree holds it.
    #[cold]
    fn skipped(&self, history: &History, start: usize, window: Window) -> (usize, KindSet) {
        let version = self.now.version;
        let (mut end, mut kinds) = (start, KindSet::EMPTY);
        let across = |at: usize, layout: &Layout| {
            layout.vma_at(at).filter(|vma| vma.start < at).map(|vma| vma.end)
        };
        let over = |at: usize, seen: Version| across(at, &history.layout(seen));
        let over_copy = |at: usize, made: Version| {
            let Some(Op::Remap { from, to, keep: false }) = history.origin(made).op else {
                return None;
            };
            // The effect of what made the version reached has been seen: it unmapped its source.
            if made == version || from.lane != to.lane {
                return None;
            }
            let (after, before) = (history.layout(made), history.layout(made - 1));
            let mut both = [Page::HOLE; MAX_PAGES];
            let both = &mut both[..after.len()];
            both.copy_from_slice(after.pages());
            both[from.span.range()].copy_from_slice(&before.pages()[from.span.range()]);
            across(at, &Layout::from_pages(both))
        };
        loop {
            let later = (version..=history.head())
                .take_while(|&later| later == version || history.invoked(later) < window.to)
                .filter(|_| self.relaxation.merged && end < self.oracle.geometry().pages as usize)
                .find_map(|later| {
                    Some((over(end, later).or_else(|| over_copy(end, later))?, later))
                });
            let older = (history.tail()..version)
                .rev()
                .take_while(|&older| history.closed(older) >= window.from)
                .filter(|_| self.relaxation.split && end < self.oracle.geometry().pages as usize)
                .find_map(|older| Some((over(end, older)?, older + 1)));
            let Some((behind, maker)) = later.or(older) else { break };
            end = behind;
            let op = history.origin(maker).op;
            kinds = op.map_or(kinds, |op| kinds.with(op.kind()));
            if !(self.relaxation.merged && self.relaxation.split) {
                break;
            }
        }
        (end, kinds)
    }
}
