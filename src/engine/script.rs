//! What the workers of a scenario do, in place of what a seed draws.

use super::layout_marks::LayoutMarks;
use super::modes::Mode;
use crate::model::{Layout, Op};
use crate::oracle::Contract;
use std::sync::Arc;

/// The part of one reader.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How it reads.
    pub mode: Mode,
    /// What makes an anomaly a violation for it.
    pub contract: Contract,
    /// Whether each call has to show one instant, whatever the contract: what reading under
    /// mmap_lock gives. Between two calls a VMA may still come twice, so this is less than
    /// [`Contract::Snapshot`], which takes in the contracts before it.
    pub one_instant: bool,
    /// Bytes of a walk from the bottom that its first call reads (and calls of a page, where it
    /// takes more than one); none for calls like all others.
    pub first_read: Option<usize>,
    /// Bytes of each call after those; none for a page, or odd sizes where it reads short.
    pub later_reads: Option<usize>,
    /// Where in the file the lines of the lanes lie to begin with.
    pub text: (u64, u64),
    /// Offsets in the file at which a pread begins, the end excluded; none for anywhere.
    pub offsets: Option<(u64, u64)>,
}

/// The parts of all workers that a scenario gives one.
///
/// The first lanes, the first mutators and the first readers of the storm are the scenario's;
/// those beyond are noise and do what the seed draws, in the lanes beyond.
#[derive(Clone, Debug)]
pub struct Script {
    /// The lanes to begin with.
    pub layouts: Vec<Layout>,
    /// One loop of operations for each mutator.
    pub loops: Vec<Arc<[Op]>>,
    /// One way of reading for each reader.
    pub readers: Vec<Reading>,
    /// What tells the layout before from those after.
    pub views: LayoutMarks,
}
