//! Queries: what is asked for, and how answers come to the judge.

use super::Reader;
use crate::engine::layout_marks::View;
use crate::engine::tally::Tally;
use crate::kernel::{Answer, Line, MapsRead, QueryFlags};
use crate::model::{Geometry, Observation};
use crate::oracle::{Tolerated, Verdict, Window};
use rustix::io::Errno;
use std::ops::Range;

/// Room for answers of PROCMAP_QUERY.
pub(super) struct Answers {
    named: Answer,
    nameless: Answer,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers { named: Answer::default(), nameless: Answer::nameless() }
    }
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

impl<M: MapsRead> Reader<'_, M> {
    /// Some queries.
    pub(super) fn query_turn(&mut self, source: &mut M) {
        if self.part.is_some() {
            self.climb(source);
        }
        (0..16).for_each(|_| self.query(source));
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
        if let Some(record) = self.record {
            record.begin(address, from, &[]);
        }
        let result = self.answers.ask(source, address, flags, judge.oracle.geometry());
        let window = Window { from, to: clock.now() };
        if let Some(record) = self.record {
            record.end();
        }
        Tally::add(&judge.tally.calls[judge.mode as usize], 1);
        let answer = judge.outcome(result)?;
        // A VMA above the arena is judged by its addresses alone.
        let seen = answer.map(|line| judge.identities.sight(&line));
        judge.since = window.from;
        judge.asked = (address, or_next);
        judge.low = Some(address);
        judge.piece = None;
        let verdict = judge.walk.query(address, or_next, seen.as_ref(), window);
        let above = seen.filter(|seen| seen.start >= judge.oracle.geometry().end());
        if matches!(verdict, Verdict::Wrong(_)) || above.is_some() {
            self.buffers[0].log.answered(address, window, answer.as_ref());
        }
        judge.count_window(window);
        let log = &self.buffers[0].log;
        judge.deliver(verdict, seen.as_ref(), window, log);
        if let (Some(seen), Verdict::Right) = (above, verdict) {
            judge.hold_against_standstill(Some(address), &seen, None, window, log);
        }
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
