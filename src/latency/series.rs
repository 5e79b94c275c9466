//! The latencies of one kind of call in one sample, each of them kept.

use super::codec;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Highest latency a histogram holds: more than the longest `--hang-seconds`, beyond which a call
/// is a hang.
pub const HIGHEST_NS: u64 = 2 * 3600 * 1_000_000_000;

/// Significant decimal digits of a histogram.
pub const DIGITS: u8 = 3;

/// Calls and how long they took.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Calls made, also those that failed.
    pub calls: u64,
    /// Calls that gave an error; their latency counts like any other.
    pub failed: u64,
    /// Calls that took longer than the histogram holds. Not in it, so it must be 0.
    pub beyond: u64,
    /// Sum of all latencies, exact.
    pub sum_ns: u64,
    /// Longest latency, exact.
    pub max_ns: u64,
    /// Every latency, to three digits.
    #[serde(with = "codec")]
    pub histogram: Histogram<u64>,
}

impl Default for Series {
    /// Empty, its memory touched so that recording neither allocates nor faults.
    fn default() -> Series {
        let mut histogram =
            Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).expect("the bounds are constants");
        // `reset` writes every counter; a fresh vector of zeros is memory not yet there.
        histogram.reset();
        Series { calls: 0, failed: 0, beyond: 0, sum_ns: 0, max_ns: 0, histogram }
    }
}

impl Series {
    /// Takes one call. Does not allocate.
    #[inline]
    pub fn record(&mut self, latency_ns: u64, failed: bool) {
        self.calls += 1;
        self.failed += failed as u64;
        self.sum_ns += latency_ns;
        self.max_ns = self.max_ns.max(latency_ns);
        // Not `saturating_record`: a call beyond the bounds shall be seen, not shortened.
        self.beyond += self.histogram.record(latency_ns).is_err() as u64;
    }

    /// Adds the calls of `other`.
    pub fn add(&mut self, other: &Series) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.beyond += other.beyond;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.histogram
            .add(&other.histogram)
            .expect("all histograms have the same bounds; the codec refuses others");
    }

    /// Whether the histogram holds every call.
    pub fn is_whole(&self) -> bool {
        self.beyond == 0 && self.histogram.len() == self.calls
    }

    /// The latency that the share `q` of the calls did not exceed; 0 without calls.
    pub fn quantile_ns(&self, q: f64) -> u64 {
        // A bucket answers with its upper end, which may lie above the exact maximum.
        self.histogram.value_at_quantile(q).min(self.max_ns)
    }

    /// The mean; `None` without calls.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.sum_ns as f64 / self.calls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_series() {
        let mut series = Series::default();
        for latency in 1..=1000 {
            series.record(latency, false);
        }
        assert_eq!(series.quantile_ns(0.5), 500);
        assert_eq!(series.quantile_ns(0.99), 990);
        assert_eq!(series.quantile_ns(0.999), 999);
        assert_eq!((series.max_ns, series.mean_ns()), (1000, Some(500.5)));
        assert!(series.is_whole());
    }

    #[test]
    fn the_maximum_is_exact_and_bounds_the_quantiles() {
        let mut series = Series::default();
        series.record(10_000_001, true);
        assert_eq!(series.quantile_ns(0.5), 10_000_001);
        assert_eq!((series.calls, series.failed), (1, 1));
    }

    #[test]
    fn a_call_beyond_the_bounds_is_counted_not_shortened() {
        let mut series = Series::default();
        series.record(4 * HIGHEST_NS, false);
        assert_eq!((series.calls, series.beyond), (1, 1));
        assert!(!series.is_whole());
    }

    #[test]
    fn adding_is_recording_both() {
        let mut both = Series::default();
        let mut parts = [Series::default(), Series::default()];
        for i in 0..10_000u64 {
            let latency = i * i % 777_777;
            both.record(latency, i % 7 == 0);
            parts[(i % 2) as usize].record(latency, i % 7 == 0);
        }
        let [mut sum, other] = parts;
        sum.add(&other);
        assert_eq!(sum, both);
    }
}
