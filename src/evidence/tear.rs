//! The form of a saved tear.

use super::text::RawText;
use crate::engine::{Mode, Piece};
use crate::header::Header;
use crate::model::{FoundRules, Geometry, Op};
use crate::oracle::{Class, OPEN, Origin, Rule, Tick, Version, VersionRecord, Window};
use crate::repro::scenario::{WordError, layout_from_words};
use serde::{Deserialize, Serialize};

/// The version of the file's form.
///
/// Version 1 has less in its header.
pub const SCHEMA_VERSION: u32 = 2;
/// The oldest version that can be read.
pub const OLDEST_VERSION: u32 = 1;

/// What kind of file it is; scenarios have none.
pub const KIND: &str = "tear";

/// A violation with everything that is needed to prove it, as JSON.
///
/// What proves it: `geometry`, `files`, `mode`, `query`, `piece`, `calls`, `lanes` and `outside`.
/// `signature` and `found` are computed from these; they are there for people, and show a change of
/// any. The rest says where it comes from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tear {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// [`KIND`].
    pub kind: String,
    /// `class/mechanism/operations/reader`.
    pub signature: String,
    /// What was found.
    pub found: FoundBreak,
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
    /// Which reader it was.
    pub reader: usize,
    /// How it read; nothing for the storm's look at a standstill.
    pub mode: Option<Mode>,
    /// Of PROCMAP_QUERY, what was asked. Its answer is the text of the only call, as maps would
    /// print it; empty for ENOENT.
    pub query: Option<Asked>,
    /// Which bytes of the text, counted over all calls, were judged as one walk.
    pub piece: Piece,
    /// The read calls of the walk, in their order.
    pub calls: Vec<SavedCall>,
    /// What the lanes that the walk passed looked like, as far as it may have seen it.
    pub lanes: Vec<SavedLane>,
    /// Lines outside of the arena that the standstills before and after the walk have alike, lowest
    /// first, without newlines. Only where the walk lacks one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<RawText>,
}

/// What was found, as far as it can be compared.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundBreak {
    /// The rule that broke.
    pub rule: Rule,
    /// The class of the violation.
    pub class: Class,
    /// For a hole: the first address that was mapped at every instant left.
    pub missing: Option<u64>,
    /// The line that breaks it: start and end; nothing for an end of file or "no VMA".
    pub line: Option<(u64, u64)>,
}

/// How mappings of one memfd show in maps.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    /// Device, major number.
    pub dev_major: u32,
    /// Device, minor number.
    pub dev_minor: u32,
    /// Inode.
    pub inode: u64,
    /// The path.
    pub name: RawText,
}

/// What PROCMAP_QUERY was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The address.
    pub address: u64,
    /// Whether the next VMA above would do (PROCMAP_QUERY_COVERING_OR_NEXT_VMA).
    pub or_next: bool,
}

/// One read call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedCall {
    /// The offset in the file.
    pub offset: u64,
    /// The bytes asked for.
    pub asked: u32,
    /// The counter just before and just after the call.
    pub window: Window,
    /// Whether a line that begins with the call's first byte may be as old as the call before
    /// (fs/seq_file.c keeps a line back when what was left over fills a call exactly).
    pub kept: bool,
    /// The bytes delivered.
    pub text: RawText,
}

/// What one lane looked like.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedLane {
    /// Its number.
    pub lane: u16,
    /// Number of the first version below; the others follow on.
    pub first: Version,
    /// Its versions, oldest first: all that may have been seen in the piece.
    pub versions: Vec<SavedVersion>,
}

/// One version of a lane.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedVersion {
    /// The tick just before the system call that made it.
    pub invoked: Tick,
    /// The tick just after the system call that replaced it; nothing for one that was not.
    pub closed: Option<Tick>,
    /// The VMAs, in pages of the lane.
    pub layout: String,
    /// Whether the layout is known; after a failed operation it is not.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub known: bool,
    /// The operation that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// Which worker did it.
    pub worker: u16,
    /// For a move from lane to lane: the version it made in the other lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Version>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so.
fn is_true(known: &bool) -> bool {
    *known
}

impl SavedLane {
    /// The lane's records. `records` are of one lane, oldest first, and not empty.
    pub(super) fn new(records: &[VersionRecord]) -> SavedLane {
        let version = |record: &VersionRecord| SavedVersion {
            invoked: record.invoked,
            closed: (record.closed != OPEN).then_some(record.closed),
            layout: record.layout().to_string(),
            known: record.origin.known,
            op: record.origin.op,
            worker: record.origin.worker,
            peer: record.origin.peer,
        };
        SavedLane {
            lane: records[0].lane,
            first: records[0].version,
            versions: records.iter().map(version).collect(),
        }
    }

    /// The lane's records, of `pages` pages each.
    pub(super) fn records(&self, pages: u8) -> Result<Vec<VersionRecord>, WordError> {
        let record = |(number, version): (Version, &SavedVersion)| {
            Ok(VersionRecord {
                lane: self.lane,
                version: number,
                invoked: version.invoked,
                closed: version.closed.unwrap_or(OPEN),
                outline: (&layout_from_words(&version.layout, pages as usize)?).into(),
                origin: Origin {
                    op: version.op,
                    worker: version.worker,
                    peer: version.peer,
                    known: version.known,
                },
            })
        };
        (self.first..).zip(&self.versions).map(record).collect()
    }
}

impl SavedFile {
    /// How a mapping of it at `page` shows.
    pub(super) fn identity(&self) -> crate::kernel::FileIdentity {
        crate::kernel::FileIdentity {
            dev_major: self.dev_major,
            dev_minor: self.dev_minor,
            inode: self.inode,
            name: self.name.0.clone(),
        }
    }
}

impl Tear {
    /// The text of all calls, one after the other.
    pub fn text(&self) -> Vec<u8> {
        self.calls.iter().flat_map(|call| call.text.0.iter().copied()).collect()
    }
}
