//! A storm's report on one screen: the verdict first, and what it takes to act on it.
//!
//! The whole report is behind `-v` and in JSON. Here each [`Block`] of rows says how much it
//! matters; what matters least goes until the rest fits. What weakens the verdict never goes.

mod commands;
mod mechanisms;
mod notes;
#[cfg(test)]
pub(super) mod tests;
mod verdict;

use super::data::StormReport;
use anstream::adapter::strip_str;
use anstyle::Style;

/// Columns of the smallest terminal that is in use.
pub const COLUMNS: usize = 80;
/// Rows of it. The report leaves one to the shell: its prompt would push the verdict out.
pub const ROWS: usize = 24;
const OWN_ROWS: usize = ROWS - 1;

/// What the words of a row begin behind.
const MARGIN: usize = 12;

/// How much rows matter: the least goes first where there is no room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Weight {
    /// Good to know.
    Figures,
    /// An empty row.
    Space,
    /// What a mechanism does.
    Explained,
    /// What happened once.
    Example,
    /// The verdict, what it rests on, what weakens it, and the commands.
    Always,
}

/// Rows that stay or go together.
struct Block {
    weight: Weight,
    rows: Vec<String>,
}

impl Block {
    fn new(weight: Weight, rows: impl IntoIterator<Item = String>) -> Block {
        Block { weight, rows: rows.into_iter().collect() }
    }

    fn space() -> Block {
        Block::new(Weight::Space, [String::new()])
    }

    /// Rows on the terminal: a row that is longer than the terminal is wide takes several.
    fn height(&self) -> usize {
        let height = |row: &String| columns(row).div_ceil(COLUMNS).max(1);
        self.rows.iter().map(height).sum()
    }
}

/// How much room there is for what has no limit of its own.
#[derive(Clone, Copy)]
struct Room {
    /// Rows of mechanisms.
    mechanisms: usize,
    /// Rows of a note.
    note: usize,
    /// Rows of a command.
    command: usize,
}

impl Room {
    /// From what is best to what fits whatever there is to say.
    fn all() -> impl Iterator<Item = Room> {
        let plenty = (2..=8).rev().map(|mechanisms| Room { mechanisms, note: 3, command: 3 });
        plenty.chain([Room { mechanisms: 2, note: 1, command: 1 }])
    }
}

/// The report; `program` is how it was called.
pub(super) fn screen(report: &StormReport, program: &str) -> String {
    let mut rows = Vec::new();
    for room in Room::all() {
        let mut blocks = blocks(report, program, room);
        // Of those that matter as little, the last goes first.
        while height(&blocks) > OWN_ROWS {
            let least = (0..blocks.len()).rev().min_by_key(|&at| blocks[at].weight);
            match least.filter(|&at| blocks[at].weight < Weight::Always) {
                Some(at) => drop(blocks.remove(at)),
                None => break,
            }
        }
        let fits = height(&blocks) <= OWN_ROWS;
        rows = blocks.into_iter().flat_map(|block| block.rows).collect();
        if fits {
            break;
        }
    }
    rows.iter().map(|row: &String| format!("{row}\n")).collect()
}

fn height(blocks: &[Block]) -> usize {
    blocks.iter().map(Block::height).sum()
}

fn blocks(report: &StormReport, program: &str, room: Room) -> Vec<Block> {
    let mut blocks = vec![Block::new(Weight::Always, verdict::head(report, room))];
    blocks.push(Block::new(Weight::Always, notes::notes(report, room)));
    blocks.push(Block::space());
    blocks.extend(mechanisms::table(report, room.mechanisms));
    blocks.extend(mechanisms::example(report));
    blocks.push(Block::new(Weight::Always, verdict::promises(report)));
    blocks.push(Block::new(Weight::Always, [verdict::judged(report)]));
    blocks.push(Block::new(Weight::Figures, [verdict::raced(report)]));
    blocks.push(Block::new(Weight::Figures, verdict::at_limit(report)));
    blocks.push(Block::new(Weight::Figures, verdict::stricter(report)));
    blocks.push(Block::space());
    blocks.push(Block::new(Weight::Always, commands::commands(report, program, room)));
    blocks
}

/// A row with its name before it, in bold.
fn named(name: &str, words: &str) -> String {
    let bold = Style::new().bold();
    let width = MARGIN - 2;
    format!(" {bold}{name:<width$}{bold:#} {}", clipped(words, COLUMNS - MARGIN))
}

/// Columns that a row takes.
fn columns(row: &str) -> usize {
    strip_str(row).to_string().chars().count()
}

/// Text that takes no more than these columns. It has no colours yet.
fn clipped(text: &str, most: usize) -> String {
    // What is no graphic character may move the cursor.
    let plain: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.len() <= most {
        true => plain.into_iter().collect(),
        false => plain[..most.saturating_sub(3)].iter().collect::<String>() + "...",
    }
}

/// Text on at most so many rows; the last one is clipped where there is more.
fn wrapped_to(text: &str, most: usize, rows: usize) -> Vec<String> {
    let mut all = wrapped(text, most);
    if all.len() > rows {
        let rest = all.split_off(rows - 1);
        all.push(clipped(&rest.join(" "), most));
    }
    all
}

/// Text on as many rows of these columns as it takes; what is longer than a row is clipped.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut().filter(|row| columns(row) + 1 + columns(word) <= most) {
            Some(row) => *row += &format!(" {word}"),
            None => rows.push(clipped(word, most)),
        }
    }
    rows
}

/// A number in at most six characters: `99999`, `123 k`, `6.8 M`.
fn short(number: u64) -> String {
    let of = |unit: f64, word: &str| match number as f64 / unit {
        few if few < 99.95 => format!("{few:.1} {word}"),
        many => format!("{many:.0} {word}"),
    };
    match number {
        0..100_000 => number.to_string(),
        100_000..1_000_000 => format!("{} k", number / 1000),
        1_000_000..1_000_000_000 => of(1e6, "M"),
        1_000_000_000..1_000_000_000_000 => of(1e9, "G"),
        _ => of(1e12, "T"),
    }
}
