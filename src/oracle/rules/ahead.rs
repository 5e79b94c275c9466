//! What a walk that missed nothing comes to next, and how it passes lines that are just that.

use super::{NO_LANE, Progress, Walk};
use crate::model::span_mask;
use crate::oracle::cache::Rendered;
use crate::oracle::clock::{Tick, Window};
use crate::oracle::history::Version;

/// Where the lines stand that have to come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ahead {
    /// Outside of the arena, below or above it: only the order of lines is judged there.
    Outside(Progress),
    /// In a lane, as its version `version` shows it.
    Lane {
        /// The lane.
        lane: u16,
        /// Its version.
        version: Version,
        /// Where the walk is in time once it has passed lines there.
        earliest: Tick,
    },
}

impl Walk<'_> {
    /// Where the next line stands, if the walk has missed nothing and the first choice of instants is
    /// right: `None` where only a search can tell. `below` says whether a line below the arena is known
    /// to come.
    ///
    /// The first choice is: in the lane come to, the version that explained the last line, as long as
    /// it shows anything behind that; then the next lane that has a VMA, at the first version that can
    /// be seen there. Then nothing mapped lies between the last line and the lines of that version: the
    /// rest of the lane left is empty in the version reached, and so are the lanes between, in their
    /// first versions. [`Walk::line`] takes the same path: `hole_in` finds nothing mapped at its
    /// first version and leaves `earliest`, `enter` chooses the same version because no move demands a
    /// later one, and `exists` finds it known and not closed before `earliest`.
    pub(crate) fn ahead(&mut self, window: Window, below: bool) -> Option<Ahead> {
        let pos = self.pos?;
        let geometry = *self.oracle.geometry();
        let earliest = self.now.earliest.max(window.from);
        let Progress { lane: reached, version, .. } = self.now;
        if below && reached == NO_LANE || pos >= geometry.end() {
            return Some(Ahead::Outside(Progress { earliest, ..self.now }));
        }
        if reached != NO_LANE && self.has_left(reached, version, pos)? {
            return self.at(reached, version, earliest);
        }
        let mut last = None;
        for lane in reached.wrapping_add(1)..geometry.lanes {
            if self.floors[lane as usize].0 == self.round {
                return None;
            }
            let history = self.oracle.history(lane);
            let version = self.first_at(lane, self.now.earliest).ok()?;
            if history.masks(version).0 != 0 {
                // A walk that begins within the lane, or comes from a line that reaches into it, is for
                // the rules.
                return (pos <= geometry.address(lane, 0))
                    .then(|| self.at(lane, version, earliest))
                    .flatten();
            }
            if !history.known(version) || history.confirm(version).is_err() {
                return None;
            }
            last = Some((lane, version));
        }
        let (lane, version) = last.unwrap_or((reached, version));
        Some(Ahead::Outside(Progress { earliest, lane, version }))
    }

    /// Whether the version reached shows anything behind `pos`; `None` where that is not known.
    fn has_left(&self, lane: u16, version: Version, pos: u64) -> Option<bool> {
        let geometry = self.oracle.geometry();
        let history = self.oracle.history(lane);
        let pages = usize::from(geometry.pages);
        // Below the lane this wraps to more pages than any lane has: there the rules decide.
        let page = pos.wrapping_sub(geometry.address(lane, 0)) >> geometry.page_shift;
        let page = usize::try_from(page).ok().filter(|&page| page <= pages)?;
        let left = history.masks(version).0 & span_mask(page, pages);
        (history.known(version) && history.confirm(version).is_ok()).then_some(left != 0)
    }

    /// Lines of this version, if it is known and can have been seen at `earliest` or later.
    fn at(&self, lane: u16, version: Version, earliest: Tick) -> Option<Ahead> {
        let history = self.oracle.history(lane);
        let seen = history.known(version) && history.closed(version) >= earliest;
        seen.then_some(Ahead::Lane { lane, version, earliest })
    }

    /// Passes lines that stand [ahead](Walk::ahead). The first of them begins at the walk's position or
    /// above, and is the next line there. Gives whether it did: not where the version was overwritten
    /// meanwhile, and then nothing has changed.
    pub(crate) fn pass(&mut self, ahead: Ahead, lines: &[Rendered]) -> bool {
        let Some(last) = lines.last() else { return false };
        let now = match ahead {
            Ahead::Outside(now) => now,
            Ahead::Lane { lane, version, earliest } => {
                if self.oracle.history(lane).confirm(version).is_err() {
                    return false;
                }
                Progress { earliest, lane, version }
            }
        };
        let behind = match lines {
            [.., before, _] => Some(before.seen.end),
            _ => self.pos,
        };
        self.now = now;
        self.gap = behind.filter(|&end| end < last.seen.start).map(|end| (end, last.seen.start));
        self.reported = true;
        self.pos = Some(last.seen.end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Identities;
    use crate::model::{Geometry, Layout, Observation, Op, Page, Place, Prot, Span, Vma, fits};
    use crate::oracle::{Held, LineCache, Oracle, Outside, Taken, Verdict};
    use crate::seed::Stream;

    const LANES: u16 = 4;
    const PAGES: usize = 6;

    fn geometry() -> Geometry {
        Geometry::new(0x10_0000, 4096, LANES as usize, PAGES)
    }

    /// A lane or two about to be changed, or being changed.
    fn draw_op(rng: &mut Stream) -> Op {
        let start = rng.below(PAGES);
        let span = Span::new(start, rng.between(start + 1, PAGES));
        let at = Place { lane: rng.below(LANES as usize) as u16, span };
        let prot = Prot::from_bits(rng.below(3) as u8);
        match rng.below(4) {
            0 => Op::Map { at, page: Page::anon(prot) },
            1 => Op::Unmap { at },
            2 => Op::Protect { at, prot },
            _ => {
                let lane = (at.lane + rng.between(1, 3) as u16) % LANES;
                Op::Remap { from: at, to: Place { lane, span }, keep: false }
            }
        }
    }

    fn held_pair<'a>(oracle: &'a Oracle, op: &Op) -> Option<(Held<'a>, Option<Held<'a>>)> {
        let second = match op.other_lane() {
            Some(lane) => Some(oracle.try_hold(lane)?),
            None => None,
        };
        let first = oracle.try_hold(op.at().lane)?;
        let known = |held: &Held<'_>| held.current().known;
        (known(&first) && second.as_ref().is_none_or(known)).then_some((first, second))
    }

    /// Draws and does operations. Some fail, and some of the last are still under way.
    fn operate(oracle: &Oracle, rng: &mut Stream, count: usize, meanwhile: &mut dyn FnMut()) {
        if count == 0 {
            return meanwhile();
        }
        let op = draw_op(rng);
        let Some((mut first, mut second)) = held_pair(oracle, &op) else {
            return operate(oracle, rng, count - 1, meanwhile);
        };
        let there = second.as_ref().map_or(Layout::empty(PAGES), |held| held.current().layout);
        if fits(&op, &first.current().layout, &there).is_err() {
            drop((first, second));
            return operate(oracle, rng, count - 1, meanwhile);
        }
        let invoked = oracle.invoke(&op, 0, &mut first, second.as_mut());
        let pending = rng.one_in(3);
        if pending {
            operate(oracle, rng, count - 1, meanwhile);
        }
        if rng.one_in(12) {
            oracle.failed(invoked, &mut first, second.as_mut());
        } else {
            oracle.returned(invoked);
        }
        drop((first, second));
        if !pending {
            operate(oracle, rng, count - 1, meanwhile);
        }
    }

    /// The lines of a lane's version.
    fn lines(lane: u16, layout: &Layout) -> Vec<Observation> {
        let at = |page| geometry().address(lane, page);
        let line = |vma: Vma| Observation {
            start: at(vma.start),
            end: at(vma.end),
            page: vma.page.visible(),
        };
        layout.vmas().map(line).collect()
    }

    /// How often lines were taken from the cache, and not: at the beginning of a lane, within one,
    /// outside of the arena.
    #[derive(Default)]
    struct Counts {
        taken: [u32; 3],
        left: [u32; 3],
    }

    /// The text of lines. Those in the arena have to be mappings of its own.
    fn text_of(identities: &Identities, lines: &[Observation]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in lines {
            if geometry().overlaps(line.start, line.end) {
                identities.print(line, &mut text);
            } else {
                text.extend_from_slice(format!("{:x}\n", line.start).as_bytes());
            }
        }
        text
    }

    fn outside_lines() -> [Vec<Observation>; 2] {
        [geometry().base - 64, geometry().end()].map(|first| {
            let line =
                |n| Observation { start: first + n, end: first + n + 1, page: Page::FOREIGN };
            (0..3).map(line).collect()
        })
    }

    /// Goes up the lanes, in each with some version's lines, and holds what the cache takes against
    /// the rules.
    fn go_up(
        oracle: &Oracle,
        cache: &mut LineCache,
        rng: &mut Stream,
        windows: &[Window],
        counts: &mut Counts,
    ) {
        let identities = Identities::new(12, Vec::new());
        let mut outside = Outside::with_room(8, 512);
        let [below, above] = outside_lines();
        for line in below.iter().chain(&above) {
            let text = text_of(&identities, &[*line]);
            outside.push(*line, text.strip_suffix(b"\n").unwrap(), &geometry());
        }
        let (mut walk, mut twin) = (Walk::new(oracle), Walk::new(oracle));
        let mut window = 0;
        walk.begin(Some(0), windows[window]);
        // The lanes, and what lies below and above them.
        for stretch in 0..LANES + 2 {
            if rng.one_in(4) {
                window = (window + 1).min(windows.len() - 1);
            }
            if rng.one_in(6) {
                continue;
            }
            let mut lines = match stretch.checked_sub(1).filter(|&lane| lane < LANES) {
                None if stretch == 0 => below.clone(),
                None => above.clone(),
                Some(lane) => {
                    let history = oracle.history(lane);
                    let newest = history.head();
                    let version = newest - rng.below(newest.min(4) as usize + 1) as u64;
                    self::lines(lane, &history.layout(version))
                }
            };
            // Now and then one is missing, or another one than was there.
            if !lines.is_empty() && rng.one_in(8) {
                lines.remove(rng.below(lines.len()));
            } else if !lines.is_empty() && rng.one_in(8) && stretch > 0 && stretch <= LANES {
                let at = rng.below(lines.len());
                lines[at].page = Page::anon(Prot::from_bits(rng.below(3) as u8));
            }
            let text = text_of(&identities, &lines);
            let (mut at, mut rest) = (0, &lines[..]);
            while let Some(first) = rest.first() {
                let window = windows[window];
                twin.follow(&walk);
                let before = (walk.pos, walk.now, walk.gap, walk.reported);
                let sort = match stretch {
                    0 => 2,
                    above if above > LANES => 2,
                    _ if first.start == lines[0].start => 0,
                    _ => 1,
                };
                // The call may end in mid-line.
                let until = if rng.one_in(8) { rng.between(at, text.len()) } else { text.len() };
                let known = cache.take(&mut walk, &identities, &outside, &text[at..until], window);
                let count = known.as_ref().map_or(0, Taken::count);
                if let Some(taken) = known {
                    counts.taken[sort] += 1;
                    assert!(count > 0);
                    let seen: Vec<_> = cache.lines(&taken, &outside).copied().collect();
                    assert_eq!(seen, rest[..count]);
                    assert_eq!(text_of(&identities, &rest[..count]), text[at..at + taken.bytes]);
                    for line in &rest[..count] {
                        assert_eq!(twin.line(line, window), Verdict::Right, "{line:?} of {rest:?}");
                    }
                    at += taken.bytes;
                } else {
                    counts.left[sort] += 1;
                    assert_eq!((walk.pos, walk.now, walk.gap, walk.reported), before);
                    let verdict = twin.line(first, window);
                    assert_eq!(walk.line(first, window), verdict);
                    if matches!(verdict, Verdict::Wrong(_) | Verdict::Undecided) {
                        let pos = (!rng.one_in(8)).then_some(first.end);
                        walk.resume(pos, window);
                        twin.follow(&walk);
                    }
                    at += text_of(&identities, &rest[..1]).len();
                }
                assert_eq!(
                    (walk.pos, walk.now, walk.gap, walk.reported, &walk.floors),
                    (twin.pos, twin.now, twin.gap, twin.reported, &twin.floors)
                );
                rest = &rest[count.max(1)..];
            }
        }
    }

    /// Whatever the cache takes is what the rules accept line by line, with the same instant, version
    /// and position after it. With operations under way, failed and across lanes, windows that follow
    /// each other, histories that run over, and versions that are not the first.
    #[test]
    fn what_the_cache_takes_the_rules_accept_line_by_line() {
        let mut counts = Counts::default();
        for seed in 0..10_000 {
            let mut rng = Stream::new(seed, "ahead", 0);
            let first: Vec<Layout> = (0..LANES)
                .map(|_| {
                    let page = |_| match rng.below(4) {
                        0 => Page::HOLE,
                        prot => Page::anon(Prot::from_bits(prot as u8)),
                    };
                    Layout::from_pages(&(0..PAGES).map(page).collect::<Vec<Page>>())
                })
                .collect();
            let oracle = Oracle::new(geometry(), &first, if seed % 3 == 0 { 4 } else { 64 });
            let mut cache = LineCache::new(&geometry());
            let count = rng.below(12);
            operate(&oracle, &mut rng, count, &mut || {});
            let mut windows = Vec::new();
            let mut windows_of = |rng: &mut Stream| {
                for _ in 0..3 {
                    let from = oracle.clock().now();
                    let count = rng.below(4);
                    operate(&oracle, rng, count, &mut || {});
                    windows.push(Window { from, to: oracle.clock().now() });
                }
            };
            windows_of(&mut rng);
            let mut under_way = Stream::new(seed, "under way", 0);
            let count = rng.below(3);
            operate(&oracle, &mut under_way, count, &mut || {
                let to = oracle.clock().now();
                windows
                    .iter_mut()
                    .for_each(|window| window.to = window.to.max(to.min(window.to + 1)));
                for _ in 0..4 {
                    go_up(&oracle, &mut cache, &mut rng, &windows, &mut counts);
                }
            });
        }
        for sort in 0..3 {
            let (taken, left) = (counts.taken[sort], counts.left[sort]);
            assert!(taken > 500 && left > 500, "{sort}: {taken} taken, {left} left");
        }
    }
}
