//! The lanes' books: the lock of each lane, and what is written down before and after a change.

use super::clock::{Clock, Tick};
use super::evidence::VersionRecord;
use super::history::{History, Origin, Version};
use crate::model::{Geometry, Layout, MAX_PAGES, MergeRules, Op, apply, apply_alone};
use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;

/// The oracle: the clock, and for each lane its history and its present layout.
pub struct Oracle {
    geometry: Geometry,
    rules: MergeRules,
    clock: Clock,
    lanes: Box<[Lane]>,
}

struct Lane {
    history: History,
    /// On lines of its own, which only mutators touch.
    current: CachePadded<Mutex<Current>>,
}

/// A lane as its lock holder knows it.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// Its VMAs now.
    pub layout: Layout,
    /// The pages that the operation which made the version changed, as a mask.
    pub changed: u64,
    /// Its version.
    pub version: Version,
    /// False after a failed operation, until the lane is seen again at a standstill.
    pub known: bool,
}

impl Current {
    pub(crate) fn new(layout: &Layout, version: Version, known: bool) -> Current {
        Current { layout: *layout, changed: 0, version, known }
    }
}

/// A lane whose lock is held, so that no other thread changes it.
pub struct Held<'a> {
    pub(super) lane: u16,
    pub(super) current: MutexGuard<'a, Current>,
}

impl Held<'_> {
    /// The lane's number.
    pub fn lane(&self) -> u16 {
        self.lane
    }

    /// The first of the numbers for the anon_vmas that the lane's next version may bring: no other
    /// version of any lane has them.
    #[inline]
    pub(crate) fn fresh(&self) -> u64 {
        let version = self.current.version + 1;
        1 + MAX_PAGES as u64 * (u64::from(self.lane) + (1 << 16) * version)
    }

    /// The lane's state.
    pub fn current(&self) -> &Current {
        &self.current
    }
}

/// An operation between its two ticks. The first lane's new version, and the second's.
#[must_use = "an operation that is invoked has to return"]
#[derive(Clone, Copy, Debug)]
pub struct Invoked {
    pub(super) first: (u16, Version),
    pub(super) second: Option<(u16, Version)>,
}

impl Oracle {
    /// Books for the lanes of `geometry`, which start as `initial` says, with room for
    /// `capacity` versions (a power of two) in each.
    ///
    /// # Panics
    /// When `initial` has not one layout a lane.
    pub fn new(geometry: Geometry, initial: &[Layout], capacity: usize) -> Oracle {
        assert_eq!(initial.len(), geometry.lanes as usize);
        let lane = |layout: &Layout| Lane {
            history: History::new(capacity, layout),
            current: CachePadded::new(Mutex::new(Current::new(layout, 0, true))),
        };
        let lanes = initial.iter().map(lane).collect();
        Oracle { geometry, rules: MergeRules::NEWEST, clock: Clock::default(), lanes }
    }

    /// The same books for a kernel that merges by these rules.
    #[must_use]
    pub fn with_rules(mut self, rules: MergeRules) -> Oracle {
        self.rules = rules;
        self
    }

    /// Books that say what `records` say, by lane and then by number, and of other lanes that
    /// nothing is known. Versions are numbered anew, from 0 in each lane.
    pub fn recall(geometry: Geometry, records: &[VersionRecord]) -> Oracle {
        let firsts: BTreeMap<u16, Version> =
            records.iter().rev().map(|record| (record.lane, record.version)).collect();
        let pages = geometry.pages as usize;
        let lane = |lane: u16| {
            let mut own = records.iter().filter(|record| record.lane == lane);
            let first = own.clone().next();
            let initial = first.map_or(Layout::empty(pages), VersionRecord::layout);
            let capacity = own.clone().count().next_power_of_two().max(2);
            let history = History::new(capacity, &initial);
            if first.is_none_or(|record| !record.origin.known) {
                history.disown(0);
            }
            let mut before = own.next();
            for record in own {
                let peer = record.origin.peer.and_then(|peer| {
                    let first = firsts.get(&record.origin.op?.across(lane)?)?;
                    peer.checked_sub(*first)
                });
                let origin = Origin { peer, ..record.origin };
                let version = history.push(record.invoked, &record.layout(), &origin);
                if let Some(before) = before.replace(record) {
                    history.close(version - 1, before.closed);
                }
            }
            if let Some(last) = before {
                history.close(history.head(), last.closed);
            }
            let current = Current::new(&initial, history.head(), false);
            Lane { history, current: CachePadded::new(Mutex::new(current)) }
        };
        let lanes = (0..geometry.lanes).map(lane).collect();
        Oracle { geometry, rules: MergeRules::NEWEST, clock: Clock::default(), lanes }
    }

    /// Where the lanes lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How the kernel merges.
    pub fn rules(&self) -> MergeRules {
        self.rules
    }

    /// The clock.
    #[inline]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A lane's history.
    #[inline]
    pub fn history(&self, lane: u16) -> &History {
        &self.lanes[lane as usize].history
    }

    /// Takes a lane's lock if it is free.
    #[inline]
    pub fn try_hold(&self, lane: u16) -> Option<Held<'_>> {
        let current = self.lanes[lane as usize].current.try_lock()?;
        Some(Held { lane, current })
    }

    /// Takes a lane's lock, waiting for it. Never with another lane held, or two holders could
    /// wait for each other.
    pub fn hold(&self, lane: u16) -> Held<'_> {
        Held { lane, current: self.lanes[lane as usize].current.lock() }
    }

    /// Writes down what `op` is about to do and takes its first tick. The lane of [`Op::at`] is
    /// `first`; `second` is that of [`Op::other_lane`], if there is one. The operation has to
    /// [fit](crate::model::fits).
    #[inline]
    pub fn invoke(
        &self,
        op: &Op,
        worker: u16,
        first: &mut Held<'_>,
        second: Option<&mut Held<'_>>,
    ) -> Invoked {
        debug_assert_eq!(op.at().lane, first.lane);
        debug_assert_eq!(op.other_lane(), second.as_ref().map(|held| held.lane));
        let origin = |peer| Origin { op: Some(*op), worker, peer, known: true };
        let push = |held: &mut Held<'_>, changed: u64, invoked: Tick, peer: Option<Version>| {
            let current = &mut *held.current;
            let history = self.history(held.lane);
            current.changed = changed;
            current.version = history.push(invoked, &current.layout, &origin(peer));
        };
        let fresh = first.fresh();
        let Some(second) = second else {
            let changed = apply_alone(op, self.rules, &mut first.current.layout, fresh);
            push(first, changed, self.clock.take(), None);
            return Invoked { first: (first.lane, first.current.version), second: None };
        };
        let (one, two) = (&mut first.current.layout, &mut second.current.layout);
        let changed = apply(op, self.rules, one, two, fresh);
        let invoked = self.clock.take();
        // Both numbers are known beforehand: the locks are held.
        let (a, b) = (first.current.version + 1, second.current.version + 1);
        push(first, changed[0], invoked, Some(b));
        push(second, changed[1], invoked, Some(a));
        Invoked { first: (first.lane, a), second: Some((second.lane, b)) }
    }

    /// Takes the operation's second tick and closes the layouts before it.
    #[inline]
    pub fn returned(&self, op: Invoked) {
        let returned = self.clock.take();
        self.history(op.first.0).close(op.first.1 - 1, returned);
        if let Some((lane, version)) = op.second {
            self.history(lane).close(version - 1, returned);
        }
    }

    /// The operation failed: what its lanes look like is not known from its first tick on, until
    /// they are [repaired](Oracle::repair).
    ///
    /// A failed mmap(MAP_FIXED) may already have unmapped its range (mm/vma.c, `__mmap_region`,
    /// after `vms_gather_munmap_vmas`), mprotect and madvise stop half-way.
    pub fn failed(&self, op: Invoked, first: &mut Held<'_>, second: Option<&mut Held<'_>>) {
        first.current.known = false;
        self.history(op.first.0).disown(op.first.1);
        if let (Some(second), Some((lane, version))) = (second, op.second) {
            second.current.known = false;
            self.history(lane).disown(version);
        }
        self.returned(op);
    }

    /// The operation failed and left all as it was, as `before` says of its lanes.
    ///
    /// That layout is a version again. It can be seen from before the layout it was to be replaced by
    /// can't be any more: there is no moment at which a reader may not see it.
    pub fn undone(
        &self,
        op: Invoked,
        first: &mut Held<'_>,
        second: Option<&mut Held<'_>>,
        before: &[Layout; 2],
    ) {
        let again = self.clock.take();
        let back = |held: &mut Held<'_>, layout: &Layout| {
            let origin = Origin { op: None, worker: 0, peer: None, known: true };
            let version = self.history(held.lane).push(again, layout, &origin);
            *held.current = Current::new(layout, version, true);
            version
        };
        let made = back(first, &before[0]);
        let made = (made, second.map(|second| back(second, &before[1])));
        let returned = self.clock.take();
        let close = |lane: u16, failed: Version, made: Version| {
            debug_assert_eq!(failed + 1, made);
            self.history(lane).close(failed - 1, returned);
            self.history(lane).close(failed, returned);
        };
        close(op.first.0, op.first.1, made.0);
        if let (Some((lane, failed)), Some(made)) = (op.second, made.1) {
            close(lane, failed, made);
        }
    }

    /// The operation has returned, and after it the lane's layout is known, whatever it was before.
    pub fn regained(&self, op: Invoked, held: &mut Held<'_>) {
        debug_assert_eq!((op.first.0, op.second), (held.lane, None));
        held.current.known = true;
        self.returned(op);
    }

    /// Gives a lane a layout that was made and read back at a standstill, as a new version.
    pub fn repair(&self, held: &mut Held<'_>, layout: &Layout) {
        let origin = Origin { op: None, worker: 0, peer: None, known: true };
        let history = self.history(held.lane);
        let version = history.push(self.clock.take(), layout, &origin);
        history.close(version - 1, self.clock.take());
        *held.current = Current::new(layout, version, true);
    }

    /// Whether the operation that made the version has returned. Version 0 was made by none.
    pub fn settled(&self, lane: u16, version: Version) -> bool {
        version == 0 || self.history(lane).settled(version - 1)
    }

    /// The operation of the worker's that has not returned. Without the lanes' locks, which the
    /// worker holds: what others do in other lanes meanwhile is not its own, and what is its own
    /// stays the newest of its lane.
    pub fn under_way(&self, worker: u16) -> Option<Op> {
        self.under_way_since(worker).map(|(op, _)| op)
    }

    /// The same, with the tick just before its system call.
    pub fn under_way_since(&self, worker: u16) -> Option<(Op, Tick)> {
        (0..self.geometry.lanes).find_map(|lane| {
            let history = self.history(lane);
            let newest = history.head();
            let origin = history.origin(newest);
            let own = origin.worker == worker && !self.settled(lane, newest);
            origin.op.filter(|_| own).map(|op| (op, history.invoked(newest)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Page, Place, Prot, Span};

    #[test]
    fn an_operation_is_under_way_until_it_has_returned() {
        let geometry = Geometry::new(0x10_0000, 4096, 2, 4);
        let oracle = Oracle::new(geometry, &[Layout::empty(4), Layout::empty(4)], 4);
        let op = Op::Unmap { at: Place { lane: 1, span: Span::new(0, 2) } };
        assert_eq!(oracle.under_way(0), None);
        let mut held = oracle.hold(1);
        let invoked = oracle.invoke(&op, 7, &mut held, None);
        assert_eq!((oracle.under_way(7), oracle.under_way(0)), (Some(op), None));
        oracle.returned(invoked);
        assert_eq!(oracle.under_way(7), None);
    }

    #[test]
    fn what_a_call_left_as_it_was_can_be_seen_at_every_instant() {
        let geometry = Geometry::new(0x10_0000, 4096, 2, 4);
        let mapped = Layout::from_pages(&[Page::anon(Prot::READ); 4]);
        let oracle = Oracle::new(geometry, &[mapped, mapped], 8);
        let at = |lane| Place { lane, span: Span::new(1, 3) };
        let alone = Op::Unmap { at: at(0) };
        let across = Op::Remap { from: at(0), to: at(1), keep: false };
        let begun = oracle.clock().now();
        let (mut first, mut second) = (oracle.hold(0), oracle.hold(1));
        let invoked = oracle.invoke(&alone, 0, &mut first, None);
        oracle.undone(invoked, &mut first, None, &[mapped, mapped]);
        let invoked = oracle.invoke(&across, 0, &mut first, Some(&mut second));
        oracle.undone(invoked, &mut first, Some(&mut second), &[mapped, mapped]);
        assert!([&first, &second].iter().all(|held| held.current().known));
        assert!([&first, &second].iter().all(|held| held.current().layout == mapped));
        for (lane, versions) in [(0, 5), (1, 3)] {
            let history = oracle.history(lane);
            assert_eq!(history.head() + 1, versions);
            assert!(oracle.settled(lane, history.head()));
            for now in begun..=oracle.clock().now() {
                let first = history.first_at(now).unwrap();
                let seen = (first..versions).filter(|&v| v == 0 || history.invoked(v) < now);
                let mut shown = seen.filter(|&v| history.layout(v) == mapped);
                assert!(shown.next().is_some(), "lane {lane} at tick {now}");
            }
        }
    }

    #[test]
    fn what_is_known_after_an_operation_is_known_whatever_failed_before() {
        let geometry = Geometry::new(0x10_0000, 4096, 1, 4);
        let oracle = Oracle::new(geometry, &[Layout::empty(4)], 8);
        let op = Op::Unmap { at: Place { lane: 0, span: Span::new(0, 4) } };
        let mut held = oracle.hold(0);
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.failed(invoked, &mut held, None);
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.regained(invoked, &mut held);
        assert!(held.current().known);
        assert_eq!((oracle.history(0).known(1), oracle.history(0).known(2)), (false, true));
    }
}
