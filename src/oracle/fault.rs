//! The history kept wrongly on purpose: what a missing memory order would do to it.
//!
//! Only the simulated kernel calls these, to prove that a history with such a fault is found out.

use super::history::Origin;
use super::ledger::{Held, Invoked, Oracle};
use crate::model::{Op, apply_alone};

/// A way to add a version wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PushFault {
    /// The head shows the version before its slot is written, as with a relaxed store of the
    /// head; [`Oracle::write_late`] writes it.
    HeadFirst,
    /// The slot is overwritten while the tail still says that its old version can be read, as
    /// without the release fence.
    TailStays,
}

fn origin(op: &Op, worker: u16) -> Origin {
    Origin { op: Some(*op), worker, peer: None, known: true }
}

impl Oracle {
    /// [`Oracle::invoke`] with a fault, for an operation within one lane.
    pub(crate) fn invoke_wrongly(
        &self,
        fault: PushFault,
        op: &Op,
        worker: u16,
        held: &mut Held<'_>,
    ) -> Invoked {
        let fresh = held.fresh();
        held.current.changed = apply_alone(op, self.rules(), &mut held.current.layout, fresh);
        let invoked = self.clock().take();
        let history = self.history(held.lane);
        let version = match fault {
            PushFault::HeadFirst => history.raise_head(invoked),
            PushFault::TailStays => {
                let origin = origin(op, worker);
                history.push_over(invoked, &held.current.layout, &origin)
            }
        };
        held.current.version = version;
        Invoked { first: (held.lane, version), second: None }
    }

    /// Writes the slot that [`PushFault::HeadFirst`] left as it was.
    pub(crate) fn write_late(&self, op: &Op, worker: u16, held: &Held<'_>) {
        let version = held.current.version;
        let history = self.history(held.lane);
        let invoked = history.invoked(version);
        history.write(version, invoked, &held.current.layout, &origin(op, worker));
    }
}
