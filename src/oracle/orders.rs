//! The history's memory orders, under model checkers that try the interleavings.
//!
//! Loom tries all executions of a small history, with stores that become visible late as the C11
//! model allows; shuttle many random executions of a larger one, without such stores.

use super::clock::{Clock, Tick};
use super::history::{History, Origin, Overrun, Version};
use super::word::{Ordering, Word, word};
use crate::model::{Layout, Page, Prot};
use std::sync::Arc;

word!(loom::sync::atomic::AtomicU64, loom::sync::atomic::fence);
// Shuttle's atomics are sequentially consistent: there is nothing left for a fence to order.
word!(shuttle::sync::atomic::AtomicU64, |_| ());

/// A model checker.
trait Checker: 'static {
    /// Its word.
    type Word: Word + Send + Sync + 'static;
    /// Operations of the mutator.
    const OPS: u64;
    /// Histories that are overrun, and ones that are not: loom takes a release fence to cover what
    /// its thread stores later, too, and a history that is not overrun uses none.
    const CAPACITIES: [usize; 2];
    /// Runs the test in many executions.
    fn check(test: impl Fn() + Send + Sync + Copy + 'static);
    /// Begins a thread; what it gives waits for its end.
    fn spawn(thread: impl FnOnce() + Send + 'static) -> impl FnOnce();

    /// Runs the two side by side: `thread` in a thread of its own, and `here` in this one.
    fn beside<T>(thread: impl FnOnce() + Send + 'static, here: impl FnOnce() -> T) -> T {
        let join = Self::spawn(thread);
        let found = here();
        join();
        found
    }
}

/// All executions with three switches away from a thread that could go on: they find every
/// weakening tried by hand; without a bound the search does not end.
struct Loom;

impl Checker for Loom {
    type Word = loom::sync::atomic::AtomicU64;
    const OPS: u64 = 2;
    const CAPACITIES: [usize; 2] = [2, 4];

    fn check(test: impl Fn() + Send + Sync + Copy + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }

    fn spawn(thread: impl FnOnce() + Send + 'static) -> impl FnOnce() {
        let thread = loom::thread::spawn(thread);
        move || thread.join().unwrap()
    }
}

/// Random executions, half of them with few switches of threads, as rare interleavings have.
struct Shuttle;

impl Checker for Shuttle {
    type Word = shuttle::sync::atomic::AtomicU64;
    const OPS: u64 = 24;
    const CAPACITIES: [usize; 2] = [8, 32];

    fn check(test: impl Fn() + Send + Sync + Copy + 'static) {
        shuttle::check_random(test, 5_000);
        shuttle::check_pct(test, 5_000, 4);
    }

    fn spawn(thread: impl FnOnce() + Send + 'static) -> impl FnOnce() {
        let thread = shuttle::thread::spawn(thread);
        move || thread.join().unwrap()
    }
}

/// Makes tests of these, each under either checker.
macro_rules! under_both {
    ($($test:ident)*) => {
        mod under_loom {
            $(#[test] fn $test() { super::$test::<super::Loom>() })*
        }
        mod under_shuttle {
            $(#[test] fn $test() { super::$test::<super::Shuttle>() })*
        }
    };
}

under_both! {
    what_the_kernel_shows_is_in_the_history_or_known_to_be_gone
    the_first_version_is_found_from_an_earlier_one_on
    a_confirmed_version_is_read_whole
    a_settled_version_tells_whether_its_operation_failed
    the_newest_version_is_not_closed_before_the_clock_was_read
}

/// Runs a test on a world of its own in each execution.
fn explore<C: Checker>(test: impl Fn(Arc<World<C::Word>>) + Send + Sync + Copy + 'static) {
    for capacity in C::CAPACITIES {
        C::check(move || test(World::new(capacity)));
    }
}

/// What a reader does beside a mutator.
fn beside_a_mutator<C: Checker>(test: fn(&World<C::Word>)) {
    explore::<C>(move |world| {
        let mutator = world.clone();
        C::beside(move || mutator.mutate(C::OPS), || test(&world));
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
struct World<W> {
    clock: Clock<W>,
    history: History<W>,
    kernel: W,
}

impl<W: Word> World<W> {
    fn new(capacity: usize) -> Arc<World<W>> {
        Arc::new(World {
            clock: Clock::default(),
            history: History::of_words(capacity, &layout(0)),
            kernel: W::default(),
        })
    }

    /// A mutator: tick, history, system call, tick, close.
    fn mutate(&self, ops: u64) {
        for version in 1..=ops {
            let invoked = self.clock.take();
            self.history.push(invoked, &layout(version), &origin(true));
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

fn what_the_kernel_shows_is_in_the_history_or_known_to_be_gone<C: Checker>() {
    beside_a_mutator::<C>(World::read);
}

/// What was the first version once is where the next search begins.
fn the_first_version_is_found_from_an_earlier_one_on<C: Checker>() {
    beside_a_mutator::<C>(|world| {
        let history = &world.history;
        if let Ok(least) = history.first_at(world.clock.now()) {
            world.read_from(|from| history.first_from(least, from));
        }
    });
}

fn a_confirmed_version_is_read_whole<C: Checker>() {
    beside_a_mutator::<C>(|world| {
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

fn a_settled_version_tells_whether_its_operation_failed<C: Checker>() {
    explore::<C>(|world| {
        let reader = world.clone();
        // The reader is the thread and not the other way round: loom lets a load see a store only
        // where the store can come first, and begins with the thread that spawns.
        let read = move || {
            let history = &reader.history;
            if history.head() == 1 && history.settled(0) {
                assert!(!history.known(1));
            }
        };
        C::beside(read, || {
            let invoked = world.clock.take();
            world.history.push(invoked, &layout(1), &origin(true));
            world.history.disown(1);
            world.history.close(0, world.clock.take());
        });
    });
}

/// What is taken at once rests on it: a version that is still the newest needs no closed tick.
fn the_newest_version_is_not_closed_before_the_clock_was_read<C: Checker>() {
    explore::<C>(|world| {
        let mutator = world.clone();
        let (from, newest) =
            C::beside(move || mutator.mutate(C::OPS), || (world.clock.now(), world.history.head()));
        let closed = world.history.closed(newest);
        if world.history.confirm(newest).is_ok() {
            assert!(closed >= from, "version {newest} was closed at {closed}, before {from}");
        }
    });
}
