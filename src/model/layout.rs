//! One lane at one instant: an array of pages, and the VMAs that follow from it.

use super::page::Page;
#[cfg(target_arch = "x86_64")]
use super::page::sse2::{self, TOGETHER};
use std::fmt;

/// The most pages a lane can have: one bit each in a mask.
pub const MAX_PAGES: usize = 64;

/// The pages `start..end` as a mask; `end` at most [`MAX_PAGES`].
pub const fn span_mask(start: usize, end: usize) -> u64 {
    debug_assert!(start <= end && end <= MAX_PAGES);
    if start == end {
        return 0;
    }
    (u64::MAX >> (MAX_PAGES - (end - start))) << start
}

/// A run of pages that is one VMA: pages `start..end` of the lane, the first of them being `page`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vma {
    /// First page.
    pub start: usize,
    /// One past the last page.
    pub end: usize,
    /// Attributes of the first page; those of the others follow by [`Page::step`].
    pub page: Page,
}

/// The pages of one lane at one instant.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Those from `len` on are holes.
    pages: [Page; MAX_PAGES],
    len: u8,
}

impl PartialEq for Layout {
    fn eq(&self, other: &Layout) -> bool {
        self.pages() == other.pages()
    }
}

impl Eq for Layout {}

impl Layout {
    /// A lane of `len` pages, none mapped.
    ///
    /// # Panics
    /// When `len` is 0 or above [`MAX_PAGES`].
    pub const fn empty(len: usize) -> Layout {
        assert!(1 <= len && len <= MAX_PAGES, "a lane has 1 to 64 pages");
        Layout { pages: [Page::HOLE; MAX_PAGES], len: len as u8 }
    }

    /// A lane with these pages.
    ///
    /// # Panics
    /// When there are none or more than [`MAX_PAGES`].
    pub fn from_pages(pages: &[Page]) -> Layout {
        let mut layout = Layout::empty(pages.len());
        layout.pages[..pages.len()].copy_from_slice(pages);
        layout
    }

    /// The number of pages, mapped or not.
    #[allow(clippy::len_without_is_empty)] // A lane has at least one page.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// All pages, lowest address first.
    #[inline]
    pub fn pages(&self) -> &[Page] {
        &self.pages[..self.len()]
    }

    /// The pages two by two; with an odd number of them, the second of the last two is a hole.
    #[inline]
    pub(crate) fn pairs(&self) -> &[[Page; 2]] {
        &self.pages.as_chunks().0[..self.len().div_ceil(2)]
    }

    /// The pages, to be changed.
    #[inline]
    pub fn pages_mut(&mut self) -> &mut [Page] {
        let len = self.len();
        &mut self.pages[..len]
    }

    /// The pages that are mapped, as a mask.
    pub fn mapped(&self) -> u64 {
        self.masks().0
    }

    /// The mapped pages at which a VMA starts, as a mask; see [`Layout::masks`].
    pub fn starts(&self) -> u64 {
        self.masks().1
    }

    /// The pages that are mapped, and those of them at which a VMA starts.
    ///
    /// Together they are the whole division into VMAs: one that starts at page `s` ends where the
    /// next bit is set in the second or where the next page is not mapped.
    #[inline]
    pub fn masks(&self) -> (u64, u64) {
        #[cfg(target_arch = "x86_64")]
        {
            let (mut mapped, mut starts) = (0, 0);
            let mut below = Page::HOLE;
            for (i, pages) in self.together().iter().enumerate() {
                // SAFETY: SSE2 belongs to every x86_64.
                let (some, first) = unsafe { sse2::masks(pages, below) };
                mapped |= some << (TOGETHER * i);
                starts |= first << (TOGETHER * i);
                below = pages[TOGETHER - 1];
            }
            (mapped, starts)
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.masks_one_by_one()
    }

    /// [`Layout::masks`] page by page.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn masks_one_by_one(&self) -> (u64, u64) {
        let (mut mapped, mut starts) = (0, 0);
        // What would continue the page before; of a hole that is a hole.
        let mut next = Page::HOLE;
        for (i, &page) in self.pages().iter().enumerate() {
            mapped |= (page.is_mapped() as u64) << i;
            starts |= ((page.is_mapped() & (page != next)) as u64) << i;
            next = page.step(1);
        }
        (mapped, starts)
    }

    /// The pages that are not what they are in `other`, which has as many, as a mask.
    #[inline]
    pub fn differing(&self, other: &Layout) -> u64 {
        debug_assert_eq!(self.len, other.len);
        #[cfg(target_arch = "x86_64")]
        {
            let both = self.together().iter().zip(other.together()).enumerate();
            // SAFETY: SSE2 belongs to every x86_64.
            let differ = |one, other| unsafe { sse2::differing(one, other) };
            both.fold(0, |mask, (i, (one, other))| mask | differ(one, other) << (TOGETHER * i))
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.differing_one_by_one(other)
    }

    /// [`Layout::differing`] page by page.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn differing_one_by_one(&self, other: &Layout) -> u64 {
        let pages = self.pages().iter().zip(other.pages()).enumerate();
        pages.fold(0, |mask, (i, (one, two))| mask | u64::from(one != two) << i)
    }

    /// All pages, and what lies behind them, in portions.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn together(&self) -> &[[Page; TOGETHER]] {
        let (all, _) = self.pages.as_chunks();
        &all[..self.len().div_ceil(TOGETHER)]
    }

    /// The VMAs, lowest first: the maximal runs of pages that continue each other.
    pub fn vmas(&self) -> Vmas<'_> {
        Vmas { pages: self.pages(), at: 0 }
    }

    /// The VMA that covers page `at`, if one does.
    pub fn vma_at(&self, at: usize) -> Option<Vma> {
        let pages = self.pages();
        if !pages.get(at)?.is_mapped() {
            return None;
        }
        let mut start = at;
        while start > 0 && pages[start - 1].continues(pages[start]) {
            start -= 1;
        }
        let mut end = at + 1;
        while end < pages.len() && pages[end - 1].continues(pages[end]) {
            end += 1;
        }
        Some(Vma { start, end, page: pages[start] })
    }
}

/// A lane at one instant: its pages, and which of them are mapped and start a VMA
/// ([`Layout::masks`]).
#[derive(Clone, Copy, Debug)]
pub struct Divided<'a> {
    /// The pages.
    pub layout: &'a Layout,
    /// The mapped ones, and those at which a VMA starts.
    pub masks: (u64, u64),
}

impl<'a> From<&'a Layout> for Divided<'a> {
    fn from(layout: &'a Layout) -> Divided<'a> {
        Divided { layout, masks: layout.masks() }
    }
}

/// Iterator over the VMAs of a layout; see [`Layout::vmas`].
#[derive(Clone)]
pub struct Vmas<'a> {
    pages: &'a [Page],
    at: usize,
}

impl Iterator for Vmas<'_> {
    type Item = Vma;

    fn next(&mut self) -> Option<Vma> {
        let start = self.at + self.pages[self.at..].iter().position(|page| page.is_mapped())?;
        let mut end = start + 1;
        while end < self.pages.len() && self.pages[end - 1].continues(self.pages[end]) {
            end += 1;
        }
        self.at = end;
        Some(Vma { start, end, page: self.pages[start] })
    }
}

impl fmt::Display for Layout {
    /// The VMAs as `[0..4 rw-p anon] [6..8 r--s memfd0+2]`, or `empty`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mapped() == 0 {
            return f.write_str("empty");
        }
        for (i, vma) in self.vmas().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}[{}..{} {}]", vma.start, vma.end, vma.page)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prot;
    use crate::model::drawing::draw;

    fn runs(picture: &str) -> Vec<(usize, usize)> {
        draw(picture).vmas().map(|v| (v.start, v.end)).collect()
    }

    #[test]
    fn vmas_are_the_maximal_runs() {
        assert_eq!(runs("rrr.wwr."), [(0, 3), (4, 6), (6, 7)]);
        assert_eq!(runs("......"), []);
        assert_eq!(runs("r"), [(0, 1)]);
    }

    #[test]
    fn file_offsets_that_do_not_follow_on_divide() {
        assert_eq!(runs("012567"), [(0, 3), (3, 6)]);
        assert_eq!(runs("0011"), [(0, 1), (1, 3), (3, 4)]);
    }

    #[test]
    fn masks_and_runs_tell_the_same() {
        for picture in ["rrr.wwr.", "012567", "r.r.r.r.", "wwwwwwww", "....", "r0r1"] {
            let layout = draw(picture);
            let (mapped, starts) = (layout.mapped(), layout.starts());
            let from_runs = layout
                .vmas()
                .fold((0, 0), |(m, s), v| (m | span_mask(v.start, v.end), s | 1 << v.start));
            assert_eq!((mapped, starts), from_runs, "{picture}");
            for (at, page) in layout.pages().iter().enumerate() {
                let covering = layout.vmas().find(|v| (v.start..v.end).contains(&at));
                assert_eq!(layout.vma_at(at), covering, "{picture} at {at}");
                assert_eq!(page.is_mapped(), covering.is_some());
            }
        }
    }

    #[test]
    fn pages_taken_together_are_the_same_as_one_by_one() {
        let mut rng = crate::seed::Stream::new(1, "layouts", 0);
        let mut before = Layout::empty(MAX_PAGES);
        for _ in 0..20_000 {
            let len = rng.between(1, MAX_PAGES);
            let mut layout = Layout::empty(len);
            before = Layout::from_pages(&before.pages[..len]);
            let mut page = Page::HOLE;
            for at in layout.pages_mut() {
                page = match rng.below(6) {
                    0 => Page::HOLE,
                    1 => Page::anon(Prot::READ),
                    2 => Page::file(Prot::READ, rng.one_in(2), 1, rng.below(2) as u16),
                    3 => Page::file(Prot::READ, false, 0, u16::MAX),
                    _ => page.step(1),
                };
                *at = page;
            }
            assert_eq!(layout.masks(), layout.masks_one_by_one(), "{layout}");
            let mut after = layout;
            assert_eq!(after.differing(&layout), 0, "{layout}");
            for _ in 0..rng.below(4) {
                after.pages_mut()[rng.below(len)] = Page::anon(Prot::NONE);
            }
            for other in [before, after] {
                let one_by_one = other.differing_one_by_one(&layout);
                assert_eq!(layout.differing(&other), one_by_one, "{layout} and {other}");
            }
            before.pages = layout.pages;
        }
    }

    #[test]
    fn span_masks_reach_both_ends() {
        assert_eq!(span_mask(0, 64), u64::MAX);
        assert_eq!(span_mask(5, 5), 0);
        assert_eq!(span_mask(63, 64), 1 << 63);
        assert_eq!(span_mask(2, 4), 0b1100);
    }
}
