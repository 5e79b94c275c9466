//! A result as proc-mmap_sem-test's `run-proc-vs-map.sh --rawdata` prints it.

use super::figures::{Averages, average_ns, max_ns};
use super::outcome::{Column, Outcome};
use super::plan::Role;
use super::table;

/// For each sample of the main column: the median of the averages, this sample's average and its
/// maximum, in ms, sorted by the maximum. The control's lines follow behind `# control `.
pub fn rawdata(outcome: &Outcome) -> String {
    let mut text = format!("# {}\n", outcome.header.command);
    for (role, prefix) in [(Role::Main, ""), (Role::Control, "# control ")] {
        for line in outcome.column(role).map(raw_lines).unwrap_or_default() {
            text += prefix;
            text += &line;
        }
    }
    let told = table::hangs(outcome) + &table::warnings(outcome);
    for line in told.lines() {
        text += &format!("# {line}\n");
    }
    text + &table::foot(outcome)
}

fn raw_lines(column: &Column) -> Vec<String> {
    let samples = column.samples.iter();
    let mut rows: Vec<(u64, f64)> =
        samples.filter_map(|sample| Some((max_ns(sample), average_ns(sample)?))).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let median = Averages::of(column).map_or(0.0, |averages| averages.median);
    rows.iter()
        .map(|&(max, average)| {
            format!("{:.3} {:.3} {:.3}\n", median / 1e6, average / 1e6, max as f64 / 1e6)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn lines_look_like_those_of_the_original() {
        let outcome = synthetic::outcome(&[4_000, 4_000], &[9_000, 7_000, 1_000_000]);
        assert_eq!(
            rawdata(&outcome),
            "# mapstorm latency --duration 1\n\
             0.009 0.007 0.008\n\
             0.009 0.009 0.010\n\
             0.009 1.000 1.001\n\
             # control 0.004 0.004 0.005\n\
             # control 0.004 0.004 0.005\n\
             # complete, 5.0 s, seed 0x2a: mapstorm latency --duration 1\n"
        );
    }

    #[test]
    fn without_samples_there_are_no_lines() {
        assert_eq!(rawdata(&synthetic::outcome(&[], &[])).lines().count(), 2);
    }
}
