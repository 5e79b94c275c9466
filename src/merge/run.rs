//! One run, as much of its report as is merged.

use crate::header::Header;
use crate::oracle::{Contract, Rule};
use crate::report::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One run of the storm. Its names are those of the storm's report
/// ([`StormReport`](crate::report::StormReport)), of which it is a part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Where it was, when, and how.
    #[serde(flatten)]
    pub header: Header,
    /// What it said.
    pub verdict: Verdict,
    /// How it ended.
    pub ended: Value,
    /// How long it went on.
    pub elapsed_ms: u64,
    /// What its mutators did.
    pub operations: Operations,
    /// Lines, answers and ends of file judged.
    pub checked_lines: u64,
    /// Windows judged.
    pub windows: u64,
    /// Windows that could not be judged.
    pub undecided: u64,
    /// Promise by promise.
    pub scorecard: Vec<Score>,
    /// Its violations.
    pub violations: Vec<Violation>,
    /// Violations with a signature for which there was no room.
    pub violations_beyond: u64,
}

/// What the mutators of a run did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operations {
    /// Operations that succeeded.
    pub total: u64,
}

/// One promise in a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Score {
    /// The rule.
    pub rule: Rule,
    /// The promise.
    pub promise: String,
    /// The weakest contract that makes it.
    pub contract: Contract,
    /// Whether the contract of the run makes it.
    pub asked: bool,
    /// How often it was put to the test.
    pub checked: u64,
    /// How often it was broken.
    pub broken: u64,
}

/// The violations of a run with one signature.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// `class/mechanism/operations/reader`.
    pub signature: String,
    /// How many.
    pub count: u64,
    /// When the first was found.
    pub first_at_ms: f64,
    /// Whether the run was told to allow it.
    pub allowed: bool,
    /// Its examples.
    pub kept: Vec<Example>,
}

/// What became of an example.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Example {
    /// What the second checker said.
    pub second_checker: String,
    /// The file, as the run named it.
    pub file: Option<String>,
}

impl Run {
    /// What tells it from every other run: where, when and what.
    pub fn id(&self) -> [&str; 5] {
        let Header { host, boot_id, started, command, .. } = &self.header;
        [started, host, boot_id, self.header.seed_word(), command]
    }

    /// Whether the second checker disagreed: the verdict may be wrong then.
    pub fn is_doubtful(&self) -> bool {
        let kept = self.violations.iter().flat_map(|violation| &violation.kept);
        kept.into_iter().any(|kept| kept.second_checker == "disagrees")
    }
}
