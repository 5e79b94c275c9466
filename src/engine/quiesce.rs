//! When nothing moves: is the kernel's layout the oracle's, page for page?

use super::incidents::ArenaText;
use crate::kernel::{Chunk, Identities, Line, Lines, MapsRead, parse};
use crate::model::{Geometry, Layout, MAX_PAGES, Page, Vma};
use crate::oracle::Outside;
use arrayvec::ArrayVec;
use rustix::io::Errno;
use std::fmt;

/// The VMAs of one lane as read, attributes as far as a line tells them.
pub type SeenVmas = ArrayVec<Vma, MAX_PAGES>;

/// A lane that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The lane.
    pub lane: u16,
    /// What the model says.
    pub expected: Layout,
    /// What the kernel shows.
    pub seen: SeenVmas,
    /// Whether a mapping in it is none of the arena's, or reaches out of it.
    pub stranger: bool,
}

impl Difference {
    /// What the kernel shows, as a layout is written: `[0..4 rw-p anon]`, or `empty`.
    pub fn seen_words(&self) -> String {
        let vma = |vma: &Vma| format!("[{}..{} {}]", vma.start, vma.end, vma.page);
        match self.seen.is_empty() {
            true => "empty".into(),
            false => self.seen.iter().map(vma).collect::<Vec<_>>().join(" "),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen_words();
        write!(f, "lane {} should be {}, maps shows {seen}", self.lane, self.expected)?;
        match self.stranger {
            true => f.write_str(" and a mapping that is none of the arena's"),
            false => Ok(()),
        }
    }
}

/// What a lane was read as.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SeenLane {
    /// Its VMAs, lowest first.
    pub vmas: SeenVmas,
    /// Whether a mapping in it is none of the arena's, or reaches out of it.
    pub stranger: bool,
}

impl SeenLane {
    /// Whether this is the layout, as far as maps tells.
    pub fn is(&self, layout: &Layout) -> bool {
        let expected = layout.vmas().map(|vma| Vma { page: vma.page.visible(), ..vma });
        !self.stranger && expected.eq(self.vmas.iter().copied())
    }

    /// How it differs from the layout, if it does.
    pub fn difference(&self, lane: u16, expected: &Layout) -> Option<Difference> {
        (!self.is(expected)).then(|| Difference {
            lane,
            expected: *expected,
            seen: self.vmas.clone(),
            stranger: self.stranger,
        })
    }
}

impl SeenLane {
    /// Adds a line that begins in the lane, or below the arena and reaches into it.
    fn add(&mut self, line: &Line<'_>, identities: &Identities, geometry: &Geometry) {
        let (_, start) = geometry.locate(line.start.max(geometry.base));
        let end = start + ((line.end - line.start) >> geometry.page_shift) as usize;
        // Every VMA begins and ends at a page (include/linux/mm_types.h): a line that does not
        // shows none of the arena's, whatever else it says.
        let whole = (line.start | line.end).is_multiple_of(geometry.page_size());
        let page = if whole { identities.sight(line).page } else { Page::FOREIGN };
        let fits = line.start >= geometry.base && end <= geometry.pages as usize;
        self.stranger |= !fits || self.vmas.try_push(Vma { start, end, page }).is_err();
    }
}

/// The lane that a line of the arena belongs to; nothing for a line outside the arena.
fn lane_of(line: &Line<'_>, geometry: &Geometry) -> Option<u16> {
    let inside = line.start < geometry.end() && line.end > geometry.base;
    inside.then(|| geometry.locate(line.start.max(geometry.base)).0)
}

/// [`read_lanes`] of a text in memory, each line with its newline.
pub fn sort_lanes(
    text: &[u8],
    identities: &Identities,
    geometry: &Geometry,
    lanes: &mut [SeenLane],
) {
    for text in text.split(|&byte| byte == b'\n').filter(|text| !text.is_empty()) {
        let line = parse(text).ok();
        match line.and_then(|line| Some((lane_of(&line, geometry)?, line))) {
            Some((lane, line)) => lanes[lane as usize].add(&line, identities, geometry),
            None => lanes.iter_mut().for_each(|lane| lane.stranger = true),
        }
    }
}

/// Reads all of `source` and sorts what lies in the arena into `lanes`, one a lane. Allocates
/// nothing. A line that does not parse counts as a stranger in every lane.
///
/// # Errors
/// What reading gave.
pub fn read_lanes(
    source: &mut (impl MapsRead + ?Sized),
    identities: &Identities,
    geometry: &Geometry,
    lines: &mut Lines,
    lanes: &mut [SeenLane],
) -> Result<(), Errno> {
    read_lanes_and(source, identities, geometry, lines, lanes, |_, _| {})
}

/// Takes down the lines of `source` outside of the arena, while nothing moves.
///
/// # Errors
/// What reading gave.
pub fn read_outside(
    source: &mut (impl MapsRead + ?Sized),
    identities: &Identities,
    geometry: &Geometry,
    outside: &mut Outside,
) -> Result<(), Errno> {
    outside.clear();
    read_lanes_and(source, identities, geometry, &mut Lines::default(), &mut [], |line, text| {
        outside.push(identities.sight_in(line, geometry), text, geometry);
    })
}

/// [`read_lanes`] that takes down the arena's lines in `text`, and hands each other line that parses to
/// `outside`, with its text without the newline.
///
/// # Errors
/// What reading gave.
pub(super) fn read_all(
    source: &mut (impl MapsRead + ?Sized),
    identities: &Identities,
    geometry: &Geometry,
    lines: &mut Lines,
    lanes: &mut [SeenLane],
    text: &mut ArenaText,
    mut outside: impl FnMut(&Line<'_>, &[u8]),
) -> Result<(), Errno> {
    text.clear();
    read_lanes_and(source, identities, geometry, lines, lanes, |line, whole| {
        match geometry.overlaps(line.start, line.end) {
            true => text.push(whole),
            false => outside(line, whole),
        }
    })
}

/// [`read_lanes`] that hands each line that parses to `take`, with its text without the newline.
///
/// # Errors
/// What reading gave.
fn read_lanes_and(
    source: &mut (impl MapsRead + ?Sized),
    identities: &Identities,
    geometry: &Geometry,
    lines: &mut Lines,
    lanes: &mut [SeenLane],
    mut take: impl FnMut(&Line<'_>, &[u8]),
) -> Result<(), Errno> {
    for lane in lanes.iter_mut() {
        lane.vmas.clear();
        lane.stranger = false;
    }
    // As good as any: nothing changes meanwhile, so it does not matter which call makes a line.
    let mut text = [0; 4096];
    let mut offset = 0;
    lines.start(false);
    loop {
        let got = source.pread(&mut text, offset)?;
        if got == 0 {
            return Ok(());
        }
        offset += got as u64;
        lines.feed(&text[..got], 0, |chunk| {
            let Chunk { text, .. } = chunk;
            let Ok(line) = parse(text) else {
                lanes.iter_mut().for_each(|lane| lane.stranger = true);
                return;
            };
            take(&line, text);
            if let Some(lane) = lane_of(&line, geometry) {
                let Some(lane) = lanes.get_mut(usize::from(lane)) else { return };
                lane.add(&line, identities, geometry);
            }
        });
    }
}
