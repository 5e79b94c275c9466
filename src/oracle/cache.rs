//! The text that readers have to see, rendered from the model.
//!
//! What a version of a lane prints follows from the model, and what lies outside of the arena was read
//! when nothing moved. So the bytes of a call are compared with the text that has to come next. Whole
//! lines that are equal are what the rules would accept, without a look at any field. What differs in a
//! single byte is parsed and judged by the rules. Nothing is learned from what readers read, so a wrong
//! line can never make another wrong line look right.

use super::clock::Window;
use super::history::Version;
use super::outside::Outside;
use super::rules::{Ahead, Walk};
use crate::kernel::Identities;
use crate::model::{Geometry, Observation};
use std::ops::Range;

/// Lanes whose text is kept at a time; lanes that share a place replace each other.
const MOST_LANES: u16 = 16;
/// Lines of a lane at most: a lane has no more pages.
const LANE_LINES: usize = crate::model::MAX_PAGES;
/// Bytes of a lane's text. Lines that find no room are judged by the rules.
const LANE_BYTES: usize = 12 << 10;

/// A line of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rendered {
    /// What it shows.
    pub(crate) seen: Observation,
    /// Where it ends in the text, behind its newline.
    pub(super) until: usize,
}

/// Lines that follow each other, in a fixed amount of memory.
#[derive(Default)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Vec<Rendered>,
}

/// What follows in a text behind a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behind {
    /// This line.
    Line(usize),
    /// A line lies across the position: only the rules can tell what comes.
    Across,
    /// Nothing.
    Nothing,
}

impl Text {
    pub(super) fn with_room(lines: usize, bytes: usize) -> Text {
        Text { bytes: Vec::with_capacity(bytes), lines: Vec::with_capacity(lines) }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    /// Whether a line of so many bytes finds room.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.capacity() - self.bytes.len() >= bytes
            && self.lines.len() < self.lines.capacity()
    }

    /// The first line that ends above `pos`, if there is one.
    #[inline]
    pub(super) fn first_above(&self, pos: u64) -> usize {
        // Mostly it is the first.
        match self.lines.first() {
            Some(first) if first.seen.end > pos => 0,
            _ => self.lines.partition_point(|line| line.seen.end <= pos),
        }
    }

    /// What comes behind `pos`.
    fn behind(&self, pos: u64) -> Behind {
        let at = self.first_above(pos);
        match self.lines.get(at) {
            None => Behind::Nothing,
            Some(line) if line.seen.start >= pos => Behind::Line(at),
            Some(_) => Behind::Across,
        }
    }

    /// Line number `at`, without its newline.
    pub(super) fn line(&self, at: usize) -> &[u8] {
        let from = at.checked_sub(1).map_or(0, |before| self.lines[before].until);
        &self.bytes[from..self.lines[at].until - 1]
    }

    /// The lines from number `first` on that `text` begins with, and their bytes.
    fn common(&self, first: usize, text: &[u8]) -> (Range<usize>, usize) {
        let from = first.checked_sub(1).map_or(0, |before| self.lines[before].until);
        let known = &self.bytes[from..];
        if text.starts_with(known) {
            return (first..self.lines.len(), known.len());
        }
        let both = known.len().min(text.len());
        let equal = match known[..both] == text[..both] {
            true => both,
            false => common_bytes(known, text),
        };
        let count =
            self.lines[first..].iter().take_while(|line| line.until - from <= equal).count();
        let until = (first + count).checked_sub(1).map_or(0, |last| self.lines[last].until);
        (first..first + count, until.max(from) - from)
    }
}

/// How many bytes both begin with.
fn common_bytes(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let at = STEP * steps.take_while(|(one, other)| one == other).count();
    at + one[at..].iter().zip(&other[at..]).take_while(|(one, other)| one == other).count()
}

/// A lane as one of its versions prints it.
struct LaneText {
    /// `None`: nothing is rendered.
    of: Option<(u16, Version)>,
    text: Text,
}

/// Lines that were taken: where they are kept, and the bytes of their text.
#[derive(Clone, Debug)]
pub struct Taken {
    place: Place,
    lines: Range<usize>,
    /// Bytes, newlines included.
    pub bytes: usize,
}

impl Taken {
    /// How many lines.
    pub fn count(&self) -> usize {
        self.lines.len()
    }
}

/// Where lines are kept.
#[derive(Clone, Copy, Debug)]
enum Place {
    Below,
    Above,
    Lane(usize),
}

/// What one reader compares with.
pub struct LineCache {
    lanes: Box<[LaneText]>,
}

impl LineCache {
    /// For an arena of this shape; everything it will ever need is allocated here.
    pub fn new(geometry: &Geometry) -> LineCache {
        let places = geometry.lanes.min(MOST_LANES);
        let lane = || LaneText { of: None, text: Text::with_room(LANE_LINES, LANE_BYTES) };
        LineCache { lanes: (0..places).map(|_| lane()).collect() }
    }

    /// Takes the whole lines that `text` begins with, as long as they stand in one lane, or on one side
    /// of the arena, and are what has to come next; `walk` passes them. `None` where there is none, or
    /// where only the rules can tell; then nothing has changed.
    pub fn take(
        &mut self,
        walk: &mut Walk<'_>,
        identities: &Identities,
        outside: &Outside,
        text: &[u8],
        window: Window,
    ) -> Option<Taken> {
        let pos = walk.pos()?;
        let below = outside.below.behind(pos);
        let line = |behind| match behind {
            Behind::Line(at) => Some(at),
            Behind::Across | Behind::Nothing => None,
        };
        if below == Behind::Across {
            return None;
        }
        let ahead = walk.ahead(window, below != Behind::Nothing)?;
        let (place, first) = match ahead {
            Ahead::Lane { lane, version, .. } => {
                let place = self.render(walk, identities, lane, version)?;
                (Place::Lane(place), line(self.lanes[place].text.behind(pos))?)
            }
            Ahead::Outside(_) => match line(below) {
                Some(first) => (Place::Below, first),
                None => (Place::Above, line(outside.above.behind(pos))?),
            },
        };
        let known = self.text(place, outside);
        let (lines, bytes) = known.common(first, text);
        walk.pass(ahead, &known.lines[lines.clone()]).then_some(Taken { place, lines, bytes })
    }

    /// What the lines show that were taken last.
    pub fn lines<'c>(
        &'c self,
        taken: &Taken,
        outside: &'c Outside,
    ) -> impl Iterator<Item = &'c Observation> {
        let text = self.text(taken.place, outside);
        text.lines[taken.lines.clone()].iter().map(|line| &line.seen)
    }

    fn text<'c>(&'c self, place: Place, outside: &'c Outside) -> &'c Text {
        match place {
            Place::Below => &outside.below,
            Place::Above => &outside.above,
            Place::Lane(at) => &self.lanes[at].text,
        }
    }

    /// The place where the text of this version of the lane stands; `None` where the history no longer
    /// has it.
    fn render(
        &mut self,
        walk: &Walk<'_>,
        identities: &Identities,
        lane: u16,
        version: Version,
    ) -> Option<usize> {
        let places = self.lanes.len();
        // Mostly each lane has a place of its own, and dividing takes long.
        let at = usize::from(lane);
        let at = if at < places { at } else { at % places };
        let LaneText { of, text } = &mut self.lanes[at];
        if *of == Some((lane, version)) {
            return Some(at);
        }
        *of = None;
        text.clear();
        let (geometry, history) = (walk.oracle().geometry(), walk.oracle().history(lane));
        for (start, end) in history.vmas(version) {
            let page = history.page(version, start).visible();
            let (start, end) = (geometry.address(lane, start), geometry.address(lane, end));
            let seen = Observation { start, end, page };
            if !text.has_room(identities.longest_line()) {
                break;
            }
            identities.print(&seen, &mut text.bytes);
            text.lines.push(Rendered { seen, until: text.bytes.len() });
        }
        history.confirm(version).ok()?;
        *of = Some((lane, version));
        Some(at)
    }
}

#[cfg(test)]
mod tests;
