//! What a thread shows of itself while it works, so that another can see it hang.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// One thread's sign of life.
///
/// The count goes up at the start and at the end of each call, so it is odd inside one. A count
/// that stays odd and the same is a call that has not come back.
#[derive(Default)]
pub struct Heartbeat(CachePadded<Signs>);

#[derive(Default)]
struct Signs {
    beats: AtomicU64,
    tid: AtomicI32,
}

impl Heartbeat {
    /// Says which thread this is; called by the thread itself before its first call.
    pub fn claim(&self) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        // Relaxed: the number stands alone; nothing is published with it.
        self.0.tid.store(tid, Ordering::Relaxed);
    }

    /// The thread's number; 0 before `claim`.
    pub fn tid(&self) -> i32 {
        // Relaxed: as in `claim`.
        self.0.tid.load(Ordering::Relaxed)
    }

    /// A call begins.
    #[inline]
    pub fn enter(&self) {
        self.beat();
    }

    /// The call has come back.
    #[inline]
    pub fn leave(&self) {
        self.beat();
    }

    #[inline]
    fn beat(&self) {
        // A load and a store, not an addition: only the owner writes, and a locked instruction
        // would be felt in the measured loop. Relaxed: the watcher compares the count with itself
        // a long time later and reads nothing else on the strength of it.
        let beats = self.0.beats.load(Ordering::Relaxed);
        self.0.beats.store(beats + 1, Ordering::Relaxed);
    }

    /// The count now.
    pub fn beats(&self) -> u64 {
        // Relaxed: as in `beat`.
        self.0.beats.load(Ordering::Relaxed)
    }

    /// Calls completed.
    pub fn completed(&self) -> u64 {
        self.beats() / 2
    }
}
