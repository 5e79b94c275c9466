//! Calls that do not come back.

use super::slot::Slot;
use crate::probe::{ThreadFile, thread_files, thread_words};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A thread that stood still.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hang {
    /// Who: `mapper` or `scanner N`.
    pub thread: String,
    /// Its number in `/proc/self/task`.
    pub tid: i32,
    /// Whether it stood inside a call; if not, it got no CPU.
    pub inside_call: bool,
    /// Calls it had completed before.
    pub completed_calls: u64,
    /// How long it had stood still when it was found.
    pub waited_ms: f64,
    /// What `/proc/self/task/TID` says of it.
    pub evidence: Vec<ThreadFile>,
}

/// Watches slots for counts that stand still.
pub struct Watch {
    seen: Vec<Seen>,
    limit_ns: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    beats: u64,
    since_ns: u64,
}

impl Watch {
    /// Watches `slots` slots from `now_ns` on; `limit_ns` is how long one may stand still.
    pub fn new(slots: usize, limit_ns: u64, now_ns: u64) -> Watch {
        let fresh = Seen { beats: 0, since_ns: now_ns };
        Watch { seen: vec![fresh; slots], limit_ns }
    }

    /// Takes the counts at `now_ns`; whether one has stood still for too long. Does not allocate.
    pub fn look(&mut self, beats: impl Iterator<Item = u64>, now_ns: u64) -> bool {
        let mut still = false;
        for (seen, beats) in self.seen.iter_mut().zip(beats) {
            if seen.beats != beats {
                *seen = Seen { beats, since_ns: now_ns };
            }
            still |= now_ns - seen.since_ns >= self.limit_ns;
        }
        still
    }

    /// Slots that have stood still for too long: those inside a call, or where there is none,
    /// all. (Threads that wait for the hanging one, at a barrier, stand still too.)
    pub fn still(&self, now_ns: u64) -> Vec<usize> {
        let too_long = |&i: &usize| now_ns - self.seen[i].since_ns >= self.limit_ns;
        let all: Vec<usize> = (0..self.seen.len()).filter(too_long).collect();
        let inside: Vec<usize> = all.iter().copied().filter(|&i| self.inside(i)).collect();
        if inside.is_empty() { all } else { inside }
    }

    fn inside(&self, slot: usize) -> bool {
        self.seen[slot].beats % 2 == 1
    }

    /// Describes the thread of slot number `index`, its evidence included.
    pub fn describe(&self, index: usize, slot: &Slot, thread: String, now_ns: u64) -> Hang {
        let tid = slot.tid();
        Hang {
            thread,
            tid,
            inside_call: self.inside(index),
            completed_calls: slot.completed(),
            waited_ms: (now_ns - self.seen[index].since_ns) as f64 / 1e6,
            evidence: thread_files(tid).into(),
        }
    }
}

/// `hang` in words, one fact a line.
pub fn describe(hang: &Hang, column: &str) -> String {
    let state = if hang.inside_call { "inside a call" } else { "outside any call: it got no CPU" };
    let mut text = format!(
        "{} (thread {}) beside {column} did not come back for {:.1} s, {state}, after {} calls\n",
        hang.thread,
        hang.tid,
        hang.waited_ms / 1e3,
        hang.completed_calls
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_moves_is_no_hang() {
        let mut watch = Watch::new(2, 100, 0);
        for now in (0..1000).step_by(50) {
            assert!(!watch.look([now / 50, now / 50 + 7].into_iter(), now));
        }
    }

    #[test]
    fn the_call_that_stands_is_named_not_those_that_wait() {
        let mut watch = Watch::new(3, 100, 0);
        assert!(!watch.look([5, 4, 8].into_iter(), 10));
        assert!(!watch.look([5, 4, 9].into_iter(), 109));
        assert!(watch.look([5, 4, 10].into_iter(), 110));
        assert_eq!(watch.still(110), [0]);
        assert!(watch.inside(0) && !watch.inside(1));
    }

    #[test]
    fn a_thread_without_cpu_is_named_when_no_call_stands() {
        let mut watch = Watch::new(2, 100, 0);
        assert!(watch.look([4, 6].into_iter(), 5) | watch.look([4, 7].into_iter(), 105));
        assert_eq!(watch.still(105), [0]);
    }
}
