//! One counter that orders operations and reads.

use super::word::{AtomicU64, Ordering, Word};
use crossbeam_utils::CachePadded;

/// A value of the global counter.
pub type Tick = u64;

/// The closing tick of a version that nothing has replaced yet.
pub const OPEN: Tick = Tick::MAX;

/// The global counter.
///
/// An operation takes one tick just before its system call and one just after; a reader only
/// loads the counter. The call takes effect somewhere between its two ticks.
///
/// `W` is what the counter is: a model checker puts in its own.
#[derive(Default)]
pub struct Clock<W = AtomicU64>(CachePadded<W>);

impl<W: Word> Clock<W> {
    /// Takes a tick.
    #[inline]
    pub fn take(&self) -> Tick {
        // Release: what the operation did before (on return: the system call) is seen by a reader
        // whose load finds this tick taken. Acquire: what it does next stays behind the tick.
        self.0.fetch_add(1, Ordering::AcqRel)
    }

    /// The counter: every tick below it is taken, no other is.
    #[inline]
    pub fn now(&self) -> Tick {
        // Acquire: pairs with `take`. A read call made after this load sees the effect of every
        // operation whose closing tick lies below the value.
        self.0.load(Ordering::Acquire)
    }
}

/// The counter just before and just after a read call.
///
/// A version may have been seen in the window when its operation was invoked below `to` and the
/// next one had not returned below `from`: both ends closed. A counter that reads `c` means that
/// tick `c` is not yet taken, so an operation whose closing tick is `from` had not returned when
/// the reader looked. To treat it as finished raises false alarms: reader loads 5, the operation
/// takes tick 5 for its return, and the layout before it could still be read in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The counter before the call.
    pub from: Tick,
    /// The counter after the call.
    pub to: Tick,
}
