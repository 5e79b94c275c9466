//! A storm as a list of checks: each promise by each way of reading.

use super::checks::{Check, Checklist};
use super::data::{Ending, Score, StormReport, Violation};
use super::format::Report;
use super::text;
use super::verdict::Verdict;
use crate::count::counted;
use crate::engine::Mode;
use crate::oracle::Rule;
use std::io;

impl Report for StormReport {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        text::storm(out, self, verbose)
    }

    fn checks(&self) -> Option<Checklist> {
        let asked = || self.scorecard.iter().filter(|score| score.asked);
        let read = asked().filter(|score| is_of_readers(score.rule));
        let by_way = read.flat_map(|score| {
            let fits = |mode: &Mode| self.puts_to_the_test(score.rule, *mode);
            Mode::ALL.into_iter().filter(fits).map(|mode| self.by_way(score, mode))
        });
        let whole =
            asked().filter(|score| !is_of_readers(score.rule) || self.has_no_way(score.rule));
        let whole = whole.map(|score| self.check(score.rule.word().to_owned(), score, None));
        let notes = [
            Some(format!("seed {}: {}", self.header.seed_word(), self.header.command)),
            self.overlap.doubt(),
            self.overlap.remedy(self.nice.is_none()).map(str::to_owned),
        ];
        Some(Checklist {
            suite: "storm",
            notes: notes.into_iter().flatten().collect(),
            seconds: self.seconds(),
            checks: by_way.chain(whole).chain(self.of_the_run()).collect(),
        })
    }
}

/// Whether readers put the rule to the test, and not the run as a whole.
fn is_of_readers(rule: Rule) -> bool {
    !matches!(rule, Rule::Standstill | Rule::Return | Rule::NoSplat)
}

impl StormReport {
    fn seconds(&self) -> f64 {
        self.elapsed_ms as f64 / 1000.0
    }

    /// Whether this way of reading was asked for, and can break the rule. A query answers with one
    /// vma: rules about neighbouring lines and pages of output do not touch it.
    fn puts_to_the_test(&self, rule: Rule, mode: Mode) -> bool {
        let asked = self.reads.by_mode.get(mode.word()).is_some_and(|&calls| calls > 0)
            || self.lacks(mode).is_some();
        let shows = !mode.is_query()
            || matches!(rule, Rule::Existence | Rule::NoHole | Rule::Order)
            || self.violations_of(rule, Some(mode)).next().is_some();
        asked && shows
    }

    /// Why this kernel lacks a way of reading, if it does.
    fn lacks(&self, mode: Mode) -> Option<&str> {
        let dropped = self.dropped.iter().find(|[what, _]| what == mode.word());
        dropped.map(|[_, why]| why.as_str())
    }

    fn violations_of(&self, rule: Rule, mode: Option<Mode>) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(move |violation| {
            violation.rule == rule && (mode.is_none() || violation.reader == mode)
        })
    }

    /// Whether the rule was broken where nobody read, as by a load that was refused.
    fn has_no_way(&self, rule: Rule) -> bool {
        self.violations_of(rule, None).any(|violation| violation.reader.is_none())
    }

    fn by_way(&self, score: &Score, mode: Mode) -> Check {
        let name = format!("{}.{mode}", score.rule);
        match self.lacks(mode) {
            Some(why) => Check::skip(name, 0.0, why),
            None => self.check(name, score, Some(mode)),
        }
    }

    /// A promise by one way of reading, or by all.
    fn check(&self, name: String, score: &Score, mode: Option<Mode>) -> Check {
        let found = || self.violations_of(score.rule, mode);
        let details = found().flat_map(told).collect();
        if found().any(|violation| !violation.allowed) {
            return Check::fail(name, self.seconds(), details);
        }
        if let Some(why) = self.undecided_because() {
            return Check::skip(name, self.seconds(), why);
        }
        if score.checked == 0 && found().next().is_none() {
            return Check::skip(name, self.seconds(), "nothing put it to the test");
        }
        let allowed: u64 = found().map(|violation| violation.count).sum();
        let reason = (allowed > 0).then(|| format!("broken {}, allowed", counted(allowed, "time")));
        Check { reason, details, ..Check::pass(name, self.seconds()) }
    }

    /// Why nothing can be said of a promise that was not seen broken, if so.
    fn undecided_because(&self) -> Option<String> {
        let said = |verdict| self.verdict == verdict;
        if said(Verdict::Untestable) {
            return Some("not testable here".into());
        }
        let why = match &self.ended {
            Ending::Lost(why) => format!("the storm could not go on: {why}"),
            _ => format!(
                "{} judged, {} of them with operations in flight, {} undecided, {} and answers",
                counted(self.windows, "window"),
                self.busy_windows,
                self.undecided,
                counted(self.checked_lines, "line"),
            ),
        };
        said(Verdict::Undecided).then_some(why)
    }

    /// What is wrong with the run as a whole, beside the promises.
    fn of_the_run(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.violations_beyond > 0 && self.verdict == Verdict::Violated {
            let what = format!(
                "{} with signatures for which there was no room",
                counted(self.violations_beyond, "violation")
            );
            checks.push(Check::fail("further-signatures", self.seconds(), vec![what]));
        }
        let disagree = |(signature, why)| format!("{signature}: to the second checker it is {why}");
        let disagreements: Vec<String> = self.disagreements().map(disagree).collect();
        if !disagreements.is_empty() {
            checks.push(Check::fail("second-checker", self.seconds(), disagreements));
        }
        checks
    }
}

/// A violation, line by line: what it is, its example, and the commands for its files.
fn told(violation: &Violation) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {}, first after {:.1} ms{}",
        violation.signature,
        counted(violation.count, "time"),
        violation.first_at_ms,
        if violation.allowed { ", allowed" } else { "" },
    )];
    lines.extend(violation.no_example.map(|why| format!("no example: {why}")));
    lines.extend(violation.example.iter().cloned());
    let files = violation.kept.iter().filter_map(|kept| kept.file.as_deref());
    lines.extend(
        files.map(|file| format!("mapstorm explain {}", crate::command_line::quoted(file))),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::super::checks::Status;
    use super::super::screen::tests::{violated, violation};
    use super::*;
    use crate::exit::Exit;
    use crate::oracle::{Class, Contract};

    #[test]
    fn a_promise_that_nothing_put_to_the_test_is_a_skip() {
        let mut report = violated(vec![violation(Class::Hole, None, 1)]);
        let score = report.scorecard.iter_mut().find(|score| score.rule == Rule::NoSplat);
        score.unwrap().checked = 0;
        let list = report.checks().unwrap();
        let of_log = list.checks.iter().find(|check| check.name == Rule::NoSplat.word());
        assert_eq!(of_log.unwrap().status, Status::Skip);
    }

    #[test]
    fn a_broken_promise_fails_a_check_whoever_has_seen_it() {
        let asked = Rule::ALL.into_iter().filter(|rule| rule.contract() == Contract::Series);
        for (rule, reader) in asked.flat_map(|rule| [(rule, Some(Mode::Walk)), (rule, None)]) {
            let one = Violation { rule, reader, ..violation(Class::Hole, None, 1) };
            let mut report = violated(vec![one]);
            report.reads.by_mode = [(Mode::Walk.word(), 1000)].into();
            let list = report.checks().unwrap();
            let failed = list.checks.iter().filter(|check| check.status == Status::Fail);
            let names: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
            assert_eq!(
                (names.len(), list.totals().exit()),
                (1, Exit::Violated),
                "{rule:?}: {names:?}"
            );
            assert!(names[0].starts_with(rule.word()), "{names:?}");
        }
    }
}
