//! What is kept of a violation, and the mechanism it points to.

use super::clock::{Tick, Window};
use super::history::{History, Origin, Version};
use super::ledger::Oracle;
use super::rules::Relaxation;
use super::verdict::{Break, Class, Contract, Rule, Tolerated};
use crate::model::{Geometry, Kind, KindSet, Layout, Outline};
use crate::vocabulary::words;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// One version of a lane, copied out of the history.
#[derive(Clone, Copy, Debug)]
pub struct VersionRecord {
    /// The lane.
    pub lane: u16,
    /// Its number.
    pub version: Version,
    /// The tick before the system call that made it.
    pub invoked: Tick,
    /// The tick after the system call that replaced it; [`OPEN`](super::OPEN) for the newest.
    pub closed: Tick,
    /// The VMAs.
    pub outline: Outline,
    /// How it came about.
    pub origin: Origin,
}

impl VersionRecord {
    /// The record of a version of `lane`, from its history.
    pub fn of(history: &History, lane: u16, version: Version) -> VersionRecord {
        VersionRecord {
            lane,
            version,
            invoked: history.invoked(version),
            closed: history.closed(version),
            outline: Outline::from(&history.layout(version)),
            origin: history.origin(version),
        }
    }

    /// The VMAs as a layout.
    pub fn layout(&self) -> Layout {
        self.outline.layout()
    }
}

/// A kernel mechanism that explains a violation: were it allowed, the walk would be right. Named
/// after the verdict, never used for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Mechanism {
    /// An operation in flight replaced pages in two steps: mm/mremap.c, `mremap_to`, unmaps the
    /// destination and only later inserts the VMA that is moved there. The neighbours of the gap
    /// are not locked, so the reader walks past it.
    ReplacedInFlight,
    /// The VMA just reported merged with its neighbours: mm/mmap_lock.c, `lock_next_vma`, goes on
    /// with an iterator that has gone stale, restarts inside the merged VMA and steps over it. A
    /// move merges for a moment, too, where it puts the copy beside the source.
    SkippedAfterMerge,
    /// The VMA that the reader's iterator stood on was split or replaced before it was locked.
    /// mm/mmap_lock.c, `lock_next_vma`, judges the VMA it then holds by its own bounds (VMAs are
    /// SLAB_TYPESAFE_BY_RCU: the object can have been reused for the VMA that is there now), but
    /// the iterator keeps the range of the old one and goes on behind it: what the old VMA covered
    /// and the reported one does not is missing.
    SkippedAfterSplit,
    /// It takes more than one of them to explain the walk.
    #[strum(serialize = "replaced-and-skipped")]
    Both,
    /// The VMA just reported grew or merged before the next lookup: [`Tolerated::Twice`], where the
    /// contract forbids it.
    ToldTwice,
    /// A gap was passed, and the VMA that filled it told: [`Tolerated::GapThenVma`], where the
    /// contract forbids it.
    GapThenVma,
    /// Each line of the call is right, and they are of different instants: under the locks of single
    /// VMAs operations take effect between one line and the next. Forbidden by the snapshot alone.
    LineByLine,
    /// A lookup that does not come back: its reader starts again from the root of the tree each time, and
    /// a mutator that would have to go on first is runnable on the same CPU, in mid-operation, and gets
    /// none of it (lib/maple_tree.c, `mas_rewalk` and `mas_start`, retry as long as a node is dead).
    SpinningInLookup,
    /// A mutator sleeps until the readers of a VMA have let go of it (mm/mmap_lock.c,
    /// `__vma_start_write`), and they do not.
    WaitingForReaders,
    /// A call does not come back, and what is seen points to none of the others.
    Unknown,
}

impl From<Tolerated> for Mechanism {
    fn from(kind: Tolerated) -> Mechanism {
        match kind {
            Tolerated::Twice => Mechanism::ToldTwice,
            Tolerated::GapThenVma => Mechanism::GapThenVma,
        }
    }
}

words!(Mechanism, "mechanism");

impl Mechanism {
    /// The weakest contract under which what it brings about is a violation.
    pub const fn contract(self) -> Contract {
        match self {
            Mechanism::ToldTwice | Mechanism::GapThenVma => Contract::Documented,
            Mechanism::LineByLine => Contract::Snapshot,
            _ => Contract::Series,
        }
    }

    /// Whether it can be what a break of `rule` is named after. A rule that only a stricter contract
    /// makes is broken by what a weaker one tolerates, and by nothing else.
    pub const fn explains(self, rule: Rule) -> bool {
        match self {
            Mechanism::ToldTwice | Mechanism::GapThenVma => matches!(rule, Rule::NeverBack),
            Mechanism::LineByLine => matches!(rule, Rule::OneInstant),
            Mechanism::SpinningInLookup | Mechanism::WaitingForReaders | Mechanism::Unknown => {
                matches!(rule, Rule::Return)
            }
            _ => matches!(rule, Rule::NoHole | Rule::Existence | Rule::Order),
        }
    }

    /// What is tried, in this order, and what must be excused for it.
    pub const TRIED: [(Mechanism, Relaxation); 6] = {
        const NOTHING: Relaxation =
            Relaxation { replaced: KindSet::EMPTY, merged: false, split: false };
        let remap = KindSet::EMPTY.with(Kind::Remap);
        [
            (Mechanism::ReplacedInFlight, Relaxation { replaced: remap, ..NOTHING }),
            (Mechanism::SkippedAfterMerge, Relaxation { merged: true, ..NOTHING }),
            (Mechanism::SkippedAfterSplit, Relaxation { split: true, ..NOTHING }),
            // One stale lookup after another: a VMA that was split, and behind its old end one
            // that had merged.
            (Mechanism::SkippedAfterSplit, Relaxation { merged: true, split: true, ..NOTHING }),
            (Mechanism::Both, Relaxation { replaced: remap, merged: true, split: true }),
            // A kernel whose mmap(MAP_FIXED) unmaps before it maps.
            (
                Mechanism::ReplacedInFlight,
                Relaxation { replaced: remap.with(Kind::Map), ..NOTHING },
            ),
        ]
    };

    /// Where in the kernel: file and function. Of the replacement it is that of mremap, the one
    /// system call that is known to do it.
    pub const fn place(self) -> &'static str {
        match self {
            Mechanism::ReplacedInFlight => "mm/mremap.c mremap_to",
            Mechanism::SkippedAfterMerge | Mechanism::SkippedAfterSplit | Mechanism::LineByLine => {
                "mm/mmap_lock.c lock_next_vma"
            }
            Mechanism::Both => "mm/mremap.c, mm/mmap_lock.c",
            Mechanism::ToldTwice | Mechanism::GapThenVma => "fs/proc/task_mmu.c proc_get_vma",
            Mechanism::SpinningInLookup => "lib/maple_tree.c mas_rewalk",
            Mechanism::WaitingForReaders => "mm/mmap_lock.c __vma_start_write",
            Mechanism::Unknown => "",
        }
    }

    /// What happens, in less than a row of a terminal.
    pub const fn in_short(self) -> &'static str {
        match self {
            Mechanism::ReplacedInFlight => {
                "the target is unmapped, then the vma inserted; the reader walks past the gap"
            }
            Mechanism::SkippedAfterMerge => {
                "the vma just read merges; the stale iterator steps over the result"
            }
            Mechanism::SkippedAfterSplit => {
                "the vma looked up is split; the reader goes on behind the old one's end"
            }
            Mechanism::Both => "it takes two of the mechanisms to explain what was read",
            Mechanism::ToldTwice => {
                "the vma just read grows or merges; the next lookup finds it once more"
            }
            Mechanism::GapThenVma => "a gap is passed, and then the vma that filled it is told",
            Mechanism::LineByLine => {
                "vmas are locked one by one; no instant shows all lines of the call"
            }
            Mechanism::SpinningInLookup => {
                "a lookup retries for ever and lets the mutator it waits for not run"
            }
            Mechanism::WaitingForReaders => {
                "a mutator waits for the readers of a vma, and they do not let go of it"
            }
            Mechanism::Unknown => "a call does not come back; what is seen does not say why",
        }
    }

    /// What the kernel does, in a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Mechanism::ReplacedInFlight => {
                "an operation in flight replaced pages in two steps: mm/mremap.c, mremap_to, unmaps \
                 the destination and only later inserts the vma that is moved there, and the \
                 reader walks past the gap between the two"
            }
            Mechanism::SkippedAfterSplit => {
                "the vma that the reader's iterator stood on was split or replaced before it was \
                 locked; mm/mmap_lock.c, lock_next_vma, reports the one that is there now and \
                 goes on behind the range of the old one"
            }
            Mechanism::SkippedAfterMerge => {
                "the vma just reported merged with its neighbours: mm/mmap_lock.c, lock_next_vma, \
                 goes on with an iterator that has gone stale, and steps over the merged vma"
            }
            Mechanism::ToldTwice => Tolerated::Twice.mechanism(),
            Mechanism::GapThenVma => Tolerated::GapThenVma.mechanism(),
            Mechanism::LineByLine => {
                "each vma is locked and told by itself (mm/mmap_lock.c, lock_next_vma), and operations \
                 take effect between one line of a call and the next"
            }
            Mechanism::SpinningInLookup => {
                "a lookup starts again from the root each time it meets a node that is being replaced \
                 (lib/maple_tree.c, mas_rewalk), and lets nobody run meanwhile; the mutator that replaces \
                 it was preempted on the same CPU and never gets it back"
            }
            Mechanism::WaitingForReaders => {
                "a mutator sleeps until the readers of a vma have let go of it (mm/mmap_lock.c, \
                 __vma_start_write), and they do not"
            }
            Mechanism::Unknown => "a call does not come back, and what is seen does not say why",
            Mechanism::Both => {
                "it takes two to explain it: pages replaced in two steps by an operation in \
                 flight, and a vma skipped after it had merged"
            }
        }
    }
}

/// A violation with what is needed to judge it again. Made before the storm; filled without
/// allocating.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Where it broke.
    pub found: Break,
    /// Versions of the lanes from the walk's first lane to the lane that broke, each that may
    /// have been seen from `since` to the end of the break's window; by lane, then by number.
    pub versions: Vec<VersionRecord>,
    /// The first tick of the walk.
    pub since: Tick,
    /// Whether all such versions are in `versions`.
    pub complete: bool,
}

impl Evidence {
    /// An empty slot with room for `versions` versions.
    pub fn with_room(versions: usize) -> Evidence {
        let window = Window { from: 0, to: 0 };
        Evidence {
            found: Break {
                rule: super::Rule::Existence,
                class: Class::Unknown,
                known: None,
                lane: None,
                pos: None,
                reported: false,
                observation: None,
                missing: None,
                gap_end: None,
                earliest: 0,
                version: 0,
                window,
            },
            versions: Vec::with_capacity(versions),
            since: 0,
            complete: false,
        }
    }

    /// Copies the versions of `lanes` out of the history. Never allocates: a lane that does not
    /// fit, or that the history no longer has, is left out whole, and `complete` says so.
    pub fn fill(
        &mut self,
        oracle: &Oracle,
        found: Break,
        since: Tick,
        lanes: impl Iterator<Item = u16>,
    ) {
        self.found = found;
        self.since = since;
        self.versions.clear();
        self.complete = true;
        for lane in lanes {
            let begin = self.versions.len();
            if !self.copy(oracle.history(lane), lane) {
                self.versions.truncate(begin);
                self.complete = false;
            }
        }
    }

    /// Copies what may have been seen of one lane; false when it is not all there.
    fn copy(&mut self, history: &History, lane: u16) -> bool {
        let Ok(first) = history.first_at(self.since) else {
            return false;
        };
        let mut version = first;
        loop {
            if self.versions.len() == self.versions.capacity() {
                return false;
            }
            self.versions.push(VersionRecord::of(history, lane, version));
            version += 1;
            if version > history.head() || history.invoked(version) >= self.found.window.to {
                return history.confirm(first).is_ok();
            }
        }
    }

    /// The versions of one lane.
    pub fn lane(&self, lane: u16) -> impl Iterator<Item = &VersionRecord> {
        self.versions.iter().filter(move |record| record.lane == lane)
    }
}

/// The kinds of operation in flight at a break: all that overlap its window in its lane.
pub fn in_flight(evidence: &Evidence, geometry: &Geometry) -> KindSet {
    let found = &evidence.found;
    let address = found.missing.or(found.observation.map(|seen| seen.start));
    let Some(address) = address.filter(|&address| geometry.contains(address)) else {
        return KindSet::EMPTY;
    };
    evidence
        .lane(geometry.locate(address).0)
        .filter(|record| record.closed >= found.earliest && record.invoked < found.window.to)
        // The operation that made the first version had returned.
        .skip(1)
        .filter_map(|record| record.origin.op.map(|op| op.kind()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Observation, Op, Page, Place, Prot, Span};
    use crate::oracle::{Oracle, Verdict, Walk, Window};

    /// Which mechanisms explain `lines` of a lane (first page, one past the last, what it is), read
    /// while `op` is under way in a lane of `vmas`; `None` when they are right.
    fn explained(vmas: &[Line], op: Op, lines: &[Line]) -> Option<Vec<Mechanism>> {
        let geometry = Geometry::new(0x7000_0000_0000, 4096, 1, 16);
        let layout = Layout::empty(16).repaged(|pages| {
            vmas.iter().for_each(|&(start, end, page)| pages[start..end].fill(page));
        });
        let oracle = Oracle::new(geometry, &[layout], 64);
        let from = oracle.clock().now();
        let mut held = oracle.hold(0);
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.returned(invoked);
        let window = Window { from, to: oracle.clock().now() };
        let wrong = |walk: &mut Walk<'_>| {
            walk.begin(Some(0), window);
            lines.iter().any(|&(start, end, page)| {
                let address = |page| geometry.address(0, page);
                let seen = Observation { start: address(start), end: address(end), page };
                matches!(walk.line(&seen, window), Verdict::Wrong(_))
            })
        };
        if !wrong(&mut Walk::new(&oracle)) {
            return None;
        }
        let tried = Mechanism::TRIED.into_iter();
        let right = tried.filter(|(_, f)| !wrong(&mut Walk::relaxed_by(&oracle, *f)));
        // What excuses a split alone, and what excuses a merge with it, have one name.
        let mut names: Vec<Mechanism> = right.map(|(mechanism, _)| mechanism).collect();
        names.dedup();
        Some(names)
    }

    type Line = (usize, usize, Page);

    const OLD: Page = Page::anon(Prot::READ);
    const CUT: Page = Page::anon(Prot::ALL);
    const NEW: Page = Page::anon(Prot::NONE);

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    #[test]
    fn a_remainder_skipped_after_a_split_is_named_so() {
        let vmas = [(8, 9, OLD), (9, 13, CUT), (13, 16, OLD)];
        let op = Op::Map { at: at(7, 10), page: NEW };
        // Behind the VMA that takes its place, and what comes next.
        let explained = |next| explained(&vmas, op, &[(8, 9, OLD), (7, 10, NEW), next]);
        assert_eq!(explained((10, 13, CUT)), None, "the walk is right, nothing is to be explained");
        let why = [Mechanism::SkippedAfterSplit, Mechanism::Both];
        assert_eq!(explained((13, 16, OLD)), Some(why.into()));
    }

    #[test]
    fn what_a_move_skips_by_merging_with_its_own_source_is_named_so() {
        let vmas = [(1, 6, OLD), (10, 14, OLD), (14, 15, CUT)];
        let beside = Op::Remap { from: at(2, 6), to: at(6, 10), keep: false };
        let left_out = [(1, 6, OLD), (14, 15, CUT)];
        let merged = [
            Mechanism::SkippedAfterMerge,
            // That excuses a merge as well.
            Mechanism::SkippedAfterSplit,
            Mechanism::Both,
        ];
        assert_eq!(explained(&vmas, beside, &left_out), Some(merged.into()));
        // The same where the source lies apart merges nothing behind the line.
        let vmas = [(0, 2, NEW), (4, 6, OLD), (10, 14, OLD), (14, 15, CUT)];
        let apart = Op::Remap { from: at(0, 2), to: at(7, 9), keep: false };
        assert_eq!(explained(&vmas, apart, &[(4, 6, OLD), (14, 15, CUT)]), Some(vec![]));
    }
}
