//! How long each run may take, so that all of them end in time and each judges enough.

use std::time::Duration;

/// The time of many runs, shared out as it goes: what is not used by one, others have.
///
/// All times are the clock's, what it takes to begin and end a run included.
#[derive(Clone, Debug)]
pub struct Budget {
    total: Duration,
    /// What each run keeps for itself, whatever others need: half of a share of the whole.
    kept: Duration,
    /// Runs still to come, the present one included.
    runs: u32,
    /// Races that were run, and what they took beside the time they were given, all together.
    raced: u32,
    beside: Duration,
}

impl Budget {
    /// No run is shorter: less is over before the threads have begun.
    const LEAST: Duration = Duration::from_millis(10);
    /// A run is not shorter than this part of what it takes to begin and end it. Where that takes
    /// longer than a share, it is better that some runs say something than that none does.
    const WORTH: u32 = 4;

    /// For so many runs, `total` after the beginning.
    pub fn new(total: Duration, runs: usize) -> Budget {
        let runs = runs as u32;
        let kept = total / (2 * runs.max(1));
        Budget { total, kept, runs, raced: 0, beside: Duration::ZERO }
    }

    /// What is left for each of the runs still to come.
    fn share(&self, elapsed: Duration) -> Duration {
        self.total.saturating_sub(elapsed) / self.runs.max(1)
    }

    /// What a race takes beside the time it is given.
    fn overhead(&self) -> Duration {
        self.beside / self.raced.max(1)
    }

    fn least(&self) -> Duration {
        Budget::LEAST.max(self.overhead() / Budget::WORTH)
    }

    /// How long to race the next run: three quarters of its share. The rest is left for runs that
    /// need longer. `None` when the time is over.
    pub fn first(&self, elapsed: Duration) -> Option<Duration> {
        let share = self.share(elapsed);
        let time = share.saturating_sub(self.overhead()) * 3 / 4;
        (share > Duration::ZERO).then_some(time.max(self.least()))
    }

    /// How much longer to race a run that judged too little in the time it `had`: three times as
    /// long, but at most a quarter of what the other runs do not need, and at most eight shares in
    /// all. `None` where that is too short to help.
    pub fn again(&self, elapsed: Duration, had: Duration) -> Option<Duration> {
        let left = self.total.saturating_sub(elapsed);
        let free = left.saturating_sub(self.kept * self.runs.saturating_sub(1));
        let most = (free / self.runs.clamp(1, 4)).saturating_sub(self.overhead());
        let time = most.min(3 * had).min((16 * self.kept).saturating_sub(had));
        (time >= self.least()).then_some(time)
    }

    /// A race was given `time` and took `took`.
    pub fn raced(&mut self, time: Duration, took: Duration) {
        self.raced += 1;
        self.beside += took.saturating_sub(time);
    }

    /// So many runs are over, or left out.
    pub fn done(&mut self, runs: usize) {
        self.runs = self.runs.saturating_sub(runs as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Plays `runs` runs in 24 s of a made-up clock. Each has to be raced for as long as `needs` says,
    /// and takes `beside` more. How many of them judged enough, and when all was over.
    fn played(
        runs: usize,
        beside: Duration,
        needs: impl Fn(usize) -> Duration,
    ) -> (usize, Duration) {
        let mut budget = Budget::new(24_000 * MS, runs);
        let (mut now, mut enough) = (Duration::ZERO, 0);
        for run in 0..runs {
            let mut next = budget.first(now);
            let mut all = Duration::ZERO;
            while let Some(time) = next {
                now += time + beside;
                budget.raced(time, time + beside);
                all += time;
                let judged = all >= needs(run);
                enough += judged as usize;
                next = if judged { None } else { budget.again(now, all) };
            }
            budget.done(1);
        }
        (enough, now)
    }

    #[test]
    fn a_run_that_needs_longer_takes_what_others_leave() {
        // A share of 190 ms, of which 120 are raced at first; every eighth needs one and a half.
        let needs = |run: usize| if run.is_multiple_of(8) { 300 * MS } else { 40 * MS };
        let (enough, over) = played(126, 20 * MS, needs);
        assert_eq!(enough, 126);
        assert!(over <= 24_000 * MS, "{over:?}");
        // So does the last.
        let (enough, over) =
            played(126, 20 * MS, |run| if run == 125 { 400 * MS } else { 50 * MS });
        assert_eq!(enough, 126);
        assert!(over <= 24_000 * MS, "{over:?}");
    }

    #[test]
    fn nobody_takes_so_much_that_all_others_starve() {
        let endless = |run| if run < 20 { Duration::MAX } else { 40 * MS };
        let (enough, over) = played(126, 20 * MS, endless);
        assert_eq!(enough, 106);
        assert!(over <= 24_200 * MS, "{over:?}");
    }

    #[test]
    fn where_runs_take_long_to_begin_those_that_begin_say_something() {
        for (beside, decided) in [(100, 126), (170, 100), (400, 40)] {
            let (enough, over) = played(126, beside * MS, |_| 40 * MS);
            assert!(enough >= decided, "{beside}: {enough}");
            assert!(over <= 24_000 * MS + beside * MS * 5 / 4, "{beside}: {over:?}");
        }
    }

    #[test]
    fn where_nothing_is_enough_it_ends_in_time_all_the_same() {
        for beside in [0, 20, 1000] {
            let (enough, over) = played(126, beside * MS, |_| Duration::MAX);
            // Beyond it goes only what the last race took beside its time.
            assert!(over <= 24_000 * MS + (beside * 5 / 4 + 20) * MS, "{beside}: {over:?}");
            assert_eq!(enough, 0);
        }
    }

    #[test]
    fn what_is_left_out_leaves_its_share() {
        let mut budget = Budget::new(1000 * MS, 10);
        assert_eq!(budget.first(Duration::ZERO), Some(75 * MS));
        budget.done(5);
        assert_eq!(budget.first(Duration::ZERO), Some(150 * MS));
        assert_eq!(budget.first(1000 * MS), None);
    }
}
