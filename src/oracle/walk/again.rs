//! Lines that were right before, taken together.
//!
//! Whoever knows that some lines are those that a version of a lane prints need not have them judged
//! one by one: what may have changed since is the same for all of them.

use super::{NO_LANE, Progress, Walk};
use crate::oracle::clock::{OPEN, Tick, Window};
use crate::oracle::history::Version;
use crate::oracle::verdict::Sighting;
use crate::space::span_mask;

/// Lines that were right once, one after the other: for [`Walk::again`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// Where they lie.
    pub(crate) shown: Shown,
    /// Start of the first.
    pub(crate) start: u64,
    /// End of the last.
    pub(crate) end: u64,
    /// Whether the first is the last.
    pub(crate) single: bool,
    /// The gap before the last one, if that is not the first and there is one: its start and end.
    pub(crate) gap: Option<(u64, u64)>,
    /// Whether the last is the last VMA of its lane.
    pub(crate) closes: bool,
}

/// A stretch of the address space that is judged as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// Below the arena.
    Below,
    /// In a lane.
    In {
        /// The lane.
        lane: u16,
        /// The version that shows the lines.
        version: Version,
        /// The tick from which on it is the first that can be seen, if the run's first line is the
        /// lane's first VMA; never, if not. Once there is one, the operation that made the version
        /// has returned and has not failed.
        since: Tick,
    },
    /// Above the arena.
    Above,
}

/// What a line is in its lane, at the version that explained it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Edges {
    /// If it is the first VMA: the tick from which on the version is the first that can be seen; see
    /// [`Shown::In`].
    pub(crate) opens: Option<Tick>,
    /// Whether it is the last VMA.
    pub(crate) closes: bool,
}

/// Where a walk stands: all that a line changes, but what a move demands of lanes above.
#[derive(Clone, Copy)]
pub(crate) struct Stand {
    pos: Option<u64>,
    gap: Option<(u64, u64)>,
    reported: bool,
    now: Progress,
}

impl Walk<'_> {
    /// Where the walk stands.
    #[inline]
    pub(crate) fn stand(&self) -> Stand {
        Stand { pos: self.pos, gap: self.gap, reported: self.reported, now: self.now }
    }

    /// Goes back to where the walk stood before a line that turned out not to be right.
    #[inline]
    pub(crate) fn stand_again(&mut self, stand: Stand) {
        let Stand { pos, gap, reported, now } = stand;
        (self.pos, self.gap, self.reported, self.now) = (pos, gap, reported, now);
    }

    /// What a line that was right just now is in its lane; outside of the lanes, nothing.
    #[inline]
    pub(crate) fn edges(&self, seen: &Sighting) -> Edges {
        let Progress { lane, version, .. } = self.now;
        let geometry = self.oracle.geometry();
        if lane == NO_LANE || !geometry.contains(seen.start) {
            return Edges::default();
        }
        let history = self.oracle.history(lane);
        let mapped = history.masks(version).0;
        // Once it is closed a version stays so; one that is still open gives no tick yet.
        let since = match version.checked_sub(1) {
            None => 0,
            Some(before) => history.closed(before).saturating_add(1),
        };
        // Asked for behind the fence of `confirm`: with the version before closed, it is final.
        if history.confirm(version.saturating_sub(1)).is_err() || !history.known(version) {
            return Edges::default();
        }
        let address = |page: u32| geometry.address(lane, page as usize);
        let opens = (seen.start == address(mapped.trailing_zeros())).then_some(since);
        Edges { opens, closes: seen.end == address(u64::BITS - mapped.leading_zeros()) }
    }

    /// Whether what explained the last line may explain lines of later walks: not a version that is
    /// closed already.
    #[inline]
    pub(crate) fn lasts(&self) -> bool {
        let Progress { lane, version, .. } = self.now;
        lane == NO_LANE || self.oracle.history(lane).closed(version) == OPEN
    }

    /// Takes lines that were right once, one after the other, and lie in one stretch: in one
    /// version of a lane, below the arena or above it. Whether they are right now; nothing has
    /// changed when they are not, or not at once.
    ///
    /// This is [`Walk::by_rules`] for each of them with the first choice right each time, so it
    /// accepts nothing else. Within the version reached, as in [`Walk::as_next`]: it shows the
    /// lines and nothing between them, and what may have changed since that was found out, whether
    /// it is known and when it was closed, is the same for all of them. Coming from elsewhere, what
    /// was reached there has nothing up to the end of its lane, nor have the lanes between at the
    /// first versions that can be seen (`hole_in` goes no further); the run's version is known to
    /// have nothing below the run, and is the first that can be seen, because the one before it was
    /// closed earlier and no move demands a later one (`enter`).
    ///
    /// Of a version that is still the newest nothing else is looked at: the tick that the run names
    /// tells that it is known for good. And it is not closed before `earliest`: that tick was taken
    /// before the clock, or a version invoked then, was read; had the version been closed earlier,
    /// what replaced it would have become the newest before that, and would be found here
    /// ([`History::close`](crate::oracle::History::close) comes after
    /// [`History::push`](crate::oracle::History::push)).
    #[inline(always)]
    pub(crate) fn again(&mut self, run: &Run, window: Window) -> bool {
        let come = self.would_come(run, window);
        if let Some(now) = come {
            self.come_by(now, run);
        }
        come.is_some()
    }

    /// How far in time a run brings the walk that is right [again](Walk::again); `None` where it is
    /// not, or not at once.
    #[inline(always)]
    pub(crate) fn would_come(&mut self, run: &Run, window: Window) -> Option<Progress> {
        let pos = self.pos.filter(|&pos| pos <= run.start)?;
        let earliest = self.now.earliest.max(window.from);
        let mut now = self.now;
        match run.shown {
            Shown::Below => {}
            Shown::Above => {
                let lanes = self.oracle.geometry().lanes;
                if !self.is_free(pos, lanes) {
                    return None;
                }
                let last = lanes - 1;
                if pos < self.oracle.geometry().end() && now.lane != last {
                    let version = self.first_at(last, now.earliest).ok()?;
                    (now.lane, now.version) = (last, version);
                }
            }
            Shown::In { lane, version, since } => {
                let history = self.oracle.history(lane);
                let entered = self.now.lane != lane;
                if entered {
                    let demanded = self.floors[lane as usize].0 == self.round;
                    if since > self.now.earliest || demanded || !self.is_free(pos, lane) {
                        return None;
                    }
                } else if self.now.version != version {
                    return None;
                }
                if !entered || history.head() != version {
                    let (known, closed, ..) = history.standing(version);
                    if !known || closed < earliest || history.confirm(version).is_err() {
                        return None;
                    }
                }
                (now.lane, now.version) = (lane, version);
            }
        }
        Some(Progress { earliest, ..now })
    }

    /// Comes to the end of `run`, which [brings](Walk::would_come) the walk so far in time.
    #[inline(always)]
    pub(crate) fn come_by(&mut self, now: Progress, run: &Run) {
        self.gap = match run.gap {
            None => {
                self.pos.filter(|&pos| pos < run.start && run.single).map(|pos| (pos, run.start))
            }
            gap => gap,
        };
        self.now = now;
        self.reported = true;
        self.pos = Some(run.end);
    }

    /// Whether the lines of a whole lane, which `version` of it shows, are right behind those of the
    /// lane just below it, with which the walk [comes](Walk::would_come) to `now` in the same call.
    /// `since` is that of [`Shown::In`].
    ///
    /// What is left of [`Walk::again`] then: nothing lies between, and `earliest` stays. That the
    /// version is known is final, because there is a tick; so of one that is no longer the
    /// newest all that counts is when it was closed.
    #[inline(always)]
    pub(crate) fn goes_on(&self, now: Progress, lane: u16, version: Version, since: Tick) -> bool {
        let history = self.oracle.history(lane);
        since <= now.earliest
            && self.floors[lane as usize].0 != self.round
            && (history.head() == version
                || history.closed(version) >= now.earliest && history.confirm(version).is_ok())
    }

    /// Comes to the end of `run`, the last of those that [go on](Walk::goes_on) behind each other, and
    /// to `now` with the first of them; `pos` is the end of the one before the last.
    #[inline]
    pub(crate) fn go_on(&mut self, now: Progress, pos: u64, run: &Run) {
        let Shown::In { lane, version, .. } = run.shown else { return };
        self.pos = Some(pos);
        self.come_by(Progress { lane, version, ..now }, run);
    }

    /// Whether nothing is mapped from `pos`, the end of the last line, up to lane `lane`, at the
    /// version reached and at the first that can be seen of the lanes between.
    #[inline]
    pub(super) fn is_free(&mut self, pos: u64, lane: u16) -> bool {
        let geometry = self.oracle.geometry();
        let Progress { lane: reached, version, .. } = self.now;
        if reached == NO_LANE {
            return pos >= geometry.end() || pos <= geometry.base && self.are_empty(0, lane);
        }
        let page = pos.wrapping_sub(geometry.address(reached, 0)) >> geometry.page_shift;
        if page > u64::from(geometry.pages) {
            return pos >= geometry.end();
        }
        let history = self.oracle.history(reached);
        let (known, _, mapped, _) = history.standing(version);
        known
            && mapped & span_mask(page as usize, geometry.pages.into()) == 0
            && history.confirm(version).is_ok()
            && self.are_empty(reached + 1, lane)
    }

    /// Whether the first versions that can be seen of these lanes, none of them entered yet, have no
    /// VMA.
    #[inline]
    fn are_empty(&mut self, from: u16, to: u16) -> bool {
        (from..to).all(|lane| self.is_empty(lane))
    }

    /// Whether the first version that can be seen of a lane not entered yet has no VMA.
    #[inline(never)]
    fn is_empty(&mut self, lane: u16) -> bool {
        let history = self.oracle.history(lane);
        let Ok(version) = self.first_at(lane, self.now.earliest) else { return false };
        let (known, _, mapped, _) = history.standing(version);
        known
            && mapped == 0
            && self.floors[lane as usize].0 != self.round
            && history.confirm(version).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Held, Oracle, Verdict};
    use crate::seed::Stream;
    use crate::space::{Geometry, Layout, Op, Page, Place, Prot, Span, Vma, fits};

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

    /// Operations, some of which fail, and as many of the last as are drawn still under way.
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
    fn lines(lane: u16, layout: &Layout) -> Vec<Sighting> {
        let at = |page| geometry().address(lane, page);
        let line = |vma: Vma| Sighting {
            start: at(vma.start),
            end: at(vma.end),
            page: vma.page.visible(),
        };
        layout.vmas().map(line).collect()
    }

    fn run(shown: Shown, lines: &[Sighting], closes: bool) -> Run {
        let [.., before, last] = lines else {
            let only = lines[0];
            let (start, end) = (only.start, only.end);
            return Run { shown, start, end, single: true, gap: None, closes };
        };
        let gap = (before.end < last.start).then_some((before.end, last.start));
        Run { shown, start: lines[0].start, end: last.end, single: false, gap, closes }
    }

    /// Whether a run is that of the whole lane above the one that `below` is the whole of, so that
    /// nothing lies between the two.
    fn abuts(run: &Run, below: &Run) -> bool {
        let whole = |run: &Run| match run.shown {
            Shown::In { lane, since, .. } if run.closes && since != Tick::MAX => Some(lane),
            _ => None,
        };
        whole(below).is_some_and(|lane| whole(run) == Some(lane + 1))
    }

    /// What was tried, and what was accepted.
    #[derive(Default)]
    struct Counts {
        tried: [u32; 4],
        accepted: [u32; 4],
        /// Lines that were not expected, one that was, and several.
        expected: [u32; 3],
        /// Lines that were not taken as the first of their lane, and that were.
        first: [u32; 2],
    }

    /// Goes up the lanes, in each with some version's lines, all at once where that is possible,
    /// and holds what comes of it against the rules.
    fn go_up(oracle: &Oracle, rng: &mut Stream, windows: &[Window], counts: &mut Counts) {
        let (mut walk, mut twin) = (Walk::new(oracle), Walk::new(oracle));
        let mut window = 0;
        walk.begin(Some(0), windows[window]);
        let mut lane = 0;
        // The run taken last, if it was taken at once, and its window.
        let mut last: Option<(Run, usize)> = None;
        while lane <= LANES {
            if rng.one_in(4) {
                window = (window + 1).min(windows.len() - 1);
            }
            let (sort, all, shown) = match LANES - lane {
                0 => {
                    let end = geometry().end();
                    let line =
                        |n| Sighting { start: end + n, end: end + n + 1, page: Page::FOREIGN };
                    (0, (0..3).map(line).collect::<Vec<_>>(), Shown::Above)
                }
                _ => {
                    let history = oracle.history(lane);
                    let newest = history.head();
                    let version = newest - rng.below(newest.min(4) as usize + 1) as u64;
                    // What has not returned or has failed names no tick.
                    let since = match version {
                        0 => 0,
                        _ if !history.known(version) => Tick::MAX,
                        _ => history.closed(version - 1).saturating_add(1),
                    };
                    let shown = Shown::In { lane, version, since };
                    (1, lines(lane, &history.layout(version)), shown)
                }
            };
            // All of the stretch, or the first half and then the other.
            let half = rng.below(all.len() + 1);
            let (low, high) = all.split_at(half);
            for (part, sort) in [(low, sort), (high, if half > 0 { 2 } else { sort })] {
                let closes = part.last() == all.last();
                // Now and then the lane above is come to from the middle of this one.
                if part.is_empty() || half > 0 && closes && rng.one_in(8) {
                    continue;
                }
                let within = |shown| match shown {
                    Shown::In { lane, version, .. } => {
                        Shown::In { lane, version, since: Tick::MAX }
                    }
                    shown => shown,
                };
                let shown = if half > 0 && sort == 2 { within(shown) } else { shown };
                twin.follow(&walk);
                let before = (walk.pos, walk.now, walk.gap, walk.reported);
                let run = run(shown, part, closes);
                // Behind the lane below, in the same call, either way.
                let below = last.filter(|(below, at)| abuts(&run, below) && *at == window);
                let sort = if below.is_some() { 3 } else { sort };
                counts.tried[sort] += 1;
                let accepted = match below {
                    Some((below, _)) => {
                        let now = walk.now;
                        let Shown::In { lane, version, since } = run.shown else { unreachable!() };
                        let accepted = walk.goes_on(now, lane, version, since);
                        if accepted {
                            walk.go_on(now, below.end, &run);
                        }
                        accepted
                    }
                    None => walk.again(&run, windows[window]),
                };
                last = accepted.then_some((run, window));
                if accepted {
                    counts.accepted[sort] += 1;
                    for line in part {
                        let verdict = twin.by_rules(line, windows[window]);
                        assert_eq!(verdict, Verdict::Right, "{line:?} of {part:?}");
                    }
                    assert_eq!(
                        (walk.pos, walk.now, walk.gap, walk.reported),
                        (twin.pos, twin.now, twin.gap, twin.reported)
                    );
                    continue;
                }
                assert_eq!((walk.pos, walk.now, walk.gap, walk.reported), before);
                let mut rest = part.iter();
                while let Some(line) = rest.as_slice().first() {
                    twin.follow(&walk);
                    let first = twin.as_first(line, windows[window]);
                    counts.first[usize::from(first)] += 1;
                    let next = first || twin.as_next(line, windows[window]);
                    if !next {
                        let now = (twin.pos, twin.now, twin.gap, twin.reported);
                        assert_eq!(now, (walk.pos, walk.now, walk.gap, walk.reported));
                    }
                    twin.follow(&walk);
                    let one = twin.expected(windows[window], 1, |seen| seen == line);
                    assert_eq!(one, usize::from(next), "{line:?}");
                    twin.follow(&walk);
                    let mut ahead = rest.clone();
                    let lines = walk
                        .expected(windows[window], usize::MAX, |seen| ahead.next() == Some(seen));
                    counts.expected[lines.min(2)] += 1;
                    assert_eq!(lines.min(1), one, "{line:?}");
                    for line in rest.by_ref().take(lines) {
                        let verdict = twin.by_rules(line, windows[window]);
                        assert_eq!(verdict, Verdict::Right, "{line:?} of {part:?}");
                    }
                    assert_eq!(
                        (walk.pos, walk.now, walk.gap, walk.reported),
                        (twin.pos, twin.now, twin.gap, twin.reported)
                    );
                    let Some(line) = rest.next() else { break };
                    let stood = walk.stand();
                    let verdict = twin.by_rules(line, windows[window]);
                    assert_eq!(walk.by_rules(line, windows[window]), verdict);
                    if verdict != Verdict::Right {
                        walk.stand_again(stood);
                        assert_eq!(walk.line(line, windows[window]), verdict, "once more");
                    }
                    assert_eq!(
                        (walk.pos, walk.now, walk.gap, walk.reported, &walk.floors),
                        (twin.pos, twin.now, twin.gap, twin.reported, &twin.floors)
                    );
                    if matches!(verdict, Verdict::Wrong(_) | Verdict::Undecided) {
                        let pos = (!rng.one_in(8)).then_some(line.end);
                        walk.resume(pos, windows[window]);
                    }
                }
            }
            lane += 1 + u16::from(rng.one_in(6));
        }
    }

    /// Whatever is accepted at once is what the rules accept line by line, with the same instant,
    /// version and position after it. With operations under way, failed and across lanes, windows
    /// that follow each other, histories that run over, and versions that are not the first.
    #[test]
    fn what_is_accepted_at_once_the_rules_accept_line_by_line() {
        let mut counts = Counts::default();
        for seed in 0..40_000 {
            let mut rng = Stream::new(seed, "again", 0);
            let first: Vec<Layout> = (0..LANES)
                .map(|_| {
                    let mut layout = Layout::empty(PAGES);
                    let pages = layout.pages_mut().iter_mut();
                    pages.for_each(|page| {
                        *page = match rng.below(4) {
                            0 => Page::HOLE,
                            prot => Page::anon(Prot::from_bits(prot as u8)),
                        };
                    });
                    layout
                })
                .collect();
            let oracle = Oracle::new(geometry(), &first, if seed % 3 == 0 { 4 } else { 64 });
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
                    go_up(&oracle, &mut rng, &windows, &mut counts);
                }
            });
        }
        for sort in 0..4 {
            let (tried, accepted) = (counts.tried[sort], counts.accepted[sort]);
            assert!(accepted > 500 && tried - accepted > 500, "{sort}: {accepted} of {tried}");
        }
        assert!(counts.expected.into_iter().chain(counts.first).all(|count| count > 500));
    }
}
