//! Violations that no reader finds: what is kept of them until it is saved.
//!
//! The director finds them: a lane that differs at a standstill, a call that does not come back.

use super::modes::Mode;
use super::signature::Signature;
use super::watch::Party;
use crate::host::Doing;
use crate::host::{Splat, ThreadFile};
use crate::model::{Geometry, KindSet, Op};
use crate::oracle::{Class, History, Mechanism, Oracle, VersionRecord};
use std::time::Duration;

/// Versions that are kept of a lane that differs: what the last operations made of it.
const VERSIONS: usize = 32;
/// The same of all such lanes together.
const MOST_VERSIONS: usize = 256;
/// Bytes of a line of the arena, at most: 73 up to the name (fs/proc/task_mmu.c,
/// `show_vma_header_prefix`), the name of a file (`kernel::NoOddFile::Long`) and a newline.
const LINE: usize = 200;
/// Bytes for a few lines that are longer, because they are none of the arena's.
const SPARE: usize = 16 << 10;

/// The lines of the arena as they were read at a standstill.
pub struct ArenaText {
    /// Each with its newline.
    pub bytes: Vec<u8>,
    /// Whether all of them are there; with a line left out the text would show a hole.
    pub whole: bool,
}

impl ArenaText {
    /// Room for the lines of an arena, all of whose pages may be VMAs by themselves.
    pub(super) fn with_room(geometry: &Geometry) -> ArenaText {
        let vmas = geometry.lanes as usize * geometry.pages as usize;
        ArenaText { bytes: Vec::with_capacity(vmas * LINE + SPARE), whole: true }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.whole = true;
    }

    /// Adds a line, given without its newline. Never allocates.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.whole &= self.bytes.len() + line.len() < self.bytes.capacity();
        if self.whole {
            self.bytes.extend_from_slice(line);
            self.bytes.push(b'\n');
        }
    }
}

/// A standstill at which lanes were not as the oracle has them.
pub struct Mismatch {
    /// Which standstill it was, counted from 1; 0 for calibration.
    pub standstill: u64,
    /// When, since the storm began.
    pub at: Duration,
    /// What was read of the arena.
    pub text: ArenaText,
    /// The lanes that differ, lowest first.
    pub lanes: Vec<u16>,
    /// By lane, then by number: the newest version of every lane, which is what should have been
    /// read, and before it the last ones of those that differ.
    pub versions: Vec<VersionRecord>,
}

impl Mismatch {
    pub(super) fn with_room(geometry: &Geometry) -> Mismatch {
        let lanes = geometry.lanes as usize;
        Mismatch {
            standstill: 0,
            at: Duration::ZERO,
            text: ArenaText::with_room(geometry),
            lanes: Vec::with_capacity(lanes),
            versions: Vec::with_capacity(lanes + MOST_VERSIONS),
        }
    }

    /// Copies the history of all lanes, while no lane changes.
    pub(super) fn copy(&mut self, oracle: &Oracle) {
        let mut room = MOST_VERSIONS;
        for lane in 0..oracle.geometry().lanes {
            let history: &History = oracle.history(lane);
            let newest = history.head();
            let differs = self.lanes.binary_search(&lane).is_ok();
            let before = if differs { room.min(VERSIONS - 1) as u64 } else { 0 };
            let first = newest.saturating_sub(before).max(history.tail());
            room -= (newest - first) as usize;
            self.versions
                .extend((first..=newest).map(|version| VersionRecord::of(history, lane, version)));
        }
    }
}

/// A call that did not come back.
#[derive(Clone, Debug)]
pub struct Stall {
    /// The worker; the readers come first.
    pub worker: usize,
    /// Its thread, once it has told.
    pub tid: Option<u32>,
    /// When it was found, since the storm began.
    pub at: Duration,
    /// How long the worker had given no sign of life by then, at least.
    pub waited: Duration,
    /// How long it may.
    pub limit: Duration,
    /// What its thread did meanwhile.
    pub doing: Doing,
    /// CPU time it burned meanwhile in the kernel.
    pub system: Duration,
    /// What it was to do; nothing where the books know of no call.
    pub call: Option<Call>,
    /// Calls of its that had come back before.
    pub completed: u64,
    /// What the stall is [called after](super::watch::name); nothing where only the thread was looked at.
    pub mechanism: Option<Mechanism>,
    /// The operations under way that it is called after.
    pub operations: KindSet,
    /// The way of reading that it is called after.
    pub reader: Option<Mode>,
    /// What `/proc/self/task/TID` said of its thread.
    pub thread: Vec<ThreadFile>,
    /// The last lines that its walk had read, without their newlines.
    pub text: Vec<Vec<u8>>,
    /// The last versions of the lanes that it and operations under way were in, by lane and then by
    /// number.
    pub versions: Vec<VersionRecord>,
    /// All threads of the storm.
    pub parties: Vec<Party>,
    /// The last lines that the kernel wrote into its log since the storm began.
    pub log: Vec<String>,
}

impl Stall {
    /// What it is called.
    pub fn signature(&self) -> Signature {
        Signature {
            mechanism: self.mechanism,
            in_flight: self.operations,
            mode: self.reader,
            ..Signature::bare(Class::Stall)
        }
    }
}

/// What the kernel said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelSplat {
    /// When it was found, since the storm began.
    pub at: Duration,
    /// What it said.
    pub splat: Splat,
    /// The kernel's taint before the storm and now, where it can be read.
    pub taint: [Option<u64>; 2],
}

/// A call as far as the storm knows it.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// Of a reader: how it was reading.
    Read(Mode),
    /// Of a mutator: the operation that has not returned.
    Operation(Op),
    /// Of a faulter: the address that it loads from.
    Load(u64),
}

/// One of them.
pub enum Incident {
    /// At a standstill.
    Mismatch(Mismatch),
    /// Of a call.
    Stall(Stall),
    /// Of the kernel.
    Splat(KernelSplat),
}

/// Room for what the director finds, made before the storm.
#[derive(Default)]
pub(super) struct Incidents {
    spare: Vec<Mismatch>,
    found: Vec<Incident>,
}

impl Incidents {
    /// Room for `keep` mismatches, and for a stall, which ends the storm.
    pub(super) fn with_room(keep: usize, geometry: &Geometry) -> Incidents {
        let spare = (0..keep).map(|_| Mismatch::with_room(geometry)).collect();
        Incidents { spare, found: Vec::with_capacity(keep + 1) }
    }

    /// Keeps a mismatch of `lanes`, as long as there is room; exchanges `text` with as much room.
    /// To be called at a standstill, before anything is repaired. Does not allocate.
    pub(super) fn mismatch(
        &mut self,
        standstill: u64,
        at: Duration,
        text: &mut ArenaText,
        lanes: &[u16],
        oracle: &Oracle,
    ) {
        let Some(mut mismatch) = self.spare.pop() else { return };
        (mismatch.standstill, mismatch.at) = (standstill, at);
        std::mem::swap(&mut mismatch.text, text);
        mismatch.lanes.extend_from_slice(lanes);
        mismatch.copy(oracle);
        self.found.push(Incident::Mismatch(mismatch));
    }

    /// Keeps a stall.
    pub(super) fn stall(&mut self, stall: Stall) {
        self.found.push(Incident::Stall(stall));
    }

    /// Keeps what the kernel said.
    pub(super) fn splat(&mut self, splat: KernelSplat) {
        self.found.push(Incident::Splat(splat));
    }

    /// Keeps a mismatch that was made elsewhere, as long as there is room.
    pub(super) fn made(&mut self, mismatch: Mismatch) {
        if self.spare.pop().is_some() {
            self.found.push(Incident::Mismatch(mismatch));
        }
    }

    /// What has not been looked at.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Incident> + '_ {
        self.found.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drawing::draw;

    fn oracle() -> Oracle {
        let first = [draw("rr.."), draw("ww..")];
        let oracle = Oracle::new(Geometry::new(0x10_0000, 4096, 2, 4), &first, 64);
        for layout in ["r...", "rrr.", "rr.r"] {
            oracle.repair(&mut oracle.hold(1), &draw(layout));
        }
        oracle
    }

    #[test]
    fn a_mismatch_has_every_lane_and_the_past_of_those_that_differ() {
        let oracle = oracle();
        let mut room = Incidents::with_room(1, oracle.geometry());
        let mut text = ArenaText::with_room(oracle.geometry());
        text.push(b"a line");
        room.mismatch(3, Duration::from_secs(1), &mut text, &[1], &oracle);
        // There is room for one.
        room.mismatch(4, Duration::from_secs(2), &mut text, &[0, 1], &oracle);
        let found: Vec<Incident> = room.take().collect();
        let [Incident::Mismatch(one)] = &found[..] else { panic!("one mismatch") };
        assert_eq!(
            (one.standstill, &one.text.bytes[..], one.text.whole),
            (3, &b"a line\n"[..], true)
        );
        let versions: Vec<(u16, u64)> = one.versions.iter().map(|v| (v.lane, v.version)).collect();
        assert_eq!(versions, [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3)]);
        assert_eq!(one.versions[4].layout(), draw("rr.r"));
        assert_eq!(room.take().count(), 0);
    }

    #[test]
    fn a_text_that_does_not_fit_is_known_not_to_be_whole() {
        let mut text = ArenaText::with_room(oracle().geometry());
        let room = text.bytes.capacity();
        text.push(&vec![b'x'; room]);
        text.push(b"one that would fit");
        assert!(!text.whole && text.bytes.is_empty());
        text.clear();
        text.push(b"one");
        assert!(text.whole);
    }
}
