//! The cases as a list of checks, for formats of test runners.

use super::place::{Interface, Position};
use super::report::{CaseReport, CasesReport, RunReport};
use super::table::{Spec, find};
use crate::count::counted;
use crate::report::Verdict;
use crate::report::checks::{Check, Checklist};

/// Where the page of output ends: nowhere near the change, or at it.
const GROUPS: [&str; 2] = ["page", "boundary"];

/// One test: a case, a group of places of the boundary, an interface.
pub struct Test {
    /// The case.
    pub spec: &'static Spec,
    /// Its name: `case3.boundary.read`.
    pub name: String,
    /// What it is read through.
    pub interface: Interface,
    /// Where the page of output ends, one run each.
    pub positions: Vec<Position>,
}

/// The tests of some cases.
pub fn tests(
    specs: &[&'static Spec],
    interfaces: &[Interface],
    positions: &[Position],
) -> Vec<Test> {
    let mut tests = Vec::new();
    for &spec in specs {
        for group in GROUPS {
            for &interface in interfaces {
                let here = |position: &&Position| {
                    position.group() == group
                        && (**position == Position::Page
                            || interface.has_pages() && spec.boundary(**position).is_some())
                };
                let positions: Vec<Position> = positions.iter().filter(here).copied().collect();
                if !positions.is_empty() {
                    let name = format!("{}.{group}.{interface}", spec.test_name());
                    tests.push(Test { spec, name, interface, positions });
                }
            }
        }
    }
    tests
}

/// The result of a test that was run.
pub fn check(name: &str, runs: &[&RunReport]) -> Check {
    let verdict = Verdict::of(runs.iter().map(|run| run.verdict));
    let seconds = runs.iter().map(|run| run.elapsed_ms).sum::<u64>() as f64 / 1000.0;
    let details: Vec<String> = runs.iter().map(|run| summary(run)).collect();
    match verdict {
        Verdict::Upheld | Verdict::Allowed => Check { details, ..Check::pass(name, seconds) },
        Verdict::Violated => {
            let violations = || runs.iter().flat_map(|run| &run.violations);
            let example = violations().find(|violation| !violation.example.is_empty());
            let example = example.map_or(Vec::new(), |violation| violation.example.clone());
            Check::fail(name, seconds, [details, example].concat())
        }
        Verdict::Undecided | Verdict::Untestable => {
            let why =
                runs.iter().find(|run| run.verdict == verdict).and_then(|run| run.why.clone());
            let why = why.unwrap_or_else(|| "nothing was run".into());
            Check { details, ..Check::skip(name, seconds, why) }
        }
    }
}

/// The tests of a run that is over.
pub(super) fn checklist(report: &CasesReport) -> Checklist {
    let notes = [
        Some(format!("seed {}: {}", report.header.seed_word(), report.header.command)),
        report.overlap.doubt(),
        report.overlap.remedy(false).map(str::to_owned),
    ];
    Checklist {
        suite: "cases",
        notes: notes.into_iter().flatten().collect(),
        seconds: report.elapsed_ms as f64 / 1000.0,
        checks: report.cases.iter().flat_map(of_case).collect(),
    }
}

/// The tests of a case that is over.
pub fn of_case(case: &CaseReport) -> Vec<Check> {
    let name = find(case.name).map_or_else(|| case.name.to_owned(), |spec| spec.test_name());
    if let Some(why) = &case.untestable {
        return vec![Check::skip(name, 0.0, why.as_str())];
    }
    let mut checks = Vec::new();
    for group in GROUPS {
        for interface in Interface::ALL {
            let here =
                |run: &&RunReport| run.interface == interface && run.position.group() == group;
            let runs: Vec<&RunReport> = case.runs.iter().filter(here).collect();
            if !runs.is_empty() {
                checks.push(check(&format!("{name}.{group}.{interface}"), &runs));
            }
        }
    }
    checks
}

fn summary(run: &RunReport) -> String {
    let mut text = format!(
        "{}: {}, {}, {} judged, before {}, after {}, twice {}, gap-then-vma {}",
        run.position,
        counted(run.cycles, "cycle"),
        counted(run.calls, "call"),
        counted(run.checked_lines, "line"),
        run.before,
        run.after,
        run.twice,
        run.gap_then_vma
    );
    for violation in &run.violations {
        text += &format!(
            "\n{}: {} {}, first after {:.1} ms",
            run.position,
            violation.signature,
            counted(violation.count, "time"),
            violation.first_at_ms
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::Violation;
    use super::super::table::TABLE;
    use super::*;
    use crate::report::checks::Status;

    fn run(verdict: Verdict, why: Option<&str>) -> RunReport {
        RunReport {
            verdict,
            why: why.map(str::to_owned),
            ..RunReport::untestable(Interface::Read, Position::Page, String::new())
        }
    }

    #[test]
    fn names_are_flat_and_unique_and_places_that_are_not_there_are_left_out() {
        let all: Vec<&'static Spec> = TABLE.iter().collect();
        let tests = tests(&all, &Interface::ALL, &Position::ALL);
        let mut names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        assert!(names.contains(&"case3.boundary.read") && names.contains(&"split.page.query"));
        assert!(!names.iter().any(|name| name.ends_with("boundary.query")));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let seven = find("7").unwrap();
        let inside = super::tests(&[seven], &[Interface::Read], &[Position::Inside]);
        assert!(inside.is_empty());
    }

    #[test]
    fn an_undecided_test_is_a_skip_with_its_reason() {
        let upheld = run(Verdict::Upheld, None);
        let doubt = run(Verdict::Undecided, Some("too little"));
        let checked = check("case1.page.read", &[&upheld, &doubt]);
        assert_eq!((checked.status, checked.reason.as_deref()), (Status::Skip, Some("too little")));
        let none = check("case1.page.read", &[]);
        assert_eq!((none.status, none.reason.as_deref()), (Status::Skip, Some("nothing was run")));
        assert_eq!(check("case1.page.read", &[&upheld]).status, Status::Pass);
    }

    #[test]
    fn a_failed_test_shows_what_was_seen_and_an_example() {
        let mut wrong = run(Verdict::Violated, None);
        wrong.violations.push(Violation {
            signature: "hole/-/-/walk".into(),
            mechanism: None,
            count: 2,
            first_at_ms: 1.0,
            example: vec!["nothing for page 4".into()],
            no_example: None,
        });
        let checked = check("case1.page.read", &[&wrong]);
        assert_eq!(checked.status, Status::Fail);
        assert_eq!(
            checked.details,
            [
                "page: 0 cycles, 0 calls, 0 lines judged, before 0, after 0, twice 0, \
                 gap-then-vma 0\npage: hole/-/-/walk 2 times, first after 1.0 ms",
                "nothing for page 4",
            ]
        );
    }
}
