//! Which of the ten merges and splits an operation is.
//!
//! The list is that of the patch series that made `/proc/PID/maps` readable under per-vma locks:
//! five merges that change VMAs which were there, three into a gap, and two splits. Told from the
//! layouts before and after alone, so that it is the same for every system call.

use super::layout::Layout;
use super::op::Op;
use super::span::Span;
use crate::vocabulary::all;
use std::fmt;
use strum::VariantArray;

/// One of the ten cases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[derive(VariantArray)]
pub enum Case {
    /// 1: over whole VMAs between two that merge with what is put there.
    MergeBoth = 1,
    /// 2: merges with the VMA below, completely over what was there.
    MergeLeftFull,
    /// 3: merges with the VMA below, over the lower part of the one that was there.
    MergeLeftPartial,
    /// 4: merges with the VMA above, completely over what was there.
    MergeRightFull,
    /// 5: merges with the VMA above, over the upper part of the one that was there.
    MergeRightPartial,
    /// 6: into a gap, merging with the VMAs on both sides.
    GapBoth,
    /// 7: into a gap, merging with the VMA below.
    GapLeft,
    /// 8: into a gap, merging with the VMA above.
    GapRight,
    /// 9: the upper part of a VMA changes; the lower part becomes a new VMA.
    SplitBelow,
    /// 10: the lower part of a VMA changes; the upper part becomes a new VMA.
    SplitAbove,
}

all!(Case);

impl Case {
    /// Its number in the series, 1 to 10.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its place in [`Case::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// What the series calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Case::MergeBoth => "merge both, over a vma",
            Case::MergeLeftFull => "merge left, over a whole vma",
            Case::MergeLeftPartial => "merge left, over part of a vma",
            Case::MergeRightFull => "merge right, over a whole vma",
            Case::MergeRightPartial => "merge right, over part of a vma",
            Case::GapBoth => "merge both, into a gap",
            Case::GapLeft => "merge left, into a gap",
            Case::GapRight => "merge right, into a gap",
            Case::SplitBelow => "split, new vma below",
            Case::SplitAbove => "split, new vma above",
        }
    }
}

/// The cases that one operation is: none, one, or both splits when it takes the middle of a VMA;
/// a move may be one at its source and another at its destination.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CaseSet(u16);

impl CaseSet {
    /// None of the ten.
    pub const NONE: CaseSet = CaseSet(0);

    /// The set with `case`.
    #[must_use]
    pub const fn with(self, case: Case) -> CaseSet {
        CaseSet(self.0 | 1 << case.index())
    }

    /// The cases in either.
    #[must_use]
    pub const fn union(self, other: CaseSet) -> CaseSet {
        CaseSet(self.0 | other.0)
    }

    /// Whether `case` is in it.
    pub const fn has(self, case: Case) -> bool {
        self.0 & 1 << case.index() != 0
    }

    /// The cases in it, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Case> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let index = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            Case::ALL.get(index).copied()
        })
    }
}

impl FromIterator<Case> for CaseSet {
    fn from_iter<I: IntoIterator<Item = Case>>(cases: I) -> CaseSet {
        cases.into_iter().fold(CaseSet::NONE, CaseSet::with)
    }
}

impl fmt::Display for CaseSet {
    /// `1`, `9+10`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == CaseSet::NONE {
            return f.write_str("none");
        }
        for (i, case) in self.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "+" }, case.number())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The cases that `op` is in lane `lane`, which looked like `before` and looks like `after`.
pub fn cases_in(op: &Op, lane: u16, before: &Layout, after: &Layout) -> CaseSet {
    let changed = before.differing(after);
    let (at, to) = op.places();
    let here = [Some(at), to].into_iter().flatten().filter(|place| place.lane == lane);
    here.map(|place| Change::new(place.span, changed, before.masks(), after.masks()).cases())
        .fold(CaseSet::NONE, CaseSet::union)
}

/// What became of neighbouring pages that one operation changed, as far as its cases depend on it. It
/// is found without a branch and counted for each operation; the cases are told from the counts later.
///
/// The pages are those from the first to the last that is not what it was. Five bits; none of them
/// for pages that neither became part of one VMA nor were taken out of the middle of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change(u8);

impl Change {
    /// How many there can be.
    pub const COUNT: usize = 1 << 5;

    /// The first page's VMA reached below them; the last one's reached above them.
    const WAS_BELOW: u8 = 1;
    const WAS_ABOVE: u8 = 1 << 1;
    /// The same now.
    const BELOW: u8 = 1 << 2;
    const ABOVE: u8 = 1 << 3;
    /// None of those that changed was mapped.
    const GAP: u8 = 1 << 4;

    /// What became of the pages of `span` in a lane whose [masks](super::Layout::masks) were `before`
    /// and are `after`. The pages in `changed` are not what they were.
    #[inline]
    pub fn new(span: Span, changed: u64, before: (u64, u64), after: (u64, u64)) -> Change {
        let changed = changed & span.mask();
        let first = changed & changed.wrapping_neg();
        let last = (1u64 << 63).checked_shr(changed.leading_zeros()).unwrap_or(0);
        // All but the last one.
        let inner = last.wrapping_sub(first);
        // Pages whose VMA takes in the next one, too.
        let on = |(mapped, starts): (u64, u64)| (mapped & !starts) >> 1;
        let (old_on, new_on) = (on(before), on(after));
        let reaches = |on: u64| (on & first >> 1 != 0, on & last != 0);
        let ((was_below, was_above), (below, above)) = (reaches(old_on), reaches(new_on));
        let laid = after.0 & first != 0;
        // They are one VMA now, all of them changed.
        let one = laid & (changed == inner | last) & (new_on & inner == inner);
        // They were taken out of one that is left on both sides.
        let middle = !laid & (old_on & inner == inner) & was_below & was_above;
        let told = one | middle;
        let gap = before.0 & changed == 0;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        Change(
            bit(told & was_below, Change::WAS_BELOW)
                | bit(told & was_above, Change::WAS_ABOVE)
                | bit(one & below, Change::BELOW)
                | bit(one & above, Change::ABOVE)
                | bit(one & gap, Change::GAP),
        )
    }

    /// Its number, below [`Change::COUNT`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All that there can be, by their [numbers](Change::index).
    pub fn all() -> impl Iterator<Item = Change> {
        (0..Change::COUNT as u8).map(Change)
    }

    /// The cases it is: a merge when the pages now belong to a VMA that reaches beyond them, a split
    /// when a VMA that reached beyond them no longer has them.
    pub fn cases(self) -> CaseSet {
        let has = |bit: u8| self.0 & bit != 0;
        let (was_below, was_above) = (has(Change::WAS_BELOW), has(Change::WAS_ABOVE));
        let case = match (has(Change::BELOW), has(Change::ABOVE), has(Change::GAP)) {
            (true, true, true) => Case::GapBoth,
            (true, false, true) => Case::GapLeft,
            (false, true, true) => Case::GapRight,
            (true, true, false) => Case::MergeBoth,
            (true, false, false) if was_above => Case::MergeLeftPartial,
            (true, false, false) => Case::MergeLeftFull,
            (false, true, false) if was_below => Case::MergeRightPartial,
            (false, true, false) => Case::MergeRightFull,
            (false, false, _) => {
                let below =
                    if was_below { CaseSet::NONE.with(Case::SplitBelow) } else { CaseSet::NONE };
                return if was_above { below.with(Case::SplitAbove) } else { below };
            }
        };
        CaseSet::NONE.with(case)
    }
}

#[cfg(test)]
mod tests {
    use super::super::apply::{apply, fits};
    use super::super::drawing::draw;
    use super::super::layout::Layout;
    use super::super::merge::MergeRules;
    use super::super::page::{Page, Prot};
    use super::super::span::Place;
    use super::*;

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    fn map(start: usize, end: usize) -> Op {
        Op::Map { at: at(start, end), page: Page::anon(Prot::READ_WRITE) }
    }

    fn read(start: usize, end: usize) -> Op {
        Op::Protect { at: at(start, end), prot: Prot::READ }
    }

    fn cases(picture: &str, op: Op, expected: &str) -> String {
        let before = draw(picture);
        let (mut after, mut other) = (before, Layout::empty(1));
        assert_eq!(fits(&op, &before, &other), Ok(()), "{op} on {picture}");
        apply(&op, MergeRules::NEWEST, &mut after, &mut other, 1);
        assert_eq!(after, draw(expected), "{op} on {picture}");
        cases_in(&op, 0, &before, &after).to_string()
    }

    #[test]
    fn each_of_the_ten_is_told() {
        for (before, op, after, case) in [
            ("wwrrww", map(2, 4), "wwwwww", "1"),
            ("wwrr..", map(2, 4), "wwww..", "2"),
            ("wwrrrr", map(2, 4), "wwwwrr", "3"),
            (".rrwww", map(1, 3), ".wwwww", "4"),
            ("rrrrww", map(2, 4), "rrwwww", "5"),
            ("ww..ww", map(2, 4), "wwwwww", "6"),
            ("ww...r", map(2, 4), "wwww.r", "7"),
            ("r..www", map(1, 3), "rwwwww", "8"),
            ("wwwwww", read(3, 6), "wwwrrr", "9"),
            ("wwwwww", read(0, 3), "rrrwww", "10"),
        ] {
            assert_eq!(cases(before, op, after), case, "{op} on {before}");
        }
    }

    #[test]
    fn the_way_does_not_matter() {
        let write = |start, end| Op::Protect { at: at(start, end), prot: Prot::READ_WRITE };
        let grow = Op::Resize { at: at(0, 2), new_len: 4 };
        for (before, op, after, case) in [
            ("wwrrww", write(2, 4), "wwwwww", "1"),
            ("wwrrrr", write(1, 4), "wwwwrr", "3"),
            ("rrrrww", write(2, 5), "rrwwww", "5"),
            ("wwrrww", write(0, 6), "wwwwww", "1"),
            ("ww....", grow, "wwww..", "7"),
            ("ww..ww", grow, "wwwwww", "6"),
            ("012..5", Op::Resize { at: at(0, 3), new_len: 5 }, "012345", "6"),
        ] {
            assert_eq!(cases(before, op, after), case, "{op} on {before}");
        }
    }

    #[test]
    fn the_middle_is_both_splits() {
        assert_eq!(cases("wwwwww", read(2, 4), "wwrrww"), "9+10");
        assert_eq!(cases("wwwwww", Op::Unmap { at: at(2, 4) }, "ww..ww"), "9+10");
        assert_eq!(cases("012345", read(2, 4), "012345"), "none");
    }

    #[test]
    fn what_neither_merges_nor_splits_is_none() {
        for (before, op, after) in [
            ("wwww", map(0, 4), "wwww"),
            ("....", map(1, 3), ".ww."),
            ("rrrr", map(0, 4), "wwww"),
            ("r..r", map(1, 3), "rwwr"),
            ("wwww", Op::Unmap { at: at(2, 4) }, "ww.."),
            ("rrww", Op::Unmap { at: at(1, 3) }, "r..w"),
            ("....", Op::Unmap { at: at(1, 3) }, "...."),
            // Two places at once.
            ("rwrw", Op::Protect { at: at(0, 4), prot: Prot::READ_WRITE }, "wwww"),
            ("wwww", Op::Resize { at: at(0, 4), new_len: 2 }, "ww.."),
        ] {
            assert_eq!(cases(before, op, after), "none", "{op} on {before}");
        }
    }

    /// The same from the VMAs, which are found page by page.
    fn told_by_vmas(span: Span, before: &Layout, after: &Layout) -> CaseSet {
        let (old, new) = (before.pages(), after.pages());
        let Some(start) = span.range().find(|&page| old[page] != new[page]) else {
            return CaseSet::NONE;
        };
        let last = span.range().rfind(|&page| old[page] != new[page]).unwrap_or(start);
        let around = |layout: &Layout, page| layout.vma_at(page).map(|vma| (vma.start, vma.end));
        let below = |vma: Option<(usize, usize)>| vma.is_some_and(|(low, _)| low < start);
        let above = |vma: Option<(usize, usize)>| vma.is_some_and(|(_, high)| high > last + 1);
        let (was, is) = (around(before, start), around(after, start));
        let (was_below, was_above) = (below(was), above(around(before, last)));
        let Some((_, is_end)) = is else {
            return match was_below && above(was) {
                true => CaseSet::from_iter([Case::SplitBelow, Case::SplitAbove]),
                false => CaseSet::NONE,
            };
        };
        if (start..=last).any(|page| old[page] == new[page]) || is_end <= last {
            return CaseSet::NONE;
        }
        let gap = (start..=last).all(|page| !old[page].is_mapped());
        let merge = match (below(is), above(is)) {
            (true, true) => [Case::MergeBoth, Case::GapBoth][usize::from(gap)],
            (true, false) if gap => Case::GapLeft,
            (true, false) => [Case::MergeLeftFull, Case::MergeLeftPartial][usize::from(was_above)],
            (false, true) if gap => Case::GapRight,
            (false, true) => {
                [Case::MergeRightFull, Case::MergeRightPartial][usize::from(was_below)]
            }
            (false, false) => {
                let below = was_below.then_some(Case::SplitBelow);
                return below.into_iter().chain(was_above.then_some(Case::SplitAbove)).collect();
            }
        };
        CaseSet::NONE.with(merge)
    }

    #[test]
    fn masks_tell_what_vmas_tell() {
        let mut rng = crate::seed::Stream::new(1, "cases", 0);
        let mut seen = CaseSet::NONE;
        for _ in 0..20_000 {
            let len = rng.between(1, 12);
            let mut draw = || {
                let page = |_| match rng.below(3) {
                    0 => Page::HOLE,
                    n => Page::anon(Prot::from_bits(n as u8)),
                };
                Layout::from_pages(&(0..len).map(page).collect::<Vec<Page>>())
            };
            let (before, other) = (draw(), draw());
            let start = rng.below(len);
            let span = Span::new(start, rng.between(start + 1, len));
            // Nothing changes outside of the span; often all of it becomes one VMA, or is taken away.
            let (range, whole) = (span.range(), rng.one_in(2));
            let after = before.repaged(|pages| match whole {
                true => pages[range].fill(other.pages()[0]),
                false => pages[range.clone()].copy_from_slice(&other.pages()[range]),
            });
            let (changed, old, new) = (before.differing(&after), before.masks(), after.masks());
            let cases = Change::new(span, changed, old, new).cases();
            assert_eq!(cases, told_by_vmas(span, &before, &after), "{span:?} {before} {after}");
            seen = seen.union(cases);
        }
        assert!(Case::ALL.into_iter().all(|case| seen.has(case)), "{seen}");
    }

    #[test]
    fn a_move_counts_at_both_ends() {
        let onto = |keep| Op::Remap { from: at(5, 6), to: at(1, 2), keep };
        assert_eq!(
            cases("www.rr.", Op::Remap { from: at(5, 6), to: at(1, 2), keep: false }, "wrw.r.."),
            "9+10"
        );
        assert_eq!(cases("w.w.www", onto(true), "www.www"), "6");
        assert_eq!(cases("w.w.www", onto(false), "www.w.w"), "6+9+10");
    }

    #[test]
    fn sets_print_and_iterate_in_order() {
        let set: CaseSet = [Case::SplitAbove, Case::MergeBoth].into_iter().collect();
        assert_eq!(set.to_string(), "1+10");
        assert_eq!(set.iter().map(Case::number).collect::<Vec<_>>(), [1, 10]);
        assert_eq!(CaseSet::NONE.to_string(), "none");
        for (index, case) in Case::ALL.into_iter().enumerate() {
            assert_eq!((case.index(), case.number() as usize), (index, index + 1));
        }
    }
}
