//! One mutator: draws an operation, writes it down, carries it out, writes down that it is done.

use super::op_set::OpSet;
use super::program::Program;
use super::scheduler::Slice;
use super::tally::Tally;
use crate::kernel::Mm;
use crate::model::{Change, Layout, Op, Span, fits};
use crate::oracle::{Held, Invoked, Oracle};
use crate::seed::Stream;
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
}

/// An operation that is about to be made, or is under way, with the locks of its lanes.
struct UnderWay<'a> {
    op: Op,
    first: Held<'a>,
    second: Option<Held<'a>>,
    /// The [masks](Layout::masks) of the lanes before it.
    before: [(u64, u64); 2],
    invoked: Invoked,
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
        Mutator { oracle, tally, may, rng, worker, program: None, left: 0, scripted: false }
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
        let done = mm.carry_out(&under_way.op).is_ok();
        self.finish(&mut under_way, done);
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
        let begun = self.try_begin();
        if begun.is_none() {
            // The lane is taken or was changed under the program's feet: another plan, unless there
            // is a script.
            self.left = 0;
        }
        begun
    }

    #[inline]
    fn try_begin(&mut self) -> Option<UnderWay<'a>> {
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
        let invoked = self.oracle.invoke(&op, self.worker, &mut first, second.as_mut());
        Some(UnderWay { op, first, second, before, invoked })
    }

    /// Writes down that the operation has returned.
    #[inline]
    fn finish(&mut self, under_way: &mut UnderWay<'a>, done: bool) {
        if done {
            self.oracle.returned(under_way.invoked);
            Tally::add(&self.tally.operations[under_way.op.kind() as usize], 1);
            self.count_changes(under_way);
        } else {
            let second = under_way.second.as_mut();
            self.oracle.failed(under_way.invoked, &mut under_way.first, second);
            Tally::add(&self.tally.failed, 1);
            self.left = 0;
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
