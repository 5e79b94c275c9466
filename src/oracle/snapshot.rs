//! Whether everything one call delivered was true at one instant.
//!
//! Up to 6.16 a read call holds mmap_lock and this is part of the contract; later it is a line of
//! the scorecard. Unlike the walk's rules it is not decided in one pass: each lane has a set of
//! instants at which it looked as seen, and the sets must share one. A move between two lanes takes
//! effect in both at once: while it is under way both look as before, or both as after it.

use super::clock::{Tick, Window};
use super::history::{History, Overrun, Version};
use super::ledger::Oracle;
use crate::model::{Observation, span_mask};
use arrayvec::ArrayVec;

/// More lines than a call can deliver: a page of the shortest lines, for pages up to 64 KiB.
const MOST_LINES: usize = 2048;
/// More pieces than this, or more versions than [`MOST_VERSIONS`], and the call is undecided.
const MOST_INTERVALS: usize = 64;
const MOST_VERSIONS: u64 = 4096;
/// As many moves between lanes, and the call is undecided, too.
const MOST_MOVES: usize = 64;

/// Moves to a lane above or from it: the lower lane, and the version that the move made there.
type Moves = ArrayVec<(u16, Version), MOST_MOVES>;
type Intervals = ArrayVec<(Tick, Tick), MOST_INTERVALS>;

/// Collects the lines of one call and says whether they share an instant.
pub struct Snapshot<'a> {
    oracle: &'a Oracle,
    seen: Vec<Observation>,
    broken: bool,
    undecided: bool,
}

impl<'a> Snapshot<'a> {
    /// Room for one call.
    pub fn new(oracle: &'a Oracle) -> Snapshot<'a> {
        Snapshot { oracle, seen: Vec::with_capacity(MOST_LINES), broken: false, undecided: false }
    }

    /// Forgets the lines collected.
    pub fn begin(&mut self) {
        self.seen.clear();
        self.broken = false;
        self.undecided = false;
    }

    /// Adds the next line of the call; lines outside the arena are welcome and end holes.
    #[inline]
    pub fn line(&mut self, seen: &Observation) {
        // Two lines that overlap are never true at once.
        self.broken |= self.seen.last().is_some_and(|last| seen.start < last.end);
        if self.seen.len() == self.seen.capacity() {
            self.undecided = true;
        } else {
            self.seen.push(*seen);
        }
    }

    /// Whether an instant of the window shows all lines, and nothing in the gaps between them.
    /// `None`: not to be decided, because the history is gone or too much happened.
    pub fn finish(&mut self, window: Window) -> Option<bool> {
        if self.undecided {
            return None;
        }
        if self.broken {
            return Some(false);
        }
        let (Some(first), Some(last)) = (self.seen.first(), self.seen.last()) else {
            return Some(true);
        };
        let geometry = *self.oracle.geometry();
        let from = first.start.max(geometry.base);
        let to = last.end.min(geometry.end());
        if from >= to {
            return Some(true);
        }
        let (low, low_page) = geometry.locate(from);
        let (high, high_page) = geometry.locate(to - 1);
        let pages = geometry.pages as usize;
        let span = |lane: u16| {
            let start = if lane == low { low_page.min(pages) } else { 0 };
            (start, if lane == high { (high_page + 1).min(pages) } else { pages })
        };
        // Kept in one place each: they are large, and copied in pieces only.
        let mut shared = Intervals::new();
        shared.push((window.from, window.to));
        let (mut instants, mut moves) = (Intervals::new(), Moves::new());
        let mut first = 0;
        for lane in low..=high {
            let lines = self.lines_in(lane, &mut first);
            match self.still(lane, span(lane), window, lines) {
                Err(Overrun) => return None,
                Ok(Some(true)) => continue,
                Ok(Some(false)) => return Some(false),
                Ok(None) => {}
            }
            instants.clear();
            if self.instants((lane, span(lane)), window, lines, &mut instants, &mut moves).is_err()
            {
                return None;
            }
            meet(&mut shared, &instants)?;
            if shared.is_empty() {
                return Some(false);
            }
        }
        for (lane, version) in moves {
            let op = self.oracle.history(lane).origin(version).op;
            let Some(other) = op.and_then(|op| op.across(lane)).filter(|other| *other <= high)
            else {
                continue;
            };
            match self.apart((lane, span(lane)), version, (other, span(other)), window) {
                Err(Overrun) => return None,
                Ok(Some(under_way)) => without(&mut shared, under_way)?,
                Ok(None) => {}
            }
        }
        Some(!shared.is_empty())
    }

    /// The time that a move is under way, if the two lanes, with the pages of each that count, do
    /// not look as before it both, nor as after it.
    ///
    /// The first instant of that time is still before the move, so it is as impossible as the rest.
    fn apart(
        &self,
        (lane, span): (u16, (usize, usize)),
        version: Version,
        (other, other_span): (u16, (usize, usize)),
        window: Window,
    ) -> Result<Option<(Tick, Tick)>, Overrun> {
        let (history, across) = (self.oracle.history(lane), self.oracle.history(other));
        let firsts = (history.first_at(window.from)?, across.first_at(window.from)?);
        let peer = history.peer(version).ok_or(Overrun)?;
        let (lines, other_lines) = (self.lines_in(lane, &mut 0), self.lines_in(other, &mut 0));
        let both = |back: u64| {
            self.looks(history, version - back, lane, span, lines)
                && self.looks(across, peer - back, other, other_span, other_lines)
        };
        let possible = both(1) || both(0);
        let under_way = (history.invoked(version), history.closed(version - 1));
        history.confirm(firsts.0)?;
        across.confirm(firsts.1)?;
        Ok((!possible).then_some(under_way))
    }

    /// Whether a lane looks as seen, where only one version of it can be seen in the window. This is so
    /// for most lanes. [`Snapshot::instants`] would then give all of the window or nothing.
    #[inline]
    fn still(
        &self,
        lane: u16,
        span: (usize, usize),
        window: Window,
        lines: &[Observation],
    ) -> Result<Option<bool>, Overrun> {
        let history = self.oracle.history(lane);
        let only = history.first_at(window.from)?;
        if only < history.head() && history.invoked(only + 1) < window.to {
            return Ok(None);
        }
        if !history.known(only) {
            return Err(Overrun);
        }
        let looks = self.looks(history, only, lane, span, lines);
        history.confirm(only)?;
        Ok(Some(looks))
    }

    /// Collects the instants of the window at which the pages `span` of the lane looked as seen, and
    /// the moves between it and lanes above.
    fn instants(
        &self,
        (lane, span): (u16, (usize, usize)),
        window: Window,
        lines: &[Observation],
        instants: &mut Intervals,
        moves: &mut Moves,
    ) -> Result<(), Overrun> {
        let history = self.oracle.history(lane);
        let first = history.first_at(window.from)?;
        let mut version = first;
        loop {
            if version - first > MOST_VERSIONS || !history.known(version) {
                return Err(Overrun);
            }
            if self.looks(history, version, lane, span, lines) {
                let interval = (
                    history.invoked(version).max(window.from),
                    history.closed(version).min(window.to),
                );
                match instants.last_mut() {
                    Some(last) if last.1 >= interval.0 => last.1 = interval.1,
                    _ => instants.try_push(interval).map_err(|_| Overrun)?,
                }
            }
            let next = version + 1;
            if next > history.head() || history.invoked(next) >= window.to {
                break;
            }
            version = next;
            let across =
                history.peer(version).and_then(|_| history.origin(version).op?.across(lane));
            if across.is_some_and(|other| other > lane) {
                moves.try_push((lane, version)).map_err(|_| Overrun)?;
            }
        }
        history.confirm(first)
    }

    /// The lines that lie in the lane, wholly or in part. None of them comes before line number
    /// `first`, which is moved to the first of them. Lines rise: see `broken`.
    #[inline]
    fn lines_in(&self, lane: u16, first: &mut usize) -> &[Observation] {
        let geometry = self.oracle.geometry();
        let (base, top) =
            (geometry.address(lane, 0), geometry.address(lane, geometry.pages as usize));
        *first += self.seen[*first..].iter().take_while(|seen| seen.end <= base).count();
        let rest = &self.seen[*first..];
        &rest[..rest.iter().take_while(|seen| seen.start < top).count()]
    }

    /// Whether the pages `start..end` of the lane look in the version as `lines` show them.
    fn looks(
        &self,
        history: &History,
        version: Version,
        lane: u16,
        (start, end): (usize, usize),
        lines: &[Observation],
    ) -> bool {
        let geometry = self.oracle.geometry();
        let (base, top) =
            (geometry.address(lane, 0), geometry.address(lane, geometry.pages as usize));
        let (mapped, starts) = history.masks(version);
        let (mut seen_mapped, mut seen_starts) = (0, 0);
        for seen in lines {
            if seen.start < base || seen.end > top {
                return false;
            }
            let at = geometry.locate(seen.start).1;
            let stop = at + ((seen.end - seen.start) >> geometry.page_shift) as usize;
            seen_mapped |= span_mask(at, stop);
            seen_starts |= 1 << at;
            if history.page(version, at).visible() != seen.page {
                return false;
            }
            // The last VMA must end where the line ends, too, which the masks up to `end` miss.
            let next = 1u64.checked_shl(stop as u32).unwrap_or(0);
            if next & mapped & !starts != 0 {
                return false;
            }
        }
        let range = span_mask(start, end);
        mapped & range == seen_mapped & range && starts & range == seen_starts & range
    }
}

/// Leaves the instants in both; `None` when there are too many pieces.
fn meet(left: &mut Intervals, right: &Intervals) -> Option<()> {
    let mut both = Intervals::new();
    for a in &*left {
        for b in right {
            let (low, high) = (a.0.max(b.0), a.1.min(b.1));
            if low <= high {
                both.try_push((low, high)).ok()?;
            }
        }
    }
    left.clear();
    left.try_extend_from_slice(&both).ok()
}

/// Leaves the instants outside of `out`; `None` when there are too many pieces.
fn without(intervals: &mut Intervals, out: (Tick, Tick)) -> Option<()> {
    let mut left = Intervals::new();
    for &(low, high) in &*intervals {
        if out.1 < low || high < out.0 {
            left.try_push((low, high)).ok()?;
            continue;
        }
        if low < out.0 {
            left.try_push((low, out.0 - 1)).ok()?;
        }
        if out.1 < high {
            left.try_push((out.1 + 1, high)).ok()?;
        }
    }
    intervals.clear();
    intervals.try_extend_from_slice(&left).ok()
}
