//! One attempt to show a tear again.

use super::derive::Target;
use crate::evidence::{Origins, Proof, Tear};
use crate::oracle::Contract;
use crate::probe::Machine;
use crate::scenario::{RunError, RunPlan, Scenario, ScenarioRun, run};
use crate::storm::{Ended, Mode, Pattern};
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
    /// A signal that ended it.
    pub signal: Option<i32>,
    /// Other violations, by signature, and how often.
    pub others: Vec<(String, u64)>,
    /// What the second checker says of the first that was shown; `None` without one.
    pub proof: Option<Proof>,
    /// A sentence where the run could not go on.
    pub lost: Option<String>,
}

impl Attempt {
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
        walks: reading.walks + reading.calls[Mode::Query as usize],
        took: first.unwrap_or(done.run.elapsed),
        operations: mutating.operations.iter().sum(),
        failed: mutating.failed,
        signal: match done.run.ended {
            Ended::Signal(number) => Some(number),
            _ => None,
        },
        others,
        proof: proof(&done, &until, contract, seed),
        lost: done.run.lost.clone(),
    })
}

/// What the second checker makes of the first example that was waited for.
fn proof(done: &ScenarioRun, until: &[Pattern], contract: Contract, seed: u64) -> Option<Proof> {
    let arena = done.storm.arena();
    let origins = Origins {
        machine: Machine::here(),
        seed,
        command: String::new(),
        contract,
        geometry: *arena.geometry(),
        identities: arena.identities().clone(),
    };
    done.with_findings(|found, _| {
        let waited = found.iter().find(|f| until.iter().any(|u| u.matches(&f.signature)))?;
        let (example, _) = waited.examples().first()?;
        Tear::new(&waited.signature, example, &origins).prove().ok()
    })
}

/// What `scenario` is to show: its name, where that is a signature or the beginning of one, else
/// any violation.
///
/// # Panics
/// When the scenario was not [checked](Scenario::check): its name may be meant as a signature and be
/// none.
pub fn target_of(scenario: &Scenario) -> Target {
    let shows = scenario.shows().expect("the name of a scenario that was checked");
    Target { scenario: scenario.clone(), shows, saved_as: None }
}
