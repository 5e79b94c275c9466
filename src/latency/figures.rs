//! From samples to the numbers that tables show.

use super::outcome::Column;
use super::sample::Sample;
use super::series::Series;

/// The quantiles of every table, with their headings.
pub const QUANTILES: [(f64, &str); 4] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// One line of the main table.
#[derive(Clone, PartialEq, Debug)]
pub struct Latencies {
    /// Calls made.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// The latencies at [`QUANTILES`], in ns.
    pub quantiles_ns: [u64; 4],
    /// The longest, in ns.
    pub max_ns: u64,
}

impl Latencies {
    /// Those of `series`.
    pub fn of(series: &Series) -> Latencies {
        Latencies {
            calls: series.calls,
            failed: series.failed,
            quantiles_ns: QUANTILES.map(|(q, _)| series.quantile_ns(q)),
            max_ns: series.max_ns,
        }
    }
}

/// The mean over both calls of a sample, in ns; `None` without calls.
pub fn average_ns(sample: &Sample) -> Option<f64> {
    let (mmap, munmap) = (&sample.tally.mmap, &sample.tally.munmap);
    let calls = mmap.calls + munmap.calls;
    (calls > 0).then(|| (mmap.sum_ns + munmap.sum_ns) as f64 / calls as f64)
}

/// The longest call of a sample, in ns.
pub fn max_ns(sample: &Sample) -> u64 {
    sample.tally.mmap.max_ns.max(sample.tally.munmap.max_ns)
}

/// The median of the samples' maxima, in ns.
pub fn median_of_maxima(column: &Column) -> Option<f64> {
    let mut maxima: Vec<f64> = column.samples.iter().map(|s| max_ns(s) as f64).collect();
    median(&mut maxima)
}

/// The samples' averages at a glance, in ns.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Averages {
    /// Their median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Averages {
    /// Those of a column; `None` without samples.
    pub fn of(column: &Column) -> Option<Averages> {
        let mut all: Vec<f64> = column.samples.iter().filter_map(average_ns).collect();
        Some(Averages { median: median(&mut all)?, min: *all.first()?, max: *all.last()? })
    }
}

/// The median; sorts `values`. The mean of the two in the middle where their number is even.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(match values.len() % 2 {
        0 => (values[half - 1] + upper) / 2.0,
        _ => upper,
    })
}

/// What the scanners of a column got done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rates {
    /// Scans from end to end a second, all scanners together.
    pub scans_per_s: f64,
    /// MiB read a second, all scanners together.
    pub mib_per_s: f64,
    /// System calls a second, all scanners together.
    pub calls_per_s: f64,
    /// Scans of the scanner that finished fewest, over all samples.
    pub fewest_scans: u64,
    /// The longest scan, in ns.
    pub longest_scan_ns: u64,
}

impl Rates {
    /// Those of a column; `None` where no scanner reads.
    pub fn of(column: &Column) -> Option<Rates> {
        let scanners = column.samples.first()?.scanners.len();
        if scanners == 0 || column.reader == "idle" {
            return None;
        }
        let seconds: f64 = column.samples.iter().map(|s| s.elapsed_ms / 1e3).sum();
        let all = || column.samples.iter().flat_map(|sample| &sample.scanners);
        let sum = |what: fn(&super::scan::Scanned) -> u64| all().map(what).sum::<u64>() as f64;
        let scans_of = |i: usize| -> u64 {
            let samples = column.samples.iter();
            samples.filter_map(|s| s.scanners.get(i)).map(|s| s.scans).sum()
        };
        Some(Rates {
            scans_per_s: sum(|s| s.scans) / seconds,
            mib_per_s: sum(|s| s.bytes) / seconds / f64::from(1 << 20),
            calls_per_s: sum(|s| s.calls) / seconds,
            fewest_scans: (0..scanners).map(scans_of).min().unwrap_or_default(),
            longest_scan_ns: all().map(|s| s.longest_scan_ns).max().unwrap_or_default(),
        })
    }

    /// Whether a scanner never came to the end of its file.
    pub fn starved(&self) -> bool {
        self.fewest_scans == 0
    }
}

/// Nanoseconds as microseconds with two decimals.
pub fn us(ns: f64) -> String {
    format!("{:.2}", ns / 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn a_known_column_has_known_figures() {
        let column = synthetic::column("maps", &[100, 200, 400]);
        let figures = Latencies::of(&column.pooled().mmap);
        assert_eq!(figures.calls, 3000);
        assert_eq!(figures.quantiles_ns, [200, 400, 400, 400]);
        assert_eq!(figures.max_ns, 1400);
        let averages = Averages::of(&column).unwrap();
        // One call in a thousand takes 1000 ns more.
        assert_eq!((averages.min, averages.median, averages.max), (101.0, 201.0, 401.0));
    }

    #[test]
    fn medians_of_even_and_odd_numbers() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn rates_are_per_second_and_see_the_one_that_starves() {
        let mut column = synthetic::column("maps", &[100, 100]);
        let rates = Rates::of(&column).unwrap();
        assert_eq!((rates.scans_per_s, rates.mib_per_s), (20.0, 2.0));
        assert!(!rates.starved());
        for sample in &mut column.samples {
            sample.scanners[1].scans = 0;
        }
        assert!(Rates::of(&column).unwrap().starved());
        assert_eq!(Rates::of(&synthetic::column("idle", &[100])), None);
    }
}
