//! The verdict of a run, and the exit code that says it.

use crate::exit::Exit;
use serde::{Deserialize, Serialize};

/// The verdict of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Enough was judged, and all of it was right.
    Upheld,
    /// Enough was judged, and there was no violation but those that `--allow` names.
    Allowed,
    /// A rule was broken.
    Violated,
    /// Too little was judged.
    Undecided,
    /// Not testable here.
    Untestable,
}

impl Verdict {
    /// The words used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Upheld => "upheld",
            Verdict::Allowed => "allowed",
            Verdict::Violated => "violated",
            Verdict::Undecided => "undecided",
            Verdict::Untestable => "not testable here",
        }
    }

    /// The verdict of several: a violation outweighs doubt, and what could not be tested counts
    /// only where nothing else was.
    pub fn of(all: impl IntoIterator<Item = Verdict>) -> Verdict {
        let weight = |verdict: &Verdict| match verdict {
            Verdict::Untestable => 0,
            Verdict::Upheld => 1,
            Verdict::Allowed => 2,
            Verdict::Undecided => 3,
            Verdict::Violated => 4,
        };
        all.into_iter().max_by_key(weight).unwrap_or(Verdict::Untestable)
    }

    /// The exit code of a run with this verdict. A signal that ended the run goes before it.
    pub fn exit(self, signal: Option<i32>) -> Exit {
        match (signal, self) {
            (Some(number), _) => Exit::of_signal(number),
            (_, Verdict::Violated) => Exit::Violated,
            (_, Verdict::Undecided) => Exit::Undecided,
            (_, Verdict::Untestable) => Exit::Untestable,
            (_, Verdict::Upheld | Verdict::Allowed) => Exit::Upheld,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;
    use super::*;

    #[test]
    fn a_violation_outweighs_all_and_what_was_not_tested_nothing() {
        assert_eq!(Verdict::of([Upheld, Violated, Undecided]), Violated);
        assert_eq!(Verdict::of([Upheld, Undecided, Untestable]), Undecided);
        assert_eq!(Verdict::of([Untestable, Upheld]), Upheld);
        assert_eq!(Verdict::of([Untestable, Untestable]), Untestable);
        assert_eq!(Verdict::of([]), Untestable);
    }

    #[test]
    fn a_signal_goes_before_the_verdict() {
        assert_eq!(Violated.exit(None), Exit::Violated);
        assert_eq!(Violated.exit(Some(libc::SIGTERM)), Exit::Terminated);
        assert_eq!(Allowed.exit(None), Exit::Upheld);
    }
}
