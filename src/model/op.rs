//! One system call as data.

use super::kind::Kind;
use super::page::{Advice, Page, Prot};
use super::span::{Place, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// A write in user mode to each page of the lane, or with `whole` to all memory that it stands for;
    /// all of it private memory that can be written to.
    ///
    /// It changes no boundary, and decides which VMAs merge later: see
    /// [`AnonVma`](super::AnonVma).
    Touch {
        /// What is written to.
        at: Place,
        /// All memory that a page of the lane stands for, where that is more than one page.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
    },
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
            Op::Touch { .. } => Kind::Touch,
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
            | Op::Advise { at, .. }
            | Op::Touch { at, .. } => at,
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

    /// The lanes it works on.
    pub fn lanes(&self) -> impl Iterator<Item = u16> + use<> {
        [Some(self.at().lane), self.other_lane()].into_iter().flatten()
    }

    /// Where it puts a VMA over whatever is there.
    pub const fn puts(&self) -> Option<Place> {
        match *self {
            Op::Map { at, .. } => Some(at),
            Op::Remap { to, .. } => Some(to),
            _ => None,
        }
    }

    /// The same operation in other places: `map` tells for each place what becomes of it. A resize
    /// has two, its old size and its new one. Both ends of a move stay equally long: the longer one
    /// gives up its last pages. `None` where a place is gone.
    pub fn map_places(&self, map: impl Fn(Place) -> Option<Place>) -> Option<Op> {
        Some(match *self {
            Op::Map { at, page } => Op::Map { at: map(at)?, page },
            Op::Unmap { at } => Op::Unmap { at: map(at)? },
            Op::Protect { at, prot } => Op::Protect { at: map(at)?, prot },
            Op::Resize { at, new_len } => {
                let new = map(Place { span: Span { len: new_len, ..at.span }, ..at });
                Op::Resize { at: map(at)?, new_len: new.map_or(0, |new| new.span.len) }
            }
            Op::Remap { from, to, keep } => {
                let (from, to) = (map(from)?, map(to)?);
                let len = from.span.len.min(to.span.len);
                let cut = |place: Place| Place { span: Span { len, ..place.span }, ..place };
                Op::Remap { from: cut(from), to: cut(to), keep }
            }
            Op::Name { at, name } => Op::Name { at: map(at)?, name },
            Op::Advise { at, advice, on } => Op::Advise { at: map(at)?, advice, on },
            Op::Touch { at, whole } => Op::Touch { at: map(at)?, whole },
        })
    }

    /// The same operation with other pages, where it makes some.
    #[must_use]
    pub fn map_page(self, map: impl Fn(Page) -> Page) -> Op {
        match self {
            Op::Map { at, page } => Op::Map { at, page: map(page) },
            other => other,
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
            Op::Touch { whole, .. } => (whole as u8, 0),
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
            Kind::Touch => Op::Touch { at, whole: arg != 0 },
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
            Op::Touch { at, whole: false } => write!(f, "write to {at}"),
            Op::Touch { at, whole: true } => write!(f, "write to all of {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            (any_place(), any::<bool>()).prop_map(|(at, whole)| Op::Touch { at, whole }),
        ]
    }

    proptest! {
        #[test]
        fn packing_keeps_every_operation(op in any_op()) {
            prop_assert_eq!(Op::unpack(op.pack()), Some(op));
        }

        #[test]
        fn an_operation_goes_where_its_places_go(op in any_op()) {
            prop_assert_eq!(op.map_places(Some), Some(op));
            prop_assert_eq!(op.map_places(|_| None), None);
            let moved = op.map_places(|place| Some(Place { lane: place.lane ^ 1, ..place }));
            let (old, new) = (op.lanes(), moved.unwrap().lanes());
            prop_assert!(old.map(|lane| lane ^ 1).eq(new));
        }
    }
}
