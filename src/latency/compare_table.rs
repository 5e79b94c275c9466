//! A comparison for people.

use super::compare::{Cell, Comparison, Line};
use super::contrast::{CallRatios, Contrast, Ratio};
use super::figures::us;
use super::figures::{Averages, Latencies, QUANTILES, Rates, median_of_maxima};
use super::outcome::Column;
use crate::count::counted;
use crate::report::TextTable;
use std::fmt::Write;

/// The whole report.
pub fn table(comparison: &Comparison) -> String {
    let mut text = head(comparison);
    for line in &comparison.lines {
        text.push('\n');
        text += &of_line(comparison, line);
    }
    if !comparison.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &comparison.warnings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// Letters for results: A, B, ..., then numbers.
pub fn letter(result: usize) -> String {
    match u8::try_from(result) {
        Ok(small @ 0..26) => char::from(b'A' + small).to_string(),
        _ => result.to_string(),
    }
}

fn head(comparison: &Comparison) -> String {
    let (mut text_table, mut commands) = (TextTable::new("llr"), String::new());
    for (result, named) in comparison.results.iter().enumerate() {
        let (machine, header) = (&named.outcome.machine, &named.outcome.header);
        text_table.row([
            letter(result),
            named.name.clone(),
            format!("kernel {}", header.kernel),
            counted(machine.cpus_online, "CPU").to_string(),
            machine.platform(),
            format!("clock {}", machine.clock_source),
        ]);
        commands += &format!("{}  {}\n", letter(result), header.command);
    }
    let confidence = comparison.resampling.confidence;
    format!(
        "{}{commands}ratios are to the first result that has the line, or to the result's own control, with {confidence} % intervals from {} resamplings\n",
        text_table.text(),
        comparison.resampling.draws
    )
}

fn of_line(comparison: &Comparison, line: &Line) -> String {
    let mut text_table = TextTable::new("llr");
    let heading = ["us", &*line.label].map(str::to_owned);
    text_table.row(heading.into_iter().chain((0..line.cells.len()).map(letter)));
    for (call, name) in ["mmap", "munmap"].into_iter().enumerate() {
        call_rows(&mut text_table, comparison, line, call, name);
    }
    let average = |column: &Column| Averages::of(column).map(|averages| us(averages.median));
    row(&mut text_table, comparison, line, ["all", "median average"], average);
    ratio_rows(&mut text_table, line, |contrast| &contrast.average);
    let worst = |column: &Column| median_of_maxima(column).map(us);
    row(&mut text_table, comparison, line, ["", "median maximum"], worst);
    ratio_rows(&mut text_table, line, |contrast| &contrast.worst);
    row(&mut text_table, comparison, line, ["", "scans/s"], |column| {
        Rates::of(column).map(|rates| format!("{:.1}", rates.scans_per_s))
    });
    row(&mut text_table, comparison, line, ["", "samples"], |column| {
        Some(column.samples.len().to_string())
    });
    row(&mut text_table, comparison, line, ["", "hangs"], |column| {
        Some(column.hangs.len().to_string())
    });
    text_table.text()
}

fn call_rows(
    text_table: &mut TextTable,
    comparison: &Comparison,
    line: &Line,
    call: usize,
    name: &str,
) {
    let names = QUANTILES.map(|(_, name)| name);
    let figures = |column: &Column| {
        let pooled = column.pooled();
        Latencies::of(if call == 0 { &pooled.mmap } else { &pooled.munmap })
    };
    for (i, figure) in names.into_iter().chain(["max"]).enumerate() {
        let first = if i == 0 { name } else { "" };
        row(text_table, comparison, line, [first, figure], |column| {
            let latencies = figures(column);
            let ns = latencies.quantiles_ns.get(i).unwrap_or(&latencies.max_ns);
            (latencies.calls > 0).then(|| us(*ns as f64))
        });
        ratio_rows(text_table, line, |contrast| &ratios(contrast, call)[i]);
    }
    row(text_table, comparison, line, ["", "calls"], |column| {
        Some(figures(column).calls.to_string())
    });
}

fn ratios(contrast: &Contrast, call: usize) -> &CallRatios {
    if call == 0 { &contrast.mmap } else { &contrast.munmap }
}

fn row(
    text_table: &mut TextTable,
    comparison: &Comparison,
    line: &Line,
    heading: [&str; 2],
    figure: impl Fn(&Column) -> Option<String>,
) {
    let cells = line.cells.iter().enumerate().map(|(result, cell)| {
        let column = cell.as_ref().map(|cell| comparison.column(result, cell));
        column.and_then(&figure).unwrap_or("-".to_owned())
    });
    text_table.row(heading.map(str::to_owned).into_iter().chain(cells));
}

/// One of the contrasts of a cell.
type Side = fn(&Cell) -> &Option<Contrast>;

fn ratio_rows(text_table: &mut TextTable, line: &Line, pick: impl Fn(&Contrast) -> &Ratio) {
    let kinds: [(&str, Side); 2] =
        [("  to first", |cell| &cell.to_first), ("  to control", |cell| &cell.to_control)];
    for (heading, contrast) in kinds {
        let cells: Vec<String> = line
            .cells
            .iter()
            .map(|cell| {
                let contrast = cell.as_ref().and_then(|cell| contrast(cell).as_ref());
                contrast.map_or(String::new(), |contrast| pick(contrast).to_string())
            })
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            text_table.row(["", heading].map(str::to_owned).into_iter().chain(cells));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::{Named, held_together};
    use super::super::resample::Resampling;
    use super::super::synthetic;
    use super::*;

    #[test]
    fn results_stand_side_by_side_with_both_ratios() {
        let named = |name: &str, main| Named {
            name: name.to_owned(),
            outcome: synthetic::outcome(&[1000; 6], &[main; 6]),
        };
        let results = vec![named("old.json", 4000), named("new.json", 2000)];
        let text = table(&held_together(results, Resampling::default()));
        let main = text.split("us      maps").nth(1).unwrap();
        let words = |line: usize| -> Vec<&str> {
            main.lines().nth(line).unwrap().split_whitespace().collect()
        };
        assert_eq!(words(0), ["A", "B"]);
        assert_eq!(words(1), ["mmap", "p50", "4.00", "2.00"]);
        assert_eq!(words(2), ["to", "first", "x0.50", "[0.50..0.50]"]);
        assert_eq!(words(3), ["to", "control", "x4.00", "[4.00..4.00]", "x2.00", "[2.00..2.00]"]);
        assert!(text.starts_with("A  old.json"));
        assert!(main.contains("scans/s") && main.contains("hangs"));
    }

    #[test]
    fn letters_run_out_into_numbers() {
        assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "26"]);
    }
}
