//! Where each kind of operation is tried: beside equal, unequal and touched neighbours, at both ends
//! of a VMA and within it, over one VMA and over several.

use crate::engine::op_set::OpSet;
use crate::model::{Advice, Geometry, Kind, MAX_NAMES, Op, Page, Place, Prot, Span};

/// One thing to try: operations on two lanes, from all pages unmapped. The layouts are compared at
/// the end.
pub(super) type Placement = Vec<Op>;

/// Something that the storm does without when one of its placements fails.
pub(super) struct Trial {
    pub(super) what: String,
    /// What goes then.
    pub(super) drop: fn(&mut OpSet),
    pub(super) placements: Vec<Placement>,
}

/// What lies beside the pages that are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Hole,
    /// As they are.
    Equal,
    /// As they will be.
    Turned,
    /// As they are, and written to.
    Touched,
}

impl Beside {
    const ALL: [Beside; 4] = [Beside::Hole, Beside::Equal, Beside::Turned, Beside::Touched];
}

/// A lane cut in three: what is below, what is changed, what is above; and a second lane.
pub(super) struct Ground {
    pages: usize,
    third: usize,
    last: u16,
}

impl Ground {
    pub(super) fn new(geometry: &Geometry) -> Ground {
        let pages = usize::from(geometry.pages);
        Ground { pages, third: pages.div_ceil(3), last: geometry.lanes.min(2) - 1 }
    }

    /// Pages of the first lane, as many of them as there are.
    fn at(&self, start: usize, end: usize) -> Place {
        let start = start.min(self.pages - 1);
        Place { lane: 0, span: Span::new(start, end.clamp(start + 1, self.pages)) }
    }

    fn there(&self, start: usize, end: usize) -> Place {
        Place { lane: self.last, ..self.at(start, end) }
    }

    fn low(&self) -> Place {
        self.at(0, self.third)
    }

    fn mid(&self) -> Place {
        self.at(self.third, 2 * self.third)
    }

    fn high(&self) -> Place {
        self.at(2 * self.third, self.pages)
    }

    fn all(&self) -> Place {
        self.at(0, self.pages)
    }

    /// The parts of the middle that are changed: all of it, its ends, what is within, and more than
    /// it.
    fn parts(&self) -> [Place; 5] {
        let (start, end) = (self.third, 2 * self.third);
        let half = start + (end - start) / 2;
        let some = |start, end| self.at(start, end);
        [
            self.mid(),
            some(start, half),
            some(half, end),
            some(start + 1, end - 1),
            some(start / 2, end + (self.pages - end) / 2),
        ]
    }

    /// The page as it goes on at `at`.
    fn here(page: Page, at: Place) -> Page {
        page.step(at.span.start() as u16)
    }

    /// What is there before: the middle as `page`, and beside it what is asked for. `turn` makes of a
    /// place what the operation to be tried will.
    fn around(
        &self,
        page: Page,
        [below, above]: [Beside; 2],
        turn: &dyn Fn(Place) -> Option<Op>,
    ) -> Placement {
        let mut ops = Vec::new();
        for (beside, at) in [(below, self.low()), (above, self.high())] {
            let map = Op::Map { at, page: Ground::here(page, at) };
            match beside {
                Beside::Hole => {}
                Beside::Equal => ops.push(map),
                Beside::Turned => {
                    ops.push(map);
                    ops.extend(turn(at));
                }
                Beside::Touched if page.takes_writes() => {
                    ops.extend([map, Op::Touch { at, whole: false }])
                }
                Beside::Touched => ops.push(map),
            }
        }
        let at = self.mid();
        ops.push(Op::Map { at, page: Ground::here(page, at) });
        ops
    }

    /// An operation that changes pages in place, tried in all placements. `back` undoes it.
    fn changes(
        &self,
        pages: &[Page],
        turn: &dyn Fn(Place) -> Option<Op>,
        back: &dyn Fn(Place) -> Option<Op>,
    ) -> Vec<Placement> {
        let mut placements = Vec::new();
        for &page in pages {
            for below in Beside::ALL {
                for above in Beside::ALL {
                    for part in self.parts() {
                        let touched = page
                            .takes_writes()
                            .then_some(Op::Touch { at: self.mid(), whole: false });
                        let untouched = self.around(page, [below, above], turn);
                        placements.push(untouched.iter().copied().chain(turn(part)).collect());
                        let touched = untouched.into_iter().chain(touched);
                        placements.push(touched.chain(turn(part)).chain(back(part)).collect());
                    }
                }
            }
        }
        placements
    }

    /// The trials of what is wanted, plain mmap and munmap first.
    pub(super) fn trials(&self, wanted: &OpSet) -> Vec<Trial> {
        let rw = Page::anon(Prot::READ_WRITE);
        let file = |shared| Page::file(Prot::READ_WRITE, shared, 0, 64);
        let backings = [rw, file(false), file(true)];
        let usable: Vec<Page> = backings.into_iter().filter(|page| wanted.maps(*page)).collect();
        let mut trials =
            vec![Trial { what: "mmap and munmap".into(), drop: |_| {}, placements: self.maps(rw) }];
        let mut add = |what: &str, drop: fn(&mut OpSet), placements: Vec<Placement>| {
            trials.push(Trial { what: what.into(), drop, placements });
        };
        if wanted.has(Kind::Touch) {
            let touch = |at: Place| Some(Op::Touch { at, whole: false });
            let protect = |at: Place| {
                let prot = Prot::READ;
                wanted.has(Kind::Protect).then_some(Op::Protect { at, prot })
            };
            add(
                "touch",
                |may| may.kinds = may.kinds.without(Kind::Touch),
                self.changes(&[rw], &touch, &protect),
            );
        }
        for (what, prots, drop) in [
            ("protections", wanted.prots(), (|_| {}) as fn(&mut OpSet)),
            ("executable mappings", &Prot::DRAWN[..], |may| may.exec = false),
        ] {
            let executes = what == "executable mappings";
            if executes && !wanted.exec {
                continue;
            }
            let prots: Vec<Prot> =
                prots.iter().copied().filter(|prot| prot.executes() == executes).collect();
            add(what, drop, self.protections(&usable, &prots, wanted.has(Kind::Protect)));
        }
        for shared in [false, true] {
            let wanted = if shared { wanted.shared_files } else { wanted.private_files };
            let drop: fn(&mut OpSet) = match shared {
                true => |may| may.shared_files = false,
                false => |may| may.private_files = false,
            };
            let what = ["private mappings of a memfd", "shared mappings of a memfd"];
            if wanted {
                add(what[usize::from(shared)], drop, self.maps(file(shared)));
            }
        }
        if wanted.has(Kind::Protect) {
            let to = |prot| move |at: Place| Some(Op::Protect { at, prot });
            let placements = self.changes(&usable, &to(Prot::READ), &to(Prot::READ_WRITE));
            add("protect", |may| may.kinds = may.kinds.without(Kind::Protect), placements);
        }
        if wanted.has(Kind::Resize) {
            let placements = usable.iter().flat_map(|&page| self.resizes(page)).collect();
            add("resize", |may| may.kinds = may.kinds.without(Kind::Resize), placements);
        }
        if wanted.has(Kind::Remap) {
            let moves = |keep| usable.iter().flat_map(|&page| self.moves(page, keep)).collect();
            add("remap", |may| may.kinds = may.kinds.without(Kind::Remap), moves(false));
            if wanted.keep {
                add("remap with MREMAP_DONTUNMAP", |may| may.keep = false, moves(true));
            }
        }
        if wanted.has(Kind::Name) {
            let name = |name| move |at: Place| Some(Op::Name { at, name });
            let mut placements = self.changes(&[rw], &name(1), &name(0));
            let all = self.all();
            placements.extend((1..=MAX_NAMES).map(|name| {
                vec![Op::Map { at: all, page: rw }, Op::Name { at: self.mid(), name }]
            }));
            add("name", |may| may.kinds = may.kinds.without(Kind::Name), placements);
        }
        if wanted.has(Kind::Advise) {
            let drops: [fn(&mut OpSet); 3] = [
                |may| may.advice[0] = false,
                |may| may.advice[1] = false,
                |may| may.advice[2] = false,
            ];
            for (advice, drop) in Advice::ALL.into_iter().zip(drops) {
                let advise = |on| move |at: Place| Some(Op::Advise { at, advice, on });
                let placements = self.changes(&usable, &advise(true), &advise(false));
                add(&format!("advise {advice:?}"), drop, placements);
            }
        }
        trials
    }

    /// mmap over and into, munmap of parts.
    fn maps(&self, page: Page) -> Vec<Placement> {
        let turned = page.with_prot(Prot::READ);
        let map = |page: Page| move |at: Place| Some(Op::Map { at, page: Ground::here(page, at) });
        let mut placements = self.changes(&[page], &map(turned), &map(page));
        placements.extend(self.changes(&[page], &map(page), &|at| Some(Op::Unmap { at })));
        placements.extend(self.changes(&[page], &|at| Some(Op::Unmap { at }), &map(page)));
        if page.is_file() {
            // Another offset than the address has.
            let elsewhere = |at: Place| Some(Op::Map { at, page: page.step(7) });
            placements.extend(self.changes(&[page], &elsewhere, &map(page)));
        }
        placements
    }

    /// Each protection by mmap, by mprotect, and the one beside the other.
    fn protections(&self, pages: &[Page], prots: &[Prot], protect: bool) -> Vec<Placement> {
        let mut placements = Vec::new();
        for &page in pages {
            for &prot in prots {
                let map = |at: Place, page: Page| Op::Map { at, page: Ground::here(page, at) };
                let mapped = map(self.low(), page.with_prot(prot));
                let whole = map(self.all(), page);
                let change = Op::Protect { at: self.mid(), prot };
                placements.push(vec![mapped]);
                if protect {
                    placements.push(vec![whole, change]);
                    placements.push(vec![whole, mapped, change]);
                }
            }
        }
        placements
    }

    fn resizes(&self, page: Page) -> Vec<Placement> {
        let (third, low) = (self.third, self.low());
        let map = |at: Place| Op::Map { at, page: Ground::here(page, at) };
        let resize = |at: Place, new_len: usize| Op::Resize { at, new_len: new_len as u8 };
        let grown = self.at(0, 2 * third);
        let mut placements = Vec::new();
        for touched in [None, Some(low), Some(self.high())] {
            let touched =
                touched.filter(|_| page.takes_writes()).map(|at| Op::Touch { at, whole: false });
            let before = || [map(low), map(self.high())].into_iter().chain(touched);
            for last in [
                vec![resize(low, 1)],
                vec![resize(low, 1), resize(self.at(0, 1), third)],
                // Up to the VMA above, and not quite.
                vec![resize(low, 2 * third)],
                vec![resize(low, 2 * third - 1)],
                vec![resize(low, 2 * third), resize(grown, third)],
                // Of a part at the end of a VMA.
                vec![resize(self.at(third / 2, third), third - third / 2 + 1)],
            ] {
                placements.push(before().chain(last).collect());
            }
        }
        placements
    }

    fn moves(&self, page: Page, keep: bool) -> Vec<Placement> {
        let (third, low, mid) = (self.third, self.low(), self.mid());
        let map = |at: Place| Op::Map { at, page: Ground::here(page, at) };
        let whole = |at: Place| Op::Map { at: Place { span: self.all().span, ..at }, page };
        let read = |at: Place| Op::Map { at, page: page.with_prot(Prot::READ) };
        let far = self.there(third, 2 * third);
        let mut placements = Vec::new();
        for (from, to) in [(low, mid), (mid, low), (low, far), (mid, self.high())] {
            let (mut from, mut to) = (from, to);
            let len = from.span.len.min(to.span.len);
            (from.span.len, to.span.len) = (len, len);
            let part = |place: Place, skip: u8, len: u8| {
                let start = place.span.start + skip;
                Place { span: Span { start, len: len.max(1) }, ..place }
            };
            for onto in [None, Some(read(to)), Some(whole(to))] {
                for touch in [None, Some(from), Some(part(from, 0, 1))] {
                    let touch = touch
                        .filter(|_| page.takes_writes())
                        .map(|at| Op::Touch { at, whole: false });
                    for (from, to) in [
                        (from, to),
                        (part(from, 0, len / 2), part(to, 0, len / 2)),
                        (part(from, len / 2, len - len / 2), part(to, 0, len - len / 2)),
                    ] {
                        let source = map(third_of(from, low, mid));
                        let there = Op::Remap { from, to, keep };
                        let back = Op::Remap { from: to, to: from, keep };
                        let before = onto.into_iter().chain([source]).chain(touch);
                        placements.push(before.clone().chain([there]).collect());
                        placements.push(before.chain([there, back]).collect());
                    }
                }
            }
        }
        placements
    }
}

/// The third that a part of it belongs to: more than is moved, or just that.
fn third_of(part: Place, low: Place, mid: Place) -> Place {
    if part.span.start() < low.span.end() { low } else { mid }
}
