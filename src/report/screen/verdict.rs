//! The first rows and what the verdict rests on.

use super::super::data::{Ending, Score, StormReport};
use super::super::gather::{FEWEST_CHECKED, MOST_UNDECIDED_PER_MILLE};
use super::super::text::style;
use super::super::verdict::Verdict;
use super::{COLUMNS, MARGIN, Room, clipped, named, short, wrapped_to};
use crate::count::counted;
use crate::oracle::{Class, Contract};

/// The fewest columns that the kernel's release keeps.
const KERNEL: usize = 12;

/// The verdict with kernel, machine and run, and a sentence that says what it comes to.
pub(super) fn head(report: &StormReport, room: Room) -> Vec<String> {
    let doubt = doubt(report);
    let mut word = report.verdict.word().to_uppercase();
    if doubt.is_some() {
        word += ", BUT HARDLY TESTED";
    }
    let style = match doubt {
        Some(_) => style(Verdict::Undecided),
        None => style(report.verdict),
    };
    let said = match (report.verdict, doubt) {
        (Verdict::Violated, _) => violated(report),
        (Verdict::Undecided, _) => undecided(report),
        (Verdict::Untestable, _) => "Nothing could be tested here.".into(),
        (_, Some(doubt)) => format!("No line was wrong, but {doubt}."),
        (Verdict::Upheld, None) => {
            format!("No line was wrong by the contract \"{}\".", contract(report))
        }
        (Verdict::Allowed, None) => match report.allowed_violations {
            1 => "There was no violation but an allowed one.".into(),
            allowed => format!("There was no violation but {allowed} allowed ones."),
        },
    };
    let mut rows =
        vec![format!("{style}{word}{style:#}  {}", run(report, COLUMNS - word.len() - 2))];
    let said = wrapped_to(&said, COLUMNS - 2, room.note);
    rows.extend(said.into_iter().map(|row| format!("  {row}")));
    rows
}

/// Why a run without violations is no clean bill. On one CPU a promise is tried under preemption
/// only: no clean bill, and no failure either.
fn doubt(report: &StormReport) -> Option<String> {
    let clean = matches!(report.verdict, Verdict::Upheld | Verdict::Allowed);
    report.overlap.doubt().filter(|_| clean)
}

pub(super) fn contract(report: &StormReport) -> Contract {
    report.header.contract.unwrap_or_default()
}

/// Kernel, machine and run in so many columns; what is said elsewhere, too, goes first.
fn run(report: &StormReport, most: usize) -> String {
    let header = &report.header;
    let parts = [
        format!(" {}", header.arch),
        format!(", {}", counted(header.cpus, "CPU")),
        format!(", {:.1} s", report.elapsed_ms as f64 / 1000.0),
        format!(", {}", counted(report.threads, "thread")),
        format!(", seed {}", header.seed_word()),
    ];
    let mut parts = &parts[..];
    let width = |parts: &[String]| "Linux ".len() + parts.iter().map(String::len).sum::<usize>();
    while width(parts) + header.kernel.len().min(KERNEL) > most && !parts.is_empty() {
        parts = &parts[..parts.len() - 1];
    }
    let kernel = clipped(&header.kernel, most.saturating_sub(width(parts)));
    format!("Linux {kernel}{}", parts.concat())
}

/// What the alarming violations are, the most frequent class first.
fn violated(report: &StormReport) -> String {
    let mut classes: Vec<(&str, u64)> = Vec::new();
    for violation in report.violations.iter().filter(|violation| !violation.allowed) {
        match classes.iter_mut().find(|(class, _)| *class == violation.class) {
            Some((_, count)) => *count += violation.count,
            None => classes.push((violation.class, violation.count)),
        }
    }
    classes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let said: Vec<&str> = classes.iter().map(|(class, _)| what(class)).collect();
    match &said[..] {
        [] => "A promise was broken.".into(),
        [one] => format!("{}.", sentence(one)),
        [one, two] => format!("{}; {two}.", sentence(one)),
        [one, two, more @ ..] => {
            format!("{}; {two}; and {} more.", sentence(one), more.len())
        }
    }
}

fn sentence(words: &str) -> String {
    words[..1].to_uppercase() + &words[1..]
}

/// What a class of violations comes to.
fn what(class: &str) -> &'static str {
    match class.parse() {
        Ok(Class::Hole) => "mappings that were there all the time were left out",
        Ok(Class::Torn) => "a line was made of two mappings",
        Ok(Class::Stale) => "a line was true only before the read",
        Ok(Class::Unknown) => "a line was never true",
        Ok(Class::Disorder) => "a line was older than what was read before it",
        Ok(Class::Malformed) => "a line does not parse",
        Ok(Class::Truncated) => "the file ended too early",
        Ok(Class::Mismatch) => "the kernel left a layout that no rule predicts",
        Ok(Class::Stall) => "a call did not come back",
        Ok(Class::Splat) => "the kernel said that something is wrong with itself",
        Err(_) => "a promise was broken",
    }
}

/// Why nothing can be said.
fn undecided(report: &StormReport) -> String {
    if let Ending::Lost(why) = &report.ended {
        return format!("It could not go on: {why}");
    }
    let windows = report.windows;
    if report.undecided * 1000 > windows * MOST_UNDECIDED_PER_MILLE {
        return format!(
            "Of {} windows {} could not be judged: more than {} of 1000.",
            windows, report.undecided, MOST_UNDECIDED_PER_MILLE
        );
    }
    if report.checked_lines < FEWEST_CHECKED {
        return format!(
            "Only {} judged; it takes {FEWEST_CHECKED}.",
            match report.checked_lines {
                1 => "1 line was".into(),
                lines => format!("{lines} lines were"),
            }
        );
    }
    "No operation was under way while anything was read.".into()
}

/// The promises of the contract: which were broken, which kept, and which nothing put to the test.
pub(super) fn promises(report: &StormReport) -> Vec<String> {
    let asked = || report.scorecard.iter().filter(|score| score.asked);
    let broken: Vec<&Score> = asked().filter(|score| score.broken > 0).collect();
    let untested: Vec<&str> = asked()
        .filter(|score| score.broken == 0 && score.checked == 0)
        .map(|score| score.promise)
        .collect();
    let kept = asked().count() - broken.len() - untested.len();
    let mut said = match broken.is_empty() {
        true => format!("all {kept} that were tested were kept"),
        false => {
            let named =
                broken.iter().map(|score| format!("{} {}", score.promise, short(score.broken)));
            format!("broken: {}; kept: the other {kept}", named.collect::<Vec<_>>().join(", "))
        }
    };
    if !untested.is_empty() {
        said += &format!("; not tested: {}", untested.join(", "));
    }
    let rows = wrapped_to(&said, COLUMNS - MARGIN, 3);
    let name = |at| if at == 0 { "promises" } else { "" };
    rows.iter().enumerate().map(|(at, row)| named(name(at), row)).collect()
}

/// How much was judged, and how much could not be.
pub(super) fn judged(report: &StormReport) -> String {
    let words = format!(
        "{} lines; {} of {} windows undecided; {}",
        short(report.checked_lines),
        short(report.undecided),
        short(report.windows),
        counted(report.standstills.checked, "standstill"),
    );
    named("judged", &words)
}

/// How much there was to see.
pub(super) fn raced(report: &StormReport) -> String {
    let words = format!(
        "readers and mutators at once {:.1} % of the time; {} operations/s",
        report.overlap.overlap_percent,
        short(report.operations.total * 1000 / report.elapsed_ms.max(1)),
    );
    named("raced", &words)
}

/// Calls that failed because there was no room for another vma, where the storm came up to that.
pub(super) fn at_limit(report: &StormReport) -> Option<String> {
    let failed = report.operations.failed_at_limit.filter(|at| at.unchanged + at.half_done > 0)?;
    let (all, half) = (short(failed.unchanged + failed.half_done), short(failed.half_done));
    Some(named(
        "limit",
        &format!("{all} calls failed at vm.max_map_count, {half} may be half done"),
    ))
}

/// What stricter contracts would say.
pub(super) fn stricter(report: &StormReport) -> Option<String> {
    let beyond = |contract: Contract| {
        let of = |score: &&Score| score.contract == contract && !score.asked;
        let broken: u64 = report.scorecard.iter().filter(of).map(|score| score.broken).sum();
        (broken > 0).then(|| format!("{contract} {}", short(broken)))
    };
    let said: Vec<String> =
        [Contract::Documented, Contract::Snapshot].into_iter().filter_map(beyond).collect();
    (!said.is_empty()).then(|| {
        named("stricter", &format!("contracts were broken, not asked for: {}", said.join(", ")))
    })
}
