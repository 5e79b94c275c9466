//! Is it fixed? How often each class and mechanism came in runs of one kernel and of another, and
//! whether chance alone can be the reason.

use super::table::Summary;
use crate::count::once_in;
use serde::Serialize;
use std::collections::BTreeSet;

/// What can be said of one class and mechanism.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It came before and no more, and chance is ruled out as far as was asked for.
    Gone,
    /// It came before and not after, which may be chance.
    Unsure,
    /// It came after.
    There,
}

/// One class and mechanism on both kernels.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Line {
    /// Class and mechanism.
    pub sort: String,
    /// In how many runs it came before.
    pub before: usize,
    /// In how many after.
    pub after: usize,
    /// What can be said.
    pub said: Said,
    /// How probable it is that so few of those after have it, if both kernels are alike.
    pub chance: f64,
    /// Of what is unsure: with so many seeds it would be decided, at the rate seen before.
    pub seeds_needed: Option<usize>,
}

/// Two kernels compared.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// The first kernel.
    pub before: String,
    /// The second.
    pub after: String,
    /// Runs of the first that ended.
    pub runs_before: usize,
    /// Runs of the second that ended.
    pub runs_after: usize,
    /// What was asked for.
    pub confidence: f64,
    /// What came on either.
    pub lines: Vec<Line>,
}

/// More seeds than this are not asked for.
const MOST_SEEDS: usize = 1_000_000;

impl Comparison {
    /// Of the runs of two kernels.
    pub fn new(before: &Summary, after: &Summary, confidence: f64) -> Comparison {
        let (runs_before, runs_after) = (before.judged(), after.judged());
        let runs = |summary: &Summary, sort: &str| summary.sorts.get(sort).map_or(0, |s| s.runs);
        let sorts: BTreeSet<&String> = before.sorts.keys().chain(after.sorts.keys()).collect();
        let line = |sort: &&String| {
            let (came_before, came_after) = (runs(before, sort), runs(after, sort));
            let chance = chance(came_before, runs_before, came_after, runs_after);
            let said = match (came_after, chance <= 1.0 - confidence) {
                (1.., _) => Said::There,
                (0, true) => Said::Gone,
                (0, false) => Said::Unsure,
            };
            let needed =
                || seeds_needed(came_before as f64 / runs_before.max(1) as f64, confidence);
            Line {
                sort: (*sort).clone(),
                before: came_before,
                after: came_after,
                said,
                chance,
                seeds_needed: (said == Said::Unsure).then(needed).flatten(),
            }
        };
        Comparison {
            before: before.kernel.clone(),
            after: after.kernel.clone(),
            runs_before,
            runs_after,
            confidence,
            lines: sorts.iter().map(line).collect(),
        }
    }

    /// What it comes to: [`Said::There`] where anything still comes, [`Said::Gone`] where all that
    /// came is gone, and nothing can be said where nothing came at all.
    pub fn said(&self) -> Said {
        let any = |said| self.lines.iter().any(|line| line.said == said);
        match () {
            () if any(Said::There) => Said::There,
            () if any(Said::Unsure) || self.lines.is_empty() => Said::Unsure,
            () => Said::Gone,
        }
    }

    /// The comparison in sentences.
    pub fn sentences(&self) -> Vec<String> {
        let Comparison { before, after, runs_before, runs_after, confidence, .. } = self;
        if self.lines.is_empty() {
            return vec![format!(
                "nothing came in {runs_before} runs of {before} and {runs_after} of {after}: there is \
                 nothing to compare; take other seeds, more of them, or a longer storm"
            )];
        }
        let sentence = |line: &Line| {
            let Line { sort, before: came, after: still, said, chance, seeds_needed } = line;
            let counts = format!(
                "{sort}: in {came} of {runs_before} runs before, in {still} of {runs_after} after"
            );
            let odds = once_in(*chance);
            match said {
                Said::Gone => format!("{counts}: gone; by chance that happens {odds}"),
                Said::There if came == still => format!("{counts}: still there"),
                Said::There if *chance <= 1.0 - confidence => {
                    format!("{counts}: rarer (by chance {odds}), but still there")
                }
                Said::There => format!("{counts}: there"),
                Said::Unsure => {
                    let needed = seeds_needed
                        .map_or("more seeds than can be run".into(), |seeds| {
                            format!("--seeds 0..{seeds} would do")
                        });
                    format!(
                        "{counts}: perhaps gone; by chance that happens {odds}, and --confidence \
                         {confidence} asks for less than {}; {needed}",
                        once_in(1.0 - confidence)
                    )
                }
            }
        };
        self.lines.iter().map(sentence).collect()
    }
}

/// How probable it is that `after` or fewer of the second runs have what `before + after` of all
/// runs have, if it falls on all runs alike: Fisher's exact test, one-sided.
fn chance(before: usize, runs_before: usize, after: usize, runs_after: usize) -> f64 {
    let (all, with) = (runs_before + runs_after, before + after);
    let ways = |of: usize, take: usize| {
        (1..=take).map(|i| ((of - take + i) as f64 / i as f64).ln()).sum::<f64>()
    };
    let least = (with + runs_after).saturating_sub(all);
    let sum: f64 = (least..=after.min(with))
        .filter(|&k| runs_after - k <= all - with)
        .map(|k| (ways(with, k) + ways(all - with, runs_after - k) - ways(all, runs_after)).exp())
        .sum();
    sum.min(1.0)
}

/// The least number of seeds with which what came in a share of the runs before, and in none after,
/// is decided.
fn seeds_needed(share: f64, confidence: f64) -> Option<usize> {
    let decided = |runs: usize| {
        let before = (share * runs as f64).floor() as usize;
        chance(before, runs, 0, runs) <= 1.0 - confidence
    };
    // It falls with the number of runs, but for steps of one: first a power of two, then halves.
    let mut high = std::iter::successors(Some(1), |runs| Some(runs * 2))
        .take_while(|&runs| runs <= MOST_SEEDS)
        .find(|&runs| decided(runs))?;
    let mut low = high / 2;
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if decided(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    fn summary(kernel: &str, runs: u64, torn: u64) -> Summary {
        let signatures: &[(&str, u64)] = &[("hole/x/map/walk", 2)];
        let rows: Vec<_> = (0..runs)
            .map(|seed| match seed < torn {
                true => row(kernel, seed, 1, signatures),
                false => row(kernel, seed, 0, &[]),
            })
            .collect();
        Summary::of(kernel, &rows.iter().collect::<Vec<_>>())
    }

    #[test]
    fn chances_are_those_of_tables() {
        // Fisher's tea: three of four right by chance in 17 of 70; all four in 1 of 70.
        assert!((chance(3, 4, 1, 4) - 17.0 / 70.0).abs() < 1e-12);
        assert!((chance(4, 4, 0, 4) - 1.0 / 70.0).abs() < 1e-12);
        assert!((chance(0, 8, 0, 8) - 1.0).abs() < 1e-12);
        assert!((chance(0, 8, 3, 8) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_gone_is_told_from_what_may_only_have_been_lucky() {
        let compared = |b, a| Comparison::new(&summary("b", 16, b), &summary("a", 16, a), 0.999);
        assert_eq!(compared(16, 0).said(), Said::Gone);
        assert_eq!(compared(16, 1).said(), Said::There);
        assert_eq!(compared(0, 1).said(), Said::There);
        assert_eq!(compared(0, 0).said(), Said::Unsure);
        let unsure = compared(4, 0);
        assert_eq!(unsure.said(), Said::Unsure);
        let needed = unsure.lines[0].seeds_needed.unwrap();
        let with = |runs: usize| {
            Comparison::new(
                &summary("b", runs as u64, runs as u64 / 4),
                &summary("a", runs as u64, 0),
                0.999,
            )
            .said()
        };
        assert_eq!((with(needed), with(needed / 2)), (Said::Gone, Said::Unsure), "{needed}");
        assert!(unsure.sentences()[0].contains(&format!("--seeds 0..{needed} would do")));
    }
}
