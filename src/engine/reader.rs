//! One reader: reads in one of several ways, and hands every complete line to the checker.
//!
//! Generic over [`MapsRead`], so that the very same code reads the real file and a simulated one.

use super::delay::{Aim, DelayTimer};
use super::judge::Judge;
use super::layout_marks::{LayoutMarks, View};
use super::modes::{Course, Mode, Parser, Reads};
use super::offsets::{CallTimes, OffsetPredictor, TailBudget};
use super::read_log::{ReadCall, ReadLog};
use super::script::Reading;
use super::sources::Sources;
use super::tally::Tally;
use super::violations::Findings;
use crate::kernel::{Answer, Chunk, Identities, Line, Lines, MapsRead, QueryFlags};
use crate::model::{Geometry, Observation};
use crate::oracle::{Contract, Oracle, Outside, Tolerated, Verdict, Window};
use crate::seed::Stream;
use parking_lot::RwLock;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Where no call has to show one instant, the turns of which one is tried for it, to tell how often
/// calls do: all lines of a call are gone through once more for that, which costs a third of all
/// judging.
const ONE_TRIED_IN: usize = 64;

/// Walks that are read before the first of them is judged. What judging needs of a CPU's caches the
/// kernel has turned out by the end of a call, and the other way round.
const WALKS: usize = 8;

/// Calls that are counted together, at most: those of a walk in small pieces are many, and whoever
/// asks while it is under way, or hangs, is to be told of them.
const UNCOUNTED: u64 = 64;

/// The bytes that the calls of a walk ask for.
#[derive(Clone, Copy)]
enum Ask {
    /// So many.
    Always(usize),
    /// An odd number up to so many, each call another.
    UpTo(usize),
    /// So many, in one call and no more.
    Once(usize),
}

/// A walk that was read, and how far it is judged.
struct WalkBuffer {
    log: ReadLog,
    /// Where it began.
    offset: u64,
    /// Whether its calls are tried for a common instant.
    together: bool,
    /// Whether its judging has begun; the first call in the log that is not judged yet, and where
    /// its bytes begin.
    begun: bool,
    unjudged: (u32, usize),
    end: End,
}

/// How a walk came to its end.
#[derive(Clone, Copy)]
enum End {
    /// A call failed.
    Failed,
    /// A call delivered nothing.
    OfFile(Window),
    /// It made the only call it was to make.
    OfCall,
    /// It came behind the lanes in play. Where in the file the call was that came to the arena, and
    /// where the last one ended.
    BehindLanes(u64, u64),
}

impl WalkBuffer {
    fn new() -> WalkBuffer {
        WalkBuffer {
            log: ReadLog::new(),
            offset: 0,
            together: true,
            begun: false,
            unjudged: (0, 0),
            end: End::Failed,
        }
    }

    /// Begins a walk at `offset`.
    fn wind(&mut self, offset: u64, together: bool) {
        self.log.rewind();
        (self.offset, self.together) = (offset, together);
        (self.begun, self.unjudged, self.end) = (false, (0, 0), End::Failed);
    }
}

/// Room for answers of PROCMAP_QUERY.
struct Answers {
    named: Answer,
    nameless: Answer,
}

impl Answers {
    /// Asks for the VMA at `address`. One with a name that has no room is none of the arena's, of
    /// which all names are short: only its addresses are judged, so it is asked for once more
    /// without the name. ENAMETOOLONG where a VMA of the arena has come between the two questions.
    fn ask<M: MapsRead>(
        &mut self,
        source: &mut M,
        address: u64,
        flags: QueryFlags,
        geometry: &Geometry,
    ) -> Result<Option<Line<'_>>, Errno> {
        let answered = source.query(address, flags, &mut self.named);
        if !matches!(answered, Err(Errno::NAMETOOLONG)) {
            return answered;
        }
        let answered = source.query(address, flags, &mut self.nameless)?;
        match answered.filter(|line| geometry.overlaps(line.start, line.end)) {
            Some(_) => Err(Errno::NAMETOOLONG),
            None => Ok(answered),
        }
    }
}

/// A reader.
pub struct Reader<'a, M> {
    sources: Sources<M>,
    lines: Lines,
    /// The walks of this turn: so many were begun, the last of which may be under way, and so many
    /// of these are judged.
    buffers: [WalkBuffer; WALKS],
    begun: usize,
    judged: usize,
    answers: Answers,
    rng: Stream,
    /// Where in the file the arena's lines were in the last whole walk.
    text: (u64, u64),
    page: usize,
    delay_timer: Option<DelayTimer>,
    /// Whether this turn's calls are held up.
    held_up: bool,
    /// When a scenario's are, in nanoseconds from and to, and how that is found out.
    moment: (usize, usize),
    aim: Aim,
    /// Where the lanes in play are, and whether this turn stops just before them.
    approach: OffsetPredictor,
    stops: bool,
    beyond: TailBudget,
    /// The lanes in play: the first and how many.
    lanes: (u16, u16),
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
    /// The lines outside of the arena at the last standstill.
    pub outside: &'a RwLock<Outside>,
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
    pub delay_timer: Option<DelayTimer>,
    /// Raised when the storm is over. A violation waits, as long as it is not, until the
    /// operations it is about have returned: had one failed, nothing would be known of its lane.
    /// `None` where no operation goes on while the reader judges.
    pub settle: Option<&'a AtomicBool>,
}

impl<'a, M: MapsRead> Reader<'a, M> {
    /// A reader of `source`, and of `shared` in [`Mode::Shared`].
    pub fn new(source: M, shared: Option<M>, rng: Stream, place: Place<'a>) -> Reader<'a, M> {
        Reader::from_sources(Sources::of_maps(source, shared), rng, place)
    }

    /// A reader of `sources`. It does not read in a way of which the source is not among them.
    pub(super) fn from_sources(
        sources: Sources<M>,
        rng: Stream,
        place: Place<'a>,
    ) -> Reader<'a, M> {
        let oracle = place.oracle;
        let judge = Judge::new(&place);
        let mut reader = Reader {
            sources,
            lines: Lines::default(),
            buffers: std::array::from_fn(|_| WalkBuffer::new()),
            begun: 0,
            judged: 0,
            answers: Answers { named: Answer::default(), nameless: Answer::nameless() },
            rng,
            text: (0, 1 << 14),
            page: oracle.geometry().page_size() as usize,
            delay_timer: place.delay_timer,
            held_up: false,
            moment: (0, 0),
            aim: Aim::default(),
            approach: OffsetPredictor::default(),
            stops: false,
            beyond: TailBudget::default(),
            lanes: (0, oracle.geometry().lanes),
            part: None,
            focus: None,
            judge,
        };
        reader.aim(0, oracle.geometry().lanes);
        reader
    }

    /// Makes every call have to show one instant, whatever the contract.
    #[must_use]
    pub fn with_one_instant(mut self, one_instant: bool) -> Reader<'a, M> {
        self.judge.one_instant |= one_instant;
        self.judge.at_once = one_instant;
        self
    }

    /// Makes it judge each line by the rules, also where its text is the one that has to come: the
    /// verdicts are the same, and take longer.
    #[must_use]
    pub fn without_cache(mut self) -> Reader<'a, M> {
        self.judge.cache = None;
        self
    }

    /// Gives it a part in a scenario.
    #[must_use]
    pub fn with_part(mut self, part: &'a Reading, views: &'a LayoutMarks) -> Reader<'a, M> {
        self.part = Some(part);
        // What begins above the lanes says nothing of them.
        self.text = part.offsets.unwrap_or((0, part.text.1));
        self.focus = views.focus();
        self.judge.contract = part.contract;
        self.judge.one_instant = part.one_instant || part.contract >= Contract::Snapshot;
        self.judge.at_once = part.one_instant;
        self.judge.views = Some(views);
        self
    }

    /// Begins a slice in which only `lanes` lanes from `first` on change.
    pub fn aim(&mut self, first: u16, lanes: u16) {
        self.lanes = (first, lanes.max(1));
        let address = |lane| self.judge.oracle.geometry().address(lane, 0);
        self.approach.aim(address(first)..address(first + self.lanes.1));
    }

    /// Some walks or queries in the given way. A walk stops behind the lanes in play; some go on to
    /// the end of the file, as many as cost little (`TailBudget`).
    pub fn turn(&mut self, mode: Mode) {
        let Some(mut source) = self.sources.take(mode) else { return };
        self.judge.mode = mode;
        match mode.reads() {
            Reads::Text(course, _) => self.walk_turn(&mut source, course),
            Reads::Answers => self.query_turn(&mut source),
        }
        self.sources.put(mode, source);
        self.aim.saw(self.judge.view == View::MIXED);
    }

    /// Some walks.
    fn walk_turn(&mut self, source: &mut M, course: Course) {
        let page = self.page;
        let later = self.part.and_then(|part| part.later_reads);
        match course {
            Course::Pages => {
                // In a scenario each walk says how the next one is best held up; and where the lanes
                // in play are is only known once a walk to them is judged.
                let known = self.delay_timer.is_none() || self.approach.begins().is_some();
                let many = self.part.is_none() && known && !self.judge.mode.has_details();
                let walks = if many { WALKS } else { 1 };
                self.walks(source, walks, 0, Ask::Always(later.unwrap_or(page)));
            }
            Course::Pieces => {
                // Odd sizes from a few bytes to some lines; every walk has its own.
                let most = self.rng.between(8, 600);
                self.walks(source, 1, 0, later.map_or(Ask::UpTo(most), Ask::Always));
            }
            Course::Middle => {
                let (low, high) = self.text;
                let close = self.approach.begins().filter(|_| !self.rng.one_in(3));
                if let (None, Some((entry, span))) = (self.part, close) {
                    // From the last byte before the lines in play: the first whole line is the
                    // first of them.
                    return self.walks(source, 1, entry - 1, Ask::Always(span.min(page)));
                }
                let offset = low + self.rng.below((high - low).max(1) as usize) as u64;
                // Half of them at a page boundary of the file, as a reader of whole pages would.
                let aimed = self.part.is_some_and(|part| part.offsets.is_some());
                let whole = !aimed && self.rng.one_in(2);
                let mask = if whole { !(page as u64 - 1) } else { u64::MAX };
                self.walks(source, 1, offset & mask, Ask::Always(later.unwrap_or(page)));
            }
            Course::Shared => self.shared_turn(source),
        }
    }

    /// Some queries.
    fn query_turn(&mut self, source: &mut M) {
        if self.part.is_some() {
            self.climb(source);
        }
        (0..16).for_each(|_| self.query(source));
    }

    /// Reads so many walks from `offset` on, and judges them.
    fn walks(&mut self, source: &mut M, walks: usize, offset: u64, ask: Ask) {
        self.read(source, walks, offset, ask);
        self.judge_all();
    }

    /// Whether the calls of the walks to come are tried for a common instant.
    fn tries_instant(&mut self) -> bool {
        self.judge.one_instant || self.part.is_some() || self.rng.one_in(ONE_TRIED_IN)
    }

    /// Draws how the next walk is held up.
    #[inline(never)]
    fn draw(&mut self) {
        // Most walks are held up; the others tell how long a call takes.
        self.held_up = !self.rng.one_in(4);
        if self.held_up && self.part.is_some() {
            self.moment = self.aim.draw(&mut self.rng);
        }
        let by_pages = self.judge.mode.reads() == Reads::Text(Course::Pages, Parser::Lines);
        self.stops = self.part.is_none() && by_pages && !self.rng.one_in(4);
    }

    /// Reads so many walks from `offset` on.
    ///
    /// What goes on between two calls is kept apart from all that is seldom needed, and nothing is
    /// counted or drawn there that can be for all of the walks: every line of code and of data that
    /// is gone through takes the place of one of the kernel's in the CPU's caches.
    #[inline(never)]
    fn read(&mut self, source: &mut M, walks: usize, offset: u64, ask: Ask) {
        let together = self.tries_instant();
        let (oracle, details) = (self.judge.oracle, self.judge.mode.has_details());
        let (clock, base) = (oracle.clock(), oracle.geometry().base);
        let behind = self.approach.lanes().end;
        let holds = self.delay_timer.is_some();
        let longest = ReadLog::longest();
        let (mut calls, mut bytes) = (0, 0);
        for walk in 0..walks {
            if holds {
                self.draw();
            }
            self.begun += 1;
            self.buffer().wind(offset, together);
            // Only the first: so most pages of the others' tapes are never written. To write one for the
            // first time makes a call a fifth longer.
            let onwards = self.part.is_none() && walk == 0 && self.beyond.affords();
            let until = if onwards { u64::MAX } else { behind };
            let plain = self.part.is_none() && !self.stops;
            let mut at = offset;
            let mut kept = false;
            let mut arena_text = None;
            let mut beyond = false;
            loop {
                let asked = match ask {
                    Ask::Always(bytes) if plain => bytes.min(longest),
                    _ => self.asks(offset, at, ask),
                };
                if self.buffer().log.is_full(asked) {
                    self.turn_over();
                }
                let timed = if holds { self.arm(at, asked) } else { None };
                let room = self.buffers[self.begun - 1].log.room(asked);
                let from = clock.now();
                let result = source.pread(room, at);
                let window = Window { from, to: clock.now() };
                if let Some((begun, sort)) = timed {
                    self.learn(begun, sort);
                }
                if calls == UNCOUNTED {
                    self.judge.count_calls(calls, std::mem::take(&mut bytes));
                    calls = 0;
                }
                calls += 1;
                let buffer = &mut self.buffers[self.begun - 1];
                let Some(got) = self.judge.outcome(result) else {
                    break;
                };
                bytes += got as u64;
                let delivered = got as u32;
                let asked = asked as u32;
                buffer.log.push(ReadCall { offset: at, asked, got: delivered, window, kept });
                self.beyond.pay(got, beyond);
                if let Ask::Once(_) = ask {
                    buffer.end = End::OfCall;
                    break;
                }
                if got == 0 {
                    buffer.end = End::OfFile(window);
                    break;
                }
                // How far a text with other lines in between has come is not so easily told.
                let reached = match details {
                    true => self.judge_so_far(),
                    false => buffer.log.reached(),
                };
                let is_past = |address| reached.is_some_and(|reached| reached > address);
                if is_past(base) {
                    arena_text.get_or_insert(at);
                }
                at += got as u64;
                // The call that comes to the end of the lanes is needed for them.
                beyond = is_past(behind);
                let buffer = self.buffer();
                if reached.is_some_and(|reached| reached >= until) {
                    buffer.end = End::BehindLanes(arena_text.unwrap_or(0), at);
                    break;
                }
                kept = delivered == asked && buffer.log.bytes().last() == Some(&b'\n');
            }
        }
        Tally::add(&self.judge.tally.walks, walks as u64);
        self.judge.count_calls(calls, bytes);
    }

    /// How many bytes the call at `at` asks for, in a walk from `offset` on.
    #[inline(never)]
    fn asks(&mut self, offset: u64, at: u64, ask: Ask) -> usize {
        let first = self.part.filter(|_| offset == 0).and_then(|part| part.first_read);
        let left = first.and_then(|first| first.checked_sub(at as usize)).filter(|&n| n > 0);
        let asked = left.or_else(|| self.approach.ask(at, self.page).filter(|_| self.stops));
        let asked = asked.unwrap_or_else(|| match ask {
            Ask::Always(bytes) | Ask::Once(bytes) => bytes,
            Ask::UpTo(most) => self.rng.between(1, most) | 1,
        });
        asked.min(ReadLog::longest())
    }

    /// The walk begun last.
    #[inline]
    fn buffer(&mut self) -> &mut WalkBuffer {
        &mut self.buffers[self.begun - 1]
    }

    /// Judges the walks that were read.
    fn judge_all(&mut self) {
        self.judge_walks(self.begun);
        (self.begun, self.judged) = (0, 0);
    }

    /// Judges what is left of the first walks of this turn, which were read to their ends.
    fn judge_walks(&mut self, walks: usize) {
        for number in self.judged..walks {
            self.judge_calls(number);
            let WalkBuffer { log, offset, end, .. } = &self.buffers[number];
            match *end {
                End::Failed => {}
                End::OfFile(window) => self.judge.end(window, self.lines.at_line_end(), log),
                End::OfCall => self.judge.finish_call(log),
                End::BehindLanes(arena_text, at) => {
                    self.judge.finish_call(log);
                    if *offset == 0 {
                        self.approach.arrived();
                        if self.part.is_none() {
                            self.text = (arena_text, at);
                        }
                    }
                }
            }
            self.judged = number + 1;
        }
    }

    /// The log of the walk begun last is full: what is on it is judged, and it begins again at the
    /// front.
    #[cold]
    fn turn_over(&mut self) {
        let number = self.begun - 1;
        self.judge_walks(number);
        self.judge_calls(number);
        self.judge.rewound();
        let buffer = self.buffer();
        buffer.log.begin_again();
        buffer.unjudged.1 = 0;
    }

    /// Judges what there is of the walk begun last, and tells how far it has come.
    #[cold]
    fn judge_so_far(&mut self) -> Option<u64> {
        self.judge_calls(self.begun - 1);
        self.judge.walk.pos()
    }

    /// Has the next call held up, if that is its lot; if not, it is timed: since when, and as which
    /// sort. A turn that stops is held up only where it matters.
    #[inline(never)]
    fn arm(&mut self, offset: u64, asked: usize) -> Option<(Instant, usize)> {
        let delay_timer = self.delay_timer.as_ref()?;
        let there = self.stops && self.approach.is_there(offset);
        let sort = if there { CallTimes::THERE } else { self.judge.mode as usize };
        if !self.held_up {
            return Some((Instant::now(), sort));
        }
        if let Some(part) = self.part {
            // In a scenario only calls that come to its lanes.
            if offset < part.text.1 && offset + asked as u64 > part.text.0 {
                delay_timer.arm(&mut self.rng, self.moment.0, self.moment.1);
            }
        } else if there || !self.stops {
            delay_timer.arm(&mut self.rng, 1, delay_timer.call_times.within(sort));
        }
        None
    }

    /// Takes note of how long a call took that nothing held up.
    #[inline(never)]
    fn learn(&self, begun: Instant, sort: usize) {
        if let Some(delay_timer) = &self.delay_timer {
            delay_timer.call_times.learn(sort, begun.elapsed().as_nanos() as u64);
        }
    }

    /// Hands the bytes of all calls of a walk that are left to the checker.
    fn judge_calls(&mut self, number: usize) {
        let WalkBuffer { log, offset, begun, together, .. } = &mut self.buffers[number];
        if !*begun && let Some(first) = log.calls().first() {
            *begun = true;
            self.lines.start(*offset != 0);
            self.approach.walk();
            self.judge.together = *together;
            self.judge.begin((*offset == 0).then_some(0), first.window);
        }
        while let Some(call) = self.buffers[number].log.call(self.buffers[number].unjudged.0) {
            self.feed(number, call.got as usize);
        }
    }

    /// Hands the bytes of a walk's next call, so many, to the checker.
    fn feed(&mut self, number: usize, got: usize) {
        let Reader { lines, buffers, judge, approach, .. } = self;
        let WalkBuffer { log, unjudged: (next, at), .. } = &mut buffers[number];
        let call = *next;
        let bytes = &log.bytes()[*at..*at + got];
        (*next, *at) = (call + 1, *at + got);
        // The newline that ends a skip ends no line.
        judge.fed = (call, lines.skips() as u32);
        let mut with = (judge, approach);
        lines.feed_beyond(
            bytes,
            call,
            &mut with,
            |(judge, approach), rest| {
                judge.take_expected(rest, call, log, |bytes, end| approach.lines(bytes, end))
            },
            |(judge, approach), Chunk { text, from, bytes }| {
                judge.text(text, from, log);
                judge.fed.1 += 1;
                approach.lines(bytes, judge.walk.pos());
            },
        );
    }

    /// One call on the shared descriptor. Somebody else may have moved the kernel's position in
    /// between, so calls are judged each by itself, and what comes before the first newline may
    /// be left over from another reader's call. With room for more than a page and what can be
    /// left over, nothing made in one call is delivered whole by another.
    fn shared_turn(&mut self, source: &mut M) {
        let (low, high) = self.text;
        let offset = match self.rng.below(4) {
            0 => 0,
            _ => low + self.rng.below((high - low).max(1) as usize) as u64,
        };
        // Sometimes go on where another reader's call is likely to have ended.
        let offset = if self.rng.one_in(4) { offset & !(self.page as u64 - 1) } else { offset };
        self.walks(source, 1, offset, Ask::Once(2 * self.page));
    }

    /// A query at random; in a scenario, mostly where something changes.
    fn query(&mut self, source: &mut M) {
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
        self.ask(source, address, or_next);
    }

    /// Queries upwards, each at the end of the answer before, as a program does that wants the
    /// whole list. Each answer is judged by itself; between them a VMA may come twice.
    fn climb(&mut self, source: &mut M) {
        let Range { start, end } = self.approach.lanes();
        let mut address = start;
        let mut view = View::NOTHING;
        let mut gap = None;
        while address < end {
            let Some(Some(seen)) = self.ask(source, address, true) else { break };
            view = view | self.judge.views.map_or(View::NOTHING, |views| views.of(&seen));
            if seen.start < address && address > start {
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
    fn ask(&mut self, source: &mut M, address: u64, or_next: bool) -> Option<Option<Observation>> {
        let flags = if or_next { QueryFlags::CoveringOrNext } else { QueryFlags::Covering };
        let judge = &mut self.judge;
        let clock = judge.oracle.clock();
        let from = clock.now();
        let result = self.answers.ask(source, address, flags, judge.oracle.geometry());
        let window = Window { from, to: clock.now() };
        Tally::add(&judge.tally.calls[judge.mode as usize], 1);
        let answer = judge.outcome(result)?;
        // A VMA above the arena is judged by its addresses alone.
        let seen = answer.map(|line| judge.identities.sight(&line));
        judge.since = window.from;
        judge.asked = (address, or_next);
        judge.low = Some(address);
        judge.piece = None;
        let verdict = judge.walk.query(address, or_next, seen.as_ref(), window);
        if matches!(verdict, Verdict::Wrong(_)) {
            self.buffers[0].log.answered(address, window, answer.as_ref());
        }
        judge.count_window(window);
        judge.deliver(verdict, seen.as_ref(), window, &self.buffers[0].log);
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
