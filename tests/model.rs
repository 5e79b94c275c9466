//! The model against the kernel: random operations on a real arena, in one thread, and after each
//! what `/proc/self/maps` shows against what the model says.

mod common;

use mapstorm::engine::{SeenLane, merge_rules, read_lanes};
use mapstorm::kernel::{Arena, Lines, MapsFile, Mm};
use mapstorm::model::{Advice, Kind, Layout, MergeRules, Op, Page, Place, Prot, Space, Span};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};

const LANES: usize = 2;
const PAGES: usize = 12;

/// An arena, its descriptor, and what this kernel refused so far.
struct Ground {
    arena: Arena,
    file: MapsFile,
    refused: BTreeSet<String>,
    rules: MergeRules,
}

fn ground() -> &'static Mutex<Ground> {
    static GROUND: OnceLock<Mutex<Ground>> = OnceLock::new();
    GROUND.get_or_init(|| {
        let arena = Arena::reserve(LANES, PAGES).expect("address space for a small arena");
        let mut file = MapsFile::own().expect("/proc/self/maps");
        let rules = merge_rules(&arena, &mut file).expect("calls that tell how this kernel merges");
        Mutex::new(Ground { arena, file, refused: BTreeSet::new(), rules })
    })
}

fn any_place() -> impl Strategy<Value = Place> {
    (0..LANES as u16, 0..PAGES, 1..=5usize).prop_map(|(lane, start, len)| Place {
        lane,
        span: Span::new(start, (start + len).min(PAGES)),
    })
}

fn any_prot() -> impl Strategy<Value = Prot> {
    prop::sample::select(&Prot::DRAWN[..])
}

/// Private anonymous memory, private and shared files; few offsets, so that some follow on.
fn any_page() -> impl Strategy<Value = Page> {
    (any_prot(), 0..3u8, 0..2u8, 0..PAGES as u16).prop_map(|(prot, backing, file, pgoff)| {
        match backing {
            0 => Page::anon(prot),
            backing => Page::file(prot, backing == 2, file, pgoff),
        }
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any_place(), any_page()).prop_map(|(at, page)| Op::Map { at, page }),
        2 => any_place().prop_map(|at| Op::Unmap { at }),
        4 => (any_place(), any_prot()).prop_map(|(at, prot)| Op::Protect { at, prot }),
        3 => (any_place(), 1..=6u8).prop_map(|(at, new_len)| Op::Resize { at, new_len }),
        4 => (any_place(), any_place(), any::<bool>()).prop_map(|(from, mut to, keep)| {
            let start = to.span.start().min(PAGES - from.span.len as usize);
            to.span = Span { start: start as u8, len: from.span.len };
            Op::Remap { from, to, keep }
        }),
        1 => (any_place(), 0..4u8).prop_map(|(at, name)| Op::Name { at, name }),
        2 => (any_place(), prop::sample::select(&Advice::ALL[..]), any::<bool>())
            .prop_map(|(at, advice, on)| Op::Advise { at, advice, on }),
        3 => any_place().prop_map(|at| Op::Touch { at, whole: false }),
    ]
}

/// What is refused together: a kind of operation with what makes the difference to a kernel.
fn sort(op: &Op, layout: &Layout) -> String {
    let page = match *op {
        Op::Map { page, .. } => page,
        _ => layout.pages()[op.at().span.start()],
    };
    let prot = match *op {
        Op::Map { page, .. } => page.prot(),
        Op::Protect { prot, .. } => prot,
        _ => Prot::NONE,
    };
    let exec = if prot.executes() { " with execute" } else { "" };
    let keep = if matches!(op, Op::Remap { keep: true, .. }) { " with DONTUNMAP" } else { "" };
    let advice = match op {
        Op::Advise { advice, .. } => format!(" {advice:?}"),
        _ => String::new(),
    };
    format!("{} of {:?}{exec}{keep}{advice}", op.kind(), page.backing())
}

impl Ground {
    /// Unmaps everything.
    fn clear(&self) {
        for lane in 0..LANES as u16 {
            let at = Place { lane, span: Span::new(0, PAGES) };
            self.arena.carry_out(&Op::Unmap { at }).expect("munmap of a lane");
        }
    }

    fn compare(&mut self, lanes: &[Layout], op: &Op) -> Result<(), String> {
        let (geometry, identities) = (*self.arena.geometry(), self.arena.identities());
        let mut seen = vec![SeenLane::default(); LANES];
        let mut lines = Lines::default();
        read_lanes(&mut self.file, identities, &geometry, &mut lines, &mut seen)
            .map_err(|e| e.to_string())?;
        for (lane, (seen, layout)) in seen.iter().zip(lanes).enumerate() {
            if let Some(difference) = seen.difference(lane as u16, layout) {
                return Err(format!("after {op}: {difference}"));
            }
        }
        Ok(())
    }

    /// Carries out what fits, and looks after each.
    fn play(&mut self, ops: &[Op]) -> Result<(), String> {
        self.clear();
        let mut lanes = Space::empty(LANES, PAGES, self.rules);
        for op in ops {
            let sort = sort(op, &lanes.lanes()[usize::from(op.at().lane)]);
            if lanes.fits(op).is_err() || self.refused.contains(&sort) {
                continue;
            }
            match self.arena.carry_out(op) {
                Ok(()) => {}
                Err(
                    errno @ (Errno::INVAL
                    | Errno::NOSYS
                    | Errno::PERM
                    | Errno::ACCESS
                    | Errno::OPNOTSUPP),
                ) => {
                    common::skip(format!("this kernel refuses {sort} ({errno})"));
                    self.refused.insert(sort);
                    // It may have failed half-way: begin anew.
                    self.clear();
                    lanes = Space::empty(LANES, PAGES, self.rules);
                    continue;
                }
                Err(errno) => return Err(format!("{op}: {errno}")),
            }
            lanes.play(op).map_err(|misfit| format!("{op}: {misfit}"))?;
            self.compare(lanes.lanes(), op)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: Some(Box::new(
            FileFailurePersistence::Direct("proptest-regressions/model.txt")
        )),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_kernel_does_what_the_model_says(ops in prop::collection::vec(any_op(), 1..80)) {
        let mut ground = ground().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let played = ground.play(&ops);
        prop_assert!(played.is_ok(), "{}", played.unwrap_err());
    }
}

/// The kinds the storm rests on are there on every kernel; without them the test above would pass
/// with nothing done.
#[test]
fn mapping_and_protecting_is_never_left_out() {
    let mut ground = ground().lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let at = |start, end| Place { lane: 0, span: Span::new(start, end) };
    let write = Page::anon(Prot::READ_WRITE);
    let shared = Page::file(Prot::READ, true, 0, 3);
    let ops = [
        Op::Map { at: at(0, 6), page: write },
        Op::Protect { at: at(2, 4), prot: Prot::READ },
        Op::Map { at: at(7, 9), page: shared },
        Op::Remap { from: at(0, 2), to: at(7, 9), keep: false },
        Op::Unmap { at: at(3, 5) },
    ];
    assert_eq!(ground.play(&ops), Ok(()));
    let basic = |sort: &&String| !sort.contains("execute") && !sort.contains("DONTUNMAP");
    let left_out: Vec<&String> = ground
        .refused
        .iter()
        .filter(basic)
        .filter(|sort| {
            [Kind::Map, Kind::Unmap, Kind::Remap].iter().any(|k| sort.starts_with(k.word()))
        })
        .collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    ground.clear();
}

/// The simulated kernel has the same seam; what it makes of the operations is the model's, too.
#[test]
fn the_simulated_kernel_does_what_the_model_says() {
    use mapstorm::model::Geometry;
    use mapstorm::sim::{Kernel, Model, Still};
    let geometry = Geometry::new(0x7d00_0000_0000, 4096, LANES, PAGES);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let sequences = prop::collection::vec(any_op(), 1..80);
    for model in Model::ALL {
        let rules = RefCell::new(MergeRules::every().collect::<Vec<_>>().into_iter().cycle());
        let played = runner.run(&sequences, |ops| {
            let rules = rules.borrow_mut().next().expect("a cycle");
            let mut lanes = Space::empty(LANES, PAGES, rules);
            let kernel = Kernel::new(geometry, rules, lanes.lanes(), model, None);
            let still = Still(RefCell::new(kernel));
            for op in &ops {
                if lanes.play(op).is_err() {
                    continue;
                }
                still.carry_out(op).unwrap();
                for (lane, layout) in lanes.lanes().iter().enumerate() {
                    prop_assert_eq!(&still.0.borrow().layout(lane as u16), layout, "{}", op);
                }
            }
            Ok(())
        });
        played.unwrap();
    }
}
