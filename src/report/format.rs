//! The forms that a result can have, and which file writes each.
//!
//! A new format is a word here and a file beside this one. [`Format::write`] hands a result to that
//! file.

use super::checks::Checklist;
use super::{json, junit, ktap};
use crate::exit::Exit;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use std::io;

/// The form of a result on stdout.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// A line for each check, for the kernel's test runners
    Ktap,
    /// One suite of tests in XML, for continuous integration
    Junit,
}

/// A result that can be written in each format that its command offers.
pub trait Report: Serialize {
    /// Writes the result for people. With `verbose` it says more.
    ///
    /// # Errors
    /// What writing gave.
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()>;

    /// The result as a list of checks. Nothing for a result that is none.
    fn checks(&self) -> Option<Checklist> {
        None
    }
}

impl Format {
    /// Whether it shows nothing but checks.
    pub const fn is_of_checks(self) -> bool {
        match self {
            Format::Text | Format::Json => false,
            Format::Ktap | Format::Junit => true,
        }
    }

    /// The parser of `--format` for a command whose result is a list of checks.
    pub fn all() -> impl TypedValueParser<Value = Format> {
        offered(|_| true)
    }

    /// The parser of `--format` for a command whose result is no list of checks.
    pub fn without_checks() -> impl TypedValueParser<Value = Format> {
        offered(|format| !format.is_of_checks())
    }

    /// The result in this format.
    ///
    /// # Panics
    /// Where a result without checks is to be written as checks; [`Format::without_checks`] does not
    /// offer that.
    pub fn write(self, report: &impl Report, verbose: bool) -> Vec<u8> {
        // The host of a guest gets the result as JSON, too.
        crate::vm::guest::hand_over(report);
        let mut out = Vec::new();
        let checks = || report.checks().expect("offered for results with checks only");
        match self {
            Format::Text => report.text(&mut out, verbose),
            Format::Json => json::write(&mut out, report),
            Format::Ktap => ktap::write(&mut out, &checks(), verbose),
            Format::Junit => junit::write(&mut out, &checks()),
        }
        .expect("plain data into memory");
        out
    }

    /// The exit code that says the same as what was written; `exit` is that of the result itself.
    ///
    /// In a list of checks an undecided check is a skip and does not count. A signal and an
    /// internal error go before the checks.
    pub fn exit(self, report: &impl Report, exit: Exit) -> Exit {
        match (exit, report.checks().filter(|_| self.is_of_checks())) {
            (Exit::Upheld | Exit::Violated | Exit::Undecided | Exit::Untestable, Some(checks)) => {
                checks.totals().exit()
            }
            _ => exit,
        }
    }
}

fn offered(fits: fn(Format) -> bool) -> impl TypedValueParser<Value = Format> {
    let word = |format: &Format| format.to_possible_value().expect("no format is hidden");
    let offered = Format::value_variants().iter().filter(|format| fits(**format)).map(word);
    PossibleValuesParser::new(offered)
        .map(|word| Format::from_str(&word, false).expect("one of those offered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_is_not_offered_is_refused_with_those_that_are() {
        let command = |format: &str| {
            clap::Command::new("probe")
                .arg(clap::Arg::new("format").long("format").value_parser(Format::without_checks()))
                .try_get_matches_from(["probe", "--format", format])
        };
        let matches = command("json").unwrap();
        assert_eq!(matches.get_one::<Format>("format"), Some(&Format::Json));
        let refused = command("ktap").unwrap_err().to_string();
        assert!(refused.contains("possible values: text, json]"), "{refused}");
    }
}
