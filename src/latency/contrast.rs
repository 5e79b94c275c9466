//! Two columns held against each other: ratios and their intervals.

use super::figures::{Latencies, QUANTILES, average_ns, max_ns, median};
use super::outcome::Column;
use super::resample::{self, Counts, Interval, Resampling};
use serde::Serialize;

/// A ratio, with its interval where there are samples enough.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Ratio {
    /// Second column over first; `None` where the first is 0.
    pub ratio: Option<f64>,
    /// Where the true ratio lies.
    pub interval: Option<Interval>,
}

/// The ratios of one call: [`QUANTILES`], then the maximum.
pub type CallRatios = [Ratio; 5];

/// The second column's figures over the first's.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Contrast {
    /// Of mmap.
    pub mmap: CallRatios,
    /// Of munmap.
    pub munmap: CallRatios,
    /// Of the medians of the samples' averages.
    pub average: Ratio,
    /// Of the medians of the samples' maxima.
    pub worst: Ratio,
}

/// Holds `second` against `first`.
pub fn contrast(first: &Column, second: &Column, how: Resampling) -> Contrast {
    let [mmap, munmap] = [0, 1].map(|call| call_ratios(first, second, call, how));
    let averages = |c: &Column| c.samples.iter().filter_map(average_ns).collect();
    let worst = |c: &Column| c.samples.iter().map(|s| max_ns(s) as f64).collect();
    Contrast {
        mmap,
        munmap,
        average: of_medians(averages(first), averages(second), how),
        worst: of_medians(worst(first), worst(second), how),
    }
}

fn call_ratios(first: &Column, second: &Column, call: usize, how: Resampling) -> CallRatios {
    let series = |column: &Column| {
        let pooled = column.pooled();
        [pooled.mmap, pooled.munmap][call].clone()
    };
    let (one, two) = (Latencies::of(&series(first)), Latencies::of(&series(second)));
    let counts = |column| {
        let [mmap, munmap] = resample::counts(column);
        if call == 0 { mmap } else { munmap }
    };
    let (mut from, mut to) = (counts(first), counts(second));
    let [p50, p90, p99, p999] = QUANTILES.map(|(q, _)| q);
    let at = [p50, p90, p99, p999, 1.0];
    let intervals = resample::intervals(first.samples.len(), second.samples.len(), how, |a, b| {
        ratios(&mut from, &mut to, a, b, at)
    });
    let all = |l: &Latencies| {
        let [a, b, c, d] = l.quantiles_ns;
        [a, b, c, d, l.max_ns]
    };
    let (one, two) = (all(&one), all(&two));
    std::array::from_fn(|i| Ratio {
        ratio: over(two[i] as f64, one[i] as f64),
        interval: intervals[i],
    })
}

fn ratios<const N: usize>(
    from: &mut Counts,
    to: &mut Counts,
    one: &[u32],
    two: &[u32],
    at: [f64; N],
) -> [f64; N] {
    let (below, above) = (from.quantiles(one, at), to.quantiles(two, at));
    std::array::from_fn(|i| above[i] as f64 / below[i] as f64)
}

fn of_medians(first: Vec<f64>, second: Vec<f64>, how: Resampling) -> Ratio {
    let (mut one, mut two) = (first.clone(), second.clone());
    let ratio =
        median(&mut one).zip(median(&mut two)).and_then(|(below, above)| over(above, below));
    let [interval] = resample::intervals(first.len(), second.len(), how, |a, b| {
        let drawn = |values: &[f64], weights: &[u32]| {
            let mut all: Vec<f64> = values
                .iter()
                .zip(weights)
                .flat_map(|(&value, &times)| std::iter::repeat_n(value, times as usize))
                .collect();
            median(&mut all).unwrap_or(f64::NAN)
        };
        [drawn(&second, b) / drawn(&first, a)]
    });
    Ratio { ratio, interval }
}

fn over(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

impl std::fmt::Display for Ratio {
    /// `x1.25 [1.20..1.31]`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.ratio, self.interval) {
            (None, _) => f.write_str("-"),
            (Some(ratio), None) => write!(f, "x{ratio:.2}"),
            (Some(ratio), Some(Interval { low, high })) => {
                write!(f, "x{ratio:.2} [{low:.2}..{high:.2}]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn twice_as_slow_is_a_ratio_of_two() {
        let slow = synthetic::column("maps", &[20_000; 8]);
        let fast = synthetic::column("idle", &[10_000; 8]);
        let contrast = contrast(&fast, &slow, Resampling::default());
        // Buckets near 20,000 ns are 16 ns wide.
        let close = |ratio: Ratio, expected: f64| {
            let Interval { low, high } = ratio.interval.unwrap();
            for value in [ratio.ratio.unwrap(), low, high] {
                assert!((value - expected).abs() < 0.002, "{ratio}");
            }
        };
        close(contrast.mmap[0], 2.0);
        close(contrast.munmap[3], 2.0);
        close(contrast.mmap[4], 21.0 / 11.0);
        close(contrast.average, 20_001.0 / 10_001.0);
        close(contrast.worst, 21.0 / 11.0);
    }

    #[test]
    fn the_interval_holds_the_ratio_of_scattered_samples() {
        let one = synthetic::column("idle", &[900, 950, 1000, 1000, 1050, 1100]);
        let two = synthetic::column("maps", &[1350, 1425, 1500, 1500, 1575, 1650]);
        let Contrast { mmap, average, .. } = contrast(&one, &two, Resampling::default());
        for ratio in [mmap[0], average] {
            let Interval { low, high } = ratio.interval.unwrap();
            assert!(low < 1.5 && 1.5 < high, "{ratio}");
            assert!(1.3 < low && high < 1.75, "{ratio}");
        }
    }

    #[test]
    fn nothing_to_divide_by_is_a_dash() {
        let none = synthetic::column("idle", &[]);
        let some = synthetic::column("maps", &[100]);
        let contrast = contrast(&none, &some, Resampling::default());
        assert_eq!(contrast.mmap[0].to_string(), "-");
        assert_eq!(contrast.average.to_string(), "-");
    }
}
