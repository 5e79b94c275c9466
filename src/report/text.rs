//! A run for people.

use super::TextTable;
use super::data::{Ending, FaultersReport, StormReport};
use super::screen::screen;
use super::verdict::Verdict;
use crate::command_line::{as_called, program, quoted};
use crate::count::counted;
use crate::header::Header;
use crate::oracle::Tolerated;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();

/// The colour of a verdict.
pub fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Upheld => GOOD,
        Verdict::Violated => BAD,
        Verdict::Allowed | Verdict::Undecided | Verdict::Untestable => DOUBTFUL,
    }
}

/// The first lines of a run: what and how, and where and when.
///
/// # Errors
/// What writing gave.
pub fn first_lines(out: &mut impl Write, header: &Header) -> io::Result<()> {
    let Header { program, version, commit, kernel, arch, page_size, command, .. } = header;
    writeln!(
        out,
        "# {program} {version} ({commit}) on Linux {kernel} {arch}, {}, pages of {page_size} bytes, \
         seed {}: {command}\n# {}",
        counted(header.cpus, "CPU"),
        header.seed_word(),
        header.place(),
    )
}

/// The report of a storm: a screen of it, and with `verbose` the rest of it below.
///
/// # Errors
/// What writing gave.
pub fn storm(out: &mut impl Write, report: &StormReport, verbose: bool) -> io::Result<()> {
    let program = program();
    out.write_all(screen(report, &program).as_bytes())?;
    if !verbose {
        return Ok(());
    }
    writeln!(out)?;
    first_lines(out, &report.header)?;
    totals(out, report)?;
    workloads(out, report)?;
    scorecard(out, report)?;
    tolerated(out, report)?;
    violations(out, report)?;
    last_lines(out, report, &program)
}

fn totals(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    let seconds = report.elapsed_ms as f64 / 1000.0;
    let per_second = |n: u64| (n as f64 / seconds.max(0.001)) as u64;
    let (ops, reads) = (&report.operations, &report.reads);
    writeln!(
        out,
        "{BOLD}storm{BOLD:#}       {seconds:.1} s, {} ({}), {} of {}, \
         {}contract {}, maps read under {}",
        counted(report.threads, "thread"),
        counted(report.readers, "reader"),
        counted(report.lanes, "lane"),
        counted(report.pages, "page"),
        match report.page_span {
            1 => String::new(),
            span => format!("each {span} pages of memory, "),
        },
        report.header.contract.unwrap_or_default(),
        report.maps_locking.words(),
    )?;
    for [what, why] in &report.dropped {
        writeln!(out, "without     {what}: {why}")?;
    }
    let of = |is: Option<bool>| -> String {
        let words = report.merge_rules.iter().filter(|(_, has)| **has == is);
        words.map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    };
    write!(out, "merging     {}", of(Some(true)))?;
    for (before, is) in [("; not ", Some(false)), ("; undecided: ", None)] {
        let words = of(is);
        if !words.is_empty() {
            write!(out, "{before}{words}")?;
        }
    }
    writeln!(out)?;
    for words in &report.unpredicted {
        writeln!(out, "mismatch    at calibration, {words}")?;
    }
    write!(out, "operations  {} ({}/s), {} failed:", ops.total, per_second(ops.total), ops.failed)?;
    for (kind, count) in ops.by_kind.iter().filter(|(_, count)| **count > 0) {
        write!(out, " {kind} {count}")?;
    }
    if let Some(failed) = ops.failed_at_limit {
        write!(
            out,
            "\nlimit       vm.max_map_count {}: {} failed and left all as it was, {} may be half done",
            failed.max_map_count,
            counted(failed.unchanged, "operation"),
            failed.half_done,
        )?;
    }
    write!(out, "\ncases       merges")?;
    for (number, count) in &ops.cases {
        let splits = if *number == 9 { "; splits" } else { "" };
        write!(out, "{splits} {number}: {count}")?;
    }
    write!(
        out,
        "\nreads       {} ({}/s) in {}, {}, {} failed:",
        counted(reads.calls, "call"),
        per_second(reads.calls),
        counted(reads.walks, "walk"),
        counted(reads.queries, "query"),
        reads.failed
    )?;
    for (mode, count) in reads.by_mode.iter().filter(|(_, count)| **count > 0) {
        write!(out, " {mode} {count}")?;
    }
    writeln!(
        out,
        "\njudged      {} lines and answers in {}, {} of them with operations in flight; \
         {} undecided ({:.4} %)",
        report.checked_lines,
        counted(report.windows, "window"),
        report.busy_windows,
        counted(report.undecided, "window"),
        100.0 * report.undecided as f64 / report.windows.max(1) as f64,
    )?;
    let stands = &report.standstills;
    writeln!(
        out,
        "standstills {} compared, {} differed, {} laid out anew",
        stands.checked,
        counted(stands.mismatches, "lane"),
        stands.repaired
    )?;
    for difference in &stands.differences {
        writeln!(out, "            {difference}")?;
    }
    if let Some(faulters) = &report.faulters {
        writeln!(out, "faulters    {}", faulters_words(faulters))?;
    }
    let log = &report.kernel_log;
    let watched = log.why.as_ref().map_or("watched".into(), |why| format!("not watched: {why}"));
    let taint = |taint: Option<u64>| taint.map_or("unknown".into(), |taint| taint.to_string());
    writeln!(
        out,
        "kernel log  {watched}; taint {} before, {} after",
        taint(log.taint_before),
        taint(log.taint_after)
    )?;
    let outside = &report.outside;
    writeln!(
        out,
        "outside     {} outside of the arena, {} changed between standstills; not judged: {} read, {} \
         missed",
        counted(outside.lines, "line"),
        outside.changed,
        outside.not_judged,
        outside.undecided,
    )?;
    writeln!(out, "overlap     {}", report.overlap.words())?;
    overdue(out, report)?;
    write!(out, "memory      {} MiB at most", report.peak_rss_bytes >> 20)?;
    match report.allocations_in_storm {
        Some(count) => {
            writeln!(out, ", {} between start and stop", counted(count, "heap allocation"))
        }
        None => writeln!(out),
    }
}

/// What the faulters did, in a line.
fn faulters_words(faulters: &FaultersReport) -> String {
    let per_second = |n: u64| n * 1000 / faulters.played_ms.max(1);
    let mut words = format!(
        "{}, in {} ({:.1} s): {} loads, {} faults ({}/s), {} of them refused, {} with an operation \
         under way in the lane",
        faulters.threads,
        counted(faulters.slices, "slice"),
        faulters.played_ms as f64 / 1000.0,
        faulters.loads,
        faulters.faults,
        per_second(faulters.faults),
        faulters.refused,
        faulters.met_operation,
    );
    words += &match &faulters.vma_locks {
        Some(locks) => format!(
            "; under VMA locks, by /proc/vmstat for the whole machine: {} ({}/s), {} aborted, {} \
             retried, {} missed",
            locks.success,
            per_second(locks.success),
            locks.abort,
            locks.retry,
            locks.miss,
        ),
        None => "; counted by the faulters: this kernel does not count VMA locks".into(),
    };
    if let Some(first) = &faulters.first_refused {
        words += &format!(
            "\nrefused     {} that should not have been; the first: {first}",
            counted(faulters.refused_readable, "load"),
        );
    }
    words
}

/// Calls that took too long, although it was not the kernel that kept them.
fn overdue(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    let overdue = &report.overdue_calls;
    if overdue.total() > 0 {
        let longest = overdue.longest_ms as f64 / 1000.0;
        write!(out, "overdue     calls longer than --stall, none a stall, up to {longest:.1} s:")?;
        let mut separator = "";
        for (count, what) in [
            (overdue.waiting_for_cpu, "waited for a CPU"),
            (overdue.stopped, "were stopped"),
            (overdue.user_mode, "ran in user mode"),
            (overdue.undecided, "could not be told from a hang"),
        ] {
            if count > 0 {
                write!(out, "{separator} {count} {what}")?;
                separator = ",";
            }
        }
        writeln!(out)?;
    }
    if report.standstills.missed > 0 {
        writeln!(
            out,
            "            {} did not come about meanwhile",
            counted(report.standstills.missed, "standstill")
        )?;
    }
    Ok(())
}

/// What each workload of slice brought in a second, so that columns compare.
fn workloads(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    let mut table = TextTable::new("lrrrrrrl");
    table.heading(&[
        "workload",
        "slices",
        "ms",
        "a second: changing",
        "told twice",
        "in flight",
        "tears",
    ]);
    for workload in &report.workloads {
        let a_second = |n: u64| n as f64 * 1000.0 / workload.ms.max(1) as f64;
        table.row([
            workload.workload.to_owned(),
            workload.slices.to_string(),
            workload.ms.to_string(),
            format!("{:.0}", a_second(workload.places)),
            format!("{:.1}", a_second(workload.twice)),
            format!("{:.0}", a_second(workload.busy)),
            format!("{:.1}", a_second(workload.tears)),
            workload.about.to_owned(),
        ]);
    }
    write!(out, "\n{}", table.text())
}

fn scorecard(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    let mut table = TextTable::new("lllr");
    table.heading(&["promise", "contract", "tested", "broken"]);
    for score in &report.scorecard {
        let style = match (score.broken, score.asked) {
            (0, _) => GOOD,
            (_, true) => BAD,
            (_, false) => DOUBTFUL,
        };
        let note = if score.asked || score.broken == 0 { "" } else { "(not asked for)" };
        table.row([
            score.promise.to_owned(),
            score.contract.to_string(),
            score.checked.to_string(),
            format!("{style}{}{style:#}", score.broken),
            note.to_owned(),
        ]);
    }
    write!(out, "\n{}", table.text())
}

fn tolerated(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    if report.tolerated.values().all(|&count| count == 0) {
        return Ok(());
    }
    writeln!(
        out,
        "\n{BOLD}tolerated{BOLD:#} (the series allows it; Documentation/filesystems/proc.rst, \
         \"addresses never go backwards\", does not)"
    )?;
    for kind in Tolerated::ALL {
        let count = report.tolerated.get(kind.word()).copied().unwrap_or(0);
        if count > 0 {
            writeln!(out, "  {:<13} {count:>8}  {}", kind.word(), kind.mechanism())?;
        }
    }
    Ok(())
}

fn violations(out: &mut impl Write, report: &StormReport) -> io::Result<()> {
    if report.violations.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{BOLD}violations{BOLD:#}  (class/mechanism/operations in flight/way of reading)"
    )?;
    for violation in &report.violations {
        let style = if violation.allowed { DOUBTFUL } else { BAD };
        writeln!(
            out,
            "  {style}{:<48}{style:#} {:>8}, first after {:.1} ms{}",
            violation.signature,
            counted(violation.count, "time"),
            violation.first_at_ms,
            if violation.allowed { ", allowed" } else { "" },
        )?;
        if let Some(why) = violation.no_example {
            writeln!(out, "    no example: {why}")?;
        }
        for kept in &violation.kept {
            match (&kept.file, &kept.disagreement) {
                (_, Some(why)) => writeln!(out, "    the second checker disagrees: {why}")?,
                (Some(file), None) => writeln!(out, "    {}: {file}", kept.second_checker)?,
                (None, None) => writeln!(out, "    {}, not kept", kept.second_checker)?,
            }
        }
    }
    if report.violations_beyond > 0 {
        writeln!(out, "  and {} with further signatures", report.violations_beyond)?;
    }
    for violation in report.violations.iter().filter(|violation| !violation.example.is_empty()) {
        writeln!(out, "\n{BOLD}first {}{BOLD:#}", violation.signature)?;
        for line in &violation.example {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn last_lines(out: &mut impl Write, report: &StormReport, program: &str) -> io::Result<()> {
    if let Ending::Stall { state, .. } = &report.ended {
        writeln!(out, "\n{BOLD}the thread that did not come back{BOLD:#}\n{state}")?;
    }
    let kept = || report.violations.iter().flat_map(|violation| &violation.kept);
    let mut troubles: Vec<(&str, u64)> = Vec::new();
    for trouble in kept().filter_map(|kept| kept.not_saved.as_deref()) {
        match troubles.iter_mut().find(|(told, _)| *told == trouble) {
            Some((_, times)) => *times += 1,
            None => troubles.push((trouble, 1)),
        }
    }
    writeln!(out)?;
    for (trouble, times) in troubles {
        writeln!(out, "{BAD}{} not saved{BAD:#}: {trouble}", counted(times, "violation"))?;
    }
    writeln!(out, "# again: {}", as_called(&report.header.command, program))?;
    for violation in report.violations.iter().filter(|violation| violation.replays()) {
        for file in violation.kept.iter().filter_map(|kept| kept.file.as_deref()).map(quoted) {
            writeln!(out, "{program} replay {file}")?;
        }
    }
    Ok(())
}
