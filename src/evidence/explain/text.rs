//! A tear told on the terminal.

use super::paint::{BAD, BOLD, Heading, WIDTH, drawn, heading, legend, letters, lines, ruler};
use super::story::{Row, Seen, Story};
use crate::count::counted;
use crate::oracle::OPEN;
use std::io::{self, Write};

/// Steps of the explanation that are told; the last ones matter.
const STEPS: usize = 8;

/// Tells the story.
///
/// # Errors
/// What writing gave.
pub fn tell(out: &mut impl Write, story: &Story) -> io::Result<()> {
    heading(out, &Heading::from(&story.tear))?;
    writeln!(out, "{}\n{}\n", story.sentence, story.verdict)?;
    if let Some(mechanism) = story.again.and_then(|again| again.signature.mechanism) {
        writeln!(out, "{BOLD}mechanism{BOLD:#} {}\n", mechanism.words())?;
    }
    writeln!(out, "{BOLD}read{BOLD:#} (the clock before and after each call in brackets)")?;
    lines(out, &story.lines)?;
    explanation(out, story)?;
    if story.rows.is_empty() {
        // Of a line outside of the arena no lane tells anything.
        return Ok(());
    }
    operations(out, story)?;
    picture(out, story)
}

fn explanation(out: &mut impl Write, story: &Story) -> io::Result<()> {
    writeln!(out, "\n{BOLD}the longest explanation that works{BOLD:#}")?;
    let skipped = story.explained.len().saturating_sub(STEPS);
    if skipped > 0 {
        writeln!(out, "  ({} before)", counted(skipped, "step"))?;
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

fn picture(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let vmas = |row: &Row| row.layout.vmas().collect::<Vec<_>>();
    let kinds = legend(story.rows.iter().flat_map(vmas));
    let pages = story.tear.geometry.pages as usize;
    writeln!(out, "\n{BOLD}lane {}{BOLD:#}: pages across, time down", story.lane)?;
    ruler(out, "ticks", pages)?;
    if story.left_out > 0 {
        writeln!(out, "  {:>21}  ({} earlier versions left out)", "", story.left_out)?;
    }
    for (number, row) in story.rows.iter().enumerate() {
        let text = drawn(&vmas(row), &kinds, pages);
        writeln!(out, "  {:>21}  {text}", ticks(row.ticks))?;
        for seen in story.seen.iter().filter(|seen| seen.row == Some(number)) {
            writeln!(out, "  {:>21}  {}", "read", path(seen, pages))?;
        }
    }
    for seen in story.seen.iter().filter(|seen| seen.row.is_none()) {
        let style = if seen.breaks { BAD } else { anstyle::Style::new() };
        let what = if seen.breaks { "read, at no instant" } else { "read" };
        writeln!(out, "  {style}{what:>21}  {}{style:#}", path(seen, pages))?;
    }
    writeln!(out)?;
    letters(out, &kinds)?;
    writeln!(out, "  === a line read, ~~~ nothing reported, ! mapped and missing")
}

fn ticks((from, to): (u64, u64)) -> String {
    match to {
        OPEN => format!("[{from}, ...]"),
        to => format!("[{from}, {to}]"),
    }
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
