//! Guests side by side: the result of `mapstorm vm`.

use super::compare::{Comparison, Said};
use super::row::{Row, worst};
use crate::exit::Exit;
use crate::header::Header;
use crate::report::checks::{Check, Checklist};
use crate::report::{Report, TextTable};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// The version of the JSON form.
const SCHEMA_VERSION: u32 = 1;

/// All runs of one command.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Table {
    schema_version: u32,
    /// The host's side of it.
    #[serde(flatten)]
    pub header: Header,
    /// The runs, in the order asked for.
    pub rows: Vec<Row>,
    /// What the runs of each kernel come to.
    pub kernels: Vec<Summary>,
    /// Whether the second kernel is without what the first one has, where that was asked.
    pub comparison: Option<Comparison>,
}

/// What the runs of one kernel come to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Its short name.
    pub kernel: String,
    /// uname's release.
    pub release: Option<String>,
    /// How many runs say anything of it.
    judged: usize,
    /// How many runs ended how.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// By class and mechanism.
    pub sorts: BTreeMap<String, Sort>,
}

/// How often violations of one class and mechanism came.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct Sort {
    /// In how many runs.
    pub runs: usize,
    /// How often, in all runs together.
    pub count: u64,
    /// The least time from a storm's start to the first.
    pub first_at_ms: f64,
    /// The seed of that run.
    pub seed: Option<u64>,
    /// What brings that run back.
    pub command: Option<String>,
}

impl Summary {
    /// Of these runs of it.
    pub fn of(kernel: &str, rows: &[&Row]) -> Summary {
        let (mut verdicts, mut sorts) = (BTreeMap::new(), BTreeMap::<String, Sort>::new());
        for row in rows {
            *verdicts.entry(row.verdict()).or_default() += 1;
            for (sort, came) in row.sorts() {
                let all = sorts.entry(sort.to_owned()).or_default();
                if all.runs == 0 || came.first_at_ms < all.first_at_ms {
                    all.first_at_ms = came.first_at_ms;
                    all.seed = row.seed;
                    all.command = row.machine.as_ref().map(|machine| machine.command.clone());
                }
                all.runs += 1;
                all.count += came.count;
            }
        }
        let release = rows.iter().find_map(|row| row.release.clone());
        let judged = rows.iter().filter(|row| row.is_judged()).count();
        Summary { kernel: kernel.to_owned(), release, judged, verdicts, sorts }
    }

    /// How many runs say anything of the kernel.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.verdicts.values().sum()
    }

    /// The verdicts in words: `3 violated, 1 upheld`.
    pub fn verdicts_in_words(&self) -> String {
        let words = self.verdicts.iter().map(|(verdict, runs)| match self.runs() {
            1 => (*verdict).to_owned(),
            _ => format!("{runs} {verdict}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// One cell: in how many runs, how often, and when first.
    pub fn cell(&self, sort: &str) -> String {
        let Some(found) = self.sorts.get(sort) else { return "-".into() };
        let first = format!("{} at {:.0} ms", found.count, found.first_at_ms);
        match self.runs() {
            1 => first,
            runs => format!("{first}, {} of {runs} runs", found.runs),
        }
    }
}

impl Table {
    /// Of these runs.
    pub fn new(header: Header, rows: Vec<Row>) -> Table {
        let mut names: Vec<&str> = Vec::new();
        for row in &rows {
            if !names.contains(&row.kernel.as_str()) {
                names.push(&row.kernel);
            }
        }
        let summary = |name: &&str| {
            let own: Vec<&Row> = rows.iter().filter(|row| row.kernel == **name).collect();
            Summary::of(name, &own)
        };
        let kernels = names.iter().map(summary).collect();
        Table { schema_version: SCHEMA_VERSION, header, rows, kernels, comparison: None }
    }

    /// The same with the two kernels compared. Where one of them has no runs, there is nothing to
    /// compare.
    #[must_use]
    pub fn compared(self, confidence: f64) -> Table {
        let comparison = match self.kernels.as_slice() {
            [before, after] => Some(Comparison::new(before, after, confidence)),
            _ => None,
        };
        Table { comparison, ..self }
    }

    /// The exit code of the worst run; of a comparison, what it comes to. A run that failed leaves
    /// nothing to be sure of.
    pub fn exit(&self) -> Exit {
        let failed = |row: &&Row| matches!(row.exit(), Exit::Internal | Exit::Usage);
        match self.comparison.as_ref().map(Comparison::said) {
            None => worst(&self.rows),
            Some(Said::There) => Exit::Violated,
            Some(_) if self.rows.iter().any(|row| failed(&row)) => Exit::Internal,
            Some(Said::Gone) => Exit::Upheld,
            Some(Said::Unsure) => Exit::Undecided,
        }
    }

    /// Classes and mechanisms that came on any kernel.
    pub fn sorts(&self) -> BTreeSet<&str> {
        self.kernels.iter().flat_map(|kernel| kernel.sorts.keys()).map(String::as_str).collect()
    }
}

/// What a run came to, in a line.
pub fn line(row: &Row) -> String {
    let mut words = vec![format!("{}: {}", row.name(), row.verdict())];
    let sorts = row.sorts();
    let came = sorts.iter().filter(|(sort, _)| **sort != row.outcome);
    words.extend(came.map(|(sort, came)| format!("{} {sort}", came.count)));
    words.extend(row.repeated.filter(|equal| *equal).map(|_| "twice the same".to_owned()));
    words.push(format!("{:.1} s", row.took_ms as f64 / 1000.0));
    words.join(", ")
}

impl Report for Table {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        let sorts = self.sorts();
        if self.rows.len() > 1 {
            let mut table = TextTable::new("l");
            table.row(["kernel", "runs", "verdict"].into_iter().chain(sorts.iter().copied()));
            for kernel in &self.kernels {
                let own =
                    [kernel.kernel.clone(), kernel.runs().to_string(), kernel.verdicts_in_words()];
                table.row(own.into_iter().chain(sorts.iter().map(|sort| kernel.cell(sort))));
            }
            out.write_all(table.text().as_bytes())?;
        }
        for row in self.rows.iter().filter(|_| verbose || self.rows.len() == 1) {
            writeln!(out, "{}", line(row))?;
        }
        for row in &self.rows {
            trouble(out, row)?;
        }
        let sentences = self.comparison.iter().flat_map(Comparison::sentences);
        sentences.into_iter().try_for_each(|sentence| writeln!(out, "{sentence}"))?;
        commands(out, self)
    }

    fn checks(&self) -> Option<Checklist> {
        let notes = vec![self.header.command.clone()];
        let seconds = self.rows.iter().map(|row| row.took_ms as f64 / 1000.0).sum();
        let checks = self.rows.iter().map(check).collect();
        Some(Checklist { suite: "vm", notes, seconds, checks })
    }
}

/// What to know of a run that did not end by itself, or was not the same twice.
fn trouble(out: &mut Vec<u8>, row: &Row) -> io::Result<()> {
    if let Some(reason) = &row.reason {
        writeln!(out, "{}: {}: {reason}", row.name(), row.verdict())?;
        row.console.iter().try_for_each(|line| writeln!(out, "  | {line}"))?;
    }
    row.troubles.iter().try_for_each(|text| writeln!(out, "{}: {text}", row.name()))
}

/// One command for each class and mechanism on each kernel, or that of the only run.
fn commands(out: &mut Vec<u8>, table: &Table) -> io::Result<()> {
    let exact = |row: &Row| row.machine.as_ref().is_some_and(|machine| machine.is_exact());
    if let [row] = table.rows.as_slice() {
        let Some(machine) = &row.machine else { return Ok(()) };
        let again = if machine.is_exact() { "the same again" } else { "run again" };
        return writeln!(out, "{again}: {}", machine.command);
    }
    if !table.rows.iter().any(exact) {
        return Ok(());
    }
    for kernel in &table.kernels {
        for (sort, found) in &kernel.sorts {
            if let Some(command) = &found.command {
                writeln!(out, "{sort} on {} again: {command}", kernel.kernel)?;
            }
        }
    }
    Ok(())
}

fn check(row: &Row) -> Check {
    let (name, seconds) = (row.name(), row.took_ms as f64 / 1000.0);
    let mut details = vec![line(row)];
    details.extend(row.reason.clone());
    details.extend(row.console.iter().cloned());
    details.extend(row.machine.as_ref().map(|machine| machine.command.clone()));
    match row.exit() {
        Exit::Upheld => Check { details, ..Check::pass(name, seconds) },
        Exit::Untestable | Exit::Undecided => Check::skip(name, seconds, row.verdict()),
        _ => Check::fail(name, seconds, details),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;
    use crate::host::Machine;

    fn table() -> Table {
        let header = Header::new(&Machine::here(), None, "mapstorm vm a b".into());
        let torn = [("hole/x/map/walk", 3), ("hole/x/map/short", 2), ("torn/-/-/walk", 1)];
        let rows = vec![
            row("a", 0, 0, &[]),
            row("a", 1, 0, &[]),
            row("b", 0, 1, &torn),
            row("b", 1, 1, &torn[..1]),
        ];
        Table::new(header, rows)
    }

    #[test]
    fn kernels_are_down_and_sorts_across() {
        let mut out = Vec::new();
        table().text(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
kernel  runs  verdict     hole/x                 torn/-
a       2     2 upheld    -                      -
b       2     2 violated  8 at 2 ms, 2 of 2 runs  1 at 2 ms, 1 of 2 runs
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&text), squeezed(expected));
        assert_eq!(table().exit(), Exit::Violated);
    }

    #[test]
    fn each_run_is_a_check() {
        let list = table().checks().unwrap();
        assert_eq!((list.totals().pass, list.totals().fail, list.totals().skip), (2, 2, 0));
        assert_eq!(list.checks[2].name, "b-seed-0");
        assert!(list.checks[2].details[0].contains("5 hole/x, 1 torn/-"), "{:?}", list.checks[2]);
    }
}
