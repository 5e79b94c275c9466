//! What lies outside of the arena, as a standstill shows it, and what a walk lacks of it.
//!
//! Nobody in a storm maps anything outside of the arena while readers read. So a line that is the same
//! at the standstills before and after a walk was there all the time, and the walk has to show it, once
//! and unchanged (rules 1 and 2). Whether a line is the same at the next standstill is not known while
//! the walk is judged: what the walk lacks is a doubt until then. A line that did change meanwhile (a
//! stack that grew, what malloc took) decides nothing.

use super::cache::{Rendered, Text};
use super::verdict::{Break, Class, Rule};
use crate::kernel::Lines;
use crate::model::{Geometry, Observation};

/// The lines below and above the arena, as they were when nothing moved.
#[derive(Default)]
pub struct Outside {
    pub(super) below: Text,
    pub(super) above: Text,
    /// Lines for which there was no room.
    left_out: u64,
}

/// A line of the standstill that a walk lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lack {
    /// First address of the line.
    pub start: u64,
    /// One past its last.
    pub end: u64,
    /// Whether the walk shows another line in its place; else it shows nothing there.
    pub altered: bool,
}

impl Lack {
    /// `found` as it is when this line is the one that is lacking: before a line, or at the end.
    pub fn breaks(&self, found: Break) -> Break {
        let missing = Some(self.start);
        match found.observation {
            None => Break {
                rule: Rule::WholeLines,
                class: Class::Truncated,
                missing,
                gap_end: Some(self.end),
                ..found
            },
            Some(_) if self.altered => {
                Break { rule: Rule::Existence, class: Class::Unknown, missing: None, ..found }
            }
            Some(seen) => Break {
                rule: Rule::NoHole,
                class: Class::Hole,
                missing,
                gap_end: Some(seen.start),
                ..found
            },
        }
    }
}

/// A line as a walk, or an answer, shows it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'t> {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// All of its text, or its first [`Lines::HEAD`] bytes; `None` of an answer, which has no text
    /// and is told by its addresses.
    pub text: Option<&'t [u8]>,
}

impl Shown<'_> {
    /// Whether it is the line of a standstill.
    fn is(&self, line: &Rendered, text: &[u8]) -> bool {
        (line.seen.start, line.seen.end) == (self.start, self.end)
            && self.text.is_none_or(|shown| alike(shown, text))
    }
}

/// Whether two texts are of one line. Of a line that came in several calls no more is kept than its
/// first bytes: as many as both have are compared.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let cut = |text: &[u8]| text.len() == Lines::HEAD;
    one == other || cut(one) && other.starts_with(one) || cut(other) && one.starts_with(other)
}

impl Outside {
    /// Room for so many lines and bytes on each side.
    pub fn with_room(lines: usize, bytes: usize) -> Outside {
        let side = || Text::with_room(lines, bytes);
        Outside { below: side(), above: side(), left_out: 0 }
    }

    /// Forgets all lines.
    pub fn clear(&mut self) {
        self.below.clear();
        self.above.clear();
        self.left_out = 0;
    }

    /// Adds the next line, `text` without its newline, if it lies outside of the arena. A line that finds
    /// no room is left out, and nothing is asked of it.
    pub fn push(&mut self, seen: Observation, text: &[u8], geometry: &Geometry) {
        let side = match geometry.overlaps(seen.start, seen.end) {
            true => return,
            false if seen.end <= geometry.base => &mut self.below,
            false => &mut self.above,
        };
        if side.has_room(text.len() + 1) {
            side.bytes.extend_from_slice(text);
            side.bytes.push(b'\n');
            side.lines.push(Rendered { seen, until: side.bytes.len() });
        } else {
            self.left_out += 1;
        }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.sides().map(|side| side.lines.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lines for which there was no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn sides(&self) -> impl Iterator<Item = &Text> {
        [&self.below, &self.above].into_iter()
    }

    /// The lines, lowest first: first address, one past the last, text without newline.
    pub fn lines(&self) -> impl Iterator<Item = (u64, u64, &[u8])> {
        self.sides().flat_map(|side| {
            let lines = side.lines.iter().enumerate();
            lines.map(|(at, line)| (line.seen.start, line.seen.end, side.line(at)))
        })
    }

    /// The text of the line that begins at `start`.
    pub fn text_at(&self, start: u64) -> Option<&[u8]> {
        self.sides().find_map(|side| {
            let at = side.lines.binary_search_by_key(&start, |line| line.seen.start).ok()?;
            Some(side.line(at))
        })
    }

    /// Whether `other` has this line of this one, byte for byte.
    pub fn shares(&self, start: u64, other: &Outside) -> bool {
        self.text_at(start).is_some_and(|text| other.text_at(start) == Some(text))
    }

    /// Tells of each line that a walk lacks that stood at `pos` and then showed `shown`; of one that
    /// knows nothing of its position, of those alone that lie where the line does. Gives whether there
    /// is a line where `shown` lies: of another one nothing is known.
    pub fn lacks(&self, pos: Option<u64>, shown: &Shown<'_>, mut lack: impl FnMut(Lack)) -> bool {
        let from = pos.unwrap_or(shown.start).min(shown.start);
        let mut known = false;
        for side in self.sides() {
            let first = side.first_above(from);
            let behind = side.lines.iter().enumerate().skip(first);
            for (at, line) in behind.take_while(|(_, line)| line.seen.start < shown.end) {
                let Observation { start, end, .. } = line.seen;
                let altered = end > shown.start;
                known |= altered;
                // A line across the position was told when the walk came to it.
                let missed = altered || pos.is_some_and(|pos| pos <= start);
                if missed && !shown.is(line, side.line(at)) {
                    lack(Lack { start, end, altered });
                }
            }
        }
        known
    }

    /// Tells of each line above `pos`: those that a walk lacks which ends there.
    pub fn rest(&self, pos: u64, mut lack: impl FnMut(Lack)) {
        for side in self.sides() {
            for line in side.lines.iter().skip(side.first_above(pos)) {
                let Observation { start, end, .. } = line.seen;
                if start >= pos {
                    lack(Lack { start, end, altered: false });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Page;

    fn geometry() -> Geometry {
        Geometry::new(0x10_0000, 4096, 2, 4)
    }

    /// Lines of one letter each: addresses and letter.
    fn outside(lines: &[(u64, u64, char)]) -> Outside {
        let mut outside = Outside::with_room(8, 512);
        for &(start, end, letter) in lines {
            let seen = Observation { start, end, page: Page::FOREIGN };
            outside.push(seen, letter.to_string().as_bytes(), &geometry());
        }
        outside
    }

    fn lacks(
        outside: &Outside,
        pos: Option<u64>,
        line: (u64, u64, &str),
    ) -> (Vec<(u64, bool)>, bool) {
        let shown = Shown { start: line.0, end: line.1, text: Some(line.2.as_bytes()) };
        let mut told = Vec::new();
        let known = outside.lacks(pos, &shown, |lack| told.push((lack.start, lack.altered)));
        (told, known)
    }

    #[test]
    fn what_is_left_out_or_altered_is_told() {
        let known = outside(&[(10, 20, 'a'), (20, 30, 'b'), (40, 50, 'c')]);
        let told = |pos, line| lacks(&known, pos, line);
        assert_eq!(told(Some(0), (10, 20, "a")), (vec![], true));
        assert_eq!(told(Some(0), (20, 30, "b")), (vec![(10, false)], true));
        assert_eq!(told(Some(0), (40, 50, "c")), (vec![(10, false), (20, false)], true));
        assert_eq!(told(Some(20), (20, 30, "x")), (vec![(20, true)], true), "another text");
        assert_eq!(told(Some(20), (20, 31, "b")), (vec![(20, true)], true), "another end");
        assert_eq!(told(Some(20), (25, 30, "b")), (vec![(20, true)], true), "another start");
        assert_eq!(told(Some(30), (32, 36, "n")), (vec![], false), "a new one");
        assert_eq!(told(Some(10), (10, 30, "m")), (vec![(10, true), (20, true)], true), "merged");
        assert_eq!(told(None, (40, 50, "c")), (vec![], true), "nothing is known below");
        assert_eq!(told(None, (40, 50, "x")), (vec![(40, true)], true));
        assert_eq!(told(Some(25), (40, 50, "c")), (vec![], true), "told before");
        assert_eq!(told(Some(30), (0x10_0000, 0x10_1000, "l")), (vec![(40, false)], false));
    }

    #[test]
    fn what_lies_above_the_end_of_a_walk_is_told() {
        let known =
            outside(&[(10, 20, 'a'), (0x20_0000, 0x20_1000, 's'), (0x20_1000, 0x20_2000, 'v')]);
        let rest = |pos| {
            let mut told = Vec::new();
            known.rest(pos, |lack| told.push(lack.start));
            told
        };
        assert_eq!(rest(20), [0x20_0000, 0x20_1000]);
        assert_eq!(rest(0x20_1000), [0x20_1000]);
        assert_eq!(rest(0x20_2000), [0; 0]);
        assert_eq!(rest(0x20_0800), [0x20_1000], "one across was told before");
    }

    #[test]
    fn an_answer_is_told_by_its_addresses() {
        let known = outside(&[(0x20_0000, 0x20_1000, 's')]);
        let lacks = |start| {
            let mut told = 0;
            let shown = Shown { start, end: start + 0x1000, text: None };
            known.lacks(Some(0x10_0000), &shown, |_| told += 1);
            told
        };
        assert_eq!((lacks(0x20_0000), lacks(0x20_1000)), (0, 1));
    }

    #[test]
    fn of_a_long_line_as_much_is_compared_as_is_kept() {
        let long = vec![b'x'; 2 * Lines::HEAD];
        let head = &long[..Lines::HEAD];
        assert!(alike(&long, head) && alike(head, &long) && alike(head, head));
        assert!(!alike(&long, &long[..Lines::HEAD - 1]) && !alike(b"x", head));
    }

    #[test]
    fn a_line_is_shared_with_a_standstill_that_has_the_same() {
        let one = outside(&[(10, 20, 'a'), (20, 30, 'b'), (40, 50, 'c')]);
        let other = outside(&[(10, 20, 'a'), (20, 30, 'x'), (41, 50, 'c')]);
        let shared: Vec<bool> = [10, 20, 40].map(|start| one.shares(start, &other)).into();
        assert_eq!(shared, [true, false, false]);
        assert!(!one.shares(11, &one) && one.shares(40, &one));
    }

    #[test]
    fn lines_without_room_are_left_out() {
        let mut outside = Outside::with_room(2, 64);
        for n in 0..3u64 {
            let seen = Observation { start: n, end: n + 1, page: Page::FOREIGN };
            outside.push(seen, b"a line of twenty-one b", &geometry());
        }
        assert_eq!((outside.below.lines.len(), outside.left_out()), (2, 1));
        assert_eq!(outside.below.bytes.capacity(), 64, "nothing is allocated later");
    }
}
