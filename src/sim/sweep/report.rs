//! What selfcheck found: the table for people, the JSON form, and the checks.

use super::kernels::{Found, Life};
use crate::count::counted;
use crate::exit::Exit;
use crate::header::Header;
use crate::report::TextTable;
use crate::report::checks::{Check, Checklist};
use crate::report::text::first_lines;
use crate::sim::{Bug, Model};
use serde::{Serialize, Serializer};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// The version of the JSON form.
const SCHEMA_VERSION: u32 = 2;

/// One bug over many simulated kernels.
#[derive(Clone, Debug)]
pub struct BugRow {
    /// The bug.
    pub bug: Bug,
    /// Kernels that had it.
    pub kernels: usize,
    /// Reader steps until the first verdict in those where it was found, fewest first.
    pub steps: Vec<u64>,
    /// The rules and classes that caught it, with how often.
    pub caught: BTreeMap<String, u64>,
    /// How long they ran.
    pub elapsed: Duration,
}

impl BugRow {
    pub(super) fn of(bug: Bug, lives: &[Life], elapsed: Duration) -> BugRow {
        let (kernels, steps, caught) = (lives.len(), Vec::new(), BTreeMap::new());
        let mut row = BugRow { bug, kernels, steps, caught, elapsed };
        for found in lives.iter().filter_map(|life| life.found.as_ref()) {
            row.steps.push(found.steps);
            *row.caught.entry(caught_by(found)).or_insert(0) += 1;
        }
        row.steps.sort_unstable();
        row
    }

    /// Steps until the first verdict in half of the kernels; `None` when fewer than half showed
    /// it.
    pub fn median(&self) -> Option<u64> {
        self.steps.get((self.kernels.max(1) - 1) / 2).copied()
    }

    /// The most steps that it took where it was found.
    pub fn worst(&self) -> Option<u64> {
        self.steps.last().copied()
    }

    /// Whether it was found in at least half of the kernels that had it.
    pub fn found(&self) -> bool {
        self.median().is_some()
    }

    /// Whether it was found, as a check.
    fn check(&self) -> Check {
        let (name, seconds) = (format!("bug.{}", self.bug.word()), self.elapsed.as_secs_f64());
        let kernels = counted(self.kernels, "kernel");
        let details = vec![format!("found in {} of {kernels}: {}", self.steps.len(), self.rules())];
        match (self.kernels, self.found()) {
            (0, _) => Check::skip(name, seconds, "no kernel with it was run before the end"),
            (_, true) => Check { details, ..Check::pass(name, seconds) },
            (_, false) => Check::fail(name, seconds, details),
        }
    }

    /// The two rules that caught it most often.
    fn rules(&self) -> String {
        let mut caught: Vec<(&String, &u64)> = self.caught.iter().collect();
        caught.sort_by_key(|(rule, count)| (std::cmp::Reverse(**count), (*rule).clone()));
        let words: Vec<&str> = caught.iter().map(|(rule, _)| rule.as_str()).collect();
        let more = if words.len() > 2 { ", ..." } else { "" };
        words[..words.len().min(2)].join(", ") + more
    }
}

fn caught_by(found: &Found) -> String {
    let rules: Vec<&str> = found.rules.iter().map(|rule| rule.promise()).collect();
    format!("{} ({})", rules.join(", "), found.class)
}

/// A right kernel.
#[derive(Clone, Debug)]
pub struct ModelRow {
    /// The model.
    pub model: Model,
    /// Kernels run.
    pub kernels: u64,
    /// Reader steps in all of them.
    pub steps: u64,
    /// Calls with a line or an answer that was not decided.
    pub undecided: u64,
    /// Alarms, with the seed of the first one.
    pub alarms: u64,
    /// The first alarm.
    pub first: Option<(u64, String)>,
    /// How long they ran.
    pub elapsed: Duration,
}

impl ModelRow {
    pub(super) fn of(model: Model) -> ModelRow {
        ModelRow {
            model,
            kernels: 0,
            steps: 0,
            undecided: 0,
            alarms: 0,
            first: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether it raised no alarm, as a check.
    fn check(&self) -> Check {
        let (name, seconds) = (format!("right.{}", self.model.word()), self.elapsed.as_secs_f64());
        let mut details = vec![format!(
            "{} in {} and {}, {} undecided",
            counted(self.alarms, "alarm"),
            counted(self.kernels, "kernel"),
            counted(self.steps, "step"),
            self.undecided
        )];
        details.extend(self.first.as_ref().map(|(seed, by)| format!("first: seed {seed}, {by}")));
        match (self.kernels, self.alarms) {
            (0, _) => Check::skip(name, seconds, "no such kernel was run before the end"),
            (_, 0) => Check { details, ..Check::pass(name, seconds) },
            _ => Check::fail(name, seconds, details),
        }
    }

    pub(super) fn add(&mut self, seed: u64, life: &Life) {
        self.kernels += 1;
        self.steps += life.steps;
        self.undecided += life.undecided;
        if let Some(found) = &life.found {
            self.alarms += 1;
            self.first.get_or_insert_with(|| (seed, caught_by(found)));
        }
    }
}

/// The whole result.
#[derive(Clone, Debug)]
pub struct Report {
    /// The program, the machine and the run; its seed is the first kernel's.
    pub header: Header,
    /// How long it took.
    pub elapsed: Duration,
    /// The signal that stopped it early.
    pub interrupted: Option<i32>,
    /// A row a bug.
    pub bugs: Vec<BugRow>,
    /// A row a model.
    pub models: Vec<ModelRow>,
}

impl Report {
    /// How the check ended.
    pub fn exit(&self) -> Exit {
        let missed = |row: &BugRow| row.kernels > 0 && !row.found();
        if self.models.iter().any(|row| row.alarms > 0) || self.bugs.iter().any(missed) {
            Exit::Violated
        } else {
            match self.interrupted {
                None => Exit::Upheld,
                Some(number) => Exit::of_signal(number),
            }
        }
    }

    /// The table; with `mechanisms` each bug's is told below its row.
    fn table(&self, out: &mut impl Write, mechanisms: bool) -> io::Result<()> {
        first_lines(out, &self.header)?;
        writeln!(out, "# selfcheck took {:.1} s", self.elapsed.as_secs_f64())?;
        let mut table = TextTable::new("llrrrl");
        table.heading(&["bug", "found", "kernels", "median", "worst", "case", "caught by"]);
        for row in &self.bugs {
            let number = |n: Option<u64>| n.map_or("-".to_string(), |n| n.to_string());
            table.row([
                row.bug.to_string(),
                if row.found() { "found" } else { "MISSED" }.to_owned(),
                row.kernels.to_string(),
                number(row.median()),
                number(row.worst()),
                row.bug.case().to_string(),
                row.rules(),
            ]);
            for line in folded(row.bug.mechanism(), 96).filter(|_| mechanisms) {
                table.note(format!("    {line}"));
            }
        }
        out.write_all(table.text().as_bytes())?;
        if !self.models.is_empty() {
            let mut table = TextTable::new("lr");
            table.heading(&["right kernel", "alarms", "kernels", "steps", "undecided", "seconds"]);
            for row in &self.models {
                table.row([
                    row.model.to_string(),
                    row.alarms.to_string(),
                    row.kernels.to_string(),
                    row.steps.to_string(),
                    row.undecided.to_string(),
                    format!("{:.1}", row.elapsed.as_secs_f64()),
                ]);
                if let Some((seed, rule)) = &row.first {
                    table.note(format!("# first alarm: seed {seed}, {rule}"));
                }
            }
            write!(out, "\n{}", table.text())?;
        }
        writeln!(out, "# steps are the reader's, until the end of the turn with the first verdict")
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            schema_version: u32,
            #[serde(flatten)]
            header: &'a Header,
            #[serde(flatten)]
            rest: serde_json::Value,
        }
        let rest = json!({
            "kind": "selfcheck",
            "elapsed_ms": self.elapsed.as_millis() as u64,
            "interrupted": self.interrupted.is_some(),
            "upheld": self.exit() == Exit::Upheld,
            "bugs": self.bugs.iter().map(bug_json).collect::<Vec<_>>(),
            "right_kernels": self.models.iter().map(model_json).collect::<Vec<_>>(),
        });
        let schema_version = SCHEMA_VERSION;
        Whole { schema_version, header: &self.header, rest }.serialize(serializer)
    }
}

impl crate::report::Report for Report {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        self.table(out, verbose)
    }

    fn checks(&self) -> Option<Checklist> {
        let bugs = self.bugs.iter().map(BugRow::check);
        Some(Checklist {
            suite: "selfcheck",
            notes: vec![format!("seed {}: {}", self.header.seed_word(), self.header.command)],
            seconds: self.elapsed.as_secs_f64(),
            checks: bugs.chain(self.models.iter().map(ModelRow::check)).collect(),
        })
    }
}

/// A sentence in lines of at most `width` characters, broken at spaces.
fn folded(mut text: &str, width: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = match text.char_indices().nth(width) {
            None => text.len(),
            // A word that is longer than a line stays whole.
            Some((end, c)) => {
                text[..end + c.len_utf8()].rfind(' ').or(text.find(' ')).unwrap_or(text.len())
            }
        };
        let (line, rest) = text.split_at(end);
        text = rest.trim_start();
        (!line.is_empty()).then_some(line)
    })
}

fn bug_json(row: &BugRow) -> serde_json::Value {
    json!({
        "bug": row.bug.word(),
        "mechanism": row.bug.mechanism(),
        "case": row.bug.case(),
        "model": row.bug.model().word(),
        "found": row.found(),
        "kernels": row.kernels,
        "found_in": row.steps.len(),
        "median_steps": row.median(),
        "worst_steps": row.worst(),
        "caught_by": row.caught,
    })
}

fn model_json(row: &ModelRow) -> serde_json::Value {
    json!({
        "model": row.model.word(),
        "alarms": row.alarms,
        "first_alarm_seed": row.first.as_ref().map(|(seed, _)| seed),
        "kernels": row.kernels,
        "steps": row.steps,
        "undecided": row.undecided,
        "elapsed_ms": row.elapsed.as_millis() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_told_whole_in_lines_that_fit() {
        for &bug in Bug::ALL {
            let lines: Vec<&str> = folded(bug.mechanism(), 40).collect();
            assert!(lines.iter().all(|line| line.len() <= 40 || !line.contains(' ')), "{lines:?}");
            assert_eq!(lines.join(" "), bug.mechanism());
        }
    }

    #[test]
    fn the_table_tells_mechanisms_when_asked() {
        let header = Header::new(&crate::host::Machine::here(), Some(1), String::new());
        let bugs = vec![BugRow::of(Bug::EarlyEnd, &[], Duration::ZERO)];
        let report =
            Report { header, elapsed: Duration::ZERO, interrupted: None, bugs, models: vec![] };
        let table = |mechanisms| {
            let mut text = Vec::new();
            crate::report::Report::text(&report, &mut text, mechanisms).unwrap();
            String::from_utf8(text).unwrap()
        };
        let first = folded(Bug::EarlyEnd.mechanism(), 96).next().unwrap();
        assert!(table(true).contains(first) && !table(false).contains(first));
    }
}
