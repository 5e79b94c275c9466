//! The one-pass walk checker: rules 1 to 5.
//!
//! A walk is right when instants t1 <= t2 <= ... exist, one for each line and for each page left
//! out, such that each was true at its instant. To take the earliest instant that is left is never
//! worse than a later one, because every later line is only bounded from below by it; so one pass
//! with the earliest choice decides.
//!
//! An operation in flight takes effect at one point between its ticks. So within a lane the
//! versions seen never go back, and the same holds across the two lanes of one move; between
//! operations of different lanes only the ticks order.

mod ahead;
mod changing;

pub(crate) use ahead::Ahead;

use super::clock::{Tick, Window};
use super::history::{History, Overrun, Version, vma_end};
use super::ledger::Oracle;
use super::verdict::{Break, Class, Rule, Sighting, Tolerated, Verdict};
use crate::space::{Kind, KindSet, Layout, Op, span_mask};

const NO_LANE: u16 = u16::MAX;

/// How far the walk has come in time: all that a line changes and a break puts back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// The earliest instant left.
    earliest: Tick,
    /// The lane that `version` belongs to.
    lane: u16,
    /// Invariant: no version of `lane` before this one explains what comes, because a page or a
    /// line already judged needed this one, or because those before were closed before
    /// `earliest`.
    version: Version,
}

/// What explained the last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reached {
    /// The lane; `None` as long as no line of the arena came.
    pub lane: Option<u16>,
    /// The version of the lane.
    pub version: Version,
}

/// What a checker lets pass, to see whether a known mechanism explains a violation.
///
/// Never used for a verdict: a walk that was found wrong is gone through a second time, and the
/// mechanism whose forgiveness makes it right is the one it is named after.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Forgive {
    /// Pages that an operation of one of these kinds, in flight, puts a new VMA on count as
    /// unmapped for a moment.
    pub replaced: KindSet,
    /// Pages behind the last line that merged with it count as passed over.
    pub merged: bool,
    /// Pages behind the last line that were of one VMA with its end, before that was split or
    /// replaced within the window, count as passed over.
    pub split: bool,
}

/// Checks one walk, or one query, line by line.
pub struct Walk<'a> {
    oracle: &'a Oracle,
    /// End of the line before; `None` where nothing is known of it.
    pos: Option<u64>,
    /// The gap reported before the line before, if there was one: its start and end.
    gap: Option<(u64, u64)>,
    /// Whether `pos` is the end of a line, and not where a query or a walk began.
    reported: bool,
    now: Progress,
    /// For lanes above: the version that a move seen from its other lane demands, valid in `round`.
    floors: Box<[(u32, Version)]>,
    round: u32,
    /// For each lane a tick, and the first version that could be seen then: walks follow each other,
    /// and the next one has not far to search from there.
    firsts: Box<[(Tick, Version)]>,
    forgive: Forgive,
    /// Kinds of the operations that something was forgiven for.
    forgave: KindSet,
    /// Whether nothing has been forgiven at the present line yet.
    first_forgiven: bool,
}

impl<'a> Walk<'a> {
    /// A checker for the lanes of `oracle`; everything it will ever need is allocated here.
    pub fn new(oracle: &'a Oracle) -> Walk<'a> {
        Walk {
            oracle,
            pos: None,
            gap: None,
            reported: false,
            now: Progress { earliest: 0, lane: NO_LANE, version: 0 },
            floors: vec![(0, 0); oracle.geometry().lanes as usize].into(),
            round: 0,
            firsts: vec![(0, 0); oracle.geometry().lanes as usize].into(),
            forgive: Forgive::default(),
            forgave: KindSet::EMPTY,
            first_forgiven: true,
        }
    }

    /// The same, but lets `forgive` pass.
    pub fn forgiving(oracle: &'a Oracle, forgive: Forgive) -> Walk<'a> {
        Walk { forgive, ..Walk::new(oracle) }
    }

    /// Kinds of the operations that something was forgiven for, at the last line or answer at which
    /// anything was since the last [`begin`](Walk::begin). Not at all lines: how far back a walk is
    /// remembered differs between the storm and a file, and both give it the same name.
    pub fn forgave(&self) -> KindSet {
        self.forgave
    }

    /// Starts a walk: at address `pos`, or `None` where the position before the first line is not
    /// known (a pread in mid-file). `window` is that of the first call.
    pub fn begin(&mut self, pos: Option<u64>, window: Window) {
        self.pos = pos;
        self.gap = None;
        self.reported = false;
        self.forgave = KindSet::EMPTY;
        self.now = Progress { earliest: window.from, lane: NO_LANE, version: 0 };
        self.round = self.round.wrapping_add(1);
    }

    /// Comes to where `other` is, to go on from there by itself.
    pub(crate) fn follow(&mut self, other: &Walk<'_>) {
        self.pos = other.pos;
        self.gap = other.gap;
        self.reported = other.reported;
        self.now = other.now;
        self.floors.copy_from_slice(&other.floors);
        self.round = other.round;
        self.forgave = KindSet::EMPTY;
    }

    /// What the walk is judged against.
    pub fn oracle(&self) -> &'a Oracle {
        self.oracle
    }

    /// The end of the last line.
    pub fn pos(&self) -> Option<u64> {
        self.pos
    }

    /// What explained the last line.
    #[inline]
    pub fn reached(&self) -> Reached {
        let Progress { lane, version, .. } = self.now;
        Reached { lane: (lane != NO_LANE).then_some(lane), version }
    }

    /// Whether the last line lies at or above the arena's end, so that nothing more can be judged.
    pub fn past_arena(&self) -> bool {
        self.pos.is_some_and(|pos| pos >= self.oracle.geometry().end())
    }

    /// The first version of a lane that can be seen at tick `from` or later.
    #[inline]
    fn first_at(&mut self, lane: u16, from: Tick) -> Result<Version, Overrun> {
        let history = self.oracle.history(lane);
        let first = &mut self.firsts[lane as usize];
        if from < first.0 {
            return history.first_at(from);
        }
        let version = history.first_from(first.1, from)?;
        *first = (from, version);
        Ok(version)
    }

    /// Judges the next line by the rules. `window` is that of the call that generated it.
    pub fn line(&mut self, seen: &Sighting, window: Window) -> Verdict {
        let geometry = self.oracle.geometry();
        let before = self.now;
        self.first_forgiven = true;
        if let Some(pos) = self.pos {
            if seen.end <= pos {
                return self.wrong(Rule::Progress, Class::Disorder, Some(seen), window);
            }
            if seen.start > pos
                && let Err(verdict) = self.hole(pos, seen.start, Some(seen), window)
            {
                return verdict;
            }
        }
        if seen.start < geometry.end() && seen.end > geometry.base {
            if let Err(verdict) = self.exists(seen, window) {
                return match (verdict, self.pos) {
                    (Verdict::Wrong(found), Some(pos))
                        if found.rule == Rule::Order && pos < seen.start =>
                    {
                        self.late_hole(pos, seen, window, before, found)
                    }
                    _ => verdict,
                };
            }
        } else {
            // Nothing is known of it but that it was there in its window, and so nothing that
            // comes after it is older than that.
            self.now.earliest = self.now.earliest.max(window.from);
        }
        self.reported = true;
        let Some(pos) = self.pos.replace(seen.end) else {
            return Verdict::Right;
        };
        if seen.start >= pos {
            self.gap = (seen.start > pos).then_some((pos, seen.start));
            return Verdict::Right;
        }
        match self.gap {
            Some((_, end)) if seen.start < end => Verdict::Tolerated(Tolerated::GapThenVma),
            _ => Verdict::Tolerated(Tolerated::Twice),
        }
    }

    /// Judges the end of the file, `window` being that of the call that delivered nothing.
    ///
    /// The process's own stack lies above every arena, so a walk that ends before it has left out
    /// something that lies above.
    pub fn end(&mut self, window: Window) -> Verdict {
        if self.past_arena() {
            return Verdict::Right;
        }
        self.wrong(Rule::WholeLines, Class::Truncated, None, window)
    }

    /// Judges an answer of PROCMAP_QUERY for `address`: the rules of a walk with one line.
    ///
    /// With `or_next` (COVERING_OR_NEXT_VMA) it must be the first VMA that ends above the address;
    /// the pages between may each have been unmapped at an instant of their own, because the
    /// lookup reads tree nodes one after the other. Without, `None` (ENOENT) means that at one
    /// instant nothing covered the address.
    pub fn query(
        &mut self,
        address: u64,
        or_next: bool,
        seen: Option<&Sighting>,
        window: Window,
    ) -> Verdict {
        self.begin(Some(address), window);
        let Some(seen) = seen else {
            let end = if or_next { self.oracle.geometry().end() } else { address + 1 };
            return match self.hole(address, end, None, window) {
                Err(verdict) => verdict,
                // Something lies above the arena: "no VMA at or above" is wrong in itself.
                Ok(()) if or_next => self.wrong(Rule::WholeLines, Class::Truncated, None, window),
                Ok(()) => Verdict::Right,
            };
        };
        if !or_next && seen.start > address {
            return self.wrong(Rule::Existence, Class::Unknown, Some(seen), window);
        }
        match self.line(seen, window) {
            // A VMA that covers the address starts below it as a matter of course.
            Verdict::Tolerated(_) => Verdict::Right,
            verdict => verdict,
        }
    }

    /// Goes on after a break at address `pos`, or at an unknown one: nothing before is held against
    /// what comes.
    pub fn resume(&mut self, pos: Option<u64>, window: Window) {
        let forgave = self.forgave;
        self.begin(pos, window);
        self.forgave = forgave;
    }

    /// A break at this point of the walk, for rules that are judged elsewhere.
    pub fn wrong(
        &self,
        rule: Rule,
        class: Class,
        seen: Option<&Sighting>,
        window: Window,
    ) -> Verdict {
        Verdict::Wrong(self.broken(rule, class, seen, window))
    }

    fn broken(&self, rule: Rule, class: Class, seen: Option<&Sighting>, window: Window) -> Break {
        let lane = (self.now.lane != NO_LANE).then_some(self.now.lane);
        Break {
            rule,
            class,
            known: None,
            lane,
            pos: self.pos,
            reported: self.reported,
            sighting: seen.copied(),
            missing: None,
            gap_end: None,
            earliest: self.now.earliest,
            version: self.now.version,
            window,
        }
    }

    /// The break that a line is which the series tolerates, under a contract that does not: that line
    /// was judged last.
    pub fn forbidden(&self, kind: Tolerated, seen: &Sighting, window: Window) -> Break {
        let known = Some(kind.into());
        Break { known, ..self.broken(Rule::NeverBack, Class::Disorder, Some(seen), window) }
    }

    /// The kind of the operation that made the version which shows the last line.
    pub fn maker(&self) -> KindSet {
        let Reached { lane: Some(lane), version } = self.reached() else { return KindSet::EMPTY };
        let op = self.oracle.history(lane).origin(version).op;
        op.map_or(KindSet::EMPTY, |op| KindSet::EMPTY.with(op.kind()))
    }

    /// Rule 2: the pages between two addresses, lane by lane upwards.
    fn hole(
        &mut self,
        from: u64,
        to: u64,
        seen: Option<&Sighting>,
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
        seen: Option<&Sighting>,
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
    fn late_hole(
        &mut self,
        pos: u64,
        seen: &Sighting,
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

    /// The pages of a line that lies within one lane.
    fn pages_of(&self, seen: &Sighting) -> (usize, usize) {
        let geometry = self.oracle.geometry();
        let start = geometry.locate(seen.start).1;
        (start, start + ((seen.end - seen.start) >> geometry.page_shift) as usize)
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
            if mapped != 0 && self.forgive != Forgive::default() {
                mapped &= !self.forgiven(history, lane, start, window);
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

    /// The pages that are forgiven at the present version, in a hole that begins at page `start`.
    #[cold]
    fn forgiven(&mut self, history: &History, lane: u16, start: usize, window: Window) -> u64 {
        let version = self.now.version;
        let in_flight = |next: Version| {
            next > 0
                && next <= history.head()
                && history.invoked(next) < window.to
                && history.closed(next - 1) >= self.now.earliest
        };
        let mut pages = 0;
        let mut forgave = KindSet::EMPTY;
        for next in [version, version + 1].into_iter().filter(|&next| in_flight(next)) {
            let span = match history.origin(next).op {
                Some(Op::Remap { to, .. }) if to.lane == lane => Some((Kind::Remap, to.span)),
                Some(Op::Map { at, .. }) => Some((Kind::Map, at.span)),
                _ => None,
            };
            if let Some((kind, span)) = span.filter(|(kind, _)| self.forgive.replaced.has(*kind)) {
                pages |= span.mask();
                forgave = forgave.with(kind);
            }
        }
        let geometry = self.oracle.geometry();
        let behind_line = self.reported
            && start > 0
            && self.pos.is_some_and(|pos| geometry.address(lane, start) == pos);
        if behind_line {
            let (end, kinds) = self.skipped(history, start, window);
            pages |= span_mask(start, end);
            forgave = forgave.union(kinds);
        }
        if !forgave.is_empty() && std::mem::take(&mut self.first_forgiven) {
            self.forgave = KindSet::EMPTY;
        }
        self.forgave = self.forgave.union(forgave);
        pages
    }

    /// Where an iterator that went stale behind page `start` comes out: each step is over a VMA
    /// that began below the page it stands at, either by a later version of the window (it has
    /// merged) or by an earlier one (it was split). With both forgiven one step follows another.
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
            let (mut both, before) = (history.layout(made), history.layout(made - 1));
            let source = from.span.start()..from.span.end();
            both.pages_mut()[source.clone()].copy_from_slice(&before.pages()[source]);
            across(at, &both)
        };
        loop {
            let later = (version..=history.head())
                .take_while(|&later| later == version || history.invoked(later) < window.to)
                .filter(|_| self.forgive.merged && end < self.oracle.geometry().pages as usize)
                .find_map(|later| {
                    Some((over(end, later).or_else(|| over_copy(end, later))?, later))
                });
            let older = (history.tail()..version)
                .rev()
                .take_while(|&older| history.closed(older) >= window.from)
                .filter(|_| self.forgive.split && end < self.oracle.geometry().pages as usize)
                .find_map(|older| Some((over(end, older)?, older + 1)));
            let Some((behind, maker)) = later.or(older) else { break };
            end = behind;
            let op = history.origin(maker).op;
            kinds = op.map_or(kinds, |op| kinds.with(op.kind()));
            if !(self.forgive.merged && self.forgive.split) {
                break;
            }
        }
        (end, kinds)
    }

    /// Rules 1 and 3: a VMA exactly like this existed, no earlier than what was seen before.
    #[inline]
    fn exists(&mut self, seen: &Sighting, window: Window) -> Result<(), Verdict> {
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

    /// Comes to a lane, at the first version that can be seen at `from` or later.
    #[inline]
    fn enter(&mut self, lane: u16, from: Tick) -> Result<&'a History, Overrun> {
        let history = self.oracle.history(lane);
        if self.now.lane != lane {
            let mut version = self.first_at(lane, from)?;
            let (round, floor) = self.floors[lane as usize];
            if round == self.round {
                version = version.max(floor);
            }
            self.now.lane = lane;
            self.now.version = version;
        }
        Ok(history)
    }

    /// Goes on to the next version, if it can have been seen in the window.
    #[inline]
    fn advance(&mut self, history: &History, window: Window) -> bool {
        let next = self.now.version + 1;
        if next > history.head() {
            return false;
        }
        let invoked = history.invoked(next);
        if invoked >= window.to {
            return false;
        }
        self.now.version = next;
        self.now.earliest = self.now.earliest.max(invoked);
        if let Some(peer) = history.peer(next) {
            self.demand(history, peer);
        }
        true
    }

    /// A move from lane to lane was seen here: in the lane above it must have happened, too.
    #[cold]
    fn demand(&mut self, history: &History, peer: Version) {
        if let Some(Op::Remap { from, to, .. }) = history.origin(self.now.version).op {
            let other = if from.lane == self.now.lane { to.lane } else { from.lane };
            if other > self.now.lane
                && let Some(floor) = self.floors.get_mut(other as usize)
            {
                let demanded = if floor.0 == self.round { floor.1.max(peer) } else { peer };
                *floor = (self.round, demanded);
            }
        }
    }

    /// No version left shows the line: which kind of wrong is it?
    #[cold]
    fn phantom(
        &mut self,
        history: &History,
        start: usize,
        end: usize,
        seen: &Sighting,
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
}

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

/// Whether the version has exactly this VMA.
#[inline]
fn shows(history: &History, version: Version, start: usize, end: usize, seen: &Sighting) -> bool {
    let (mapped, starts) = history.masks(version);
    vma_end(mapped, starts, start) == Some(end)
        && history.page(version, start).visible() == seen.page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Geometry, MAX_PAGES, Page, Prot};

    /// Two lanes, of as many pages as a lane can have: two VMAs of two pages each, nothing between
    /// them and something behind.
    #[test]
    fn a_line_is_right_with_exactly_its_addresses() {
        let mut layout = Layout::empty(MAX_PAGES);
        for (page, prot) in [(0, 1), (1, 1), (2, 3), (3, 3), (6, 1)] {
            layout.pages_mut()[page] = Page::anon(Prot::from_bits(prot));
        }
        let geometry = Geometry::new(0x10_0000, 4096, 2, MAX_PAGES);
        let oracle = Oracle::new(geometry, &[layout, layout], 64);
        let from = oracle.clock().now();
        let window = Window { from, to: from + 1 };
        let at = |page| geometry.address(0, page);
        let line = |start, end, prot| Sighting {
            start,
            end,
            page: Page::anon(Prot::from_bits(prot)).visible(),
        };
        let judge = |seen: Sighting| {
            let mut walk = Walk::new(&oracle);
            walk.begin(Some(0), window);
            assert_eq!(walk.line(&line(at(0), at(2), 1), window), Verdict::Right);
            walk.line(&seen, window)
        };
        let seen = line(at(2), at(4), 3);
        assert_eq!(judge(seen), Verdict::Right);
        let wrong = |seen| assert!(matches!(judge(seen), Verdict::Wrong(_)), "{seen:?}");
        let stride = at(MAX_PAGES) - at(0);
        for apart in [1, 8, 4095, 4096, stride, geometry.address(1, 0) - at(0)] {
            for (start, end) in [(apart, 0), (0, apart), (apart, apart)] {
                wrong(Sighting { start: seen.start + start, end: seen.end + end, ..seen });
                wrong(Sighting { start: seen.start - start, end: seen.end - end, ..seen });
            }
        }
        // One that does not come yet, and one that came already.
        wrong(line(at(6), at(7), 1));
        wrong(line(at(0), at(2), 1));
    }
}
