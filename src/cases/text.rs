//! The cases for people: a table, and what there is to say of each case below it.

use super::place::Interface;
use super::report::{CaseReport, CasesReport, Sum};
use crate::count::counted;
use crate::report::Verdict;
use crate::report::text::style;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();

/// The head of the table.
///
/// # Errors
/// What writing gave.
pub fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{BOLD}{:<13}{:<6} {:>8} {:>8} {:>9} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8}{BOLD:#}",
        "case",
        "",
        "cycles",
        "pages",
        "lines",
        "before",
        "after",
        "twice",
        "gap",
        "wrong",
        "first ms"
    )
}

/// One case: a row for each interface, then what the series says, and what was wrong.
///
/// # Errors
/// What writing gave.
pub fn case(out: &mut impl Write, case: &CaseReport, verbose: bool) -> io::Result<()> {
    if let Some(why) = &case.untestable {
        writeln!(out, "{:<13}{DOUBTFUL}not testable here{DOUBTFUL:#}: {why}", case.name)?;
        return Ok(());
    }
    for (i, interface) in Interface::ALL.into_iter().enumerate() {
        if let Some(sum) = case.sum(interface) {
            let name = if i == 0 || case.sum(Interface::ALL[0]).is_none() { case.name } else { "" };
            row(out, name, interface, &sum)?;
        }
    }
    writeln!(out, "             {}", case.title)?;
    if verbose && let Some(proof) = &case.proof {
        for shown in &proof.steps {
            writeln!(
                out,
                "             proved: {} (case {}): {} -> {}",
                shown.operation,
                shown.case,
                shown.gone.join(" "),
                shown.new.join(" ")
            )?;
        }
    }
    outcomes(out, case)?;
    for run in &case.runs {
        if let Some(why) = &run.why {
            let style = style(run.verdict);
            writeln!(
                out,
                "             {style}{}{style:#} {}.{}: {why}",
                run.verdict.word(),
                run.position,
                run.interface
            )?;
        }
    }
    violations(out, case, verbose)
}

fn row(out: &mut impl Write, name: &str, interface: Interface, sum: &Sum) -> io::Result<()> {
    let wrong = if sum.violations > 0 { BAD } else { GOOD };
    let first = sum.first_at_ms.map_or(String::new(), |ms| format!("{ms:.1}"));
    writeln!(
        out,
        "{name:<13}{interface:<6} {:>8} {:>8} {:>9} {:>8} {:>8} {:>6} {:>6} {wrong}{:>6}{wrong:#} {first:>8}",
        sum.cycles,
        sum.calls,
        sum.checked_lines,
        sum.before,
        sum.after,
        sum.twice,
        sum.gap_then_vma,
        sum.violations,
    )
}

fn outcomes(out: &mut impl Write, case: &CaseReport) -> io::Result<()> {
    if case.series_says.is_empty() {
        return Ok(());
    }
    write!(out, "             the series: \"{}\";", case.series_says)?;
    for outcome in &case.outcomes {
        write!(out, " {} seen {}", outcome.what, counted(outcome.seen, "time"))?;
        if let Some(note) = outcome.note {
            write!(out, " ({note})")?;
        }
        write!(out, ";")?;
    }
    writeln!(out, " nothing else is allowed")
}

fn violations(out: &mut impl Write, case: &CaseReport, verbose: bool) -> io::Result<()> {
    for run in &case.runs {
        for violation in &run.violations {
            writeln!(
                out,
                "             {BAD}{}{BAD:#} {} at {}.{}, first after {:.1} ms",
                violation.signature,
                counted(violation.count, "time"),
                run.position,
                run.interface,
                violation.first_at_ms
            )?;
            if let Some(why) = violation.no_example {
                writeln!(out, "               no example: {why}")?;
            }
        }
    }
    let examples = case.violations().filter(|violation| !violation.example.is_empty());
    for violation in examples.take(if verbose { usize::MAX } else { 1 }) {
        for line in &violation.example {
            writeln!(out, "               {line}")?;
        }
    }
    Ok(())
}

fn at_once(at_once: bool) -> &'static str {
    if at_once { " (each call has to show one instant)" } else { "" }
}

/// What all of it says.
///
/// # Errors
/// What writing gave.
pub fn last_lines(out: &mut impl Write, report: &CasesReport) -> io::Result<()> {
    writeln!(
        out,
        "\nmaps is read under {}{}, smaps under {}{}; all lines and answers are judged by the \
         rules of the series",
        report.maps_locking.words(),
        at_once(report.maps_at_once),
        report.smaps_locking.words(),
        at_once(report.smaps_at_once),
    )?;
    for [what, why] in &report.without {
        writeln!(out, "without {what}: {why}")?;
    }
    let count = |verdict: Verdict| report.cases.iter().filter(|c| c.verdict == verdict).count();
    let style = style(report.verdict);
    write!(
        out,
        "{} {style}{}{style:#}:",
        counted(report.cases.len(), "case"),
        report.verdict.word()
    )?;
    for verdict in [Verdict::Upheld, Verdict::Violated, Verdict::Undecided, Verdict::Untestable] {
        if count(verdict) > 0 {
            write!(out, " {} {},", count(verdict), verdict.word())?;
        }
    }
    let ended = match report.signal {
        Some(number) => format!("signal {number} ended it"),
        None => "its time was over".into(),
    };
    write!(out, " {ended}")?;
    if let Some(doubt) = report.overlap.doubt().filter(|_| report.verdict == Verdict::Upheld) {
        write!(out, ", {doubt}")?;
    }
    writeln!(out, ".")?;
    if let Some(remedy) = report.overlap.remedy(false) {
        writeln!(out, "# {remedy}")?;
    }
    writeln!(out, "# again: {}", report.header.command)
}
