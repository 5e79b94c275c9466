//! What a call leaves that fails because the mm has as many VMAs as it may have (vm.max_map_count).

use super::layout::Layout;
use super::op::Op;
use super::page::Page;

/// What is left of an operation that fails for want of room for another VMA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtLimit {
    /// No such failure is known.
    Passes,
    /// All is as it was.
    Unchanged,
    /// Part of it may be done.
    HalfDone,
}

/// What `op` leaves on `lane`, where the operation begins, when it fails at the limit. Read in 6.12
/// and in 7.3:
///
/// - mmap: mm/mmap.c, `do_mmap`, compares the count first. Then mm/vma.c, `vms_gather_munmap_vmas`,
///   refuses to cut a hole into one VMA, before it splits it. Nothing is compared after that:
///   `__split_vma` and what puts the new VMA in may go above the limit.
/// - munmap, and mremap that shrinks: `vms_gather_munmap_vmas` again, and nothing else. (7.3: `do_mremap`
///   compares for every mremap, first of all.)
/// - mremap that moves compares before it unmaps the destination, with room for all that follows, and
///   once more after it (mm/mremap.c, `move_vma`; later `prep_move_vma`). In 6.12 (`mremap_to`) and in
///   7.3 (`do_mremap`) both happen under mmap_lock, so that the second does not fail. In between,
///   `check_mremap_params` compares before it takes mmap_lock: what others map meanwhile makes the second
///   one fail, and the destination stays unmapped. Seen on 6.16.12.
/// - mprotect, madvise, prctl(PR_SET_VMA): mm/vma.c, `vma_modify`, for one VMA after the other. It
///   splits at the lower edge and then at the upper one, each by `split_vma`, which compares; nobody
///   takes back the first split, or the VMAs before.
pub fn at_limit(op: &Op, lane: &Layout) -> AtLimit {
    let span = op.at().span;
    match *op {
        Op::Map { .. } | Op::Resize { .. } => AtLimit::Unchanged,
        Op::Remap { .. } => AtLimit::HalfDone,
        Op::Unmap { .. } => {
            let hole = |(start, end)| start < span.start() && span.end() < end;
            match lane.span_at(span.start()).is_some_and(hole) {
                true => AtLimit::Unchanged,
                false => AtLimit::Passes,
            }
        }
        Op::Protect { prot, .. } => altered(lane, op, |page| page.with_prot(prot)),
        Op::Name { name, .. } => altered(lane, op, |page| page.with_name(name)),
        Op::Advise { advice, on, .. } => altered(lane, op, |page| page.with_advice(advice, on)),
        Op::Touch { .. } => AtLimit::Passes,
    }
}

/// The same of an operation that changes the VMAs in its range one after the other. All is as it was
/// only where the first VMA that changes is the only one to be split, and only once.
fn altered(lane: &Layout, op: &Op, to: impl Fn(Page) -> Page) -> AtLimit {
    let span = op.at().span;
    let (mut at, mut first, mut later) = (span.start(), None, 0);
    while let Some((start, end)) = lane.span_at(at).filter(|_| at < span.end()) {
        let page = lane.pages()[at];
        if to(page) != page {
            let splits = u32::from(start < at) + u32::from(span.end() < end);
            match first {
                None => first = Some(splits),
                Some(_) => later += splits,
            }
        }
        at = end;
    }
    match (first.unwrap_or(0), later) {
        (0, 0) => AtLimit::Passes,
        (1, 0) => AtLimit::Unchanged,
        _ => AtLimit::HalfDone,
    }
}

#[cfg(test)]
mod tests {
    use super::super::drawing::draw;
    use super::super::page::Prot;
    use super::super::span::{Place, Span};
    use super::AtLimit::*;
    use super::*;

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    #[test]
    fn what_is_left_follows_from_the_splits_that_a_call_needs() {
        let read = Page::anon(Prot::READ);
        let protect = |start, end| Op::Protect { at: at(start, end), prot: Prot::READ };
        let unmap = |start, end| Op::Unmap { at: at(start, end) };
        for (picture, op, left) in [
            ("wwww", Op::Map { at: at(1, 3), page: read }, Unchanged),
            ("wwww", Op::Remap { from: at(0, 1), to: at(2, 3), keep: false }, HalfDone),
            ("wwww", Op::Resize { at: at(0, 3), new_len: 1 }, Unchanged),
            ("wwww", unmap(1, 3), Unchanged),
            ("wwww", unmap(0, 3), Passes),
            ("wwww", unmap(0, 4), Passes),
            ("ww|ww", unmap(1, 3), Passes),
            ("w.ww", unmap(1, 3), Passes),
            // One VMA: whole, at either end, within.
            (".ww.", protect(1, 3), Passes),
            ("wwww", protect(0, 2), Unchanged),
            ("wwww", protect(2, 4), Unchanged),
            ("wwww", protect(1, 3), HalfDone),
            // Several: what comes before the split is done.
            ("ww|ww", protect(1, 4), Unchanged),
            ("ww|ww", protect(0, 3), HalfDone),
            ("ww|ww", protect(1, 3), HalfDone),
            ("ww|ww", protect(0, 4), Passes),
            // What is so already is passed over.
            ("rrww", protect(1, 3), Unchanged),
            ("rrrr", protect(1, 3), Passes),
            ("wwrr", protect(1, 3), Unchanged),
            ("wwww", Op::Touch { at: at(1, 3), whole: false }, Passes),
        ] {
            assert_eq!(at_limit(&op, &draw(picture)), left, "{op} on {picture}");
        }
    }
}
