//! Tables of text.

use std::fmt::Write;

/// Rows of cells; columns as wide as their widest cell, the first two to the left, the others to
/// the right.
#[derive(Default)]
pub struct TextTable(Vec<Vec<String>>);

/// Columns of words, before those of numbers.
const LEFT: usize = 2;

impl TextTable {
    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text, each line ended by a newline and without spaces before it.
    pub fn text(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Writing to a string cannot fail.
                let _ = match column {
                    0..LEFT => write!(line, "{cell:width$}  "),
                    _ => write!(line, "{cell:>width$}  "),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Nanoseconds as microseconds with two decimals.
pub fn us(ns: f64) -> String {
    format!("{:.2}", ns / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_left_and_numbers_right() {
        let mut text_table = TextTable::default();
        text_table.row(["", "call", "p50"]);
        text_table.row(["mmap", "x", "1.00"]);
        text_table.row(["a", ""]);
        assert_eq!(text_table.text(), "      call   p50\nmmap  x     1.00\na\n");
    }
}
