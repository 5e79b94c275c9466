//! The reader on a file that says what it is told to.
//!
//! It remembers the text of a version and compares bytes where it met that version before. What it
//! remembers must hide nothing: neither text that is of an older version, nor one wrong line among
//! many that are as they were. And what it finds wrong while an operation is under way is only a
//! violation when that has returned and the lane is known.

mod common;

use common::outside;
use mapstorm::engine::{Counts, Findings, Mode, Place, Reader, Surroundings, Tally};
use mapstorm::kernel::{Identities, MemoryFile};
use mapstorm::model::{Geometry, Layout, Op, Page, Place as Pages, Prot, Span};
use mapstorm::oracle::{Class, Oracle};
use mapstorm::seed::Stream;
use std::sync::atomic::{AtomicBool, Ordering};

const LANES: usize = 3;
const PAGES: usize = 12;

fn geometry() -> Geometry {
    Geometry::new(0x7d00_0000_0000, 4096, LANES, PAGES)
}

/// The lines of all lanes, below and above them one of the program's own.
fn lines(lanes: &[Layout]) -> Vec<String> {
    let line =
        |start: u64, end: u64, prot: Prot| format!("{start:x}-{end:x} {prot}p 00000000 00:00 0 ");
    let mut lines = vec![line(0x5500_0000_0000, 0x5500_0000_1000, Prot::READ_WRITE)];
    for (lane, layout) in lanes.iter().enumerate() {
        let at = |page| geometry().address(lane as u16, page);
        lines.extend(layout.vmas().map(|vma| line(at(vma.start), at(vma.end), vma.page.prot())));
    }
    lines.push(line(0x7ffd_0000_0000, 0x7ffd_0000_1000, Prot::READ_WRITE));
    lines
}

/// How the line begins of the VMA that starts at a page.
fn text_of(lane: u16, page: usize) -> String {
    format!("{:x}-", geometry().address(lane, page))
}

fn text(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.bytes().chain([b'\n'])).collect()
}

/// VMAs of one page, two kinds by turns, with a hole in the middle.
fn layout(lane: usize) -> Layout {
    Layout::empty(PAGES).repaged(|pages| {
        for (i, page) in pages.iter_mut().enumerate().filter(|(i, _)| *i != 7) {
            let first = (i + lane).is_multiple_of(2);
            let prot = if first { Prot::READ_WRITE } else { Prot::from_bits(1) };
            *page = Page::anon(prot);
        }
    })
}

/// A reader, what it reads, and what judges it.
struct Stand {
    oracle: Oracle,
    identities: Identities,
    outside: Surroundings,
    findings: Findings,
    tally: Tally,
    told: MemoryFile,
    lanes: Vec<Layout>,
    over: AtomicBool,
}

impl Stand {
    fn new() -> Stand {
        let lanes: Vec<Layout> = (0..LANES).map(layout).collect();
        let (mut told, identities) =
            (MemoryFile::new(&text(&lines(&lanes))), Identities::new(12, Vec::new()));
        let outside = outside(&mut told, &identities, &geometry());
        Stand {
            oracle: Oracle::new(geometry(), &lanes, 64),
            identities,
            outside,
            findings: Findings::new(Vec::new(), false, 1, 64),
            tally: Tally::default(),
            told,
            lanes,
            over: AtomicBool::new(false),
        }
    }

    fn reader(&self) -> Reader<'_, MemoryFile> {
        let Stand { oracle, identities, outside, findings, tally, .. } = self;
        let place = Place::new(oracle, identities, outside, findings, tally);
        let place = Place { settle: Some(&self.over), ..place };
        Reader::new(self.told.clone(), None, Stream::new(1, "reader", 0), place)
    }

    fn say(&self, lines: &[String]) {
        self.told.say(&text(lines));
    }

    /// Walks read so far; a turn is some.
    fn walks(&self) -> u64 {
        Counts::from(&self.tally).walks
    }

    fn found(&self) -> u64 {
        self.findings.by_class().iter().map(|(_, count)| count).sum()
    }
}

/// Every page of every lane in turn is unmapped or changed, everything else left as it was. As long
/// as the file still shows the version before, every walk is wrong; once it shows the new one, none.
#[test]
fn text_of_an_older_version_is_found() {
    for lane in 0..LANES {
        for page in 0..PAGES {
            for to in [Page::HOLE, Page::anon(Prot::from_bits(5))] {
                let stand = Stand::new();
                let mut lanes = stand.lanes.clone();
                lanes[lane] = lanes[lane].repaged(|pages| pages[page] = to);
                if lanes[lane] == stand.lanes[lane] {
                    continue;
                }
                let mut reader = stand.reader();
                (0..4).for_each(|_| reader.turn(Mode::Walk));
                assert_eq!(stand.found(), 0, "{:?}", stand.findings.by_class());
                stand.oracle.repair(&mut stand.oracle.hold(lane as u16), &lanes[lane]);
                let begun = stand.walks();
                for _ in 0..4 {
                    reader.turn(Mode::Walk);
                    let walks = stand.walks() - begun;
                    assert!(stand.found() >= walks, "lane {lane} page {page} {to}, walk {walks}");
                }
                let before = stand.found();
                stand.say(&lines(&lanes));
                (0..4).for_each(|_| reader.turn(Mode::Walk));
                assert_eq!(stand.found(), before, "lane {lane} page {page} {to}");
            }
        }
    }
}

/// Nothing changes, but one line is left out, or says something else, in a text met many times.
#[test]
fn one_wrong_line_among_known_ones_is_found() {
    let stand = Stand::new();
    let right = lines(&stand.lanes);
    let mut reader = stand.reader();
    let mut holes = 0;
    for at in 1..right.len() - 1 {
        for changed in [false, true] {
            (0..3).for_each(|_| reader.turn(Mode::Walk));
            let before = stand.found();
            reader.turn(Mode::Walk);
            assert_eq!(stand.found(), before, "line {at}");
            let mut wrong = right.clone();
            if changed {
                wrong[at] = wrong[at].replace("p 0", "s 0");
            } else {
                wrong.remove(at);
            }
            stand.say(&wrong);
            let walks = stand.walks();
            reader.turn(Mode::Walk);
            let walks = stand.walks() - walks;
            assert_eq!(stand.found(), before + walks, "line {at} changed: {changed}");
            holes += if changed { 0 } else { walks };
            stand.say(&right);
        }
    }
    let found = stand.findings.by_class();
    let found = found.iter().find(|(class, _)| *class == Class::Hole).unwrap().1;
    assert_eq!(found, holes, "each line left out is a hole");
}

/// How an operation ends that was under way when a line was left out of its lane.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Ending {
    Returned,
    Failed,
    /// It has not come back when the storm is over.
    Never,
}

/// What lies in a lane is not known before the operation under way has returned, however long that
/// takes: the lines judged so far are what it waits for here.
#[test]
fn a_violation_waits_for_the_operation_under_way() {
    const LANE: u16 = 1;
    for ending in [Ending::Returned, Ending::Failed, Ending::Never] {
        let stand = Stand::new();
        let mut told = lines(&stand.lanes);
        let before = told.iter().position(|line| line.starts_with(&text_of(LANE, 3))).unwrap();
        told.remove(before);
        stand.say(&told);
        let (oracle, tally, over) = (&stand.oracle, &stand.tally, &stand.over);
        let (under_way, judged) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut held = oracle.hold(LANE);
                let at = Pages { lane: LANE, span: Span::new(9, 10) };
                let op = Op::Protect { at, prot: Prot::from_bits(5) };
                let invoked = oracle.invoke(&op, 0, &mut held, None);
                under_way.store(true, Ordering::Release);
                while Counts::from(tally).lines < before as u64 {
                    std::thread::yield_now();
                }
                match ending {
                    Ending::Returned => oracle.returned(invoked),
                    Ending::Failed => oracle.failed(invoked, &mut held, None),
                    Ending::Never => {
                        over.store(true, Ordering::Relaxed);
                        while !judged.load(Ordering::Acquire) {
                            std::thread::yield_now();
                        }
                        oracle.returned(invoked);
                    }
                }
            });
            while !under_way.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            stand.reader().turn(Mode::Walk);
            judged.store(true, Ordering::Release);
        });
        let walks = stand.walks();
        assert!(walks > 0);
        let (found, undecided) = (stand.found(), Counts::from(tally).undecided);
        let expected = if ending == Ending::Returned { (walks, 0) } else { (0, walks) };
        assert_eq!((found, undecided), expected, "{ending:?}: found and undecided");
    }
}

/// An operation that stays under way has a changing place in every walk, and is one near miss.
#[test]
fn a_change_under_way_is_one_changing_place_however_often_it_is_read() {
    const AT: Pages = Pages { lane: 1, span: Span::new(5, 6) };
    for remembers in [true, false] {
        let stand = Stand::new();
        let reader = stand.reader();
        let mut reader = if remembers { reader } else { reader.without_cache() };
        let places = || Counts::from(&stand.tally).places;
        (0..2).for_each(|_| reader.turn(Mode::Walk));
        assert_eq!(places(), 0);
        let mut lanes = stand.lanes.clone();
        let page = lanes[1].pages()[5];
        let ops = [(Op::Unmap { at: AT }, Page::HOLE), (Op::Map { at: AT, page }, page)];
        for (number, (op, then)) in (1..).zip(ops) {
            let mut held = stand.oracle.hold(1);
            let invoked = stand.oracle.invoke(&op, 0, &mut held, None);
            // The file shows it already, and what lies below it in the lane is as it was.
            lanes[1] = lanes[1].repaged(|pages| pages[5] = then);
            stand.say(&lines(&lanes));
            for _ in 0..3 {
                reader.turn(Mode::Walk);
                assert_eq!(places(), number, "remembers: {remembers}");
            }
            stand.oracle.returned(invoked);
            drop(held);
            reader.turn(Mode::Walk);
            assert_eq!(places(), number, "returned");
        }
        assert_eq!(stand.found(), 0, "{:?}", stand.findings.by_class());
    }
}
