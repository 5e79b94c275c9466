//! What an operation makes of the layouts it changes.

use super::anon::AnonVma;
use super::geometry::Geometry;
use super::layout::{Layout, span_mask};
use super::merge::{MergeRule, MergeRules};
use super::op::Op;
use super::page::{MAX_PGOFF, Page};
use super::span::{Place, Span};
use std::ops::Range;

/// Why an operation can't be done on a layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misfit {
    /// A page lies outside the lane.
    #[error("it reaches outside the lane")]
    Outside,
    /// A page that has to be mapped is not.
    #[error("part of it is not mapped")]
    Unmapped,
    /// More than one VMA where the kernel takes only one.
    #[error("it spans more than one vma")]
    ManyVmas,
    /// No room to grow, or not at the end of the VMA.
    #[error("there is no room to grow in place")]
    NoRoom,
    /// Source and destination overlap.
    #[error("source and destination overlap")]
    Overlap,
    /// The length is zero or does not change.
    #[error("the length is zero or the same as before")]
    Length,
    /// Only anonymous memory carries a name.
    #[error("only anonymous memory can be named")]
    NotAnon,
    /// A write would not go through, or would not stay in this address space.
    #[error("only private memory that can be written to is touched")]
    NoWrites,
    /// The memfd's offsets end.
    #[error("the file offset would be too large")]
    Offset,
}

/// Whether the kernel would do `op` in full on these layouts.
///
/// `first` is the lane of [`Op::at`], `second` that of [`Op::other_lane`] and ignored where there
/// is none. An operation that does not fit is never tried: a system call that fails half-way
/// (mprotect and madvise stop at the first hole, having changed what lies before it) leaves a
/// layout that the model does not predict.
///
/// # Errors
/// The first reason found why it does not fit.
#[inline]
pub fn fits(op: &Op, first: &Layout, second: &Layout) -> Result<(), Misfit> {
    let at = op.at().span;
    if at.len == 0 {
        return Err(Misfit::Length);
    }
    if at.end() > first.len() {
        return Err(Misfit::Outside);
    }
    let pages = &first.pages()[at.range()];
    let all_mapped = || pages.iter().all(|page| page.is_mapped());
    let one_vma = || first.span_at(at.start()).is_some_and(|(_, end)| end >= at.end());
    match *op {
        Op::Map { page, .. } => {
            if page.is_file() && page.pgoff() as usize + at.len as usize > MAX_PGOFF as usize {
                return Err(Misfit::Offset);
            }
            if page.is_mapped() { Ok(()) } else { Err(Misfit::Unmapped) }
        }
        Op::Unmap { .. } => Ok(()),
        Op::Protect { .. } | Op::Advise { .. } => {
            if all_mapped() {
                Ok(())
            } else {
                Err(Misfit::Unmapped)
            }
        }
        Op::Name { .. } if !all_mapped() => Err(Misfit::Unmapped),
        Op::Name { .. } if pages.iter().any(|page| page.is_file()) => Err(Misfit::NotAnon),
        Op::Name { .. } => Ok(()),
        Op::Touch { .. } if pages.iter().all(|page| page.takes_writes()) => Ok(()),
        Op::Touch { .. } => Err(Misfit::NoWrites),
        Op::Resize { .. } | Op::Remap { .. } if !all_mapped() => Err(Misfit::Unmapped),
        Op::Resize { .. } | Op::Remap { .. } if !one_vma() => Err(Misfit::ManyVmas),
        Op::Resize { new_len, .. } => {
            let grown = at.start() + new_len as usize;
            if new_len == 0 || new_len == at.len {
                return Err(Misfit::Length);
            }
            if grown > first.len() {
                return Err(Misfit::Outside);
            }
            let last = first.pages()[at.end() - 1];
            if grown > at.end() && first.mapped() & span_mask(at.end(), grown) != 0 {
                return Err(Misfit::NoRoom);
            }
            if last.is_file() && last.pgoff() as usize + new_len as usize > MAX_PGOFF as usize {
                return Err(Misfit::Offset);
            }
            Ok(())
        }
        Op::Remap { from, to, .. } => {
            let there = if from.lane == to.lane { first } else { second };
            if to.span.end() > there.len() {
                return Err(Misfit::Outside);
            }
            if from.lane == to.lane && from.span.overlaps(to.span) {
                return Err(Misfit::Overlap);
            }
            Ok(())
        }
    }
}

/// Does `op` to the layouts: what the kernel must have made of them when the call has returned.
/// Gives the pages of each that are not what they were, as masks.
///
/// A call splits at the edges of its range, changes what is between, and then merges only where the
/// kernel tries to: there, with the VMA before and the one behind, as `rules` say. `first` is the lane
/// of [`Op::at`]; `second` that of [`Op::other_lane`], left alone where there is none. The operation
/// has to [fit](fits). From `fresh` on, [`MAX_PAGES`](super::MAX_PAGES) numbers belong to no anon_vma yet.
#[inline]
pub fn apply(
    op: &Op,
    rules: MergeRules,
    first: &mut Layout,
    second: &mut Layout,
    fresh: u64,
) -> [u64; 2] {
    debug_assert_eq!(fits(op, first, second), Ok(()), "{op} on {first:?}");
    change_lanes(op, rules, first, Some(second), fresh)
}

/// [`apply`] for an operation that has no [other lane](Op::other_lane).
///
/// # Panics
/// When it has.
#[inline]
pub fn apply_alone(op: &Op, rules: MergeRules, lane: &mut Layout, fresh: u64) -> u64 {
    debug_assert_eq!(fits(op, lane, &Layout::empty(1)), Ok(()), "{op} on {lane:?}");
    change_lanes(op, rules, lane, None, fresh)[0]
}

#[inline]
fn change_lanes(
    op: &Op,
    rules: MergeRules,
    first: &mut Layout,
    second: Option<&mut Layout>,
    fresh: u64,
) -> [u64; 2] {
    let at = op.at().span;
    let changed = match *op {
        Op::Map { page, .. } => {
            let changed = put(first, at.range(), page);
            rules.merge(first, at.start(), true, true);
            changed
        }
        Op::Unmap { .. } => unmap(first, at.range()),
        Op::Protect { prot, .. } => alter(first, rules, at.range(), |page| page.with_prot(prot)),
        Op::Name { name, .. } => alter(first, rules, at.range(), |page| page.with_name(name)),
        Op::Advise { advice, on, .. } => {
            alter(first, rules, at.range(), |page| page.with_advice(advice, on))
        }
        Op::Touch { .. } => {
            touch(first, rules, at.range(), fresh);
            0
        }
        Op::Resize { new_len, .. } if new_len < at.len => {
            unmap(first, at.start() + new_len as usize..at.end())
        }
        Op::Resize { new_len, .. } => grow(first, rules, at, new_len as usize),
        Op::Remap { from, to, keep } => return remap(rules, from, to, keep, first, second),
    };
    [changed, 0]
}

/// Makes the pages one VMA, and gives those that are not what they were.
#[inline]
fn put(layout: &mut Layout, pages: Range<usize>, page: Page) -> u64 {
    let mut changed = 0;
    for at in pages.clone() {
        let to = page.step((at - pages.start) as u16);
        changed |= u64::from(layout.pages()[at] != to) << at;
    }
    layout.put(pages, page);
    changed
}

#[inline]
fn unmap(layout: &mut Layout, pages: Range<usize>) -> u64 {
    let changed = layout.mapped() & span_mask(pages.start, pages.end);
    layout.clear(pages);
    changed
}

/// Changes the VMAs in the range one after the other, lowest first; one that is so already is passed
/// over (mm/mprotect.c, `mprotect_fixup`, and mm/madvise.c, `madvise_update_vma`). Each merges at an
/// edge only where its own edge is (mm/vma.c, `vma_merge_existing_range`).
fn alter(
    layout: &mut Layout,
    rules: MergeRules,
    range: Range<usize>,
    to: impl Fn(Page) -> Page,
) -> u64 {
    let (mut at, mut changed) = (range.start, 0);
    while at < range.end {
        let Some((start, end)) = layout.span_at(at) else { break };
        let (from, until) = (start.max(at), end.min(range.end));
        if to(layout.pages()[from]) != layout.pages()[from] {
            layout.cut(from);
            layout.cut(until);
            for at in from..until {
                let page = layout.page_mut(at);
                *page = to(*page);
            }
            changed |= span_mask(from, until);
            rules.merge(layout, from, from == start, until == end);
        }
        // What it has merged with is as it should be already.
        at = layout.span_at(until - 1).map_or(until, |(_, end)| end.max(until));
    }
    changed
}

fn touch(layout: &mut Layout, rules: MergeRules, range: Range<usize>, fresh: u64) {
    let mut at = range.start;
    while let Some((start, end)) = layout.span_at(at).filter(|_| at < range.end) {
        if !layout.anon(start).is_some() {
            layout.set_anon(start, rules.prepared(layout, start, fresh + start as u64));
        }
        at = end;
    }
}

/// The VMA that ends with `at` takes in the hole behind it, and merges with what lies behind that
/// (mm/vma.c, `vma_merge_extend`).
fn grow(layout: &mut Layout, rules: MergeRules, at: Span, new_len: usize) -> u64 {
    let Some((start, _)) = layout.span_at(at.start()) else { return 0 };
    let (end, until) = (at.end(), at.start() + new_len);
    let anon = layout.anon(start);
    let page = layout.pages()[end - 1].step(1);
    let changed = put(layout, end..until, page);
    layout.set_anon(end, anon);
    rules.merge(layout, end, true, true);
    changed
}

/// mm/mremap.c, `mremap_to` and `move_vma`: the destination is unmapped, the copy put there and merged,
/// then the source unmapped.
fn remap(
    rules: MergeRules,
    from: Place,
    to: Place,
    keep: bool,
    first: &mut Layout,
    second: Option<&mut Layout>,
) -> [u64; 2] {
    let same = from.lane == to.lane;
    let page = first.pages()[from.span.start()];
    let lanes = i32::from(from.lane) - i32::from(to.lane);
    let pages = from.span.start() as i32 - to.span.start() as i32;
    let way = lanes * Geometry::stride(first.len()) as i32 + pages;
    let source = |layout: &Layout| layout.span_at(from.span.start()).unwrap_or_default();
    let anon = {
        let old = first.anon(source(first).0);
        // What was never written to lies where it is mapped (mm/vma.c, `copy_vma`).
        let moved = if old.is_some() { old.moved + way } else { 0 };
        AnonVma { moved, ..old }
    };
    let copy = |there: &mut Layout, beside: Option<(usize, usize)>| {
        let changed = put(there, to.span.range(), page);
        let start = to.span.start();
        there.set_anon(start, if page.is_shared() { AnonVma::NONE } else { anon });
        let apart = |at: usize| beside.is_some_and(|(start, end)| at == start || at == end);
        rules.merge(there, start, !apart(start), !apart(to.span.end()));
        changed
    };
    if !same {
        let there = second.expect("the lane that it moves to");
        let copied = copy(there, None);
        let left = leave(rules, first, from.span, keep);
        return [left, copied];
    }
    let before = *first;
    first.clear(to.span.range());
    let kept_apart =
        keep && !page.is_file() && !anon.is_some() && !rules.has(MergeRule::CopyIntoKeptSource);
    let beside = kept_apart.then(|| source(first));
    copy(first, beside);
    leave(rules, first, from.span, keep);
    [first.differing(&before), 0]
}

/// What becomes of the source of a move. One that is kept as a whole VMA has no anon_vma any more
/// (mm/mremap.c, `dontunmap_complete`).
fn leave(rules: MergeRules, layout: &mut Layout, span: Span, keep: bool) -> u64 {
    if !keep {
        return unmap(layout, span.range());
    }
    if layout.span_at(span.start()) == Some((span.start(), span.end())) {
        let moved = match rules.has(MergeRule::KeptSourceIsNew) {
            true => 0,
            false => layout.anon(span.start()).moved,
        };
        layout.set_anon(span.start(), AnonVma { number: 0, moved });
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::drawing::draw;
    use super::super::page::Prot;
    use super::super::span::Place;
    use super::*;

    const RULES: MergeRules = MergeRules::NEWEST;

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    fn after(picture: &str, op: Op) -> Layout {
        let mut layout = draw(picture);
        let mut unused = Layout::empty(1);
        assert_eq!(fits(&op, &layout, &unused), Ok(()), "{op} on {picture}");
        let changed = apply(&op, RULES, &mut layout, &mut unused, 100);
        assert_eq!(changed, [layout.differing(&draw(picture)), 0], "{op} on {picture}");
        layout
    }

    fn misfit(picture: &str, op: Op) -> Misfit {
        fits(&op, &draw(picture), &Layout::empty(1)).expect_err("does not fit")
    }

    #[test]
    fn each_operation_draws_what_the_kernel_makes() {
        let read = Page::anon(Prot::READ);
        let shared = Page::file(Prot::READ, true, 0, 4);
        let to = |start, end| at(start, end);
        for (before, op, expected) in [
            ("w.w.", Op::Map { at: at(1, 3), page: read }, "wrr."),
            ("....", Op::Map { at: at(1, 4), page: shared }, ".456"),
            ("rrww", Op::Unmap { at: at(1, 3) }, "r..w"),
            ("rr00", Op::Protect { at: at(0, 2), prot: Prot::READ_WRITE }, "ww00"),
            ("rrrr", Op::Resize { at: at(0, 3), new_len: 1 }, "r..r"),
            ("45..", Op::Resize { at: at(1, 2), new_len: 3 }, "4567"),
            ("45w.", Op::Remap { from: at(0, 2), to: to(2, 4), keep: false }, "..45"),
            ("rrw.", Op::Remap { from: at(0, 1), to: to(2, 3), keep: true }, "rr|r."),
            ("rr.w", Op::Remap { from: at(0, 1), to: to(3, 4), keep: true }, "rr.r"),
            // What is so already is passed over, and what lies beside it with it.
            ("ww|ww", Op::Protect { at: at(0, 4), prot: Prot::READ_WRITE }, "ww|ww"),
            ("ww|ww", Op::Protect { at: at(0, 4), prot: Prot::READ }, "rrrr"),
            ("ww|ww", Op::Protect { at: at(1, 2), prot: Prot::READ }, "wrww"),
            ("ww|ww", Op::Map { at: at(1, 3), page: Page::anon(Prot::READ_WRITE) }, "wwww"),
            // A write makes no difference by itself, and then to what merges.
            ("wwrr", Op::Touch { at: at(0, 1), whole: false }, "WWrr"),
            ("wwRR", Op::Protect { at: at(0, 2), prot: Prot::READ }, "RRRR"),
            ("WWRR", Op::Protect { at: at(0, 2), prot: Prot::READ }, "RR|RR"),
            ("WW..", Op::Map { at: at(2, 4), page: Page::anon(Prot::READ_WRITE) }, "WWWW"),
            // What has moved keeps the page offset of its old place.
            ("W.ww", Op::Remap { from: at(0, 1), to: to(1, 2), keep: false }, ".W|ww"),
            ("w.ww", Op::Remap { from: at(0, 1), to: to(1, 2), keep: false }, ".www"),
        ] {
            assert_eq!(after(before, op), draw(expected), "{op} on {before}");
        }
    }

    #[test]
    fn what_differs_in_name_or_protection_shares_an_anon_vma_and_merges_once_alike() {
        let other = at(2, 4);
        let (prot, all) = (Prot::READ_WRITE, Prot::ALL);
        let ways = [
            [Op::Name { at: other, name: 1 }, Op::Name { at: other, name: 0 }],
            [Op::Protect { at: other, prot: all }, Op::Protect { at: other, prot }],
        ];
        for (touched, [differ, alike]) in ways.into_iter().flat_map(|ops| [(0, ops), (2, ops)]) {
            let mut layout = draw("wwww");
            let write = |first| Op::Touch { at: at(first, first + 1), whole: false };
            for op in [differ, write(touched), write(2 - touched), alike] {
                apply_alone(&op, RULES, &mut layout, 100);
            }
            assert_eq!(layout, draw("WWWW"), "{differ}, then {touched} written to first");
        }
    }

    #[test]
    fn a_move_between_lanes_changes_both() {
        let from = at(0, 2);
        let to = Place { lane: 1, span: Span::new(1, 3) };
        let (mut first, mut second) = (draw("45.."), draw("wwww"));
        let changed =
            apply(&Op::Remap { from, to, keep: false }, RULES, &mut first, &mut second, 100);
        assert_eq!((first, second), (draw("...."), draw("w45w")));
        assert_eq!(changed, [0b0011, 0b0110]);
    }

    #[test]
    fn what_the_kernel_would_refuse_does_not_fit() {
        let prot = Prot::READ;
        for (before, op, reason) in [
            ("r.r", Op::Protect { at: at(0, 3), prot }, Misfit::Unmapped),
            ("rw.", Op::Resize { at: at(0, 2), new_len: 1 }, Misfit::ManyVmas),
            ("rrw", Op::Resize { at: at(0, 2), new_len: 3 }, Misfit::NoRoom),
            ("rrr", Op::Resize { at: at(0, 2), new_len: 3 }, Misfit::NoRoom),
            ("r..", Op::Resize { at: at(0, 1), new_len: 4 }, Misfit::Outside),
            ("rr.", Op::Resize { at: at(0, 2), new_len: 2 }, Misfit::Length),
            ("rrr", Op::Remap { from: at(0, 2), to: at(1, 3), keep: false }, Misfit::Overlap),
            ("r.w", Op::Remap { from: at(1, 2), to: at(2, 3), keep: false }, Misfit::Unmapped),
            ("00r", Op::Name { at: at(0, 1), name: 1 }, Misfit::NotAnon),
            ("rrr", Op::Unmap { at: at(2, 4) }, Misfit::Outside),
            ("w|w.", Op::Resize { at: at(0, 2), new_len: 1 }, Misfit::ManyVmas),
            ("wwr", Op::Touch { at: at(0, 3), whole: false }, Misfit::NoWrites),
            ("w.w", Op::Touch { at: at(0, 3), whole: false }, Misfit::NoWrites),
        ] {
            assert_eq!(misfit(before, op), reason, "{op} on {before}");
        }
    }
}
