//! Which walks are held up in mid-call, and at which of their calls.

use super::Reader;
use crate::engine::modes::{Course, Parser, Reads};
use crate::engine::offsets::CallTimes;
use crate::kernel::MapsRead;
use std::time::Instant;

impl<M: MapsRead> Reader<'_, M> {
    /// Draws how the next walk is held up.
    #[inline(never)]
    pub(super) fn draw(&mut self) {
        // Most walks are held up; the others tell how long a call takes.
        self.held_up = !self.rng.one_in(4);
        if self.held_up && self.part.is_some() {
            self.moment = self.aim.draw(&mut self.rng);
        }
        let by_pages = self.judge.mode.reads() == Reads::Text(Course::Pages, Parser::Lines);
        self.stops = self.part.is_none() && by_pages && !self.rng.one_in(4);
    }

    /// Has the next call held up, if that is its lot; if not, it is timed: since when, and as which
    /// sort. A turn that stops is held up only where it matters.
    #[inline(never)]
    pub(super) fn arm(&mut self, offset: u64, asked: usize) -> Option<(Instant, usize)> {
        let delay_timer = self.delay_timer.as_ref()?;
        let there = self.stops && self.approach.is_there(offset);
        let sort = if there { CallTimes::THERE } else { self.judge.mode as usize };
        if !self.held_up {
            return Some((Instant::now(), sort));
        }
        if let Some(part) = self.part {
            // In a scenario only calls that come to its lanes.
            if offset < part.text.1 && offset + asked as u64 > part.text.0 {
                delay_timer.arm(&mut self.rng, self.moment.0, self.moment.1);
            }
        } else if there || !self.stops {
            delay_timer.arm(&mut self.rng, 1, delay_timer.call_times.within(sort));
        }
        None
    }

    /// Takes note of how long a call took that nothing held up.
    #[inline(never)]
    pub(super) fn learn(&self, begun: Instant, sort: usize) {
        if let Some(delay_timer) = &self.delay_timer {
            delay_timer.call_times.learn(sort, begun.elapsed().as_nanos() as u64);
        }
    }
}
