//! What is kept of a violation, and the mechanism it points to.

use super::clock::{Tick, Window};
use super::history::{Origin, Version};
use super::ledger::Oracle;
use super::verdict::{Break, Class};
use crate::space::{Geometry, Kind, KindSet, Layout, Op, span_mask};
use serde::{Deserialize, Serialize};

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
    /// The pages.
    pub layout: Layout,
    /// Who made it.
    pub origin: Origin,
}

/// A kernel mechanism that the evidence points to. Named after the verdict, never used for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// An operation in flight replaced the missing pages, in two steps: mm/mremap.c,
    /// `mremap_to`, unmaps the destination and only later inserts the VMA that is moved there.
    /// The neighbours of the gap are not locked, so the reader walks past it.
    ReplacedInFlight,
    /// The VMA just reported merged with its neighbours: mm/mmap_lock.c, `lock_next_vma`, goes on
    /// with an iterator that has gone stale, restarts inside the merged VMA and steps over it.
    SkippedAfterMerge,
}

impl Mechanism {
    /// The word in signatures.
    pub const fn word(self) -> &'static str {
        match self {
            Mechanism::ReplacedInFlight => "replaced-in-flight",
            Mechanism::SkippedAfterMerge => "skipped-after-merge",
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
                lane: None,
                pos: None,
                reported: false,
                sighting: None,
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

    /// Copies the versions of `lanes` out of the history. Never allocates: what does not fit is
    /// left out, and `complete` says so.
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
            let history = oracle.history(lane);
            let Ok(first) = history.first_at(since) else {
                self.complete = false;
                continue;
            };
            let begin = self.versions.len();
            let mut version = first;
            loop {
                if self.versions.len() == self.versions.capacity() {
                    self.complete = false;
                    break;
                }
                self.versions.push(VersionRecord {
                    lane,
                    version,
                    invoked: history.invoked(version),
                    closed: history.closed(version),
                    layout: history.layout(version),
                    origin: history.origin(version),
                });
                version += 1;
                if version > history.head() || history.invoked(version) >= found.window.to {
                    break;
                }
            }
            if history.confirm(first).is_err() {
                self.versions.truncate(begin);
                self.complete = false;
            }
        }
    }

    /// The versions of one lane.
    pub fn lane(&self, lane: u16) -> impl Iterator<Item = &VersionRecord> {
        self.versions
            .iter()
            .filter(move |record| record.lane == lane)
    }
}

/// The mechanism the evidence points to, if it points to one, and the kinds of operation in
/// flight at the break: those of the mechanism, or all that overlap the window in the lane.
pub fn classify(evidence: &Evidence, geometry: &Geometry) -> (Option<Mechanism>, KindSet) {
    let found = &evidence.found;
    let broken = found
        .missing
        .map(|address| geometry.locate(address))
        .or_else(|| {
            let address = found.sighting?.start;
            geometry.contains(address).then(|| geometry.locate(address))
        });
    let Some((lane, page)) = broken else {
        return (None, KindSet::EMPTY);
    };
    // Closures and not collections: a reader calls this in mid-storm, where nothing allocates.
    let seen = || {
        evidence
            .lane(lane)
            .filter(|record| record.closed >= found.earliest && record.invoked < found.window.to)
    };
    // The operation of the first version had returned; those of the others were in flight.
    let in_flight = || seen().skip(1).filter_map(|record| record.origin.op);
    let kinds: KindSet = in_flight().map(|op| op.kind()).collect();
    if found.class != Class::Hole {
        return (None, kinds);
    }
    let (from, to) = gap(found, geometry, lane);
    let mapped = |mask: u64, record: &VersionRecord| mask & record.layout.mapped();
    let missing = seen().fold(span_mask(from, to), mapped) | 1 << page;
    let replaced: KindSet = in_flight()
        .filter_map(|op| match op {
            Op::Remap { to, .. } if to.lane == lane => Some((to.span, Kind::Remap)),
            Op::Map { at, .. } => Some((at.span, Kind::Map)),
            _ => None,
        })
        .filter(|(span, _)| missing & !span.mask() == 0)
        .map(|(_, kind)| kind)
        .collect();
    // A VMA that took in the end of the line just reported and everything that is missing.
    let merges = |record: &VersionRecord| {
        found.reported
            && from > 0
            && found
                .pos
                .is_some_and(|pos| geometry.contains(pos) && geometry.locate(pos).0 == lane)
            && record.layout.vma_at(from).is_some_and(|vma| {
                vma.start < from && vma.end <= to && missing & !span_mask(from, vma.end) == 0
            })
    };
    // Where both fit, the first is named: a move tears in each sixth read, a merge once in
    // thousands.
    if replaced.has(Kind::Remap) {
        return (
            Some(Mechanism::ReplacedInFlight),
            KindSet::EMPTY.with(Kind::Remap),
        );
    }
    if let Some(merged) = seen().find(|record| merges(record)) {
        let kind = merged.origin.op.map(|op| op.kind());
        return (
            Some(Mechanism::SkippedAfterMerge),
            kind.into_iter().collect(),
        );
    }
    if replaced.is_empty() {
        (None, kinds)
    } else {
        (Some(Mechanism::ReplacedInFlight), replaced)
    }
}

/// The pages of the lane that the walk passed over.
fn gap(found: &Break, geometry: &Geometry, lane: u16) -> (usize, usize) {
    let pages = geometry.pages as usize;
    let within = |address: u64| {
        let base = geometry.address(lane, 0);
        (address.saturating_sub(base) >> geometry.page_shift).min(pages as u64) as usize
    };
    let from = found.pos.map_or(0, within);
    let to = found
        .gap_end
        .map_or(pages, |end| within(end + geometry.page_size() - 1));
    (from.min(to), to)
}
