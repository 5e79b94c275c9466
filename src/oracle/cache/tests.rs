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
    assert_eq!(taken(&oracle, &mut cache, 0, &print(&gap)), (1, first), "the second is missing");
    let twice = [lines[0], lines[0], lines[1]];
    assert_eq!(taken(&oracle, &mut cache, 0, &print(&twice)), (1, first), "the first came twice");
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
