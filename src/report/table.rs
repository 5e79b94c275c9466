//! Tables of text, in one layout for all reports.

use anstream::adapter::strip_str;
use anstyle::Style;
use std::fmt::Write;

const BOLD: Style = Style::new().bold();

/// Rows of cells, with columns as wide as their widest cell.
pub struct TextTable {
    /// `l` or `r` for each column; the last one goes for those beyond.
    sides: &'static str,
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    Heading(Vec<String>),
    Note(String),
}

impl TextTable {
    /// A table without rows. `sides` has `l` or `r` for each column: where its cells stand.
    pub fn new(sides: &'static str) -> TextTable {
        TextTable { sides, rows: Vec::new() }
    }

    /// Adds a row. Its cells may have colours.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(Row::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// Adds a row in bold.
    pub fn heading(&mut self, cells: &[&str]) {
        self.rows.push(Row::Heading(cells.iter().map(|&cell| cell.to_owned()).collect()));
    }

    /// Adds a line that keeps to no column.
    pub fn note(&mut self, line: impl Into<String>) {
        self.rows.push(Row::Note(line.into()));
    }

    /// The text, each line ended by a newline and without spaces before it.
    pub fn text(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            let (Row::Cells(cells) | Row::Heading(cells)) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            widths
                .iter_mut()
                .zip(cells)
                .for_each(|(width, cell)| *width = (*width).max(seen(cell)));
        }
        let mut text = String::new();
        for row in &self.rows {
            // Writing to a string cannot fail.
            let _ = match row {
                Row::Cells(cells) => writeln!(text, "{}", self.line(cells, &widths)),
                Row::Heading(cells) => {
                    writeln!(text, "{BOLD}{}{BOLD:#}", self.line(cells, &widths))
                }
                Row::Note(line) => writeln!(text, "{line}"),
            };
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let side = self.sides.as_bytes()[column.min(self.sides.len() - 1)];
            let space = " ".repeat(width - seen(cell));
            line +=
                &if side == b'l' { format!("{cell}{space}  ") } else { format!("{space}{cell}  ") };
        }
        line.trim_end().to_owned()
    }
}

/// How many characters of a cell show.
fn seen(cell: &str) -> usize {
    strip_str(cell).to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_on_their_sides_and_colours_take_no_room() {
        let mut table = TextTable::new("llr");
        table.row(["", "call", "p50"]);
        table.row(["mmap", "x", &format!("{BOLD}1.00{BOLD:#}")]);
        table.note("# a line of its own, however long it is");
        table.row(["a", ""]);
        assert_eq!(
            strip_str(&table.text()).to_string(),
            "      call   p50\nmmap  x     1.00\n# a line of its own, however long it is\na\n"
        );
        table.heading(&["b"]);
        assert!(table.text().ends_with("\u{1b}[1mb\u{1b}[0m\n"));
    }
}
