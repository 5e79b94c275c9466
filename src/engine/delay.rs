//! A timer that holds its own thread up in the middle of a system call.
//!
//! A tear needs a writer to get through while a reader stands between two steps that lie a few
//! nanoseconds apart. A one-shot timer, armed just before the read for a random moment of it,
//! brings an interrupt to the reader's CPU there: some microseconds, as long as a whole
//! operation. That is all it does; it knows of no mechanism, and nobody waits for it.

use super::offsets::CallTimes;
use crate::seed::Stream;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::sync::Arc;

/// A one-shot timer whose expiry nobody waits for.
pub struct DelayTimer {
    timer: OwnedFd,
    /// How long the calls take that it holds up.
    pub(super) call_times: Arc<CallTimes>,
}

impl DelayTimer {
    /// A timer, where there are timerfds. Readers with the same `paces` learn together.
    pub fn new(call_times: Arc<CallTimes>) -> Option<DelayTimer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
        Some(DelayTimer { timer, call_times })
    }

    /// Arms it for a moment between `least` and `most` nanoseconds from now; not for at once,
    /// which would disarm it.
    #[inline]
    pub fn arm(&self, rng: &mut Stream, least: usize, most: usize) {
        let least = least.max(1);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let when = Timespec { tv_sec: 0, tv_nsec: rng.between(least, most.max(least)) as i64 };
        let once = Itimerspec { it_interval: zero, it_value: when };
        // A timer that can't be set makes tears rarer and nothing wrong.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

/// Finds out when in a call the kernel makes the lines of a scenario's lanes.
///
/// That follows from the machine, its load and the way of reading. But a walk that was held up
/// there shows: half of its lines are of before an operation, and half of after it. So the moment
/// after which walks are torn most often, in this harmless way, is tried most often.
#[derive(Clone, Debug, Default)]
pub struct Aim {
    /// For each moment, the walks that were held up at it, and those of them that showed it.
    tried: [(u32, u32); Aim::MOMENTS],
    /// Walks until old ones count half.
    left: u32,
    /// The moment of the walk under way.
    at: Option<usize>,
}

impl Aim {
    /// Moments told apart: each begins 1.4 times as late as the one before, from 1 to 90 us.
    const MOMENTS: usize = 14;
    /// Walks after which old ones count half: the load of a machine changes.
    const MEMORY: u32 = 4096;

    /// Begins a walk: draws the nanoseconds, from and to, within which it is held up. Half of the
    /// walks try all moments alike, the other half the best.
    pub fn draw(&mut self, rng: &mut Stream) -> (usize, usize) {
        let rate = |&(tried, showed): &(u32, u32)| (showed + 1) as f64 / (tried + 8) as f64;
        let best = (0..Aim::MOMENTS)
            .max_by(|&a, &b| rate(&self.tried[a]).total_cmp(&rate(&self.tried[b])));
        let any = rng.below(Aim::MOMENTS);
        let at = if rng.one_in(2) { any } else { best.unwrap_or(any) };
        self.at = Some(at);
        let begins = |at: usize| (1000.0 * f64::powf(2.0, at as f64 / 2.0)) as usize;
        (begins(at), begins(at + 1))
    }

    /// Ends the walk: whether it showed that something went on while it was at the lanes.
    pub fn saw(&mut self, mixed: bool) {
        let Some(at) = self.at.take() else { return };
        self.tried[at].0 += 1;
        self.tried[at].1 += mixed as u32;
        self.left = self.left.checked_sub(1).unwrap_or_else(|| {
            self.tried
                .iter_mut()
                .for_each(|(tried, showed)| (*tried, *showed) = (*tried / 2, *showed / 2));
            Aim::MEMORY
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk of `rng` that is at the lanes between 12 and 15 us, and held up for 2.
    fn hits(aim: &mut Aim, rng: &mut Stream) -> bool {
        let (least, most) = aim.draw(rng);
        let moment = rng.between(least, most);
        let hit = (12_000..15_000).contains(&moment);
        aim.saw(hit || rng.one_in(20));
        hit
    }

    #[test]
    fn the_moment_that_shows_is_tried_most() {
        let mut rng = Stream::new(1, "aim", 0);
        let mut aim = Aim::default();
        let mut count = || (0..2000).filter(|_| hits(&mut aim, &mut rng)).count();
        count();
        // All alike would be one in 14 times 0.8, the half that is drawn so one in 35; the other
        // half is at 11.3 to 16 us, two of three. The seed is fixed.
        assert!(count() > 400);
    }
}
