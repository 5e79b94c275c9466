//! Text a reader has met before: what a version of a lane prints need not be parsed again.
//!
//! Most lanes stay as they are from one walk to the next, and what lies below and above them
//! always does. As long as the version that explained a lane's lines is the one that has to explain
//! them, they are the same as the last time, unless the kernel got it wrong; so their bytes are
//! compared with those of the last time. What differs in a single byte is parsed and judged line by
//! line.

use crate::oracle::{Edges, Reached, Run, Shown, Sighting, Tick, Version, Walk, Window};
use crate::space::Geometry;
use std::borrow::Cow;
use std::ops::Range;

/// Lanes remembered at a time, at most; lanes that share a slot push each other out.
const MOST_LANES: u16 = 16;
/// Bytes remembered of a lane, and lines.
const BYTES: usize = 4096;
const LINES: usize = 64;
/// The same of what lies below the arena or above it: with many threads there are two lines for each
/// stack, and two for what each allocates from.
const OUTSIDE_BYTES: usize = 48 << 10;
const OUTSIDE_LINES: usize = 768;

/// One line: what it shows, and where its text ends in the slot's, newline included.
#[derive(Clone, Copy)]
struct Known {
    seen: Sighting,
    until: usize,
}

/// Where the lines of a slot begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// With the stretch: nothing of it lies below them.
    Stretch,
    /// Behind a line that ends here.
    Behind(u64),
}

/// What is known of a slot's lines without looking at them: in most walks that, and the bytes of
/// the text, is all that is looked at.
struct Head {
    /// All of them. Of a slot without lines only what shows them means something.
    run: Run,
    /// Bytes of their text.
    used: usize,
    begin: Begin,
}

/// Lines that follow each other in one version of a lane, or outside of the arena.
struct Body {
    /// Never more than there was room for at first.
    lines: Vec<Known>,
    text: Box<[u8]>,
}

/// Lines that a text begins with, and that were right once: so many, from number `first` of a slot
/// on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    slot: usize,
    first: usize,
    pub(super) count: usize,
    /// Their bytes.
    pub(super) bytes: usize,
}

/// What one reader remembers.
pub(super) struct Familiar {
    geometry: Geometry,
    /// Lanes, and then what lies below the arena, and above it.
    heads: Box<[Head]>,
    bodies: Box<[Body]>,
    /// Of each lane's slot, if all of the lane's lines are in it.
    whole: Box<[Option<Whole>]>,
}

/// A lane of which all lines are known, and since when its version is the first: all that is looked at
/// where nothing has changed.
#[derive(Clone, Copy)]
struct Whole {
    lane: u16,
    version: Version,
    /// As in [`Shown::In`], and never without a tick.
    since: Tick,
    /// Where its first line begins.
    start: u64,
    /// Lines, and bytes of their text.
    lines: u32,
    used: u32,
}

/// Whole lanes that follow each other: so many, from the one in slot `first` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lanes {
    first: usize,
    count: usize,
    /// Their lines.
    pub(super) lines: usize,
    /// The bytes of these.
    pub(super) bytes: usize,
}

/// Why no whole lane is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unmet {
    /// What comes next may be known all the same.
    Loose,
    /// What comes next is not known, or is no longer right.
    Other,
}

/// Whether two texts differ in the address that they begin with. Most often what comes is another
/// line of the lane before, and this is soon seen.
#[inline]
fn told_apart(text: &[u8], known: &[u8]) -> bool {
    let (text, known) = (text.first_chunk::<16>(), known.first_chunk());
    text.zip(known).is_some_and(|(text, known)| text != known)
}

/// Takes `known` away from the beginning of `text`, if that begins with it.
#[inline(always)]
fn take(text: &mut &[u8], known: &[u8]) -> bool {
    let rest = text.strip_prefix(known);
    *text = rest.unwrap_or(text);
    rest.is_some()
}

impl Head {
    /// Nothing in no version.
    const EMPTY: Head = Head {
        run: Run { shown: Shown::Below, start: 0, end: 0, single: false, gap: None, closes: false },
        used: 0,
        begin: Begin::Behind(u64::MAX),
    };

    fn clear(&mut self, shown: Shown, begin: Begin) {
        *self = Head { run: Run { shown, ..Head::EMPTY.run }, begin, ..Head::EMPTY };
    }

    /// Whether the lane's lines are remembered, as this version shows them.
    #[inline]
    fn is_of(&self, reached: Reached) -> bool {
        let Shown::In { lane, version, .. } = self.run.shown else { return false };
        Some(lane) == reached.lane && version == reached.version
    }

    /// Whether nothing is known behind `pos` because the last line ends there, or none is known.
    #[inline]
    fn ends_at(&self, pos: u64) -> bool {
        match self.used {
            0 => self.begin == Begin::Behind(pos),
            _ => self.run.end == pos,
        }
    }
}

impl Body {
    fn with_room(lines: usize, bytes: usize) -> Body {
        Body { lines: Vec::with_capacity(lines), text: vec![0; bytes].into() }
    }

    /// Where the text of line number `at` begins.
    fn from(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |last| self.lines[last].until)
    }

    /// Whether line number `at` is this one.
    fn has(&self, at: usize, text: &[u8]) -> bool {
        let known = self.lines.get(at).map(|line| &self.text[self.from(at)..line.until - 1]);
        known == Some(text)
    }

    /// The lines `first..first + count` as a run.
    fn run(&self, shown: Shown, first: usize, count: usize) -> Option<Run> {
        let lines = self.lines.get(first..first + count)?;
        let (begin, last) = (lines.first()?.seen, lines.last()?.seen);
        let gap = lines.iter().rev().nth(1).map(|line| (line.seen.end, last.start));
        let gap = gap.filter(|(from, to)| from < to);
        let (start, end, single) = (begin.start, last.end, count == 1);
        Some(Run { shown, start, end, single, gap, closes: false })
    }
}

impl Familiar {
    /// Room for everything it will ever remember.
    pub(super) fn new(geometry: Geometry) -> Familiar {
        let lanes = usize::from(geometry.lanes.min(MOST_LANES));
        let rooms = [(LINES, BYTES)].repeat(lanes);
        let rooms = rooms.into_iter().chain([(OUTSIDE_LINES, OUTSIDE_BYTES); 2]);
        Familiar {
            geometry,
            heads: (0..lanes + 2).map(|_| Head::EMPTY).collect(),
            bodies: rooms.map(|(lines, bytes)| Body::with_room(lines, bytes)).collect(),
            whole: vec![None; lanes].into(),
        }
    }

    #[inline]
    fn lane(&self, lane: u16) -> usize {
        let (lane, slots) = (usize::from(lane), self.heads.len() - 2);
        // Most often there is one for each, and dividing takes as long as comparing a line.
        if lane < slots { lane } else { lane % slots }
    }

    fn below(&self) -> usize {
        self.heads.len() - 2
    }

    fn above(&self) -> usize {
        self.heads.len() - 1
    }

    /// A line is right. `before` and `after` tell what the walk had reached before and behind it,
    /// `pos` where it stood before it, `edges` what it is in its lane.
    ///
    /// Only what one version explains is kept together: with the same version before and behind a
    /// line, it shows the line, and nothing between the line and `pos`.
    #[inline]
    pub(super) fn note(
        &mut self,
        before: Reached,
        after: Reached,
        pos: Option<u64>,
        edges: Edges,
        seen: &Sighting,
        text: &[u8],
    ) {
        let Edges { opens, closes } = edges;
        if !self.geometry.overlaps(seen.start, seen.end) {
            return self.note_outside(pos, seen, text);
        }
        // Where the lane is entered with it.
        let opens = opens.filter(|_| before != after);
        let Some(lane) = after.lane else { return };
        let slot = self.lane(lane);
        let head = &mut self.heads[slot];
        let shown = |since| Shown::In { lane, version: after.version, since };
        if head.is_of(after) {
            if before == after && pos.is_some_and(|pos| head.ends_at(pos)) {
                return self.append(slot, seen, text, closes);
            }
            match (head.begin, opens) {
                // Closed meanwhile, the version before tells since when.
                (Begin::Stretch, Some(since)) => {
                    head.run.shown = shown(since);
                    return self.look_whole(slot);
                }
                (Begin::Stretch, None) => return,
                // What begins lower is worth more.
                (Begin::Behind(behind), None) if seen.end >= behind => return,
                (Begin::Behind(_), _) => {}
            }
        }
        self.bodies[slot].lines.clear();
        self.whole[slot] = None;
        match opens {
            Some(since) => {
                head.clear(shown(since), Begin::Stretch);
                self.append(slot, seen, text, closes);
            }
            None => head.clear(shown(Tick::MAX), Begin::Behind(seen.end)),
        }
    }

    /// Of a line outside of the arena. With another line at the beginning of the stretch, or behind
    /// a line that is known, what is known from there on is no longer so.
    fn note_outside(&mut self, pos: Option<u64>, seen: &Sighting, text: &[u8]) {
        let Some(pos) = pos else { return };
        let (slot, shown, first) = if seen.end <= self.geometry.base {
            (self.below(), Shown::Below, pos == 0)
        } else {
            (self.above(), Shown::Above, pos <= self.geometry.end())
        };
        let at = if first { Some(0) } else { self.behind(slot, pos) };
        let body = &mut self.bodies[slot];
        let Some(at) = at.filter(|&at| !body.has(at, text)) else { return };
        body.lines.truncate(at);
        let head = &mut self.heads[slot];
        head.clear(shown, Begin::Stretch);
        if let Some(run) = body.run(shown, 0, at) {
            (head.run, head.used) = (run, body.from(at));
        }
        self.append(slot, seen, text, false);
    }

    fn append(&mut self, slot: usize, seen: &Sighting, text: &[u8], closes: bool) {
        let (head, body) = (&mut self.heads[slot], &mut self.bodies[slot]);
        let (from, until) = (head.used, head.used + text.len() + 1);
        if until > body.text.len() || body.lines.len() == body.lines.capacity() {
            return;
        }
        body.text[from..until - 1].copy_from_slice(text);
        body.text[until - 1] = b'\n';
        body.lines.push(Known { seen: *seen, until });
        let Run { shown, start, end, .. } = head.run;
        let run = Run { shown, start, end: seen.end, single: false, gap: None, closes };
        head.run = match from {
            0 => Run { start: seen.start, single: true, ..run },
            _ => Run { gap: (end < seen.start).then_some((end, seen.start)), ..run },
        };
        head.used = until;
        self.look_whole(slot);
    }

    /// Looks whether all of a lane's lines are known, where the slot is a lane's.
    fn look_whole(&mut self, slot: usize) {
        let (Some(whole), head) = (self.whole.get_mut(slot), &self.heads[slot]) else { return };
        let Run { shown, start, closes, .. } = head.run;
        *whole = match shown {
            Shown::In { lane, version, since }
                if closes && head.begin == Begin::Stretch && since != Tick::MAX =>
            {
                let (lines, used) = (self.bodies[slot].lines.len() as u32, head.used as u32);
                Some(Whole { lane, version, since, start, lines, used })
            }
            _ => None,
        };
    }

    /// The stretch that comes next, where address `pos` is the end of one, or the beginning of the
    /// file: of lane number `next` or of one above it, or what lies above all of them. Lanes without
    /// a VMA are not known; the checker looks whether they still have none.
    #[inline]
    fn next(&self, next: u16) -> usize {
        self.lanes_from(next).next().unwrap_or(self.above())
    }

    /// The slots of the lanes from number `first` on that are known.
    #[inline]
    fn lanes_from(&self, first: u16) -> impl Iterator<Item = usize> {
        (first..self.geometry.lanes).filter_map(|lane| {
            let slot = self.lane(lane);
            let known = self.heads[slot].run.shown;
            matches!(known, Shown::In { lane: known, .. } if known == lane).then_some(slot)
        })
    }

    /// The lanes from that of `slot` on, which [comes next](Familiar::comes), of which all lines are
    /// known: as many as are right in `window`, and as lie completely in `text`, one after the
    /// other, but not from below the addresses `play` into them, or from there on. With a lane between
    /// that has no line they are not taken together. `walk` comes to the end of what is met.
    #[inline(always)]
    pub(super) fn meet_whole(
        &self,
        slot: usize,
        text: &[u8],
        play: &Range<u64>,
        walk: &mut Walk<'_>,
        window: Window,
    ) -> Result<Lanes, Unmet> {
        let Some(Some(first)) = self.whole.get(slot) else { return Err(Unmet::Loose) };
        let known = &self.bodies[slot].text[..first.used as usize];
        if told_apart(text, known) {
            return Err(Unmet::Other);
        }
        if known.len() > text.len() {
            return Err(Unmet::Loose);
        }
        let now = walk.would_come(&self.heads[slot].run, window).ok_or(Unmet::Other)?;
        let mut rest = text;
        if !take(&mut rest, known) {
            return Err(Unmet::Other);
        }
        let borders = [play.start, play.end].into_iter();
        let border = borders.filter(|&at| first.start < at).min().unwrap_or(u64::MAX);
        let (mut last, mut below, mut count, mut lines) = (slot, None, 1, first.lines);
        for lane in first.lane + 1..self.geometry.lanes {
            let slot = if last + 1 < self.whole.len() { last + 1 } else { 0 };
            let Some(next) = self.whole[slot].filter(|next| next.lane == lane) else { break };
            if next.start >= border
                || !walk.goes_on(now, lane, next.version, next.since)
                || !take(&mut rest, &self.bodies[slot].text[..next.used as usize])
            {
                break;
            }
            (last, below, count, lines) = (slot, Some(last), count + 1, lines + next.lines);
        }
        let run = &self.heads[last].run;
        match below {
            None => walk.come_by(now, run),
            Some(below) => walk.go_on(now, self.heads[below].run.end, run),
        }
        let (lines, bytes) = (lines as usize, text.len() - rest.len());
        Ok(Lanes { first: slot, count, lines, bytes })
    }

    /// What whole lanes show.
    pub(super) fn lines_of(&self, lanes: &Lanes) -> impl Iterator<Item = &Sighting> {
        let slots = (lanes.first..).take(lanes.count).map(|slot| slot % self.whole.len());
        slots.flat_map(|slot| &self.bodies[slot].lines).map(|line| &line.seen)
    }

    /// The stretch whose lines come next behind address `pos`, where the walk has `reached` a
    /// version; `None` where lines of the stretch that was come to may follow.
    #[inline(always)]
    pub(super) fn comes(&self, reached: Reached, pos: u64) -> Option<usize> {
        match reached.lane {
            Some(lane) if pos <= self.geometry.end() => {
                let head = &self.heads[self.lane(lane)];
                (!head.is_of(reached) || head.ends_at(pos)).then(|| self.next(lane + 1))
            }
            _ if pos == 0 => Some(self.below()),
            None if pos <= self.geometry.end() => {
                let below = self.below();
                // What ends here has no line behind it: nobody has to look at any.
                let is_last = self.heads[below].ends_at(pos);
                (is_last || self.line_behind(below, pos).is_none()).then(|| self.next(0))
            }
            _ => None,
        }
    }

    /// The lines at the beginning of `text` that are known to follow address `pos`, where the walk
    /// has `reached` a version: the first of the stretch that `comes` next, if one does.
    #[inline(always)]
    pub(super) fn meet(
        &self,
        comes: Option<usize>,
        reached: Reached,
        pos: u64,
        text: &[u8],
    ) -> Option<Met> {
        match comes {
            Some(slot) => self.all(slot, text),
            None => self.follow(reached, pos, text),
        }
    }

    /// What comes behind `pos` in its own stretch.
    #[inline(never)]
    fn follow(&self, reached: Reached, pos: u64, text: &[u8]) -> Option<Met> {
        let slot = match reached.lane {
            _ if pos > self.geometry.end() => self.above(),
            Some(lane) => self.lane(lane),
            None => self.below(),
        };
        self.compare(slot, self.line_behind(slot, pos)?, text)
    }

    /// The number of the slot's line that follows address `pos`, if one is known.
    fn line_behind(&self, slot: usize, pos: u64) -> Option<usize> {
        self.behind(slot, pos).filter(|&first| first < self.bodies[slot].lines.len())
    }

    /// The lines of a slot from the beginning of its stretch.
    #[inline(always)]
    fn all(&self, slot: usize, text: &[u8]) -> Option<Met> {
        let (head, body) = (&self.heads[slot], &self.bodies[slot]);
        if head.begin != Begin::Stretch || head.used == 0 {
            return None;
        }
        if told_apart(text, &body.text[..head.used]) {
            return None;
        }
        if head.used > text.len() {
            return self.compare(slot, 0, text);
        }
        let known = text[..head.used] == body.text[..head.used];
        known.then_some(Met { slot, first: 0, count: body.lines.len(), bytes: head.used })
    }

    /// As many whole lines from number `first` on as `text` begins with. All of `text` has to be
    /// known, or all that is known to be there.
    #[inline(never)]
    fn compare(&self, slot: usize, first: usize, text: &[u8]) -> Option<Met> {
        let (head, body) = (&self.heads[slot], &self.bodies[slot]);
        let from = body.from(first);
        let known = &body.text[from..head.used];
        let both = known.len().min(text.len());
        if known[..both] != text[..both] {
            return None;
        }
        // One by one: most often they are few, and a search from the middle would fetch lines that
        // nobody needs, of which there are many outside of the arena.
        let whole = |line: &&Known| line.until - from <= both;
        let count = body.lines[first..].iter().take_while(whole).count();
        let bytes = body.from(first + count) - from;
        (count > 0).then_some(Met { slot, first, count, bytes })
    }

    /// How many lines of the slot lie before the one that follows address `pos`.
    fn behind(&self, slot: usize, pos: u64) -> Option<usize> {
        let lines = &self.bodies[slot].lines;
        if self.heads[slot].begin == Begin::Behind(pos) {
            return Some(0);
        }
        lines.binary_search_by_key(&pos, |line| line.seen.end).ok().map(|at| at + 1)
    }

    /// What the lines rest on that were met just now. Only from a lane's first VMA on may they follow
    /// what lies in another lane.
    #[inline(always)]
    pub(super) fn run(&self, met: &Met) -> Option<Cow<'_, Run>> {
        let (head, body) = (&self.heads[met.slot], &self.bodies[met.slot]);
        if met.bytes == head.used {
            return Some(Cow::Borrowed(&head.run));
        }
        let shown = match head.run.shown {
            Shown::In { lane, version, .. } if met.first > 0 => {
                Shown::In { lane, version, since: Tick::MAX }
            }
            shown => shown,
        };
        body.run(shown, met.first, met.count).map(Cow::Owned)
    }

    /// What they show.
    pub(super) fn lines(&self, met: &Met) -> impl Iterator<Item = &Sighting> {
        self.bodies[met.slot].lines[met.first..][..met.count].iter().map(|line| &line.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Oracle, Verdict};
    use crate::space::{Layout, Page, Prot};

    const BASE: u64 = 0x10_0000;

    /// Twenty lanes of eight pages of 16 bytes and a guard: 256 bytes each.
    fn geometry() -> Geometry {
        Geometry::new(BASE, 16, 20, 8)
    }

    fn seen(start: u64, end: u64) -> Sighting {
        Sighting { start, end, page: Page::anon(Prot::from_bits(3)) }
    }

    fn at(lane: u16, version: u64) -> Reached {
        Reached { lane: Some(lane), version }
    }

    const NOWHERE: Reached = Reached { lane: None, version: 0 };

    const INNER: Edges = Edges { opens: None, closes: false };
    const LAST: Edges = Edges { opens: None, closes: true };

    fn first(since: u64) -> Edges {
        Edges { opens: Some(since), closes: false }
    }

    fn lane(lane: u64) -> u64 {
        BASE + 256 * lane
    }

    /// Lines "a", "bb" and "ccc" of lane 3, version 7, ending at pages 1, 2 and 4.
    fn noted() -> Familiar {
        let (mut familiar, three) = (Familiar::new(geometry()), lane(3));
        let mut note = |before, pos, edges, (start, end), text: &[u8]| {
            familiar.note(before, at(3, 7), Some(pos), edges, &seen(start, end), text);
        };
        note(at(2, 5), lane(2) + 16, first(30), (three, three + 16), b"a");
        note(at(3, 7), three + 16, INNER, (three + 16, three + 32), b"bb");
        note(at(3, 7), three + 32, LAST, (three + 48, three + 64), b"ccc");
        familiar
    }

    fn meet(familiar: &Familiar, reached: Reached, pos: u64, text: &[u8]) -> Option<Met> {
        familiar.meet(familiar.comes(reached, pos), reached, pos, text)
    }

    fn told(familiar: &Familiar, reached: Reached, pos: u64, text: &[u8]) -> (Vec<u64>, usize) {
        let Some(met) = meet(familiar, reached, pos, text) else {
            return (Vec::new(), 0);
        };
        let ends: Vec<u64> = familiar.lines(&met).map(|seen| seen.end).collect();
        let run = familiar.run(&met).unwrap();
        assert_eq!((met.count, Some(&run.end)), (ends.len(), ends.last()));
        (ends, met.bytes)
    }

    #[test]
    fn the_lines_behind_a_line_are_known_by_their_bytes() {
        let (familiar, three) = (noted(), lane(3));
        let all = (vec![three + 32, three + 64], 7);
        assert_eq!(told(&familiar, at(3, 7), three + 16, b"bb\nccc\nd\n"), all);
        assert_eq!(told(&familiar, at(3, 7), three + 32, b"ccc\n"), (vec![three + 64], 4));
        // A call ends in between.
        assert_eq!(told(&familiar, at(3, 7), three + 16, b"bb\n"), (vec![three + 32], 3));
        assert_eq!(told(&familiar, at(3, 7), three + 16, b"bb\ncc"), (vec![three + 32], 3));
        // Nothing is known behind the last.
        assert_eq!(told(&familiar, at(3, 7), three + 64, b"d\n"), (vec![], 0));
    }

    #[test]
    fn a_lane_is_entered_with_its_first_line_and_what_it_rests_on_is_told() {
        let (familiar, three) = (noted(), lane(3));
        let met = meet(&familiar, at(2, 9), lane(2) + 48, b"a\nbb\nccc\nd\n").unwrap();
        let run = Run {
            shown: Shown::In { lane: 3, version: 7, since: 30 },
            start: three,
            end: three + 64,
            single: false,
            gap: Some((three + 32, three + 48)),
            closes: true,
        };
        assert_eq!((met.count, met.bytes, familiar.run(&met).as_deref()), (3, 9, Some(&run)));
        // From any lane below, of which nothing more is known, and from below the arena.
        assert!(meet(&familiar, at(0, 0), lane(0) + 16, b"a\n").is_some());
        assert!(meet(&familiar, NOWHERE, BASE - 1, b"a\n").is_some());
        assert!(meet(&familiar, at(2, 9), lane(2) + 48, b"bb\n").is_none(), "not with the second");
        let run = |pos, text| {
            let met = meet(&familiar, at(3, 7), pos, text).unwrap();
            familiar.run(&met).unwrap().into_owned()
        };
        let within = Shown::In { lane: 3, version: 7, since: Tick::MAX };
        let (start, end) = (three + 16, three + 32);
        let part = Run { shown: within, start, end, single: true, gap: None, closes: false };
        assert_eq!(run(start, b"bb\n"), part, "never by way of another lane");
    }

    #[test]
    fn other_bytes_another_version_lane_or_place_are_not_known() {
        let (familiar, three) = (noted(), lane(3));
        for (reached, pos, text) in [
            (at(3, 7), three + 16, &b"bb\nccd\n"[..]),
            (at(3, 7), three + 16, b"cb\nccc\n"),
            (at(3, 8), three + 16, b"bb\nccc\n"),
            (at(4, 7), three + 16, b"bb\nccc\n"),
            (at(3 + MOST_LANES, 7), three + 16, b"bb\nccc\n"),
            (at(3, 7), three + 17, b"bb\nccc\n"),
            (at(3, 7), three, b"bb\nccc\n"),
            (NOWHERE, three + 16, b"bb\nccc\n"),
        ] {
            assert_eq!(told(&familiar, reached, pos, text), (vec![], 0), "{reached:?} {pos}");
        }
    }

    #[test]
    fn a_line_that_another_version_leads_to_is_not_known() {
        let (mut familiar, three) = (noted(), lane(3));
        // The hole before this line was judged by version 6.
        let behind = seen(three + 80, three + 96);
        familiar.note(at(3, 6), at(3, 7), Some(three + 64), INNER, &behind, b"dddd");
        assert_eq!(told(&familiar, at(3, 7), three + 64, b"dddd\n"), (vec![], 0));
        let last = (vec![three + 64], 4);
        assert_eq!(told(&familiar, at(3, 7), three + 32, b"ccc\ndddd\n"), last);
    }

    #[test]
    fn a_new_version_or_a_lower_beginning_takes_the_place() {
        let (mut familiar, three) = (Familiar::new(geometry()), lane(3));
        let mut note = |before, after, pos, end, text: &[u8]| {
            let line = seen(three + pos + 16, three + end);
            familiar.note(before, after, Some(three + pos), INNER, &line, text);
        };
        // The walk came into the lane behind page 3.
        note(at(3, 6), at(3, 7), 48, 80, b"bb");
        note(at(3, 7), at(3, 7), 80, 112, b"ccc");
        note(at(3, 6), at(3, 7), 0, 32, b"x");
        note(at(3, 7), at(3, 7), 32, 64, b"a");
        assert_eq!(told(&familiar, at(3, 7), three + 32, b"a\n"), (vec![three + 64], 2));
        assert_eq!(told(&familiar, at(3, 7), three + 80, b"ccc\n"), (vec![], 0));
        let newer = seen(three + 32, three + 64);
        familiar.note(at(3, 7), at(3, 8), Some(three + 32), INNER, &newer, b"b");
        assert_eq!(told(&familiar, at(3, 7), three + 32, b"a\n"), (vec![], 0));
    }

    #[test]
    fn since_when_a_version_is_the_first_may_be_learned_later() {
        let (mut familiar, three) = (noted(), lane(3));
        let opening = seen(three, three + 16);
        familiar.note(at(2, 5), at(3, 7), Some(lane(2) + 16), first(40), &opening, b"a");
        let met = meet(&familiar, at(2, 9), lane(2) + 48, b"a\nbb\nccc\n").unwrap();
        assert_eq!(met.count, 3, "the lines are kept");
        let shown = familiar.run(&met).unwrap().shown;
        assert_eq!(shown, Shown::In { lane: 3, version: 7, since: 40 });
    }

    #[test]
    fn what_lies_outside_is_learned_anew_from_its_first_line_on() {
        let mut familiar = Familiar::new(geometry());
        let mut learn = |third: &[u8], above: &[u8]| {
            for (pos, line) in [(0, &b"one"[..]), (20, b"two"), (40, third)] {
                familiar.note(NOWHERE, NOWHERE, Some(pos), INNER, &seen(pos + 4, pos + 20), line);
            }
            let end = geometry().end();
            let reached = at(3, 7);
            familiar.note(reached, reached, Some(lane(3)), INNER, &seen(end, end + 8), b"up");
            familiar.note(reached, reached, Some(end + 8), INNER, &seen(end + 8, end + 16), above);
            (
                told(&familiar, NOWHERE, 0, b"one\ntwo\nthree\n").1,
                told(&familiar, NOWHERE, 20, b"two\nthree\n").1,
                told(&familiar, reached, lane(3) + 16, b"up\nupper\n").1,
                told(&familiar, reached, end + 8, b"upper\n").1,
            )
        };
        assert_eq!(learn(b"3", b"upup"), (0, 0, 0, 0));
        assert_eq!(learn(b"three", b"upper"), (14, 10, 9, 6));
    }

    /// Lanes 2 to 5 and 14 to 17, with a VMA each, of which all but lane 2 are known, and what they are
    /// judged with.
    fn whole() -> (Familiar, Oracle) {
        let mut layouts = vec![Layout::empty(8); 20];
        for lane in (2..6).chain(14..18) {
            layouts[lane].pages_mut()[0] = Page::anon(Prot::READ);
        }
        let oracle = Oracle::new(geometry(), &layouts, 4);
        let mut familiar = Familiar::new(geometry());
        for (number, text) in [(3, &b"line three, of lane three"[..]), (4, b"four"), (5, b"five")] {
            note_whole(&mut familiar, number, text);
        }
        (14..18).for_each(|number| note_whole(&mut familiar, number, b"high"));
        (familiar, oracle)
    }

    const TOGETHER: &[u8] = b"line three, of lane three\nfour\nfive\nsix\n";

    /// Of a lane that has one line only.
    fn note_whole(familiar: &mut Familiar, number: u16, text: &[u8]) {
        note_only(familiar, number, Edges { opens: Some(0), closes: true }, text);
    }

    /// Of a lane's one line.
    fn note_only(familiar: &mut Familiar, number: u16, edges: Edges, text: &[u8]) {
        let start = lane(number.into());
        let (before, pos) = (at(number - 1, 5), Some(lane(u64::from(number) - 1) + 16));
        familiar.note(before, at(number, 0), pos, edges, &seen(start, start + 16), text);
    }

    /// Lines and bytes met behind lane number `below`.
    fn meet_whole(
        familiar: &Familiar,
        oracle: &Oracle,
        below: u16,
        text: &[u8],
        play: Range<u64>,
    ) -> (usize, usize) {
        let window = Window { from: oracle.clock().now(), to: oracle.clock().now() };
        let mut walk = Walk::new(oracle);
        let (start, page) = (lane(below.into()), Page::anon(Prot::READ));
        walk.begin(Some(start), window);
        let line = Sighting { start, end: start + 16, page };
        assert_eq!(walk.line(&line, window), Verdict::Right);
        let slot = familiar.comes(walk.reached(), start + 16).unwrap();
        let lanes = familiar.meet_whole(slot, text, &play, &mut walk, window);
        lanes.map_or((0, 0), |lanes| {
            let last = familiar.lines_of(&lanes).last().map(|line| line.end);
            assert_eq!((familiar.lines_of(&lanes).count(), walk.pos()), (lanes.lines, last));
            (lanes.lines, lanes.bytes)
        })
    }

    #[test]
    fn lanes_that_stay_are_met_together() {
        let (familiar, oracle) = whole();
        let meet = |text: &[u8], play: Range<u64>| meet_whole(&familiar, &oracle, 2, text, play);
        assert_eq!(meet(TOGETHER, 0..0), (3, 36));
        assert_eq!(meet(&TOGETHER[..35], 0..0), (2, 31), "the third is cut");
        assert_eq!(meet(TOGETHER, lane(5)..lane(6)), (2, 31), "the third is in play");
        assert_eq!(meet(TOGETHER, lane(3)..lane(5)), (2, 31), "the others are");
        assert_eq!(meet(TOGETHER, lane(3)..lane(6)), (3, 36), "all are");
        assert_eq!(meet(TOGETHER, lane(6)..lane(7)), (3, 36), "none is");
        for (wrong, met) in [(0, (0, 0)), (20, (0, 0)), (27, (1, 26)), (35, (2, 31))] {
            let mut text = TOGETHER.to_vec();
            text[wrong] ^= 1;
            assert_eq!(meet(&text, 0..0), met, "byte {wrong}");
        }
        // A lane that has moved is not taken, whatever its text.
        for (moved, met) in [(5, (2, 31)), (4, (1, 26)), (3, (0, 0))] {
            let layout = oracle.hold(moved).current().layout;
            oracle.repair(&mut oracle.hold(moved), &layout);
            assert_eq!(meet(TOGETHER, 0..0), met, "lane {moved} has moved");
        }
    }

    #[test]
    fn with_more_lanes_than_are_remembered_they_are_met_together_all_the_same() {
        let (familiar, oracle) = whole();
        let met = meet_whole(&familiar, &oracle, 14, &b"high\n".repeat(4), 0..0);
        assert_eq!(met, (3, 15), "lane 16 is where lane 0 would be");
    }

    #[test]
    fn what_is_not_known_to_be_all_of_its_lane_is_not_met_with_others() {
        let (all, since) = (Edges { opens: Some(0), closes: true }, Tick::MAX);
        for (edges, met) in [
            (all, (3, 36)),
            // Something may follow; or the version is not known to be the first, as long as the one
            // before is open.
            (Edges { closes: false, ..all }, (1, 26)),
            (Edges { opens: Some(since), ..all }, (1, 26)),
        ] {
            let (mut familiar, oracle) = whole();
            // With another version the lane is learned anew.
            let other = seen(lane(4) + 32, lane(4) + 48);
            familiar.note(at(3, 5), at(4, 1), Some(lane(3) + 16), INNER, &other, b"");
            assert_eq!(meet_whole(&familiar, &oracle, 2, TOGETHER, 0..0), (1, 26));
            note_only(&mut familiar, 4, edges, b"four");
            assert_eq!(meet_whole(&familiar, &oracle, 2, TOGETHER, 0..0), met, "{edges:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let (mut familiar, zero) = (Familiar::new(geometry()), lane(0));
        let long = [b'x'; BYTES / 4];
        familiar.note(NOWHERE, at(0, 1), Some(0), first(0), &seen(zero, zero + 16), b"");
        for n in 1..8 {
            let line = seen(zero + 16 * n, zero + 16 * n + 16);
            familiar.note(at(0, 1), at(0, 1), Some(zero + 16 * n), INNER, &line, &long);
        }
        let line = [&long[..], b"\n"].concat();
        let ends: Vec<u64> = (2..5).map(|n| zero + 16 * n).collect();
        let text = line.repeat(7);
        assert_eq!(told(&familiar, at(0, 1), zero + 16, &text), (ends, 3 * line.len()));
    }
}
