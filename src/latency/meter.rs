//! How far a run is, on stderr.

use crate::console::{Line, Progress};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How far a run is.
pub struct Meter {
    progress: Progress,
    began: Instant,
    shown: Option<Instant>,
    samples: u32,
    /// What a sample takes: at first as asked for, then as the samples before took.
    each: Duration,
    /// The sample under way, from 1, and when it began.
    current: (u32, Instant),
}

/// How often progress is shown on a terminal, and in a log.
const ON_TERMINAL: Duration = Duration::from_millis(500);
const IN_LOGS: Duration = Duration::from_secs(10);

impl Meter {
    /// For `samples` samples that take about `each`.
    pub fn new(progress: Progress, samples: u32, each: Duration) -> Meter {
        let began = Instant::now();
        Meter { progress, began, shown: None, samples, each, current: (1, began) }
    }

    /// Shows that sample `number` (from 1), of column `label`, is under way. Does not allocate.
    pub fn show(&mut self, number: u32, label: &str) {
        let every = match self.progress {
            Progress::Quiet => return,
            Progress::Lines => IN_LOGS,
            Progress::Terminal => ON_TERMINAL,
        };
        let now = Instant::now();
        self.note(number, now);
        let last = self.shown.unwrap_or(self.began);
        if now - last < every {
            return;
        }
        self.shown = Some(now);
        let left = self.left(now).as_secs();
        let samples = self.samples;
        let mut line = Line::new();
        // Labels are short; a line that is cut off is still one.
        let _ = write!(line, "sample {number} of {samples} ({label}), about {left} s left");
        self.progress.show(&line);
    }

    /// Takes note of the sample under way.
    fn note(&mut self, number: u32, now: Instant) {
        if number != self.current.0 {
            self.current = (number, now);
            self.each = (now - self.began) / (number - 1).max(1);
        }
    }

    /// The time left at `now`, if the samples to come take as long as those before.
    fn left(&self, now: Instant) -> Duration {
        let (number, began) = self.current;
        let to_come = self.each * (self.samples + 1).saturating_sub(number);
        to_come.saturating_sub(now - began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_what_samples_really_take() {
        let seconds = Duration::from_secs_f64;
        let mut meter = Meter::new(Progress::Quiet, 10, seconds(1.0));
        let began = meter.began;
        let at = |after: f64| began + seconds(after);
        let (early, second, later) = (at(0.5), at(2.0), at(3.0));
        assert_eq!(meter.left(early), seconds(9.5));
        // The first took two seconds; nine more will take eighteen.
        meter.note(2, second);
        assert_eq!(meter.left(second), seconds(18.0));
        assert_eq!(meter.left(later), seconds(17.0));
        meter.note(10, at(20.0));
        assert_eq!(meter.left(at(60.0)), Duration::ZERO);
    }
}
