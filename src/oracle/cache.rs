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
mod tests {
    use super::*;
    use crate::model::{Layout, Op, Page, Place as At, Prot, Span};
    use crate::oracle::{Oracle, Verdict};

    /// More lanes than there are places for, of six pages each: two VMAs with a hole between them.
    const LANES: u16 = MOST_LANES + 4;

    fn geometry() -> Geometry {
        Geometry::new(0x7f00_0000_0000, 4096, LANES.into(), 6)
    }

    fn oracle() -> Oracle {
        let layout = Layout::empty(6).repaged(|pages| {
            for (page, prot) in [(0, 1), (1, 1), (3, 3), (4, 1)] {
                pages[page] = Page::anon(Prot::from_bits(prot));
            }
        });
        Oracle::new(geometry(), &[layout; LANES as usize], 8)
    }

    fn identities() -> Identities {
        Identities::new(12, Vec::new())
    }

    /// The newest version's lines of a lane, and their text.
    fn lane(oracle: &Oracle, lane: u16) -> (Vec<Observation>, Vec<u8>) {
        let layout = oracle.hold(lane).current().layout;
        let at = |page| geometry().address(lane, page);
        let line = |vma: crate::model::Vma| Observation {
            start: at(vma.start),
            end: at(vma.end),
            page: vma.page.visible(),
        };
        let lines: Vec<Observation> = layout.vmas().map(line).collect();
        let mut text = Vec::new();
        lines.iter().for_each(|line| identities().print(line, &mut text));
        (lines, text)
    }

    fn now(oracle: &Oracle) -> Window {
        Window { from: oracle.clock().now(), to: oracle.clock().now() }
    }

    /// Unmaps the lane's first page.
    fn change(oracle: &Oracle, lane: u16) {
        let op = Op::Unmap { at: At { lane, span: Span::new(0, 1) } };
        let mut held = oracle.hold(lane);
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.returned(invoked);
    }

    /// How many lines and bytes are taken of `text` by a walk at the beginning of the lane.
    fn taken(oracle: &Oracle, cache: &mut LineCache, lane: u16, text: &[u8]) -> (usize, usize) {
        let (window, mut walk) = (now(oracle), Walk::new(oracle));
        walk.begin(Some(geometry().base), window);
        for below in 0..lane {
            for line in self::lane(oracle, below).0 {
                assert_eq!(walk.line(&line, window), Verdict::Right);
            }
        }
        let taken = cache.take(&mut walk, &identities(), &Outside::default(), text, window);
        taken.map_or((0, 0), |taken| (taken.count(), taken.bytes))
    }

    #[test]
    fn whole_lines_are_taken_up_to_the_first_byte_that_differs() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let text = lane(&oracle, 0).1;
        let ends: Vec<usize> = (1..=text.len()).filter(|&at| text[at - 1] == b'\n').collect();
        assert_eq!(taken(&oracle, &mut cache, 0, &text), (3, text.len()));
        for at in 0..text.len() {
            let count = ends.iter().filter(|&&end| end <= at).count();
            let bytes = count.checked_sub(1).map_or(0, |last| ends[last]);
            let mut wrong = text.clone();
            wrong[at] ^= 1;
            assert_eq!(taken(&oracle, &mut cache, 0, &wrong), (count, bytes), "byte {at}");
            assert_eq!(taken(&oracle, &mut cache, 0, &text[..at]), (count, bytes), "cut at {at}");
        }
    }

    #[test]
    fn a_line_left_out_put_in_or_put_elsewhere_is_not_taken() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let (lines, text) = lane(&oracle, 0);
        let print = |lines: &[Observation]| {
            let mut text = Vec::new();
            lines.iter().for_each(|line| identities().print(line, &mut text));
            text
        };
        let first = print(&lines[..1]).len();
        assert_eq!(taken(&oracle, &mut cache, 0, &text[first..]), (0, 0), "the first is missing");
        let gap = [lines[0], lines[2]];
        assert_eq!(
            taken(&oracle, &mut cache, 0, &print(&gap)),
            (1, first),
            "the second is missing"
        );
        let twice = [lines[0], lines[0], lines[1]];
        assert_eq!(
            taken(&oracle, &mut cache, 0, &print(&twice)),
            (1, first),
            "the first came twice"
        );
        let above = lane(&oracle, 1).1;
        assert_eq!(taken(&oracle, &mut cache, 0, &above), (0, 0), "a lane is missing");
    }

    #[test]
    fn the_text_of_a_version_that_is_over_is_not_taken() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let before = lane(&oracle, 0).1;
        assert_eq!(taken(&oracle, &mut cache, 0, &before), (3, before.len()));
        change(&oracle, 0);
        assert_eq!(taken(&oracle, &mut cache, 0, &before), (0, 0));
        let after = lane(&oracle, 0).1;
        assert_eq!(taken(&oracle, &mut cache, 0, &after), (3, after.len()));
    }

    #[test]
    fn lanes_that_share_a_place_have_each_their_own_text() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        for number in [0, MOST_LANES, 0, MOST_LANES] {
            let text = lane(&oracle, number).1;
            assert_eq!(taken(&oracle, &mut cache, number, &text), (3, text.len()), "{number}");
        }
    }

    #[test]
    fn what_a_failed_operation_left_is_not_taken() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let op = Op::Unmap { at: At { lane: 0, span: Span::new(0, 1) } };
        let mut held = oracle.hold(0);
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.failed(invoked, &mut held, None);
        drop(held);
        let text = lane(&oracle, 0).1;
        assert_eq!(taken(&oracle, &mut cache, 0, &text), (0, 0));
    }

    #[test]
    fn a_lane_that_two_moves_bear_on_is_left_to_the_rules() {
        let oracle = oracle();
        let span = Span::new(0, 1);
        let (from, to) = (At { lane: 0, span }, At { lane: 1, span });
        let op = Op::Remap { from, to, keep: false };
        let window = Window { from: oracle.clock().now(), to: u64::MAX };
        let old = lane(&oracle, 1).1;
        {
            let (mut first, mut second) = (oracle.hold(0), oracle.hold(1));
            let invoked = oracle.invoke(&op, 0, &mut first, Some(&mut second));
            oracle.returned(invoked);
        }
        let mut walk = Walk::new(&oracle);
        walk.begin(Some(geometry().base), window);
        for line in lane(&oracle, 0).0 {
            assert_eq!(walk.line(&line, window), Verdict::Right, "as it is after the move");
        }
        let mut cache = LineCache::new(&geometry());
        let known = cache.take(&mut walk, &identities(), &Outside::default(), &old, window);
        assert!(known.is_none(), "as it was before");
    }

    /// Lines outside of the arena, each of a page.
    fn outside(starts: &[u64]) -> (Outside, Vec<u8>) {
        let (mut outside, mut text) = (Outside::with_room(8, 512), Vec::new());
        for &start in starts {
            let line = format!("{start:x}-{:x} r--p", start + 4096);
            let seen = Observation { start, end: start + 4096, page: Page::FOREIGN };
            outside.push(seen, line.as_bytes(), &geometry());
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        (outside, text)
    }

    #[test]
    fn what_lies_outside_is_taken_as_it_was_at_the_standstill() {
        let oracle = oracle();
        let mut cache = LineCache::new(&geometry());
        let (base, end) = (geometry().base, geometry().end());
        let (known, _) = outside(&[base - 0x3000, base - 0x2000, end, end + 0x2000]);
        let take = |cache: &mut LineCache, pos: u64, starts: &[u64]| {
            let (window, mut walk) = (now(&oracle), Walk::new(&oracle));
            walk.begin(Some(pos), window);
            let text = outside(starts).1;
            let taken = cache.take(&mut walk, &identities(), &known, &text, window);
            taken.map_or(0, |taken| taken.count())
        };
        assert_eq!(take(&mut cache, 0, &[base - 0x3000, base - 0x2000]), 2);
        assert_eq!(take(&mut cache, 0, &[base - 0x3000, base - 0x1000]), 1, "another one");
        assert_eq!(take(&mut cache, 0, &[base - 0x2000]), 0, "one is missing");
        assert_eq!(take(&mut cache, base - 0x2000, &[base - 0x2000]), 1, "behind the first");
        assert_eq!(take(&mut cache, end, &[end, end + 0x2000]), 2);
        assert_eq!(take(&mut cache, base, &[end]), 0, "all lanes are missing");
        assert_eq!(
            take(&mut cache, base - 0x2800, &[base - 0x3000, base - 0x2000]),
            0,
            "it begins below"
        );
        assert_eq!(take(&mut cache, base - 0x2800, &[base - 0x2000]), 0, "a line lies across");
        let lanes = lane(&oracle, 0).1;
        let (window, mut walk) = (now(&oracle), Walk::new(&oracle));
        walk.begin(Some(base - 0x1800), window);
        let taken = cache.take(&mut walk, &identities(), &known, &lanes, window);
        assert!(taken.is_none(), "of the one across the rules tell");
    }

    #[test]
    fn a_new_standstill_replaces_what_lay_outside() {
        let oracle = oracle();
        let (mut cache, window) = (LineCache::new(&geometry()), now(&oracle));
        let (mut known, before) = outside(&[0x1000, 0x3000]);
        known.clear();
        let seen = Observation { start: 0x5000, end: 0x6000, page: Page::FOREIGN };
        known.push(seen, b"5000-6000 r--p", &geometry());
        for (text, lines) in [(&before[..], None), (b"5000-6000 r--p\n", Some(1))] {
            let mut walk = Walk::new(&oracle);
            walk.begin(Some(0), window);
            let taken = cache.take(&mut walk, &identities(), &known, text, window);
            assert_eq!(taken.map(|taken| taken.count()), lines);
        }
    }

    #[test]
    fn a_walk_that_begins_within_a_lane_is_left_to_the_rules() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let (window, mut walk) = (now(&oracle), Walk::new(&oracle));
        let (lines, text) = lane(&oracle, 0);
        let mut first = Vec::new();
        identities().print(&lines[0], &mut first);
        walk.begin(Some(lines[0].end), window);
        let rest = &text[first.len()..];
        assert!(cache.take(&mut walk, &identities(), &Outside::default(), rest, window).is_none());
    }

    /// Fills the lane's history with versions until the first is gone.
    fn run_over(oracle: &Oracle, lane: u16) {
        let layout = oracle.hold(lane).current().layout;
        (0..8).for_each(|_| oracle.repair(&mut oracle.hold(lane), &layout));
    }

    #[test]
    fn a_version_that_is_gone_is_not_rendered() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let walk = Walk::new(&oracle);
        assert!(cache.render(&walk, &identities(), 0, 0).is_some());
        run_over(&oracle, 1);
        assert!(cache.render(&walk, &identities(), 1, 0).is_none());
        let head = oracle.history(1).head();
        assert!(cache.render(&walk, &identities(), 1, head).is_some());
    }

    #[test]
    fn lines_of_a_version_that_is_gone_meanwhile_are_not_passed() {
        let (oracle, mut cache) = (oracle(), LineCache::new(&geometry()));
        let (window, mut walk) = (now(&oracle), Walk::new(&oracle));
        walk.begin(Some(geometry().base), window);
        let ahead = walk.ahead(window, false).unwrap();
        let place = cache.render(&walk, &identities(), 0, 0).unwrap();
        run_over(&oracle, 0);
        assert!(!walk.pass(ahead, &cache.lanes[place].text.lines));
        assert_eq!(walk.pos(), Some(geometry().base), "nothing has changed");
    }
}
