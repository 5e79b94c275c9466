//! Reading files back: what they are, and why not.

use super::incident::{INCIDENT, SavedIncident};
use super::tear::{KIND, OLDEST_VERSION, SCHEMA_VERSION, SavedLane, Tear};
use crate::header::Header;
use crate::model::{Geometry, MAX_PAGES};
use crate::repro::scenario::{Scenario, ScenarioError, WordError};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Why a file is no good.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum TearError {
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("ends in the middle ({0}): cut off, or still being written?")]
    Truncated(serde_json::Error),
    #[error("is no saved tear and no scenario: {0}")]
    Form(serde_json::Error),
    #[error("is of version {found}; this mapstorm ({own}) reads versions {OLDEST_VERSION} to {SCHEMA_VERSION}: use the mapstorm that wrote it", own = env!("CARGO_PKG_VERSION"))]
    Version { found: u64 },
    #[error("is a scenario, and holds no evidence; a file that the storm saved with --out does")]
    NoTear,
    #[error("has an arena that can't be: {0}")]
    Arena(&'static str),
    #[error("judges a piece of the text that is not there, or does not begin with a line")]
    Piece,
    #[error("has a line outside of the arena that does not parse")]
    Outside,
    #[error("has no read calls")]
    NoCalls,
    #[error("has a version of lane {lane} that can't be: {why}")]
    Layout { lane: u16, why: WordError },
    #[error("contradicts itself: {0}")]
    Flaw(#[from] crate::verify::Flaw),
    #[error("contradicts itself: {0}")]
    Standstill(#[from] crate::verify::StandstillFlaw),
    #[error("is a scenario that can't be run: {0}")]
    Scenario(#[from] ScenarioError),
}

/// An error and the file it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
#[expect(missing_docs, reason = "each message says what it is about")]
pub struct FileError {
    pub path: PathBuf,
    pub why: TearError,
}

/// What a file holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Saved {
    /// A tear.
    Tear(Box<Tear>),
    /// A mismatch or a stall.
    SavedIncident(Box<SavedIncident>),
    /// A scenario.
    Scenario(Box<Scenario>),
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    schema_version: u64,
    kind: Option<String>,
}

/// Reads a file that holds a tear or a scenario.
///
/// # Errors
/// Why it does not.
pub fn load(path: &Path) -> Result<Saved, FileError> {
    let read = || -> Result<Saved, TearError> { decode(&std::fs::read(path)?) };
    read().map_err(|why| FileError { path: path.to_owned(), why })
}

/// What a storm saves.
#[derive(Clone, PartialEq, Debug)]
pub enum SavedViolation {
    /// A tear.
    Tear(Box<Tear>),
    /// A mismatch or a stall.
    SavedIncident(Box<SavedIncident>),
}

/// Reads a file that a storm has saved.
///
/// # Errors
/// Why it is none.
pub fn load_violation(path: &Path) -> Result<SavedViolation, FileError> {
    match load(path)? {
        Saved::Tear(tear) => Ok(SavedViolation::Tear(tear)),
        Saved::SavedIncident(incident) => Ok(SavedViolation::SavedIncident(incident)),
        Saved::Scenario(_) => Err(FileError { path: path.to_owned(), why: TearError::NoTear }),
    }
}

/// Decodes what a file holds.
///
/// # Errors
/// Why it holds neither.
pub fn decode(bytes: &[u8]) -> Result<Saved, TearError> {
    let form = |error: serde_json::Error| match error.is_eof() {
        true => TearError::Truncated(error),
        false => TearError::Form(error),
    };
    let head: Head = serde_json::from_slice(bytes).map_err(form)?;
    if !(OLDEST_VERSION as u64..=SCHEMA_VERSION as u64).contains(&head.schema_version) {
        return Err(TearError::Version { found: head.schema_version });
    }
    if head.kind.as_deref() == Some(KIND) {
        let tear: Tear = serde_json::from_slice(bytes).map_err(form)?;
        judged(&tear.header).map_err(form)?;
        check_arena(&tear.geometry, tear.header.page_size, &tear.lanes)?;
        return Ok(Saved::Tear(Box::new(tear)));
    }
    if head.kind.as_deref() == Some(INCIDENT) {
        let incident: SavedIncident = serde_json::from_slice(bytes).map_err(form)?;
        judged(&incident.header).map_err(form)?;
        check_arena(&incident.geometry, incident.header.page_size, incident.lanes())?;
        return Ok(Saved::SavedIncident(Box::new(incident)));
    }
    let scenario: Scenario = serde_json::from_slice(bytes).map_err(form)?;
    scenario.check()?;
    Ok(Saved::Scenario(Box::new(scenario)))
}

/// Whether the header says by which contract it was judged: a violation is one of a contract.
fn judged(header: &Header) -> Result<(), serde_json::Error> {
    let missing = || serde::de::Error::missing_field("contract");
    header.contract.map(drop).ok_or_else(missing)
}

/// Whether the arena's figures can be true at all, so that nothing later overflows.
fn check_arena(geometry: &Geometry, page_size: u64, lanes: &[SavedLane]) -> Result<(), TearError> {
    let wrong = |what| Err(TearError::Arena(what));
    let whole = |shift: u32| (1u64 << shift).checked_rem(page_size) == Some(0);
    // A page of a lane stands for some pages of memory.
    if !(12..=24).contains(&geometry.page_shift) || !whole(geometry.page_shift) {
        return wrong("its page size is no page size, or not that of the kernel it was found on");
    }
    if !(1..=MAX_PAGES).contains(&(geometry.pages as usize)) || geometry.lanes == 0 {
        return wrong("it has no lanes, no pages or too many");
    }
    let needed = geometry.page_shift + (geometry.pages as u32 + 1).next_power_of_two().ilog2();
    if geometry.stride_shift != needed {
        return wrong("its lanes do not lie side by side");
    }
    let bytes = (geometry.lanes as u64) << geometry.stride_shift;
    if !geometry.base.is_multiple_of(page_size) || geometry.base.checked_add(bytes).is_none() {
        return wrong("it does not begin at a page, or reaches beyond the address space");
    }
    let lane = |lane: &SavedLane| lane.lane < geometry.lanes && !lane.versions.is_empty();
    if !lanes.iter().all(lane) {
        return wrong("it has versions of a lane that it has not");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unknown::{added, places};
    use serde_json::{Value, json};

    /// One of each kind of operation.
    fn operations() -> Value {
        let at = json!({"lane": 0, "start": 0, "len": 1});
        json!([
            {"op": "map", "at": at, "page": "rw-p anon"},
            {"op": "name", "at": at, "name": 1},
            {"op": "advise", "at": at, "advice": "random", "on": true},
            {"op": "protect", "at": at, "prot": "r--"},
            {"op": "resize", "at": at, "new_len": 2},
            {"op": "remap", "from": at, "to": {"lane": 0, "start": 4, "len": 1}, "keep": false},
            {"op": "unmap", "at": {"lane": 0, "start": 0, "len": 8}},
            {"op": "map", "at": at, "page": "r--s memfd0+2"},
        ])
    }

    fn scenario() -> Value {
        json!({
            "schema_version": 1, "name": "all", "pages": 8, "lanes": ["[0..1 rw-p anon]"],
            "mutators": [operations()], "readers": ["walk"], "first_read": 100,
            "later_reads": 200, "boundary": {"lane": 0, "page": 1},
        })
    }

    fn lanes() -> Value {
        let version = |op: &Value| {
            json!({
                "invoked": 0, "closed": null, "layout": "[0..1 rw-p anon]", "known": true,
                "op": op, "worker": 1, "peer": 3,
            })
        };
        let versions: Vec<Value> = operations().as_array().unwrap().iter().map(version).collect();
        json!([{"lane": 0, "first": 1, "versions": versions}])
    }

    fn violation(kind: &str, more: &Value) -> Value {
        let mut file = json!({
            "schema_version": 1, "kind": kind, "signature": "hole/-/-/query", "contract": "series",
            "mapstorm": "0", "kernel": "test", "arch": "test", "page_size": 4096, "seed": "0x1",
            "generator": "none", "command": "none",
            "geometry": {"base": 4096, "page_shift": 12, "stride_shift": 16, "lanes": 1, "pages": 8},
            "files": [{"dev_major": 0, "dev_minor": 1, "inode": 2, "name": "/memfd:m"}],
        });
        let fields = file.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        file
    }

    fn tear() -> Value {
        let more = json!({
            "found": {"rule": "no-hole", "class": "hole", "missing": 4096, "line": null},
            "reader": 0, "mode": "query", "query": {"address": 4096, "or_next": false},
            "piece": {"from": 0, "to": 0, "after": false, "end": false},
            "calls": [{"offset": 0, "asked": 0, "window": {"from": 1, "to": 1}, "kept": false, "text": ""}],
            "lanes": lanes(),
        });
        violation(KIND, &more)
    }

    fn incident(account: &Value) -> Value {
        violation(INCIDENT, &json!({"found_ns": 1, "account": account}))
    }

    fn stall(call: &Value) -> Value {
        incident(&json!({"stall": {
            "worker": 1, "tid": 2, "call": call, "completed_calls": 3, "since_ns": 4,
            "waited_ns": 5, "limit_ns": 6, "thread": [{"file": "stack", "text": ""}],
            "lines": ["1000-2000 r--p"], "lanes": lanes(), "parties": [{
                "worker": 1, "role": "reader", "tid": 2, "rests": false, "state": "runnable",
                "doing": "spinning", "cpu": 0, "allowed_cpus": "0-1", "still_ns": 5, "idle_ns": 0,
                "completed_calls": 3, "call": call, "invoked": 7,
                "place": {"inside": true, "at": 0, "invoked": 7, "read": 15, "reached": 8192},
                "files": [{"file": "wchan", "text": "0"}],
            }],
        }}))
    }

    fn mismatch() -> Value {
        incident(&json!({"mismatch": {
            "standstill": 1, "differences": [{"lane": 0, "expected": "empty", "read": "empty"}],
            "lines": [], "lanes": lanes(),
        }}))
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_wherever_it_is() {
        for whole in [
            scenario(),
            tear(),
            mismatch(),
            stall(&json!({"read": "walk"})),
            stall(&json!({"operation": operations()[0]})),
        ] {
            decode(whole.to_string().as_bytes()).unwrap_or_else(|why| panic!("{why}: {whole}"));
            for place in places(&whole) {
                let decoded = decode(added(&whole, &place).to_string().as_bytes());
                assert!(matches!(decoded, Err(TearError::Form(_))), "{place}: {decoded:?}");
            }
        }
    }

    #[test]
    fn an_operation_says_which_field_it_does_not_know_and_which_it_knows() {
        let ops = operations().as_array().unwrap().len();
        for place in (0..ops).flat_map(|op| ["", "/at"].map(|at| format!("/mutators/0/{op}{at}"))) {
            if scenario().pointer(&place).is_none() {
                continue;
            }
            let why = decode(added(&scenario(), &place).to_string().as_bytes()).unwrap_err();
            let why = why.to_string();
            assert!(why.contains("`unheard_of`") && why.contains("expected"), "{place}: {why}");
        }
    }
}
