//! Before the storm: each kind of operation alone, and what this kernel makes of it.
//!
//! The model says what the layout is after an operation; maps says what the kernel made of it. Where
//! kernels are known to differ, what this one does decides between the alternatives. A kind that it
//! refuses is left out. A call that goes through and leaves what no alternative says is a violation,
//! and the storm goes on without that kind.

mod placements;
mod random;
mod rules;

pub use random::random_steps;

use super::incidents::{ArenaText, Mismatch};
use super::op_set::OpSet;
use super::quiesce::{SeenLane, read_all};
use crate::kernel::{Arena, Lines, MapsRead, Mm};
use crate::model::{
    Geometry, Kind, KindSet, Layout, MergeRule, MergeRules, Op, Place, Space, Span,
};
use crate::oracle::Oracle;
use placements::{Ground, Placement};
use rustix::io::Errno;

/// Something the storm does without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// What: a kind's word or a part of one, such as `remap with MREMAP_DONTUNMAP`.
    pub what: String,
    /// Why: the call's error, or the difference between model and kernel.
    pub why: String,
}

/// A call that went through and left what no alternative of the model says.
pub struct Unpredicted {
    /// What to save of it.
    pub mismatch: Mismatch,
    /// Both layouts, in words.
    pub words: String,
}

/// What calibration found.
pub struct Calibration {
    /// What is left, and how this kernel merges.
    pub may: OpSet,
    /// The rules that were decided; the others are as in the newest kernel known.
    pub decided: Vec<MergeRule>,
    /// What is left out.
    pub dropped: Vec<Dropped>,
    /// What the model does not predict; none on a kernel that merges as it should.
    pub unpredicted: Vec<Unpredicted>,
    /// How many operations were tried.
    pub tried: usize,
}

/// Tries everything in `wanted` on the first two lanes of the arena (the second may be the first)
/// and leaves them unmapped.
///
/// # Errors
/// When maps can't be read, or plain mmap or munmap of anonymous memory is refused: nothing can be
/// tested then.
pub fn calibrate(
    arena: &Arena,
    source: &mut (impl MapsRead + ?Sized),
    wanted: OpSet,
) -> Result<Calibration, Dropped> {
    let mut bench = Bench::new(arena);
    let (may, decided, failed) = decide(arena, source, wanted)?;
    let mut found =
        Calibration { may, decided, dropped: Vec::new(), unpredicted: Vec::new(), tried: 0 };
    for (rule, failure) in failed {
        found.take(format!("merge rule {rule}"), failure);
    }
    for trial in Ground::new(arena.geometry()).trials(&wanted) {
        let mut one = |placement: &Placement| bench.run(source, placement, &[found.may.rules]);
        let Some(failure) = trial.placements.iter().find_map(|placement| one(placement).err())
        else {
            continue;
        };
        let refused = matches!(failure, Failure::Refused(_) | Failure::Unreadable(_));
        if trial.what == "mmap and munmap" && refused {
            return Err(Dropped { what: trial.what, why: failure.words() });
        }
        (trial.drop)(&mut found.may);
        found.take(trial.what, failure);
    }
    found.tried = bench.tried;
    Ok(found)
}

/// How this kernel merges, tried in an arena of its own where the lanes of `arena` are too short.
///
/// # Errors
/// When there is no address space for it, or maps can't be read.
pub fn merge_rules(arena: &Arena, source: &mut impl MapsRead) -> Result<MergeRules, Dropped> {
    let all = OpSet::full(KindSet::all(), arena.file_count());
    decide(arena, source, all).map(|(may, ..)| may.rules)
}

type Decided = (OpSet, Vec<MergeRule>, Vec<(MergeRule, Failure)>);

fn decide(
    arena: &Arena,
    source: &mut (impl MapsRead + ?Sized),
    mut wanted: OpSet,
) -> Result<Decided, Dropped> {
    let trouble = |why: String| Dropped { what: "merge rules".into(), why };
    let mut own = None;
    let arena = match usize::from(arena.geometry().pages) < rules::PAGES {
        true => {
            own.insert(Arena::reserve(1, rules::PAGES).map_err(|error| trouble(error.to_string()))?)
        }
        false => arena,
    };
    let mut bench = Bench::new(arena);
    let (mut decided, mut failed) = (Vec::new(), Vec::new());
    for rule in MergeRule::ALL {
        let alternatives = rules::alternatives(wanted.rules, rule);
        match bench.run(source, &rules::probe(rule), &alternatives) {
            Ok(which) => {
                wanted.rules = alternatives[which];
                decided.push(rule);
            }
            Err(Failure::Unreadable(errno)) => return Err(trouble(unreadable(errno))),
            // What is refused can't be done in the storm either.
            Err(Failure::Refused(_)) => {}
            Err(failure) => failed.push((rule, failure)),
        }
    }
    Ok((wanted, decided, failed))
}

fn unreadable(errno: Errno) -> String {
    format!("cannot read /proc/self/maps: {errno}")
}

/// Why a placement is no success.
enum Failure {
    Unreadable(Errno),
    /// The call failed, as it does where it is not offered.
    Refused(String),
    /// It went through, and the layout is none that was predicted.
    Unpredicted(Box<Unpredicted>),
}

impl Failure {
    fn words(&self) -> String {
        match self {
            Failure::Unreadable(errno) => unreadable(*errno),
            Failure::Refused(why) => why.clone(),
            Failure::Unpredicted(unpredicted) => unpredicted.words.clone(),
        }
    }
}

struct Bench<'a> {
    arena: &'a Arena,
    lines: Lines,
    lanes: Vec<SeenLane>,
    text: ArenaText,
    tried: usize,
}

impl<'a> Bench<'a> {
    fn new(arena: &'a Arena) -> Bench<'a> {
        let geometry: &Geometry = arena.geometry();
        Bench {
            arena,
            lines: Lines::default(),
            lanes: vec![SeenLane::default(); geometry.lanes as usize],
            text: ArenaText::with_room(geometry),
            tried: 0,
        }
    }

    /// Carries the operations out, and says which of the rules gives the layout that they leave. An
    /// operation that does not fit, in a short lane, is passed over.
    fn run(
        &mut self,
        source: &mut (impl MapsRead + ?Sized),
        ops: &[Op],
        rules: &[MergeRules],
    ) -> Result<usize, Failure> {
        let result = self.play(source, ops, rules);
        let pages = self.arena.geometry().pages as usize;
        for lane in 0..self.arena.geometry().lanes.min(2) {
            let op = Op::Unmap { at: Place { lane, span: Span::new(0, pages) } };
            self.arena.carry_out(&op).map_err(|errno| Failure::Refused(refusal(&op, errno)))?;
        }
        result
    }

    fn play(
        &mut self,
        source: &mut (impl MapsRead + ?Sized),
        ops: &[Op],
        rules: &[MergeRules],
    ) -> Result<usize, Failure> {
        let geometry = *self.arena.geometry();
        let first = vec![Layout::empty(geometry.pages as usize); geometry.lanes.min(2).into()];
        let mut models: Vec<Space> = rules.iter().map(|rules| Space::new(&first, *rules)).collect();
        let (mut last, mut before) = (None, first);
        for op in ops {
            if models.iter().any(|model| model.fits(op).is_err()) {
                continue;
            }
            self.arena.carry_out(op).map_err(|errno| Failure::Refused(refusal(op, errno)))?;
            before = models[0].lanes().to_vec();
            for model in &mut models {
                let _ = model.play(op);
            }
            last = Some(*op);
            self.tried += 1;
        }
        match last {
            Some(op) => self.compare(source, op, &before, &models),
            None => Ok(0),
        }
    }

    /// Which of the models looks as the lanes do after `op`, before which they were `before`.
    fn compare(
        &mut self,
        source: &mut (impl MapsRead + ?Sized),
        op: Op,
        before: &[Layout],
        models: &[Space],
    ) -> Result<usize, Failure> {
        self.read(source).map_err(Failure::Unreadable)?;
        let is = |model: &Space| {
            model.lanes().iter().enumerate().all(|(lane, layout)| self.lanes[lane].is(layout))
        };
        match models.iter().position(is) {
            Some(which) => Ok(which),
            None => Err(Failure::Unpredicted(Box::new(self.unpredicted(op, before, &models[0])))),
        }
    }

    fn read(&mut self, source: &mut (impl MapsRead + ?Sized)) -> Result<(), Errno> {
        let Bench { arena, lines, lanes, text, .. } = self;
        let (identities, geometry) = (arena.identities(), arena.geometry());
        read_all(source, identities, geometry, lines, lanes, text, |_, _| {})
    }

    /// The violation, as a standstill would keep it: the books say what was before, and what should
    /// have come of it.
    fn unpredicted(&mut self, op: Op, before: &[Layout], after: &Space) -> Unpredicted {
        let geometry = *self.arena.geometry();
        let mut lanes = vec![Layout::empty(geometry.pages as usize); geometry.lanes.into()];
        lanes[..before.len()].copy_from_slice(before);
        let oracle = Oracle::new(geometry, &lanes, 4).with_rules(after.rules());
        let mut first = oracle.hold(op.at().lane);
        let mut second = op.other_lane().map(|lane| oracle.hold(lane));
        let invoked = oracle.invoke(&op, 0, &mut first, second.as_mut());
        oracle.returned(invoked);
        drop((first, second));
        let differences = after
            .lanes()
            .iter()
            .enumerate()
            .filter_map(|(lane, expected)| self.lanes[lane].difference(lane as u16, expected));
        let differences: Vec<_> = differences.collect();
        let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
        let mut mismatch = Mismatch::with_room(&geometry);
        mismatch.lanes.extend(differences.iter().map(|difference| difference.lane));
        std::mem::swap(&mut mismatch.text, &mut self.text);
        mismatch.copy(&oracle);
        Unpredicted { mismatch, words: format!("after {op}: {}", words.join("; ")) }
    }
}

fn refusal(op: &Op, errno: Errno) -> String {
    format!("{op}: {}", std::io::Error::from(errno))
}

impl Calibration {
    /// The kinds that can be drawn: those left, of which something is left.
    pub fn kinds(&self) -> KindSet {
        let kinds = self.may.kinds;
        if self.may.advice.contains(&true) { kinds } else { kinds.without(Kind::Advise) }
    }

    /// Each rule, and whether this kernel has it; nothing where that could not be decided.
    pub fn merge_rules(&self) -> impl Iterator<Item = (MergeRule, Option<bool>)> + '_ {
        MergeRule::ALL
            .into_iter()
            .map(|rule| (rule, self.decided.contains(&rule).then(|| self.may.rules.has(rule))))
    }

    fn take(&mut self, what: String, failure: Failure) {
        self.dropped.push(Dropped { what, why: failure.words() });
        if let Failure::Unpredicted(unpredicted) = failure {
            self.unpredicted.push(*unpredicted);
        }
    }
}
