//! The cases as KTAP, for the kernel's test runners.
//!
//! Flat names, a bare SKIP directive with its reason on a line before it, and the totals last: not
//! all parsers know nested tests, reasons behind the directive, or any version but 1.

use super::place::{Interface, Position};
use super::report::{RunReport, Verdict};
use super::table::Spec;
use crate::count::counted;
use crate::exit::Exit;
use std::io::{self, Write};

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
        for group in ["page", "boundary"] {
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

/// How many ended how.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    pass: usize,
    fail: usize,
    skip: usize,
}

impl Totals {
    /// The exit code that says the same: to the runners a test that could not be decided is a skip,
    /// and all of them skipped is the skip of the whole (tools/testing/selftests/kselftest.h,
    /// `ksft_finished`).
    pub fn exit(self) -> Exit {
        match self {
            Totals { fail: 1.., .. } => Exit::Violated,
            Totals { pass: 1.., .. } => Exit::Upheld,
            _ => Exit::Untestable,
        }
    }
}

/// Writes KTAP, line by line.
pub struct Ktap<W> {
    out: W,
    number: usize,
    totals: Totals,
    verbose: bool,
}

impl<W: Write> Ktap<W> {
    /// Begins with the version and the plan. With `verbose`, passed tests say what was seen, too.
    ///
    /// # Errors
    /// What writing gave.
    pub fn begin(mut out: W, tests: usize, verbose: bool) -> io::Result<Ktap<W>> {
        writeln!(out, "KTAP version 1\n1..{tests}")?;
        out.flush()?;
        Ok(Ktap { out, number: 0, totals: Totals::default(), verbose })
    }

    /// A line that is no result.
    ///
    /// # Errors
    /// What writing gave.
    pub fn remark(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "# {line}")?;
        }
        self.out.flush()
    }

    /// The result of a test that was run.
    ///
    /// # Errors
    /// What writing gave.
    pub fn result(&mut self, name: &str, runs: &[RunReport]) -> io::Result<()> {
        let verdict = Verdict::of(runs.iter().map(|run| run.verdict));
        if self.verbose || verdict == Verdict::Violated {
            for run in runs {
                self.remark(&summary(run))?;
            }
        }
        match verdict {
            Verdict::Upheld => self.line("ok", name, ""),
            Verdict::Violated => {
                let example =
                    runs.iter().flat_map(|run| &run.violations).find(|v| !v.example.is_empty());
                if let Some(violation) = example {
                    self.remark(&violation.example.join("\n"))?;
                }
                self.line("not ok", name, "")
            }
            Verdict::Undecided | Verdict::Untestable => {
                let why =
                    runs.iter().find(|run| run.verdict == verdict).and_then(|run| run.why.clone());
                self.skip(name, &why.unwrap_or_else(|| "nothing was run".into()))
            }
        }
    }

    /// The result of a test that was not run.
    ///
    /// # Errors
    /// What writing gave.
    pub fn skip(&mut self, name: &str, why: &str) -> io::Result<()> {
        self.remark(&format!("{name}: {why}"))?;
        self.line("ok", name, " # SKIP")
    }

    fn line(&mut self, word: &str, name: &str, directive: &str) -> io::Result<()> {
        self.number += 1;
        match (word, directive) {
            (_, " # SKIP") => self.totals.skip += 1,
            ("ok", _) => self.totals.pass += 1,
            _ => self.totals.fail += 1,
        }
        writeln!(self.out, "{word} {} {name}{directive}", self.number)?;
        // A runner that gives up on us keeps what it has read so far.
        self.out.flush()
    }

    /// Ends with the totals, and gives them.
    ///
    /// # Errors
    /// What writing gave.
    pub fn end(mut self) -> io::Result<Totals> {
        let Totals { pass, fail, skip } = self.totals;
        writeln!(
            self.out,
            "# Totals: pass:{pass} fail:{fail} xfail:0 xpass:0 skip:{skip} error:0"
        )?;
        self.out.flush()?;
        Ok(self.totals)
    }
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
    use super::super::table::{TABLE, find};
    use super::*;

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
    fn the_totals_and_the_exit_code_say_the_same() {
        let exit = |pass, fail, skip| Totals { pass, fail, skip }.exit();
        assert_eq!(exit(3, 0, 0), Exit::Upheld);
        assert_eq!(exit(1, 0, 9), Exit::Upheld, "what is skipped is no trouble");
        assert_eq!(exit(9, 1, 9), Exit::Violated);
        assert_eq!(exit(0, 1, 0), Exit::Violated);
        assert_eq!(exit(0, 0, 9), Exit::Untestable);
    }

    #[test]
    fn an_undecided_test_is_a_skip_and_no_trouble() {
        let mut ktap = Ktap::begin(Vec::new(), 2, false).unwrap();
        ktap.result("case1.page.read", &[run(Verdict::Upheld, None)]).unwrap();
        ktap.result("case2.page.read", &[run(Verdict::Undecided, Some("too little"))]).unwrap();
        assert_eq!(ktap.end().unwrap().exit(), Exit::Upheld);
    }

    #[test]
    fn the_text_is_what_the_runners_read() {
        let mut out = Vec::new();
        let mut ktap = Ktap::begin(&mut out, 4, false).unwrap();
        ktap.result("case1.page.read", &[run(Verdict::Upheld, None)]).unwrap();
        ktap.result("case1.page.query", &[run(Verdict::Violated, None)]).unwrap();
        ktap.result("case1.boundary.read", &[run(Verdict::Untestable, Some("no room"))]).unwrap();
        ktap.skip("case1.page.smaps", "there is no smaps").unwrap();
        ktap.end().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "KTAP version 1\n\
             1..4\n\
             ok 1 case1.page.read\n\
             # page: 0 cycles, 0 calls, 0 lines judged, before 0, after 0, twice 0, gap-then-vma 0\n\
             not ok 2 case1.page.query\n\
             # case1.boundary.read: no room\n\
             ok 3 case1.boundary.read # SKIP\n\
             # case1.page.smaps: there is no smaps\n\
             ok 4 case1.page.smaps # SKIP\n\
             # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:2 error:0\n"
        );
    }
}
