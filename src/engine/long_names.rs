//! Lines of the arena that are longer than a page of output, read and judged.

use super::quiesce::{SeenLane, read_lanes, read_outside};
use super::{Counts, Findings, Mode, Place, Reader, Surroundings, Tally};
use crate::kernel::{Arena, Lines, MapsFile, Mm, NoOddFile};
use crate::model::{MergeRules, Op, Page, Place as At, Prot, Space, Span};
use crate::oracle::{Oracle, Outside};
use crate::seed::Stream;
use std::process::Command;

/// In a process of its own: tests beside it map memory, and this kernel may tear what is read then.
#[test]
fn a_name_longer_than_a_page_is_read_and_judged() {
    const ALONE: &str = "MAPSTORM_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return judge();
    }
    let test = "engine::long_names::a_name_longer_than_a_page_is_read_and_judged";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(ALONE, "yes")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn judge() {
    let mut arena = Arena::reserve(2, 16).unwrap();
    match arena.add_long_file() {
        Ok(()) => {}
        // What the folder for temporary files lies on is not the test's affair.
        Err(NoOddFile::FileSystem(_) | NoOddFile::Map(_) | NoOddFile::Make(_)) => return,
        Err(why) => panic!("{why}"),
    }
    let geometry = *arena.geometry();
    let mut space = Space::empty(2, 16, MergeRules::NEWEST);
    let long = |shared, pgoff| Page::file(Prot::READ, shared, 2, pgoff);
    for (lane, start, end, page) in [
        (0, 1, 4, long(true, 7)),
        (0, 4, 6, Page::anon(Prot::READ)),
        (0, 6, 7, long(false, 1)),
        (0, 7, 9, long(true, 100)),
        (1, 0, 16, long(true, 0)),
    ] {
        let op = Op::Map { at: At { lane, span: Span::new(start, end) }, page };
        arena.carry_out(&op).unwrap();
        space.play(&op).unwrap();
    }
    let identities = arena.identities();
    let mut lanes = vec![SeenLane::default(); 2];
    let mut file = MapsFile::own().unwrap();
    read_lanes(&mut file, identities, &geometry, &mut Lines::default(), &mut lanes).unwrap();
    for (lane, layout) in space.lanes().iter().enumerate() {
        assert!(lanes[lane].is(layout), "{:?}", lanes[lane].difference(lane as u16, layout));
    }

    let oracle = Oracle::new(geometry, space.lanes(), 16);
    let mut outside = Outside::with_room(512, 64 << 10);
    read_outside(&mut file, identities, &geometry, &mut outside).unwrap();
    let (outside, tally) = (Surroundings::from(outside), Tally::default());
    let findings = Findings::new(Vec::new(), false, 1, 512);
    let place = Place::new(&oracle, identities, &outside, &findings, &tally);
    let rng = Stream::new(1, "reader", 0);
    let mut reader = Reader::new(MapsFile::own().unwrap(), None, rng, place);
    for mode in [Mode::Walk, Mode::Pread, Mode::Short] {
        let before = Counts::from(&tally);
        (0..20).for_each(|_| reader.turn(mode));
        let after = Counts::from(&tally);
        let found = findings.with(|found, _| {
            found.iter().map(|found| found.signature.to_string()).collect::<Vec<_>>()
        });
        assert!(found.is_empty(), "{mode}: {found:?}");
        assert!(after.checked >= before.checked + 100, "{mode}: {after:?}");
        // In calls of some hundred bytes a line takes so many of them that its first may be forgotten.
        let forgets = mode == Mode::Short;
        assert!(forgets || after.undecided == before.undecided, "{mode}: {}", after.undecided);
    }
}
