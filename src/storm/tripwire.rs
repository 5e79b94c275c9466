//! A timer that holds its own thread up in the middle of a system call.
//!
//! A tear needs a writer to get through while a reader stands between two steps that lie a few
//! nanoseconds apart. A one-shot timer, armed just before the read for a random moment of it,
//! brings an interrupt to the reader's CPU there: some microseconds, as long as a whole
//! operation. That is all it does; it knows of no mechanism, and nobody waits for it.

use crate::seed::Stream;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A one-shot timer whose expiry nobody waits for.
pub struct Tripwire(OwnedFd);

impl Tripwire {
    /// A timer, where there are timerfds.
    pub fn new() -> Option<Tripwire> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        timerfd_create(TimerfdClockId::Monotonic, flags).ok().map(Tripwire)
    }

    /// Arms it for a moment of the next `most` nanoseconds.
    #[inline]
    pub fn arm(&self, rng: &mut Stream, most: usize) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Timespec { tv_sec: 0, tv_nsec: 1 + rng.below(most) as i64 };
        let once = Itimerspec { it_interval: zero, it_value: when };
        // A timer that can't be set makes tears rarer and nothing wrong.
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once);
    }
}
