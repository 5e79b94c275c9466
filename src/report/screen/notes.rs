//! What weakens the verdict, or the evidence for it.

use super::super::data::{Ending, StormReport, Violation};
use super::super::verdict::Verdict;
use super::{COLUMNS, MARGIN, Room, clipped, named, wrapped_to};
use crate::count::counted;
use anstyle::{AnsiColor, Style};

const BAD: Style = AnsiColor::Red.on_default().bold();

/// One row or two for each thing that a reader of the verdict has to know beside it.
pub(super) fn notes(report: &StormReport, room: Room) -> Vec<String> {
    let mut rows = disagreements(report);
    let mut note_in = |most: usize, words: Option<String>| {
        let words = words.iter().flat_map(|words| wrapped_to(words, COLUMNS - MARGIN, most));
        for (at, row) in words.enumerate() {
            rows.push(named(if at == 0 { "note" } else { "" }, &row));
        }
    };
    // Four numbers, none of which may be clipped.
    note_in(2, calls(report));
    let mut note = |words| note_in(room.note, words);
    note(ended(report));
    note(
        report
            .overlap
            .remedy(report.nice.is_none())
            .map(str::to_owned)
            .filter(|_| report.verdict != Verdict::Violated),
    );
    note(refused_loads(report));
    note(not_saved(report));
    note(unproved(report));
    note(without(report));
    note(outside(report));
    rows
}

/// Violations on which the checkers differ: one of the two is wrong, and the verdict may be.
fn disagreements(report: &StormReport) -> Vec<String> {
    let mut all = report.disagreements();
    let Some((signature, why)) = all.next() else { return Vec::new() };
    let others = match all.count() {
        0 => String::new(),
        more => format!(" (and on {more} more)"),
    };
    let told = format!("on {signature}{others}: to the second it is {why}");
    let first = format!(
        "{BAD}THE TWO CHECKERS DISAGREE{BAD:#}, a bug in mapstorm; do not trust this verdict:"
    );
    vec![first, format!("  {}", clipped(&told, COLUMNS - 2))]
}

/// What ended the run, where its time was not over.
fn ended(report: &StormReport) -> Option<String> {
    match &report.ended {
        Ending::Time => None,
        Ending::Signal(number) => Some(format!("signal {number} ended it")),
        Ending::FailFast => Some("--fail-fast ended it at the first violation".into()),
        Ending::Stall { tid, .. } => {
            let tid = tid.map_or("?".to_owned(), |tid| tid.to_string());
            Some(format!("a call of thread {tid} did not come back, and ended it"))
        }
        Ending::Lost(_) if report.verdict == Verdict::Undecided => None,
        Ending::Lost(why) => Some(format!("it could not go on: {why}")),
    }
}

/// Violations of faulters: no reader saw them, and they are no example.
fn refused_loads(report: &StormReport) -> Option<String> {
    let refused = report.faulters.as_ref()?.refused_readable;
    let loads = counted(refused, "load");
    (refused > 0).then(|| format!("{loads} refused that should not have been (-v has the first)"))
}

/// Evidence that is not on disk although it was to be.
fn not_saved(report: &StormReport) -> Option<String> {
    let kept = report.violations.iter().flat_map(|violation| &violation.kept);
    let troubles: Vec<&str> = kept.filter_map(|kept| kept.not_saved.as_deref()).collect();
    let first = troubles.first()?;
    let others = match troubles.iter().any(|trouble| trouble != first) {
        true => " (-v has the others)",
        false => "",
    };
    Some(format!("{} not saved: {first}{others}", counted(troubles.len(), "violation")))
}

/// Signatures that rest on one checker alone.
fn unproved(report: &StormReport) -> Option<String> {
    let sure = |violation: &&Violation| {
        violation.kept.iter().any(|kept| matches!(kept.second_checker, "proved" | "witnessed"))
    };
    let all: Vec<&Violation> = report.violations.iter().collect();
    let unsure = all.len() - all.iter().copied().filter(|violation| sure(violation)).count();
    (unsure > 0).then(|| {
        format!(
            "{unsure} of {} not proved by the second checker (-v says why)",
            counted(all.len(), "signature")
        )
    })
}

/// Calls that failed or took too long.
fn calls(report: &StormReport) -> Option<String> {
    // At vm.max_map_count they are meant to fail.
    let meant = report.operations.failed_at_limit.map_or(0, |at| at.unchanged + at.half_done);
    let parts = [
        (report.reads.failed, "failed reads"),
        (report.operations.failed.saturating_sub(meant), "failed operations"),
        (report.overdue_calls.total(), "overdue calls"),
        (report.standstills.missed, "missed standstills"),
    ];
    let told = parts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = told.map(|(count, what)| format!("{what} {count}")).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What was not tried, where that is why nothing was found.
fn without(report: &StormReport) -> Option<String> {
    if report.verdict == Verdict::Violated || report.dropped.is_empty() {
        return None;
    }
    let what: Vec<&str> = report.dropped.iter().map(|[what, _]| what.as_str()).collect();
    Some(format!("without {} (-v says why)", what.join(", ")))
}

/// Lines outside of the arena that could not be judged.
fn outside(report: &StormReport) -> Option<String> {
    let outside = &report.outside;
    let missed = outside.not_judged + outside.undecided + outside.left_out;
    (missed > 0).then(|| format!("{} outside of the arena not judged", counted(missed, "line")))
}
