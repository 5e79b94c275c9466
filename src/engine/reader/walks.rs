//! Walks: which calls they are made of, and how what they read comes to the judge.

use super::Reader;
use crate::engine::modes::Course;
use crate::engine::read_log::{ReadCall, ReadLog};
use crate::engine::tally::Tally;
use crate::kernel::{Chunk, MapsRead};
use crate::oracle::Window;

/// Where no call has to show one instant, one in so many turns is tried for it, to tell how often
/// calls do: all lines of a call are gone through once more for that, which costs a third of all
/// judging.
const ONE_TRIED_IN: usize = 64;

/// Walks that are read before the first of them is judged. Each read call turns out of the CPU's
/// caches what judging needs, and judging turns out what the kernel needs.
pub(super) const WALKS: usize = 8;

/// The most calls that are counted together. A walk in small pieces makes many, and a count that
/// is taken while it is under way, or hangs, has to include them.
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
pub(super) struct WalkBuffer {
    pub(super) log: ReadLog,
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
    pub(super) fn new() -> WalkBuffer {
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

impl<M: MapsRead> Reader<'_, M> {
    /// Some walks.
    pub(super) fn walk_turn(&mut self, source: &mut M, course: Course) {
        let page = self.page;
        let later = self.part.and_then(|part| part.later_reads);
        match course {
            Course::Pages => {
                // In a scenario each walk says how the next one is best held up; and where the
                // lanes in play are is only known once a walk to them is judged.
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

    /// One call on the shared descriptor. Another reader may have moved the kernel's position in
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

    /// Reads so many walks from `offset` on, and judges them.
    fn walks(&mut self, source: &mut M, walks: usize, offset: u64, ask: Ask) {
        self.read(source, walks, offset, ask);
        self.judge_all();
    }

    /// Whether the calls of the walks to come are tried for a common instant.
    fn tries_instant(&mut self) -> bool {
        self.judge.one_instant || self.part.is_some() || self.rng.one_in(ONE_TRIED_IN)
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
            // Only the first walk: most pages of the other buffers are then never written. To write
            // to a page for the first time makes a call a fifth longer.
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
                let from = clock.now();
                let log = &mut self.buffers[self.begun - 1].log;
                if let Some(record) = self.record {
                    record.begin(at, from, log.bytes());
                }
                let result = source.pread(log.room(asked), at);
                let window = Window { from, to: clock.now() };
                if let Some(record) = self.record {
                    record.end();
                }
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

    /// The log of the walk begun last is full. What is in it is judged, and it begins again.
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
}
