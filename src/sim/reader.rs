//! A reader of the simulated file that judges each line once and tells a listener every verdict.
//!
//! The storm's own reader (`engine::Reader`) is what `selfcheck` drives. This one is kept for what
//! that cannot do:
//!
//! - The duel of the two checkers (`tests/checkers.rs`) needs every walk with the first checker's
//!   verdict, right ones included. The storm's reader keeps nothing of a walk that is right.
//! - The proof that a line may come from the call before (`without_widening`) needs a reader that
//!   does not know it.
//! - `Bug::HistoryHeadFirst` is hidden by the second judgement of the storm's reader; see
//!   `sweep/kernels.rs`.

use super::bugs::Model;
use super::file::SimFile;
use super::text::identities;
use crate::engine::Settle;
use crate::kernel::{Answer, Chunk, Identities, Lines, MapsRead, QueryFlags, parse};
use crate::model::Observation;
use crate::oracle::{Break, Class, Oracle, Rule, Snapshot, Tolerated, Verdict, Walk, Window};
use crate::seed::Stream;

/// What a reader counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Walks begun.
    pub walks: u64,
    /// Read calls made.
    pub calls: u64,
    /// Lines judged.
    pub lines: u64,
    /// Queries judged.
    pub queries: u64,
    /// Lines and answers that could not be decided.
    pub undecided: u64,
    /// What the series allows and the documentation does not, by [`Tolerated`].
    pub tolerated: [u64; Tolerated::ALL.len()],
    /// Calls whose lines were not true at one instant.
    pub not_one_instant: u64,
}

/// The first violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The rule that caught it.
    pub rule: Rule,
    /// Its class.
    pub class: Class,
    /// Reader steps until the verdict.
    pub steps: u64,
}

/// How a reading goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Offset of the first call.
    pub offset: u64,
    /// Bytes asked for by each call; 0 draws a number for each.
    pub size: usize,
    /// Calls after which the reader loses interest.
    pub calls: usize,
}

/// Hears of everything a watch judges, as it happens.
pub trait Listen {
    /// A walk begins at `pos`, or somewhere unknown.
    fn begin(&mut self, pos: Option<u64>, window: Window) {
        let _ = (pos, window);
    }
    /// A line; `None` if it does not parse. `call` is the number of the call that delivered its
    /// first byte; a line that may have been generated in the call before has `None`.
    fn line(
        &mut self,
        seen: Option<&Observation>,
        window: Window,
        call: Option<u32>,
        verdict: &Verdict,
    ) {
        let _ = (seen, window, call, verdict);
    }
    /// The end of the file.
    fn end(&mut self, window: Window, verdict: &Verdict) {
        let _ = (window, verdict);
    }
    /// Whether the lines of a call share an instant.
    fn instant(&mut self, call: u32, window: Window, shared: Option<bool>) {
        let _ = (call, window, shared);
    }
    /// The walk or query is over.
    fn over(&mut self) {}
    /// A query and its answer.
    fn query(
        &mut self,
        address: u64,
        or_next: bool,
        seen: Option<&Observation>,
        window: Window,
        verdict: &Verdict,
    ) {
        let _ = (address, or_next, seen, window, verdict);
    }
}

/// Listens to nothing.
pub struct Deaf;

impl Listen for Deaf {}

/// Reads a simulated file in all ways, and judges.
pub struct Watch<'a, L = Deaf> {
    oracle: &'a Oracle,
    file: SimFile<'a>,
    identities: Identities,
    lines: Option<Lines>,
    buffer: Vec<u8>,
    windows: Vec<Window>,
    rng: Stream,
    walk: Walk<'a>,
    snapshot: Snapshot<'a>,
    one_instant: bool,
    /// The call whose lines the snapshot collects.
    collecting: Option<u32>,
    /// Whether the first line of a call may have been generated in the call before; a reader
    /// that does not know is one that raises false alarms.
    widen: bool,
    /// The call whose first line may come from the call before, as long as that line is not
    /// complete.
    doubtful: Option<u32>,
    tally: Tally,
    found: Option<Found>,
    listener: L,
}

impl<'a, L: Listen> Watch<'a, L> {
    /// A reader of `file`, whose lanes `oracle` knows.
    pub fn new(
        oracle: &'a Oracle,
        file: SimFile<'a>,
        model: Model,
        seed: u64,
        listener: L,
    ) -> Self {
        Watch {
            oracle,
            file,
            identities: identities(oracle.geometry().page_shift),
            lines: Some(Lines::default()),
            buffer: vec![0; 1 << 16],
            windows: Vec::with_capacity(1024),
            rng: Stream::new(seed, "reader", 0),
            collecting: None,
            walk: Walk::new(oracle),
            snapshot: Snapshot::new(oracle),
            one_instant: model.one_instant(),
            widen: true,
            doubtful: None,
            tally: Tally::default(),
            found: None,
            listener,
        }
    }

    /// Forgets that a line may come from the call before the one that delivers it.
    pub fn without_widening(mut self) -> Self {
        self.widen = false;
        self
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Steps of the reader so far.
    pub fn steps(&self) -> u64 {
        self.file.process().steps()
    }

    /// The process that is read.
    pub fn file(&self) -> &SimFile<'a> {
        &self.file
    }

    /// The listener.
    pub fn listener(&mut self) -> &mut L {
        &mut self.listener
    }

    /// Reads and judges until something is wrong or `steps` steps are done.
    pub fn run(&mut self, steps: u64) -> Option<Found> {
        while self.found.is_none() && self.steps() < steps {
            self.turn();
        }
        self.found
    }

    /// Goes on as if nothing had been found.
    pub fn relaxation(&mut self) {
        self.found = None;
    }

    /// One walk, or a few queries.
    pub fn turn(&mut self) {
        match self.rng.below(8) {
            0..=1 => self.read(Reading { offset: 0, size: 1 << 16, calls: usize::MAX }),
            2 => self.read(Reading { offset: 0, size: 0, calls: usize::MAX }),
            3 => {
                let size = self.rng.between(30, 200);
                let calls = self.rng.between(1, 60);
                self.read(Reading { offset: 0, size, calls });
            }
            4..=5 => {
                let offset = self.rng.between(1, 4000) as u64;
                let calls = self.rng.between(2, 5);
                self.read(Reading { offset, size: 1 << 12, calls });
            }
            _ => (0..6).for_each(|_| self.query()),
        }
    }

    /// Reads as asked and judges.
    pub fn read(&mut self, reading: Reading) {
        self.tally.walks += 1;
        self.windows.clear();
        self.doubtful = None;
        self.snapshot.begin();
        self.collecting = None;
        self.lines.get_or_insert_default().start(reading.offset != 0);
        self.calls(reading);
        if self.found.is_none() {
            self.finish_call();
        }
        self.listener.over();
    }

    fn calls(&mut self, reading: Reading) {
        let mut offset = reading.offset;
        let mut full = false;
        for number in 0..reading.calls {
            let asked = match reading.size {
                0 => self.rng.between(1, 400),
                size => size,
            };
            let (got, window) = self.call(asked, offset);
            if number == 0 {
                let pos = (offset == 0).then_some(0);
                self.walk.begin(pos, window);
                self.listener.begin(pos, window);
            }
            if got == 0 {
                return self.end(window, offset != reading.offset || offset == 0);
            }
            offset += got as u64;
            if full && self.widen {
                self.doubtful = Some(number as u32);
            }
            self.judge(got, number as u32);
            full = got == asked && self.lines.as_ref().is_some_and(Lines::at_line_end);
            if self.found.is_some() {
                return;
            }
        }
    }

    fn call(&mut self, asked: usize, offset: u64) -> (usize, Window) {
        let clock = self.oracle.clock();
        let from = clock.now();
        // The simulated file has no errors to give.
        let got = self.file.pread(&mut self.buffer[..asked], offset).unwrap_or(0);
        let window = Window { from, to: clock.now() };
        self.tally.calls += 1;
        self.windows.push(window);
        (got, window)
    }

    fn judge(&mut self, got: usize, call: u32) {
        // Both are put back below; what is done with each line needs the rest of `self`.
        let Some(mut lines) = self.lines.take() else {
            return;
        };
        let bytes = std::mem::take(&mut self.buffer);
        lines.feed(&bytes[..got], call, |chunk| {
            if self.found.is_some() {
                return;
            }
            let Chunk { text, from, .. } = chunk;
            let doubtful = self.doubtful.take_if(|call| *call == from).is_some();
            self.line(text, from, doubtful);
        });
        self.lines = Some(lines);
        self.buffer = bytes;
    }

    fn line(&mut self, text: &[u8], from: u32, doubtful: bool) {
        if self.collecting != Some(from) {
            self.finish_call();
            self.collecting = Some(from);
        }
        if self.found.is_some() {
            return;
        }
        let mut window = self.windows[from as usize];
        if doubtful {
            window.from = self.windows[from as usize - 1].from;
        }
        let Ok(line) = parse(text) else {
            return self.malformed(from);
        };
        let seen = self.identities.sight(&line);
        self.tally.lines += 1;
        let verdict = self.walk.line(&seen, window);
        if !doubtful {
            self.snapshot.line(&seen);
        }
        let verdict = self.certain(verdict);
        self.listener.line(Some(&seen), window, (!doubtful).then_some(from), &verdict);
        if self.note(verdict) {
            self.walk.resume(Some(seen.end), window);
        }
    }

    fn malformed(&mut self, call: u32) {
        let window = self.windows[call as usize];
        let verdict = self.walk.wrong(Rule::WholeLines, Class::Malformed, None, window);
        self.listener.line(None, window, Some(call), &verdict);
        self.note(verdict);
    }

    /// `judged` is false where nothing was read before the end, so that nothing is known.
    fn end(&mut self, window: Window, judged: bool) {
        if judged && self.walk.pos().is_some() {
            let verdict = self.walk.end(window);
            self.listener.end(window, &verdict);
            self.note(verdict);
        }
    }

    /// All lines of the call under way were judged one by one; now together.
    fn finish_call(&mut self) {
        let Some(call) = self.collecting.take() else {
            return;
        };
        let window = self.windows[call as usize];
        let mut shared = self.snapshot.finish(window);
        self.snapshot.begin();
        let torn = self.walk.wrong(Rule::OneInstant, Class::Disorder, None, window);
        if shared == Some(false) && self.certain(torn) == Verdict::Undecided {
            shared = None;
        }
        self.listener.instant(call, window, shared);
        if shared == Some(false) {
            self.tally.not_one_instant += 1;
            if self.one_instant {
                self.note(torn);
            }
        }
    }

    fn query(&mut self) {
        let geometry = *self.oracle.geometry();
        let lane = self.rng.below(geometry.lanes as usize) as u16;
        let page = self.rng.below(geometry.pages as usize + 1);
        let address = geometry.address(lane, page) + self.rng.below(4096) as u64;
        let or_next = self.rng.one_in(2);
        let flags = if or_next { QueryFlags::CoveringOrNext } else { QueryFlags::Covering };
        let mut answer = Answer::default();
        let clock = self.oracle.clock();
        let from = clock.now();
        let line = self.file.query(address, flags, &mut answer).unwrap_or(None);
        let window = Window { from, to: clock.now() };
        let seen = line.map(|line| self.identities.sight(&line));
        self.tally.queries += 1;
        let verdict = self.walk.query(address, or_next, seen.as_ref(), window);
        self.windows.clear();
        let verdict = self.certain(verdict);
        self.listener.query(address, or_next, seen.as_ref(), window, &verdict);
        self.note(verdict);
        self.listener.over();
    }

    /// A violation waits until the operations under way have returned: had one failed, nothing
    /// would be known of its lane.
    fn certain(&mut self, verdict: Verdict) -> Verdict {
        let found = match verdict {
            Verdict::Wrong(found) if !matches!(found.rule, Rule::Progress | Rule::WholeLines) => {
                found
            }
            _ => return verdict,
        };
        let since = self.windows.first().map_or(found.window.from, |w| w.from);
        for lane in 0..self.oracle.geometry().lanes {
            let history = self.oracle.history(lane);
            let Ok(first) = history.first_at(since) else {
                continue;
            };
            for version in first..=history.head() {
                if version > first && history.invoked(version) >= found.window.to {
                    break;
                }
                while !self.oracle.settled(lane, version) {
                    self.file.process().wait();
                }
                if !history.known(version) || history.confirm(version).is_err() {
                    return Verdict::Undecided;
                }
            }
        }
        verdict
    }

    /// Counts a verdict; true when it was undecided.
    fn note(&mut self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Right => {}
            Verdict::Tolerated(kind) => self.tally.tolerated[kind as usize] += 1,
            Verdict::Undecided => self.tally.undecided += 1,
            Verdict::Wrong(Break { rule, class, .. }) if self.found.is_none() => {
                self.found = Some(Found { rule, class, steps: self.steps() });
            }
            Verdict::Wrong(_) => {}
        }
        verdict == Verdict::Undecided
    }
}
