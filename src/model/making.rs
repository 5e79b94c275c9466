//! Which operations make a VMA as it is wanted.

use super::layout::{Layout, Vma};
use super::op::Op;
use super::page::{Advice, Page, Prot};
use super::span::{Place, Span};
use arrayvec::ArrayVec;

impl Page {
    /// The page as a new mapping has it: no advice, no name.
    #[must_use]
    pub fn plain(self) -> Page {
        let plain = self.without_marks();
        let plain = if self.is_file() { plain } else { plain.with_name(0) };
        Advice::ALL.into_iter().fold(plain, |page, advice| page.with_advice(advice, false))
    }
}

/// The operations that make the place one VMA that begins with `page`, whatever was there before,
/// where nothing beside it merges with it: what can't be mapped so comes after the mapping.
pub fn making(at: Place, page: Page) -> ArrayVec<Op, 12> {
    made(at, page, false)
}

/// [`making`]; with `apart`, so that no VMA beside it lends its anon_vma.
fn made(at: Place, page: Page, apart: bool) -> ArrayVec<Op, 12> {
    /// A flag that keeps VMAs apart (mm/vma.c, `anon_vma_compatible`).
    const APART: Advice = Advice::DontDump;
    let prot = page.prot();
    // Memory has to be writable to be written to.
    let touched = if page.is_touched() && !prot.writes() { Prot::READ_WRITE } else { prot };
    let first = match apart {
        // Another protection keeps it apart until the flag is there.
        true if prot == Prot::NONE => Prot::READ,
        true => Prot::NONE,
        false => touched,
    };
    let protect = |from: Prot, to: Prot| (from != to).then_some(Op::Protect { at, prot: to });
    let advise = |advice, on| Op::Advise { at, advice, on };
    let mut ops = ArrayVec::new();
    ops.push(Op::Map { at, page: page.plain().with_prot(first) });
    if apart {
        ops.push(advise(APART, !page.has_advice(APART)));
    }
    ops.extend(protect(first, touched));
    if page.is_touched() {
        ops.push(Op::Touch { at, whole: false });
    }
    ops.extend(protect(touched, prot));
    if page.name() != 0 {
        ops.push(Op::Name { at, name: page.name() });
    }
    let given = |advice: &Advice| page.has_advice(*advice) && !(apart && *advice == APART);
    ops.extend(Advice::ALL.into_iter().filter(given).map(|advice| advise(advice, true)));
    if apart {
        ops.push(advise(APART, page.has_advice(APART)));
    }
    ops
}

/// The operations that make lane `lane` of unmapped pages look like `layout`, lowest VMA first, as far
/// as it can be made so: VMAs beside each other that would merge if they were made anew can't.
pub fn lane_making(lane: u16, layout: &Layout) -> impl Iterator<Item = Op> + '_ {
    let mut below = 0;
    let of_vma = move |vma: Vma| {
        let beside = std::mem::replace(&mut below, vma.end) == vma.start && vma.start > 0;
        let at = Place { lane, span: Span::new(vma.start, vma.end) };
        made(at, vma.page, beside && vma.page.is_touched() && !vma.page.is_alike())
    };
    layout.vmas().flat_map(of_vma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drawing::draw;
    use crate::model::{MergeRules, Prot, Space};

    #[test]
    fn every_vma_can_be_made() {
        let anon = Page::anon(Prot::READ).with_name(3).with_advice(Advice::DontFork, true);
        let file = Page::file(Prot::READ_WRITE, true, 1, 9).with_advice(Advice::Random, true);
        for page in [anon, file] {
            let mut space = Space::empty(1, 8, MergeRules::NEWEST);
            let at = Place { lane: 0, span: Span::new(2, 5) };
            for op in making(at, page) {
                assert_eq!(space.play(&op), Ok(()));
            }
            let vma = space.lanes()[0].vma_at(2).unwrap();
            assert_eq!((vma.start, vma.end, vma.page), (2, 5, page));
        }
    }

    #[test]
    fn a_lane_is_made_with_the_anon_vmas_it_had() {
        for picture in ["WW|WW.", "rrWWrr", "WrW|Wr", "w.W.W", "WWR|R", "WWWW", "N|NX"] {
            for rules in MergeRules::every() {
                let layout = draw(picture);
                let mut space = Space::empty(1, layout.len(), rules);
                for op in lane_making(0, &layout) {
                    assert_eq!(space.play(&op), Ok(()), "{op} for {picture}");
                }
                assert_eq!(space.lanes()[0].masks(), layout.masks(), "{picture}");
            }
        }
    }
}
