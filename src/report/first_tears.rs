//! How soon storms find their first tear, as data and as a table.

use super::TextTable;
use super::format::Report;
use crate::count::counted;
use crate::engine::{Findings, Run};
use crate::exit::Exit;
use crate::header::Header;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// How soon storms find their first tear.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FirstTears {
    /// Version of this form; raised when a field changes its meaning or goes away.
    pub schema_version: u32,
    /// The program, the machine and the run; each storm has a seed drawn from its own.
    #[serde(flatten)]
    pub header: Header,
    /// How long a storm went on at most, in seconds.
    pub seconds: f64,
    /// What ended a storm sooner when all of it had been found.
    pub until: Vec<String>,
    /// The signal that ended it all, if one did.
    pub signal: Option<i32>,
    /// Why a storm could not be run, which ended it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Calls that calibration did not predict: violations of class `mismatch`, found before a storm begins.
    pub unpredicted: Vec<String>,
    /// One for each number of threads.
    pub rows: Vec<Row>,
}

/// The storms with one number of threads.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Threads, readers included.
    pub threads: usize,
    /// How many of them read.
    pub readers: usize,
    /// Storms that were run.
    pub storms: usize,
    /// How long they went on together, in ms.
    pub elapsed_ms: f64,
    /// Violations in all of them.
    pub violations: u64,
    /// Windows judged, and those undecided.
    pub windows: (u64, u64),
    /// The longest that a storm took to start its threads and to end them, in ms.
    pub start_and_stop_ms: f64,
    /// Times to the first violation by class and mechanism, ascending, in ms from before the first
    /// thread was started. A storm that did not find it is missing.
    pub first_ms: BTreeMap<String, Vec<f64>>,
}

impl Row {
    /// No storm yet.
    pub fn new(threads: usize, readers: usize) -> Row {
        Row {
            threads,
            readers,
            storms: 0,
            elapsed_ms: 0.0,
            violations: 0,
            windows: (0, 0),
            start_and_stop_ms: 0.0,
            first_ms: BTreeMap::new(),
        }
    }

    /// Adds a storm that took `wall` from before its threads were started until they were gone.
    pub fn add(&mut self, run: &Run, findings: &Findings, wall: Duration) {
        self.storms += 1;
        self.elapsed_ms += run.elapsed.as_secs_f64() * 1e3;
        self.violations += findings.counts().0;
        self.windows.0 += run.counts.windows;
        self.windows.1 += run.counts.undecided;
        let around = wall.saturating_sub(run.elapsed).as_secs_f64() * 1e3;
        self.start_and_stop_ms = self.start_and_stop_ms.max(around);
        let mut first: BTreeMap<String, u64> = BTreeMap::new();
        findings.with(|all, _| {
            for found in all {
                let class = found.signature.class.word();
                let mechanism = found.signature.mechanism.map_or("-", |mechanism| mechanism.word());
                let at = first.entry(format!("{class}/{mechanism}")).or_insert(u64::MAX);
                *at = found.first_ns.min(*at);
            }
        });
        for (what, ns) in first {
            let times = self.first_ms.entry(what).or_default();
            let ms = ns as f64 / 1e6;
            times.insert(times.partition_point(|&other| other < ms), ms);
        }
    }
}

/// The middle one of ascending times in which those that are missing, of `of`, are infinite; the
/// later of two.
fn median(times: &[f64], of: usize) -> Option<f64> {
    times.get(of / 2).copied()
}

impl FirstTears {
    /// The version of the JSON form.
    const SCHEMA_VERSION: u32 = 2;

    /// A table without rows.
    pub fn new(header: Header, seconds: f64) -> FirstTears {
        FirstTears {
            schema_version: FirstTears::SCHEMA_VERSION,
            header,
            seconds,
            until: Vec::new(),
            signal: None,
            failure: None,
            unpredicted: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Notes what calibration did not predict before a storm; the next storm finds the same again.
    pub fn unpredicted(&mut self, words: Vec<String>) {
        for words in words {
            if !self.unpredicted.contains(&words) {
                self.unpredicted.push(words);
            }
        }
    }

    /// The exit code: whether there were tears at all.
    pub fn exit(&self) -> Exit {
        match self.signal {
            Some(number) => Exit::of_signal(number),
            None if self.rows.iter().any(|row| row.violations > 0) => Exit::Violated,
            None if self.rows.iter().all(|row| row.windows.0 == 0) => Exit::Undecided,
            None => Exit::Upheld,
        }
    }
}

impl Report for FirstTears {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        let mut table = TextTable::new("rlr");
        table.heading(&["threads", "first tear", "found", "median", "worst"]);
        for row in &self.rows {
            for (what, times) in &row.first_ms {
                let found = format!("{}/{}", times.len(), row.storms);
                let shown = |ms: Option<f64>| ms.map_or("never".into(), |ms| format!("{ms:.1} ms"));
                let worst = times.last().copied().filter(|_| times.len() == row.storms);
                let median = shown(median(times, row.storms));
                let worst = shown(worst);
                table.row([row.threads.to_string(), what.clone(), found, median, worst]);
            }
            let minutes = row.elapsed_ms / 60e3;
            let (windows, undecided) = row.windows;
            table.note(format!(
                "{:>7}  {}, {:.0} tears a minute, {:.4} % of windows undecided, {:.0} ms at \
                 most to start and stop",
                row.threads,
                counted(row.storms, "storm"),
                row.violations as f64 / minutes.max(1e-9),
                100.0 * undecided as f64 / windows.max(1) as f64,
                row.start_and_stop_ms
            ));
        }
        out.write_all(table.text().as_bytes())?;
        for words in &self.unpredicted {
            writeln!(out, "mismatch at calibration, {words}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Machine;

    #[test]
    fn what_calibration_did_not_predict_is_told_once() {
        let header = Header::new(&Machine::here(), Some(1), "none".into());
        let mut table = FirstTears::new(header, 1.0);
        let words = || vec!["after mprotect: lane 0 should be empty".to_owned()];
        table.unpredicted(words());
        table.unpredicted(words());
        let mut text = Vec::new();
        table.text(&mut text, false).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("mismatch at calibration, after mprotect").count(), 1, "{text}");
        assert_eq!(serde_json::to_value(&table).unwrap()["unpredicted"][0], words()[0]);
    }

    #[test]
    fn a_storm_without_a_tear_counts_as_for_ever() {
        assert_eq!(median(&[1.0, 2.0, 3.0], 3), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 3.0], 5), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 3.0], 6), None);
        assert_eq!(median(&[], 1), None);
    }
}
