//! Text a reader has met before: what a version of a lane prints need not be parsed again.
//!
//! Most lanes stay as they are from one walk to the next. Once a line of a lane is judged, and the
//! version that explains it is the one that explained it the last time, the lines behind it are the
//! same as well, unless the kernel got it wrong; so their bytes are compared with those of the last
//! time. What differs in a single byte is parsed and judged line by line.

use crate::oracle::{Reached, Sighting};
use arrayvec::ArrayVec;

/// Lanes remembered at a time; lanes that share a slot push each other out.
const SLOTS: usize = 16;
/// Bytes remembered of a lane.
const BYTES: usize = 2048;
/// Lines remembered of a lane.
const LINES: usize = 63;

/// One line: what it shows, and where its text ends in the slot's, newline included.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub seen: Sighting,
    until: usize,
}

/// Lines that follow each other in one version of one lane.
struct Slot {
    reached: Option<Reached>,
    /// The end of the line before the first.
    behind: u64,
    lines: ArrayVec<Known, LINES>,
    text: [u8; BYTES],
}

impl Slot {
    fn used(&self) -> usize {
        self.lines.last().map_or(0, |line| line.until)
    }

    fn end(&self) -> u64 {
        self.lines.last().map_or(self.behind, |line| line.seen.end)
    }

    /// How many lines lie before the one that follows address `pos`.
    fn before(&self, pos: u64) -> Option<usize> {
        if pos == self.behind {
            return Some(0);
        }
        self.lines.iter().position(|line| line.seen.end == pos).map(|at| at + 1)
    }

    fn append(&mut self, seen: &Sighting, text: &[u8]) {
        let (from, until) = (self.used(), self.used() + text.len() + 1);
        if until <= BYTES && !self.lines.is_full() {
            self.text[from..until - 1].copy_from_slice(text);
            self.text[until - 1] = b'\n';
            self.lines.push(Known { seen: *seen, until });
        }
    }
}

/// What one reader remembers.
pub(super) struct Familiar {
    /// The last is for lines below the arena.
    slots: Box<[Slot]>,
}

impl Familiar {
    /// Room for everything it will ever remember.
    pub(super) fn new() -> Familiar {
        let slot = |_| Slot { reached: None, behind: 0, lines: ArrayVec::new(), text: [0; BYTES] };
        Familiar { slots: (0..=SLOTS).map(slot).collect() }
    }

    fn slot(&self, reached: Reached) -> usize {
        reached.lane.map_or(SLOTS, |lane| lane as usize % SLOTS)
    }

    /// A line is right. `before` and `after` tell what the walk had reached before and behind it,
    /// `pos` where it stood before it.
    ///
    /// Only what one version explains is kept together: with the same version before and behind a
    /// line, it shows the line, and nothing between the line and `pos`.
    #[inline]
    pub(super) fn note(
        &mut self,
        before: Reached,
        after: Reached,
        pos: Option<u64>,
        seen: &Sighting,
        text: &[u8],
    ) {
        let slot = self.slot(after);
        let slot = &mut self.slots[slot];
        if slot.reached == Some(after) {
            if before == after && pos == Some(slot.end()) {
                return slot.append(seen, text);
            }
            // What begins lower is worth more.
            if seen.end >= slot.behind {
                return;
            }
        }
        slot.reached = Some(after);
        slot.behind = seen.end;
        slot.lines.clear();
    }

    /// The lines at the beginning of `text` that are known to follow address `pos` in what was
    /// `reached`, and their bytes. All of `text` has to be known, or all that is known to be there.
    #[inline]
    pub(super) fn recognise(
        &self,
        reached: Reached,
        pos: u64,
        text: &[u8],
    ) -> Option<(&[Known], usize)> {
        let slot = &self.slots[self.slot(reached)];
        if slot.reached != Some(reached) {
            return None;
        }
        let first = slot.before(pos)?;
        let from = first.checked_sub(1).map_or(0, |last| slot.lines[last].until);
        let known = &slot.text[from..slot.used()];
        let both = known.len().min(text.len());
        if known[..both] != text[..both] {
            return None;
        }
        let lines = &slot.lines[first..];
        let whole = lines.iter().take_while(|line| line.until - from <= both).count();
        let lines = &lines[..whole];
        Some((lines, lines.last()?.until - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Page, Prot};

    fn seen(start: u64, end: u64) -> Sighting {
        Sighting { start, end, page: Page::anon(Prot::from_bits(3)) }
    }

    fn at(lane: u16, version: u64) -> Reached {
        Reached { lane: Some(lane), version }
    }

    /// Lines "a", "bb" and "ccc" of lane 3, version 7, ending at 10, 20 and 30.
    fn noted() -> Familiar {
        let mut familiar = Familiar::new();
        familiar.note(at(2, 5), at(3, 7), Some(0), &seen(0, 10), b"a");
        familiar.note(at(3, 7), at(3, 7), Some(10), &seen(10, 20), b"bb");
        familiar.note(at(3, 7), at(3, 7), Some(20), &seen(20, 30), b"ccc");
        familiar
    }

    fn told(familiar: &Familiar, reached: Reached, pos: u64, text: &[u8]) -> (Vec<u64>, usize) {
        let Some((lines, bytes)) = familiar.recognise(reached, pos, text) else {
            return (Vec::new(), 0);
        };
        (lines.iter().map(|line| line.seen.end).collect(), bytes)
    }

    #[test]
    fn the_lines_behind_a_line_are_known_by_their_bytes() {
        let familiar = noted();
        assert_eq!(told(&familiar, at(3, 7), 10, b"bb\nccc\nd\n"), (vec![20, 30], 7));
        assert_eq!(told(&familiar, at(3, 7), 20, b"ccc\n"), (vec![30], 4));
        // A call ends in between.
        assert_eq!(told(&familiar, at(3, 7), 10, b"bb\n"), (vec![20], 3));
        assert_eq!(told(&familiar, at(3, 7), 10, b"bb\ncc"), (vec![20], 3));
        // Nothing is known behind the last.
        assert_eq!(told(&familiar, at(3, 7), 30, b"d\n"), (vec![], 0));
    }

    #[test]
    fn other_bytes_another_version_lane_or_place_are_not_known() {
        let familiar = noted();
        for (reached, pos, text) in [
            (at(3, 7), 10, &b"bb\nccd\n"[..]),
            (at(3, 7), 10, b"cb\nccc\n"),
            (at(3, 8), 10, b"bb\nccc\n"),
            (at(4, 7), 10, b"bb\nccc\n"),
            (at(3 + SLOTS as u16, 7), 10, b"bb\nccc\n"),
            (at(3, 7), 11, b"bb\nccc\n"),
            (Reached { lane: None, version: 7 }, 10, b"bb\nccc\n"),
        ] {
            assert_eq!(told(&familiar, reached, pos, text), (vec![], 0), "{reached:?} {pos}");
        }
    }

    #[test]
    fn a_line_that_another_version_leads_to_is_not_known() {
        let mut familiar = noted();
        // The hole before this line was judged by version 6.
        familiar.note(at(3, 6), at(3, 7), Some(30), &seen(40, 50), b"dddd");
        assert_eq!(told(&familiar, at(3, 7), 30, b"dddd\n"), (vec![], 0));
        assert_eq!(told(&familiar, at(3, 7), 20, b"ccc\ndddd\n"), (vec![30], 4));
    }

    #[test]
    fn a_new_version_or_a_lower_beginning_takes_the_place() {
        let mut familiar = noted();
        familiar.note(at(2, 5), at(3, 7), Some(0), &seen(0, 5), b"new");
        familiar.note(at(3, 7), at(3, 7), Some(5), &seen(5, 10), b"a");
        assert_eq!(told(&familiar, at(3, 7), 5, b"a\n"), (vec![10], 2));
        assert_eq!(told(&familiar, at(3, 7), 10, b"bb\nccc\n"), (vec![], 0));
        familiar.note(at(3, 7), at(3, 8), Some(5), &seen(8, 11), b"b");
        assert_eq!(told(&familiar, at(3, 7), 5, b"a\n"), (vec![], 0));
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut familiar = Familiar::new();
        familiar.note(at(0, 0), at(0, 1), None, &seen(0, 1), b"");
        let long = [b'x'; BYTES / 4];
        for n in 1..10 {
            familiar.note(at(0, 1), at(0, 1), Some(n), &seen(n, n + 1), &long);
        }
        let line = [&long[..], b"\n"].concat();
        let text = line.repeat(9);
        assert_eq!(told(&familiar, at(0, 1), 1, &text), (vec![2, 3, 4], 3 * line.len()));
    }
}
