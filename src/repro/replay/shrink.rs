//! Scenarios that are a little smaller than another.

use super::derive::renumbered;
use crate::count::counted;
use crate::engine::Mode;
use crate::model::{Layout, Op, Page, Place, Span, Vma};
use crate::repro::scenario::Scenario;
use std::collections::BTreeMap;
use std::fmt;

/// What a candidate does without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A mutator and its loop.
    Mutator(usize),
    /// A reader.
    Reader(usize),
    /// Operations of a mutator's loop: the first and how many.
    Operations(usize, usize, usize),
    /// A lane that nothing happens in.
    Lane(usize),
    /// A VMA of a lane to begin with.
    Vma(usize, usize),
    /// Files: all memory is anonymous.
    Files,
    /// Advice and names.
    Attributes,
    /// A page of every lane.
    Page(usize),
    /// Another way of reading than this.
    Reading(Mode),
    /// A page boundary at a certain line.
    Boundary,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Mutator(at) => write!(f, "without mutator {at}"),
            Change::Reader(at) => write!(f, "without reader {at}"),
            Change::Operations(mutator, at, 1) => {
                write!(f, "without operation {at} of mutator {mutator}")
            }
            Change::Operations(mutator, at, count) => {
                write!(f, "without operations {at} to {} of mutator {mutator}", at + count - 1)
            }
            Change::Lane(at) => write!(f, "without lane {at}"),
            Change::Vma(lane, at) => write!(f, "without vma {at} of lane {lane}"),
            Change::Files => f.write_str("with anonymous memory only"),
            Change::Attributes => f.write_str("without names and advice"),
            Change::Page(at) => write!(f, "without page {at}"),
            Change::Reading(mode) => write!(f, "read by {mode}"),
            Change::Boundary => f.write_str("with the page boundary anywhere"),
        }
    }
}

/// How large a scenario is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size {
    /// Operations in all loops.
    pub operations: usize,
    /// VMAs to begin with.
    pub vmas: usize,
    /// Pages of all lanes.
    pub pages: usize,
    /// Loops.
    pub mutators: usize,
    /// Readers.
    pub readers: usize,
}

impl Size {
    /// The size of a scenario that [checks](Scenario::check).
    pub fn of(scenario: &Scenario) -> Size {
        let layouts = scenario.layouts().unwrap_or_default();
        Size {
            operations: scenario.mutators.iter().map(Vec::len).sum(),
            vmas: layouts.iter().map(|layout| layout.vmas().count()).sum(),
            pages: layouts.iter().map(Layout::len).sum(),
            mutators: scenario.mutators.len(),
            readers: scenario.readers.len(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {}, {}, {}",
            counted(self.operations, "operation"),
            counted(self.vmas, "vma"),
            counted(self.pages, "page"),
            counted(self.mutators, "mutator"),
            counted(self.readers, "reader"),
        )
    }
}

/// Everything a little smaller that can still be run, what saves most first.
pub fn candidates(scenario: &Scenario) -> Vec<(Change, Scenario)> {
    let Ok(layouts) = scenario.layouts() else { return Vec::new() };
    let mut all = Vec::new();
    workers(scenario, &mut all);
    operations(scenario, &mut all);
    lanes(scenario, &layouts, &mut all);
    vmas(scenario, &layouts, &mut all);
    let with = |change: Page4Page, scenario: &Scenario| repaged(scenario, &layouts, change);
    all.push((Change::Files, with(anonymous, scenario)));
    all.push((Change::Attributes, with(Page::plain, scenario)));
    for page in (0..scenario.pages as usize).rev() {
        all.extend(without_page(scenario, &layouts, page).map(|s| (Change::Page(page), s)));
    }
    reading(scenario, &mut all);
    all.retain(|(_, candidate)| candidate != scenario && candidate.check().is_ok());
    all
}

type Candidates = Vec<(Change, Scenario)>;
type Page4Page = fn(Page) -> Page;

fn workers(scenario: &Scenario, all: &mut Candidates) {
    for at in 0..scenario.mutators.len() {
        let mut fewer = scenario.clone();
        fewer.mutators.remove(at);
        all.push((Change::Mutator(at), fewer));
    }
    for at in 0..scenario.readers.len() {
        let mut fewer = scenario.clone();
        fewer.readers.remove(at);
        all.push((Change::Reader(at), fewer));
    }
}

/// Halves of a loop, then quarters, down to single operations.
fn operations(scenario: &Scenario, all: &mut Candidates) {
    for (mutator, ops) in scenario.mutators.iter().enumerate() {
        let mut count = ops.len() / 2;
        while count > 0 {
            for at in (0..ops.len()).step_by(count) {
                let mut fewer = scenario.clone();
                let end = (at + count).min(ops.len());
                fewer.mutators[mutator].drain(at..end);
                all.push((Change::Operations(mutator, at, end - at), fewer));
            }
            count /= 2;
        }
    }
}

fn lanes(scenario: &Scenario, layouts: &[Layout], all: &mut Candidates) {
    let touched = |lane: usize| {
        let ops = scenario.mutators.iter().flatten();
        ops.flat_map(Op::lanes).any(|at| at as usize == lane)
    };
    for lane in (0..layouts.len()).filter(|&lane| layouts.len() > 1 && !touched(lane)) {
        let left = (0..layouts.len() as u16).filter(|&at| at as usize != lane);
        let number: BTreeMap<u16, u16> = left.zip(0..).collect();
        let with_numbers = |ops: &Vec<Op>| ops.iter().map(|op| renumbered(op, &number)).collect();
        // No operation is in the lane that goes, so all have numbers.
        let Some(mutators) = scenario.mutators.iter().map(with_numbers).collect() else { continue };
        let mut fewer = Scenario { mutators, ..scenario.clone() };
        fewer.lanes.remove(lane);
        all.push((Change::Lane(lane), fewer));
    }
}

fn vmas(scenario: &Scenario, layouts: &[Layout], all: &mut Candidates) {
    for (lane, layout) in layouts.iter().enumerate() {
        for (number, vma) in layout.vmas().enumerate() {
            let mut emptier = *layout;
            emptier.clear(vma.start..vma.end);
            let mut fewer = scenario.clone();
            fewer.lanes[lane] = emptier.to_string();
            all.push((Change::Vma(lane, number), fewer));
        }
    }
}

fn anonymous(page: Page) -> Page {
    match page.is_file() {
        true => Page::anon(page.prot()),
        false => page,
    }
}

fn repaged(scenario: &Scenario, layouts: &[Layout], change: Page4Page) -> Scenario {
    let lane = |layout: &Layout| {
        let vmas = layout.vmas().map(|vma| Vma { page: change(vma.page), ..vma });
        Layout::from_vmas(layout.len(), vmas).to_string()
    };
    let mut other = scenario.clone();
    other.lanes = layouts.iter().map(lane).collect();
    for op in other.mutators.iter_mut().flatten() {
        *op = op.map_page(change);
    }
    other
}

/// Takes page `gone` out of every lane: what lies above moves down.
fn without_page(scenario: &Scenario, layouts: &[Layout], gone: usize) -> Option<Scenario> {
    let down = |at: usize| at - usize::from(at > gone);
    let lane = |layout: &Layout| {
        let vmas = layout.vmas().map(|v| Vma { start: down(v.start), end: down(v.end), ..v });
        let vmas = vmas.filter(|vma| vma.start < vma.end);
        Layout::from_vmas(layout.len() - 1, vmas).to_string()
    };
    if scenario.pages < 2 {
        return None;
    }
    let place = |place: Place| -> Option<Place> {
        let (start, end) = (down(place.span.start()), down(place.span.end()));
        (start < end).then(|| Place { span: Span::new(start, end), ..place })
    };
    let shorter = |op: &Op| op.map_places(place);
    let loops = scenario.mutators.iter().map(|ops| ops.iter().map(shorter).collect());
    let boundary = scenario
        .boundary
        .map(|b| crate::repro::scenario::Boundary { page: down(b.page as usize) as u8, ..b });
    Some(Scenario {
        pages: scenario.pages - 1,
        lanes: layouts.iter().map(lane).collect(),
        mutators: loops.collect::<Option<_>>()?,
        boundary,
        ..scenario.clone()
    })
}

/// The simplest reader reads a page a call from the bottom, as cat does.
fn reading(scenario: &Scenario, all: &mut Candidates) {
    let placed = scenario.first_read.or(scenario.later_reads).is_some();
    if scenario.boundary.is_some() || placed {
        let anywhere =
            Scenario { boundary: None, first_read: None, later_reads: None, ..scenario.clone() };
        all.push((Change::Boundary, anywhere));
    }
    let simplest = Scenario {
        readers: vec![Mode::Walk; scenario.readers.len()],
        first_read: None,
        later_reads: None,
        ..scenario.clone()
    };
    all.push((Change::Reading(Mode::Walk), simplest));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        let text = r#"{"schema_version": 1, "name": "hole", "pages": 8,
            "lanes": ["[0..6 rw-p anon] [6..7 r--s memfd0+3 !dump]", "[1..3 r--p anon]"],
            "mutators": [[
                {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "r--"},
                {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "rw-"}]],
            "readers": ["query", "walk"]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn everything_smaller_is_offered_once_and_can_run() {
        let all = candidates(&scenario());
        let has = |wanted: &Change| all.iter().any(|(change, _)| change == wanted);
        for wanted in [
            Change::Reader(0),
            Change::Operations(0, 1, 1),
            Change::Lane(1),
            Change::Vma(0, 1),
            Change::Files,
            Change::Attributes,
            Change::Page(7),
            Change::Page(0),
            Change::Reading(Mode::Walk),
        ] {
            assert!(has(&wanted), "{wanted}");
        }
        // The loop's place has to stay mapped, and one mutator has to stay.
        assert!(!has(&Change::Vma(0, 0)) && !has(&Change::Mutator(0)));
        for (change, smaller) in all {
            assert_eq!(smaller.check(), Ok(()), "{change}");
        }
    }

    #[test]
    fn a_page_less_shifts_what_lies_above() {
        let without = |page: usize| {
            let all = candidates(&scenario());
            all.into_iter().find(|(change, _)| *change == Change::Page(page)).unwrap().1
        };
        assert_eq!(without(0).lanes[0], "[0..5 rw-p anon] [5..6 r--s memfd0+3 !dump]");
        assert_eq!(without(0).mutators[0][0].at().span, Span::new(1, 3));
        assert_eq!(without(3).mutators[0][0].at().span, Span::new(2, 3));
    }
}
