//! Does a saved tear prove a violation, and the one it says?

use super::file::TearError;
use super::tear::{FoundBreak, Tear};
use super::text::RawText;
use super::walk::lines;
use crate::engine::{Pattern, Signature};
use crate::kernel::{Lines, parse};
use crate::model::{KindSet, Observation, Page};
use crate::oracle::{
    Break, Class, Contract, Evidence, Lack, Mechanism, Oracle, Outside, Rule, Shown, Verdict,
    VersionRecord, Walk, in_flight,
};
use crate::verify::{Judgement, Reading, Refutation, SavedWalk, judge};

/// What the checkers make of a file.
#[derive(Clone, PartialEq, Debug)]
pub enum Proof {
    /// It proves the violation it says: no choice of instants exists.
    Violation(Refutation),
    /// An explanation exists.
    Right,
    /// It needs a layout that the file does not have.
    Undecided,
    /// It proves a violation, but another one than the file says: something in it was changed.
    Other {
        /// What the file says.
        said: String,
        /// What is in it.
        is: String,
    },
    /// It proves the violation it says, at the same line and of the same class, but by another name:
    /// the signature that follows from it has another mechanism or other operations.
    Renamed {
        /// The signature in the file.
        said: String,
        /// The one that follows.
        is: String,
    },
}

/// What the first checker says when it goes through a saved tear again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Again {
    /// Where it breaks.
    pub found: Break,
    /// The signature that follows.
    pub signature: Signature,
}

impl Tear {
    /// Judges the file by itself: the second checker decides, and the first says whether it is the
    /// violation that the file names.
    ///
    /// # Errors
    /// When its parts do not belong together.
    pub fn prove(&self) -> Result<Proof, TearError> {
        let walk = self.saved_walk()?;
        let refutation = match judge(&walk)? {
            Judgement::Right(_) => return Ok(Proof::Right),
            Judgement::Undecided(_) => return Ok(Proof::Undecided),
            Judgement::Wrong(refutation) => refutation,
        };
        let said = told(&self.found, &self.signature);
        let other = |is: String| Ok(Proof::Other { said: said.clone(), is });
        if !same_rule(self.found.rule, refutation.rule) {
            return other(format!("a break of rule {:?}", refutation.rule));
        }
        if walk.contract > Contract::Series || self.found.rule == Rule::Standstill {
            // Rules that the first checker judges elsewhere; what it may be named after is known.
            let said: Option<Pattern> = self.signature.parse().ok();
            let fits = |mechanism: Mechanism| mechanism.explains(self.found.rule);
            return match said {
                Some(said) if said.mechanism().is_none_or(fits) => Ok(Proof::Violation(refutation)),
                _ => other(format!("a break of rule {:?}", refutation.rule)),
            };
        }
        let Some(again) = again(&walk, self) else {
            return other("no violation to the first checker".into());
        };
        let mut found = FoundBreak::of(&again.found);
        let mut signature = again.signature;
        let never = matches!(found.class, Class::Unknown | Class::Torn);
        if self.found.class == Class::Stale && never && self.outside.is_empty() {
            // That it was true once is remembered by the run, and not in the file.
            (found.class, signature.class) = (Class::Stale, Class::Stale);
        }
        let named = signature.to_string();
        if found == self.found && named != self.signature {
            return Ok(Proof::Renamed { said: self.signature.clone(), is: named });
        }
        if found != self.found {
            return other(told(&found, &signature.to_string()));
        }
        Ok(Proof::Violation(refutation))
    }
}

fn told(found: &FoundBreak, signature: &str) -> String {
    let line = found.line.map_or("at the end".into(), |(a, b)| format!("at line {a:x}-{b:x}"));
    let missing = found.missing.map_or(String::new(), |at| format!(", {at:#x} missing"));
    format!("{signature} {line}{missing}")
}

/// Whether both checkers mean the same. Where a line is true only before the hole in front of it
/// was, the first says hole, and the second that the line comes too late. And within one call a
/// line that goes back shares no instant with the line before it.
fn same_rule(first: Rule, second: Rule) -> bool {
    first == second
        || matches!(
            (first, second),
            (Rule::NoHole, Rule::Order)
                | (Rule::OneInstant, Rule::NeverBack)
                | (Rule::Standstill, _)
        )
}

/// The first checker's word on a saved walk; `None` when it finds nothing wrong.
pub fn again(walk: &SavedWalk, tear: &Tear) -> Option<Again> {
    if !tear.outside.is_empty() {
        let found = lacking(walk, tear)?;
        let in_flight = KindSet::EMPTY;
        let signature = Signature { in_flight, mode: tear.mode, ..Signature::bare(found.class) };
        return Some(Again { found, signature });
    }
    let oracle = Oracle::recall(walk.geometry, &walk.versions);
    let mut checker = Walk::new(&oracle);
    let found = match play(walk, &mut checker) {
        Verdict::Wrong(found) => found,
        Verdict::Tolerated(kind) if walk.contract >= Contract::Documented => {
            let last = walk.lines.last()?;
            checker.forbidden(kind, &last.seen?, last.window)
        }
        _ => return None,
    };
    let named = match found.known {
        Some(known) => Some((known, checker.maker())),
        None => mechanism(walk, &oracle, &found),
    };
    let (mechanism, in_flight) = match named {
        Some((mechanism, kinds)) => (Some(mechanism), kinds),
        None => (None, flying(&walk.versions, &found, walk)),
    };
    let signature =
        Signature { mechanism, in_flight, mode: tear.mode, ..Signature::bare(found.class) };
    Some(Again { found, signature })
}

/// Where a walk first lacks a line from outside the arena. What it shows of the lanes has no
/// bearing on that.
fn lacking(walk: &SavedWalk, tear: &Tear) -> Option<Break> {
    let geometry = &tear.geometry;
    let bytes = tear.outside.iter().map(|line| line.0.len() + 1).sum();
    let mut outside = Outside::with_room(tear.outside.len(), bytes);
    for RawText(text) in &tear.outside {
        let line = parse(text).ok()?;
        let page = Page::FOREIGN;
        let seen = Observation { start: line.start, end: line.end, page };
        outside.push(seen, &text[..text.len().min(Lines::HEAD)], geometry);
    }
    let oracle = Oracle::recall(walk.geometry, &[]);
    let checker = Walk::new(&oracle);
    let broken = |pos, seen: Option<&Observation>, window, lack: Lack| {
        let (rule, class) = (Rule::WholeLines, Class::Truncated);
        let Verdict::Wrong(found) = checker.wrong(rule, class, seen, window) else { return None };
        Some(lack.breaks(Break { pos, ..found }))
    };
    let mut pos = match walk.reading {
        Reading::Walk(pos) => pos,
        Reading::Query { address, .. } => Some(address),
    };
    let text = tear.text();
    let all = lines(tear, &text);
    let judged = all.iter().filter(|line| (tear.piece.from..tear.piece.to).contains(&line.from));
    for (line, raw) in walk.lines.iter().zip(judged) {
        let seen = line.seen?;
        let text = (!matches!(walk.reading, Reading::Query { .. })).then_some(raw.text);
        let mut first = None;
        let shown = Shown { start: seen.start, end: seen.end, text };
        outside.lacks(pos, &shown, |lack| first = first.or(Some(lack)));
        if let Some(lack) = first {
            return broken(pos, Some(&seen), line.window, lack);
        }
        pos = Some(seen.end);
    }
    let mut first = None;
    outside.rest(pos?, |lack| first = first.or(Some(lack)));
    broken(pos, None, walk.end?, first?)
}

fn flying(versions: &[VersionRecord], found: &Break, walk: &SavedWalk) -> KindSet {
    let mut evidence = Evidence::with_room(versions.len());
    evidence.found = *found;
    evidence.versions.extend_from_slice(versions);
    in_flight(&evidence, &walk.geometry)
}

/// The mechanism that makes the walk right once it is relaxed.
fn mechanism(walk: &SavedWalk, oracle: &Oracle, found: &Break) -> Option<(Mechanism, KindSet)> {
    if !matches!(found.rule, Rule::NoHole | Rule::Existence | Rule::Order) {
        return None;
    }
    Mechanism::TRIED.into_iter().find_map(|(mechanism, relaxation)| {
        let mut checker = Walk::relaxed_by(oracle, relaxation);
        let verdict = play(walk, &mut checker);
        let right = matches!(verdict, Verdict::Right | Verdict::Tolerated(_));
        right.then(|| (mechanism, checker.relaxed()))
    })
}

/// Goes through the walk; gives the first verdict that is wrong or undecided, or the last.
fn play(walk: &SavedWalk, checker: &mut Walk<'_>) -> Verdict {
    if let Reading::Query { address, or_next } = walk.reading {
        let line = walk.lines.first();
        let seen = line.and_then(|line| line.seen);
        return checker.query(address, or_next, seen.as_ref(), walk.begin);
    }
    let Reading::Walk(pos) = walk.reading else { return Verdict::Undecided };
    checker.begin(pos, walk.begin);
    // What `resume` would know: whether the walk goes on from a line.
    let mut verdict = Verdict::Right;
    for line in &walk.lines {
        verdict = match line.seen {
            Some(seen) => checker.line(&seen, line.window),
            None => checker.wrong(Rule::WholeLines, Class::Malformed, None, line.window),
        };
        if matches!(verdict, Verdict::Wrong(_) | Verdict::Undecided) {
            return verdict;
        }
    }
    match walk.end {
        Some(window) => checker.end(window),
        None => verdict,
    }
}
