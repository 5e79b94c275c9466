//! Which operations make a VMA as it is wanted.

use super::op::Op;
use super::page::{Advice, Page};
use super::span::Place;
use arrayvec::ArrayVec;

impl Page {
    /// The page as a new mapping has it: no advice, no name.
    #[must_use]
    pub fn plain(self) -> Page {
        let plain = if self.is_file() { self } else { self.with_name(0) };
        Advice::ALL.into_iter().fold(plain, |page, advice| page.with_advice(advice, false))
    }
}

/// The operations that make the place one VMA that begins with `page`, whatever was there before:
/// advice and names come after the mapping.
pub fn making(at: Place, page: Page) -> ArrayVec<Op, 5> {
    let mut ops = ArrayVec::new();
    ops.push(Op::Map { at, page: page.plain() });
    if page.name() != 0 {
        ops.push(Op::Name { at, name: page.name() });
    }
    let advised = Advice::ALL.into_iter().filter(|&advice| page.has_advice(advice));
    ops.extend(advised.map(|advice| Op::Advise { at, advice, on: true }));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, Prot, Span, apply_alone, fits};

    #[test]
    fn every_vma_can_be_made() {
        let anon = Page::anon(Prot::READ).with_name(3).with_advice(Advice::DontFork, true);
        let file = Page::file(Prot::READ_WRITE, true, 1, 9).with_advice(Advice::Random, true);
        for page in [anon, file] {
            let mut layout = Layout::empty(8);
            let at = Place { lane: 0, span: Span::new(2, 5) };
            for op in making(at, page) {
                assert_eq!(fits(&op, &layout, &layout), Ok(()));
                apply_alone(&op, &mut layout);
            }
            let vma = layout.vma_at(2).unwrap();
            assert_eq!((vma.start, vma.end, vma.page), (2, 5, page));
        }
    }
}
