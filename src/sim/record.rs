//! What a watch read and judged, as saved walks for the second checker.

use super::reader::Listen;
use crate::model::Observation;
use crate::oracle::{Contract, Oracle, Rule, Tick, Verdict, Version, VersionRecord, Window};
use crate::verify::{Reading, SavedLine, SavedWalk};

/// What the first checker said of a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoken {
    /// Nothing is wrong.
    Right,
    /// The history needed is gone or not known.
    Undecided,
    /// A rule is broken.
    Wrong {
        /// The rule.
        rule: Rule,
        /// The line that breaks it, where one does.
        line: Option<usize>,
    },
}

/// A walk, up to the first verdict that was not "right", and what the first checker said of it.
pub struct Settled {
    /// The walk.
    pub walk: SavedWalk,
    /// The first checker's word.
    pub spoken: Spoken,
}

/// Saves every walk of a watch.
pub struct Recorder<'a> {
    oracle: &'a Oracle,
    contract: Contract,
    current: Option<Settled>,
    settled: Vec<Settled>,
}

impl<'a> Recorder<'a> {
    /// A recorder of walks to be judged by `contract`.
    pub fn new(oracle: &'a Oracle, contract: Contract) -> Recorder<'a> {
        Recorder { oracle, contract, current: None, settled: Vec::new() }
    }

    /// The walks since the last time this was asked.
    pub fn take(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    fn start(&mut self, reading: Reading, begin: Window) {
        let walk = SavedWalk {
            geometry: *self.oracle.geometry(),
            contract: self.contract,
            reading,
            begin,
            lines: Vec::new(),
            end: None,
            calls: vec![begin],
            lasting: Vec::new(),
            versions: Vec::new(),
        };
        self.current = Some(Settled { walk, spoken: Spoken::Right });
    }

    /// The walk under way, as long as nothing was wrong with it.
    fn open(&mut self) -> Option<&mut Settled> {
        self.current.as_mut().filter(|settled| settled.spoken == Spoken::Right)
    }

    fn speak(&mut self, verdict: &Verdict, line: Option<usize>) {
        let contract = self.contract;
        let Some(settled) = self.open() else { return };
        settled.spoken = match verdict {
            Verdict::Right => Spoken::Right,
            Verdict::Tolerated(_) if contract < Contract::Documented => Spoken::Right,
            Verdict::Tolerated(_) => Spoken::Wrong { rule: Rule::NeverBack, line },
            Verdict::Undecided => Spoken::Undecided,
            Verdict::Wrong(found) => Spoken::Wrong { rule: found.rule, line },
        };
        if settled.spoken != Spoken::Right {
            self.seal();
        }
    }

    /// Adds the versions, before the history forgets them.
    fn seal(&mut self) {
        let oracle = self.oracle;
        let Some(Settled { walk, .. }) = self.current.as_mut() else {
            return;
        };
        if !walk.versions.is_empty() {
            return;
        }
        let last = walk.lines.iter().map(|line| line.window.to);
        let until = last.chain(walk.calls.iter().map(|window| window.to)).max();
        for lane in 0..walk.geometry.lanes {
            copy(oracle, lane, walk.begin.from, until.unwrap_or(0), &mut walk.versions);
        }
    }
}

/// Copies a lane's versions that may have been seen, or none if some are gone.
fn copy(oracle: &Oracle, lane: u16, from: Tick, to: Tick, records: &mut Vec<VersionRecord>) {
    let history = oracle.history(lane);
    let Ok(first) = history.first_at(from) else {
        return;
    };
    let invoked_before = |version: &Version| history.invoked(*version) < to;
    for version in (first..=history.head()).take_while(|v| *v == first || invoked_before(v)) {
        records.push(VersionRecord::of(history, lane, version));
    }
}

impl Listen for Recorder<'_> {
    fn begin(&mut self, pos: Option<u64>, window: Window) {
        self.start(Reading::Walk(pos), window);
    }

    fn line(
        &mut self,
        seen: Option<&Observation>,
        window: Window,
        call: Option<u32>,
        verdict: &Verdict,
    ) {
        let Some(settled) = self.open() else { return };
        let walk = &mut settled.walk;
        if let Some(call) = call {
            let missing = (call as usize + 1).saturating_sub(walk.calls.len());
            walk.calls.extend(std::iter::repeat_n(window, missing));
            walk.calls[call as usize] = window;
        }
        let line = walk.lines.len();
        walk.lines.push(SavedLine { seen: seen.copied(), window, call, lasting: None });
        self.speak(verdict, Some(line));
    }

    fn end(&mut self, window: Window, verdict: &Verdict) {
        if let Some(settled) = self.open() {
            settled.walk.end = Some(window);
        }
        self.speak(verdict, None);
    }

    fn instant(&mut self, call: u32, _: Window, shared: Option<bool>) {
        if self.contract < Contract::Snapshot {
            return;
        }
        let Some(settled) = self.open() else { return };
        let line = settled.walk.lines.iter().position(|line| line.call == Some(call));
        match shared {
            Some(true) => return,
            Some(false) => settled.spoken = Spoken::Wrong { rule: Rule::OneInstant, line },
            None => settled.spoken = Spoken::Undecided,
        }
        self.seal();
    }

    fn query(
        &mut self,
        address: u64,
        or_next: bool,
        seen: Option<&Observation>,
        window: Window,
        verdict: &Verdict,
    ) {
        self.start(Reading::Query { address, or_next }, window);
        if let (Some(seen), Some(settled)) = (seen, self.current.as_mut()) {
            let line = SavedLine { seen: Some(*seen), window, call: Some(0), lasting: None };
            settled.walk.lines.push(line);
        }
        self.speak(verdict, seen.map(|_| 0));
    }

    fn over(&mut self) {
        self.seal();
        self.settled.extend(self.current.take());
    }
}
