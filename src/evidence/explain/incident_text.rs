//! A mismatch or a stall told on the terminal.

use super::incident::{IncidentStory, Lane, Told};
use super::paint::{BAD, BOLD, Heading, drawn, heading, legend, letters, lines, ruler};
use super::stall::StallStory;
use crate::count::counted;
use std::io::{self, Write};

/// Lanes that are told in full.
const LANES: usize = 4;

/// Tells the story.
///
/// # Errors
/// What writing gave.
pub fn tell(out: &mut impl Write, story: &IncidentStory) -> io::Result<()> {
    heading(out, &Heading::from(&story.incident))?;
    writeln!(out, "{}\n{}", story.sentence, story.verdict)?;
    match &story.told {
        Told::Stall(stall) => tell_stall(out, stall),
        Told::Lanes(lanes) => {
            let pages = story.incident.geometry.pages as usize;
            lanes.iter().take(LANES).try_for_each(|lane| tell_lane(out, lane, pages))?;
            match lanes.len().saturating_sub(LANES) {
                0 => Ok(()),
                more => writeln!(out, "\n(and {} more)", counted(more, "lane")),
            }
        }
    }
}

fn tell_lane(out: &mut impl Write, lane: &Lane, pages: usize) -> io::Result<()> {
    let number = lane.lane;
    writeln!(out, "\n{BOLD}lane {number}{BOLD:#}: its vmas, as they should be and as read")?;
    lines(out, &lane.beside)?;
    writeln!(out, "\n{BOLD}read{BOLD:#}")?;
    lines(out, &lane.lines)?;
    if !lane.operations.is_empty() {
        writeln!(out, "\n{BOLD}last operations in lane {number}, in order{BOLD:#}")?;
        lines(out, &lane.operations)?;
    }
    let kinds = legend(lane.expected.iter().chain(&lane.read).copied());
    writeln!(out, "\n{BOLD}lane {number}{BOLD:#}: pages across")?;
    ruler(out, "page", pages)?;
    writeln!(out, "  {:>21}  {}", "the oracle", drawn(&lane.expected, &kinds, pages))?;
    writeln!(out, "  {BAD}{:>21}  {}{BAD:#}", "maps", drawn(&lane.read, &kinds, pages))?;
    writeln!(out)?;
    letters(out, &kinds)
}

fn tell_stall(out: &mut impl Write, stall: &StallStory) -> io::Result<()> {
    writeln!(out)?;
    lines(out, &stall.facts)?;
    for (what, said) in &stall.sections {
        writeln!(out, "\n{BOLD}{what}{BOLD:#}")?;
        lines(out, said)?;
    }
    Ok(())
}
