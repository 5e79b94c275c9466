//! From a saved tear to a scenario: the lanes before it, and the operations that brought it about,
//! in a loop.

use super::alike::read_alike;
use crate::engine::{Mode, Pattern, Signature};
use crate::evidence::{Tear, TearError};
use crate::model::{Kind, Layout, Op, Place, Space, Span, lane_making, making};
use crate::oracle::{Break, Class, Contract, Mechanism, Rule, VersionRecord};
use crate::repro::scenario::{SCHEMA_VERSION, Scenario};
use std::collections::BTreeMap;

/// The most operations that are taken over, where no one is to blame.
const MOST_OPERATIONS: usize = 12;

/// Why no scenario follows from a tear.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum DeriveError {
    #[error(transparent)]
    Tear(#[from] TearError),
    #[error("proves no violation that could be replayed; see `mapstorm verify`")]
    Nothing,
    #[error("has no operation near the break: there is nothing to replay")]
    NoOperation,
}

/// A scenario and what it is to show.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// The scenario.
    pub scenario: Scenario,
    /// The signature, or the beginning of one, that counts; `None` for any violation.
    pub shows: Option<Pattern>,
    /// What the tear was saved as, where that is another class of the same mechanism, which counts,
    /// too. Pages that were passed over are a hole, unless an operation really empties them a
    /// moment later: then a hole is explained, and the line behind them comes too late.
    pub saved_as: Option<Pattern>,
}

impl Target {
    /// The weakest contract under which what it shows is a violation.
    pub fn contract(&self) -> Contract {
        let mechanism = self.shows.and_then(|shows| shows.mechanism());
        mechanism.map_or(Contract::Series, Mechanism::contract)
    }

    /// The signatures, or beginnings of them, that count.
    pub fn counts(&self) -> Vec<Pattern> {
        match self.shows {
            None => Class::ALL.map(Pattern::from).into(),
            Some(shows) => [shows].into_iter().chain(self.saved_as).collect(),
        }
    }
}

/// The part of a signature that says what happened. Operations in flight and way of reading do not
/// make it another tear.
pub fn kind_of(signature: &Signature) -> Pattern {
    Pattern::of(signature.class, signature.mechanism)
}

/// The scenario that follows from a tear.
///
/// # Errors
/// When the file proves nothing, or has no operations.
pub fn derive(tear: &Tear) -> Result<Target, DeriveError> {
    let walk = tear.saved_walk()?;
    let again = crate::evidence::again(&walk, tear).ok_or(DeriveError::Nothing)?;
    let found = &again.found;
    // A line that does not parse, or an end that comes too early: where the walk had come to.
    let address = found.missing.or(found.observation.map(|seen| seen.start)).or(found.pos);
    let inside = address.filter(|&at| tear.geometry.contains(at));
    let (lane, page) = tear.geometry.locate(inside.ok_or(DeriveError::NoOperation)?);
    let records: Vec<&VersionRecord> = walk.versions.iter().filter(|r| r.lane == lane).collect();
    let pos = found.pos.filter(|&at| tear.geometry.contains(at));
    let pos = pos.map(|at| tear.geometry.locate(at)).filter(|(at, _)| *at == lane);
    let pos = pos.map(|(_, page)| page);
    let too_late = found.rule == Rule::Order;
    let one = |at: usize| (at, at);
    let chosen = match again.signature.mechanism {
        Some(_) if too_late => overtaken(&records, found).map(one),
        Some(Mechanism::ReplacedInFlight | Mechanism::Both) => replacing(&records, page).map(one),
        Some(Mechanism::SkippedAfterMerge) => merging(&records, pos).map(one),
        Some(Mechanism::SkippedAfterSplit) => splitting(&records, pos).map(one),
        Some(Mechanism::ToldTwice | Mechanism::GapThenVma | Mechanism::LineByLine) => {
            let shown = records.iter().position(|record| record.version == found.version);
            shown.filter(|&at| at > 0).map(one)
        }
        // Of a call that does not come back; no reader's line tells of it.
        Some(Mechanism::SpinningInLookup | Mechanism::WaitingForReaders | Mechanism::Unknown)
        | None => None,
    };
    let chosen = chosen.or_else(|| near(&records, found));
    let (first, last) = chosen.ok_or(DeriveError::NoOperation)?;
    let mode = tear.mode.unwrap_or(Mode::Walk);
    let saved_as = kind_of(&again.signature);
    let shows = match again.signature.mechanism {
        Some(_) if too_late => kind_of(&Signature { class: Class::Hole, ..again.signature }),
        _ => saved_as,
    };
    let saved_as = (saved_as != shows).then_some(saved_as);
    let ops: Vec<Op> = records[first..=last].iter().filter_map(|r| r.origin.op).collect();
    let before = layouts_before(&walk.versions, records[first - 1], &ops);
    let scenario = closed(&shows.to_string(), &before, &ops, tear, mode);
    let mut scenario = scenario.ok_or(DeriveError::NoOperation)?;
    let new = before.keys().position(|&old| old == lane).unwrap_or(0) as u16;
    read_alike(&mut scenario, tear, found, (lane, new));
    Ok(Target { scenario, shows: Some(shows), saved_as })
}

/// The last version that was made by putting a VMA on the page that is missing.
fn replacing(records: &[&VersionRecord], page: usize) -> Option<usize> {
    let puts = |kind: Kind| {
        (1..records.len())
            .rev()
            .find(|&at| put_by(kind, records[at]).is_some_and(|span| span.range().contains(&page)))
    };
    puts(Kind::Remap).or_else(|| puts(Kind::Map))
}

/// The pages of the lane on which an operation of this kind put a VMA to make the version.
fn put_by(kind: Kind, record: &VersionRecord) -> Option<Span> {
    let op = record.origin.op.filter(|op| op.kind() == kind)?;
    op.puts().filter(|place| place.lane == record.lane).map(|place| place.span)
}

/// The last version in which what lies below page `pos` has merged with what lies above.
fn merging(records: &[&VersionRecord], pos: Option<usize>) -> Option<usize> {
    let pos = pos?;
    let over = |record: &VersionRecord| record.layout().vma_at(pos).is_some_and(|v| v.start < pos);
    (1..records.len()).rev().find(|&at| over(records[at]) && !over(records[at - 1]))
}

/// The last version in which the VMA above page `pos` is another than the one before it was:
/// split, or replaced.
fn splitting(records: &[&VersionRecord], pos: Option<usize>) -> Option<usize> {
    let pos = pos?;
    let above = |record: &VersionRecord| record.layout().vma_at(pos);
    let split = |at: usize| {
        let (before, after) = (above(records[at - 1])?, above(records[at])?);
        (before != after && before.end > after.end).then_some(())
    };
    (1..records.len()).rev().find(|&at| split(at).is_some())
}

/// The version that was made with pages left out for a moment, which a later version really lacks.
/// The later one explains the pages, but not the line that was read after them.
fn overtaken(records: &[&VersionRecord], found: &Break) -> Option<usize> {
    let last = records.iter().rposition(|record| record.invoked <= found.earliest)?;
    let mapped = |at: usize, page: usize| records[at].layout().pages()[page].is_mapped();
    let left_out = |at: &usize| {
        let moved = put_by(Kind::Remap, records[*at]);
        let emptied = |page| mapped(*at - 1, page) && !mapped(last, page);
        moved.is_some_and(|span| span.range().any(emptied))
    };
    (1..=last).rev().find(left_out)
}

/// The versions that the break's window allows, the last few.
fn near(records: &[&VersionRecord], found: &Break) -> Option<(usize, usize)> {
    let last = records.iter().rposition(|record| record.invoked < found.window.to)?;
    let begun = records.iter().position(|record| record.closed >= found.earliest)?;
    let first = (begun + 1).max((last + 1).saturating_sub(MOST_OPERATIONS)).max(1);
    let first = first.min(last.max(1));
    (last >= 1 && first <= last).then_some((first, last))
}

/// The lanes that the operations work on, as they were before.
fn layouts_before(
    all: &[VersionRecord],
    before: &VersionRecord,
    ops: &[Op],
) -> BTreeMap<u16, Layout> {
    let mut lanes = BTreeMap::from([(before.lane, before.layout())]);
    for op in ops {
        for lane in op.lanes() {
            // Another lane's version at about that time: what matters in it is made anew below.
            let then = all.iter().rfind(|r| r.lane == lane && r.invoked <= before.invoked);
            let empty = Layout::empty(before.layout().len());
            lanes.entry(lane).or_insert(then.map_or(empty, |record| record.layout()));
        }
    }
    lanes
}

/// The operations as a loop on lanes numbered from 0: what does not fit is made to fit, and at the
/// end everything is made as it was.
fn closed(
    name: &str,
    before: &BTreeMap<u16, Layout>,
    ops: &[Op],
    tear: &Tear,
    mode: Mode,
) -> Option<Scenario> {
    let number: BTreeMap<u16, u16> =
        before.keys().enumerate().map(|(new, &old)| (old, new as u16)).collect();
    let mut first: Vec<Layout> = before.values().copied().collect();
    let ops: Vec<Op> = ops.iter().map(|op| renumbered(op, &number)).collect::<Option<_>>()?;
    let rules = tear.merge_rules.rules();
    let mut now = Space::new(&first, rules);
    let mut cycle = Vec::new();
    for op in ops {
        if now.play(&op).is_err() {
            // A move from a lane whose state then is not known: put there what can be moved.
            let place = op.at();
            let page = crate::model::Page::anon(crate::model::Prot::READ_WRITE);
            let source = Op::Map { at: place, page };
            let mut before = Space::new(&first, rules);
            let put = before.play(&source).and_then(|()| now.play(&source));
            if put.and_then(|()| now.play(&op)).is_err() {
                continue;
            }
            first = before.lanes().to_vec();
        }
        cycle.push(op);
    }
    if cycle.is_empty() {
        return None;
    }
    for (lane, before) in first.iter().enumerate() {
        cycle.extend(repair(lane as u16, &now, before));
    }
    let scenario = Scenario {
        schema_version: SCHEMA_VERSION,
        name: name.into(),
        pages: tear.geometry.pages,
        merge_rules: tear.merge_rules.clone(),
        lanes: first.iter().map(ToString::to_string).collect(),
        mutators: vec![cycle],
        readers: vec![mode],
        first_read: None,
        later_reads: None,
        boundary: None,
        measured: None,
    };
    scenario.check().ok().map(|()| scenario)
}

/// The same operation in lanes numbered otherwise; `None` where one of its lanes has no number.
pub(super) fn renumbered(op: &Op, number: &BTreeMap<u16, u16>) -> Option<Op> {
    op.map_places(|place| Some(Place { lane: *number.get(&place.lane)?, ..place }))
}

/// What makes a lane of `now` again as it was, with as few operations as runs of pages differ; where
/// boundaries or anon_vmas would differ still, with all of the lane made anew.
fn repair(lane: u16, now: &Space, before: &Layout) -> Vec<Op> {
    let ops = repair_pages(lane, &now.lanes()[usize::from(lane)], before);
    let mut after = now.clone();
    let fit = ops.iter().all(|op| after.play(op).is_ok());
    if fit && after.lanes()[usize::from(lane)] == *before {
        return ops;
    }
    let all = Op::Unmap { at: Place { lane, span: Span::new(0, before.len()) } };
    [all].into_iter().chain(lane_making(lane, before)).collect()
}

fn repair_pages(lane: u16, now: &Layout, before: &Layout) -> Vec<Op> {
    let differing = now.differing(before);
    let differs = |at: usize| differing & 1 << at != 0;
    let mut ops = Vec::new();
    let mut at = 0;
    while at < now.len() {
        if !differs(at) {
            at += 1;
            continue;
        }
        let page = before.pages()[at];
        let mut end = at + 1;
        let goes_on = |end: usize| {
            let (last, next) = (before.pages()[end - 1], before.pages()[end]);
            if page.is_mapped() { last.continues(next) } else { !next.is_mapped() }
        };
        while end < now.len() && differs(end) && goes_on(end) {
            end += 1;
        }
        let place = Place { lane, span: Span::new(at, end) };
        match page.is_mapped() {
            true => ops.extend(making(place, page)),
            false => ops.push(Op::Unmap { at: place }),
        }
        at = end;
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MergeRules;
    use crate::model::drawing::draw;

    #[test]
    fn a_repair_makes_the_lane_as_it_was() {
        for (now, before) in [
            ("rrww..", "wwwwww"),
            ("......", "r0123w"),
            ("wwwwww", "......"),
            ("r.r.r.", ".w.w.w"),
            ("rrrrrr", "rrrrrr"),
            ("wwwwww", "rrWW|WW"),
            ("wwrrww", "xxWWxx"),
        ] {
            let mut lanes = Space::new(&[draw(now)], MergeRules::NEWEST);
            for op in repair(0, &lanes.clone(), &draw(before)) {
                assert_eq!(lanes.play(&op), Ok(()), "{op}");
            }
            assert_eq!(lanes.lanes()[0], draw(before), "{now} to {before}");
        }
    }

    /// Versions of lane 0, one an operation, the first of them without.
    fn versions(drawn: &[(&str, Option<Op>)]) -> Vec<VersionRecord> {
        let record = |(number, &(lane, op)): (usize, &(&str, Option<Op>))| VersionRecord {
            lane: 0,
            version: number as u64,
            invoked: 10 * number as u64,
            closed: 10 * number as u64 + 11,
            outline: (&draw(lane)).into(),
            origin: crate::oracle::Origin { op, worker: 0, peer: None, known: true },
        };
        drawn.iter().enumerate().map(record).collect()
    }

    #[test]
    fn what_left_pages_out_is_blamed_and_not_what_emptied_them_later() {
        let place = |start, end| Place { lane: 0, span: Span::new(start, end) };
        let moves = Op::Remap { from: place(4, 5), to: place(1, 2), keep: false };
        let protects = Op::Protect { at: place(3, 4), prot: crate::model::Prot::READ };
        let empties = Op::Unmap { at: place(1, 4) };
        let versions = versions(&[
            (".r.wx", None),
            (".x.w.", Some(moves)),
            (".x.r.", Some(protects)),
            ("....x", Some(empties)),
        ]);
        let records: Vec<&VersionRecord> = versions.iter().collect();
        let window = crate::oracle::Window { from: 5, to: 35 };
        let found = Break {
            rule: Rule::Order,
            class: Class::Disorder,
            known: None,
            lane: Some(0),
            pos: None,
            reported: false,
            observation: None,
            missing: None,
            gap_end: None,
            earliest: 30,
            version: 3,
            window,
        };
        assert_eq!(overtaken(&records, &found), Some(1));
        // Before the page was really emptied nothing explains the gap.
        assert_eq!(overtaken(&records, &Break { earliest: 25, ..found }), None);
    }

    #[test]
    fn a_split_is_the_version_after_which_the_vma_above_is_shorter() {
        let place = Place { lane: 0, span: Span::new(3, 4) };
        let protects = Op::Protect { at: place, prot: crate::model::Prot::READ };
        let versions = versions(&[("wxxxx", None), ("wxxrx", Some(protects))]);
        let records: Vec<&VersionRecord> = versions.iter().collect();
        assert_eq!(splitting(&records, Some(1)), Some(1));
        assert_eq!(splitting(&records, Some(0)), None);
        assert_eq!(splitting(&records, None), None);
    }
}
