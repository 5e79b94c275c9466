//! One mutator: draws an operation, writes it down, carries it out, writes down that it is done.

use super::op_set::OpSet;
use super::program::Program;
use super::scheduler::Slice;
use super::tally::Tally;
use crate::kernel::Mm;
use crate::model::{AtLimit, Change, Layout, Op, Place, Span, at_limit, fits};
use crate::oracle::{Held, Invoked, Oracle};
use crate::seed::Stream;
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A mutator and its plan.
pub struct Mutator<'a> {
    oracle: &'a Oracle,
    tally: &'a Tally,
    may: OpSet,
    rng: Stream,
    worker: u16,
    program: Option<Program>,
    /// Operations left in this stint.
    left: usize,
    /// Whether the program is a scenario's, which is kept whatever happens.
    scripted: bool,
    /// Whether calls may fail because the mm has as many VMAs as it may have.
    near_limit: bool,
    /// The lanes before the operation under way, where it may fail so.
    as_they_were: [Layout; 2],
}

/// Near the limit, one operation in so many that may be half done is tried: nothing is known of its
/// lane until it is emptied. That takes a moment; on emulated CPUs that share a busy one, some
/// milliseconds, and with one in four 4 to 6 % of all windows were undecided there.
const HALF_DONE: usize = 64;

/// An operation that is about to be made, or is under way, with the locks of its lanes.
struct UnderWay<'a> {
    op: Op,
    first: Held<'a>,
    second: Option<Held<'a>>,
    /// The [masks](Layout::masks) of the lanes before it.
    before: [(u64, u64); 2],
    invoked: Invoked,
    /// What it leaves if it fails at the limit; nothing far from it.
    at_limit: Option<AtLimit>,
}

impl<'a> Mutator<'a> {
    /// The mutator of worker number `worker`.
    pub fn new(
        oracle: &'a Oracle,
        tally: &'a Tally,
        may: OpSet,
        rng: Stream,
        worker: u16,
    ) -> Mutator<'a> {
        Mutator {
            oracle,
            tally,
            may,
            rng,
            worker,
            program: None,
            left: 0,
            scripted: false,
            near_limit: false,
            as_they_were: [Layout::empty(1); 2],
        }
    }

    /// Makes it ready for calls that fail because the mm has as many VMAs as it may have. Without
    /// that, nothing is known of a lane after a call that failed.
    #[must_use]
    pub fn near_limit(mut self, near_limit: bool) -> Mutator<'a> {
        self.near_limit = near_limit;
        self
    }

    /// Makes it do the operations of `ops` in a loop, and nothing else. One that does not fit
    /// because another mutator changed the lane is passed over.
    #[must_use]
    pub fn scripted(mut self, ops: Arc<[Op]>) -> Mutator<'a> {
        self.program = Some(Program::Script { ops, next: 0 });
        self.scripted = true;
        self
    }

    /// Begins a slice: the plan of the last one is dropped, unless it is a script.
    pub fn attend(&mut self) {
        if !self.scripted {
            self.program = None;
        }
    }

    /// One operation, if the lane it was planned for is free. Whether there was one.
    #[inline]
    pub fn step(&mut self, mm: &impl Mm, slice: &Slice) -> bool {
        let Some(mut under_way) = self.begin(slice) else {
            return false;
        };
        match mm.carry_out(&under_way.op) {
            Ok(()) => self.finish(&under_way),
            Err(errno) => self.give_up(mm, &mut under_way, errno),
        }
        true
    }

    /// Waits between two operations as the slice asks for: without a pause a reader that comes by
    /// finds the lane locked most of the time, and waits instead of reading on.
    #[inline]
    pub fn pause(&mut self, slice: &Slice) {
        if slice.spin > 0 {
            let (begun, most) = (Instant::now(), 1 << slice.spin.min(30));
            let pause = Duration::from_nanos(self.rng.below(most) as u64);
            while begun.elapsed() < pause {
                std::hint::spin_loop();
            }
        } else if slice.sleep > 0 {
            let most = 1 << slice.sleep.min(30);
            std::thread::sleep(Duration::from_nanos(self.rng.below(most) as u64));
        }
    }

    /// Plans the next operation, takes the locks of its lanes, and writes down what it is going
    /// to do. `None` when a lane was not free or no longer fits; nothing has happened then.
    #[inline]
    fn begin(&mut self, slice: &Slice) -> Option<UnderWay<'a>> {
        if !self.scripted {
            if self.left == 0 || self.program.is_none() {
                self.program = Some(self.plan(slice)?);
                self.left = 8 << self.rng.below(7);
            }
            self.left -= 1;
        }
        let begun = self.try_begin(slice);
        if begun.is_none() {
            // The lane is taken or was changed under the program's feet: another plan, unless there
            // is a script.
            self.left = 0;
        }
        begun
    }

    #[inline]
    fn try_begin(&mut self, slice: &Slice) -> Option<UnderWay<'a>> {
        let program = self.program.as_mut()?;
        let (lane, other) = program.lanes();
        let mut first = self.oracle.try_hold(lane)?;
        // Two locks are never waited for, so their order does not matter.
        let mut second = match other {
            Some(other) => Some(self.oracle.try_hold(other)?),
            None => None,
        };
        let usable = |held: &Held<'_>| held.current().known;
        if !usable(&first) || second.as_ref().is_some_and(|held| !usable(held)) {
            return None;
        }
        const NONE: &Layout = &Layout::empty(1);
        let there = second.as_ref().map_or(NONE, |held| &held.current().layout);
        let op = program.next(&mut self.rng, &self.may, &first.current().layout, there)?;
        if op.other_lane().is_none() {
            second = None;
        }
        let there = second.as_ref().map_or(NONE, |held| &held.current().layout);
        fits(&op, &first.current().layout, there).ok()?;
        let before = [first.current().layout.masks(), there.masks()];
        let mut left = None;
        if self.near_limit {
            self.as_they_were = [first.current().layout, *there];
            let at_limit = at_limit(&op, &first.current().layout);
            if at_limit == AtLimit::HalfDone && slice.full && !self.rng.one_in(HALF_DONE) {
                return None;
            }
            left = Some(at_limit);
        }
        let invoked = self.oracle.invoke(&op, self.worker, &mut first, second.as_mut());
        Some(UnderWay { op, first, second, before, invoked, at_limit: left })
    }

    /// Writes down that the operation has returned.
    #[inline]
    fn finish(&mut self, under_way: &UnderWay<'a>) {
        self.oracle.returned(under_way.invoked);
        Tally::add(&self.tally.operations[under_way.op.kind() as usize], 1);
        self.count_changes(under_way);
    }

    /// Writes down that the operation has failed.
    #[cold]
    fn give_up(&mut self, mm: &impl Mm, under_way: &mut UnderWay<'a>, errno: Errno) {
        let UnderWay { first, second, invoked, at_limit, .. } = under_way;
        Tally::add(&self.tally.failed, 1);
        // ENOMEM, out of which madvise and prctl make EAGAIN (mm/madvise.c, `madvise_update_vma`'s
        // callers). What else gives it is kept out of a storm that comes up to the limit.
        let at_limit = at_limit.filter(|_| matches!(errno, Errno::NOMEM | Errno::AGAIN));
        if at_limit == Some(AtLimit::Unchanged) {
            self.oracle.undone(*invoked, first, second.as_mut(), &self.as_they_were);
            Tally::add(&self.tally.refused_at_limit, 1);
            return;
        }
        self.oracle.failed(*invoked, first, second.as_mut());
        self.left = 0;
        if self.near_limit {
            if at_limit == Some(AtLimit::HalfDone) {
                Tally::add(&self.tally.half_done_at_limit, 1);
            }
            self.empty(mm, first);
            second.iter_mut().for_each(|second| self.empty(mm, second));
        }
    }

    /// Unmaps all of a lane of which nothing is known, so that all is known of it again. Nothing
    /// lies across the ends of a lane, so that no VMA is split, and the call does not fail at the
    /// limit (mm/vma.c, `vms_gather_munmap_vmas`).
    fn empty(&self, mm: &impl Mm, held: &mut Held<'a>) {
        let span = Span::new(0, held.current().layout.len());
        let op = Op::Unmap { at: Place { lane: held.lane(), span } };
        let invoked = self.oracle.invoke(&op, self.worker, held, None);
        match mm.carry_out(&op) {
            Ok(()) => self.oracle.regained(invoked, held),
            Err(_) => self.oracle.failed(invoked, held, None),
        }
    }

    /// Counts what became of the pages, which tells the ten merges and splits. After the operation
    /// has returned: what comes between the two ticks blurs what readers can be held to.
    #[inline]
    fn count_changes(&self, under_way: &UnderWay<'_>) {
        let UnderWay { op, first, second, before, .. } = under_way;
        let count = |span: Span, held: &Held<'_>, before: (u64, u64)| {
            let now = held.current();
            let change = Change::new(span, now.changed, before, now.layout.masks());
            Tally::add(&self.tally.changes[change.index()], 1);
        };
        let (at, to) = op.places();
        count(at.span, first, before[0]);
        if let Some(to) = to {
            match second {
                Some(second) => count(to.span, second, before[1]),
                None => count(to.span, first, before[0]),
            }
        }
    }

    #[cold]
    fn plan(&mut self, slice: &Slice) -> Option<Program> {
        let pick =
            |rng: &mut Stream| slice.first_lane + rng.below(slice.lanes.max(1) as usize) as u16;
        let lane = pick(&mut self.rng);
        let other = if self.rng.one_in(2) { lane } else { pick(&mut self.rng) };
        if self.rng.below(8) < slice.hammer as usize {
            let layout = self.oracle.try_hold(lane)?.current().layout;
            let longest = match slice.longest {
                0 => layout.len(),
                longest => longest.into(),
            };
            let hammer = Program::hammer(
                &mut self.rng,
                &self.may,
                lane,
                &layout,
                other,
                longest,
                slice.populate,
            );
            if hammer.is_some() {
                return hammer;
            }
        }
        Some(Program::Scatter { lane, other })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Counts;
    use crate::model::{Geometry, KindSet, Page, Prot};
    use std::cell::RefCell;

    /// A kernel that refuses all but what empties a lane.
    struct Full(RefCell<Vec<Op>>, Errno);

    impl Mm for Full {
        fn carry_out(&self, op: &Op) -> Result<(), Errno> {
            self.0.borrow_mut().push(*op);
            match *op {
                Op::Unmap { at } if at.span == Span::new(0, 8) => Ok(()),
                _ => Err(self.1),
            }
        }
    }

    /// What a mutator near the limit, or far from it, leaves in the books of a lane of eight pages
    /// when this operation fails; and what it did.
    fn failed(op: Op, errno: Errno, near_limit: bool) -> (Oracle, Counts, Vec<Op>) {
        let mapped = Layout::from_pages(&[Page::anon(Prot::READ_WRITE); 8]);
        let geometry = Geometry::new(0x10_0000, 4096, 1, 8);
        let oracle = Oracle::new(geometry, &[mapped], 16);
        let (tally, mm) = (Tally::default(), Full(RefCell::default(), errno));
        let may = OpSet::full(KindSet::all(), 0);
        let mut mutator = Mutator::new(&oracle, &tally, may, Stream::new(1, "test", 0), 0)
            .scripted([op].into())
            .near_limit(near_limit);
        assert!(mutator.step(&mm, &Slice::default()));
        let counts = Counts::from(&tally);
        drop(mutator);
        (oracle, counts, mm.0.into_inner())
    }

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    #[test]
    fn what_a_failed_call_left_as_it_was_stays_known() {
        let op = Op::Unmap { at: at(2, 4) };
        let (oracle, counts, did) = failed(op, Errno::NOMEM, true);
        let held = oracle.hold(0);
        assert!(held.current().known);
        assert_eq!(held.current().layout.mapped(), 0xff);
        assert_eq!((counts.failed, counts.refused_at_limit, did), (1, 1, vec![op]));
    }

    #[test]
    fn a_lane_of_which_nothing_is_known_is_emptied_at_once() {
        let half_done = Op::Protect { at: at(2, 4), prot: Prot::READ };
        let other = Op::Protect { at: at(0, 8), prot: Prot::READ };
        let unchanged = Op::Unmap { at: at(2, 4) };
        for (op, errno, at_limit) in [
            (half_done, Errno::NOMEM, 1),
            // Not for want of room for another VMA.
            (other, Errno::NOMEM, 0),
            (unchanged, Errno::INTR, 0),
        ] {
            let (oracle, counts, did) = failed(op, errno, true);
            let held = oracle.hold(0);
            assert!(held.current().known, "{op}");
            assert_eq!(held.current().layout.mapped(), 0, "{op}");
            assert!(!oracle.history(0).known(1), "{op}");
            assert_eq!((counts.failed, counts.half_done_at_limit), (1, at_limit), "{op}");
            assert_eq!(did, [op, Op::Unmap { at: at(0, 8) }]);
        }
    }

    #[test]
    fn far_from_the_limit_nothing_is_known_after_a_failed_call() {
        let op = Op::Unmap { at: at(2, 4) };
        let (oracle, counts, did) = failed(op, Errno::NOMEM, false);
        assert!(!oracle.hold(0).current().known);
        assert_eq!((counts.failed, counts.refused_at_limit, did), (1, 0, vec![op]));
    }
}
