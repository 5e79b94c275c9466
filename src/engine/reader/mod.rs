//! One reader: what it is given, and which way of reading each turn takes.
//!
//! Generic over [`MapsRead`], so that the same code reads the real file and a simulated one.

mod hold_up;
mod queries;
mod sources;
mod walks;

pub(in crate::engine) use sources::Sources;

use super::delay::{Aim, DelayTimer};
use super::judge::Judge;
use super::layout_marks::{LayoutMarks, View};
use super::modes::{Mode, Reads};
use super::offsets::{OffsetPredictor, TailBudget};
use super::script::Reading;
use super::settle::Settle;
use super::surroundings::Surroundings;
use super::tally::Tally;
use super::violations::Findings;
use super::watch::CallRecord;
use crate::kernel::{Identities, Lines, MapsRead};
use crate::oracle::{Contract, Oracle};
use crate::seed::Stream;
use queries::Answers;
use std::time::Instant;
use walks::{WALKS, WalkBuffer};

/// A reader.
pub struct Reader<'a, M> {
    sources: Sources<M>,
    lines: Lines,
    /// The walks of this turn: how many were begun, and how many of those are judged. The last
    /// one begun may be under way.
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
    record: Option<&'a CallRecord>,
}

/// What a reader is given.
pub struct Place<'a> {
    /// What is judged against.
    pub oracle: &'a Oracle,
    /// How the arena's lines are recognised.
    pub identities: &'a Identities,
    /// The lines outside of the arena at the last standstill, and what is doubted of them.
    pub outside: &'a Surroundings,
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
    /// How a violation waits until the operations it is about have returned: had one failed,
    /// nothing would be known of its lane. `None` where no operation goes on while the reader
    /// judges.
    pub settle: Option<&'a dyn Settle>,
    /// Where it writes down the call that it is in; nowhere where nobody watches it.
    pub record: Option<&'a CallRecord>,
}

impl<'a> Place<'a> {
    /// The surroundings of the first reader, which judges by the series and is not held up, while no
    /// operation goes on. Each other field can be given with `..`.
    pub fn new(
        oracle: &'a Oracle,
        identities: &'a Identities,
        outside: &'a Surroundings,
        findings: &'a Findings,
        tally: &'a Tally,
    ) -> Place<'a> {
        Place {
            oracle,
            identities,
            outside,
            findings,
            tally,
            contract: Contract::Series,
            reader: 0,
            begun: Instant::now(),
            versions: 512,
            delay_timer: None,
            settle: None,
            record: None,
        }
    }
}

impl<'a, M: MapsRead> Reader<'a, M> {
    /// A reader of `source`, and of `shared` in [`Mode::Shared`].
    pub fn new(source: M, shared: Option<M>, rng: Stream, place: Place<'a>) -> Reader<'a, M> {
        Reader::from_sources(Sources::of_maps(source, shared), rng, place)
    }

    /// A reader of `sources`. It skips turns for which it has no source.
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
            answers: Answers::default(),
            rng,
            text: (0, 1 << 14),
            page: rustix::param::page_size(),
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
            record: place.record,
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
}
