//! A layout in a fifth of its room, for evidence that is kept by the thousand.

use super::layout::{Layout, MAX_PAGES, Vma, vma_end};
use super::page::Page;
use std::fmt;

/// The VMAs of one lane at one instant, without the numbers of their anon_vmas: a [layout](Layout) that
/// is equal can be made of it.
#[derive(Clone, Copy)]
pub struct Outline {
    /// Those at which a VMA starts have its [marks](Page::with_marks); those from `len` on are holes.
    pages: [Page; MAX_PAGES],
    /// The pages at which a VMA starts.
    starts: u64,
    len: u8,
}

impl From<&Layout> for Outline {
    fn from(layout: &Layout) -> Outline {
        let mut pages = [Page::HOLE; MAX_PAGES];
        pages[..layout.len()].copy_from_slice(layout.pages());
        for vma in layout.touched() {
            pages[vma.start] = vma.page;
        }
        Outline { pages, starts: layout.starts(), len: layout.len() as u8 }
    }
}

impl Outline {
    /// A layout with this outline.
    pub fn layout(&self) -> Layout {
        let pages = &self.pages[..self.len.into()];
        let mapped =
            pages.iter().rev().fold(0, |mask, page| mask << 1 | u64::from(page.is_mapped()));
        let starts = (0..pages.len()).filter(|&start| self.starts & 1 << start != 0);
        let vma =
            |start| Vma { start, end: vma_end(mapped, self.starts, start), page: pages[start] };
        Layout::from_vmas(pages.len(), starts.map(vma))
    }
}

impl fmt::Debug for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layout().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drawing::draw;

    #[test]
    fn the_layout_comes_back() {
        let full = "rw".repeat(MAX_PAGES / 2);
        for picture in ["rrr.wwr.", "rr|rr", "wW|Ww", "WW.WW", "012567", "....", "r", &full] {
            let layout = draw(picture);
            assert_eq!(Outline::from(&layout).layout(), layout, "{picture}");
        }
    }

    #[test]
    fn it_takes_a_quarter_of_the_room_at_most() {
        assert!(4 * size_of::<Outline>() <= size_of::<Layout>());
    }
}
