//! Calls that do not come back.

use super::heartbeat::Heartbeat;
use crate::count::counted;
use crate::host::{self, Doing, Found, Pulse, Sampler, ThreadFile, thread_files, thread_words};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A thread that the kernel kept in a call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hang {
    /// `mapper` or `scanner N`.
    pub thread: String,
    /// Its number in `/proc/self/task`.
    pub tid: i32,
    /// What it did meanwhile; files of older versions do not say.
    #[serde(default)]
    pub doing: Doing,
    /// Calls it had completed before.
    pub completed_calls: u64,
    /// How long it was watched standing in the call when it was found.
    pub waited_ms: f64,
    /// What `/proc/self/task/TID` says of it.
    pub evidence: Vec<ThreadFile>,
}

/// Watches the slots of a sample.
pub struct Watch {
    threads: host::Watch,
    sampler: Sampler,
    limit: Duration,
    found: bool,
}

/// For how many times the limit a call may be undecided before the run is given up.
const PATIENCE: u32 = 4;

impl Watch {
    /// Watches `slots` slots from now on; the kernel may keep a call for `limit`.
    pub fn new(slots: usize, limit: Duration) -> Watch {
        let threads = host::Watch::new(slots, limit, host::now());
        Watch { threads, sampler: Sampler::default(), limit, found: false }
    }

    /// Looks at the slots and tells whether the kernel keeps a thread. `ended` tells which slots have
    /// no thread any more. Does not allocate.
    pub fn look(&mut self, slots: &[Heartbeat], ended: impl Fn(usize) -> bool) -> bool {
        let pulse = |index: usize| {
            let heartbeat = &slots[index];
            let progress = heartbeat.beats();
            let tid = u32::try_from(heartbeat.tid()).ok().filter(|&tid| tid > 0);
            Pulse { progress, tid, busy: is_inside(progress) && !ended(index) }
        };
        let sampler = self.sampler;
        let found = self.threads.look(host::now(), pulse, |tid| sampler.look(tid));
        // A thread that has ended meanwhile is joined, and tells why itself.
        self.found |= matches!(found, Some(Found::Stall(_)));
        self.found
    }

    /// Whether heartbeat number `index` stands in a call for longer than the limit.
    pub fn is_over(&self, index: usize) -> bool {
        self.threads.standing(index).is_over()
    }

    /// Slots whose call the kernel keeps.
    pub fn hung(&self) -> Vec<usize> {
        self.threads.kept().filter(|_| self.found).collect()
    }

    /// A slot that was undecided for too long to go on waiting.
    pub fn undecided(&self) -> Option<(usize, Doing)> {
        self.threads.undecided_for(PATIENCE * self.limit)
    }

    /// Describes the thread of heartbeat number `index`, its evidence included.
    pub fn describe(&self, index: usize, heartbeat: &Heartbeat, thread: String) -> Hang {
        let tid = heartbeat.tid();
        let standing = self.threads.standing(index);
        Hang {
            thread,
            tid,
            doing: standing.doing(),
            completed_calls: heartbeat.completed(),
            waited_ms: standing.watched().as_secs_f64() * 1e3,
            evidence: thread_files(tid).into(),
        }
    }
}

/// Whether a count is that of a thread inside a call.
fn is_inside(beats: u64) -> bool {
    beats % 2 == 1
}

/// `hang` in words, one fact a line.
pub fn describe(hang: &Hang, column: &str) -> String {
    let mut text = format!(
        "{} (thread {}) beside {column} did not come back from a call for {:.1} s, after {}: \
         it {}\n",
        hang.thread,
        hang.tid,
        hang.waited_ms / 1e3,
        counted(hang.completed_calls, "call"),
        hang.doing.words()
    );
    text += &thread_words(&hang.evidence);
    text
}

/// Writes `text` to a new file in `directory` and says where.
///
/// # Errors
/// What creating or writing gave; an existing file is never overwritten.
pub fn save(directory: &Path, tid: i32, text: &str) -> std::io::Result<PathBuf> {
    let pid = std::process::id();
    let path = directory.join(format!("mapstorm-hang-{pid}-{tid}.txt"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}
