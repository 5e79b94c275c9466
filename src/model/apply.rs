//! What an operation makes of the layouts it changes.

use super::layout::Layout;
use super::op::Op;
use super::page::{MAX_PGOFF, Page};
use super::span::Span;
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
    let one_vma = || pages.windows(2).all(|pair| pair[0].continues(pair[1]));
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
            let behind = first.pages().get(at.end()..grown).unwrap_or_default();
            if behind.iter().any(|page| page.is_mapped()) {
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
/// `first` is the lane of [`Op::at`]; `second` that of [`Op::other_lane`], left alone where there
/// is none. The operation has to [fit](fits).
#[inline]
pub fn apply(op: &Op, first: &mut Layout, second: &mut Layout) -> [u64; 2] {
    debug_assert_eq!(fits(op, first, second), Ok(()), "{op} on {first:?}");
    change_lanes(op, first, Some(second))
}

/// [`apply`] for an operation that has no [other lane](Op::other_lane).
///
/// # Panics
/// When it has.
#[inline]
pub fn apply_alone(op: &Op, lane: &mut Layout) -> u64 {
    debug_assert_eq!(fits(op, lane, &Layout::empty(1)), Ok(()), "{op} on {lane:?}");
    change_lanes(op, lane, None)[0]
}

#[inline]
fn change_lanes(op: &Op, first: &mut Layout, second: Option<&mut Layout>) -> [u64; 2] {
    let at = op.at().span;
    let changed = match *op {
        Op::Map { page, .. } => lay(first, at, page),
        Op::Unmap { .. } => empty(first, at.range()),
        Op::Protect { prot, .. } => change(first, at.range(), |page| page.with_prot(prot)),
        Op::Name { name, .. } => change(first, at.range(), |page| page.with_name(name)),
        Op::Advise { advice, on, .. } => {
            change(first, at.range(), |page| page.with_advice(advice, on))
        }
        Op::Resize { new_len, .. } if new_len < at.len => {
            empty(first, at.start() + new_len as usize..at.end())
        }
        Op::Resize { new_len, .. } => {
            let page = first.pages()[at.start()];
            lay(first, Span::new(at.start(), at.start() + new_len as usize), page)
        }
        Op::Remap { from, to, keep } => {
            let page = first.pages()[at.start()];
            let left = if keep { 0 } else { empty(first, at.range()) };
            if from.lane != to.lane {
                let there = second.expect("the lane that it moves to");
                return [left, lay(there, to.span, page)];
            }
            // The two do not overlap.
            left | lay(first, to.span, page)
        }
    };
    [changed, 0]
}

fn empty(layout: &mut Layout, pages: Range<usize>) -> u64 {
    change(layout, pages, |_| Page::HOLE)
}

fn lay(layout: &mut Layout, span: Span, page: Page) -> u64 {
    change_each(layout, span.range(), |i, _| page.step(i as u16))
}

fn change(layout: &mut Layout, pages: Range<usize>, to: impl Fn(Page) -> Page) -> u64 {
    change_each(layout, pages, |_, page| to(page))
}

/// Changes pages one by one, told the how manieth each is, and gives those that are not what they
/// were.
#[inline]
fn change_each(layout: &mut Layout, pages: Range<usize>, to: impl Fn(usize, Page) -> Page) -> u64 {
    let start = pages.start;
    let mut changed = 0;
    for (i, page) in layout.pages_mut()[pages].iter_mut().enumerate() {
        let was = std::mem::replace(page, to(i, *page));
        changed |= u64::from(was != *page) << i;
    }
    changed << start
}

#[cfg(test)]
mod tests {
    use super::super::drawing::draw;
    use super::super::page::Prot;
    use super::super::span::Place;
    use super::*;

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    fn after(picture: &str, op: Op) -> Layout {
        let mut layout = draw(picture);
        let mut unused = Layout::empty(1);
        assert_eq!(fits(&op, &layout, &unused), Ok(()), "{op} on {picture}");
        let changed = apply(&op, &mut layout, &mut unused);
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
            ("rrw.", Op::Remap { from: at(0, 1), to: to(2, 3), keep: true }, "rrr."),
        ] {
            assert_eq!(after(before, op), draw(expected), "{op} on {before}");
        }
    }

    #[test]
    fn a_move_between_lanes_changes_both() {
        let from = at(0, 2);
        let to = Place { lane: 1, span: Span::new(1, 3) };
        let (mut first, mut second) = (draw("45.."), draw("wwww"));
        let changed = apply(&Op::Remap { from, to, keep: false }, &mut first, &mut second);
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
        ] {
            assert_eq!(misfit(before, op), reason, "{op} on {before}");
        }
    }
}
