//! Reading as the reader of a tear did: calls that begin in the same place, and are as long.

use crate::engine::{Course, ReadLog};
use crate::evidence::{RawLine, Tear, lines};
use crate::kernel::parse;
use crate::oracle::Break;
use crate::repro::scenario::{Boundary, Scenario};

/// Bytes of a line of maps, most of the time.
const MOST_OF_A_LINE: usize = 128;

/// Makes the scenario's reader read as the tear's did: its calls begin in the same place of the
/// lane and are as long. `lane` is the lane's number in the tear and in the scenario.
pub(super) fn read_alike(scenario: &mut Scenario, tear: &Tear, found: &Break, lane: (u16, u16)) {
    let mode = scenario.readers[0];
    if !mode.has_plain_lines() {
        return;
    }
    let text = tear.text();
    let lines = lines(tear, &text);
    // The line that breaks it is the last judged; what matters is the call that made it.
    let Some(broke) = lines.iter().rfind(|line| line.to <= tear.piece.to) else { return };
    let own = |line: &&RawLine<'_>| line.call == broke.call;
    let start_of = |line: &RawLine<'_>| parse(line.text).ok().map(|parsed| parsed.start);
    let Some(first) = lines.iter().find(own) else { return };
    // Where nothing but the broken line is left of the call, it began where the line before ended.
    let across = first.from == broke.from;
    let begins = if across { found.pos } else { start_of(first) };
    let geometry = &tear.geometry;
    let place = begins.filter(|&at| geometry.contains(at)).map(|at| geometry.locate(at));
    let page = place.filter(|(at, page)| *at == lane.0 && *page < geometry.pages as usize);
    let page = page.map(|(_, page)| page as u8);
    let boundary = |page: u8| Boundary { lane: lane.1, page };
    let asked = tear.calls[broke.call].asked as usize;
    let steps = !mode.begins_in_middle();
    let by_pages = mode.course() != Some(Course::Pieces) && asked as u64 >= tear.header.page_size;
    // A pread knows nothing of what lies below its first whole line, so only one that began in the
    // lane has to begin in the same place. A walk by pages has its boundaries where they fall.
    scenario.boundary = match page {
        _ if steps && by_pages => None,
        _ if steps => Some(boundary(page.unwrap_or(0))),
        page => page.filter(|_| !across).map(boundary),
    };
    if scenario.boundary.is_some() && !by_pages {
        let begun: usize = tear.calls[..broke.call].iter().map(|call| call.text.0.len()).sum();
        let in_lane = lines.iter().filter(own).find(|line| {
            start_of(line)
                .is_some_and(|at| geometry.contains(at) && geometry.locate(at).0 == lane.0)
        });
        // Of a call that began below the lane, only the part in the lane is read again. A pread
        // reads the line before it, too.
        let from = in_lane.filter(|_| steps).map_or(begun, |line| line.from);
        // A pread begins anywhere in that line: room for the rest of it.
        let line = if steps { 0 } else { MOST_OF_A_LINE };
        let left = begun + asked - from + line;
        scenario.later_reads = Some(left.clamp(1, ReadLog::LONGEST) as u32);
    }
}
