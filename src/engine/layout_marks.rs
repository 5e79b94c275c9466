//! Before or after: which of a scenario's layouts a line shows.

use crate::model::{Geometry, Layout, MergeRules, Observation, Op, Space, span_mask};
use std::ops::BitOr;
use std::sync::Arc;

/// What a walk or a query showed of the places that a scenario changes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct View(u8);

impl View {
    /// Nothing that changes.
    pub const NOTHING: View = View(0);
    /// The layout to begin with.
    pub const BEFORE: View = View(1);
    /// A layout that an operation made.
    pub const AFTER: View = View(2);
    /// Something of both: in one walk, lines from before an operation and from after it.
    pub const MIXED: View = View(3);

    /// The three that are counted.
    pub const COUNTED: [View; 3] = [View::BEFORE, View::AFTER, View::MIXED];

    /// Its place in [`View::COUNTED`].
    pub fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }

    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self.0 {
            0 => "nothing",
            1 => "before",
            2 => "after",
            _ => "mixed",
        }
    }
}

impl BitOr for View {
    type Output = View;

    fn bitor(self, other: View) -> View {
        View(self.0 | other.0)
    }
}

/// One lane: what tells its layouts apart.
#[derive(Clone, Default, Debug)]
struct Lane {
    /// VMAs that only the first layout has, and VMAs that only later ones have.
    lines: Vec<(Observation, View)>,
    /// Pages mapped at first and not always; pages not mapped at first and mapped later.
    emptied: u64,
    filled: u64,
}

/// Tells the layout to begin with from those that the operations make.
#[derive(Clone, Debug)]
pub struct LayoutMarks {
    geometry: Geometry,
    lanes: Vec<Lane>,
}

impl LayoutMarks {
    /// The views of the lanes `first`, on which `loops` run. Later layouts are those that each
    /// loop makes by itself in its first round.
    pub fn new(
        geometry: Geometry,
        rules: MergeRules,
        first: &[Layout],
        loops: &[Arc<[Op]>],
    ) -> LayoutMarks {
        let mut later: Vec<Vec<Layout>> = vec![Vec::new(); first.len()];
        for ops in loops {
            let mut now = Space::new(first, rules);
            for op in ops.iter() {
                if now.play(op).is_ok() {
                    for lane in op.lanes().map(usize::from) {
                        later[lane].push(now.lanes()[lane]);
                    }
                }
            }
        }
        let lane = |(lane, (first, later)): (usize, (&Layout, &Vec<Layout>))| {
            Lane::new(&geometry, lane as u16, first, later)
        };
        LayoutMarks { geometry, lanes: first.iter().zip(&later).enumerate().map(lane).collect() }
    }

    /// What a line shows.
    #[inline]
    pub fn of(&self, seen: &Observation) -> View {
        if !self.geometry.contains(seen.start) {
            return View::NOTHING;
        }
        let Some(lane) = self.lanes.get(self.geometry.locate(seen.start).0 as usize) else {
            return View::NOTHING;
        };
        lane.lines.iter().find(|(line, _)| line == seen).map_or(View::NOTHING, |(_, view)| *view)
    }

    /// What "nothing covers this address" shows.
    pub fn of_nothing_at(&self, address: u64) -> View {
        let (lane, page) = self.geometry.locate(address);
        let has = |mask: u64| 1u64.checked_shl(page as u32).is_some_and(|bit| mask & bit != 0);
        match self.lanes.get(lane as usize) {
            Some(lane) if has(lane.filled) => View::BEFORE,
            Some(lane) if has(lane.emptied) => View::AFTER,
            _ => View::NOTHING,
        }
    }

    /// The addresses that change: the lowest and one past the highest.
    pub fn focus(&self) -> Option<(u64, u64)> {
        let places = |lane: &Lane| -> Vec<(u64, u64)> {
            lane.lines.iter().map(|(line, _)| (line.start, line.end)).collect()
        };
        let all: Vec<(u64, u64)> = self.lanes.iter().flat_map(places).collect();
        Some((all.iter().map(|p| p.0).min()?, all.iter().map(|p| p.1).max()?))
    }
}

impl Lane {
    fn new(geometry: &Geometry, lane: u16, first: &Layout, later: &[Layout]) -> Lane {
        let lines = |layout: &Layout| -> Vec<Observation> {
            let line = |vma: crate::model::Vma| Observation {
                start: geometry.address(lane, vma.start),
                end: geometry.address(lane, vma.end),
                page: vma.page.visible(),
            };
            layout.vmas().map(line).collect()
        };
        let before = lines(first);
        let after: Vec<Observation> = later.iter().flat_map(lines).collect();
        // A line that a later layout has, too, tells nothing, unless all others lack it.
        let steady = |line: &Observation| later.iter().all(|layout| lines(layout).contains(line));
        let mut told: Vec<(Observation, View)> = Vec::new();
        told.extend(before.iter().filter(|l| !steady(l)).map(|l| (*l, View::BEFORE)));
        let new = after.iter().filter(|line| !before.contains(line));
        for line in new {
            if !told.iter().any(|(known, _)| known == line) {
                told.push((*line, View::AFTER));
            }
        }
        let all = span_mask(0, first.len());
        let mapped = |layout: &Layout| layout.mapped();
        Lane {
            lines: told,
            emptied: first.mapped() & !later.iter().map(mapped).fold(all, |m, l| m & l),
            filled: later.iter().map(mapped).fold(0, |m, l| m | l) & !first.mapped(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Page, Place, Prot, Span};

    #[test]
    fn lines_and_gaps_tell_before_from_after() {
        let geometry = Geometry::new(0x7000_0000_0000, 4096, 1, 8);
        let rw = Page::anon(Prot::READ_WRITE);
        let hole = Page::HOLE;
        let first = Layout::from_pages(&[rw, rw, hole, rw, hole, hole, hole, rw]);
        let at = Place { lane: 0, span: Span::new(2, 3) };
        let ops: Arc<[Op]> = Arc::new([Op::Map { at, page: rw }, Op::Unmap { at }]);
        let views = LayoutMarks::new(geometry, MergeRules::NEWEST, &[first], &[ops]);
        let line = |start, end, page| Observation {
            start: geometry.address(0, start),
            end: geometry.address(0, end),
            page,
        };
        assert_eq!(views.of(&line(0, 2, rw)), View::BEFORE);
        assert_eq!(views.of(&line(3, 4, rw)), View::BEFORE);
        assert_eq!(views.of(&line(0, 4, rw)), View::AFTER);
        assert_eq!(views.of(&line(7, 8, rw)), View::NOTHING);
        assert_eq!(views.of(&line(0, 4, Page::FOREIGN)), View::NOTHING);
        assert_eq!(views.of_nothing_at(geometry.address(0, 2)), View::BEFORE);
        assert_eq!(views.of_nothing_at(geometry.address(0, 5)), View::NOTHING);
        assert_eq!(views.focus(), Some((geometry.address(0, 0), geometry.address(0, 4))));
        assert_eq!(View::BEFORE | View::AFTER, View::MIXED);
    }
}
