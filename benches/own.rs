//! What mapstorm's own code takes, the kernel left out: a walk judged, an operation recorded.
//!
//! `cargo bench --bench own`. The reader reads a file that is kept in memory, of eight lanes and
//! what a program of some threads has around them; the mutator's system calls do nothing. What a
//! reader takes with nothing judged is measured beside it. In ns, the least of many turns; what
//! sharing the history between CPUs costs comes on top (`--bench overhead`).

use mapstorm::engine::{
    Counts, Findings, Mode, Mutator, OpSet, Place, Reader, Slice, Surroundings, Tally, draw_layout,
    read_outside,
};
use mapstorm::kernel::{Before, FileIdentity, Identities, Line, MapsRead, MemoryFile, Mm};
use mapstorm::model::{Geometry, Kind, KindSet, Layout, Op, Place as Pages, Prot, Space, Span};
use mapstorm::oracle::Oracle;
use mapstorm::seed::Stream;
use rustix::io::Errno;
use std::time::Instant;

const LANES: usize = 8;
const PAGES: usize = 16;
const PAGE: usize = 4096;
/// How often each figure is taken.
const TURNS: usize = 200;
/// Turns of the reader, or operations, that a figure is taken over.
const WALKS: usize = 64;
const OPERATIONS: usize = 4096;

/// An address space that does nothing.
struct Still;

impl Mm for Still {
    fn carry_out(&self, _: &Op) -> Result<(), Errno> {
        Ok(())
    }
}

fn identities() -> Identities {
    let file = |inode| FileIdentity {
        dev_major: 0,
        dev_minor: 1,
        inode,
        name: format!("/memfd:mapstorm-{inode} (deleted)").into_bytes(),
    };
    Identities::new(12, vec![file(1550), file(1551)])
}

fn geometry() -> Geometry {
    Geometry::new(0x7d00_0000_0000, PAGE, LANES, PAGES)
}

/// Prints a mapping that is not the arena's.
fn foreign(text: &mut Vec<u8>, start: u64, inode: u64, name: &[u8]) {
    let (end, perms, offset, dev_major, dev_minor) = (start + 0x3000, 5, 0, 0, 0);
    let line = Line { start, end, perms, offset, dev_major, dev_minor, inode, name };
    line.print(text).expect("memory");
}

/// What maps says: the program and its heap, the lanes, libraries and stacks.
fn text(lanes: &[Layout], identities: &Identities) -> Vec<u8> {
    let mut text = Vec::new();
    let below = (0..6).map(|n| 0x5500_0000_0000 + n * 0x4000);
    below.for_each(|start| foreign(&mut text, start, 4711, b"/usr/local/bin/mapstorm"));
    for (lane, layout) in lanes.iter().enumerate() {
        for vma in layout.vmas() {
            let file = identities.files().get(vma.page.file_index() as usize);
            let file = file.filter(|_| vma.page.is_file());
            let line = Line {
                start: geometry().address(lane as u16, vma.start),
                end: geometry().address(lane as u16, vma.end),
                perms: vma.page.perms(),
                offset: file.map_or(0, |_| u64::from(vma.page.pgoff()) * PAGE as u64),
                dev_major: 0,
                dev_minor: file.map_or(0, |file| file.dev_minor),
                inode: file.map_or(0, |file| file.inode),
                name: file.map_or(b"", |file| &file.name),
            };
            line.print(&mut text).expect("memory");
        }
    }
    let above = (0..20).map(|n| 0x7f00_0000_0000 + n * 0x4000);
    above.for_each(|start| foreign(&mut text, start, 0, b""));
    text
}

/// What the lanes' operations put where, by turns.
fn ops(lanes: u16, side: bool) -> impl Iterator<Item = Op> {
    let prot = if side { Prot::NONE } else { Prot::READ };
    let page = mapstorm::model::Page::anon(prot);
    (0..lanes).map(move |lane| Op::Map { at: Pages { lane, span: Span::new(4, 8) }, page })
}

/// Nanoseconds for a page's worth of text, judged and only read, with operations in `moving` lanes
/// between any two walks.
fn walks(moving: usize) -> [f64; 2] {
    let identities = identities();
    let may = OpSet::full(KindSet::all().without(Kind::Name), 2);
    let mut rng = Stream::new(7, "layout", 0);
    let first: Vec<Layout> =
        (0..LANES as u16).map(|lane| draw_layout(&mut rng, &may, lane, PAGES)).collect();
    let mut space = Space::new(&first, may.rules);
    let oracle = Oracle::new(geometry(), &first, 1 << 12);
    let findings = Findings::new(Vec::new(), false, 1, 64);
    let tally = Tally::default();
    let texts = [false, true].map(|side| {
        for op in ops(moving as u16, side) {
            space.play(&op).expect("an operation that fits");
        }
        text(space.lanes(), &identities)
    });
    let texts = [&texts[0][..], &texts[1]];
    // Before each walk some lanes change.
    let oracle = &oracle;
    let file = || {
        let mut side = false;
        Before::new(MemoryFile::default(), move |file: &mut MemoryFile, offset| {
            if offset != Some(0) {
                return;
            }
            for op in ops(moving as u16, side) {
                let mut held = oracle.hold(op.at().lane);
                let invoked = oracle.invoke(&op, 0, &mut held, None);
                oracle.returned(invoked);
            }
            file.say(texts[usize::from(side)]);
            side = !side;
        })
    };
    let outside = Surroundings::with_room(64, 8192, 0, 0);
    let mut told = MemoryFile::new(texts[0]);
    outside
        .renew(&findings, |outside| read_outside(&mut told, &identities, &geometry(), outside))
        .expect("memory");
    let place = Place::new(oracle, &identities, &outside, &findings, &tally);
    let place = Place { versions: 64, ..place };
    let mut reader = Reader::new(file(), None, Stream::new(1, "reader", 0), place);
    let (mut alone, mut page) = (file(), vec![0; PAGE]);
    (0..WALKS).for_each(|_| reader.turn(Mode::Walk));
    let mut least = [f64::MAX; 2];
    for _ in 0..TURNS {
        let mut sum = [0.0; 2];
        for _ in 0..WALKS {
            let before = Counts::from(&tally);
            let begun = Instant::now();
            reader.turn(Mode::Walk);
            let judged = begun.elapsed();
            let after = Counts::from(&tally);
            let pages = (after.bytes - before.bytes) as f64 / PAGE as f64;
            // As many calls, of as many walks.
            let walks = after.walks - before.walks;
            let calls = (pages / walks as f64).ceil() as u64;
            let begun = Instant::now();
            for call in (0..walks).flat_map(|_| 0..calls) {
                alone.pread(&mut page, call * PAGE as u64).expect("memory");
            }
            let read = begun.elapsed();
            sum[0] += judged.as_nanos() as f64 / pages / WALKS as f64;
            sum[1] += read.as_nanos() as f64 / pages / WALKS as f64;
        }
        least = [least[0].min(sum[0]), least[1].min(sum[1])];
    }
    let wrong: u64 = findings.by_class().iter().map(|(_, count)| count).sum();
    assert_eq!(wrong, 0, "{:?}", findings.by_class());
    least
}

/// Nanoseconds for an operation planned, recorded and counted, with system calls that do nothing.
fn operations(kinds: KindSet) -> f64 {
    const SLICE: Slice = Slice {
        first_lane: 0,
        lanes: LANES as u16,
        hammer: 6,
        spin: 0,
        sleep: 0,
        idle: false,
        longest: 0,
        populate: false,
        full: false,
    };
    let may = OpSet::full(kinds, 2);
    let mut rng = Stream::new(7, "layout", 0);
    let first: Vec<Layout> =
        (0..LANES as u16).map(|lane| draw_layout(&mut rng, &may, lane, PAGES)).collect();
    let oracle = Oracle::new(geometry(), &first, 1 << 12);
    let tally = Tally::default();
    let mut mutator = Mutator::new(&oracle, &tally, may, Stream::new(1, "mutator", 0), 0);
    let mut least = f64::MAX;
    for _ in 0..TURNS {
        let begun = Instant::now();
        let mut done = 0;
        while done < OPERATIONS {
            done += usize::from(mutator.step(&Still, &SLICE));
        }
        least = least.min(begun.elapsed().as_nanos() as f64 / OPERATIONS as f64);
    }
    least
}

fn main() {
    println!("{:>14}{:>24}{:>12}", "lanes moved", "ns a page, judged", "only read");
    for moving in [0, 1, 2, LANES] {
        let [judged, read] = walks(moving);
        println!("{moving:>14}{judged:>24.0}{read:>12.0}");
    }
    println!("{:>14}{:>24}", "operations", "ns");
    for (name, kinds) in [
        ("all", KindSet::all().without(Kind::Name)),
        ("no remap", KindSet::all().without(Kind::Name).without(Kind::Remap)),
    ] {
        println!("{name:>14}{:>24.0}", operations(kinds));
    }
}
