//! The one-pass walk checker: rules 1 to 5.
//!
//! A walk is right when there are instants t1 <= t2 <= ..., one for each line and one for each page
//! left out, such that each was true at its instant. An instant bounds what comes later only from
//! below. So the earliest instant that is left is never worse than a later one, and one pass that
//! always takes the earliest decides the walk.
//!
//! An operation in flight takes effect at one point between its ticks. So the versions seen of a lane
//! never go back, and neither do those of the two lanes of one move. Operations of different lanes are
//! ordered by their ticks alone.

mod ahead;
mod changing;
mod existence;
mod hole;
mod relaxation;

pub(crate) use ahead::Ahead;
pub use relaxation::Relaxation;

use super::clock::{Tick, Window};
use super::history::{History, Overrun, Version};
use super::ledger::Oracle;
use super::verdict::{Break, Class, Rule, Tolerated, Verdict};
use crate::model::{KindSet, Observation, Op};

const NO_LANE: u16 = u16::MAX;

/// How far the walk has come in time. A line changes it, and a break puts it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    /// The earliest instant left.
    earliest: Tick,
    /// The lane that `version` belongs to.
    lane: u16,
    /// Invariant: no version of `lane` before this one explains what comes. Either a page or a line
    /// already judged needed this one, or those before were closed before `earliest`.
    version: Version,
}

/// What explained the last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The lane; `None` before the first line of the arena.
    pub lane: Option<u16>,
    /// The version of the lane.
    pub version: Version,
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
    /// For each lane a tick, and the first version that could be seen then. The search of the next walk
    /// begins there.
    firsts: Box<[(Tick, Version)]>,
    relaxation: Relaxation,
    /// Kinds of the operations that something was excused for.
    relaxed: KindSet,
    /// Whether nothing has been excused at the present line yet.
    first_relaxed: bool,
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
            relaxation: Relaxation::default(),
            relaxed: KindSet::EMPTY,
            first_relaxed: true,
        }
    }

    /// The same, but lets `relaxation` pass.
    pub fn relaxed_by(oracle: &'a Oracle, relaxation: Relaxation) -> Walk<'a> {
        Walk { relaxation, ..Walk::new(oracle) }
    }

    /// Kinds of the operations that something was excused for, at the last line or answer at which
    /// anything was since the last [`begin`](Walk::begin). Not at all lines: how far back a walk is
    /// remembered differs between the storm and a file, and both give it the same name.
    pub fn relaxed(&self) -> KindSet {
        self.relaxed
    }

    /// Starts a walk: at address `pos`, or `None` where the position before the first line is not
    /// known (a pread in mid-file). `window` is that of the first call.
    pub fn begin(&mut self, pos: Option<u64>, window: Window) {
        self.pos = pos;
        self.gap = None;
        self.reported = false;
        self.relaxed = KindSet::EMPTY;
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
        self.relaxed = KindSet::EMPTY;
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
    pub fn reached(&self) -> Cursor {
        let Progress { lane, version, .. } = self.now;
        Cursor { lane: (lane != NO_LANE).then_some(lane), version }
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
    pub fn line(&mut self, seen: &Observation, window: Window) -> Verdict {
        let geometry = self.oracle.geometry();
        let before = self.now;
        self.first_relaxed = true;
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
        seen: Option<&Observation>,
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
        let relaxed = self.relaxed;
        self.begin(pos, window);
        self.relaxed = relaxed;
    }

    /// A break at this point of the walk, for rules that are judged elsewhere.
    pub fn wrong(
        &self,
        rule: Rule,
        class: Class,
        seen: Option<&Observation>,
        window: Window,
    ) -> Verdict {
        Verdict::Wrong(self.broken(rule, class, seen, window))
    }

    fn broken(
        &self,
        rule: Rule,
        class: Class,
        seen: Option<&Observation>,
        window: Window,
    ) -> Break {
        let lane = (self.now.lane != NO_LANE).then_some(self.now.lane);
        Break {
            rule,
            class,
            known: None,
            lane,
            pos: self.pos,
            reported: self.reported,
            observation: seen.copied(),
            missing: None,
            gap_end: None,
            earliest: self.now.earliest,
            version: self.now.version,
            window,
        }
    }

    /// The break that a line is which the series tolerates, under a contract that does not: that line
    /// was judged last.
    pub fn forbidden(&self, kind: Tolerated, seen: &Observation, window: Window) -> Break {
        let known = Some(kind.into());
        Break { known, ..self.broken(Rule::NeverBack, Class::Disorder, Some(seen), window) }
    }

    /// The kind of the operation that made the version which shows the last line.
    pub fn maker(&self) -> KindSet {
        let Cursor { lane: Some(lane), version } = self.reached() else { return KindSet::EMPTY };
        let op = self.oracle.history(lane).origin(version).op;
        op.map_or(KindSet::EMPTY, |op| KindSet::EMPTY.with(op.kind()))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Geometry, Layout, MAX_PAGES, Page, Prot};

    /// Two lanes, of as many pages as a lane can have: two VMAs of two pages each, nothing between
    /// them and something behind.
    #[test]
    fn a_line_is_right_with_exactly_its_addresses() {
        let layout = Layout::empty(MAX_PAGES).repaged(|pages| {
            for (page, prot) in [(0, 1), (1, 1), (2, 3), (3, 3), (6, 1)] {
                pages[page] = Page::anon(Prot::from_bits(prot));
            }
        });
        let geometry = Geometry::new(0x10_0000, 4096, 2, MAX_PAGES);
        let oracle = Oracle::new(geometry, &[layout, layout], 64);
        let from = oracle.clock().now();
        let window = Window { from, to: from + 1 };
        let at = |page| geometry.address(0, page);
        let line = |start, end, prot| Observation {
            start,
            end,
            page: Page::anon(Prot::from_bits(prot)).visible(),
        };
        let judge = |seen: Observation| {
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
                wrong(Observation { start: seen.start + start, end: seen.end + end, ..seen });
                wrong(Observation { start: seen.start - start, end: seen.end - end, ..seen });
            }
        }
        // One that does not come yet, and one that came already.
        wrong(line(at(6), at(7), 1));
        wrong(line(at(0), at(2), 1));
    }
}
