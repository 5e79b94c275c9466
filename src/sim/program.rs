//! What a worker does next: anything anywhere, or a loop that hammers one spot.

use crate::model::{Advice, Geometry, Op, Page, Place, Prot, Span};
use crate::seed::Stream;
use arrayvec::ArrayVec;

type Ops = ArrayVec<Op, 6>;

/// A worker's plan for a while.
pub(super) struct Program {
    /// Preparation and loop; empty for scatter.
    ops: Ops,
    repeat: usize,
    next: usize,
    left: u32,
}

/// Four cuts of a lane, `a < b < c < d`, and the second lane of a move.
struct Spot {
    lane: u16,
    other: u16,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
}

impl Program {
    pub fn new() -> Program {
        Program { ops: Ops::new(), repeat: 0, next: 0, left: 0 }
    }

    /// The next operation; it may not fit, and is then passed over.
    pub fn next(&mut self, rng: &mut Stream, geometry: &Geometry) -> Op {
        if self.left == 0 {
            self.draw(rng, geometry);
        }
        self.left -= 1;
        if self.ops.is_empty() {
            return scatter(rng, geometry);
        }
        let op = self.ops[self.next];
        self.next += 1;
        if self.next == self.ops.len() {
            self.next = self.repeat;
        }
        op
    }

    fn draw(&mut self, rng: &mut Stream, geometry: &Geometry) {
        self.ops.clear();
        self.next = 0;
        if rng.one_in(4) || geometry.pages < 4 {
            self.left = rng.between(5, 40) as u32;
            return;
        }
        self.left = rng.between(10, 80) as u32;
        let spot = Spot::draw(rng, geometry);
        let (first, again) = spot.ops(rng);
        self.repeat = first.len();
        self.ops.extend(first);
        self.ops.extend(again);
    }
}

fn scatter(rng: &mut Stream, geometry: &Geometry) -> Op {
    let at = place(rng, geometry);
    match rng.below(19) {
        0..=4 => Op::Map { at, page: any_page(rng) },
        5..=6 => Op::Unmap { at },
        7..=9 => Op::Protect { at, prot: prot(rng) },
        10..=11 => Op::Resize { at, new_len: rng.between(1, geometry.pages as usize) as u8 },
        12..=13 => {
            let mut to = place(rng, geometry);
            let start = (to.span.start as usize).min((geometry.pages - at.span.len) as usize);
            to.span = Span { start: start as u8, len: at.span.len };
            Op::Remap { from: at, to, keep: rng.one_in(2) }
        }
        14 if rng.one_in(2) => Op::Name { at, name: rng.below(3) as u8 },
        14 | 16..=18 => Op::Touch { at, whole: false },
        _ => Op::Advise { at, advice: Advice::ALL[rng.below(3)], on: rng.one_in(2) },
    }
}

/// Few protections, so that neighbours are often alike.
fn prot(rng: &mut Stream) -> Prot {
    [Prot::READ, Prot::READ_WRITE, Prot::READ_WRITE, Prot::NONE][rng.below(4)]
}

fn any_page(rng: &mut Stream) -> Page {
    match rng.below(4) {
        0..=1 => Page::anon(prot(rng)),
        _ => Page::file(prot(rng), rng.one_in(2), rng.below(2) as u8, rng.below(24) as u16),
    }
}

fn place(rng: &mut Stream, geometry: &Geometry) -> Place {
    let pages = geometry.pages as usize;
    let start = rng.below(pages);
    let len = 1 + rng.below((pages - start).min(6));
    Place { lane: rng.below(geometry.lanes as usize) as u16, span: Span::new(start, start + len) }
}

impl Spot {
    fn draw(rng: &mut Stream, geometry: &Geometry) -> Spot {
        let pages = geometry.pages as usize;
        let mut cut = || rng.below(pages + 1);
        let mut cuts = loop {
            let cuts = [cut(), cut(), cut(), cut()];
            let mut sorted = cuts;
            sorted.sort_unstable();
            if sorted.windows(2).all(|pair| pair[0] < pair[1]) {
                break sorted;
            }
        };
        // Short runs more often than long ones: more lines, more seams.
        if rng.one_in(2) {
            let a = rng.below(pages - 3);
            cuts = [a, a + 1, a + 2, a + 3];
        }
        let [a, b, c, d] = cuts;
        let lane = rng.below(geometry.lanes as usize) as u16;
        let other = rng.below(geometry.lanes as usize) as u16;
        Spot { lane, other, a, b, c, d }
    }

    fn at(&self, start: usize, end: usize) -> Place {
        Place { lane: self.lane, span: Span::new(start, end) }
    }

    /// What prepares the spot, and the loop.
    fn ops(&self, rng: &mut Stream) -> (Ops, Ops) {
        let &Spot { a, b, c, d, .. } = self;
        let (at, map) = (|s, e| self.at(s, e), |s, e, page| Op::Map { at: self.at(s, e), page });
        let protect = |s, e, prot| Op::Protect { at: self.at(s, e), prot };
        let ops = |list: &[Op]| list.iter().copied().collect::<Ops>();
        let (w, r) = if rng.one_in(2) {
            (Page::anon(Prot::READ_WRITE), Page::anon(Prot::READ))
        } else {
            let page = |prot| Page::file(prot, true, 0, a as u16);
            (page(Prot::READ_WRITE), page(Prot::READ))
        };
        let (write, read) = (Prot::READ_WRITE, Prot::READ);
        let from_b = |page: Page| page.step((b - a) as u16);
        let from_c = |page: Page| page.step((c - a) as u16);
        let setups = [ops(&[map(a, d, w)]), ops(&[map(a, b, w), map(b, d, from_b(r))])];
        // A wandering seam more often than the rest: it takes most to catch.
        let which = [0, 1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        match *rng.pick(&which) {
            // Splits both ends, merges both.
            0 => (setups[0].clone(), ops(&[protect(b, c, read), protect(b, c, write)])),
            // The seam between two VMAs wanders: cases 3 and 5.
            1 => (setups[1].clone(), ops(&[protect(b, c, write), protect(b, c, read)])),
            2 => (
                ops(&[map(a, c, w), map(c, d, from_c(r))]),
                ops(&[protect(b, c, read), protect(b, c, write)]),
            ),
            // Cases 2 and 10, then 4 and 9, each with nothing on the other side.
            3 => (
                ops(&[Op::Unmap { at: at(c, d) }, map(a, b, w), map(b, c, from_b(r))]),
                ops(&[protect(b, c, write), protect(b, c, read)]),
            ),
            4 => (
                ops(&[map(a, b, r), map(b, c, from_b(w))]),
                ops(&[protect(a, b, write), protect(a, b, read)]),
            ),
            // Cases 6, 7 and 8: a gap fills and opens.
            5 => (setups[0].clone(), ops(&[Op::Unmap { at: at(b, c) }, map(b, c, from_b(w))])),
            6 => (ops(&[map(a, b, w)]), ops(&[map(b, c, from_b(w)), Op::Unmap { at: at(b, c) }])),
            7 => (ops(&[map(b, c, from_b(w))]), ops(&[map(a, b, w), Op::Unmap { at: at(a, b) }])),
            // Replaced by something else, in the middle, at an end, and as a whole.
            8 => (
                setups[0].clone(),
                ops(&[
                    map(b, c, any_page(rng)),
                    map(b, c, from_b(w)),
                    map(a, b, any_page(rng)),
                    map(a, b, w),
                ]),
            ),
            9 => self.replaced_by_moves(rng),
            10 => (
                ops(&[Op::Unmap { at: at(b, d) }, map(a, b, w)]),
                ops(&[
                    Op::Resize { at: at(a, b), new_len: (c - a) as u8 },
                    Op::Resize { at: at(a, c), new_len: (b - a) as u8 },
                ]),
            ),
            11 if self.other != self.lane => {
                let there = Place { lane: self.other, ..at(b, c) };
                let moved = |from, to| Op::Remap { from, to, keep: false };
                (
                    ops(&[map(b, c, any_page(rng))]),
                    ops(&[moved(at(b, c), there), moved(there, at(b, c))]),
                )
            }
            // Two holes take turns: at every instant one of them is filled.
            _ => (
                setups[1].clone(),
                ops(&[
                    map(b, c, from_b(r)),
                    Op::Unmap { at: at(a, b) },
                    map(a, b, w),
                    Op::Unmap { at: at(b, c) },
                ]),
            ),
        }
    }

    /// mremap(MREMAP_FIXED) onto a place that is always mapped.
    fn replaced_by_moves(&self, rng: &mut Stream) -> (Ops, Ops) {
        let &Spot { a, b, c, d, .. } = self;
        let len = (b - a).min(d - c);
        let (from, to) = (self.at(a, a + len), self.at(c, c + len));
        let first =
            [Op::Map { at: from, page: any_page(rng) }, Op::Map { at: to, page: any_page(rng) }];
        let onto = Op::Remap { from, to, keep: true };
        let back = Op::Map { at: to, page: any_page(rng) };
        let again = Op::Remap { from: to, to: from, keep: true };
        let again = if rng.one_in(2) { again } else { back };
        (first.into_iter().collect(), [onto, again, back].into_iter().collect())
    }
}
