//! Before the storm: each kind of operation alone, and what this kernel makes of it.
//!
//! The model says what the layout is after an operation; maps says what the kernel made of it.
//! A kind where the two differ, or that the kernel refuses, is dropped and never guessed at.

use super::op_set::OpSet;
use super::quiesce::{SeenLane, read_lanes};
use crate::kernel::{Arena, Lines, MapsRead, Mm};
use crate::model::{Advice, Kind, KindSet, Layout, Op, Page, Place, Prot, Span, apply, fits};
use rustix::io::Errno;

/// Something the storm does without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// What: a kind's word or a part of one, such as `remap with MREMAP_DONTUNMAP`.
    pub what: String,
    /// Why: the call's error, or the difference between model and kernel.
    pub why: String,
}

/// What calibration found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calibration {
    /// What is left.
    pub may: OpSet,
    /// What is not.
    pub dropped: Vec<Dropped>,
    /// How many operations were tried and compared.
    pub tried: usize,
}

/// One thing to try: operations on two lanes, from all pages unmapped.
struct Trial {
    what: String,
    /// What goes when it fails.
    drop: fn(&mut OpSet),
    ops: Vec<Op>,
}

/// Tries everything in `wanted` on the first two lanes of the arena (the second may be the first)
/// and leaves them unmapped.
///
/// # Errors
/// When maps can't be read, or plain mmap or munmap of anonymous memory does not do what the model
/// says: nothing can be tested then.
pub fn calibrate(
    arena: &Arena,
    source: &mut impl MapsRead,
    wanted: OpSet,
) -> Result<Calibration, Dropped> {
    let mut bench = Bench {
        arena,
        lines: Lines::default(),
        lanes: vec![SeenLane::default(); arena.geometry().lanes as usize],
        tried: 0,
    };
    let mut may = wanted;
    let mut dropped = Vec::new();
    for trial in trials(arena, &wanted) {
        if let Err(why) = bench.run(source, &trial) {
            if trial.what == "mmap and munmap" {
                return Err(Dropped { what: trial.what, why });
            }
            (trial.drop)(&mut may);
            dropped.push(Dropped { what: trial.what, why });
        }
    }
    Ok(Calibration { may, dropped, tried: bench.tried })
}

struct Bench<'a> {
    arena: &'a Arena,
    lines: Lines,
    lanes: Vec<SeenLane>,
    tried: usize,
}

impl Bench<'_> {
    fn run(&mut self, source: &mut impl MapsRead, trial: &Trial) -> Result<(), String> {
        let pages = self.arena.geometry().pages as usize;
        let result = self.play(source, trial, pages);
        for lane in 0..self.arena.geometry().lanes.min(2) {
            let at = Place { lane, span: Span::new(0, pages) };
            self.arena.carry_out(&Op::Unmap { at }).map_err(|errno| format!("munmap: {errno}"))?;
        }
        result
    }

    fn play(
        &mut self,
        source: &mut impl MapsRead,
        trial: &Trial,
        pages: usize,
    ) -> Result<(), String> {
        let mut model = [Layout::empty(pages), Layout::empty(pages)];
        for op in &trial.ops {
            let (at, other) = (op.at().lane as usize, 1 - op.at().lane as usize);
            let (mut first, mut second) = (model[at], model[other]);
            if fits(op, &first, &second).is_err() {
                // A short lane has no room for this step of the trial.
                continue;
            }
            self.arena.carry_out(op).map_err(|errno| refusal(op, errno))?;
            apply(op, &mut first, &mut second);
            (model[at], model[other]) = (first, second);
            self.tried += 1;
            let geometry = self.arena.geometry();
            read_lanes(source, self.arena.identities(), geometry, &mut self.lines, &mut self.lanes)
                .map_err(|errno| format!("cannot read /proc/self/maps: {errno}"))?;
            for (lane, expected) in model.iter().enumerate().take(self.lanes.len()) {
                if let Some(difference) = self.lanes[lane].difference(lane as u16, expected) {
                    return Err(format!("after {op}: {difference}"));
                }
            }
        }
        Ok(())
    }
}

fn refusal(op: &Op, errno: Errno) -> String {
    format!("{op}: {}", std::io::Error::from(errno))
}

fn trials(arena: &Arena, wanted: &OpSet) -> Vec<Trial> {
    let geometry = arena.geometry();
    let pages = geometry.pages as usize;
    let last = geometry.lanes.min(2) - 1;
    let whole = Span::new(0, pages);
    let at = |start: usize, end: usize| Place {
        lane: 0,
        span: Span::new(start.min(pages - 1), end.clamp(start.min(pages - 1) + 1, pages)),
    };
    let there = |start: usize, end: usize| Place { lane: last, ..at(start, end) };
    let all = Place { lane: 0, span: whole };
    let rw = Page::anon(Prot::READ_WRITE);
    let read = Page::anon(Prot::READ);
    let map = |at: Place, page: Page| Op::Map { at, page };
    let third = pages.div_ceil(3);
    let (low, mid, high) = (at(0, third), at(third, 2 * third), at(2 * third, pages));
    let inside = at(third + third / 4, 2 * third - third / 4);

    let mut trials = vec![Trial {
        what: "mmap and munmap".into(),
        drop: |_| {},
        ops: vec![
            map(all, rw),
            map(mid, read),
            map(mid, rw),
            Op::Unmap { at: inside },
            map(inside, rw),
            map(low, read),
            map(high, read),
            map(mid, read),
            Op::Unmap { at: low },
            Op::Unmap { at: all },
        ],
    }];
    let mut add = |what: &str, drop: fn(&mut OpSet), ops: Vec<Op>| {
        trials.push(Trial { what: what.into(), drop, ops });
    };
    if wanted.exec {
        add("executable mappings", |may| may.exec = false, {
            let exec = |at| map(at, Page::anon(Prot::READ_EXEC));
            vec![exec(all), map(mid, Page::anon(Prot::ALL)), exec(mid)]
        });
    }
    for shared in [false, true] {
        let page = |prot, at: Place| Page::file(prot, shared, 0, 64 + at.span.start as u16);
        let ops = vec![
            map(all, page(Prot::READ_WRITE, all)),
            map(mid, page(Prot::READ, mid)),
            map(mid, page(Prot::READ_WRITE, mid)),
            map(inside, Page::file(Prot::READ_WRITE, shared, 0, 7)),
            map(mid, page(Prot::READ_WRITE, mid)),
            Op::Unmap { at: inside },
            map(inside, page(Prot::READ_WRITE, inside)),
            Op::Protect { at: mid, prot: Prot::NONE },
            Op::Protect { at: all, prot: Prot::WRITE },
        ];
        if shared && wanted.shared_files {
            add("shared mappings of a memfd", |may| may.shared_files = false, ops);
        } else if !shared && wanted.private_files {
            add("private mappings of a memfd", |may| may.private_files = false, ops);
        }
    }
    let backings = [rw, Page::file(Prot::READ, false, 0, 64), Page::file(Prot::READ, true, 0, 64)];
    let usable = |page: &&Page| wanted.maps(**page);
    if wanted.has(Kind::Protect) {
        let mut ops = Vec::new();
        for &page in backings.iter().filter(usable) {
            ops.push(map(all, page));
            for &prot in wanted.prots().iter().filter(|prot| !prot.executes()) {
                ops.push(Op::Protect { at: mid, prot });
                ops.push(Op::Protect { at: inside, prot: Prot::READ_WRITE });
                ops.push(Op::Protect { at: all, prot });
            }
        }
        add("protect", |may| may.kinds = may.kinds.without(Kind::Protect), ops);
    }
    if wanted.has(Kind::Resize) {
        let mut ops = Vec::new();
        for &page in backings.iter().filter(usable) {
            ops.extend([map(low, page), map(at(2 * third, pages), page.step(2 * third as u16))]);
            ops.extend([
                Op::Resize { at: low, new_len: 1 },
                Op::Resize { at: at(0, 1), new_len: third as u8 },
                Op::Resize { at: low, new_len: 2 * third as u8 },
                Op::Unmap { at: all },
            ]);
        }
        add("resize", |may| may.kinds = may.kinds.without(Kind::Resize), ops);
    }
    if wanted.has(Kind::Remap) {
        let mut moves = Vec::new();
        let mut keeps = Vec::new();
        for &page in backings.iter().filter(usable) {
            for (from, to) in [(low, mid), (mid, low), (low, there(third, 2 * third))] {
                // Onto pages that are mapped: all of a VMA, a part of one, and into a hole.
                for onto in [Some(to), Some(Place { span: whole, ..to }), None] {
                    let prepare = onto.map(|onto| map(onto, read));
                    for (keep, ops) in [(false, &mut moves), (true, &mut keeps)] {
                        ops.extend(prepare);
                        ops.extend([map(from, page), Op::Remap { from, to, keep }]);
                        ops.extend([Op::Unmap { at: all }, Op::Unmap { at: there(0, pages) }]);
                    }
                }
            }
        }
        add("remap", |may| may.kinds = may.kinds.without(Kind::Remap), moves);
        if wanted.keep {
            add("remap with MREMAP_DONTUNMAP", |may| may.keep = false, keeps);
        }
    }
    if wanted.has(Kind::Name) {
        add("name", |may| may.kinds = may.kinds.without(Kind::Name), {
            let name = |at, name| Op::Name { at, name };
            vec![
                map(all, rw),
                name(mid, 1),
                name(inside, 2),
                name(mid, 1),
                name(all, 0),
                name(low, 3),
            ]
        });
    }
    if wanted.has(Kind::Advise) {
        let drops: [fn(&mut OpSet); 3] =
            [|may| may.advice[0] = false, |may| may.advice[1] = false, |may| may.advice[2] = false];
        for (advice, drop) in Advice::ALL.into_iter().zip(drops) {
            let advise = |at, on| Op::Advise { at, advice, on };
            let mut ops = Vec::new();
            for &page in backings.iter().filter(usable) {
                ops.extend([map(all, page), advise(mid, true), advise(inside, false)]);
                ops.extend([advise(all, true), advise(low, false), advise(all, false)]);
            }
            add(&format!("advise {advice:?}"), drop, ops);
        }
    }
    trials
}

impl Calibration {
    /// The kinds that can be drawn: those left, of which something is left.
    pub fn kinds(&self) -> KindSet {
        let kinds = self.may.kinds;
        if self.may.advice.contains(&true) { kinds } else { kinds.without(Kind::Advise) }
    }
}
