//! A result for people.

use super::contrast::{CallRatios, Contrast, Ratio, contrast};
use super::figures::us;
use super::figures::{Averages, Latencies, QUANTILES, Rates, median_of_maxima};
use super::hang;
use super::outcome::{Column, Ended, Outcome};
use super::overhead::LIMIT_NS;
use super::plan::Role;
use super::resample::{Interval, Resampling};
use crate::count::counted;
use crate::host::cpu_list;
use crate::report::TextTable;
use std::fmt::Write;

/// The whole report.
pub fn table(outcome: &Outcome) -> String {
    let contrasts = contrasts(outcome);
    let parts = [
        head(outcome),
        latencies(outcome, &contrasts),
        averages(outcome, &contrasts),
        rates(outcome),
        hangs(outcome),
        warnings(outcome),
        foot(outcome),
    ];
    let told: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    told.join("\n")
}

/// Every column against the control; `None` for the control itself.
fn contrasts(outcome: &Outcome) -> Vec<Option<Contrast>> {
    let control = outcome.column(Role::Control);
    let against = |column: &Column| match (control, column.role) {
        (Some(control), Role::Main | Role::Against) => {
            Some(contrast(control, column, Resampling::default()))
        }
        _ => None,
    };
    outcome.columns.iter().map(against).collect()
}

/// Where, how, and what measuring costs.
fn head(outcome: &Outcome) -> String {
    let (machine, setup) = (&outcome.machine, &outcome.setup);
    let (header, placement) = (&outcome.header, &setup.placement);
    let busy = match setup.busy_ms {
        0 => "no busy threads".to_owned(),
        ms => format!("busy threads spin {ms} ms, sleep 1 ms"),
    };
    format!(
        "# {}\n\
         kernel {} {}, {}, {}, clock {}\n\
         mapper on CPU {}, {} (nice {}) on CPU {}, {busy}\n\
         region {} MiB, samples of {} s, {} in each column\n\
         a clock reading costs {:.0} ns, clock and loop together {:.0} ns a call (limit {LIMIT_NS:.0})\n",
        header.command,
        header.kernel,
        header.arch,
        counted(machine.cpus_online, "CPU"),
        machine.platform(),
        machine.clock_source,
        placement.mapper_cpu,
        counted(setup.scanners, "scanner"),
        setup.scanner_nice,
        cpu_list(&placement.scanner_cpus),
        setup.region_bytes >> 20,
        setup.duration_ms / 1e3,
        setup.nsamples,
        outcome.overhead.clock_ns,
        outcome.overhead.loop_ns,
    )
}

fn latencies(outcome: &Outcome, contrasts: &[Option<Contrast>]) -> String {
    let mut text_table = TextTable::new("llr");
    let quantiles = QUANTILES.map(|(_, name)| name);
    text_table.row(["us", "beside"].into_iter().chain(quantiles).chain(["max", "calls", "failed"]));
    let pooled: Vec<_> = outcome.columns.iter().map(Column::pooled).collect();
    for call in ["mmap", "munmap"] {
        let mut name = call;
        for ((column, tally), contrast) in outcome.columns.iter().zip(&pooled).zip(contrasts) {
            let (series, ratios) = match call {
                "mmap" => (&tally.mmap, contrast.as_ref().map(|c| &c.mmap)),
                _ => (&tally.munmap, contrast.as_ref().map(|c| &c.munmap)),
            };
            latency_row(&mut text_table, name, &column.label, &Latencies::of(series));
            name = "";
            if let Some(ratios) = ratios {
                ratio_rows(&mut text_table, ratios);
            }
        }
    }
    text_table.text()
}

fn latency_row(text_table: &mut TextTable, call: &str, label: &str, figures: &Latencies) {
    let mut cells = vec![call.to_owned(), label.to_owned()];
    if figures.calls == 0 {
        cells.extend(std::iter::repeat_n("-".to_owned(), 5));
    } else {
        cells.extend(figures.quantiles_ns.map(|ns| us(ns as f64)));
        cells.push(us(figures.max_ns as f64));
    }
    cells.push(figures.calls.to_string());
    cells.push(figures.failed.to_string());
    text_table.row(cells);
}

fn ratio_rows(text_table: &mut TextTable, ratios: &CallRatios) {
    let ratio = |r: &Ratio| r.ratio.map_or("-".to_owned(), |ratio| format!("x{ratio:.2}"));
    text_table
        .row(["", "  / control"].map(str::to_owned).into_iter().chain(ratios.iter().map(ratio)));
    if ratios.iter().all(|ratio| ratio.interval.is_none()) {
        return;
    }
    let intervals = ratios.iter().map(interval);
    text_table.row(["", "  95 %"].map(str::to_owned).into_iter().chain(intervals));
}

fn interval(ratio: &Ratio) -> String {
    match ratio.interval {
        Some(Interval { low, high }) => format!("{low:.2}..{high:.2}"),
        None => "-".to_owned(),
    }
}

fn averages(outcome: &Outcome, contrasts: &[Option<Contrast>]) -> String {
    let mut text_table = TextTable::new("llr");
    text_table.row([
        "us",
        "samples'",
        "averages: median",
        "min",
        "max",
        "/ control",
        "95 %",
        "maxima: median",
        "samples",
        "hangs",
    ]);
    for (column, contrast) in outcome.columns.iter().zip(contrasts) {
        let mut cells = vec![String::new(), column.label.clone()];
        match Averages::of(column) {
            Some(Averages { median, min, max }) => cells.extend([median, min, max].map(us)),
            None => cells.extend(["-", "-", "-"].map(str::to_owned)),
        }
        let average = contrast.as_ref().map(|contrast| contrast.average);
        let ratio = average.and_then(|average| average.ratio);
        cells.push(ratio.map_or(String::new(), |ratio| format!("x{ratio:.2}")));
        cells.push(average.as_ref().map_or(String::new(), interval));
        cells.push(median_of_maxima(column).map_or("-".to_owned(), us));
        cells.push(column.samples.len().to_string());
        cells.push(column.hangs.len().to_string());
        text_table.row(cells);
    }
    text_table.text()
}

fn rates(outcome: &Outcome) -> String {
    let mut text_table = TextTable::new("llr");
    text_table.row([
        "scanners",
        "",
        "scans/s",
        "MiB/s",
        "calls/s",
        "fewest scans of one",
        "longest scan ms",
    ]);
    let mut some = false;
    for column in &outcome.columns {
        if let Some(rates) = Rates::of(column) {
            some = true;
            text_table.row([
                String::new(),
                column.label.clone(),
                format!("{:.1}", rates.scans_per_s),
                format!("{:.2}", rates.mib_per_s),
                format!("{:.0}", rates.calls_per_s),
                rates.fewest_scans.to_string(),
                format!("{:.1}", rates.longest_scan_ns as f64 / 1e6),
            ]);
        }
    }
    if some { text_table.text() } else { String::new() }
}

/// The hangs, with their evidence.
pub fn hangs(outcome: &Outcome) -> String {
    let mut text = String::new();
    for column in &outcome.columns {
        for hang in &column.hangs {
            text += "HANG: ";
            text += &hang::describe(hang, &column.label);
        }
    }
    text
}

/// The warnings, one a line.
pub fn warnings(outcome: &Outcome) -> String {
    let mut text = String::new();
    for warning in &outcome.warnings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// How it ended, and the command to do it again.
pub fn foot(outcome: &Outcome) -> String {
    let how = match outcome.ended {
        Ended::Complete => "complete",
        Ended::Running => "not yet ended",
        Ended::Interrupted => "interrupted; these are the figures until then",
        Ended::Hang => "ended by a hang",
    };
    let seconds = outcome.elapsed_ms / 1e3;
    let (seed, command) = (outcome.header.seed_word(), &outcome.header.command);
    format!("# {how}, {seconds:.1} s, seed {seed}: {command}\n")
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn the_table_shows_both_calls_apart_with_their_counts() {
        let mut outcome = synthetic::outcome(&[1000; 6], &[2000; 6]);
        for sample in &mut outcome.columns[1].samples {
            sample.tally.munmap = Default::default();
            sample.tally.munmap.record(500, true);
        }
        let text = latencies(&outcome, &contrasts(&outcome));
        let words = |line: usize| -> Vec<&str> {
            text.lines().nth(line).unwrap().split_whitespace().collect()
        };
        assert_eq!(words(0)[2..], ["p50", "p90", "p99", "p99.9", "max", "calls", "failed"]);
        assert_eq!(
            words(1),
            ["mmap", "control", "1.00", "1.00", "1.00", "1.00", "2.00", "6000", "0"]
        );
        assert_eq!(words(2), ["maps", "2.00", "2.00", "2.00", "2.00", "3.00", "6000", "0"]);
        assert_eq!(words(3), ["/", "control", "x2.00", "x2.00", "x2.00", "x2.00", "x1.50"]);
        assert_eq!(words(4)[2], "2.00..2.00");
        assert_eq!(words(6), ["maps", "0.50", "0.50", "0.50", "0.50", "0.50", "6", "6"]);
    }

    #[test]
    fn averages_and_scanner_rates_are_there() {
        let outcome = synthetic::outcome(&[1000, 1000], &[2000, 4000]);
        let text = table(&outcome);
        let row = |label: &str, nth: usize| -> Vec<String> {
            let mut lines = text.lines().filter(|line| line.trim_start().starts_with(label));
            let line = lines.nth(nth).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        // `maps` heads a row of mmap, munmap, averages and rates, in this order.
        assert_eq!(row("maps", 2)[1..5], ["3.00", "2.00", "4.00", "x3.00"]);
        assert_eq!(row("maps", 3)[1..], ["20.0", "2.00", "200", "20", "5.0"]);
        assert!(text.starts_with("# mapstorm latency --duration 1\n"));
        assert!(text.ends_with("seed 0x2a: mapstorm latency --duration 1\n"));
    }

    #[test]
    fn a_column_without_samples_is_dashes() {
        let outcome = synthetic::outcome(&[], &[]);
        assert!(table(&outcome).contains("-"));
    }
}
