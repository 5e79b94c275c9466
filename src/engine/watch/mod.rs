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

use super::incidents::{Incident, Stall};
use crate::allocations;
use crate::host::{self, Cpus, Found, Pulse, Sampler, Stuck, Watch};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the watcher looks, of the limit, and at the least and at the most.
const LOOK_EVERY: u32 = 64;
const AT_LEAST: Duration = Duration::from_millis(5);
const AT_MOST: Duration = Duration::from_millis(50);
/// How long a storm that has found a stall waits for its files to be safe from a crash.
const SAFE_WITHIN: Duration = Duration::from_secs(3);

/// Keeps the account of a stall before anybody is told. Called by the watcher, which lives on the
/// [reserve](crate::allocations) by then: nothing of it may take a lock that a thread of the storm holds.
pub trait StallKeeper: Send + Sync {
    /// Before the storm: does all that [`save`](StallKeeper::save) does but write, so that what it needs is
    /// in memory.
    fn rehearse(&self, incident: &Incident);
    /// Writes it down.
    fn save(&self, incident: &Incident);
    /// Makes safe from a crash what was written. It may take long, or for ever.
    fn sync(&self);
    /// Waits until the rest of the program has told of it, and tells where it does not.
    fn guard(&self);
}

/// What the watcher and the director tell each other.
pub(super) struct Watcher {
    /// For each thread, whether it stands in a call for longer than the limit, which is no stall.
    overdue: Box<[AtomicBool]>,
    /// Whether something was found, the evidence is complete, and what can be saved is.
    found: AtomicBool,
    /// What the watcher has seen by then.
    seen: Mutex<Option<Watched>>,
    /// Whether it is safe from a crash, too.
    safe: AtomicBool,
    /// Whether it watches.
    ready: AtomicBool,
    /// Whether nobody has to be watched any more.
    over: AtomicBool,
}

/// What a watcher that has ended has seen.
pub(super) struct Watched {
    /// All that was seen.
    pub watch: Watch,
    /// What ended it before its time.
    pub found: Option<Found>,
    /// The account, if it is a stall.
    pub stall: Option<Stall>,
}

impl Watcher {
    /// A watcher of so many threads.
    pub fn new(threads: usize) -> Watcher {
        Watcher {
            overdue: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            found: AtomicBool::new(false),
            seen: Mutex::new(None),
            safe: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// The watcher tells that it watches from now on, and allocates no more.
    pub fn ready(&self) {
        // Release: pairs with `is_ready`.
        self.ready.store(true, Ordering::Release);
    }

    /// Whether it watches.
    pub fn is_ready(&self) -> bool {
        // Acquire: what the watcher allocated and freed lies before the storm.
        self.ready.load(Ordering::Acquire)
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

    /// Waits until what was found is safe from a crash, but not for long.
    pub fn wait_until_safe(&self) {
        let mut waited = Duration::ZERO;
        // Acquire: pairs with the release in `watch`.
        while !self.safe.load(Ordering::Acquire) && waited < SAFE_WITHIN {
            std::thread::sleep(AT_LEAST);
            waited += AT_LEAST;
        }
    }

    /// What was found, with all that was seen, once [it was](Self::has_found).
    pub fn take(&self) -> Option<Watched> {
        self.seen.lock().take()
    }

    /// Ends the watch.
    pub fn end(&self) {
        // Relaxed: it says only that looking is no use any more.
        self.over.store(true, Ordering::Relaxed);
    }

    /// Watches, on the calling thread, until something is found or it is told to [end](Self::end). `look_besides` is
    /// called at each look; `account`
    /// makes the account of a stall, which goes to `keeper` before anybody is told. Allocates nothing until
    /// then, and from the reserve from then on.
    pub fn watch(
        &self,
        mut watch: Watch,
        cpus: &Cpus,
        pulse: impl Fn(usize) -> Pulse,
        look_besides: impl Fn(),
        account: impl Fn(&Watch, &Stuck) -> Stall,
        keeper: Option<&dyn StallKeeper>,
    ) -> Option<Watched> {
        let sampler = Sampler::default();
        let every = (watch.limit() / LOOK_EVERY).clamp(AT_LEAST, AT_MOST);
        let mut away = None;
        // Relaxed: see `end`.
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(every);
            look_besides();
            let found = watch.look(host::now(), &pulse, |tid| sampler.look(tid));
            let Some(found) = found else {
                for (thread, overdue) in self.overdue.iter().enumerate() {
                    overdue.store(watch.is_overdue(thread), Ordering::Relaxed);
                }
                keep_away(&watch, cpus, &mut away);
                continue;
            };
            allocations::live_on_reserve();
            let mut stall = None;
            if let Found::Stall(stuck) = found {
                let incident = Incident::Stall(account(&watch, &stuck));
                if let Some(keeper) = keeper {
                    keeper.save(&incident);
                }
                if let Incident::Stall(account) = incident {
                    stall = Some(account);
                }
            }
            let is_stall = stall.is_some();
            *self.seen.lock() = Some(Watched { watch, found: Some(found), stall });
            // Release: see `has_found`.
            self.found.store(true, Ordering::Release);
            if let Some(keeper) = keeper.filter(|_| is_stall) {
                keeper.sync();
                // Release: pairs with `wait_until_safe`; the files are synced.
                self.safe.store(true, Ordering::Release);
                keeper.guard();
            }
            return None;
        }
        Some(Watched { watch, found: None, stall: None })
    }
}

/// Takes the watcher off a CPU on which a thread spins in the kernel: a kernel may let nobody else run
/// there. `away` is the CPU that it was taken off last. Where there is no other CPU, or that may not be
/// chosen, it stays.
fn keep_away(watch: &Watch, cpus: &Cpus, away: &mut Option<u32>) {
    let spins = (0..watch.len()).find_map(|thread| {
        let standing = watch.standing(thread);
        let spins =
            standing.watched() > watch.limit() / 8 && standing.system() > standing.watched() / 2;
        standing.last().filter(|_| spins).and_then(|look| look.cpu)
    });
    if spins.is_some() && spins != *away {
        let others = cpus.all().filter(|&cpu| Some(cpu as u32) != spins);
        // The watcher goes on in any case.
        let _ = host::pin(others);
        *away = spins;
    }
}
