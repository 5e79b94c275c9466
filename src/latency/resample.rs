//! Confidence intervals by resampling whole samples (the bootstrap).
//!
//! Calls of one sample are alike in ways that calls of two samples are not: where the region lay,
//! how busy the other CPU was. So single calls are never drawn. Whole samples are, with
//! replacement, as many as there were, and each figure is computed anew from each draw.

use super::outcome::Column;
use super::series::Series;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// An interval that holds the true ratio with the confidence asked for.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How to resample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resampling {
    /// Number of draws.
    pub draws: u32,
    /// Confidence, in per cent.
    pub confidence: u8,
    /// Seed; the same gives the same intervals.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Resampling {
        Resampling { draws: 1000, confidence: 95, seed: 1 }
    }
}

/// Samples below which an interval says little.
pub const FEW_SAMPLES: usize = 6;

/// The counts of several histograms over the values that occur in any of them, for pooling any
/// choice of them fast.
pub struct Counts {
    values: Vec<u64>,
    /// For each sample its buckets: index into `values`, count.
    samples: Vec<Vec<(usize, u64)>>,
    pooled: Vec<u64>,
}

impl Counts {
    /// Those of one kind of call in each sample.
    pub fn of<'a>(all: impl Iterator<Item = &'a Series>) -> Counts {
        let listed: Vec<Vec<(u64, u64)>> = all
            .map(|series| {
                let recorded = series.histogram.iter_recorded();
                recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
            })
            .collect();
        let mut values: Vec<u64> = listed.iter().flatten().map(|&(value, _)| value).collect();
        values.sort_unstable();
        values.dedup();
        let place = |value| values.binary_search(&value).expect("collected above");
        let samples = listed
            .into_iter()
            .map(|list| list.into_iter().map(|(v, n)| (place(v), n)).collect())
            .collect();
        Counts { pooled: vec![0; values.len()], values, samples }
    }

    /// The latencies at `quantiles`, ascending, when sample `i` counts `weights[i]` times; zeros
    /// where nothing counts.
    pub fn quantiles<const N: usize>(&mut self, weights: &[u32], quantiles: [f64; N]) -> [u64; N] {
        self.pooled.fill(0);
        for (sample, &weight) in self.samples.iter().zip(weights) {
            if weight > 0 {
                for &(value, count) in sample {
                    self.pooled[value] += count * u64::from(weight);
                }
            }
        }
        let total: u64 = self.pooled.iter().sum();
        let (mut at, mut below) = (0, 0);
        quantiles.map(|q| {
            // As HdrHistogram does: the value that this many of the calls do not exceed.
            let wanted = ((q * total as f64).ceil() as u64).max(1);
            while at < self.pooled.len() && below + self.pooled[at] < wanted {
                below += self.pooled[at];
                at += 1;
            }
            self.values.get(at).copied().unwrap_or_default()
        })
    }
}

/// Draws from two columns at once. `figures` takes the weights of the first's samples and of the
/// second's, and gives any number of ratios. An interval is `None` with fewer than two samples in a
/// column, or where ratios are not numbers.
pub fn intervals<const N: usize>(
    first: usize,
    second: usize,
    how: Resampling,
    mut figures: impl FnMut(&[u32], &[u32]) -> [f64; N],
) -> [Option<Interval>; N] {
    if first < 2 || second < 2 {
        return [None; N];
    }
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(how.seed);
    let mut ratios: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let (mut one, mut two) = (vec![0; first], vec![0; second]);
    for _ in 0..how.draws {
        draw(&mut one, &mut draws);
        draw(&mut two, &mut draws);
        for (all, ratio) in ratios.iter_mut().zip(figures(&one, &two)) {
            all.push(ratio);
        }
    }
    ratios.map(|mut all| middle(&mut all, how.confidence))
}

/// How often each sample counts in one draw.
fn draw(weights: &mut [u32], draws: &mut Xoshiro256PlusPlus) {
    weights.fill(0);
    for _ in 0..weights.len() {
        let chosen = (u128::from(draws.next_u64()) * weights.len() as u128) >> 64;
        weights[chosen as usize] += 1;
    }
}

fn middle(ratios: &mut [f64], confidence: u8) -> Option<Interval> {
    if ratios.iter().any(|ratio| !ratio.is_finite()) {
        return None;
    }
    ratios.sort_by(f64::total_cmp);
    let outside = (1.0 - f64::from(confidence) / 100.0) / 2.0;
    let last = ratios.len() - 1;
    let at = |share: f64| ratios[(share * last as f64).round() as usize];
    Some(Interval { low: at(outside), high: at(1.0 - outside) })
}

/// The counts of each call of `column`: mmap, munmap.
pub fn counts(column: &Column) -> [Counts; 2] {
    let samples = || column.samples.iter().map(|sample| &sample.tally);
    [
        Counts::of(samples().map(|tally| &tally.mmap)),
        Counts::of(samples().map(|tally| &tally.munmap)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    #[test]
    fn weights_count_as_repetition() {
        let column = synthetic::column("maps", &[100, 200, 300]);
        let [mut mmap, _] = counts(&column);
        assert_eq!(mmap.quantiles(&[1, 1, 1], [0.5, 1.0]), [200, 1300]);
        assert_eq!(mmap.quantiles(&[3, 0, 0], [0.5, 1.0]), [100, 1100]);
        assert_eq!(mmap.quantiles(&[1, 0, 2], [0.25, 0.5]), [100, 300]);
        assert_eq!(mmap.quantiles(&[0, 0, 0], [0.5]), [0]);
    }

    #[test]
    fn pooled_quantiles_are_the_histograms_own() {
        let column = synthetic::column("maps", &[500, 90_000, 1_234_567, 3]);
        let [mut mmap, _] = counts(&column);
        let pooled = column.pooled().mmap.histogram;
        for q in [0.001, 0.25, 0.5, 0.7, 0.9, 0.99, 0.999, 1.0] {
            let expected = pooled.value_at_quantile(q);
            assert_eq!(mmap.quantiles(&[1; 4], [q]), [expected], "{q}");
        }
    }

    /// Means of weighted values, for a bootstrap whose answer is known.
    fn mean(values: &[f64], weights: &[u32]) -> f64 {
        let sum: f64 = values.iter().zip(weights).map(|(v, &w)| v * f64::from(w)).sum();
        sum / values.len() as f64
    }

    #[test]
    fn the_interval_of_a_mean_is_the_known_one() {
        // 400 values of mean 100 and variance 10^2 * (1 - 1/400) / 3 * ... : a uniform grid over
        // 90..110 has standard deviation 20 / sqrt(12) = 5.77, its mean 5.77 / 20 = 0.289. The
        // ratio of two such means has 0.289 / 100 * sqrt(2) = 0.00408, 95 % lie within 1.96 of it.
        let values: Vec<f64> = (0..400).map(|i| 90.0 + 20.0 * f64::from(i) / 399.0).collect();
        let how = Resampling { draws: 4000, ..Resampling::default() };
        let [interval] =
            intervals(400, 400, how, |one, two| [mean(&values, two) / mean(&values, one)]);
        let Interval { low, high } = interval.unwrap();
        let expected = 1.96 * 0.00408;
        assert!((1.0 - low - expected).abs() < 0.1 * expected, "{low}");
        assert!((high - 1.0 - expected).abs() < 0.1 * expected, "{high}");
    }

    #[test]
    fn equal_samples_leave_no_doubt_and_one_sample_no_interval() {
        let how = Resampling::default();
        let ratio = |_: &[u32], _: &[u32]| [2.0];
        let sure = Interval { low: 2.0, high: 2.0 };
        assert_eq!(intervals(5, 5, how, ratio), [Some(sure)]);
        assert_eq!(intervals(1, 5, how, ratio), [None]);
        assert_eq!(intervals(5, 5, how, |_, _| [f64::NAN]), [None]);
    }

    #[test]
    fn a_seed_fixes_the_interval_and_confidence_widens_it() {
        let values: Vec<f64> = (1..30).map(f64::from).collect();
        let run = |seed, confidence| {
            let how = Resampling { draws: 500, confidence, seed };
            let [interval] =
                intervals(29, 29, how, |one, two| [mean(&values, two) / mean(&values, one)]);
            interval.unwrap()
        };
        assert_eq!(run(1, 95), run(1, 95));
        assert_ne!(run(1, 95), run(2, 95));
        let (narrow, wide) = (run(1, 60), run(1, 99));
        assert!(wide.low < narrow.low && narrow.high < wide.high);
    }
}
