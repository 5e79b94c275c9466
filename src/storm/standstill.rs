//! When nothing moves: is the kernel's layout the oracle's, page for page?

use crate::arena::Identities;
use crate::maps::{Chunk, Lines, MapsRead, parse};
use crate::space::{Geometry, Layout, MAX_PAGES, Vma};
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

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} should be {}, maps shows", self.lane, self.expected)?;
        for vma in &self.seen {
            write!(f, " [{}..{} {}]", vma.start, vma.end, vma.page)?;
        }
        if self.seen.is_empty() {
            f.write_str(" nothing")?;
        }
        if self.stranger {
            f.write_str(" and a mapping that is none of the arena's")?;
        }
        Ok(())
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
    for lane in lanes.iter_mut() {
        lane.vmas.clear();
        lane.stranger = false;
    }
    let mut page = [0; 4096];
    let mut offset = 0;
    lines.start(false);
    loop {
        let got = source.pread(&mut page, offset)?;
        if got == 0 {
            return Ok(());
        }
        offset += got as u64;
        lines.feed(&page[..got], 0, |chunk| {
            let line = match chunk {
                Chunk::Line(text, _) => parse(text).ok(),
                Chunk::TooLong => None,
            };
            let Some(line) = line else {
                lanes.iter_mut().for_each(|lane| lane.stranger = true);
                return;
            };
            if line.start >= geometry.end() || line.end <= geometry.base {
                return;
            }
            let (lane, start) = geometry.locate(line.start.max(geometry.base));
            let lane = &mut lanes[lane as usize];
            let end = start + ((line.end - line.start) >> geometry.page_shift) as usize;
            let page = identities.sight(&line).page;
            let fits = line.start >= geometry.base && end <= geometry.pages as usize;
            lane.stranger |= !fits || lane.vmas.try_push(Vma { start, end, page }).is_err();
        });
    }
}
