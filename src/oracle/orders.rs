//! The history's memory orders, under a model checker that tries the interleavings.
//!
//! `RUSTFLAGS="--cfg loom"`: all executions of a small history, with stores that become visible
//! late as the C11 model allows. `RUSTFLAGS="--cfg shuttle"`: many random executions of a larger
//! one, without such stores.

use super::clock::{Clock, Tick};
use super::history::{History, Origin, Overrun, Version};
use super::sync::{AtomicU64, Ordering};
use crate::space::{Layout, Page, Prot};
#[cfg(loom)]
use loom::{sync::Arc, thread};
#[cfg(not(loom))]
use shuttle::{sync::Arc, thread};

#[cfg(loom)]
const OPS: u64 = 2;
#[cfg(not(loom))]
const OPS: u64 = 24;
/// Histories that are overrun, and ones that are not: loom takes a release fence to cover what
/// its thread stores later, too, and a history that is not overrun uses none.
#[cfg(loom)]
const CAPACITIES: [usize; 2] = [2, 4];
#[cfg(not(loom))]
const CAPACITIES: [usize; 2] = [8, 32];

#[cfg(loom)]
fn explore(test: impl Fn(usize) + Copy + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    // Three switches away from a thread that could go on find every weakening tried by hand;
    // without a bound the search does not end.
    model.preemption_bound = Some(3);
    for capacity in CAPACITIES {
        model.check(move || test(capacity));
    }
}

#[cfg(not(loom))]
fn explore(test: impl Fn(usize) + Copy + Send + Sync + 'static) {
    for capacity in CAPACITIES {
        shuttle::check_random(move || test(capacity), 5_000);
        shuttle::check_pct(move || test(capacity), 5_000, 4);
    }
}

/// What a reader does beside a mutator.
fn beside_a_mutator(test: fn(&World)) {
    explore(move |capacity| {
        let world = World::new(capacity);
        let mutator = world.clone();
        let thread = thread::spawn(move || mutator.mutate());
        test(&world);
        thread.join().unwrap();
    });
}

/// A layout that tells its version.
fn layout(version: u64) -> Layout {
    Layout::from_pages(&[Page::file(Prot::READ, true, 0, version as u16)])
}

fn origin(known: bool) -> Origin {
    Origin { op: None, worker: 0, peer: None, known }
}

/// The oracle in miniature: the clock, the history of one lane, and the kernel, which is nothing
/// but the version that is mapped now. Its order stands for the kernel's locks.
struct World {
    clock: Clock,
    history: History,
    kernel: AtomicU64,
}

impl World {
    fn new(capacity: usize) -> Arc<World> {
        Arc::new(World {
            clock: Clock::default(),
            history: History::new(capacity, &layout(0)),
            kernel: AtomicU64::new(0),
        })
    }

    /// A mutator: tick, history, system call, tick, close.
    fn mutate(&self) {
        for version in 1..=OPS {
            let invoked = self.clock.take();
            self.history.push(invoked, (&layout(version)).into(), &origin(true));
            self.kernel.store(version, Ordering::Release);
            let returned = self.clock.take();
            self.history.close(version - 1, returned);
        }
    }

    /// A reader, as the walk checker does it: what the kernel showed in the window has to be
    /// among the versions of the window, or the history has to say that it is gone.
    fn read(&self) {
        self.read_from(|from| self.history.first_at(from));
    }

    fn read_from(&self, first_at: impl FnOnce(Tick) -> Result<Version, Overrun>) {
        let from = self.clock.now();
        let seen = layout(self.kernel.load(Ordering::Acquire)).pages()[0];
        let to = self.clock.now();
        let history = &self.history;
        let Ok(first) = first_at(from) else { return };
        let mut version = first;
        let shown = loop {
            if history.masks(version) == (1, 1) && history.page(version, 0) == seen {
                break true;
            }
            version += 1;
            if version > history.head() || history.invoked(version) >= to {
                break false;
            }
        };
        // What overwritten slots say is believed only when confirmed.
        if history.confirm(first).is_ok() {
            assert!(shown, "{seen} is in none of the versions of {from}..{to} from {first} on");
        }
    }
}

#[test]
fn orders_what_the_kernel_shows_is_in_the_history_or_known_to_be_gone() {
    beside_a_mutator(World::read);
}

/// What was the first version once is where the next search begins.
#[test]
fn orders_the_first_version_is_found_from_an_earlier_one_on() {
    beside_a_mutator(|world| {
        let history = &world.history;
        if let Ok(least) = history.first_at(world.clock.now()) {
            world.read_from(|from| history.first_from(least, from));
        }
    });
}

#[test]
fn orders_a_confirmed_version_is_read_whole() {
    beside_a_mutator(|world| {
        let history = &world.history;
        let version = history.head();
        let (invoked, page) = (history.invoked(version), history.page(version, 0));
        if history.confirm(version).is_ok() {
            assert_eq!(page, layout(version).pages()[0]);
            // Two ticks an operation: version v was invoked at tick 2 (v - 1).
            assert_eq!(invoked, 2 * version.saturating_sub(1));
        }
    });
}

#[test]
fn orders_a_settled_version_tells_whether_its_operation_failed() {
    explore(|capacity| {
        let world = World::new(capacity);
        let reader = world.clone();
        // The reader is the thread and not the other way round: loom lets a load see a store only
        // where the store can come first, and begins with the thread that spawns.
        let thread = thread::spawn(move || {
            let history = &reader.history;
            if history.head() == 1 && history.settled(0) {
                assert!(!history.known(1));
            }
        });
        let invoked = world.clock.take();
        world.history.push(invoked, (&layout(1)).into(), &origin(true));
        world.history.disown(1);
        world.history.close(0, world.clock.take());
        thread.join().unwrap();
    });
}

/// What is taken at once rests on it: a version that is still the newest needs no closed tick.
#[test]
fn orders_the_newest_version_is_not_closed_before_the_clock_was_read() {
    explore(|capacity| {
        let world = World::new(capacity);
        let mutator = world.clone();
        let thread = thread::spawn(move || mutator.mutate());
        let from = world.clock.now();
        let newest = world.history.head();
        thread.join().unwrap();
        let closed = world.history.closed(newest);
        if world.history.confirm(newest).is_ok() {
            assert!(closed >= from, "version {newest} was closed at {closed}, before {from}");
        }
    });
}
