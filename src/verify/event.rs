//! A walk as a sequence of things seen, one after the other.

use super::saved::{Reading, SavedWalk};
use crate::model::{Geometry, Layout, Observation};
use crate::oracle::{Rule, Tick, Window};

/// One thing the reader saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// That nothing is mapped at this address, on the way to a line, an answer or an end.
    Nothing {
        /// The page's address.
        address: u64,
    },
    /// A line.
    Line {
        /// Its number.
        index: usize,
        /// What it shows.
        seen: Observation,
    },
}

/// A thing seen, and when at the earliest and latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub what: What,
    /// The lane and the page it is about; `None` outside the lanes.
    pub place: Option<(u16, usize)>,
    pub from: Tick,
    pub to: Tick,
}

/// What comes next: something seen, or something that is wrong whatever the instants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Event(Event),
    /// The rule, the line that breaks it, and what is missing.
    Wrong(Rule, Option<usize>, Option<u64>),
}

impl Event {
    /// Whether a lane that looks like this shows what was seen.
    pub fn agrees(&self, layout: &Layout, geometry: &Geometry) -> bool {
        let Some((_, page)) = self.place else {
            return true;
        };
        match self.what {
            What::Nothing { .. } => !layout.pages()[page].is_mapped(),
            What::Line { seen, .. } => layout.vmas().any(|vma| {
                let length = ((vma.end - vma.start) as u64) << geometry.page_shift;
                vma.start == page
                    && seen.end - seen.start == length
                    && seen.start % geometry.page_size() == 0
                    && vma.page.visible() == seen.page
            }),
        }
    }
}

/// The whole walk.
pub(super) fn sequence(walk: &SavedWalk) -> Vec<Next> {
    let mut sequence = Vec::new();
    let mut pos = match walk.reading {
        Reading::Walk(pos) => pos,
        Reading::Query { address, .. } => Some(address),
    };
    for (index, line) in walk.lines.iter().enumerate() {
        let Some(seen) = line.seen else {
            sequence.push(Next::Wrong(Rule::WholeLines, Some(index), None));
            return sequence;
        };
        let not_covering = |address: u64| seen.start > address;
        if let Reading::Query { address, or_next: false } = walk.reading
            && not_covering(address)
        {
            sequence.push(Next::Wrong(Rule::Existence, Some(index), None));
            return sequence;
        }
        if pos.is_some_and(|pos| seen.end <= pos) {
            sequence.push(Next::Wrong(Rule::Progress, Some(index), None));
            return sequence;
        }
        let from = pos.unwrap_or(seen.start);
        sequence.extend(gap(walk, from, seen.start, line.window).map(Next::Event));
        sequence.push(match place(&walk.geometry, &seen) {
            Ok(place) => Next::Event(Event {
                what: What::Line { index, seen },
                place,
                from: line.window.from,
                to: line.window.to,
            }),
            Err(rule) => Next::Wrong(rule, Some(index), None),
        });
        sequence.extend(
            lasting(walk, pos, &seen, line.lasting)
                .map(|(missing, rule)| Next::Wrong(rule, Some(index), missing)),
        );
        pos = Some(seen.end);
    }
    end(walk, pos, &mut sequence);
    sequence
}

fn end(walk: &SavedWalk, pos: Option<u64>, sequence: &mut Vec<Next>) {
    match walk.reading {
        Reading::Walk(_) => {
            // Something lies above every arena: the stack.
            if walk.end.is_some() && pos.is_none_or(|pos| pos < walk.geometry.end()) {
                sequence.push(Next::Wrong(Rule::WholeLines, None, None));
            }
            let above = |start: &u64| pos.is_some_and(|pos| pos <= *start);
            let left = walk.lasting.iter().map(|&(start, _)| start).find(above);
            if let Some(start) = left.filter(|_| walk.end.is_some()) {
                sequence.push(Next::Wrong(Rule::WholeLines, None, Some(start)));
            }
        }
        Reading::Query { address, or_next } if walk.lines.is_empty() => {
            let to = if or_next { walk.geometry.end() } else { address + 1 };
            sequence.extend(gap(walk, address, to, walk.begin).map(Next::Event));
            if or_next {
                sequence.push(Next::Wrong(Rule::WholeLines, None, None));
            }
        }
        Reading::Query { .. } => {}
    }
}

/// The first lasting line that the walk lacks between `pos` and this line: its address where it was
/// passed over, and the rule. `itself` is this line's number where it is a lasting one.
fn lasting(
    walk: &SavedWalk,
    pos: Option<u64>,
    seen: &Observation,
    itself: Option<usize>,
) -> Option<(Option<u64>, Rule)> {
    let others = walk.lasting.iter().enumerate().filter(|(number, _)| Some(*number) != itself);
    others.map(|(_, range)| *range).find_map(|(start, end)| {
        if start < seen.end && seen.start < end {
            return Some((None, Rule::Existence));
        }
        let passed = pos.is_some_and(|pos| pos <= start) && end <= seen.start;
        passed.then_some((Some(start), Rule::NoHole))
    })
}

/// The lanes' pages between two addresses: each has to be unmapped at an instant after what was
/// seen before and before the end of the window.
fn gap(walk: &SavedWalk, from: u64, to: u64, window: Window) -> impl Iterator<Item = Event> {
    let geometry = walk.geometry;
    let first = from - from % geometry.page_size();
    (first.max(geometry.base)..to.min(geometry.end()))
        .step_by(geometry.page_size() as usize)
        .map(move |address| (address, geometry.locate(address)))
        .filter(move |(_, (_, page))| *page < geometry.pages as usize)
        .map(move |(address, place)| Event {
            what: What::Nothing { address },
            place: Some(place),
            from: 0,
            to: window.to,
        })
}

/// Where a line lies. A line that is partly in a lane and partly not was never true.
fn place(geometry: &Geometry, seen: &Observation) -> Result<Option<(u16, usize)>, Rule> {
    if seen.start >= geometry.end() || seen.end <= geometry.base {
        return Ok(None);
    }
    if !geometry.contains(seen.start) {
        return Err(Rule::Existence);
    }
    Ok(Some(geometry.locate(seen.start)))
}
