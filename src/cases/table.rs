//! The cases, as data.
//!
//! Every lane begins and ends with a VMA that nothing merges with, so that each case has a line
//! before it and one behind. Operations go round in a loop; the first that is one of the ten
//! carries the case's number.

use super::place::Position;
use crate::model::Case::{self, *};
use crate::model::{CaseSet, Op, Page, Place, Prot, Span};
use crate::oracle::Mechanism::{self, ReplacedInFlight, SkippedAfterMerge};
use crate::vocabulary::words;
use strum::{IntoStaticStr, VariantArray};

/// One operation of a case, and what it has to make of the VMAs.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The operation.
    pub op: Op,
    /// Which of the ten it is.
    pub cases: CaseSet,
    /// How many VMAs it makes an end of, and how many new ones come about.
    pub turns: (usize, usize),
}

/// What the series foresees beside the state before and the state after.
#[derive(Clone, Copy, PartialEq, Eq, Debug, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Foreseen {
    /// Nothing: a retry hides what is in between.
    Retry,
    /// A VMA reported again after it changed.
    Twice,
    /// A gap and then the VMA that filled it.
    GapThenVma,
}

words!(Foreseen, "outcome");

/// A case.
#[derive(Debug)]
pub struct Spec {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// What the series says a reader might see; empty where it says nothing.
    pub says: &'static str,
    /// The same, to be counted.
    pub foreseen: &'static [Foreseen],
    /// Mechanisms of known kernels that its operations give a chance to.
    pub chances: &'static [Mechanism],
    /// The lanes to begin with.
    pub lanes: &'static [&'static str],
    /// Whether they show the state after the operation and not the one before it.
    pub begins_after: bool,
    /// The operations, again and again.
    pub steps: &'static [Step],
    /// The pages of lane 0 at which the page of output ends before, inside and after the VMAs
    /// that change.
    pub boundaries: [Option<u8>; 3],
}

impl Spec {
    /// The page of lane 0 at which the page of output is to end.
    pub fn boundary(&self, position: Position) -> Option<u8> {
        match position {
            Position::Page => None,
            Position::Before => self.boundaries[0],
            Position::Inside => self.boundaries[1],
            Position::After => self.boundaries[2],
        }
    }

    /// Its name in tests: a number alone would say little.
    pub fn test_name(&self) -> String {
        if self.name.starts_with(|c: char| c.is_ascii_digit()) {
            format!("case{}", self.name)
        } else {
            self.name.to_owned()
        }
    }
}

/// The case of that name.
pub fn find(name: &str) -> Option<&'static Spec> {
    let bare = name.strip_prefix("case").unwrap_or(name);
    TABLE.iter().find(|spec| spec.name == bare)
}

/// Pages of each lane.
pub(super) const PAGES: u8 = 16;

const R: Prot = Prot::READ;
const RW: Prot = Prot::READ_WRITE;

const fn at(start: usize, end: usize) -> Place {
    Place { lane: 0, span: Span::new(start, end) }
}

const fn up(start: usize, end: usize) -> Place {
    Place { lane: 1, span: Span::new(start, end) }
}

const fn map(at: Place, prot: Prot) -> Op {
    Op::Map { at, page: Page::anon(prot) }
}

const fn protect(start: usize, end: usize, prot: Prot) -> Op {
    Op::Protect { at: at(start, end), prot }
}

const fn unmap(start: usize, end: usize) -> Op {
    Op::Unmap { at: at(start, end) }
}

const fn remap(from: Place, to: Place, keep: bool) -> Op {
    Op::Remap { from, to, keep }
}

const fn step(op: Op, cases: &[Case], turns: (usize, usize)) -> Step {
    let mut set = CaseSet::NONE;
    let mut i = 0;
    while i < cases.len() {
        set = set.with(cases[i]);
        i += 1;
    }
    Step { op, cases: set, turns }
}

/// All cases, in the order of the series, then the selftest's, then more.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "1",
        title: MergeBoth.title(),
        says: "might report overwritten and previous vma along with the final merged vma",
        foreseen: &[Foreseen::Twice],
        chances: &[SkippedAfterMerge],
        lanes: &[
            "[0..1 ---p anon] [1..4 rw-p anon] [4..7 r--p anon] [7..10 rw-p anon] [10..11 ---p anon]",
        ],
        begins_after: false,
        steps: &[
            step(map(at(4, 7), RW), &[MergeBoth], (3, 1)),
            step(protect(4, 7, R), &[SplitBelow, SplitAbove], (1, 3)),
            step(protect(4, 7, RW), &[MergeBoth], (3, 1)),
            step(protect(4, 7, R), &[SplitBelow, SplitAbove], (1, 3)),
        ],
        boundaries: [Some(1), Some(4), Some(10)],
    },
    Spec {
        name: "2",
        title: MergeLeftFull.title(),
        says: "might report previous and the final merged vma",
        foreseen: &[Foreseen::Twice],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [4..7 r--p anon] [7..8 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(4, 7), RW), &[MergeLeftFull], (2, 1)),
            step(protect(4, 7, R), &[SplitBelow], (1, 2)),
            step(protect(4, 7, RW), &[MergeLeftFull], (2, 1)),
            step(protect(4, 7, R), &[SplitBelow], (1, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(7)],
    },
    Spec {
        name: "3",
        title: MergeLeftPartial.title(),
        says: "might cause a retry once the temporary gap is detected",
        foreseen: &[Foreseen::Retry],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [4..10 r--p anon] [10..11 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(4, 7), RW), &[MergeLeftPartial], (2, 2)),
            step(protect(4, 7, R), &[MergeRightPartial], (2, 2)),
            step(protect(4, 7, RW), &[MergeLeftPartial], (2, 2)),
            step(map(at(4, 7), R), &[MergeRightPartial], (2, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(10)],
    },
    Spec {
        name: "4",
        title: MergeRightFull.title(),
        says: "might report overwritten and the final merged vma",
        foreseen: &[Foreseen::Twice],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 r--p anon] [4..7 rw-p anon] [7..8 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(1, 4), RW), &[MergeRightFull], (2, 1)),
            step(protect(1, 4, R), &[SplitAbove], (1, 2)),
            step(protect(1, 4, RW), &[MergeRightFull], (2, 1)),
            step(protect(1, 4, R), &[SplitAbove], (1, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(7)],
    },
    Spec {
        name: "5",
        title: MergeRightPartial.title(),
        says: "might cause a retry once the temporary gap is detected",
        foreseen: &[Foreseen::Retry],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..7 r--p anon] [7..10 rw-p anon] [10..11 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(4, 7), RW), &[MergeRightPartial], (2, 2)),
            step(protect(4, 7, R), &[MergeLeftPartial], (2, 2)),
            step(protect(4, 7, RW), &[MergeRightPartial], (2, 2)),
            step(map(at(4, 7), R), &[MergeLeftPartial], (2, 2)),
        ],
        boundaries: [Some(1), Some(7), Some(10)],
    },
    // A gap shows only by the line above it, and that VMA is part of the merged one. For the merged
    // VMA to be found again after that line, it has to end above it. So in cases 6 and 8 the upper
    // VMA grows (case 7) before the gap opens again.
    Spec {
        name: "6",
        title: GapBoth.title(),
        says: "might report previous vma and the gap along with the final merged vma",
        foreseen: &[Foreseen::Twice, Foreseen::GapThenVma],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [7..10 rw-p anon] [12..13 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(4, 7), RW), &[GapBoth], (2, 1)),
            step(map(at(10, 12), RW), &[GapLeft], (1, 1)),
            step(unmap(4, 7), &[SplitBelow, SplitAbove], (1, 2)),
            step(unmap(10, 12), &[], (1, 1)),
        ],
        boundaries: [Some(1), Some(4), Some(10)],
    },
    Spec {
        name: "7",
        title: GapLeft.title(),
        says: "might report previous and the final merged vma",
        foreseen: &[Foreseen::Twice],
        chances: &[],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [7..8 ---p anon]"],
        begins_after: false,
        steps: &[step(map(at(4, 7), RW), &[GapLeft], (1, 1)), step(unmap(4, 7), &[], (1, 1))],
        boundaries: [Some(1), None, Some(4)],
    },
    Spec {
        name: "8",
        title: GapRight.title(),
        says: "might report the original gap and the final merged vma covering the gap",
        foreseen: &[Foreseen::GapThenVma],
        chances: &[],
        lanes: &["[0..1 ---p anon] [4..7 rw-p anon] [9..10 ---p anon]"],
        begins_after: false,
        steps: &[
            step(map(at(1, 4), RW), &[GapRight], (1, 1)),
            step(map(at(7, 9), RW), &[GapLeft], (1, 1)),
            step(unmap(1, 4), &[], (1, 1)),
            step(unmap(7, 9), &[], (1, 1)),
        ],
        boundaries: [Some(1), None, Some(7)],
    },
    Spec {
        name: "9",
        title: SplitBelow.title(),
        says: "might cause a retry once the temporary gap is detected",
        foreseen: &[Foreseen::Retry],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [4..7 r--p anon] [7..8 ---p anon]"],
        begins_after: true,
        steps: &[
            step(protect(4, 7, RW), &[MergeLeftFull], (2, 1)),
            step(protect(4, 7, R), &[SplitBelow], (1, 2)),
            step(map(at(4, 7), RW), &[MergeLeftFull], (2, 1)),
            step(map(at(4, 7), R), &[SplitBelow], (1, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(7)],
    },
    Spec {
        name: "10",
        title: SplitAbove.title(),
        says: "might cause a retry once the temporary gap is detected",
        foreseen: &[Foreseen::Retry],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 r--p anon] [4..7 rw-p anon] [7..8 ---p anon]"],
        begins_after: true,
        steps: &[
            step(protect(1, 4, RW), &[MergeRightFull], (2, 1)),
            step(protect(1, 4, R), &[SplitAbove], (1, 2)),
            step(map(at(1, 4), RW), &[MergeRightFull], (2, 1)),
            step(map(at(1, 4), R), &[SplitAbove], (1, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(7)],
    },
    Spec {
        name: "split",
        title: "the selftest's: the first page of three mapped with execute, and back",
        says: "",
        foreseen: &[],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..2 rwxp anon] [2..4 rw-p anon] [4..7 r--p anon]"],
        begins_after: true,
        steps: &[
            step(map(at(1, 2), RW), &[MergeRightFull], (2, 1)),
            step(map(at(1, 2), Prot::ALL), &[SplitAbove], (1, 2)),
        ],
        boundaries: [Some(1), Some(2), Some(4)],
    },
    Spec {
        name: "resize",
        title: "the selftest's: three pages shrunk to one by mremap, and grown back",
        says: "",
        foreseen: &[],
        chances: &[],
        lanes: &["[0..1 ---p anon] [1..4 rw-p anon] [4..7 r--p anon]"],
        begins_after: false,
        steps: &[
            step(Op::Resize { at: at(1, 4), new_len: 1 }, &[], (1, 1)),
            step(Op::Resize { at: at(1, 2), new_len: 3 }, &[GapLeft], (1, 1)),
        ],
        boundaries: [Some(1), None, Some(4)],
    },
    Spec {
        name: "remap",
        title: "the selftest's: the next vma's last page moved into the middle of this one, and back",
        says: "",
        foreseen: &[],
        chances: &[SkippedAfterMerge],
        lanes: &[
            "[0..1 ---p anon] [1..2 rw-p anon] [2..3 r--p anon] [3..4 rw-p anon] [4..7 r--p anon]",
        ],
        begins_after: true,
        steps: &[
            step(protect(2, 3, RW), &[MergeBoth], (3, 1)),
            step(remap(at(6, 7), at(2, 3), true), &[SplitBelow, SplitAbove], (1, 3)),
        ],
        boundaries: [Some(1), Some(2), Some(4)],
    },
    Spec {
        name: "replace",
        title: "a whole vma replaced by mremap onto it",
        says: "",
        foreseen: &[],
        chances: &[ReplacedInFlight],
        lanes: &["[3..4 ---p anon] [4..7 r--p anon] [7..8 ---p anon]", "[4..7 rw-p anon]"],
        begins_after: false,
        steps: &[
            step(remap(up(4, 7), at(4, 7), false), &[], (2, 1)),
            step(map(up(4, 7), R), &[], (0, 1)),
            step(remap(up(4, 7), at(4, 7), false), &[], (2, 1)),
            step(map(up(4, 7), RW), &[], (0, 1)),
        ],
        boundaries: [Some(4), None, Some(7)],
    },
    Spec {
        name: "replace-keep",
        title: "a whole vma replaced by mremap with MREMAP_DONTUNMAP",
        says: "",
        foreseen: &[],
        chances: &[ReplacedInFlight],
        lanes: &[
            "[3..4 ---p anon] [4..7 r--p anon] [7..8 ---p anon]",
            "[4..7 rw-p anon] [8..11 r--p anon]",
        ],
        begins_after: false,
        steps: &[
            step(remap(up(4, 7), at(4, 7), true), &[], (1, 1)),
            step(remap(up(8, 11), at(4, 7), true), &[], (1, 1)),
        ],
        boundaries: [Some(4), None, Some(7)],
    },
    Spec {
        name: "map-shared",
        title: "MAP_FIXED replacing private by shared memory, and back",
        says: "",
        foreseen: &[],
        chances: &[],
        lanes: &["[3..4 ---p anon] [4..7 rw-p anon] [7..8 ---p anon]"],
        begins_after: false,
        steps: &[
            step(Op::Map { at: at(4, 7), page: Page::file(RW, true, 0, 0) }, &[], (1, 1)),
            step(map(at(4, 7), RW), &[], (1, 1)),
        ],
        boundaries: [Some(4), None, Some(7)],
    },
    Spec {
        name: "move",
        title: "a vma moved onto another one's place, and back",
        says: "",
        foreseen: &[],
        chances: &[ReplacedInFlight],
        lanes: &[
            "[3..4 ---p anon] [4..7 rw-p anon] [7..8 ---p anon] [8..11 r--p anon] [11..12 ---p anon]",
        ],
        begins_after: false,
        steps: &[
            step(remap(at(4, 7), at(8, 11), false), &[], (2, 1)),
            step(map(at(4, 7), R), &[], (0, 1)),
            step(remap(at(8, 11), at(4, 7), false), &[], (2, 1)),
            step(map(at(8, 11), R), &[], (0, 1)),
        ],
        boundaries: [Some(4), Some(8), Some(11)],
    },
    Spec {
        name: "split-file",
        title: "a memfd's mapping split so that an offset changes, and merged",
        says: "",
        foreseen: &[],
        chances: &[SkippedAfterMerge],
        lanes: &["[0..1 ---p anon] [1..4 r--s memfd0+0] [4..7 rw-s memfd0+3] [7..8 ---p anon]"],
        begins_after: true,
        steps: &[
            step(protect(4, 7, R), &[MergeLeftFull], (2, 1)),
            step(protect(4, 7, RW), &[SplitBelow], (1, 2)),
        ],
        boundaries: [Some(1), Some(4), Some(7)],
    },
];
