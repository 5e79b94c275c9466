//! How a reader comes close: where in the file the lanes in play stand, and how long a call takes.
//!
//! Only what lies in one call can tear, because every call looks its first VMA up afresh, and
//! an interrupt holds a reader up at one point of a call. The shorter the call that passes the
//! lanes in play, the likelier it is to be held up right there.

use super::modes::Mode;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of the file's lines in play, as the last walk from the bottom saw them.
#[derive(Clone, Default, Debug)]
pub(super) struct OffsetPredictor {
    /// The addresses of the lanes in play.
    lanes: Range<u64>,
    /// Bytes before the first line in play, once a walk has told.
    entry: Option<u64>,
    /// Bytes of the lines in play.
    span: u64,
    /// The walk under way: bytes of whole lines so far, where the lines in play began, and the
    /// bytes of those so far.
    passed: u64,
    begun: Option<u64>,
    inside: u64,
}

/// Room for two more lines than the last time: the lanes in play change.
const SLACK: u64 = 128;

impl OffsetPredictor {
    /// The lanes at these addresses are in play from now on. If they are others than before, what
    /// was learned of those is void.
    pub(super) fn aim(&mut self, lanes: Range<u64>) {
        if self.lanes != lanes {
            *self = OffsetPredictor { lanes, ..OffsetPredictor::default() };
        }
    }

    /// The addresses of the lanes in play.
    #[inline]
    pub(super) fn lanes(&self) -> Range<u64> {
        self.lanes.clone()
    }

    /// A walk begins at the bottom of the file.
    #[inline]
    pub(super) fn walk(&mut self) {
        (self.passed, self.begun, self.inside) = (0, None, 0);
    }

    /// The walk has passed a line of `bytes` bytes, its newline included, that ends at address
    /// `end`; or several, all of which lie below the lanes in play, or in them, or above. `end` is
    /// `None` where it isn't known.
    #[inline]
    pub(super) fn lines(&mut self, bytes: usize, end: Option<u64>) {
        if let Some(end) = end.filter(|&end| end > self.lanes.start) {
            self.begun.get_or_insert(self.passed);
            if end <= self.lanes.end {
                self.inside += bytes as u64;
            }
        }
        self.passed += bytes as u64;
    }

    /// The walk has come to the end of the lanes in play.
    #[inline]
    pub(super) fn arrived(&mut self) {
        if let Some(begun) = self.begun {
            (self.entry, self.span) = (Some(begun), self.inside);
        }
    }

    /// How many bytes to ask for at `offset`, so that one call brings the reader to the lines in
    /// play and the next one over them; at most `most`. `None` as long as nobody knows, or where
    /// nothing lies before them.
    #[inline]
    pub(super) fn ask(&self, offset: u64, most: usize) -> Option<usize> {
        let (entry, span) = self.begins()?;
        let left = match entry.checked_sub(offset) {
            Some(before) if before > 0 => before as usize,
            _ => span,
        };
        Some(left.min(most))
    }

    /// Where the lines in play begin in the file, and how many bytes to ask for to get them all.
    /// `None` as [`OffsetPredictor::ask`] says.
    #[inline]
    pub(super) fn begins(&self) -> Option<(u64, usize)> {
        let entry = self.entry.filter(|&entry| entry > 0)?;
        Some((entry, (self.span + SLACK) as usize))
    }

    /// Whether a call at `offset` is the one that passes the lines in play.
    #[inline]
    pub(super) fn is_there(&self, offset: u64) -> bool {
        self.entry.is_some_and(|entry| offset >= entry)
    }
}

/// What walks to the end of the file may cost. Nothing changes there, and with many threads there
/// is much of it: two lines for each stack.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct TailBudget {
    all: u64,
    there: u64,
}

impl TailBudget {
    /// Of all that reading costs, one part in so many.
    const SHARE: u64 = 32;
    /// What a call costs beside its bytes, in bytes.
    const CALL: u64 = 512;

    /// Whether the next walk may go on to the end of the file. The first may.
    #[inline]
    pub(super) fn affords(&self) -> bool {
        self.there * TailBudget::SHARE <= self.all
    }

    /// A call of a walk has brought `bytes` bytes, from there or not.
    #[inline]
    pub(super) fn pay(&mut self, bytes: usize, there: bool) {
        let cost = TailBudget::CALL + bytes as u64;
        self.all += cost;
        if there {
            self.there += cost;
        }
    }
}

/// How long calls take that nothing holds up, by sort, in nanoseconds. All readers of a storm learn
/// together: with many of them each plays too rarely to learn for itself.
#[derive(Debug)]
pub struct CallTimes([AtomicU32; CallTimes::SORTS]);

impl CallTimes {
    /// One sort for each way of reading, and [`CallTimes::THERE`].
    const SORTS: usize = Mode::COUNT + 1;
    /// Calls that pass the lanes in play, and little else.
    pub(super) const THERE: usize = Mode::COUNT;
    /// Before the first call: a page of maps takes some ten microseconds.
    const UNKNOWN: u32 = 16_000;
    /// Longer calls slept or were preempted, and tell nothing.
    const LONGEST: u64 = 200_000;

    /// Learns from a call that took `nanos`: a sixteenth of the difference.
    #[inline]
    pub(super) fn learn(&self, sort: usize, nanos: u64) {
        if nanos <= CallTimes::LONGEST {
            // Relaxed, and a lesson may get lost between the two: it is a mean.
            let now = self.0[sort].load(Ordering::Relaxed);
            let apart = nanos as i64 - i64::from(now);
            self.0[sort].store((i64::from(now) + apart / 16) as u32, Ordering::Relaxed);
        }
    }

    /// The nanoseconds within which an interrupt meets such a call: a quarter more than it takes,
    /// because arming the timer comes before it.
    #[inline]
    pub(super) fn within(&self, sort: usize) -> usize {
        let pace = self.0[sort].load(Ordering::Relaxed);
        (pace + pace / 4).max(500) as usize
    }
}

impl Default for CallTimes {
    fn default() -> CallTimes {
        CallTimes(std::array::from_fn(|_| AtomicU32::new(CallTimes::UNKNOWN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With lanes at 100 to 200 in play, after a walk past these lines: their bytes and ends.
    fn walked(lines: &[(usize, Option<u64>)]) -> OffsetPredictor {
        let mut approach = OffsetPredictor::default();
        approach.aim(100..200);
        assert_eq!(approach.ask(0, 4096), None);
        approach.walk();
        lines.iter().for_each(|&(bytes, end)| approach.lines(bytes, end));
        approach.arrived();
        approach
    }

    #[test]
    fn a_walk_tells_the_next_one_where_to_stop() {
        // What lies above the lanes in play is no part of them, however much the call brought.
        let lines = [(70, 50), (60, 100), (50, 120), (40, 200), (90, 210), (1000, 999)];
        let mut approach = walked(&lines.map(|(bytes, end)| (bytes, Some(end))));
        assert_eq!(approach.ask(0, 4096), Some(130));
        assert_eq!(approach.ask(100, 4096), Some(30));
        assert_eq!(approach.ask(130, 4096), Some(90 + SLACK as usize));
        assert_eq!(approach.ask(130, 100), Some(100));
        assert!(!approach.is_there(129) && approach.is_there(130));
        approach.aim(100..200);
        assert_eq!(approach.ask(0, 4096), Some(130), "the same lanes");
        approach.aim(100..300);
        assert_eq!(approach.ask(0, 4096), None);
    }

    #[test]
    fn lanes_without_a_line_are_come_to_as_well() {
        let approach = walked(&[(70, Some(100)), (60, None), (50, Some(220))]);
        assert_eq!(approach.begins(), Some((130, SLACK as usize)));
    }

    #[test]
    fn nothing_before_the_lines_in_play_needs_no_call_of_its_own() {
        assert_eq!(walked(&[(50, Some(150))]).ask(0, 4096), None);
    }

    #[test]
    fn the_end_of_the_file_is_read_but_costs_little() {
        let mut beyond = TailBudget::default();
        let mut ends = 0;
        for _ in 0..1000 {
            let onwards = beyond.affords();
            ends += u64::from(onwards);
            beyond.pay(4096, false);
            // Ten times as much lies there.
            (0..if onwards { 10 } else { 0 }).for_each(|_| beyond.pay(4096, true));
        }
        assert!((2..8).contains(&ends), "{ends}");
        assert!(
            beyond.there * TailBudget::SHARE <= beyond.all + 10 * TailBudget::SHARE * (4096 + 512)
        );
    }

    #[test]
    fn paces_follow_the_calls_but_not_those_that_slept() {
        let call_times = CallTimes::default();
        (0..200).for_each(|_| call_times.learn(0, 2000));
        assert!((2300..2800).contains(&call_times.within(0)), "{}", call_times.within(0));
        call_times.learn(0, 1_000_000);
        assert!(call_times.within(0) < 3000);
        assert_eq!(call_times.within(1), 20_000, "the other sorts have learned nothing");
    }
}
