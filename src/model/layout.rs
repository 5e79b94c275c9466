//! One lane at one instant: its VMAs with their boundaries, and what is known of their anon_vmas.

use super::anon::AnonVma;
use super::page::Page;
use std::fmt;
use std::ops::Range;

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

/// The end of the VMA that starts at page `start`, given the mapped pages and those at which a VMA
/// starts, as masks: the next page that starts one or is not mapped.
#[inline]
pub const fn vma_end(mapped: u64, starts: u64, start: usize) -> usize {
    let above = u64::MAX << start << 1;
    ((starts | !mapped) & above).trailing_zeros() as usize
}

/// One VMA: pages `start..end` of the lane, the first of them being `page`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vma {
    /// First page.
    pub start: usize,
    /// One past the last page.
    pub end: usize,
    /// Attributes of the first page, with [marks](Page::with_marks) for the anon_vma; those of the
    /// others follow by [`Page::step`].
    pub page: Page,
}

/// The VMAs of one lane at one instant.
///
/// Where a VMA starts is state: two neighbours with equal attributes may be one VMA or two,
/// depending on what happened to them (include/linux/mm_types.h, `struct vm_area_struct`).
#[derive(Clone, Copy)]
pub struct Layout {
    /// Without marks. Those from `len` on are holes.
    pages: [Page; MAX_PAGES],
    /// By the page at which the VMA starts; of other pages, anything.
    anon: [AnonVma; MAX_PAGES],
    /// Invariant: the pages that are mapped.
    mapped: u64,
    /// Invariant: some of the mapped pages, among them each one that does not
    /// [continue](Page::continues) the page below it.
    starts: u64,
    /// Invariant: of the pages at which a VMA starts, those of VMAs with an anon_vma. Other bits: anything.
    touched: u64,
    len: u8,
}

impl PartialEq for Layout {
    /// Whether pages and boundaries are the same, and so is what the [marks](Page::with_marks) tell of
    /// the anon_vmas. The numbers of anon_vmas may differ.
    fn eq(&self, other: &Layout) -> bool {
        self.pages() == other.pages() && self.starts == other.starts && self.vmas().eq(other.vmas())
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
        Layout {
            pages: [Page::HOLE; MAX_PAGES],
            anon: [AnonVma::NONE; MAX_PAGES],
            mapped: 0,
            starts: 0,
            touched: 0,
            len: len as u8,
        }
    }

    /// A lane with these pages, in VMAs as large as can be, none of them touched.
    ///
    /// # Panics
    /// When there are none or more than [`MAX_PAGES`].
    pub fn from_pages(pages: &[Page]) -> Layout {
        let mut layout = Layout::empty(pages.len());
        let mut before = Page::HOLE;
        for (at, &page) in pages.iter().enumerate() {
            let page = page.without_marks();
            layout.pages[at] = page;
            layout.mapped |= u64::from(page.is_mapped()) << at;
            layout.starts |= u64::from(page.is_mapped() && !before.continues(page)) << at;
            before = page;
        }
        layout
    }

    /// The pages as `change` makes them, in VMAs as large as can be, none of them touched.
    #[must_use]
    pub fn repaged(&self, change: impl FnOnce(&mut [Page])) -> Layout {
        let mut pages = self.pages;
        change(&mut pages[..self.len()]);
        Layout::from_pages(&pages[..self.len()])
    }

    /// A lane of `len` pages with these VMAs. A VMA whose page is marked as
    /// [alike](Page::is_alike) has the anon_vma of the touched one before it.
    ///
    /// # Panics
    /// When a VMA reaches out of the lane.
    pub fn from_vmas(len: usize, vmas: impl IntoIterator<Item = Vma>) -> Layout {
        let mut layout = Layout::empty(len);
        let mut last = 0;
        for Vma { start, end, page } in vmas {
            layout.put(start..end, page.without_marks());
            if page.is_touched() {
                last = if page.is_alike() && last != 0 { last } else { start as u64 + 1 };
                layout.set_anon(start, AnonVma { number: last, ..AnonVma::NONE });
            }
        }
        layout
    }

    /// The number of pages, mapped or not.
    #[allow(clippy::len_without_is_empty)] // A lane has at least one page.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// All pages, lowest address first, without marks.
    #[inline]
    pub fn pages(&self) -> &[Page] {
        &self.pages[..self.len()]
    }

    /// The pages two by two; with an odd number of them, the second of the last two is a hole.
    #[inline]
    pub(crate) fn pairs(&self) -> &[[Page; 2]] {
        &self.pages.as_chunks().0[..self.len().div_ceil(2)]
    }

    /// The pages that are mapped, as a mask.
    pub fn mapped(&self) -> u64 {
        self.mapped
    }

    /// The mapped pages at which a VMA starts, as a mask; see [`Layout::masks`].
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// The pages that are mapped, and those of them at which a VMA starts.
    ///
    /// Together they are the whole division into VMAs: one that starts at page `s` ends where the
    /// next bit is set in the second or where the next page is not mapped.
    #[inline]
    pub fn masks(&self) -> (u64, u64) {
        (self.mapped, self.starts)
    }

    /// The pages that are not what they are in `other`, which has as many, as a mask.
    pub fn differing(&self, other: &Layout) -> u64 {
        debug_assert_eq!(self.len, other.len);
        let pages = self.pages().iter().zip(other.pages()).enumerate();
        pages.fold(0, |mask, (i, (one, two))| mask | u64::from(one != two) << i)
    }

    /// The VMAs, lowest first.
    pub fn vmas(&self) -> Vmas<'_> {
        Vmas { layout: self, left: self.starts, last: 0 }
    }

    /// The VMAs that were written to, lowest first.
    #[inline]
    pub fn touched(&self) -> impl Iterator<Item = Vma> + '_ {
        Vmas { left: self.starts & self.touched, ..self.vmas() }
    }

    /// The VMA that covers page `at`, if one does.
    pub fn vma_at(&self, at: usize) -> Option<Vma> {
        self.span_at(at)?;
        self.vmas().find(|vma| (vma.start..vma.end).contains(&at))
    }

    /// Makes the pages one VMA that begins with `page`, whatever was there; what is left of a VMA on
    /// either side stays. Nothing merges.
    pub fn put(&mut self, pages: Range<usize>, page: Page) {
        self.clear(pages.clone());
        let start = pages.start;
        for (i, at) in pages.clone().enumerate() {
            self.pages[at] = page.step(i as u16);
        }
        self.mapped |= span_mask(start, pages.end);
        self.starts |= 1 << start;
        self.set_anon(start, AnonVma::NONE);
    }

    /// Unmaps the pages; what is left of a VMA on either side stays.
    #[inline]
    pub fn clear(&mut self, pages: Range<usize>) {
        self.cut(pages.start);
        self.cut(pages.end);
        let mask = span_mask(pages.start, pages.end);
        self.pages[pages].fill(Page::HOLE);
        self.mapped &= !mask;
        self.starts &= !mask;
    }

    /// First page and end of the VMA that covers page `at`, if one does.
    #[inline]
    pub(super) fn span_at(&self, at: usize) -> Option<(usize, usize)> {
        if at >= self.len() || self.mapped & 1 << at == 0 {
            return None;
        }
        let below = self.starts & (u64::MAX >> (MAX_PAGES - 1 - at));
        let start = MAX_PAGES - 1 - below.leading_zeros() as usize;
        Some((start, vma_end(self.mapped, self.starts, start)))
    }

    /// Splits the VMA that covers page `at` and the page below it (mm/vma.c, `__split_vma`): both
    /// parts share its anon_vma.
    #[inline]
    pub(super) fn cut(&mut self, at: usize) {
        if at < self.len() && self.mapped & !self.starts & 1 << at != 0 {
            let (start, _) = self.span_at(at).expect("the page is mapped");
            self.starts |= 1 << at;
            self.set_anon(at, self.anon[start]);
        }
    }

    /// Makes the VMA that starts at page `at` one with the VMA below it.
    #[inline]
    pub(super) fn join(&mut self, at: usize) {
        debug_assert!(at > 0 && self.pages[at - 1].continues(self.pages[at]));
        self.starts &= !(1 << at);
    }

    /// A page, to be changed, of a VMA whose other pages are changed alike.
    #[inline]
    pub(super) fn page_mut(&mut self, at: usize) -> &mut Page {
        &mut self.pages[at]
    }

    /// The anon_vma of the VMA that starts at page `start`.
    #[inline]
    pub(super) fn anon(&self, start: usize) -> AnonVma {
        self.anon[start]
    }

    /// Sets the anon_vma of the VMA that starts at page `start`.
    #[inline]
    pub(super) fn set_anon(&mut self, start: usize, anon: AnonVma) {
        debug_assert!(self.starts & 1 << start != 0);
        self.anon[start] = anon;
        self.touched = self.touched & !(1 << start) | u64::from(anon.is_some()) << start;
    }

    /// The same layout with the anon_vma of each VMA as `anon` tells, for VMAs that are not counted
    /// by this model: first page to anon_vma.
    pub(crate) fn with_anon(mut self, anon: impl Fn(usize) -> AnonVma) -> Layout {
        let starts = self.starts;
        for start in (0..self.len()).filter(|&at| starts & 1 << at != 0) {
            self.set_anon(start, anon(start));
        }
        self
    }
}

/// Iterator over the VMAs of a layout; see [`Layout::vmas`].
#[derive(Clone)]
pub struct Vmas<'a> {
    layout: &'a Layout,
    left: u64,
    /// The anon_vma's number of the touched VMA before, or 0.
    last: u64,
}

impl Iterator for Vmas<'_> {
    type Item = Vma;

    #[inline]
    fn next(&mut self) -> Option<Vma> {
        if self.left == 0 {
            return None;
        }
        let start = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        let end = vma_end(self.layout.mapped, self.layout.starts, start);
        let number = self.layout.anon[start].number;
        let mut page = self.layout.pages[start];
        if number != 0 {
            page = page.with_marks(number == self.last);
            self.last = number;
        }
        Some(Vma { start, end, page })
    }
}

impl fmt::Display for Layout {
    /// The VMAs as `[0..4 rw-p anon] [6..8 r--s memfd0+2]`, or `empty`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mapped == 0 {
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
    use crate::model::drawing::draw;

    fn runs(picture: &str) -> Vec<(usize, usize)> {
        draw(picture).vmas().map(|v| (v.start, v.end)).collect()
    }

    #[test]
    fn pages_make_vmas_as_large_as_can_be() {
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
    fn a_boundary_between_equal_pages_is_part_of_the_layout() {
        let whole = draw("rrrr");
        let two = draw("rr|rr");
        assert_ne!(whole, two);
        assert_eq!(whole.differing(&two), 0);
        assert_eq!(runs("rr|rr"), [(0, 2), (2, 4)]);
        let mut joined = two;
        joined.join(2);
        assert_eq!(joined, whole);
    }

    #[test]
    fn masks_and_vmas_tell_the_same() {
        for picture in ["rrr.wwr.", "012567", "r.r.r.r.", "wwww|wwww", "....", "r0r1", "r|r|r"] {
            let layout = draw(picture);
            let (mapped, starts) = layout.masks();
            let from_vmas = layout
                .vmas()
                .fold((0, 0), |(m, s), v| (m | span_mask(v.start, v.end), s | 1 << v.start));
            assert_eq!((mapped, starts), from_vmas, "{picture}");
            for (at, page) in layout.pages().iter().enumerate() {
                let covering = layout.vmas().find(|v| (v.start..v.end).contains(&at));
                assert_eq!(layout.vma_at(at), covering, "{picture} at {at}");
                let span = covering.map(|vma| (vma.start, vma.end));
                assert_eq!(layout.span_at(at), span, "{picture} at {at}");
                assert_eq!(page.is_mapped(), covering.is_some());
            }
            assert_eq!(layout.vma_at(layout.len()), None);
        }
    }

    #[test]
    fn vmas_make_the_layout_they_came_from() {
        for picture in ["rrr.wwr.", "wW|Ww", "WW.WW", "012567", "W|W"] {
            let layout = draw(picture);
            assert_eq!(Layout::from_vmas(layout.len(), layout.vmas()), layout, "{picture}");
        }
    }

    #[test]
    fn what_is_put_over_vmas_leaves_their_ends() {
        let mut layout = draw("WWWWWW");
        layout.put(2..4, Page::anon(crate::model::Prot::READ_WRITE));
        let marks = |layout: &Layout| {
            let vmas = layout.vmas();
            vmas.map(|v| (v.start, v.page.is_touched(), v.page.is_alike())).collect::<Vec<_>>()
        };
        assert_eq!(marks(&layout), [(0, true, false), (2, false, false), (4, true, true)]);
        layout.clear(3..5);
        assert_eq!(layout.masks(), (0b100111, 0b100101));
    }

    #[test]
    fn span_masks_reach_both_ends() {
        assert_eq!(span_mask(0, 64), u64::MAX);
        assert_eq!(span_mask(5, 5), 0);
        assert_eq!(span_mask(63, 64), 1 << 63);
        assert_eq!(span_mask(2, 4), 0b1100);
    }
}
