//! Several results, side by side: which columns belong together, and how they differ.

use super::args::CompareArgs;
use super::contrast::{Contrast, contrast};
use super::failure::Failure;
use super::file::load;
use super::outcome::{Column, Outcome};
use super::plan::Role;
use super::resample::Resampling;
use super::{confounders, warnings};
use crate::command_line::given;
use crate::header::Header;
use crate::host::Machine;
use std::path::{Path, PathBuf};

/// A result and what it is called.
#[derive(Clone, Debug)]
pub struct Named {
    /// The name of its file.
    pub name: String,
    /// The result.
    pub outcome: Outcome,
}

/// Results held against the first of them.
#[derive(Debug)]
pub struct Comparison {
    /// This run; its seed is that of the resampling.
    pub header: Header,
    /// The results, in the order given.
    pub results: Vec<Named>,
    /// Columns that belong together.
    pub lines: Vec<Line>,
    /// What makes it unfair or weak.
    pub warnings: Vec<String>,
    /// How the intervals were made.
    pub resampling: Resampling,
}

/// One condition in all results.
#[derive(Debug)]
pub struct Line {
    /// Its heading.
    pub label: String,
    /// What it is for.
    pub role: Role,
    /// For each result its column, if it has one.
    pub cells: Vec<Option<Cell>>,
}

/// One column of one result.
#[derive(Debug)]
pub struct Cell {
    /// The column's place in its result.
    pub column: usize,
    /// Against the first result that has this line; `None` for that one itself.
    pub to_first: Option<Contrast>,
    /// Against this result's own control; `None` for the control itself.
    pub to_control: Option<Contrast>,
}

impl Comparison {
    /// The column of `cell` of result number `result`.
    pub fn column(&self, result: usize, cell: &Cell) -> &Column {
        &self.results[result].outcome.columns[cell.column]
    }
}

/// Reads the files that `args` name and compares them.
///
/// # Errors
/// Files that cannot be read, are no results, or cannot be merged.
pub fn compare(args: &CompareArgs) -> anyhow::Result<Comparison> {
    let results = args.files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let how = Resampling { draws: args.resamples, confidence: args.confidence, seed: args.seed };
    Ok(held_together(results, how))
}

/// One file, or several to be merged with commas between their names.
fn read(word: &Path) -> anyhow::Result<Named> {
    let name = word.display().to_string();
    if word.exists() || !name.contains(',') {
        let outcome = load(word)?;
        return Ok(Named { name, outcome });
    }
    let mut parts = name.split(',').map(PathBuf::from);
    let first = parts.next().unwrap_or_default();
    let mut outcome = load(&first)?;
    for part in parts {
        outcome.merge(load(&part)?).map_err(|problem| {
            let place = format!("{} and {}", first.display(), part.display());
            let remedy = "give them as separate words to compare them instead";
            Failure::usage(place, format!("cannot be merged: {problem}"), remedy)
        })?;
    }
    Ok(Named { name, outcome })
}

/// Pairs up the columns and computes every ratio.
pub fn held_together(results: Vec<Named>, resampling: Resampling) -> Comparison {
    let lines = headings(&results)
        .into_iter()
        .map(|(role, label)| line(&results, role, label, resampling))
        .collect();
    let header = Header::new(&Machine::here(), Some(resampling.seed), given());
    Comparison { header, lines, warnings: doubts(&results), results, resampling }
}

/// The control, the main columns (whatever they read), then every further reader.
fn headings(results: &[Named]) -> Vec<(Role, String)> {
    let mut all: Vec<(Role, String)> = Vec::new();
    for role in [Role::Control, Role::Main, Role::Against] {
        let columns = results.iter().flat_map(|result| &result.outcome.columns);
        for column in columns.filter(|column| column.role == role) {
            let known = all
                .iter()
                .any(|(r, label)| *r == role && (role != Role::Against || *label == column.label));
            if !known {
                all.push((role, column.label.clone()));
            }
        }
    }
    all
}

fn line(results: &[Named], role: Role, label: String, how: Resampling) -> Line {
    let place = |result: &Named| {
        let mut columns = result.outcome.columns.iter();
        columns.position(|c| c.role == role && (role != Role::Against || c.label == label))
    };
    let mut first: Option<&Column> = None;
    let cells = results
        .iter()
        .map(|result| {
            let column = place(result)?;
            let here = &result.outcome.columns[column];
            let to_first = first.map(|first| contrast(first, here, how));
            first = first.or(Some(here));
            let control = result.outcome.column(Role::Control);
            let to_control = control
                .filter(|_| role != Role::Control)
                .map(|control| contrast(control, here, how));
            Some(Cell { column, to_first, to_control })
        })
        .collect();
    Line { label, role, cells }
}

fn doubts(results: &[Named]) -> Vec<String> {
    let mut all = Vec::new();
    if let [first, others @ ..] = results {
        let main = |named: &Named| named.outcome.column(Role::Main).map(|c| c.reader.clone());
        for other in others {
            let pair = (&*first.name, &first.outcome);
            let differences = confounders::differences(pair, (&*other.name, &other.outcome));
            all.extend(differences.into_iter().map(|d| format!("confounder: {d}")));
            if let (Some(a), Some(b)) = (main(first), main(other))
                && a != b
            {
                all.push(format!(
                    "confounder: scanners read {a} in {}, {b} in {}",
                    first.name, other.name
                ));
            }
        }
    }
    for Named { name, outcome } in results {
        // Anew, and not as saved: merged files have more samples than each had.
        all.extend(warnings::of(outcome).iter().map(|w| format!("{name}: {w}")));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn named(name: &str, outcome: Outcome) -> Named {
        Named { name: name.to_owned(), outcome }
    }

    fn three() -> Vec<Named> {
        vec![
            named("a", synthetic::outcome(&[1000; 6], &[4000; 6])),
            named("b", synthetic::outcome(&[1000; 6], &[2000; 6])),
            named("c", synthetic::outcome(&[500; 6], &[500; 6])),
        ]
    }

    #[test]
    fn every_result_is_held_against_the_first_and_its_own_control() {
        let comparison = held_together(three(), Resampling::default());
        assert_eq!(comparison.lines.len(), 2);
        let main = &comparison.lines[1];
        let ratio = |cell: usize, pick: fn(&Cell) -> &Option<Contrast>| {
            let cell = main.cells[cell].as_ref().unwrap();
            pick(cell).as_ref().map(|c| c.mmap[0].ratio.unwrap())
        };
        let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 0.002, "{a:?}");
        assert_eq!(ratio(0, |c| &c.to_first), None);
        close(ratio(1, |c| &c.to_first), 0.5);
        close(ratio(2, |c| &c.to_first), 0.125);
        close(ratio(0, |c| &c.to_control), 4.0);
        close(ratio(2, |c| &c.to_control), 1.0);
        assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    }

    #[test]
    fn a_column_that_one_lacks_is_empty_there() {
        let mut results = three();
        let mut smaps = results[1].outcome.columns[1].clone();
        (smaps.role, smaps.label) = (Role::Against, "smaps".to_owned());
        results[1].outcome.columns.push(smaps);
        let comparison = held_together(results, Resampling::default());
        let line = &comparison.lines[2];
        assert_eq!(line.label, "smaps");
        let there: Vec<bool> = line.cells.iter().map(Option::is_some).collect();
        assert_eq!(there, [false, true, false]);
        // The first to have it is what later ones would be compared with.
        assert!(line.cells[1].as_ref().unwrap().to_first.is_none());
    }

    #[test]
    fn unfairness_and_weakness_are_told() {
        let mut results = three();
        results[1].outcome.machine.cpus_online = 1;
        results[2].outcome.columns[1].reader = "smaps".to_owned();
        results[2].outcome.columns[1].samples.truncate(2);
        let all = held_together(results, Resampling::default()).warnings;
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[0].starts_with("confounder: number of CPUs"));
        assert!(all[1].contains("scanners read maps in a, smaps in c"));
        assert!(all[2].starts_with("c: fewer than"));
        assert!(all[3].starts_with("c: maps has 2 of 6"));
    }
}
