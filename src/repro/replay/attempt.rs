//! One attempt to show a tear again.

use super::derive::Target;
use crate::engine::{Ended, Pattern};
use crate::evidence::{Origins, Proof, Tear};
use crate::header::Header;
use crate::host::Machine;
use crate::model::{FoundRules, MergeRule};
use crate::oracle::Contract;
use crate::report::{FEWEST_CHECKED, MOST_UNDECIDED_PER_MILLE};
use crate::repro::scenario::{RunError, RunPlan, Scenario, ScenarioRun, run};
use std::time::Duration;

/// How an attempt went.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// How often it was shown.
    pub shown: u64,
    /// Walks and queries of the scenario's readers.
    pub walks: u64,
    /// How long it took until the first; or in all, if there was none.
    pub took: Duration,
    /// Operations that the mutators did.
    pub operations: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Lines and answers that were judged.
    pub checked: u64,
    /// Read calls and queries that failed.
    pub errors: u64,
    /// Windows judged.
    pub windows: u64,
    /// Those that could not be.
    pub undecided: u64,
    /// A signal that ended it.
    pub signal: Option<i32>,
    /// Other violations, by signature, and how often.
    pub others: Vec<(String, u64)>,
    /// What the second checker says of the first that was shown; `None` without one.
    pub proof: Option<Proof>,
    /// Merge rules in which this kernel is unlike the one of the file.
    pub unlike: Vec<MergeRule>,
    /// A sentence where the run could not go on.
    pub lost: Option<String>,
}

/// Why an attempt that showed nothing says nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Untold {
    /// It can't be tried here.
    Untestable(String),
    /// Too little was tried.
    Undecided(String),
}

impl Attempt {
    /// Why it says nothing that it showed nothing; `None` when it was tried well enough.
    pub fn untold(&self) -> Option<Untold> {
        let Attempt { operations, failed, checked, errors, .. } = *self;
        let said = match (operations, checked) {
            (0, _) if failed > 0 => {
                Untold::Untestable(format!("none of its operations was done, {failed} failed"))
            }
            (_, 0) if errors > 0 => {
                Untold::Untestable(format!("nothing could be read, {errors} calls failed"))
            }
            (0, _) => Untold::Undecided("no operation was done".into()),
            (_, checked) if checked < FEWEST_CHECKED => Untold::Undecided(format!(
                "{checked} lines were judged, and it takes {FEWEST_CHECKED}"
            )),
            _ if self.undecided * 1000 > self.windows * MOST_UNDECIDED_PER_MILLE => {
                let Attempt { undecided, windows, .. } = self;
                Untold::Undecided(format!("{undecided} of {windows} windows could not be judged"))
            }
            _ => {
                let lost = self.lost.as_ref()?;
                Untold::Undecided(format!("it could not go on: {lost}"))
            }
        };
        Some(said)
    }

    /// How often in a thousand walks.
    pub fn per_thousand(&self) -> f64 {
        self.shown as f64 * 1000.0 / self.walks.max(1) as f64
    }
}

/// Runs the scenario until it shows what it is to show, or the time is over.
///
/// # Errors
/// When it can't be run here.
pub fn attempt(
    target: &Target,
    contract: Contract,
    duration: Duration,
    seed: u64,
    signal: impl Fn() -> Option<i32>,
) -> Result<Attempt, RunError> {
    let until = target.counts();
    let plan = RunPlan { duration, seed, contract, until: until.clone(), ..RunPlan::default() };
    let done = run(&target.scenario, &plan, signal)?;
    let reading = done.reading();
    let hits = until.iter().map(|shown| done.found(shown));
    let (shown, first) = hits.fold((0, None), |(sum, first), (count, at)| {
        (sum + count, [first, at].into_iter().flatten().min())
    });
    let others = done.with_findings(|found, _| {
        let others = found.iter().filter(|f| !until.iter().any(|u| u.matches(&f.signature)));
        others.map(|found| (found.signature.to_string(), found.count)).collect()
    });
    let mutating = done.mutating();
    Ok(Attempt {
        shown,
        walks: reading.walks + reading.queries(),
        took: first.unwrap_or(done.run.elapsed),
        operations: mutating.operations.iter().sum(),
        failed: mutating.failed,
        checked: reading.checked,
        errors: reading.errors,
        windows: reading.windows,
        undecided: reading.undecided,
        signal: match done.run.ended {
            Ended::Signal(number) => Some(number),
            _ => None,
        },
        others,
        proof: proof(&done, &until, contract, seed),
        unlike: target.scenario.merge_rules.unlike(done.storm.oracle().rules()).collect(),
        lost: done.run.lost.clone().or_else(|| {
            let stalled = done.run.ended == Ended::Stall;
            stalled.then(|| "a call did not come back".to_owned())
        }),
    })
}

/// What the second checker makes of the first example that was waited for.
fn proof(done: &ScenarioRun, until: &[Pattern], contract: Contract, seed: u64) -> Option<Proof> {
    let arena = done.storm.arena();
    let origins = Origins {
        header: Header::new(&Machine::here(), Some(seed), String::new()).judged_by(contract),
        geometry: *arena.geometry(),
        identities: arena.identities().clone(),
        // What is proved here is not saved.
        merge_rules: FoundRules::default(),
    };
    done.with_findings(|found, _| {
        let waited = found.iter().find(|f| until.iter().any(|u| u.matches(&f.signature)))?;
        let (example, _) = waited.examples().first()?;
        Tear::new(&waited.signature, example, &origins).prove().ok()
    })
}

/// What `scenario` is to show: the signature, or the beginning of one, that is its name; with
/// another name, any violation.
///
/// # Panics
/// When the scenario was not [checked](Scenario::check): its name may be meant as a signature and be
/// none.
pub fn target_of(scenario: &Scenario) -> Target {
    let shows = scenario.shows().expect("the name of a scenario that was checked");
    Target { scenario: scenario.clone(), shows, saved_as: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Mode;

    #[test]
    fn a_scenario_is_judged_by_the_contract_that_forbids_what_it_shows() {
        for (name, contract) in [
            ("hole/replaced-in-flight", Contract::Series),
            ("disorder", Contract::Series),
            ("disorder/told-twice/protect", Contract::Documented),
            ("disorder/gap-then-vma", Contract::Documented),
            ("disorder/line-by-line", Contract::Snapshot),
            ("any other name", Contract::Series),
        ] {
            let scenario = Scenario {
                schema_version: 1,
                name: name.into(),
                pages: 4,
                merge_rules: FoundRules::default(),
                lanes: vec!["[0..1 rw-p anon]".into()],
                mutators: Vec::new(),
                readers: vec![Mode::Walk],
                first_read: None,
                later_reads: None,
                boundary: None,
                measured: None,
            };
            assert_eq!(target_of(&scenario).contract(), contract, "{name}");
        }
    }

    #[test]
    fn what_was_not_tried_says_nothing() {
        let tried = Attempt {
            shown: 0,
            walks: 50,
            took: Duration::ZERO,
            operations: 1,
            failed: 1,
            checked: FEWEST_CHECKED,
            errors: 1,
            windows: 1000,
            undecided: MOST_UNDECIDED_PER_MILLE,
            signal: None,
            others: Vec::new(),
            proof: None,
            unlike: Vec::new(),
            lost: None,
        };
        assert_eq!(tried.untold(), None, "some operations and some calls may fail");
        let testable = |attempt: Attempt| match attempt.untold() {
            Some(Untold::Untestable(_)) => false,
            Some(Untold::Undecided(_)) => true,
            None => panic!("{attempt:?}"),
        };
        assert!(!testable(Attempt { operations: 0, ..tried.clone() }));
        assert!(testable(Attempt { operations: 0, failed: 0, ..tried.clone() }));
        assert!(!testable(Attempt { checked: 0, ..tried.clone() }));
        assert!(testable(Attempt { checked: 0, errors: 0, walks: 0, ..tried.clone() }));
        assert!(testable(Attempt { checked: FEWEST_CHECKED - 1, ..tried.clone() }));
        let doubtful = MOST_UNDECIDED_PER_MILLE + 1;
        assert!(testable(Attempt { undecided: doubtful, ..tried.clone() }));
        assert!(testable(Attempt { lost: Some("history".into()), ..tried }));
    }
}
