//! Operations: one system call each, as a pure function on layouts.

use super::layout::Layout;
use super::page::{Advice, MAX_PGOFF, Page, Prot};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Some neighbouring pages of a lane: `start..start + len`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First page.
    pub start: u8,
    /// Number of pages, at least 1.
    pub len: u8,
}

impl Span {
    /// The pages `start..end`.
    pub const fn new(start: usize, end: usize) -> Span {
        debug_assert!(start < end && end <= super::MAX_PAGES);
        Span { start: start as u8, len: (end - start) as u8 }
    }

    /// First page.
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// One past the last page.
    pub const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// The pages as indices.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start()..self.end()
    }

    /// The pages as a mask.
    pub const fn mask(self) -> u64 {
        super::span_mask(self.start(), self.end())
    }

    /// Whether the two share a page.
    pub const fn overlaps(self, other: Span) -> bool {
        self.start() < other.end() && other.start() < self.end()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start(), self.end())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of a certain lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "PlaceFields", into = "PlaceFields")]
pub struct Place {
    /// The lane's number, lowest address first.
    pub lane: u16,
    /// The pages in it.
    pub span: Span,
}

/// A place as it is written in files. serde can't refuse unknown fields of a flattened struct, so
/// the fields of the span are named here once more.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceFields {
    lane: u16,
    start: u8,
    len: u8,
}

impl From<PlaceFields> for Place {
    fn from(PlaceFields { lane, start, len }: PlaceFields) -> Place {
        Place { lane, span: Span { start, len } }
    }
}

impl From<Place> for PlaceFields {
    fn from(Place { lane, span: Span { start, len } }: Place) -> PlaceFields {
        PlaceFields { lane, start, len }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} pages {}", self.lane, self.span)
    }
}

/// The kinds of operation, as `--ops` names them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// `mmap(MAP_FIXED)`.
    Map,
    /// `munmap`.
    Unmap,
    /// `mprotect`.
    Protect,
    /// `mremap` that stays in place.
    Resize,
    /// `mremap(MREMAP_FIXED)`, with or without `MREMAP_DONTUNMAP`.
    Remap,
    /// `prctl(PR_SET_VMA_ANON_NAME)`.
    Name,
    /// `madvise` with a flag that splits VMAs.
    Advise,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Kind::Map,
        Kind::Unmap,
        Kind::Protect,
        Kind::Resize,
        Kind::Remap,
        Kind::Name,
        Kind::Advise,
    ];

    /// The word `--ops` takes.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Map => "map",
            Kind::Unmap => "unmap",
            Kind::Protect => "protect",
            Kind::Resize => "resize",
            Kind::Remap => "remap",
            Kind::Name => "name",
            Kind::Advise => "advise",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            crate::vocabulary::unknown("operation", word, &Kind::ALL.map(Kind::word))
        })
    }
}

/// A set of operation kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KindSet(u8);

impl KindSet {
    /// No kind.
    pub const EMPTY: KindSet = KindSet(0);

    /// Every kind.
    pub fn all() -> KindSet {
        Kind::ALL.into_iter().collect()
    }

    /// Whether `kind` is in the set.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with `kind`.
    #[must_use]
    pub const fn with(self, kind: Kind) -> KindSet {
        KindSet(self.0 | 1 << kind as u8)
    }

    /// The set without `kind`.
    #[must_use]
    pub const fn without(self, kind: Kind) -> KindSet {
        KindSet(self.0 & !(1 << kind as u8))
    }

    /// The kinds in either.
    #[must_use]
    pub const fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |&kind| self.has(kind))
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> KindSet {
        kinds.into_iter().fold(KindSet::EMPTY, KindSet::with)
    }
}

impl fmt::Display for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, kind) in self.iter().enumerate() {
            write!(f, "{}{kind}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One system call that changes the arena.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// `mmap(MAP_FIXED | MAP_NORESERVE)` of the place; `page` is its first page.
    Map {
        /// What is mapped over.
        at: Place,
        /// The first page's attributes; advice and name are empty on a new mapping.
        page: Page,
    },
    /// `munmap`; parts that are not mapped are allowed.
    Unmap {
        /// What goes away.
        at: Place,
    },
    /// `mprotect`; all of it mapped.
    Protect {
        /// What changes.
        at: Place,
        /// The new protection.
        prot: Prot,
    },
    /// `mremap` without `MREMAP_MAYMOVE`: shrinks, or grows into the hole behind it.
    Resize {
        /// The old size, within one VMA.
        at: Place,
        /// The new size in pages, not the old one.
        new_len: u8,
    },
    /// `mremap(MREMAP_MAYMOVE | MREMAP_FIXED)` of pages within one VMA, size unchanged.
    ///
    /// A move that shrinks at the same time is left out on purpose: mm/mremap.c, `mremap_to`,
    /// unmaps the source's tail as a step of its own, so that a layout is visible that is
    /// neither the one before nor the one after. Nothing that stays mapped is missing in it, so
    /// it is no tear, and to judge it would need a second version for one operation.
    Remap {
        /// What is moved.
        from: Place,
        /// Where to: same length, not overlapping `from`.
        to: Place,
        /// `MREMAP_DONTUNMAP`: the source stays mapped, empty.
        keep: bool,
    },
    /// `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)`; all of it mapped anonymous memory.
    Name {
        /// What is named.
        at: Place,
        /// 1 to [`MAX_NAMES`](super::MAX_NAMES), or 0 to take the name away.
        name: u8,
    },
    /// `madvise`; all of it mapped.
    Advise {
        /// What is advised.
        at: Place,
        /// Which flag.
        advice: Advice,
        /// Given or taken back.
        on: bool,
    },
}

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

impl Op {
    /// The operation's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Op::Map { .. } => Kind::Map,
            Op::Unmap { .. } => Kind::Unmap,
            Op::Protect { .. } => Kind::Protect,
            Op::Resize { .. } => Kind::Resize,
            Op::Remap { .. } => Kind::Remap,
            Op::Name { .. } => Kind::Name,
            Op::Advise { .. } => Kind::Advise,
        }
    }

    /// The place it works on; of a move, the source.
    pub const fn at(&self) -> Place {
        match *self {
            Op::Map { at, .. }
            | Op::Unmap { at }
            | Op::Protect { at, .. }
            | Op::Resize { at, .. }
            | Op::Name { at, .. }
            | Op::Advise { at, .. } => at,
            Op::Remap { from, .. } => from,
        }
    }

    /// The second lane of a move from lane to lane.
    pub const fn other_lane(&self) -> Option<u16> {
        match *self {
            Op::Remap { from, to, .. } if from.lane != to.lane => Some(to.lane),
            _ => None,
        }
    }

    /// The pages that may change: of a resize, as many as the larger size has; of a move, source and
    /// destination.
    #[inline]
    pub(crate) const fn places(&self) -> (Place, Option<Place>) {
        match *self {
            Op::Resize { at, new_len } if new_len > at.span.len => {
                (Place { lane: at.lane, span: Span { start: at.span.start, len: new_len } }, None)
            }
            Op::Remap { from, to, .. } => (from, Some(to)),
            _ => (self.at(), None),
        }
    }

    /// Of a move between `lane` and another lane, the other.
    pub fn across(&self, lane: u16) -> Option<u16> {
        self.other_lane().map(|other| if other == lane { self.at().lane } else { other })
    }

    /// The operation in two words, for the history; [`Op::unpack`] is the inverse.
    ///
    /// Word 0, lowest bits first: kind (8), lane (16), start (8), length (8), an argument (8).
    /// Word 1: second lane (16), its start (8), spare (8), page (32).
    pub fn pack(&self) -> [u64; 2] {
        let at = self.at();
        let (arg, second) = match *self {
            Op::Map { page, .. } => (0, (page.bits() as u64) << 32),
            Op::Unmap { .. } => (0, 0),
            Op::Protect { prot, .. } => (prot.bits(), 0),
            Op::Resize { new_len, .. } => (new_len, 0),
            Op::Remap { to, keep, .. } => {
                (keep as u8, to.lane as u64 | (to.span.start as u64) << 16)
            }
            Op::Name { name, .. } => (name, 0),
            Op::Advise { advice, on, .. } => (advice as u8 | (on as u8) << 7, 0),
        };
        let first = self.kind() as u64
            | (at.lane as u64) << 8
            | (at.span.start as u64) << 24
            | (at.span.len as u64) << 32
            | (arg as u64) << 40;
        [first, second]
    }

    /// The operation that [`Op::pack`] made the words of; `None` for words it never makes.
    pub fn unpack([first, second]: [u64; 2]) -> Option<Op> {
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == first & 0xff)?;
        let span = Span { start: (first >> 24) as u8, len: (first >> 32) as u8 };
        let at = Place { lane: (first >> 8) as u16, span };
        let arg = (first >> 40) as u8;
        Some(match kind {
            Kind::Map => Op::Map { at, page: Page::from_bits((second >> 32) as u32) },
            Kind::Unmap => Op::Unmap { at },
            Kind::Protect => Op::Protect { at, prot: Prot::from_bits(arg) },
            Kind::Resize => Op::Resize { at, new_len: arg },
            Kind::Remap => {
                let span = Span { start: (second >> 16) as u8, len: span.len };
                Op::Remap { from: at, to: Place { lane: second as u16, span }, keep: arg != 0 }
            }
            Kind::Name => Op::Name { at, name: arg },
            Kind::Advise => Op::Advise {
                at,
                advice: Advice::ALL.into_iter().find(|a| *a as u8 == arg & 0x7f)?,
                on: arg >> 7 != 0,
            },
        })
    }
}

impl fmt::Display for Op {
    /// In the words of the system call: `mprotect lane 3 pages 2..5 to rw-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Op::Map { at, page } => write!(f, "mmap(MAP_FIXED) {at} as {page}"),
            Op::Unmap { at } => write!(f, "munmap {at}"),
            Op::Protect { at, prot } => write!(f, "mprotect {at} to {prot}"),
            Op::Resize { at, new_len } => write!(f, "mremap {at} to {new_len} pages in place"),
            Op::Remap { from, to, keep } => {
                let flags = if keep { "MREMAP_FIXED|MREMAP_DONTUNMAP" } else { "MREMAP_FIXED" };
                write!(f, "mremap({flags}) {from} onto {to}")
            }
            Op::Name { at, name: 0 } => write!(f, "prctl(PR_SET_VMA_ANON_NAME) {at} to none"),
            Op::Name { at, name } => write!(f, "prctl(PR_SET_VMA_ANON_NAME) {at} to name {name}"),
            Op::Advise { at, advice, on } => {
                let flag = advice.flag(on);
                write!(f, "madvise({flag}) {at}")
            }
        }
    }
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
    use super::super::layout::drawing::draw;
    use super::*;
    use proptest::prelude::*;

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

    fn any_place() -> impl Strategy<Value = Place> {
        (any::<u16>(), 0..64usize, 1..=64usize).prop_map(|(lane, start, len)| Place {
            lane,
            span: Span::new(start, (start + len).min(64)),
        })
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let prot = || (0..8u8).prop_map(Prot::from_bits);
        prop_oneof![
            (any_place(), any::<u32>())
                .prop_map(|(at, bits)| Op::Map { at, page: Page::from_bits(bits) }),
            any_place().prop_map(|at| Op::Unmap { at }),
            (any_place(), prot()).prop_map(|(at, prot)| Op::Protect { at, prot }),
            (any_place(), 0..=64u8).prop_map(|(at, new_len)| Op::Resize { at, new_len }),
            (any_place(), any_place(), any::<bool>()).prop_map(|(from, mut to, keep)| {
                to.span.len = from.span.len;
                Op::Remap { from, to, keep }
            }),
            (any_place(), 0..8u8).prop_map(|(at, name)| Op::Name { at, name }),
            (any_place(), 0..3usize, any::<bool>()).prop_map(|(at, i, on)| Op::Advise {
                at,
                advice: Advice::ALL[i],
                on
            }),
        ]
    }

    proptest! {
        #[test]
        fn packing_keeps_every_operation(op in any_op()) {
            prop_assert_eq!(Op::unpack(op.pack()), Some(op));
        }
    }

    #[test]
    fn kinds_are_known_by_their_words() {
        for kind in Kind::ALL {
            assert_eq!(kind.word().parse::<Kind>(), Ok(kind));
        }
        assert!("mmap".parse::<Kind>().unwrap_err().contains("map, unmap"));
    }
}
