//! What was seen of the cases, as data; the JSON form is this structure.

use super::checks::checklist;
use super::place::{Interface, Position};
use super::proof::Proof;
use super::table::{Foreseen, Spec};
use super::text;
use crate::count::counted;
use crate::engine::Overlap;
use crate::exit::Exit;
use crate::header::Header;
use crate::host::MapsLocking;
use crate::oracle::Mechanism;
use crate::report::checks::Checklist;
use crate::report::{FEWEST_CHECKED, MOST_UNDECIDED_PER_MILLE, OverlapReport, Report, Verdict};
use serde::Serialize;
use std::io;

/// Why a run that judged so much says nothing, if it does not; more of it may say something.
pub(super) fn too_little(lines: u64, windows: u64, undecided: u64) -> Option<String> {
    if undecided * 1000 > windows * MOST_UNDECIDED_PER_MILLE {
        let windows = counted(windows, "window");
        return Some(format!("{undecided} of {windows} could not be judged"));
    }
    (lines < FEWEST_CHECKED)
        .then(|| format!("only {} judged, and it takes {FEWEST_CHECKED}", counted(lines, "line")))
}

/// The version of the JSON form.
const SCHEMA_VERSION: u32 = 2;

/// Violations with one signature.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Violation {
    /// `class/mechanism/operations/reader`.
    pub signature: String,
    /// The mechanism that explains it, where one does.
    pub mechanism: Option<Mechanism>,
    /// How many.
    pub count: u64,
    /// When the first was found.
    pub first_at_ms: f64,
    /// The first in full, for people.
    pub example: Vec<String>,
    /// Why there is no example, when a reader found the violation and none could be kept.
    pub no_example: Option<&'static str>,
}

/// One case raced: one way of reading, one place of the boundary.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RunReport {
    /// What it was read through.
    pub interface: Interface,
    /// Where the page of output ended.
    pub position: Position,
    /// How long it went on.
    pub elapsed_ms: u64,
    /// How often the operations went round.
    pub cycles: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Read calls and queries.
    pub calls: u64,
    /// Walks from a seek on.
    pub walks: u64,
    /// Lines and answers judged.
    pub checked_lines: u64,
    /// Calls judged.
    pub windows: u64,
    /// Calls that could not be judged.
    pub undecided: u64,
    /// Walks and queries that showed the state before the operation.
    pub before: u64,
    /// Those that showed the state after it.
    pub after: u64,
    /// Walks that showed some of both.
    pub mixed: u64,
    /// VMAs reported again after they changed.
    pub twice: u64,
    /// Gaps followed by the VMA that filled them.
    pub gap_then_vma: u64,
    /// Lines made below the lanes to bring the end of the page where it was.
    pub padding_lines: usize,
    /// Whether the page still ended there after the run, where it was to end somewhere.
    pub aimed: Option<bool>,
    /// How long the reader and the mutator ran, and at once.
    #[serde(skip)]
    pub overlap: Overlap,
    /// What it says.
    pub verdict: Verdict,
    /// Why it says nothing, where it does not.
    pub why: Option<String>,
    /// Whether that is because too little of it could be judged, so that more of it may do.
    #[serde(skip)]
    pub judged_too_little: bool,
    /// What was wrong.
    pub violations: Vec<Violation>,
}

impl RunReport {
    /// A run that could not be.
    pub fn untestable(interface: Interface, position: Position, why: String) -> RunReport {
        RunReport {
            interface,
            position,
            elapsed_ms: 0,
            cycles: 0,
            failed: 0,
            calls: 0,
            walks: 0,
            checked_lines: 0,
            windows: 0,
            undecided: 0,
            before: 0,
            after: 0,
            mixed: 0,
            twice: 0,
            gap_then_vma: 0,
            padding_lines: 0,
            aimed: None,
            overlap: Overlap::default(),
            verdict: Verdict::Untestable,
            why: Some(why),
            judged_too_little: false,
            violations: Vec::new(),
        }
    }

    /// A run that was left out, because the time was over.
    pub fn left_out(interface: Interface, position: Position) -> RunReport {
        let why = "the time of all runs together was over; --seconds-per-case or, as KTAP, \
                   DURATION gives each its own"
            .to_owned();
        let verdict = Verdict::Undecided;
        RunReport { verdict, ..RunReport::untestable(interface, position, why) }
    }

    /// This run as one with an earlier one, which judged too little and found nothing.
    #[must_use]
    pub fn after(self, earlier: &RunReport) -> RunReport {
        let checked_lines = self.checked_lines + earlier.checked_lines;
        let (windows, undecided) =
            (self.windows + earlier.windows, self.undecided + earlier.undecided);
        let too_little = too_little(checked_lines, windows, undecided);
        // Where there is no other doubt, and no violation, it goes by the sums.
        let sound = self.judged_too_little || self.verdict == Verdict::Upheld;
        let verdict = match &too_little {
            Some(_) if sound => Verdict::Undecided,
            None if sound => Verdict::Upheld,
            _ => self.verdict,
        };
        RunReport {
            elapsed_ms: self.elapsed_ms + earlier.elapsed_ms,
            cycles: self.cycles + earlier.cycles,
            failed: self.failed + earlier.failed,
            calls: self.calls + earlier.calls,
            walks: self.walks + earlier.walks,
            checked_lines,
            windows,
            undecided,
            overlap: [self.overlap, earlier.overlap].into_iter().sum(),
            before: self.before + earlier.before,
            after: self.after + earlier.after,
            mixed: self.mixed + earlier.mixed,
            twice: self.twice + earlier.twice,
            gap_then_vma: self.gap_then_vma + earlier.gap_then_vma,
            verdict,
            judged_too_little: sound && too_little.is_some(),
            why: if sound { too_little } else { self.why },
            ..self
        }
    }
}

/// Something the series foresees, and whether it was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outcome {
    /// What.
    pub what: &'static str,
    /// How often, all interfaces together.
    pub seen: u64,
    /// How that is to be read.
    pub note: Option<&'static str>,
}

/// Runs added up.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sum {
    /// Rounds of the loop.
    pub cycles: u64,
    /// Read calls and queries.
    pub calls: u64,
    /// Lines judged.
    pub checked_lines: u64,
    /// Calls that could not be judged.
    pub undecided: u64,
    /// Walks that showed the state before.
    pub before: u64,
    /// Walks that showed the state after.
    pub after: u64,
    /// Walks that showed both.
    pub mixed: u64,
    /// VMAs reported again.
    pub twice: u64,
    /// Gaps and then VMAs.
    pub gap_then_vma: u64,
    /// Violations.
    pub violations: u64,
    /// When the first was found, in its run.
    pub first_at_ms: Option<f64>,
}

impl<'a> FromIterator<&'a RunReport> for Sum {
    fn from_iter<I: IntoIterator<Item = &'a RunReport>>(runs: I) -> Sum {
        runs.into_iter().fold(Sum::default(), |mut sum, run| {
            sum.cycles += run.cycles;
            sum.calls += run.calls;
            sum.checked_lines += run.checked_lines;
            sum.undecided += run.undecided;
            sum.before += run.before;
            sum.after += run.after;
            sum.mixed += run.mixed;
            sum.twice += run.twice;
            sum.gap_then_vma += run.gap_then_vma;
            for violation in &run.violations {
                sum.violations += violation.count;
                let first = sum.first_at_ms.unwrap_or(f64::INFINITY);
                sum.first_at_ms = Some(first.min(violation.first_at_ms));
            }
            sum
        })
    }
}

/// A case.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CaseReport {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// What the series says of it; empty where it says nothing.
    pub series_says: &'static str,
    /// What it foresees, counted.
    pub outcomes: Vec<Outcome>,
    /// Mechanisms of known kernels that this case gives a chance to.
    pub gives_a_chance_to: Vec<Mechanism>,
    /// What the kernel makes of each operation alone; none where it does something else.
    pub proof: Option<Proof>,
    /// Why it is not testable here.
    pub untestable: Option<String>,
    /// What it says.
    pub verdict: Verdict,
    /// One run for each way of reading and place of the boundary.
    pub runs: Vec<RunReport>,
}

impl CaseReport {
    /// The report of a case that was proved and raced, or of one that could not be proved.
    pub fn new(spec: &Spec, proof: Result<Proof, String>, runs: Vec<RunReport>) -> CaseReport {
        let sum: Sum = runs.iter().collect();
        let (proof, untestable) = match proof {
            Ok(proof) => (Some(proof), None),
            Err(why) => (None, Some(why)),
        };
        CaseReport {
            name: spec.name,
            title: spec.title,
            series_says: spec.says,
            outcomes: spec.foreseen.iter().map(|&foreseen| outcome(foreseen, &sum)).collect(),
            gives_a_chance_to: spec.chances.to_vec(),
            proof,
            untestable,
            verdict: Verdict::of(runs.iter().map(|run| run.verdict)),
            runs,
        }
    }

    /// The runs read through one interface, added up.
    pub fn sum(&self, interface: Interface) -> Option<Sum> {
        let mut runs = self.runs.iter().filter(|run| run.interface == interface).peekable();
        runs.peek()?;
        Some(runs.collect())
    }

    /// How long readers and mutators ran, and at once.
    pub fn overlap(&self) -> Overlap {
        self.runs.iter().map(|run| run.overlap).sum()
    }

    /// All violations.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.runs.iter().flat_map(|run| &run.violations)
    }
}

fn outcome(foreseen: Foreseen, sum: &Sum) -> Outcome {
    let (seen, note) = match foreseen {
        Foreseen::Retry => (
            sum.before + sum.after,
            Some("a retry does not show: its sign is the state before or after, and no hole"),
        ),
        Foreseen::Twice => (sum.twice, None),
        Foreseen::GapThenVma => (sum.gap_then_vma, None),
    };
    let unseen = "possible, and not met in the time given";
    Outcome { what: foreseen.word(), seen, note: note.or((seen == 0).then_some(unseen)) }
}

/// All cases that were asked for.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CasesReport {
    /// Version of this form.
    pub schema_version: u32,
    /// The program, the machine and the run.
    #[serde(flatten)]
    pub header: Header,
    /// How maps is read here.
    pub maps_locking: MapsLocking,
    /// How smaps is read here.
    pub smaps_locking: MapsLocking,
    /// Whether each call on maps had to show one instant, beside the rules of the series.
    pub maps_at_once: bool,
    /// Whether each call on smaps had to.
    pub smaps_at_once: bool,
    /// Interfaces this kernel lacks, each with the reason.
    pub without: Vec<[String; 2]>,
    /// How long it all took.
    pub elapsed_ms: u64,
    /// How much of the time a reader and a mutator ran at once, in all runs together.
    pub overlap: OverlapReport,
    /// Heap allocations between start and stop of all runs.
    pub allocations_in_runs: u64,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// What all of it says.
    pub verdict: Verdict,
    /// The cases.
    pub cases: Vec<CaseReport>,
}

impl CasesReport {
    /// The version of the JSON form.
    pub const SCHEMA_VERSION: u32 = SCHEMA_VERSION;

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        self.verdict.exit(self.signal)
    }
}

impl Report for CasesReport {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        text::head(out)?;
        self.cases.iter().try_for_each(|case| text::case(out, case, verbose))?;
        text::last_lines(out, self)
    }

    fn checks(&self) -> Option<Checklist> {
        Some(checklist(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_judged_too_little_say_something_together_when_nothing_else_is_in_doubt() {
        use super::super::place::{Interface, Position};
        let run = |checked_lines, verdict, judged_too_little| RunReport {
            checked_lines,
            verdict,
            judged_too_little,
            ..RunReport::untestable(Interface::Read, Position::Page, "doubt".into())
        };
        let short = run(60, Verdict::Undecided, true);
        let both = run(50, Verdict::Undecided, true).after(&short);
        assert_eq!((both.verdict, both.why, both.checked_lines), (Verdict::Upheld, None, 110));
        let few = run(20, Verdict::Undecided, true).after(&short);
        assert!(few.judged_too_little && few.verdict == Verdict::Undecided);
        let other = run(50, Verdict::Undecided, false).after(&short);
        assert_eq!((other.verdict, other.why.as_deref()), (Verdict::Undecided, Some("doubt")));
        assert_eq!(run(50, Verdict::Violated, false).after(&short).verdict, Verdict::Violated);
        assert_eq!(run(500, Verdict::Upheld, false).after(&short).checked_lines, 560);
        // 4 of 240 windows are too many, of 540 not.
        let doubtful = RunReport { windows: 240, undecided: 4, ..short };
        let more = |windows| RunReport { windows, ..run(500, Verdict::Upheld, false) };
        assert!(more(100).after(&doubtful).judged_too_little);
        assert_eq!(more(300).after(&doubtful).verdict, Verdict::Upheld);
    }
}
