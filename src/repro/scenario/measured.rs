//! How often a scenario was shown, and where.

use crate::command_line::given;
use crate::count::counted;
use crate::header::Header;
use crate::host::Machine;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Observations that were counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// How many.
    pub sightings: u32,
    /// Walks and queries meanwhile.
    pub walks: u64,
    /// The time that it took, in milliseconds.
    pub time_ms: u64,
    /// The run that counted them; files of version 1 say the kernel and the time only.
    #[serde(flatten)]
    pub header: Header,
}

impl Measured {
    /// What was counted here and now.
    pub fn here(sightings: u32, walks: u64, time: Duration) -> Measured {
        let header = Header::new(&Machine::here(), None, given());
        Measured { sightings, walks, time_ms: time.as_millis() as u64, header }
    }

    /// Seconds that it took.
    pub fn seconds(&self) -> f64 {
        self.time_ms as f64 / 1000.0
    }

    /// Mean time between two sightings, in seconds; `None` without one.
    pub fn every(&self) -> Option<f64> {
        (self.sightings > 0).then(|| self.seconds() / f64::from(self.sightings))
    }

    /// Where and when.
    pub fn place(&self) -> String {
        let Header { kernel, kernel_version, started, .. } = &self.header;
        format!("Linux {kernel} ({kernel_version}), {started}")
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { sightings, walks, .. } = self;
        match self.every() {
            None => write!(f, "never in {:.0} s and {}", self.seconds(), counted(*walks, "walk")),
            Some(every) => write!(
                f,
                "{} in {:.1} s and {}, once in {every:.2} s and {}",
                counted(*sightings, "time"),
                self.seconds(),
                counted(*walks, "walk"),
                counted(walks / u64::from(*sightings), "walk")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_with_what_it_is_taken_from() {
        let mut measured = Measured::here(4, 1000, Duration::from_secs(10));
        assert_eq!(
            measured.to_string(),
            "4 times in 10.0 s and 1000 walks, once in 2.50 s and 250 walks"
        );
        measured.sightings = 0;
        assert_eq!(measured.to_string(), "never in 10 s and 1000 walks");
        assert_eq!(measured.every(), None);
        let uname = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(measured.place().contains(uname.trim()), "{}", measured.place());
    }
}
