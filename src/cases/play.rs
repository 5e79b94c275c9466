//! One case raced: one way of reading, one place of the boundary.

use super::place::{Interface, Position};
use super::proof::lies_on_one_page;
use super::report::{RunReport, Violation, too_little};
use super::table::Spec;
use crate::engine::{Ended, Found, NoEvidence, View};
use crate::oracle::{Class, Tolerated};
use crate::report::{Verdict, example_text};
use crate::repro::scenario::{RunPlan, ScenarioRun, run};
use std::time::Duration;

/// Which files are read under mmap_lock, so that each call has to show one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtOnce {
    /// maps.
    pub maps: bool,
    /// smaps.
    pub smaps: bool,
}

/// What all runs have in common.
pub struct Around<'a> {
    /// The seed.
    pub seed: u64,
    /// Workers of a background storm in other lanes.
    pub noise: usize,
    /// What has to show one instant.
    pub at_once: AtOnce,
    /// The number of the signal that arrived, if one did.
    pub signal: &'a dyn Fn() -> Option<i32>,
}

/// Races a case for `duration`. `None` where the case has no such place.
pub fn play(
    spec: &Spec,
    interface: Interface,
    position: Position,
    duration: Duration,
    around: &Around<'_>,
) -> Option<RunReport> {
    if position != Position::Page && (!interface.has_pages() || spec.boundary(position).is_none()) {
        return None;
    }
    let boundary = match place(spec, interface, position) {
        Ok(boundary) => boundary,
        Err(why) => return Some(RunReport::untestable(interface, position, why)),
    };
    let plan = RunPlan {
        duration,
        seed: around.seed,
        maps_at_once: around.at_once.maps,
        smaps_at_once: around.at_once.smaps,
        noise: around.noise,
        ..RunPlan::default()
    };
    Some(match run(&spec.scenario(interface, boundary), &plan, || (around.signal)()) {
        Ok(done) => report(spec, interface, position, &done),
        Err(error) => RunReport::untestable(interface, position, error.to_string()),
    })
}

/// The page of lane 0 at which the page of output is to end.
fn place(spec: &Spec, interface: Interface, position: Position) -> Result<Option<u8>, String> {
    if position != Position::Page {
        return Ok(spec.boundary(position));
    }
    if !interface.has_pages() || lies_on_one_page(spec, interface)? {
        return Ok(None);
    }
    // The page of output begins with the VMA below those that change.
    Ok(Some(0))
}

fn report(spec: &Spec, interface: Interface, position: Position, done: &ScenarioRun) -> RunReport {
    let reading = done.reading();
    let operations: u64 = done.mutating().operations.iter().sum();
    let view = |view: View| view.index().map_or(0, |index| reading.views[index]);
    let (first, later) = (view(View::BEFORE), view(View::AFTER));
    let (before, after) = if spec.begins_after { (later, first) } else { (first, later) };
    let violations = violations(done);
    let why = doubt(done, &violations);
    let too_little = too_little(reading.checked, reading.windows, reading.undecided);
    let judged_too_little = why.is_none() && too_little.is_some() && violations.is_empty();
    let why = why.or(too_little);
    let verdict = match (violations.is_empty(), &why) {
        (false, _) => Verdict::Violated,
        (true, Some(_)) => Verdict::Undecided,
        (true, None) => Verdict::Upheld,
    };
    RunReport {
        interface,
        position,
        elapsed_ms: done.run.elapsed.as_millis() as u64,
        cycles: operations / spec.steps.len() as u64,
        failed: done.run.counts.failed,
        calls: reading.calls.iter().sum(),
        walks: reading.walks,
        checked_lines: reading.checked,
        windows: reading.windows,
        undecided: reading.undecided,
        before,
        after,
        mixed: view(View::MIXED),
        twice: reading.tolerated[Tolerated::Twice as usize],
        gap_then_vma: reading.tolerated[Tolerated::GapThenVma as usize],
        padding_lines: done.padding,
        aimed: done.aimed,
        overlap: done.run.overlap,
        verdict,
        why,
        judged_too_little,
        violations,
    }
}

fn violations(done: &ScenarioRun) -> Vec<Violation> {
    done.with_findings(|found, _| {
        // What calibration did not predict has words, and no text that a reader read.
        let example = |found: &Found| match found.signature.class {
            Class::Mismatch if !done.unpredicted.is_empty() => {
                done.unpredicted.iter().map(|words| format!("at calibration, {words}")).collect()
            }
            _ => example_text(found, done.storm.arena()),
        };
        let violation = |found: &Found| Violation {
            signature: found.signature.to_string(),
            mechanism: found.signature.mechanism,
            count: found.count,
            first_at_ms: found.first_ns as f64 / 1e6,
            example: example(found),
            no_example: found.lost().map(NoEvidence::sentence),
        };
        found.iter().map(|found| violation(found)).collect()
    })
}

/// Why the run says nothing, if it does not and more of it would not help.
fn doubt(done: &ScenarioRun, violations: &[Violation]) -> Option<String> {
    if let Some(lost) = &done.run.lost {
        return Some(lost.clone());
    }
    if done.run.ended == Ended::Stall && violations.is_empty() {
        return Some("a call did not come back".into());
    }
    if done.aimed == Some(false) {
        return Some("the page of output no longer ended at the boundary after the run".into());
    }
    None
}
