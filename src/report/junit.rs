//! Checks as JUnit XML, for continuous integration.
//!
//! A skip says why in its message. A failure has what was seen as its text.

use super::checks::{Check, Checklist, Status};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::io::{self, Write};
use std::time::Duration;

/// Writes all checks of a run as one suite.
///
/// # Errors
/// What writing gave.
pub fn write(out: &mut impl Write, list: &Checklist) -> io::Result<()> {
    let mut suite = TestSuite::new(list.suite);
    suite.set_time(seconds(list.seconds)).set_system_out(list.notes.join("\n"));
    suite.add_test_cases(list.checks.iter().map(|check| case(check, list.suite)));
    let mut report = Report::new("mapstorm");
    report.set_time(seconds(list.seconds)).add_test_suite(suite);
    report.serialize(out).map_err(io::Error::other)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn case(check: &Check, suite: &str) -> TestCase {
    let mut status = match check.status {
        Status::Pass => TestCaseStatus::success(),
        Status::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Skip => TestCaseStatus::skipped(),
    };
    let seen = check.details.join("\n");
    let message = match check.status {
        Status::Fail => check.details.first(),
        _ => check.reason.as_ref(),
    };
    if let Some(message) = message.filter(|_| check.status != Status::Pass) {
        status.set_message(message.as_str());
    }
    if check.status == Status::Fail {
        status.set_description(seen.as_str());
    }
    let mut case = TestCase::new(check.name.as_str(), status);
    case.set_classname(format!("mapstorm.{suite}")).set_time(seconds(check.seconds));
    if check.status != Status::Fail && !seen.is_empty() {
        case.set_system_out(seen);
    }
    case
}
