//! From a break to an example that can be judged again elsewhere.

use super::judge::Judge;
use super::read_log::ReadLog;
use super::signature::Signature;
use super::witness::{NoEvidence, Piece, Witness};
use crate::kernel::{is_detail, parse};
use crate::model::{KindSet, Observation};
use crate::oracle::{
    Break, Class, Mechanism, Oracle, Rule, Tick, Verdict, Walk, Window, in_flight,
};
use std::time::{Duration, Instant};

/// The fewest bytes of a line that can be parsed, its newline included.
const SHORTEST: usize = b"0-1 ---p 0 0:0 0\n".len();

/// The way that a walk or a query took to where it broke.
struct Route<'w> {
    asked: Option<(u64, bool)>,
    /// The checker where the lines begin.
    origin: &'w Walk<'w>,
    lines: &'w [(Observation, Window)],
}

impl Route<'_> {
    /// Takes another checker the same way, and gives its word on the line or answer that broke.
    fn retrace(&self, walk: &mut Walk<'_>, found: &Break) -> Verdict {
        if let Some((address, or_next)) = self.asked {
            return walk.query(address, or_next, found.observation.as_ref(), found.window);
        }
        walk.follow(self.origin);
        let mut last = Verdict::Right;
        for (seen, window) in self.lines {
            if matches!(last, Verdict::Wrong(_) | Verdict::Undecided) {
                walk.resume(walk.pos(), *window);
            }
            last = walk.line(seen, *window);
        }
        last
    }
}

/// Checkers that go the way of a violation once more.
pub(super) struct Recheck<'a> {
    again: Walk<'a>,
    /// Those that relax the rules, one a mechanism.
    relaxed_by: [(Mechanism, Walk<'a>); Mechanism::TRIED.len()],
    /// What the lines on the way to the break under judgement show, and when each may have been
    /// made: parsed once for all that go it. There is room for as many as fit on a log.
    lines: Vec<(Observation, Window)>,
}

impl<'a> Recheck<'a> {
    pub(super) fn new(oracle: &'a Oracle) -> Recheck<'a> {
        Recheck {
            again: Walk::new(oracle),
            relaxed_by: Mechanism::TRIED
                .map(|(mechanism, relaxation)| (mechanism, Walk::relaxed_by(oracle, relaxation))),
            lines: Vec::with_capacity(ReadLog::bytes_that_fit() / SHORTEST),
        }
    }
}

/// Copies the bytes and calls of a log into an example, and which piece of them was judged, whether its
/// beginning is there, what was asked, and by which reader.
fn copy_read(
    example: &mut Witness,
    log: &ReadLog,
    (piece, whole): (Piece, bool),
    asked: Option<(u64, bool)>,
    reader: usize,
) {
    (example.piece, example.whole) = (piece, whole);
    (example.asked, example.reader) = (asked, reader);
    example.bytes.clear();
    example.calls.clear();
    example.bytes.extend_from_slice(log.bytes());
    example.calls.extend_from_slice(log.calls());
}

/// Whether a rule is judged line by line, or answer by answer.
fn judged_by_line(rule: Rule) -> bool {
    matches!(rule, Rule::NoHole | Rule::Existence | Rule::Order)
}

impl Judge<'_> {
    /// Waits for the operations under way in the lanes that bear on the break: one that fails
    /// leaves a layout that nobody predicted, and a violation that rests on it is none.
    ///
    /// Then the verdict has to be the same once more. An operation takes its first tick and only
    /// then writes down what it makes: one that had got no further when the line was judged is by
    /// its ticks in the window, and nobody who has but the evidence can tell that it was not. Of a
    /// line this also tells whether all was known that it may show: no version that can be seen is
    /// passed over, and one that is not known leaves it undecided.
    pub(super) fn certain(&mut self, found: &Break, log: &ReadLog) -> bool {
        if !judged_by_line(found.rule) {
            // No single line is to blame where a call shows no instant: any of its lanes may be.
            let lanes = match found.rule {
                Rule::OneInstant => self.lanes_passed(found),
                _ => self.lanes_of(found),
            };
            return self.settled(found, lanes).is_ok();
        }
        let mut deadline = None;
        let mut lanes = self.lanes_of(found);
        if lanes.any(|lane| self.returned(lane, found.window.to, &mut deadline).is_err()) {
            return false;
        }
        self.collect_lines(found, log);
        self.stands(found)
    }

    /// Whether the verdict is the same once more, with what the history says now. A rule about more
    /// than a line is not judged again.
    fn stands(&mut self, found: &Break) -> bool {
        if !judged_by_line(found.rule) {
            return true;
        }
        let asked = self.query();
        let Recheck { again, lines, .. } = &mut self.seconds;
        let way = Route { asked, origin: &self.origin, lines };
        matches!(way.retrace(again, found), Verdict::Wrong(_))
    }

    /// The query that is judged, if one is.
    fn query(&self) -> Option<(u64, bool)> {
        (self.mode.is_query()).then_some(self.asked)
    }

    /// Takes down the lines on the way to a break: none, where its end is not in the log.
    fn collect_lines(&mut self, found: &Break, log: &ReadLog) {
        self.seconds.lines.clear();
        if self.mode.is_query() {
            return;
        }
        let Some((piece, _)) = self.piece(log, found) else { return };
        let from = match self.entered {
            // No longer in the log, it is the checker at the beginning of the log that is kept.
            Some((call, newline)) => log.behind(call, newline).unwrap_or(0),
            None => piece.from,
        };
        // What a walk in mid-file begins with is the rest of a line, and was not judged.
        for (text, window) in log.lines(from.max(log.first_line()), piece.to) {
            if self.mode.has_details() && is_detail(text) {
                continue;
            }
            // All of them have been parsed before.
            let Ok(line) = &parse(text) else { continue };
            let seen = self.identities.sight_in(line, self.oracle.geometry());
            self.seconds.lines.push((seen, window));
        }
    }

    /// Waits until the newest operation in the lane has returned, if it may have been seen before
    /// tick `until`: all before it have, because an operation holds the lane's lock until then.
    ///
    /// # Errors
    /// When it does not come back while the storm goes on.
    fn returned(
        &self,
        lane: u16,
        until: Tick,
        deadline: &mut Option<Instant>,
    ) -> Result<(), NoEvidence> {
        let Some(others) = self.settle else { return Ok(()) };
        let history = self.oracle.history(lane);
        let newest = history.head();
        while history.invoked(newest) < until && !self.oracle.settled(lane, newest) {
            let deadline = deadline.get_or_insert_with(|| Instant::now() + Duration::from_secs(10));
            if Instant::now() > *deadline || !others.wait() {
                return Err(NoEvidence::Unsettled);
            }
        }
        Ok(())
    }

    /// Waits until the operations have returned that made what may have been seen of `lanes` since
    /// the piece began.
    ///
    /// # Errors
    /// When one has failed, or does not come back while the storm goes on; and when the history no
    /// longer knows.
    fn settled(
        &self,
        found: &Break,
        mut lanes: impl Iterator<Item = u16>,
    ) -> Result<(), NoEvidence> {
        if self.settle.is_none() {
            return Ok(());
        }
        let mut deadline = None;
        lanes.try_for_each(|lane| {
            self.returned(lane, found.window.to, &mut deadline)?;
            let history = self.oracle.history(lane);
            let first = history.first_at(self.since)?;
            let mut version = first;
            loop {
                if !history.known(version) {
                    history.confirm(first)?;
                    return Err(NoEvidence::Unsettled);
                }
                version += 1;
                if version > history.head() || history.invoked(version) >= found.window.to {
                    return Ok(history.confirm(first)?);
                }
            }
        })
    }

    /// The lanes that were passed from where the piece begins to the break.
    fn lanes_passed(&self, found: &Break) -> std::ops::RangeInclusive<u16> {
        let geometry = self.oracle.geometry();
        let clamp =
            |address: u64| geometry.locate(address.clamp(geometry.base, geometry.end() - 1)).0;
        let low = self.low.map_or(0, clamp);
        let high = match found.observation.map(|seen| seen.start).or(self.walk.pos()) {
            _ if found.class == Class::Truncated => geometry.lanes - 1,
            Some(address) => clamp(address).max(*self.lanes_of(found).end()),
            None => *self.lanes_of(found).end(),
        };
        low.min(high)..=high
    }

    /// Makes the example whole: the versions of all lanes that were passed, and the bytes read.
    fn gather(&mut self, found: &Break, log: &ReadLog) -> Result<(), NoEvidence> {
        let lanes = self.lanes_passed(found);
        // What an operation came to is known when it has returned.
        self.settled(found, lanes.clone())?;
        self.example.evidence.fill(self.oracle, *found, self.since, lanes);
        if !self.example.evidence.complete {
            return Err(NoEvidence::Overwritten);
        }
        if !self.stands(found) {
            return Err(NoEvidence::Redeemed);
        }
        let place = self.piece(log, found).ok_or(NoEvidence::OffTape)?;
        let (asked, reader) = (self.query(), self.reader);
        copy_read(&mut self.example, log, place, asked, reader);
        self.example.outside.clear();
        Ok(())
    }

    /// The same of a line outside of the arena: what it rests on is the bytes read, and what the next
    /// standstill will show.
    pub(super) fn gather_outside(
        &self,
        found: &Break,
        log: &ReadLog,
        witness: &mut Witness,
    ) -> Result<(), NoEvidence> {
        let place = self.piece(log, found).ok_or(NoEvidence::OffTape)?;
        witness.evidence.fill(self.oracle, *found, self.since, std::iter::empty());
        copy_read(witness, log, place, self.query(), self.reader);
        Ok(())
    }

    /// The piece of the log that a break was found in, and whether its beginning is still on it;
    /// `None` when its end is not.
    fn piece(&self, log: &ReadLog, found: &Break) -> Option<(Piece, bool)> {
        if self.mode.is_query() {
            let to = log.bytes().len();
            return Some((Piece { from: 0, to, after: false, end: false }, true));
        }
        let begun = match self.piece {
            Some((call, newline, after)) => log.behind(call, newline).map(|from| (from, after)),
            None => log.call(0).map(|_| (0, false)),
        };
        let (from, after) = begun.unwrap_or((0, false));
        let end = found.observation.is_none()
            && found.rule == Rule::WholeLines
            && log.calls().last().is_some_and(|call| call.got == 0);
        let (call, newline) = self.fed;
        let to = match found.rule {
            _ if end => log.bytes().len(),
            // Told when all lines of the call before the present one are known.
            Rule::OneInstant => match newline.checked_sub(1) {
                Some(last) => log.behind(call, last)?,
                None => log.start_of(call)?,
            },
            _ => log.behind(call, newline).unwrap_or(log.bytes().len()),
        };
        Some((Piece { from, to, after, end }, begun.is_some()))
    }

    /// The lanes that bear on a break: from the end of the line before to the line itself.
    fn lanes_of(&self, found: &Break) -> std::ops::RangeInclusive<u16> {
        let geometry = self.oracle.geometry();
        let clamp =
            |address: u64| geometry.locate(address.clamp(geometry.base, geometry.end() - 1)).0;
        let low = found.pos.or(found.observation.map(|seen| seen.start)).map_or(0, clamp);
        let high = found.missing.or(found.observation.map(|seen| seen.start)).map_or(low, clamp);
        low.min(high)..=high.max(low)
    }

    /// The mechanism that explains a break, and the kinds of operation it blames: with it excused,
    /// the line or the answer would be right. What a weaker contract tolerates is excused by that,
    /// and its mechanism is known.
    fn explain(&mut self, found: &Break) -> Option<(Mechanism, KindSet)> {
        if let Some(known) = found.known {
            let kinds = found.observation.map_or(KindSet::EMPTY, |_| self.walk.maker());
            return Some((known, kinds));
        }
        if !judged_by_line(found.rule) {
            return None;
        }
        let asked = self.query();
        let Recheck { relaxed_by, lines, .. } = &mut self.seconds;
        let way = Route { asked, origin: &self.origin, lines };
        relaxed_by.iter_mut().find_map(|(mechanism, walk)| {
            let verdict = way.retrace(walk, found);
            let right = matches!(verdict, Verdict::Right | Verdict::Tolerated(_));
            right.then(|| (*mechanism, walk.relaxed()))
        })
    }

    pub(super) fn record(&mut self, found: Break, log: &ReadLog) {
        let (mechanism, in_flight) = match self.explain(&found) {
            Some((mechanism, kinds)) => (Some(mechanism), kinds),
            None => {
                let lanes = self.lanes_of(&found);
                self.example.evidence.fill(self.oracle, found, self.since, lanes);
                (None, in_flight(&self.example.evidence, self.oracle.geometry()))
            }
        };
        let signature = Signature {
            mechanism,
            in_flight,
            mode: Some(self.mode),
            ..Signature::bare(found.class)
        };
        let at = self.begun.elapsed().as_nanos() as u64;
        let wanted = self.findings.wants(&signature);
        let gathered = wanted.then(|| self.gather(&found, log));
        let example = gathered.map(|gathered| gathered.map(|()| &mut self.example));
        self.findings.record(signature, at, example);
    }
}
