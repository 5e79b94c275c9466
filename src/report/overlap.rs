//! How much of the time there was a race at all, as data and in words.

use crate::engine::Overlap;
use serde::Serialize;

/// How much of the time a reader and a mutator ran at once.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct OverlapReport {
    /// How long the slices took.
    pub played_ms: u64,
    /// CPU time of the readers in them.
    pub readers_cpu_ms: u64,
    /// CPU time of the mutators in them.
    pub mutators_cpu_ms: u64,
    /// How long a reader and a mutator ran at once: an estimate from the run times.
    pub overlap_ms: u64,
    /// The same of a hundred parts of the time played.
    pub overlap_percent: f64,
    /// CPUs that they could use.
    pub cpus: usize,
    /// The part of these CPUs' time that they had.
    pub cpu_percent: f64,
    /// Whether that is so little that a storm without violations says little.
    pub hardly_tested: bool,
}

impl From<Overlap> for OverlapReport {
    fn from(overlap: Overlap) -> OverlapReport {
        OverlapReport {
            played_ms: overlap.played.as_millis() as u64,
            readers_cpu_ms: overlap.readers.as_millis() as u64,
            mutators_cpu_ms: overlap.mutators.as_millis() as u64,
            overlap_ms: overlap.both.as_millis() as u64,
            overlap_percent: overlap.percent(),
            cpus: overlap.cpus,
            cpu_percent: overlap.cpu_percent(),
            hardly_tested: overlap.is_little(),
        }
    }
}

/// Below this the report says what to do about it.
const GOOD_PERCENT: f64 = 20.0;
/// The part of the CPUs' time below which they were busy with something else.
const BUSY_PERCENT: f64 = 50.0;

impl OverlapReport {
    /// The figures, on one line.
    pub fn words(&self) -> String {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        format!(
            "for {:.1} % of {:.1} s a reader and a mutator ran at once (estimated); CPU time of \
             readers {:.1} s, of mutators {:.1} s, {:.0} % of {}",
            self.overlap_percent,
            seconds(self.played_ms),
            seconds(self.readers_cpu_ms),
            seconds(self.mutators_cpu_ms),
            self.cpu_percent,
            if self.cpus == 1 { "one CPU".to_owned() } else { format!("{} CPUs", self.cpus) },
        )
    }

    /// What a verdict without violations has to say beside; nothing where enough was tested.
    pub fn doubt(&self) -> Option<String> {
        self.hardly_tested.then(|| {
            format!(
                "hardly tested: a reader and a mutator ran at once for {:.1} % of the time",
                self.overlap_percent
            )
        })
    }

    /// Why they seldom ran at once, and what to do about it; nothing where they did. `may_rise`
    /// says whether `--nice` could still help.
    pub fn remedy(&self, may_rise: bool) -> Option<&'static str> {
        if self.overlap_percent >= GOOD_PERCENT {
            return None;
        }
        Some(match (self.cpus, self.cpu_percent < BUSY_PERCENT, may_rise) {
            (1, ..) => {
                "all ran on one CPU, so only preemption was tested: allow two CPUs or more (taskset, \
                 cpuset)"
            }
            (_, true, true) => {
                "the CPUs were busy with something else: run it on an idle machine, or put the \
                 workers first with --nice -10 (which takes a privilege)"
            }
            (_, true, false) => "the CPUs were busy with something else: run it on an idle machine",
            (_, false, _) => {
                "readers and mutators seldom ran at once: try another --workload, or more CPUs"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ran(cpus: usize, cpu: u64, both: u64) -> OverlapReport {
        let played = Duration::from_secs(100);
        let readers = Duration::from_secs(cpu * cpus as u64);
        OverlapReport::from(Overlap {
            played,
            readers,
            mutators: Duration::ZERO,
            both: Duration::from_secs(both),
            cpus,
        })
    }

    #[test]
    fn little_is_said_with_its_reason_and_what_to_do() {
        let said = |cpus, cpu, both, may_rise| {
            let ran = ran(cpus, cpu, both);
            (ran.doubt().is_some(), ran.remedy(may_rise).unwrap_or_default())
        };
        assert_eq!(said(2, 90, 60, true), (false, ""));
        assert_eq!(said(4, 30, 20, true), (false, ""));
        let (hardly, remedy) = said(1, 90, 0, true);
        assert!(hardly && remedy.contains("one CPU") && !remedy.contains("--nice"), "{remedy}");
        let (hardly, remedy) = said(2, 9, 1, true);
        assert!(hardly && remedy.contains("--nice -10"), "{remedy}");
        let (hardly, remedy) = said(2, 40, 8, false);
        assert!(!hardly && remedy.contains("idle machine") && !remedy.contains("--nice"));
        assert!(said(2, 90, 3, true).1.contains("--workload"));
        let doubt = ran(2, 9, 1).doubt().unwrap();
        assert!(doubt.starts_with("hardly tested") && doubt.contains("1.0 %"), "{doubt}");
    }
}
