//! A thread of the simulated process that changes the address space.

use super::bugs::Bug;
use super::kernel::{Kernel, Progress};
use super::program::Program;
use super::world::Setup;
use crate::model::{AtLimit, Layout, Op, at_limit, fits};
use crate::oracle::{Held, Invoked, Oracle, PushFault};
use crate::seed::Stream;

/// Where a worker is. Each change is one step.
enum Phase<'a> {
    Idle,
    /// Lanes locked, nothing written down yet.
    Held(Op, Lanes<'a>),
    /// Before the system call.
    Invoked(Op, Lanes<'a>, Option<Invoked>),
    /// In it, mmap_lock held for writing.
    Working(Op, Lanes<'a>, Option<Invoked>),
    /// After it.
    Leaving(Op, Lanes<'a>, Option<Invoked>),
    /// A step later still: before the oracle hears that it is over.
    Closing(Lanes<'a>, Invoked),
    /// It failed; the lanes are not known, and are looked at next.
    Failed(Lanes<'a>),
}

struct Lanes<'a> {
    first: Held<'a>,
    second: Option<Held<'a>>,
}

/// One worker.
pub(super) struct Worker<'a> {
    oracle: &'a Oracle,
    number: u16,
    bug: Option<Bug>,
    /// One operation in this many fails; 0 for none.
    failures: usize,
    failing: bool,
    /// Whether it did for want of room for another VMA.
    refused: bool,
    /// Whether operations may fail for want of room for another VMA.
    limited: bool,
    /// Then: the lanes as they were before the operation under way, and what it leaves if it fails so.
    before: [Layout; 2],
    at_limit: AtLimit,
    program: Program,
    phase: Phase<'a>,
}

impl<'a> Worker<'a> {
    pub fn new(oracle: &'a Oracle, number: u16, bug: Option<Bug>, setup: &Setup) -> Worker<'a> {
        Worker {
            oracle,
            number,
            bug,
            failures: setup.failures,
            failing: false,
            refused: false,
            limited: setup.spare.is_some(),
            before: [Layout::empty(1); 2],
            at_limit: AtLimit::Passes,
            program: Program::new(),
            phase: Phase::Idle,
        }
    }

    /// One step; false where it has to wait.
    pub fn step(&mut self, kernel: &mut Kernel, rng: &mut Stream) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let (phase, stepped) = match phase {
            Phase::Idle => (self.prepare(rng), true),
            Phase::Held(op, lanes) => (self.invoke(op, lanes), true),
            Phase::Invoked(op, lanes, invoked) if kernel.try_write(self.number) => {
                self.failing = self.failures > 0 && rng.one_in(self.failures);
                if self.failing {
                    kernel.begin_failing(&op);
                } else {
                    kernel.begin(&op);
                }
                (Phase::Working(op, lanes, invoked), true)
            }
            waiting @ Phase::Invoked(..) => (waiting, false),
            Phase::Working(op, lanes, invoked) => match kernel.work() {
                Progress::Done => {
                    self.refused = kernel.take_refused();
                    self.failing |= self.refused;
                    (Phase::Leaving(op, lanes, invoked), true)
                }
                progress => (Phase::Working(op, lanes, invoked), progress == Progress::Stepped),
            },
            Phase::Leaving(op, lanes, invoked) => (self.leave(op, lanes, invoked), true),
            Phase::Closing(mut lanes, invoked)
                if self.refused && self.at_limit == AtLimit::Unchanged =>
            {
                self.failing = false;
                let Lanes { first, second } = &mut lanes;
                self.oracle.undone(invoked, first, second.as_mut(), &self.before);
                (Phase::Idle, true)
            }
            Phase::Closing(mut lanes, invoked) if self.failing => {
                self.failing = false;
                self.oracle.failed(invoked, &mut lanes.first, lanes.second.as_mut());
                (Phase::Failed(lanes), true)
            }
            Phase::Failed(mut lanes) => {
                for held in [Some(&mut lanes.first), lanes.second.as_mut()].into_iter().flatten() {
                    // As a storm lays the lane out anew.
                    kernel.untouch(held.lane());
                    let layout = kernel.layout(held.lane());
                    self.oracle.repair(held, &layout);
                }
                (Phase::Idle, true)
            }
            Phase::Closing(lanes, invoked) => {
                self.oracle.returned(invoked);
                drop(lanes);
                (Phase::Idle, true)
            }
        };
        self.phase = phase;
        stepped
    }

    /// Draws an operation and locks its lanes, if it fits and they are free.
    fn prepare(&mut self, rng: &mut Stream) -> Phase<'a> {
        let op = self.program.next(rng, self.oracle.geometry());
        let Some(first) = self.oracle.try_hold(op.at().lane) else {
            return Phase::Idle;
        };
        let second = match op.other_lane().map(|lane| self.oracle.try_hold(lane)) {
            None => None,
            Some(Some(held)) => Some(held),
            Some(None) => return Phase::Idle,
        };
        let none = Layout::empty(1);
        let there = second.as_ref().map_or(&none, |held| &held.current().layout);
        if fits(&op, &first.current().layout, there).is_err() {
            return Phase::Idle;
        }
        Phase::Held(op, Lanes { first, second })
    }

    fn invoke(&mut self, op: Op, mut lanes: Lanes<'a>) -> Phase<'a> {
        let alone = lanes.second.is_none();
        if self.limited {
            let layout = |held: &Held<'_>| held.current().layout;
            let there = lanes.second.as_ref().map_or(Layout::empty(1), layout);
            self.before = [layout(&lanes.first), there];
            self.at_limit = at_limit(&op, &self.before[0]);
        }
        let invoked = match self.bug {
            Some(Bug::HistoryLate) => None,
            Some(Bug::HistoryHeadFirst) if alone => {
                let fault = PushFault::HeadFirst;
                Some(self.oracle.invoke_wrongly(fault, &op, self.number, &mut lanes.first))
            }
            Some(Bug::HistoryTailStays) if alone => {
                let fault = PushFault::TailStays;
                Some(self.oracle.invoke_wrongly(fault, &op, self.number, &mut lanes.first))
            }
            _ => Some(self.note(&op, &mut lanes)),
        };
        if let (Some(Bug::HistoryClosedEarly), Some(invoked)) = (self.bug, invoked) {
            self.oracle.returned(invoked);
        }
        Phase::Invoked(op, lanes, invoked)
    }

    fn note(&self, op: &Op, lanes: &mut Lanes<'a>) -> Invoked {
        self.oracle.invoke(op, self.number, &mut lanes.first, lanes.second.as_mut())
    }

    fn leave(&self, op: Op, mut lanes: Lanes<'a>, invoked: Option<Invoked>) -> Phase<'a> {
        match (self.bug, invoked) {
            (Some(Bug::HistoryClosedEarly), _) => return Phase::Idle,
            (Some(Bug::HistoryHeadFirst), Some(_)) if lanes.second.is_none() => {
                self.oracle.write_late(&op, self.number, &lanes.first);
            }
            _ => {}
        }
        let invoked = invoked.unwrap_or_else(|| self.note(&op, &mut lanes));
        Phase::Closing(lanes, invoked)
    }
}
