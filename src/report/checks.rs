//! A result as a list of checks: what formats for test runners are made from.

use crate::exit::Exit;

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It was right.
    Pass,
    /// It was wrong.
    Fail,
    /// It could not be tested here, or not enough was seen to decide.
    Skip,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Its name: words joined by dots, unique in its list.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// Why, in one sentence; a skip always has one.
    pub reason: Option<String>,
    /// What was seen, line by line.
    pub details: Vec<String>,
    /// How long it was tested, in seconds.
    pub seconds: f64,
}

/// All checks of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Checklist {
    /// The command that made it.
    pub suite: &'static str,
    /// What there is to say of the run, line by line.
    pub notes: Vec<String>,
    /// How long the run took, in seconds.
    pub seconds: f64,
    /// The checks.
    pub checks: Vec<Check>,
}

/// How many checks ended how.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Those that passed.
    pub pass: usize,
    /// Those that failed.
    pub fail: usize,
    /// Those that were skipped.
    pub skip: usize,
}

impl Check {
    /// A check that passed.
    pub fn pass(name: impl Into<String>, seconds: f64) -> Check {
        let name = name.into();
        Check { name, status: Status::Pass, reason: None, details: Vec::new(), seconds }
    }

    /// A check that failed, with what was seen.
    pub fn fail(name: impl Into<String>, seconds: f64, details: Vec<String>) -> Check {
        Check { status: Status::Fail, details, ..Check::pass(name, seconds) }
    }

    /// A check that says nothing, and why.
    pub fn skip(name: impl Into<String>, seconds: f64, why: impl Into<String>) -> Check {
        Check { status: Status::Skip, reason: Some(why.into()), ..Check::pass(name, seconds) }
    }
}

impl Checklist {
    /// How many ended how.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.checks.iter().for_each(|check| totals.add(check.status));
        totals
    }
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        *match status {
            Status::Pass => &mut self.pass,
            Status::Fail => &mut self.fail,
            Status::Skip => &mut self.skip,
        } += 1;
    }

    /// The exit code that says the same. An undecided check is a skip to test runners, and so is a
    /// run with nothing but skips (tools/testing/selftests/kselftest.h, `ksft_finished`).
    pub fn exit(self) -> Exit {
        match self {
            Totals { fail: 1.., .. } => Exit::Violated,
            Totals { pass: 1.., .. } => Exit::Upheld,
            _ => Exit::Untestable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_and_the_exit_code_say_the_same() {
        let exit = |pass, fail, skip| Totals { pass, fail, skip }.exit();
        assert_eq!(exit(3, 0, 0), Exit::Upheld);
        assert_eq!(exit(1, 0, 9), Exit::Upheld, "what is skipped is no trouble");
        assert_eq!(exit(9, 1, 9), Exit::Violated);
        assert_eq!(exit(0, 1, 0), Exit::Violated);
        assert_eq!(exit(0, 0, 9), Exit::Untestable);
    }
}
