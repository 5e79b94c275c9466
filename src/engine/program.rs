//! What a mutator does next: scatter, hammer one spot, or follow a script.
//!
//! Uniform scatter reaches everything and tears little. What tears most is one place that splits
//! and merges, is replaced, or grows and shrinks over and over while a reader passes it. A
//! program is drawn for a stint of some hundred operations; then the next one is drawn.

use super::op_set::OpSet;
use crate::model::{Kind, Layout, MAX_PAGES, Op, Page, Place, Span, fits};
use crate::seed::Stream;
use arrayvec::ArrayVec;
use std::sync::Arc;

/// A mutator's plan for one stint.
#[derive(Clone, Debug)]
pub enum Program {
    /// Any operation anywhere in the lane, drawn one by one.
    Scatter {
        /// The lane.
        lane: u16,
        /// A second lane for moves; may be the same.
        other: u16,
    },
    /// Operations in a loop, after some that prepare the spot.
    Hammer {
        /// Preparation and loop.
        ops: ArrayVec<Op, 16>,
        /// Where the loop begins.
        repeat: usize,
        /// The next operation.
        next: usize,
    },
    /// A loop that a scenario gives. Never at its end: what does not fit is passed over.
    Script {
        /// The loop.
        ops: Arc<[Op]>,
        /// The next operation.
        next: usize,
    },
}

impl Program {
    /// Draws a program that hammers one spot of lane `lane`, which looks like `layout`, with moves
    /// from or to `other`. `None` when what was drawn can't be done with this op_set.
    pub fn hammer(
        rng: &mut Stream,
        may: &OpSet,
        lane: u16,
        layout: &Layout,
        other: u16,
        longest: usize,
        populate: bool,
    ) -> Option<Program> {
        let spot = Spot::draw(rng, may, lane, layout, longest)?;
        let (mut ops, mut cycle) = match rng.below(10) {
            0..4 => spot.split_and_merge(rng, may)?,
            4 | 5 => spot.map_over(rng, may)?,
            6 => spot.replace(rng, may, other)?,
            7 => spot.grow_and_shrink(rng, may, layout)?,
            8 => spot.empty_and_fill(rng, may)?,
            _ => spot.move_away_and_back(rng, may, other)?,
        };
        if may.has(Kind::Touch) && (populate || rng.one_in(TOUCHED)) {
            (ops, cycle) = (touched(&ops, populate)?, touched(&cycle, populate)?);
        }
        let repeat = ops.len();
        let ops = ops.into_iter().chain(cycle).collect();
        Some(Program::Hammer { ops, repeat, next: 0 })
    }

    /// The next operation to try. `layout` and `second` are the lanes of the program as they are
    /// now; `None` when the program is at its end because the lane no longer fits it.
    #[inline]
    pub fn next(
        &mut self,
        rng: &mut Stream,
        may: &OpSet,
        first: &Layout,
        second: &Layout,
    ) -> Option<Op> {
        match self {
            Program::Scatter { lane, other } => {
                // Most draws fit; a few more make up for those that do not.
                (0..8).find_map(|_| {
                    let op = scatter(rng, may, *lane, *other, first)?;
                    fits(&op, first, second).is_ok().then_some(op)
                })
            }
            Program::Hammer { ops, repeat, next } => {
                let op = ops[*next];
                *next += 1;
                if *next == ops.len() {
                    *next = *repeat;
                }
                Some(op)
            }
            Program::Script { ops, next } => {
                let op = ops[*next];
                *next = (*next + 1) % ops.len();
                Some(op)
            }
        }
    }

    /// The lanes of the next operation: its own and, for a move, the other.
    #[inline]
    pub fn lanes(&self) -> (u16, Option<u16>) {
        match self {
            Program::Scatter { lane, other } => (*lane, (lane != other).then_some(*other)),
            Program::Hammer { ops, next, .. } => (ops[*next].at().lane, ops[*next].other_lane()),
            Program::Script { ops, next } => (ops[*next].at().lane, ops[*next].other_lane()),
        }
    }
}

/// One hammered spot in so many is written to. Memory that was makes each call that takes it away
/// wait for the other CPUs to forget it (mm/mmu_gather.c, `tlb_finish_mmu`), so that fewer calls are
/// done.
const TOUCHED: usize = 6;

type Loop = (ArrayVec<Op, 8>, ArrayVec<Op, 8>);

/// The operations, with a write to what each of them maps. `None` where there is no room for them.
fn touched(ops: &[Op], whole: bool) -> Option<ArrayVec<Op, 8>> {
    let mut all = ArrayVec::new();
    for &op in ops {
        all.try_push(op).ok()?;
        if let Op::Map { at, page } = op
            && page.takes_writes()
        {
            all.try_push(Op::Touch { at, whole }).ok()?;
        }
    }
    Some(all)
}

/// The spot a program hammers: a span of pages that are, or are made, one VMA.
struct Spot {
    lane: u16,
    /// The VMA.
    base: Span,
    /// Pages within it.
    inner: Span,
    /// Its first page.
    page: Page,
    /// How to make it, where it is not there yet.
    prepare: Option<Op>,
    pages: usize,
}

impl Spot {
    fn draw(
        rng: &mut Stream,
        may: &OpSet,
        lane: u16,
        layout: &Layout,
        longest: usize,
    ) -> Option<Spot> {
        let pages = layout.len();
        let (base, page, prepare) = if may.has(Kind::Map) && !rng.one_in(4) {
            let base = draw_span(rng, pages, longest);
            let page = draw_page(rng, may, lane, base.start());
            let at = Place { lane, span: base };
            (base, page, Some(Op::Map { at, page }))
        } else {
            let vmas = layout.vmas().count();
            if vmas == 0 {
                return None;
            }
            let vma = layout.vmas().nth(rng.below(vmas))?;
            (Span::new(vma.start, vma.end), vma.page, None)
        };
        let inner = within(rng, base);
        Some(Spot { lane, base, inner, page, prepare, pages })
    }

    fn at(&self, span: Span) -> Place {
        Place { lane: self.lane, span }
    }

    fn inner_page(&self) -> Page {
        self.page.step((self.inner.start() - self.base.start()) as u16)
    }

    fn prepared(&self) -> ArrayVec<Op, 8> {
        self.prepare.into_iter().collect()
    }

    /// Changes an attribute of the inner pages and changes it back.
    fn split_and_merge(&self, rng: &mut Stream, may: &OpSet) -> Option<Loop> {
        let at = self.at(self.inner);
        let mut kinds: ArrayVec<Kind, 3> = ArrayVec::new();
        kinds.extend([Kind::Protect, Kind::Name, Kind::Advise].into_iter().filter(|&k| may.has(k)));
        if kinds.is_empty() {
            return None;
        }
        let cycle: [Op; 2] = match *rng.pick(&kinds) {
            Kind::Protect => {
                let prot = *rng.pick(may.prots());
                [Op::Protect { at, prot }, Op::Protect { at, prot: self.page.prot() }]
            }
            Kind::Name => {
                let name = rng.between(1, crate::model::MAX_NAMES as usize) as u8;
                [Op::Name { at, name }, Op::Name { at, name: self.page.name() }]
            }
            _ => {
                let advice = may.advices().nth(rng.below(may.advices().count().max(1)))?;
                let on = !self.page.has_advice(advice);
                [Op::Advise { at, advice, on }, Op::Advise { at, advice, on: !on }]
            }
        };
        Some((self.prepared(), cycle.into_iter().collect()))
    }

    /// Moves another VMA onto the inner pages, again and again.
    fn replace(&self, rng: &mut Stream, may: &OpSet, other: u16) -> Option<Loop> {
        if !may.has(Kind::Remap) {
            return None;
        }
        let len = self.inner.len as usize;
        let start = rng.below(self.pages - len + 1);
        let from = Place { lane: other, span: Span::new(start, start + len) };
        let to = self.at(self.inner);
        if from.lane == to.lane && from.span.overlaps(to.span) {
            return None;
        }
        let page = draw_page(rng, may, from.lane, start);
        let keep = may.keep && rng.one_in(2);
        let mut prepare = self.prepared();
        let mut cycle = ArrayVec::new();
        if may.has(Kind::Map) {
            let source = Op::Map { at: from, page };
            if keep { prepare.push(source) } else { cycle.push(source) }
        }
        cycle.push(Op::Remap { from, to, keep });
        Some((prepare, cycle))
    }

    /// Shrinks the VMA in place and lets it grow back, or the other way round.
    fn grow_and_shrink(&self, rng: &mut Stream, may: &OpSet, layout: &Layout) -> Option<Loop> {
        if !may.has(Kind::Resize) {
            return None;
        }
        let mut prepare = self.prepared();
        let mut end = self.base.end();
        if may.has(Kind::Unmap) && end < self.pages && rng.one_in(2) {
            // Room to grow into.
            let room = Span::new(end, rng.between(end + 1, self.pages));
            prepare.push(Op::Unmap { at: self.at(room) });
            end = room.end();
        } else if self.prepare.is_none() {
            end += layout.pages()[end..].iter().take_while(|page| !page.is_mapped()).count();
        }
        let most = (end - self.base.start()) as u8;
        if most < 2 {
            return None;
        }
        let new_len = rng.between(1, most as usize) as u8;
        let resized = Span { start: self.base.start, len: new_len };
        let there = Op::Resize { at: self.at(self.base), new_len };
        let back = Op::Resize { at: self.at(resized), new_len: self.base.len };
        (new_len != self.base.len).then(|| (prepare, [there, back].into_iter().collect()))
    }

    /// Unmaps the inner pages and maps them again.
    fn empty_and_fill(&self, rng: &mut Stream, may: &OpSet) -> Option<Loop> {
        if !may.has(Kind::Unmap) || !may.has(Kind::Map) {
            return None;
        }
        let at = self.at(self.inner);
        let page = match rng.one_in(4) {
            true => draw_page(rng, may, self.lane, self.inner.start()),
            false => self.inner_page().plain(),
        };
        let cycle = [Op::Unmap { at }, Op::Map { at, page }];
        Some((self.prepared(), cycle.into_iter().collect()))
    }

    /// Maps something else over the inner pages, and over more, and the first again.
    fn map_over(&self, rng: &mut Stream, may: &OpSet) -> Option<Loop> {
        if !may.has(Kind::Map) {
            return None;
        }
        let at = self.at(self.inner);
        let there = Op::Map { at, page: draw_page(rng, may, self.lane, self.inner.start()) };
        let back = match rng.one_in(2) {
            true => Op::Map { at, page: self.inner_page().plain() },
            false => Op::Map { at: self.at(self.base), page: self.page.plain() },
        };
        Some((self.prepared(), [there, back].into_iter().collect()))
    }

    /// Moves the inner pages elsewhere and back.
    fn move_away_and_back(&self, rng: &mut Stream, may: &OpSet, other: u16) -> Option<Loop> {
        if !may.has(Kind::Remap) {
            return None;
        }
        let len = self.inner.len as usize;
        let start = rng.below(self.pages - len + 1);
        let from = self.at(self.inner);
        let to = Place { lane: other, span: Span::new(start, start + len) };
        if from.lane == to.lane && from.span.overlaps(to.span) {
            return None;
        }
        let away = Op::Remap { from, to, keep: false };
        let back = Op::Remap { from: to, to: from, keep: false };
        Some((self.prepared(), [away, back].into_iter().collect()))
    }
}

/// One operation anywhere. It may not fit.
fn scatter(rng: &mut Stream, may: &OpSet, lane: u16, other: u16, layout: &Layout) -> Option<Op> {
    let pages = layout.len();
    let kinds = may.kinds.iter().count();
    let kind = may.kinds.iter().nth(rng.below(kinds.max(1)))?;
    let span = draw_span(rng, pages, pages);
    let at = Place { lane, span };
    // Operations that take one VMA, or mapped pages only, aim at a VMA.
    let aimed = |rng: &mut Stream| -> Option<Span> {
        let vmas = layout.vmas().count();
        let vma = layout.vmas().nth(rng.below(vmas.max(1)))?;
        let whole = Span::new(vma.start, vma.end);
        Some(if rng.one_in(2) { whole } else { within(rng, whole) })
    };
    Some(match kind {
        Kind::Map => Op::Map { at, page: draw_page(rng, may, lane, span.start()) },
        Kind::Unmap => Op::Unmap { at: Place { lane, span: draw_span(rng, pages, pages / 2 + 1) } },
        Kind::Protect => {
            let span = if rng.one_in(2) { span } else { aimed(rng)? };
            Op::Protect { at: Place { lane, span }, prot: *rng.pick(may.prots()) }
        }
        Kind::Resize => {
            let at = Place { lane, span: aimed(rng)? };
            Op::Resize { at, new_len: rng.between(1, pages - at.span.start()) as u8 }
        }
        Kind::Remap => {
            let from = Place { lane, span: aimed(rng)? };
            let start = rng.below(pages - from.span.len as usize + 1);
            let to = Span { start: start as u8, len: from.span.len };
            let to = Place { lane: other, span: to };
            Op::Remap { from, to, keep: may.keep && rng.one_in(3) }
        }
        Kind::Name => {
            let at = Place { lane, span: aimed(rng)? };
            Op::Name { at, name: rng.below(crate::model::MAX_NAMES as usize + 1) as u8 }
        }
        Kind::Touch => {
            let written = || layout.vmas().filter(|vma| vma.page.takes_writes());
            let vma = written().nth(rng.below(written().count().max(1)))?;
            Op::Touch {
                at: Place { lane, span: within(rng, Span::new(vma.start, vma.end)) },
                whole: false,
            }
        }
        Kind::Advise => {
            let at = Place { lane, span: aimed(rng)? };
            let advice = may.advices().nth(rng.below(may.advices().count().max(1)))?;
            Op::Advise { at, advice, on: rng.one_in(2) }
        }
    })
}

fn draw_span(rng: &mut Stream, pages: usize, longest: usize) -> Span {
    let len = rng.between(1, longest.min(pages));
    let start = rng.below(pages - len + 1);
    Span::new(start, start + len)
}

fn within(rng: &mut Stream, outer: Span) -> Span {
    let inner = draw_span(rng, outer.len as usize, outer.len as usize);
    Span { start: outer.start + inner.start, len: inner.len }
}

/// What to map at page `at` of the lane. Offsets follow the address most of the time, so that
/// neighbouring mappings of a memfd merge; else they are drawn, so that an observation names the
/// operation that made it.
fn draw_page(rng: &mut Stream, may: &OpSet, lane: u16, at: usize) -> Page {
    let prot = *rng.pick(may.prots());
    let shared = match rng.below(4) {
        0 if may.private_files => false,
        1 if may.shared_files => true,
        _ => return Page::anon(prot),
    };
    let pgoff = if rng.one_in(4) { rng.below(1 << 15) } else { lane as usize % 256 * 64 + at };
    Page::file(prot, shared, rng.below(may.files.max(1) as usize) as u8, pgoff as u16)
}

/// A lane to begin with: VMAs and holes of every kind the op_set has.
pub fn draw_layout(rng: &mut Stream, may: &OpSet, lane: u16, pages: usize) -> Layout {
    let mut drawn = [Page::HOLE; MAX_PAGES];
    let mut at = 0;
    while at < pages {
        let len = rng.between(1, pages.div_ceil(4).max(1)).min(pages - at);
        if !rng.one_in(4) {
            let page = draw_page(rng, may, lane, at);
            for i in 0..len {
                drawn[at + i] = page.step(i as u16);
            }
        }
        at += len;
    }
    Layout::from_pages(&drawn[..pages])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KindSet, apply};

    /// Runs programs on two lanes of the model and counts operations by kind.
    fn run(kinds: KindSet, seed: u64) -> [usize; 8] {
        let may = OpSet::full(kinds, 2);
        let mut rng = Stream::new(seed, "program", 0);
        let mut lanes = [draw_layout(&mut rng, &may, 0, 16), draw_layout(&mut rng, &may, 1, 16)];
        let mut done = [0; 8];
        for _ in 0..400 {
            let (lane, other) = (rng.below(2) as u16, rng.below(2) as u16);
            let layout = lanes[lane as usize];
            let hammer = Program::hammer(&mut rng, &may, lane, &layout, other, 16, false);
            let mut program = hammer.unwrap_or(Program::Scatter { lane, other });
            for _ in 0..20 {
                let (a, b) = program.lanes();
                let (mut first, mut second) =
                    (lanes[a as usize], lanes[b.unwrap_or(1 - a) as usize]);
                let Some(op) = program.next(&mut rng, &may, &first, &second) else {
                    break;
                };
                assert!(kinds.has(op.kind()), "{op} is not asked for");
                if fits(&op, &first, &second).is_err() {
                    break;
                }
                let before = [first, second];
                let changed = apply(&op, may.rules, &mut first, &mut second, 1 << 32);
                let differing = [first.differing(&before[0]), second.differing(&before[1])];
                assert_eq!(changed, differing, "{op} on {before:?}");
                lanes[a as usize] = first;
                if let Some(b) = op.other_lane() {
                    lanes[b as usize] = second;
                }
                done[op.kind() as usize] += 1;
            }
        }
        done
    }

    #[test]
    fn every_kind_comes_up() {
        // 8000 draws with fixed seeds: the outcome is the same on every machine.
        let done = run(KindSet::all(), 1);
        assert!(done.iter().all(|&count| count > 50), "{done:?}");
    }

    #[test]
    fn a_storm_of_one_kind_does_only_that() {
        for kind in Kind::ALL {
            let done = run(KindSet::EMPTY.with(kind), 2);
            assert_eq!(done.iter().sum::<usize>(), done[kind as usize]);
            assert!(done[kind as usize] > 50, "{kind}: {done:?}");
        }
    }
}
