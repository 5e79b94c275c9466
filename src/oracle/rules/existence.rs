//! Rules 1 and 3: a VMA exactly like the line existed, no earlier than what was seen before.

use super::{Progress, Walk};
use crate::model::Observation;
use crate::model::vma_end;
use crate::oracle::clock::Window;
use crate::oracle::history::{History, Version};
use crate::oracle::verdict::{Class, Rule, Verdict};

impl Walk<'_> {
    /// Rules 1 and 3: a VMA exactly like this existed, no earlier than what was seen before.
    #[inline]
    pub(super) fn exists(&mut self, seen: &Observation, window: Window) -> Result<(), Verdict> {
        let geometry = self.oracle.geometry();
        let unknown =
            |walk: &Walk<'_>| walk.wrong(Rule::Existence, Class::Unknown, Some(seen), window);
        if !geometry.contains(seen.start) {
            return Err(unknown(self));
        }
        let lane = geometry.locate(seen.start).0;
        let (start, end) = self.pages_of(seen);
        let bytes = seen.end - seen.start;
        if end > geometry.pages as usize || (seen.start | bytes) & (geometry.page_size() - 1) != 0 {
            return Err(unknown(self));
        }
        self.now.earliest = self.now.earliest.max(window.from);
        let history = self.enter(lane, self.now.earliest)?;
        let before = self.now;
        let first = before.version;
        loop {
            // A version behind `earliest` can be the first here when the walk came into this
            // lane in an earlier call.
            if history.closed(self.now.version) >= self.now.earliest {
                if !history.known(self.now.version) {
                    return Err(Verdict::Undecided);
                }
                if shows(history, self.now.version, start, end, seen) {
                    break;
                }
            }
            if !self.advance(history, window) {
                history.confirm(first)?;
                let verdict = self.phantom(history, start, end, seen, window, before);
                return Err(verdict);
            }
        }
        history.confirm(first).map_err(Verdict::from)
    }

    /// No version left shows the line: which kind of wrong is it?
    #[cold]
    fn phantom(
        &mut self,
        history: &History,
        start: usize,
        end: usize,
        seen: &Observation,
        window: Window,
        before: Progress,
    ) -> Verdict {
        let visible = |version: Version| history.closed(version) >= window.from;
        // The tail moves on while this looks; two slots of distance make the difference between
        // "stale" and "unknown" a matter of what is remembered, never of the verdict.
        let oldest = match history.tail() {
            0 => 0,
            tail => tail + 2,
        };
        let mut class = Class::Unknown;
        let mut halves = (false, false);
        // From the newest version of the window down to the oldest still known.
        let mut version = self.now.version;
        loop {
            if shows(history, version, start, end, seen) {
                // In the window, so what was seen before rules it out; or only before the window.
                class = if visible(version) { Class::Disorder } else { Class::Stale };
                break;
            }
            if visible(version) {
                let layout = history.layout(version);
                halves.0 |= layout.vmas().any(|vma| vma.start == start);
                halves.1 |= layout.vmas().any(|vma| vma.end == end);
            }
            if version <= oldest {
                break;
            }
            version -= 1;
        }
        if class == Class::Unknown && halves.0 && halves.1 {
            class = Class::Torn;
        }
        // Told from where the line began.
        self.now = before;
        let rule = if class == Class::Disorder { Rule::Order } else { Rule::Existence };
        self.wrong(rule, class, Some(seen), window)
    }

    /// The pages of a line that lies within one lane.
    pub(super) fn pages_of(&self, seen: &Observation) -> (usize, usize) {
        let geometry = self.oracle.geometry();
        let start = geometry.locate(seen.start).1;
        (start, start + ((seen.end - seen.start) >> geometry.page_shift) as usize)
    }
}

/// Whether the version has exactly this VMA.
#[inline]
pub(super) fn shows(
    history: &History,
    version: Version,
    start: usize,
    end: usize,
    seen: &Observation,
) -> bool {
    let (mapped, starts) = history.masks(version);
    starts & 1 << start != 0
        && vma_end(mapped, starts, start) == end
        && history.page(version, start).visible() == seen.page
}
