//! One reader: reads in one of several ways, and hands every complete line to the checker.
//!
//! Generic over [`MapsRead`], so that the very same code reads the real file and a simulated one.

use super::findings::{Findings, Mode, Signature};
use super::script::Reading;
use super::tally::Tally;
use super::tripwire::Tripwire;
use super::views::{View, Views};
use crate::arena::Identities;
use crate::maps::{Answer, Chunk, Lines, MapsRead, QueryFlags, parse};
use crate::oracle::{
    Break, Class, Contract, Evidence, Mechanism, Oracle, Rule, Sighting, Snapshot, Tick, Tolerated,
    Verdict, Walk, Window, in_flight,
};
use crate::seed::Stream;
use crate::space::KindSet;
use rustix::io::Errno;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Lines of a walk that are remembered; in a longer one mechanisms are no longer told.
const LONGEST_PATH: usize = 2048;

/// One call of the walk under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TapeCall {
    /// The offset asked for.
    pub offset: u64,
    /// The bytes asked for.
    pub asked: u32,
    /// The bytes delivered.
    pub got: u32,
    /// The clock around the call.
    pub window: Window,
    /// Whether a line that begins with the call's first byte may have been made in the call
    /// before: fs/seq_file.c, `seq_read_iter`, when what was left over from an earlier call uses
    /// up a call exactly, still makes the next record, and keeps it for the next call.
    pub kept: bool,
}

/// The bytes of the walk under way and the calls that delivered them, kept for the evidence.
///
/// The kernel writes straight into it. A walk too long for it begins again at the front: what is
/// lost is evidence, never a verdict.
pub struct Tape {
    bytes: Box<[u8]>,
    used: usize,
    calls: Vec<TapeCall>,
    /// Number of the first call on the tape.
    first: u32,
}

impl Tape {
    /// Bytes that fit.
    pub const BYTES: usize = 128 << 10;
    /// Calls that fit.
    pub const CALLS: usize = 1024;
    /// The most that one call may ask for.
    pub const LONGEST: usize = 16 << 10;

    fn new() -> Tape {
        Tape {
            bytes: vec![0; Tape::BYTES].into(),
            used: 0,
            calls: Vec::with_capacity(Tape::CALLS),
            first: 0,
        }
    }

    fn rewind(&mut self) {
        self.used = 0;
        self.first = 0;
        self.calls.clear();
    }

    fn room(&mut self, asked: usize) -> &mut [u8] {
        if self.used + asked > self.bytes.len() || self.calls.len() == self.calls.capacity() {
            self.first += self.calls.len() as u32;
            self.used = 0;
            self.calls.clear();
        }
        &mut self.bytes[self.used..self.used + asked]
    }

    fn next_call(&self) -> u32 {
        self.first + self.calls.len() as u32
    }

    /// A call, if it is still on the tape.
    fn call(&self, call: u32) -> Option<&TapeCall> {
        self.calls.get(call.checked_sub(self.first)? as usize)
    }
}

/// Everything a reader judges with, apart from the source and the tape.
struct Judge<'a> {
    oracle: &'a Oracle,
    identities: &'a Identities,
    findings: &'a Findings,
    tally: &'a Tally,
    contract: Contract,
    one_instant: bool,
    walk: Walk<'a>,
    snapshot: Snapshot<'a>,
    evidence: Evidence,
    /// Checkers that forgive, one a mechanism.
    forgiving: [(Mechanism, Walk<'a>); Mechanism::TRIED.len()],
    /// Where the walk began, and what was seen on it so far; no more once it is full.
    start: (Option<u64>, Window),
    path: Vec<(Sighting, Window)>,
    mode: Mode,
    reader: usize,
    begun: Instant,
    /// The address of the last query, and whether it asked for the next VMA, too.
    asked: (u64, bool),
    /// First tick of the walk.
    since: Tick,
    /// The call whose lines the snapshot collects.
    collecting: Option<(u32, Window)>,
    /// Whether a line of the window under judgement was undecided, or wrong.
    undecided: bool,
    broke: bool,
    /// How a violation waits for operations under way: the storm's way, or not at all where
    /// nothing moves while the reader judges.
    settle: Option<&'a AtomicBool>,
    /// What tells a scenario's layouts apart, and what the walk has shown so far.
    views: Option<&'a Views>,
    view: View,
}

/// A reader.
pub struct Reader<'a, M> {
    source: M,
    /// The descriptor shared with other readers.
    shared: Option<M>,
    lines: Lines,
    tape: Tape,
    answer: Answer,
    rng: Stream,
    /// Where in the file the arena's lines were in the last whole walk.
    text: (u64, u64),
    page: usize,
    tripwire: Option<Tripwire>,
    /// The nanoseconds within which this turn's calls are held up, if they are.
    trip_within: Option<usize>,
    /// The lanes in play: the first and how many.
    lanes: (u16, u16),
    /// smaps, for [`Mode::Smaps`].
    smaps: Option<M>,
    /// What a scenario demands of it.
    part: Option<&'a Reading>,
    /// The addresses most queries ask for.
    focus: Option<(u64, u64)>,
    judge: Judge<'a>,
}

/// Surroundings of a reader.
pub struct Place<'a> {
    /// What is judged against.
    pub oracle: &'a Oracle,
    /// How the arena's lines are recognised.
    pub identities: &'a Identities,
    /// Where violations go.
    pub findings: &'a Findings,
    /// Where events are counted.
    pub tally: &'a Tally,
    /// What makes an anomaly a violation.
    pub contract: Contract,
    /// The reader's number.
    pub reader: usize,
    /// When the storm began.
    pub begun: Instant,
    /// Room for versions in the evidence.
    pub versions: usize,
    /// What holds the reader up in mid-call now and then.
    pub tripwire: Option<Tripwire>,
    /// Raised when the storm is over. A violation waits, as long as it is not, until the
    /// operations it is about have returned: had one failed, nothing would be known of its lane.
    /// `None` where no operation goes on while the reader judges.
    pub settle: Option<&'a AtomicBool>,
}

impl<'a, M: MapsRead> Reader<'a, M> {
    /// A reader of `source`, and of `shared` in [`Mode::Shared`].
    pub fn new(source: M, shared: Option<M>, rng: Stream, place: Place<'a>) -> Reader<'a, M> {
        let oracle = place.oracle;
        Reader {
            source,
            shared,
            lines: Lines::default(),
            tape: Tape::new(),
            answer: Answer::default(),
            rng,
            text: (0, 1 << 14),
            page: oracle.geometry().page_size() as usize,
            tripwire: place.tripwire,
            trip_within: None,
            lanes: (0, oracle.geometry().lanes),
            smaps: None,
            part: None,
            focus: None,
            judge: Judge {
                oracle,
                identities: place.identities,
                findings: place.findings,
                tally: place.tally,
                contract: place.contract,
                one_instant: place.contract >= Contract::Snapshot,
                walk: Walk::new(oracle),
                snapshot: Snapshot::new(oracle),
                evidence: Evidence::with_room(place.versions),
                forgiving: Mechanism::TRIED
                    .map(|(mechanism, forgive)| (mechanism, Walk::forgiving(oracle, forgive))),
                start: (None, Window { from: 0, to: 0 }),
                path: Vec::with_capacity(LONGEST_PATH),
                mode: Mode::Walk,
                reader: place.reader,
                begun: place.begun,
                asked: (0, false),
                since: 0,
                collecting: None,
                undecided: false,
                broke: false,
                settle: place.settle,
                views: None,
                view: View::NOTHING,
            },
        }
    }

    /// Gives it what [`Mode::Smaps`] reads.
    #[must_use]
    pub fn with_smaps(mut self, smaps: Option<M>) -> Reader<'a, M> {
        self.smaps = smaps;
        self
    }

    /// Gives it a part in a scenario.
    #[must_use]
    pub fn with_part(mut self, part: &'a Reading, views: &'a Views) -> Reader<'a, M> {
        self.part = Some(part);
        self.text = part.offsets.unwrap_or(self.text);
        self.focus = views.focus();
        self.judge.contract = part.contract;
        self.judge.one_instant = part.one_instant || part.contract >= Contract::Snapshot;
        self.judge.views = Some(views);
        self
    }

    /// Begins a spell in which only `lanes` lanes from `first` on change.
    pub fn aim(&mut self, first: u16, lanes: u16) {
        self.lanes = (first, lanes.max(1));
    }

    /// One walk or a few queries in the given way. A walk stops behind the lanes in play; one in
    /// sixteen goes on to the end of the file.
    pub fn turn(&mut self, mode: Mode) {
        self.judge.mode = mode;
        // Every other turn is held up, within 4 to 64 microseconds: a page of maps takes some ten.
        self.trip_within = self.rng.one_in(2).then(|| 4000 << self.rng.below(5));
        let behind = self.judge.oracle.geometry().address(self.lanes.0 + self.lanes.1, 0);
        let onwards = self.part.is_none() && self.rng.one_in(16);
        let until = if onwards { u64::MAX } else { behind };
        let page = self.page;
        match mode {
            Mode::Walk => self.walk(0, until, |_| page),
            Mode::Short => {
                // Odd sizes from a few bytes to some lines; every walk has its own.
                let most = self.rng.between(8, 600);
                self.walk(0, until, |rng| rng.between(1, most) | 1);
            }
            Mode::Pread => {
                let (low, high) = self.text;
                let offset = low + self.rng.below((high - low).max(1) as usize) as u64;
                // Half of them at a page boundary of the file, as a reader of whole pages would.
                let aimed = self.part.is_some_and(|part| part.offsets.is_some());
                let whole = !aimed && self.rng.one_in(2);
                let mask = if whole { !(page as u64 - 1) } else { u64::MAX };
                self.walk(offset & mask, until, |_| page);
            }
            Mode::Shared => self.shared_turn(),
            Mode::Query => {
                if self.part.is_some() {
                    self.climb();
                }
                (0..16).for_each(|_| self.query());
            }
            Mode::Smaps => {
                if let Some(smaps) = self.smaps.take() {
                    let maps = std::mem::replace(&mut self.source, smaps);
                    self.walk(0, until, |_| page);
                    self.smaps = Some(std::mem::replace(&mut self.source, maps));
                }
            }
        }
    }

    /// Reads from `offset` to `until`, `size` giving the bytes asked for call by call.
    fn walk(&mut self, offset: u64, until: u64, size: impl Fn(&mut Stream) -> usize) {
        self.tape.rewind();
        self.lines.start(offset != 0);
        let mut at = offset;
        let mut begun = false;
        let mut kept = false;
        let mut arena_text = None;
        Tally::add(&self.judge.tally.walks, 1);
        loop {
            let first = self.part.filter(|_| at == 0).and_then(|part| part.first_read);
            let asked = first.unwrap_or_else(|| size(&mut self.rng)).min(Tape::LONGEST);
            let Some((call, got)) = self.call(at, asked, kept) else {
                return;
            };
            let window = self.tape.calls[(call - self.tape.first) as usize].window;
            if !begun {
                self.judge.begin((offset == 0).then_some(0), window);
                begun = true;
            }
            if got == 0 {
                self.judge.end(window, self.lines.at_line_end(), &self.tape);
                return;
            }
            self.feed(call, got);
            if self.judge.walk.pos().is_some_and(|pos| pos > self.judge.oracle.geometry().base) {
                arena_text.get_or_insert(at);
            }
            at += got as u64;
            if self.judge.walk.pos().is_some_and(|pos| pos >= until) {
                self.judge.finish_call();
                if offset == 0 && self.part.is_none_or(|part| part.offsets.is_none()) {
                    self.text = (arena_text.unwrap_or(0), at);
                }
                return;
            }
            kept = got == asked && self.lines.at_line_end();
        }
    }

    /// One pread onto the tape, between two looks at the clock. Gives the call's number and what
    /// was delivered; `None` when it failed.
    fn call(&mut self, offset: u64, asked: usize, kept: bool) -> Option<(u32, usize)> {
        let judge = &mut self.judge;
        let room = self.tape.room(asked);
        let clock = judge.oracle.clock();
        if let (Some(tripwire), Some(most)) = (&self.tripwire, self.trip_within) {
            tripwire.arm(&mut self.rng, most);
        }
        let from = clock.now();
        let result = self.source.pread(room, offset);
        let window = Window { from, to: clock.now() };
        Tally::add(&judge.tally.calls[judge.mode as usize], 1);
        let got = judge.outcome(result)?;
        Tally::add(&judge.tally.bytes, got as u64);
        let number = self.tape.next_call();
        self.tape.used += got;
        self.tape.calls.push(TapeCall {
            offset,
            asked: asked as u32,
            got: got as u32,
            window,
            kept,
        });
        Some((number, got))
    }

    /// Hands the last call's bytes to the checker.
    fn feed(&mut self, call: u32, got: usize) {
        let Reader { lines, tape, judge, .. } = self;
        let bytes = &tape.bytes[tape.used - got..tape.used];
        lines.feed(bytes, call, |chunk| match chunk {
            Chunk::TooLong => judge.malformed(tape, call),
            Chunk::Line(text, from) => judge.text(text, from, tape),
        });
    }

    /// One call on the shared descriptor. Somebody else may have moved the kernel's position in
    /// between, so calls are judged each by itself, and what comes before the first newline may
    /// be left over from another reader's call. With room for more than a page and what can be
    /// left over, nothing made in one call is delivered whole by another.
    fn shared_turn(&mut self) {
        let Some(shared) = self.shared.as_mut() else {
            return;
        };
        let (low, high) = self.text;
        let offset = match self.rng.below(4) {
            0 => 0,
            _ => low + self.rng.below((high - low).max(1) as usize) as u64,
        };
        // Sometimes go on where another reader's call is likely to have ended.
        let offset = if self.rng.one_in(4) { offset & !(self.page as u64 - 1) } else { offset };
        self.tape.rewind();
        self.lines.start(offset != 0);
        std::mem::swap(shared, &mut self.source);
        let called = self.call(offset, 2 * self.page, false);
        if let Some(shared) = self.shared.as_mut() {
            std::mem::swap(shared, &mut self.source);
        }
        Tally::add(&self.judge.tally.walks, 1);
        if let Some((call, got)) = called
            && got > 0
        {
            let window = self.tape.calls[0].window;
            self.judge.begin((offset == 0).then_some(0), window);
            self.feed(call, got);
            self.judge.finish_call();
        }
    }

    /// A query at random; in a scenario, mostly where something changes.
    fn query(&mut self) {
        let geometry = *self.judge.oracle.geometry();
        let address = match self.focus {
            Some((low, high)) if !self.rng.one_in(4) => {
                low + self.rng.below((high - low) as usize) as u64
            }
            _ => {
                let lane = self.lanes.0 + self.rng.below(self.lanes.1 as usize) as u16;
                let page = self.rng.below(geometry.pages as usize + 1);
                let inside = self.rng.below(geometry.page_size() as usize) as u64;
                geometry.address(lane, page) + inside
            }
        };
        let or_next = self.rng.one_in(2);
        self.ask(address, or_next);
    }

    /// Queries upwards, each at the end of the answer before, as a program does that wants the
    /// whole list. Each answer is judged by itself; between them a VMA may come twice.
    fn climb(&mut self) {
        let geometry = *self.judge.oracle.geometry();
        let end = geometry.address(self.lanes.0 + self.lanes.1, 0);
        let mut address = geometry.address(self.lanes.0, 0);
        let mut view = View::NOTHING;
        let mut gap = None;
        while address < end {
            let Some(Some(seen)) = self.ask(address, true) else { break };
            view = view | self.judge.views.map_or(View::NOTHING, |views| views.of(&seen));
            if seen.start < address && address > geometry.address(self.lanes.0, 0) {
                let over_gap = gap.is_some_and(|gap_end| seen.start < gap_end);
                let kind = if over_gap { Tolerated::GapThenVma } else { Tolerated::Twice };
                Tally::add(&self.judge.tally.tolerated[kind as usize], 1);
            }
            gap = (seen.start > address).then_some(seen.start);
            address = seen.end.max(address + 1);
        }
        if view == View::MIXED {
            Tally::add(&self.judge.tally.views[View::MIXED.index().unwrap_or(0)], 1);
        }
    }

    /// One query, judged. What it showed, unless the call failed.
    fn ask(&mut self, address: u64, or_next: bool) -> Option<Option<Sighting>> {
        let flags = if or_next { QueryFlags::CoveringOrNext } else { QueryFlags::Covering };
        let judge = &mut self.judge;
        let clock = judge.oracle.clock();
        let from = clock.now();
        let result = self.source.query(address, flags, &mut self.answer);
        let window = Window { from, to: clock.now() };
        Tally::add(&judge.tally.calls[Mode::Query as usize], 1);
        let answer = judge.outcome(result)?;
        // A VMA above the arena is judged by its addresses alone.
        let seen = answer.map(|line| judge.identities.sight(&line));
        self.tape.rewind();
        judge.since = window.from;
        judge.asked = (address, or_next);
        let verdict = judge.walk.query(address, or_next, seen.as_ref(), window);
        judge.count_window(window);
        judge.deliver(verdict, seen.as_ref(), window, &self.tape);
        judge.close_window();
        if let Some(views) = judge.views {
            judge.view = match &seen {
                Some(seen) => views.of(seen),
                None => views.of_nothing_at(address),
            };
            judge.count_view();
        }
        Some(seen)
    }
}

impl Judge<'_> {
    fn outcome<T>(&mut self, result: Result<T, Errno>) -> Option<T> {
        if result.is_err() {
            Tally::add(&self.tally.errors, 1);
        }
        result.ok()
    }

    fn begin(&mut self, pos: Option<u64>, window: Window) {
        self.count_view();
        self.walk.begin(pos, window);
        self.start = (pos, window);
        self.path.clear();
        self.since = window.from;
        self.collecting = None;
        self.undecided = false;
        self.broke = false;
    }

    /// Counts what the walk that is over showed of a scenario.
    fn count_view(&mut self) {
        if let Some(index) = std::mem::take(&mut self.view).index() {
            Tally::add(&self.tally.views[index], 1);
        }
    }

    fn text(&mut self, text: &[u8], call: u32, tape: &Tape) {
        // smaps: behind each header come lines such as `Size:  4 kB`; no header begins so.
        if self.mode == Mode::Smaps && text.first().is_some_and(u8::is_ascii_uppercase) {
            return;
        }
        let Some(made) = tape.call(call) else {
            // The call fell off the tape: a line that began in it can't be placed in time.
            self.undecided = true;
            return;
        };
        let mut window = made.window;
        let mut widened = false;
        if self.collecting.is_none_or(|(collecting, _)| collecting != call) {
            self.finish_call();
            self.collecting = Some((call, window));
            self.count_window(window);
            if made.kept {
                let Some(before) = call.checked_sub(1).and_then(|before| tape.call(before)) else {
                    self.undecided = true;
                    return;
                };
                window.from = before.window.from;
                widened = true;
            }
        }
        Tally::add(&self.tally.lines, 1);
        let Ok(line) = parse(text) else {
            return self.malformed(tape, call);
        };
        let geometry = self.oracle.geometry();
        let inside = line.start < geometry.end() && line.end > geometry.base;
        let seen = if inside {
            self.identities.sight(&line)
        } else {
            Sighting { start: line.start, end: line.end, page: crate::space::Page::FOREIGN }
        };
        let before = self.walk.pos();
        let verdict = self.walk.line(&seen, window);
        if self.path.len() < LONGEST_PATH {
            self.path.push((seen, window));
        }
        if let Some(views) = self.views {
            self.view = self.view | views.of(&seen);
        }
        // A line made in the call before is no part of this call's snapshot.
        if !widened {
            self.snapshot.line(&seen);
        }
        // Outside the arena only order is judged, and only lines that come after something.
        if inside || before.is_some() {
            self.deliver(verdict, Some(&seen), window, tape);
        }
    }

    fn malformed(&mut self, tape: &Tape, call: u32) {
        let Some(window) = tape.call(call).map(|call| call.window) else {
            return;
        };
        let verdict = self.walk.wrong(Rule::WholeLines, Class::Malformed, None, window);
        self.deliver(verdict, None, window, tape);
    }

    fn end(&mut self, window: Window, whole: bool, tape: &Tape) {
        if !whole && self.walk.pos().is_some() {
            let verdict = self.walk.wrong(Rule::WholeLines, Class::Malformed, None, window);
            self.deliver(verdict, None, window, tape);
        } else if self.walk.pos().is_some() {
            let verdict = self.walk.end(window);
            self.deliver(verdict, None, window, tape);
        }
        self.finish_call();
    }

    /// Counts a window that is about to be judged.
    fn count_window(&mut self, window: Window) {
        Tally::add(&self.tally.windows, 1);
        if window.to != window.from {
            Tally::add(&self.tally.busy, 1);
        }
    }

    fn close_window(&mut self) {
        if self.undecided {
            Tally::add(&self.tally.undecided, 1);
        }
        self.undecided = false;
        self.broke = false;
    }

    /// All lines of the call under way have been judged one by one; now together.
    fn finish_call(&mut self) {
        let Some((_, window)) = self.collecting.take() else {
            return;
        };
        if !self.undecided && !self.broke {
            match self.snapshot.finish(window) {
                None => {
                    self.undecided |= self.one_instant;
                }
                Some(one_instant) => {
                    Tally::add(&self.tally.tried_instants, 1);
                    if !one_instant {
                        self.wrong_instant(window);
                    }
                }
            }
        }
        self.snapshot.begin();
        self.close_window();
    }

    fn wrong_instant(&mut self, window: Window) {
        let Verdict::Wrong(found) =
            self.walk.wrong(Rule::OneInstant, Class::Disorder, None, window)
        else {
            return;
        };
        Tally::add(&self.tally.broken[Rule::OneInstant as usize], 1);
        if self.one_instant {
            self.record(found, None);
        }
    }

    fn deliver(&mut self, verdict: Verdict, seen: Option<&Sighting>, window: Window, tape: &Tape) {
        Tally::add(&self.tally.checked, 1);
        match verdict {
            Verdict::Right => {}
            Verdict::Tolerated(kind) => self.tolerated(kind, seen, window, tape),
            Verdict::Undecided => {
                self.undecided = true;
                self.walk.resume(seen.map(|seen| seen.end), window);
            }
            Verdict::Wrong(found) => {
                self.broke = true;
                if self.certain(&found) {
                    Tally::add(&self.tally.broken[found.rule as usize], 1);
                    self.record(found, Some(tape));
                } else {
                    self.undecided = true;
                }
                // What a line that never was says of its end is worth nothing.
                let trusted = seen.filter(|_| found.rule != Rule::Existence);
                self.walk.resume(trusted.map(|seen| seen.end), window);
                self.since = window.from;
            }
        }
    }

    fn tolerated(&mut self, kind: Tolerated, seen: Option<&Sighting>, window: Window, tape: &Tape) {
        Tally::add(&self.tally.tolerated[kind as usize], 1);
        Tally::add(&self.tally.broken[Rule::NeverBack as usize], 1);
        if self.contract >= Contract::Documented
            && let Verdict::Wrong(found) =
                self.walk.wrong(Rule::NeverBack, Class::Disorder, seen, window)
        {
            self.record(found, Some(tape));
        }
    }

    /// Gathers the evidence, and waits for operations under way in its lanes: one that fails
    /// leaves a layout that nobody predicted, and a violation that rests on it is none.
    fn certain(&mut self, found: &Break) -> bool {
        let lanes = self.lanes_of(found);
        self.evidence.fill(self.oracle, *found, self.since, lanes.clone());
        let Some(over) = self.settle else { return true };
        let deadline = Instant::now() + Duration::from_secs(10);
        let records = self.evidence.versions.iter().filter(|record| lanes.contains(&record.lane));
        for record in records {
            while !self.oracle.settled(record.lane, record.version) {
                let gone = over.load(std::sync::atomic::Ordering::Relaxed);
                if gone || Instant::now() > deadline {
                    return false;
                }
                std::thread::yield_now();
            }
            let history = self.oracle.history(record.lane);
            let known = history.known(record.version);
            if !known || history.confirm(record.version).is_err() {
                return false;
            }
        }
        true
    }

    /// The lanes that bear on a break: from the end of the line before to the line itself.
    fn lanes_of(&self, found: &Break) -> std::ops::RangeInclusive<u16> {
        let geometry = self.oracle.geometry();
        let clamp =
            |address: u64| geometry.locate(address.clamp(geometry.base, geometry.end() - 1)).0;
        let low = found.pos.or(found.sighting.map(|seen| seen.start)).map_or(0, clamp);
        let high = found.missing.or(found.sighting.map(|seen| seen.start)).map_or(low, clamp);
        low.min(high)..=high.max(low)
    }

    /// The mechanism that explains a break, and the kinds of operation it blames: with it
    /// forgiven, the line or the answer would be right.
    fn explain(&mut self, found: &Break) -> Option<(Mechanism, KindSet)> {
        let told = matches!(found.rule, Rule::NoHole | Rule::Existence | Rule::Order);
        if !told || self.path.len() == LONGEST_PATH {
            return None;
        }
        for (mechanism, walk) in &mut self.forgiving {
            let verdict = match self.mode {
                Mode::Query => {
                    let (address, or_next) = self.asked;
                    walk.query(address, or_next, found.sighting.as_ref(), found.window)
                }
                _ => {
                    walk.begin(self.start.0, self.start.1);
                    let mut last = Verdict::Right;
                    for (seen, window) in &self.path {
                        if matches!(last, Verdict::Wrong(_) | Verdict::Undecided) {
                            walk.resume(walk.pos(), *window);
                        }
                        last = walk.line(seen, *window);
                    }
                    last
                }
            };
            if matches!(verdict, Verdict::Right | Verdict::Tolerated(_)) {
                return Some((*mechanism, walk.forgave()));
            }
        }
        None
    }

    fn record(&mut self, found: Break, tape: Option<&Tape>) {
        if self.evidence.found != found {
            let lanes = self.lanes_of(&found);
            self.evidence.fill(self.oracle, found, self.since, lanes);
        }
        let (mechanism, in_flight) = match self.explain(&found) {
            Some((mechanism, kinds)) => (Some(mechanism), kinds),
            None => (None, in_flight(&self.evidence, self.oracle.geometry())),
        };
        let signature =
            Signature { class: found.class, mechanism, in_flight, mode: Some(self.mode) };
        let at = self.begun.elapsed().as_nanos() as u64;
        let (evidence, reader) = (&mut self.evidence, self.reader);
        self.findings.record(signature, at, |example| {
            std::mem::swap(&mut example.evidence, evidence);
            example.reader = reader;
            example.bytes.clear();
            example.calls.clear();
            if let Some(tape) = tape {
                example.bytes.extend_from_slice(&tape.bytes[..tape.used]);
                example.calls.extend_from_slice(&tape.calls);
            }
        });
    }
}
