//! The form of a saved incident: a violation that no reader found.

use super::provenance::Origins;
use super::tear::{SCHEMA_VERSION, SavedFile, SavedLane};
use super::text::RawText;
use crate::engine::{
    Call, Incident, KernelSplat, Mismatch, Named, Party, SeenLane, Signature, Stall, name,
    sort_lanes,
};
use crate::header::Header;
use crate::host::{Doing, Splat, SplatKind, ThreadFile, grew_worse, splats};
use crate::model::{FoundRules, Geometry};
use crate::oracle::{Class, VersionRecord};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What kind of file it is.
pub const INCIDENT: &str = "incident";

/// A violation that no reader found, as JSON: a layout that differs at a standstill, or a call that
/// does not come back.
///
/// What shows it: `geometry`, `files` and `account`. The rest says where it comes from, in the
/// words of a [tear](super::Tear).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedIncident {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// [`INCIDENT`].
    pub kind: String,
    /// `mismatch/-/-/-`, or that of a stall: `stall/spinning-in-lookup/unmap/walk`.
    pub signature: String,
    /// Which run it is of.
    #[serde(flatten)]
    pub header: Header,
    /// Where the lanes lay.
    pub geometry: Geometry,
    /// How the kernel was found to merge; files that were saved earlier do not say.
    #[serde(default, skip_serializing_if = "FoundRules::is_empty")]
    pub merge_rules: FoundRules,
    /// How mappings of the memfds show in maps, by number.
    pub files: Vec<SavedFile>,
    /// When it was found, in nanoseconds since the storm began.
    pub found_ns: u64,
    /// What happened.
    pub account: Account,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Account {
    /// Lanes were not as the oracle has them while nothing moved.
    Mismatch(SavedMismatch),
    /// A call did not come back.
    Stall(SavedStall),
    /// The kernel said that something is wrong with itself.
    Splat(SavedSplat),
}

/// What the kernel said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedSplat {
    /// The lines of its log, without time and priority.
    pub lines: Vec<String>,
    /// Whether only the taint says so: the log could not be read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub taint_alone: bool,
    /// The kernel's taint before the storm.
    pub taint_before: Option<u64>,
    /// The same when this was saved.
    pub taint_after: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so.
fn is_false(alone: &bool) -> bool {
    !*alone
}

/// Both sides of a standstill.
///
/// What proves the mismatch: `lines` and the last version of each of `lanes`. `differences` follows
/// from them; it is there for people, and shows a change of either.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedMismatch {
    /// Which standstill it was, counted from 1; 0 for calibration.
    pub standstill: u64,
    /// The lanes that differ, lowest first.
    pub differences: Vec<SavedDifference>,
    /// The lines of maps that lie in the arena, as they were read, without their newlines.
    pub lines: Vec<RawText>,
    /// All lanes, lowest first. The newest version of each is what should have been read; of those
    /// that differ there are the last ones before it, too.
    pub lanes: Vec<SavedLane>,
}

/// A lane that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedDifference {
    /// The lane.
    pub lane: u16,
    /// The oracle's layout.
    pub expected: String,
    /// What maps shows, as far as it tells.
    pub read: String,
}

/// A witness's account of a call that did not come back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedStall {
    /// The worker; the readers come first.
    pub worker: usize,
    /// Its thread; nothing when it has not even begun.
    pub tid: Option<u32>,
    /// What it was to do; nothing where the storm knows of no call.
    pub call: Option<Call>,
    /// Its calls that had come back before.
    pub completed_calls: u64,
    /// Since when it gave no sign of life, in nanoseconds since the storm began.
    pub since_ns: u64,
    /// How long that was when it was found, as far as the thread was watched.
    pub waited_ns: u64,
    /// How long a call may take (`--stall`).
    pub limit_ns: u64,
    /// What the thread did meanwhile; files of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// CPU time it burned meanwhile in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_ns: Option<u64>,
    /// What `/proc/self/task/TID` said of the thread when it was found.
    pub thread: Vec<ThreadFile>,
    /// The last lines that its walk had read, without their newlines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RawText>,
    /// The last versions of the lanes that it and operations under way were in, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<SavedLane>,
    /// The last lines that the kernel wrote into its log since the storm began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_log: Vec<String>,
    /// All threads of the storm; files of older versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parties: Vec<Party>,
}

fn ns(time: Duration) -> u64 {
    time.as_nanos() as u64
}

impl SavedIncident {
    /// The saved form of what the storm found, and its signature.
    pub fn new(incident: &Incident, origins: &Origins) -> (SavedIncident, Signature) {
        let (signature, at, account) = match incident {
            Incident::Mismatch(mismatch) => {
                let account = Account::Mismatch(SavedMismatch::new(mismatch, origins));
                (Signature::bare(Class::Mismatch), mismatch.at, account)
            }
            Incident::Stall(stall) => {
                (stall.signature(), stall.at, Account::Stall(SavedStall::new(stall)))
            }
            Incident::Splat(KernelSplat { at, splat, taint }) => {
                let account = Account::Splat(SavedSplat {
                    lines: splat.lines.clone(),
                    taint_alone: splat.kind == SplatKind::Taint,
                    taint_before: taint[0],
                    taint_after: taint[1],
                });
                (Signature::of_splat(splat.kind, splat.function), *at, account)
            }
        };
        let incident = SavedIncident {
            schema_version: SCHEMA_VERSION,
            kind: INCIDENT.into(),
            signature: signature.to_string(),
            header: origins.header.clone(),
            geometry: origins.geometry,
            merge_rules: origins.merge_rules.clone(),
            files: origins.files(),
            found_ns: ns(at),
            account,
        };
        (incident, signature)
    }

    /// The signature that follows from what is in the file. A stall is named after what all threads did,
    /// where that was taken down.
    pub fn named(&self) -> Signature {
        match &self.account {
            Account::Mismatch(_) => Signature::bare(Class::Mismatch),
            Account::Stall(stall) => stall.named(),
            Account::Splat(splat) => splat.named(),
        }
    }

    /// Its class, in the word of signatures.
    pub fn class(&self) -> Class {
        match self.account {
            Account::Mismatch(_) => Class::Mismatch,
            Account::Stall(_) => Class::Stall,
            Account::Splat(_) => Class::Splat,
        }
    }

    /// Of a stall: how long the thread was silent, and how long it might have been, in nanoseconds.
    pub fn waited_ns(&self) -> Option<(u64, u64)> {
        match &self.account {
            Account::Stall(stall) => Some((stall.waited_ns, stall.limit_ns)),
            Account::Mismatch(_) | Account::Splat(_) => None,
        }
    }

    /// The lanes in the file.
    pub fn lanes(&self) -> &[SavedLane] {
        match &self.account {
            Account::Mismatch(mismatch) => &mismatch.lanes,
            Account::Stall(stall) => &stall.lanes,
            Account::Splat(_) => &[],
        }
    }
}

impl SavedMismatch {
    fn new(mismatch: &Mismatch, origins: &Origins) -> SavedMismatch {
        let geometry = &origins.geometry;
        let text = &mismatch.text.bytes;
        let mut seen = vec![SeenLane::default(); geometry.lanes as usize];
        sort_lanes(text, &origins.identities, geometry, &mut seen);
        let newest = |lane: u16| mismatch.versions.iter().rfind(|record| record.lane == lane);
        let difference = |&lane: &u16| {
            let expected = newest(lane)?.layout();
            let difference = seen[lane as usize].difference(lane, &expected)?;
            let read = difference.seen_words();
            Some(SavedDifference { lane, expected: expected.to_string(), read })
        };
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let same_lane = |a: &VersionRecord, b: &VersionRecord| a.lane == b.lane;
        SavedMismatch {
            standstill: mismatch.standstill,
            differences: mismatch.lanes.iter().filter_map(difference).collect(),
            lines: lines.map(|line| RawText(line.to_vec())).collect(),
            lanes: mismatch.versions.chunk_by(same_lane).map(SavedLane::new).collect(),
        }
    }
}

impl SavedSplat {
    /// What the lines say.
    pub(super) fn splat(&self) -> Option<Splat> {
        if self.taint_alone {
            let worse = grew_worse(self.taint_before, self.taint_after);
            let lines = self.lines.clone();
            return worse.then_some(Splat { kind: SplatKind::Taint, function: None, lines });
        }
        splats(self.lines.iter().map(String::as_str)).into_iter().next()
    }

    fn named(&self) -> Signature {
        match self.splat() {
            Some(splat) => Signature::of_splat(splat.kind, splat.function),
            None => Signature::bare(Class::Splat),
        }
    }
}

impl SavedStall {
    fn new(stall: &Stall) -> SavedStall {
        let (at, waited) = (ns(stall.at), ns(stall.waited));
        // The storm's clock began a moment before the worker's silence could.
        let since_ns = at.saturating_sub(waited);
        let same_lane = |a: &VersionRecord, b: &VersionRecord| a.lane == b.lane;
        SavedStall {
            worker: stall.worker,
            tid: stall.tid,
            call: stall.call,
            completed_calls: stall.completed,
            since_ns,
            waited_ns: at - since_ns,
            limit_ns: ns(stall.limit),
            doing: Some(stall.doing),
            system_ns: Some(ns(stall.system)),
            thread: stall.thread.clone(),
            lines: stall.text.iter().map(|line| RawText(line.clone())).collect(),
            lanes: stall.versions.chunk_by(same_lane).map(SavedLane::new).collect(),
            kernel_log: stall.log.clone(),
            parties: stall.parties.clone(),
        }
    }

    fn named(&self) -> Signature {
        let bare = Signature::bare(Class::Stall);
        if self.parties.is_empty() {
            return bare;
        }
        let Named { mechanism, operations, reader } =
            name(self.worker, self.limit_ns, &self.thread, &self.parties);
        Signature { mechanism: Some(mechanism), in_flight: operations, mode: reader, ..bare }
    }
}
