//! Rule 2: what is left out between two lines was unmapped, page by page upwards.

use super::{Progress, Relaxation, Walk};
use crate::model::{Observation, span_mask};
use crate::oracle::clock::Window;
use crate::oracle::history::Overrun;
use crate::oracle::rules::existence::shows;
use crate::oracle::verdict::{Break, Class, Rule, Verdict};

/// Why a hole is not right.
enum Missing {
    /// This page was mapped at every instant left.
    Page(usize),
    /// The history is gone or unknown.
    Unknown,
}

impl From<Overrun> for Missing {
    fn from(_: Overrun) -> Missing {
        Missing::Unknown
    }
}

impl Walk<'_> {
    /// Rule 2: the pages between two addresses, lane by lane upwards.
    pub(super) fn hole(
        &mut self,
        from: u64,
        to: u64,
        seen: Option<&Observation>,
        window: Window,
    ) -> Result<(), Verdict> {
        let geometry = *self.oracle.geometry();
        let (from, to) = (from.max(geometry.base), to.min(geometry.end()));
        if from >= to {
            return Ok(());
        }
        let pages = geometry.pages as usize;
        let before = self.now;
        let (first, first_page) = geometry.locate(from);
        let (last, last_page) = geometry.locate(to - 1);
        for lane in first..=last {
            let start = if lane == first { first_page.min(pages) } else { 0 };
            let end = if lane == last { (last_page + 1).min(pages) } else { pages };
            if start < end
                && let Err(verdict) = self.hole_in(lane, start, end, window)
            {
                return Err(self.missing(verdict, lane, to, seen, window, before));
            }
        }
        Ok(())
    }

    /// Makes a break of what [`Walk::hole_in`] found, told from where the hole began.
    #[cold]
    fn missing(
        &mut self,
        found: Missing,
        lane: u16,
        gap_end: u64,
        seen: Option<&Observation>,
        window: Window,
        before: Progress,
    ) -> Verdict {
        let Missing::Page(page) = found else {
            return Verdict::Undecided;
        };
        if before.lane == lane {
            self.now = before;
        } else if let Ok(version) = self.oracle.history(lane).first_at(before.earliest) {
            self.now = Progress { lane, version, ..before };
        }
        let verdict = self.wrong(Rule::NoHole, Class::Hole, seen, window);
        let Verdict::Wrong(found) = verdict else {
            return verdict;
        };
        let missing = Some(self.oracle.geometry().address(lane, page));
        Verdict::Wrong(Break { missing, gap_end: Some(gap_end), ..found })
    }

    /// The line was true, but only before the hole in front of it was: then it is the hole that
    /// is wrong. No instant up to the line's last one shows it.
    #[cold]
    pub(super) fn late_hole(
        &mut self,
        pos: u64,
        seen: &Observation,
        window: Window,
        before: Progress,
        found: Break,
    ) -> Verdict {
        let lane = self.now.lane;
        let history = self.oracle.history(lane);
        let (start, end) = self.pages_of(seen);
        let mut last = self.now.version;
        while last > history.tail() && !shows(history, last, start, end, seen) {
            last -= 1;
        }
        let until = history.invoked(last + 1).min(window.to);
        if !shows(history, last, start, end, seen)
            || history.closed(last) < before.earliest.max(window.from)
            || history.confirm(last).is_err()
        {
            return Verdict::Wrong(found);
        }
        self.now = before;
        match self.hole(pos, seen.start, Some(seen), Window { to: until, ..window }) {
            Err(Verdict::Wrong(hole)) => Verdict::Wrong(Break { window, ..hole }),
            _ => Verdict::Wrong(found),
        }
    }

    fn hole_in(
        &mut self,
        lane: u16,
        start: usize,
        end: usize,
        window: Window,
    ) -> Result<(), Missing> {
        let history = self.enter(lane, self.now.earliest)?;
        let first = self.now.version;
        let mut left = span_mask(start, end);
        loop {
            if !history.known(self.now.version) {
                return Err(Missing::Unknown);
            }
            let mut mapped = history.masks(self.now.version).0 & left;
            if mapped != 0 && self.relaxation != Relaxation::default() {
                mapped &= !self.excused(history, lane, start, window);
            }
            if mapped == 0 {
                break;
            }
            // What lies below the first mapped page was unmapped at this instant; from that page
            // on it has to be a later one.
            let page = mapped.trailing_zeros() as usize;
            left &= u64::MAX << page;
            if !self.advance(history, window) {
                history.confirm(first)?;
                return Err(Missing::Page(page));
            }
        }
        Ok(history.confirm(first)?)
    }
}
