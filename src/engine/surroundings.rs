//! What lies outside of the arena, from standstill to standstill, and the doubts that wait for the next.
//!
//! A reader that does not find a line of the last standstill cannot tell whether the line has gone
//! meanwhile. It leaves its doubt here. The next standstill decides: a line that is the same then was
//! there all the time, and the walk is wrong. One that is not says nothing.
//!
//! That holds because no walk goes over a standstill, and because nobody maps anything between two:
//! what the storm keeps of a violation is saved while all rest, and then the lines are read anew.

use super::signature::Signature;
use super::violations::Findings;
use super::witness::{NoEvidence, Witness};
use crate::oracle::{Break, Class, Lack, Outside, Rule};
use arrayvec::ArrayVec;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

/// Lines that one doubt is about at most. Of more, the next doubt is about the rest.
pub(super) const MOST_LACKS: usize = 16;

/// The lines that a walk lacked at one line of it, or at its end, in their order.
pub(super) type Lacks = ArrayVec<Lack, MOST_LACKS>;

/// What came of the lines outside of the arena.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct OutsideCounts {
    /// Lines of the last standstill.
    pub lines: u64,
    /// Lines that a standstill had and the next one had not, or not so.
    pub changed: u64,
    /// Lines of the last standstill for which there was no room.
    pub left_out: u64,
    /// Doubts about lines that had changed at the next standstill, or that no standstill decided.
    pub undecided: u64,
    /// Verdicts that were wrong, by [`Rule`].
    pub broken: [u64; Rule::ALL.len()],
}

/// A walk that lacks lines of the last standstill.
struct Doubt {
    signature: Signature,
    found: Break,
    lacks: Lacks,
    at_ns: u64,
    count: u64,
    /// The walk up to there, or why there is none.
    witness: Witness,
    gathered: Result<(), NoEvidence>,
}

impl Doubt {
    fn with_room(versions: usize) -> Doubt {
        let witness = Witness::with_room(versions);
        Doubt {
            signature: Signature::bare(Class::Unknown),
            found: witness.evidence.found,
            lacks: Lacks::new(),
            at_ns: 0,
            count: 0,
            witness,
            gathered: Ok(()),
        }
    }
}

/// The lines outside of the arena at the last standstill, and the doubts since.
pub struct Surroundings {
    now: RwLock<Outside>,
    doubts: Mutex<Doubts>,
}

/// All room is made before the storm.
struct Doubts {
    open: Vec<Doubt>,
    spare: Vec<Doubt>,
    /// The lines as they are read next.
    next: Outside,
    counts: OutsideCounts,
}

impl From<Outside> for Surroundings {
    /// What lies outside, where no standstill will come: no doubt is kept.
    fn from(outside: Outside) -> Surroundings {
        Surroundings {
            now: RwLock::new(outside),
            doubts: Mutex::new(Doubts {
                open: Vec::new(),
                spare: Vec::new(),
                next: Outside::default(),
                counts: OutsideCounts::default(),
            }),
        }
    }
}

impl Surroundings {
    /// Room for so many lines and bytes on each side of the arena, and for so many doubts. An example
    /// is exchanged for one with room for `versions` versions.
    pub fn with_room(lines: usize, bytes: usize, doubts: usize, versions: usize) -> Surroundings {
        let room = || Outside::with_room(lines, bytes);
        Surroundings {
            now: RwLock::new(room()),
            doubts: Mutex::new(Doubts {
                open: Vec::with_capacity(doubts),
                spare: (0..doubts).map(|_| Doubt::with_room(versions)).collect(),
                next: room(),
                counts: OutsideCounts::default(),
            }),
        }
    }

    /// The lines of the last standstill.
    #[inline]
    pub(super) fn now(&self) -> RwLockReadGuard<'_, Outside> {
        self.now.read()
    }

    /// Keeps a doubt: at `found`, a walk lacked these lines. `gather` makes the witness whole; it is
    /// asked for the first of equal doubts only. A doubt that finds no room stays undecided.
    pub(super) fn doubt(
        &self,
        signature: Signature,
        found: Break,
        lacks: &Lacks,
        at_ns: u64,
        gather: impl FnOnce(&mut Witness) -> Result<(), NoEvidence>,
    ) {
        let mut doubts = self.doubts.lock();
        let same = |doubt: &&mut Doubt| doubt.signature == signature && doubt.lacks == *lacks;
        if let Some(known) = doubts.open.iter_mut().find(same) {
            known.count += 1;
            return;
        }
        let Some(mut doubt) = doubts.spare.pop() else {
            doubts.counts.undecided += 1;
            return;
        };
        (doubt.signature, doubt.found, doubt.at_ns, doubt.count) = (signature, found, at_ns, 1);
        doubt.lacks.clone_from(lacks);
        doubt.gathered = gather(&mut doubt.witness);
        doubts.open.push(doubt);
    }

    /// A standstill: `read` reads the lines as they are now, the doubts are decided by them, and those
    /// that hold come into `findings`. Allocates nothing.
    ///
    /// # Errors
    /// What reading gave; then no line is known, and no doubt is decided.
    pub fn renew<E>(
        &self,
        findings: &Findings,
        read: impl FnOnce(&mut Outside) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut doubts = self.doubts.lock();
        let doubts = &mut *doubts;
        let mut now = self.now.write();
        doubts.next.clear();
        let outcome = read(&mut doubts.next);
        if outcome.is_err() {
            doubts.next.clear();
        }
        while let Some(mut doubt) = doubts.open.pop() {
            let lasting = |lack: &&Lack| now.shares(lack.start, &doubts.next);
            match doubt.lacks.iter().find(lasting).copied() {
                None => doubts.counts.undecided += doubt.count,
                Some(lack) => {
                    let found = lack.breaks(doubt.found);
                    doubts.counts.broken[found.rule as usize] += doubt.count;
                    doubt.tell(found, lack, findings, (&*now, &doubts.next));
                }
            }
            doubts.spare.push(doubt);
        }
        let gone = now.lines().filter(|(start, ..)| !now.shares(*start, &doubts.next));
        doubts.counts.changed += gone.count() as u64;
        std::mem::swap(&mut *now, &mut doubts.next);
        (doubts.counts.lines, doubts.counts.left_out) = (now.len() as u64, now.left_out());
        outcome
    }

    /// What came of it all. Doubts that no standstill has decided are undecided.
    pub fn counts(&self) -> OutsideCounts {
        let doubts = self.doubts.lock();
        let open: u64 = doubts.open.iter().map(|doubt| doubt.count).sum();
        OutsideCounts { undecided: doubts.counts.undecided + open, ..doubts.counts }
    }
}

impl Doubt {
    /// Records it as a violation. The lines that both standstills have go with it, as many as find
    /// room; the one that was lacking always does.
    fn tell(
        &mut self,
        found: Break,
        lack: Lack,
        findings: &Findings,
        (before, after): (&Outside, &Outside),
    ) {
        let signature = Signature { class: found.class, ..self.signature };
        let outside = &mut self.witness.outside;
        outside.clear();
        let mut kept = before.text_at(lack.start).map_or(0, <[u8]>::len) + 1;
        for (start, _, text) in before.lines().filter(|(start, ..)| before.shares(*start, after)) {
            if start == lack.start {
                kept = 0;
            }
            if outside.len() + text.len() + 1 + kept <= outside.capacity() {
                outside.extend_from_slice(text);
                outside.push(b'\n');
            }
        }
        self.witness.evidence.found = found;
        let gathered = self.gathered.map(|()| &mut self.witness);
        let example = findings.wants(&signature).then_some(gathered);
        findings.record(signature, self.at_ns, example);
        (1..self.count).for_each(|_| findings.record(signature, self.at_ns, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Mode;
    use crate::kernel::Lines;
    use crate::model::{Geometry, KindSet, Observation, Page};
    use crate::oracle::Window;
    use std::convert::Infallible;

    /// A standstill that shows lines of one letter each.
    fn stand(surroundings: &Surroundings, findings: &Findings, lines: &[(u64, &str)]) {
        let geometry = Geometry::new(0x10_0000, 4096, 1, 4);
        let told = surroundings.renew(findings, |outside| {
            for &(start, text) in lines {
                let seen = Observation { start, end: start + 10, page: Page::FOREIGN };
                outside.push(seen, text.as_bytes(), &geometry);
            }
            Ok::<(), Infallible>(())
        });
        let Ok(()) = told;
    }

    fn lack(start: u64, altered: bool) -> Lack {
        Lack { start, end: start + 10, altered }
    }

    fn doubt(surroundings: &Surroundings, lacks: &[Lack]) {
        let mut found = Witness::with_room(0).evidence.found;
        found.window = Window { from: 3, to: 4 };
        found.observation = Some(Observation { start: 50, end: 60, page: Page::FOREIGN });
        let (mechanism, in_flight) = (None, KindSet::EMPTY);
        let signature = Signature {
            mechanism,
            in_flight,
            mode: Some(Mode::Walk),
            ..Signature::bare(Class::Hole)
        };
        let lacks = lacks.iter().copied().collect();
        surroundings.doubt(signature, found, &lacks, 7, |_| Ok(()));
    }

    fn new() -> (Surroundings, Findings) {
        let surroundings = Surroundings::with_room(8, 512, 2, 0);
        let findings = Findings::new(Vec::new(), false, 1, 0);
        stand(&surroundings, &findings, &[(10, "a"), (20, "b"), (30, "c")]);
        (surroundings, findings)
    }

    #[test]
    fn a_line_that_is_the_same_at_the_next_standstill_was_missing() {
        let (surroundings, findings) = new();
        (0..3).for_each(|_| doubt(&surroundings, &[lack(20, false)]));
        assert_eq!(findings.counts().0, 0, "nobody knows yet");
        stand(&surroundings, &findings, &[(10, "x"), (20, "b"), (40, "n")]);
        assert_eq!(findings.counts().0, 3);
        findings.with(|found, _| {
            let (example, _) = &found[0].examples()[0];
            assert_eq!(found[0].signature.to_string(), "hole/-/-/walk");
            assert_eq!(example.evidence.found.missing, Some(20));
            assert_eq!(example.outside, b"b\n", "the only one that both have");
        });
        let counts = surroundings.counts();
        assert_eq!((counts.lines, counts.changed, counts.undecided), (3, 2, 0));
        assert_eq!(counts.broken[Rule::NoHole as usize], 3);
    }

    #[test]
    fn a_line_that_has_changed_or_gone_decides_nothing() {
        let (surroundings, findings) = new();
        doubt(&surroundings, &[lack(10, false)]);
        doubt(&surroundings, &[lack(20, true)]);
        stand(&surroundings, &findings, &[(20, "B"), (30, "c")]);
        assert_eq!((findings.counts().0, surroundings.counts().undecided), (0, 2));
    }

    #[test]
    fn of_lines_lacking_together_the_first_that_lasts_is_told() {
        let (surroundings, findings) = new();
        doubt(&surroundings, &[lack(10, false), lack(20, true), lack(30, false)]);
        stand(&surroundings, &findings, &[(20, "b"), (30, "c")]);
        findings.with(|found, _| {
            let found = found[0].examples()[0].0.evidence.found;
            assert_eq!((found.rule, found.class), (Rule::Existence, Class::Unknown));
        });
    }

    #[test]
    fn what_no_standstill_decides_is_undecided() {
        let (surroundings, findings) = new();
        // There is room for two.
        [10, 20, 30].iter().for_each(|&start| doubt(&surroundings, &[lack(start, false)]));
        assert_eq!(surroundings.counts().undecided, 3);
        let told = surroundings.renew(&findings, |_| Err("unreadable"));
        assert!(told.is_err());
        assert_eq!((findings.counts().0, surroundings.counts().undecided), (0, 3));
        assert!(surroundings.now().is_empty(), "nothing is known any more");
    }

    #[test]
    fn the_line_that_was_lacking_is_kept_whatever_room_there_is() {
        let surroundings = Surroundings::with_room(16, 1 << 20, 1, 0);
        let findings = Findings::new(Vec::new(), false, 1, 0);
        let long = "x".repeat(Lines::HEAD - 1);
        let all: Vec<(u64, &str)> = (0..15).map(|n| (10 * n, &long[..])).collect();
        stand(&surroundings, &findings, &all);
        doubt(&surroundings, &[lack(140, false)]);
        stand(&surroundings, &findings, &all);
        let last = format!("{long}\n");
        findings.with(|found, _| {
            let outside = &found[0].examples()[0].0.outside;
            assert!(outside.len() < 15 * Lines::HEAD && outside.ends_with(last.as_bytes()));
        });
    }
}
