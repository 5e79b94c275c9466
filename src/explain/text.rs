//! A tear told on the terminal.

use super::story::{Row, Seen, Story};
use crate::oracle::OPEN;
use crate::space::Page;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const BOLD: Style = Style::new().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();
/// Steps of the explanation that are told; the last ones matter.
const STEPS: usize = 8;
/// Characters of a page in the picture.
const WIDTH: usize = 3;

/// Tells the story.
///
/// # Errors
/// What writing gave.
pub fn tell(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let tear = &story.tear;
    writeln!(out, "{BOLD}{}{BOLD:#}", tear.signature)?;
    writeln!(
        out,
        "{FAINT}Linux {} {}, pages of {} bytes, contract {}, seed {}, reader {}{FAINT:#}",
        tear.kernel, tear.arch, tear.page_size, tear.contract, tear.seed, tear.reader
    )?;
    writeln!(out, "{FAINT}{}{FAINT:#}\n", tear.command)?;
    writeln!(out, "{}\n{}\n", story.sentence, story.verdict)?;
    if let Some(mechanism) = story.again.and_then(|again| again.signature.mechanism) {
        writeln!(out, "{BOLD}mechanism{BOLD:#} {}\n", mechanism.words())?;
    }
    writeln!(out, "{BOLD}read{BOLD:#} (the clock before and after each call in brackets)")?;
    for line in &story.lines {
        let bad = line.contains("<< here") || line.starts_with(">>");
        let style = if bad { BAD } else { Style::new() };
        writeln!(out, "  {style}{line}{style:#}")?;
    }
    explanation(out, story)?;
    operations(out, story)?;
    picture(out, story)
}

fn explanation(out: &mut impl Write, story: &Story) -> io::Result<()> {
    writeln!(out, "\n{BOLD}the longest explanation that works{BOLD:#}")?;
    let skipped = story.explained.len().saturating_sub(STEPS);
    if skipped > 0 {
        writeln!(out, "  ({skipped} steps before)")?;
    }
    for step in &story.explained[skipped..] {
        writeln!(out, "  {step}")?;
    }
    if story.explained.is_empty() {
        writeln!(out, "  (none: the first thing seen breaks)")?;
    }
    if let Some(breaks) = story.seen.iter().find(|seen| seen.breaks) {
        writeln!(out, "  {BAD}then: {}{BAD:#}", breaks.words)?;
    }
    Ok(())
}

fn operations(out: &mut impl Write, story: &Story) -> io::Result<()> {
    writeln!(out, "\n{BOLD}operations in lane {}, in order{BOLD:#}", story.lane)?;
    for row in &story.rows {
        if let Some((op, worker)) = row.made {
            writeln!(out, "  {:>8}  worker {worker}: {op}", row.ticks.0)?;
        }
    }
    Ok(())
}

/// The letters that stand for the kinds of page in a picture.
fn legend(rows: &[Row]) -> Vec<Page> {
    let mut kinds: Vec<Page> = Vec::new();
    for vma in rows.iter().flat_map(|row| row.layout.vmas().collect::<Vec<_>>()) {
        let kind = kind(vma.page);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// The page without its offset, which differs from page to page.
fn kind(page: Page) -> Page {
    if page.is_file() { Page::from_bits(page.bits() & 0xffff) } else { page }
}

fn letter(number: usize) -> char {
    char::from(b'A' + (number % 26) as u8)
}

fn picture(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let kinds = legend(&story.rows);
    let pages = story.tear.geometry.pages as usize;
    writeln!(out, "\n{BOLD}lane {}{BOLD:#}: pages across, time down", story.lane)?;
    let ruler: String = (0..pages).map(|page| format!("{page:<WIDTH$}")).collect();
    writeln!(out, "  {:>21}  {FAINT}{ruler}{FAINT:#}", "ticks")?;
    if story.left_out > 0 {
        writeln!(out, "  {:>21}  ({} earlier versions left out)", "", story.left_out)?;
    }
    for (number, row) in story.rows.iter().enumerate() {
        let text = drawn(row, &kinds, pages);
        writeln!(out, "  {:>21}  {text}", ticks(row.ticks))?;
        for seen in story.seen.iter().filter(|seen| seen.row == Some(number)) {
            writeln!(out, "  {:>21}  {}", "read", path(seen, pages))?;
        }
    }
    for seen in story.seen.iter().filter(|seen| seen.row.is_none()) {
        let style = if seen.breaks { BAD } else { Style::new() };
        let what = if seen.breaks { "read, at no instant" } else { "read" };
        writeln!(out, "  {style}{what:>21}  {}{style:#}", path(seen, pages))?;
    }
    writeln!(out)?;
    for (number, page) in kinds.iter().enumerate() {
        writeln!(out, "  {} {page}", letter(number))?;
    }
    writeln!(out, "  === a line read, ~~~ nothing reported, ! mapped and missing")
}

fn ticks((from, to): (u64, u64)) -> String {
    match to {
        OPEN => format!("[{from}, ...]"),
        to => format!("[{from}, {to}]"),
    }
}

/// One version: each VMA a run of its letter, with a gap before the next.
fn drawn(row: &Row, kinds: &[Page], pages: usize) -> String {
    let mut text: Vec<char> = ".  ".chars().cycle().take(pages * WIDTH).collect();
    for vma in row.layout.vmas() {
        let number = kinds.iter().position(|known| *known == kind(vma.page)).unwrap_or(0);
        text[vma.start * WIDTH..vma.end * WIDTH - 1].fill(letter(number));
        text[vma.end * WIDTH - 1] = ' ';
    }
    text.into_iter().collect::<String>().trim_end().into()
}

fn path(seen: &Seen, pages: usize) -> String {
    let mut text = vec![' '; pages * WIDTH];
    let mark = if seen.line { '=' } else { '~' };
    let end = (seen.pages.1 * WIDTH).min(text.len());
    text[seen.pages.0 * WIDTH..end - 1].fill(mark);
    if let Some(missing) = seen.missing {
        text[missing * WIDTH..missing * WIDTH + WIDTH - 1].fill('!');
    }
    let drawn: String = text.into_iter().collect();
    format!("{}   {}", drawn.trim_end(), seen.words)
}
