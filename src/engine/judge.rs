//! What a reader judges with: lines and answers in, violations with their evidence out.

use super::layout_marks::{LayoutMarks, View};
use super::modes::Mode;
use super::read_log::ReadLog;
use super::reader::Place;
use super::recheck::Recheck;
use super::settle::Settle;
use super::signature::Signature;
use super::surroundings::{Lacks, Surroundings};
use super::tally::Tally;
use super::violations::Findings;
use super::witness::Witness;
use crate::kernel::{Ballast, Identities, is_detail, parse};
use crate::model::{KindSet, Observation};
use crate::oracle::{
    Break, Class, Contract, Cursor, LineCache, Mechanism, Oracle, Rule, Shown, Snapshot, Tick,
    Tolerated, Verdict, Version, Walk, Window,
};
use rustix::io::Errno;
use std::time::Instant;

/// Lanes that are asked whether an operation is in flight.
const ASKED_LANES: u16 = 16;

/// Everything a reader judges with, apart from the source and the log.
pub(super) struct Judge<'a> {
    pub(super) oracle: &'a Oracle,
    pub(super) identities: &'a Identities,
    pub(super) findings: &'a Findings,
    pub(super) tally: &'a Tally,
    pub(super) contract: Contract,
    /// Whether a call whose lines share no instant is a violation.
    pub(super) one_instant: bool,
    /// Whether that is so because the file is read under mmap_lock, whatever the contract: then no
    /// mechanism of the locks of single VMAs explains it.
    pub(super) at_once: bool,
    /// Whether the calls of this turn are tried for a common instant.
    pub(super) together: bool,
    pub(super) walk: Walk<'a>,
    snapshot: Snapshot<'a>,
    /// The violation under way; exchanged for an empty one when it is kept.
    pub(super) example: Witness,
    /// The checkers that go the way of a violation once more.
    pub(super) seconds: Recheck<'a>,
    /// The checker as it was where the piece begins, or what of it is in the log; once the walk has
    /// come up to the arena, as it was there.
    pub(super) origin: Walk<'a>,
    /// The line behind which that was: its call, and which of the call's newlines ends it. Of what
    /// lies below the arena all that counts is where it ends and when, so whoever goes the way of a
    /// violation again begins there: with many threads most lines lie below.
    pub(super) entered: Option<(u32, u32)>,
    pub(super) mode: Mode,
    pub(super) reader: usize,
    pub(super) begun: Instant,
    /// The address of the last query, and whether it asked for the next VMA, too.
    pub(super) asked: (u64, bool),
    /// First tick of the walk, or of the piece of it since nothing was held against what came
    /// before.
    pub(super) since: Tick,
    /// The call whose bytes are being fed, and how many newlines of it were passed: the number of
    /// the newline that ends the line under judgement.
    pub(super) fed: (u32, u32),
    /// The line after which the piece began (the call with its newline, and which of the call's
    /// newlines it is), and whether the piece goes on from its end. `None`: with the walk.
    pub(super) piece: Option<(u32, u32, bool)>,
    /// The lowest address that the piece says something of.
    pub(super) low: Option<u64>,
    /// Text that has to come, and what of it lies outside of the arena; without the former each
    /// line is judged by the rules.
    pub(super) cache: Option<LineCache>,
    outside: &'a Surroundings,
    /// For each lane the last version that was counted as a changing place.
    places: Box<[Version]>,
    /// The call whose lines the snapshot collects.
    collecting: Option<(u32, Window)>,
    /// Whether a line of the window under judgement was undecided, or wrong.
    undecided: bool,
    broke: bool,
    /// How a violation waits for operations under way: the storm's way, or not at all where
    /// nothing moves while the reader judges.
    pub(super) settle: Option<&'a dyn Settle>,
    /// What tells a scenario's layouts apart, and what the walk has shown so far.
    pub(super) views: Option<&'a LayoutMarks>,
    pub(super) view: View,
}

impl<'a> Judge<'a> {
    /// A judge for one reader; everything it will ever need is allocated here.
    pub(super) fn new(place: &Place<'a>) -> Judge<'a> {
        let oracle = place.oracle;
        Judge {
            oracle,
            identities: place.identities,
            findings: place.findings,
            tally: place.tally,
            contract: place.contract,
            one_instant: place.contract >= Contract::Snapshot,
            at_once: false,
            together: true,
            walk: Walk::new(oracle),
            snapshot: Snapshot::new(oracle),
            example: Witness::with_room(place.versions),
            seconds: Recheck::new(oracle),
            origin: Walk::new(oracle),
            entered: None,
            mode: Mode::Walk,
            reader: place.reader,
            begun: place.begun,
            asked: (0, false),
            since: 0,
            fed: (0, 0),
            piece: None,
            low: None,
            cache: Some(LineCache::new(oracle.geometry())),
            outside: place.outside,
            places: vec![0; oracle.geometry().lanes as usize].into(),
            collecting: None,
            undecided: false,
            broke: false,
            settle: place.settle,
            views: None,
            view: View::NOTHING,
        }
    }
}

impl Judge<'_> {
    pub(super) fn outcome<T>(&mut self, result: Result<T, Errno>) -> Option<T> {
        Tally::add(&self.tally.returned, 1);
        if result.is_err() {
            Tally::add(&self.tally.errors, 1);
        }
        result.ok()
    }

    pub(super) fn begin(&mut self, pos: Option<u64>, window: Window) {
        self.count_view();
        self.walk.begin(pos, window);
        self.origin.begin(pos, window);
        self.entered = None;
        self.since = window.from;
        self.piece = None;
        self.low = pos;
        self.collecting = None;
        self.undecided = false;
        self.broke = false;
    }

    /// The log begins again at the front, and with it what can be gone through again.
    pub(super) fn rewound(&mut self) {
        self.origin.follow(&self.walk);
    }

    /// Counts what the walk that is over showed of a scenario.
    pub(super) fn count_view(&mut self) {
        if let Some(index) = std::mem::take(&mut self.view).index() {
            Tally::add(&self.tally.views[index], 1);
        }
    }

    /// Judges a line, which began in call number `call`.
    pub(super) fn text(&mut self, text: &[u8], call: u32, log: &ReadLog) {
        if self.mode.has_details() && is_detail(text) {
            return;
        }
        let Some(made) = log.call(call) else {
            // A line that began in a call that left the log.
            return self.lost(log);
        };
        let mut window = made.window;
        let mut widened = false;
        if self.collecting.is_none_or(|(collecting, _)| collecting != call) {
            self.open(call, window, log);
            if made.kept {
                let Some(before) = call.checked_sub(1).and_then(|before| log.call(before)) else {
                    return self.lost(log);
                };
                window.from = before.window.from;
                widened = true;
            }
        }
        Tally::add(&self.tally.lines, 1);
        // By reference: to move it would wait for its parts to be written.
        let parsed = parse(text);
        let Ok(line) = &parsed else {
            return self.malformed(log, call);
        };
        let seen = self.identities.sight_in(line, self.oracle.geometry());
        let before = self.walk.pos();
        let reached = self.walk.reached();
        self.low.get_or_insert(seen.start);
        let verdict = self.walk.line(&seen, window);
        let outside = !self.oracle.geometry().overlaps(seen.start, seen.end);
        self.count_place(reached, before, &seen);
        self.show(&seen, widened);
        // By itself a line outside of the arena says nothing but that it comes after another.
        if !outside || before.is_some() {
            self.deliver(verdict, Some(&seen), window, log);
        }
        if matches!(verdict, Verdict::Right | Verdict::Tolerated(_)) {
            self.hold_against_standstill(before, &seen, Some(text), window, log);
        }
    }

    /// Holds a line or an answer against what the last standstill had outside of the arena. `before` is
    /// where the walk stood; `text` is all of the line, and nothing of an answer.
    #[inline]
    pub(super) fn hold_against_standstill(
        &mut self,
        before: Option<u64>,
        seen: &Observation,
        text: Option<&[u8]>,
        window: Window,
        log: &ReadLog,
    ) {
        let geometry = self.oracle.geometry();
        if before.is_some_and(|pos| pos >= geometry.base) && seen.end <= geometry.end() {
            return;
        }
        let shown = Shown { start: seen.start, end: seen.end, text };
        let mut lacks = Lacks::new();
        // Of more than there is room for, the first are as good.
        let known = self.outside.now().lacks(before, &shown, |lack| {
            let _ = lacks.try_push(lack);
        });
        // The upper part of the ballast comes and goes between two standstills.
        let stranger = || !text.is_some_and(Ballast::shows_in);
        if !known && !geometry.overlaps(seen.start, seen.end) && stranger() {
            Tally::add(&self.tally.strangers, 1);
        }
        self.doubt(before, Some(seen), &lacks, window, log);
    }

    /// Keeps the doubt that a walk which stood at `before` lacks lines of the last standstill.
    fn doubt(
        &mut self,
        before: Option<u64>,
        seen: Option<&Observation>,
        lacks: &Lacks,
        window: Window,
        log: &ReadLog,
    ) {
        if lacks.is_empty() {
            return;
        }
        let (rule, class) = match seen {
            Some(_) => (Rule::NoHole, Class::Hole),
            None => (Rule::WholeLines, Class::Truncated),
        };
        let Verdict::Wrong(found) = self.walk.wrong(rule, class, seen, window) else { return };
        let found = Break { pos: before, lane: None, ..found };
        let (mode, in_flight) = (Some(self.mode), KindSet::EMPTY);
        let signature = Signature { in_flight, mode, ..Signature::bare(class) };
        let at = self.begun.elapsed().as_nanos() as u64;
        self.outside.doubt(signature, found, lacks, at, |witness| {
            self.gather_outside(&found, log, witness)
        });
        // What comes is judged as a piece of its own, so that each piece has one first line to blame.
        self.resume(seen.map(|seen| seen.end), window);
    }

    /// The first line that began in call number `call` is about to be judged.
    fn open(&mut self, call: u32, window: Window, log: &ReadLog) {
        self.finish_call(log);
        self.collecting = Some((call, window));
        self.count_window(window);
    }

    /// Takes the lines that `text` begins with as long as they are those that have to come, and
    /// gives their bytes. `text` is what call number `call` delivered behind the line judged last.
    /// For each stretch of lines in one lane, or on one side of the arena, `passed` is given its
    /// bytes and where the walk stands behind it.
    pub(super) fn take_expected(
        &mut self,
        text: &[u8],
        call: u32,
        log: &ReadLog,
        mut passed: impl FnMut(usize, Option<u64>),
    ) -> usize {
        // In smaps other lines stand between.
        let cache = if self.mode.has_details() { None } else { self.cache.take() };
        let Some(mut cache) = cache else { return 0 };
        let begun = self.collecting.filter(|(collecting, _)| *collecting == call);
        let window = match begun {
            Some((_, window)) => Some(window),
            // The first line of some calls may have been made in the call before.
            None => log.call(call).filter(|made| !made.kept).map(|made| made.window),
        };
        let (mut lines, mut at) = (0, 0);
        if let Some(window) = window {
            let outside = self.outside.now();
            while at < text.len()
                && let Some(taken) =
                    cache.take(&mut self.walk, self.identities, &outside, &text[at..], window)
            {
                if begun.is_none() && lines == 0 {
                    self.open(call, window, log);
                }
                if self.together || self.views.is_some() {
                    cache.lines(&taken, &outside).for_each(|seen| self.show(seen, false));
                }
                (lines, at) = (lines + taken.count(), at + taken.bytes);
                self.fed.1 += taken.count() as u32;
                let pos = self.walk.pos();
                if pos.is_some_and(|pos| pos <= self.oracle.geometry().base) {
                    self.origin.follow(&self.walk);
                    self.entered = Some((self.fed.0, self.fed.1 - 1));
                }
                passed(taken.bytes, pos);
            }
        }
        self.cache = Some(cache);
        Tally::add(&self.tally.lines, lines as u64);
        Tally::add(&self.tally.checked, lines as u64);
        at
    }

    /// Takes note of what a line shows; `earlier` tells whether it may have been made in the call
    /// before, and so is no part of this call's snapshot.
    #[inline]
    fn show(&mut self, seen: &Observation, earlier: bool) {
        if let Some(views) = self.views {
            self.view = self.view | views.of(seen);
        }
        if self.together && !earlier {
            self.snapshot.line(seen);
        }
    }

    /// A line was passed that can't be placed in time, because its call left the log. It can't
    /// be judged, and what comes next can't be held against it.
    fn lost(&mut self, log: &ReadLog) {
        self.undecided = true;
        // What comes next was made in calls that are in the log.
        if let Some(first) = log.calls().first() {
            self.resume(None, first.window);
        }
    }

    pub(super) fn malformed(&mut self, log: &ReadLog, call: u32) {
        let Some(window) = log.call(call).map(|call| call.window) else {
            return;
        };
        let verdict = self.walk.wrong(Rule::WholeLines, Class::Malformed, None, window);
        self.deliver(verdict, None, window, log);
    }

    pub(super) fn end(&mut self, window: Window, whole: bool, log: &ReadLog) {
        if !whole && self.walk.pos().is_some() {
            let verdict = self.walk.wrong(Rule::WholeLines, Class::Malformed, None, window);
            self.deliver(verdict, None, window, log);
        } else if self.walk.pos().is_some() {
            let (before, verdict) = (self.walk.pos(), self.walk.end(window));
            self.deliver(verdict, None, window, log);
            if let (Some(pos), Verdict::Right) = (before, verdict) {
                let mut lacks = Lacks::new();
                self.outside.now().rest(pos, |lack| {
                    let _ = lacks.try_push(lack);
                });
                self.doubt(before, None, &lacks, window, log);
            }
        }
        self.finish_call(log);
    }

    /// Counts calls that have come back, and the bytes they delivered.
    pub(super) fn count_calls(&self, calls: u64, bytes: u64) {
        Tally::add(&self.tally.calls[self.mode as usize], calls);
        Tally::add(&self.tally.bytes, bytes);
    }

    /// Counts a window that is about to be judged.
    pub(super) fn count_window(&mut self, window: Window) {
        Tally::add(&self.tally.windows, 1);
        if window.to != window.from {
            Tally::add(&self.tally.busy, 1);
        } else if self.stands_still() {
            Tally::add(&self.tally.held, 1);
        }
    }

    /// Whether an operation is in flight. Of very many lanes only the first are asked.
    fn stands_still(&self) -> bool {
        let unsettled = |lane| !self.oracle.settled(lane, self.oracle.history(lane).head());
        (0..self.oracle.geometry().lanes.min(ASKED_LANES)).any(unsettled)
    }

    /// Counts the line judged just now if it lies at a changing place. `reached` and `before` tell
    /// where the walk stood before it.
    ///
    /// Each change counts once: one that is in flight while its thread has lost the CPU has a
    /// changing place for as long as that lasts, in every walk, and nothing moves there.
    #[inline]
    fn count_place(&mut self, reached: Cursor, before: Option<u64>, seen: &Observation) {
        if let Some((lane, made)) = self.walk.changing_place(reached, before, seen)
            && made > self.places[lane as usize]
        {
            self.places[lane as usize] = made;
            Tally::add(&self.tally.places, 1);
        }
    }

    pub(super) fn close_window(&mut self) {
        if self.undecided {
            Tally::add(&self.tally.undecided, 1);
        }
        self.undecided = false;
        self.broke = false;
    }

    /// All lines of the call under way have been judged one by one; now together.
    pub(super) fn finish_call(&mut self, log: &ReadLog) {
        let Some((_, window)) = self.collecting.take() else {
            return;
        };
        if self.together && !self.undecided && !self.broke {
            match self.snapshot.finish(window) {
                None => {
                    self.undecided |= self.one_instant;
                }
                Some(one_instant) => {
                    Tally::add(&self.tally.tried_instants, 1);
                    if !one_instant {
                        self.wrong_instant(window, log);
                    }
                }
            }
        }
        self.snapshot.begin();
        self.close_window();
    }

    fn wrong_instant(&mut self, window: Window, log: &ReadLog) {
        let Verdict::Wrong(found) =
            self.walk.wrong(Rule::OneInstant, Class::Disorder, None, window)
        else {
            return;
        };
        // All lines of the call are right by themselves, or it would not have been tried.
        let known = (!self.at_once).then_some(Mechanism::LineByLine);
        let found = Break { known, ..found };
        // Had an operation failed that was under way, nothing would be known of its lane.
        if !self.certain(&found, log) {
            self.undecided = true;
            return;
        }
        Tally::add(&self.tally.broken[Rule::OneInstant as usize], 1);
        if self.one_instant {
            self.record(found, log);
        }
    }

    pub(super) fn deliver(
        &mut self,
        verdict: Verdict,
        seen: Option<&Observation>,
        window: Window,
        log: &ReadLog,
    ) {
        Tally::add(&self.tally.checked, 1);
        match verdict {
            Verdict::Right => {}
            Verdict::Tolerated(kind) => self.tolerated(kind, seen, window, log),
            Verdict::Undecided => {
                self.undecided = true;
                self.resume(seen.map(|seen| seen.end), window);
            }
            Verdict::Wrong(found) => {
                self.broke = true;
                if self.certain(&found, log) {
                    Tally::add(&self.tally.broken[found.rule as usize], 1);
                    self.record(found, log);
                } else {
                    self.undecided = true;
                }
                // What a line that never was says of its end is worth nothing.
                let trusted = seen.filter(|_| found.rule != Rule::Existence);
                self.resume(trusted.map(|seen| seen.end), window);
            }
        }
    }

    /// Goes on as if the walk had begun after the line just judged.
    fn resume(&mut self, pos: Option<u64>, window: Window) {
        self.walk.resume(pos, window);
        self.origin.begin(pos, window);
        self.entered = None;
        self.since = window.from;
        self.low = pos;
        self.piece = Some((self.fed.0, self.fed.1, pos.is_some()));
    }

    fn tolerated(
        &mut self,
        kind: Tolerated,
        seen: Option<&Observation>,
        window: Window,
        log: &ReadLog,
    ) {
        Tally::add(&self.tally.tolerated[kind as usize], 1);
        Tally::add(&self.tally.broken[Rule::NeverBack as usize], 1);
        if let Some(seen) = seen.filter(|_| self.contract >= Contract::Documented) {
            Tally::add(&self.tally.forbidden[kind as usize], 1);
            // A call that is wrong already is not tried as a whole, where the same locks explain
            // both; one that mmap_lock should have kept whole is.
            self.broke |= !self.at_once;
            self.record(self.walk.forbidden(kind, seen, window), log);
        }
    }
}
