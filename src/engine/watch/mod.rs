//! How a call that does not come back is noticed, and what is taken down of it.
//!
//! A thread of its own watches all others: the director may itself wait for what the stuck thread
//! holds. It looks at a thread that has not come back from a call for [`host::FIRST_LOOK_MOST`],
//! long before the limit. [`host::Watch`] says what such a thread does; here is who looks, how often,
//! and how the director learns of it.

mod party;
mod record;

pub use party::{CallPlace, Named, Party, Role, name};
pub use record::CallRecord;

use crate::host::{self, Found, Pulse, Sampler, Watch};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the watcher looks, of the limit, and at the least and at the most.
const LOOK_EVERY: u32 = 64;
const AT_LEAST: Duration = Duration::from_millis(5);
const AT_MOST: Duration = Duration::from_millis(50);

/// What the watcher and the director tell each other.
pub(super) struct Watcher {
    /// For each thread, whether it stands in a call for longer than the limit, which is no stall.
    overdue: Box<[AtomicBool]>,
    /// Whether something was found, and the evidence is complete.
    found: AtomicBool,
    /// Whether nobody has to be watched any more.
    over: AtomicBool,
}

/// What a watcher that has ended has seen.
pub(super) struct Watched {
    /// All that was seen.
    pub watch: Watch,
    /// What ended it before its time.
    pub found: Option<Found>,
}

impl Watcher {
    /// A watcher of so many threads.
    pub fn new(threads: usize) -> Watcher {
        Watcher {
            overdue: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            found: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// Whether the thread stands in a call for longer than the limit, which is no stall.
    pub fn is_overdue(&self, thread: usize) -> bool {
        // Relaxed: the director asks again and again, and acts on nothing else that was written.
        self.overdue[thread].load(Ordering::Relaxed)
    }

    /// Whether something was found, and its evidence is complete.
    pub fn has_found(&self) -> bool {
        // Acquire: pairs with the release in `watch`; who sees it sees the evidence.
        self.found.load(Ordering::Acquire)
    }

    /// Ends the watch.
    pub fn end(&self) {
        // Relaxed: it says only that looking is no use any more.
        self.over.store(true, Ordering::Relaxed);
    }

    /// Watches, on the calling thread, until something is found or it is told to [end](Self::end).
    /// `take` is called with what was found, before anybody is told. Allocates nothing until then.
    pub fn watch(
        &self,
        mut watch: Watch,
        pulse: impl Fn(usize) -> Pulse,
        take: impl FnOnce(&Watch, Found),
    ) -> Watched {
        let sampler = Sampler::default();
        let every = (watch.limit() / LOOK_EVERY).clamp(AT_LEAST, AT_MOST);
        // Relaxed: see `end`.
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(every);
            let found = watch.look(host::now(), &pulse, |tid| sampler.look(tid));
            if let Some(found) = found {
                take(&watch, found);
                // Release: see `has_found`.
                self.found.store(true, Ordering::Release);
                return Watched { watch, found: Some(found) };
            }
            for (thread, overdue) in self.overdue.iter().enumerate() {
                overdue.store(watch.is_overdue(thread), Ordering::Relaxed);
            }
        }
        Watched { watch, found: None }
    }
}
