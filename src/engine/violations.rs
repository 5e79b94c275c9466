//! The table of violations by signature, each with a few witnesses. It does not allocate.

use super::calibrate::Unpredicted;
use super::incidents::{Incident, Incidents};
use super::mark;
use super::pattern::Pattern;
use super::signature::Signature;
use super::witness::{Keeping, NoEvidence, Witness};
use crate::model::Geometry;
use crate::oracle::Class;
use arrayvec::ArrayVec;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// All violations with one signature.
pub struct Found {
    /// The signature.
    pub signature: Signature,
    /// How many.
    pub count: u64,
    /// When the first was found, in nanoseconds since the storm began.
    pub first_ns: u64,
    /// Whether `--allow` names it.
    pub allowed: bool,
    /// Room for as many as are kept.
    slots: Vec<(Witness, Keeping)>,
    /// How many of them are filled.
    filled: usize,
    /// Why the last example that was not kept was not.
    lost: Option<NoEvidence>,
}

impl Found {
    /// The examples there are, the first found first, each with how far it is kept.
    pub fn examples(&self) -> &[(Witness, Keeping)] {
        &self.slots[..self.filled]
    }

    /// Why there is no example, when there is none though one was wanted.
    pub fn lost(&self) -> Option<NoEvidence> {
        self.lost.filter(|_| self.filled == 0)
    }
}

/// The most signatures kept apart; violations with further ones are only counted.
pub(super) const MOST_SIGNATURES: usize = 48;

/// The table of violations. All its room is made before the storm.
pub struct Findings {
    table: Mutex<Table>,
    allow: Vec<Pattern>,
    until: Vec<Pattern>,
    until_all: bool,
    total: AtomicU64,
    alarming: AtomicU64,
    by_class: [AtomicU64; Class::ALL.len()],
    fail_fast: bool,
    stop: AtomicBool,
    /// Raised when an example is put in.
    fresh: AtomicBool,
    /// What no reader finds.
    incidents: Mutex<Incidents>,
}

struct Table {
    found: ArrayVec<Box<Found>, MOST_SIGNATURES>,
    spare: ArrayVec<Box<Found>, MOST_SIGNATURES>,
    beyond: u64,
}

impl Findings {
    /// An empty table with `keep` examples of each signature, of up to `versions` versions each. A
    /// signature is allowed when one of `allow` matches it.
    /// With `fail_fast` the first that is not allowed asks for a stop.
    pub fn new(allow: Vec<Pattern>, fail_fast: bool, keep: usize, versions: usize) -> Findings {
        let slot = |_| {
            Box::new(Found {
                signature: Signature::bare(Class::Unknown),
                count: 0,
                first_ns: 0,
                allowed: false,
                slots: (0..keep).map(|_| (Witness::with_room(versions), Keeping::New)).collect(),
                filled: 0,
                lost: None,
            })
        };
        let table = Table {
            found: ArrayVec::new(),
            spare: (0..MOST_SIGNATURES).map(slot).collect(),
            beyond: 0,
        };
        Findings {
            table: Mutex::new(table),
            allow,
            until: Vec::new(),
            until_all: false,
            total: AtomicU64::new(0),
            alarming: AtomicU64::new(0),
            by_class: Default::default(),
            fail_fast,
            stop: AtomicBool::new(false),
            fresh: AtomicBool::new(false),
            incidents: Mutex::default(),
        }
    }

    /// With room for `keep` of what no reader finds in an arena.
    #[must_use]
    pub(super) fn with_mishaps(mut self, keep: usize, geometry: &Geometry) -> Findings {
        self.incidents = Mutex::new(Incidents::with_room(keep, geometry));
        self
    }

    /// Makes the first violation with one of these signatures, or beginnings of one, ask for a
    /// stop; with `all`, that which makes them complete.
    #[must_use]
    pub fn until(mut self, until: Vec<Pattern>, all: bool) -> Findings {
        (self.until, self.until_all) = (until, all);
        self
    }

    fn allows(&self, signature: &Signature) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(signature))
    }

    /// Whether another example of the signature would be kept.
    pub fn wants(&self, signature: &Signature) -> bool {
        let table = self.table.lock();
        match table.found.iter().find(|found| found.signature == *signature) {
            Some(found) => found.filled < found.slots.len(),
            None => !table.spare.is_empty(),
        }
    }

    /// Counts a violation, and exchanges its example with the room kept for it as long as there is
    /// some; with none, why, when it was [wanted](Findings::wants).
    pub fn record(
        &self,
        signature: Signature,
        at_ns: u64,
        example: Option<Result<&mut Witness, NoEvidence>>,
    ) {
        let mut table = self.table.lock();
        let mut first = None;
        let mut known = table.found.iter().position(|found| found.signature == signature);
        if known.is_none()
            && let Some(mut new) = table.spare.pop()
        {
            (new.signature, new.first_ns) = (signature, at_ns);
            new.allowed = self.allows(&signature);
            table.found.push(new);
            known = Some(table.found.len() - 1);
            first = known;
        }
        let allowed = match known {
            None => {
                table.beyond += 1;
                self.allows(&signature)
            }
            Some(at) => {
                let found = &mut table.found[at];
                found.count += 1;
                match (example, found.slots.get_mut(found.filled)) {
                    (Some(Ok(example)), Some(slot)) => {
                        std::mem::swap(&mut slot.0, example);
                        slot.1 = Keeping::New;
                        found.filled += 1;
                        // Relaxed: a hint; what it is about lies behind the lock.
                        self.fresh.store(true, Ordering::Relaxed);
                    }
                    (Some(Err(lost)), _) => found.lost = Some(lost),
                    _ => {}
                }
                found.allowed
            }
        };
        let one_of_them = self.until.iter().any(|pattern| pattern.matches(&signature));
        let complete =
            |pattern: &Pattern| table.found.iter().any(|found| pattern.matches(&found.signature));
        let enough = one_of_them && (!self.until_all || self.until.iter().all(complete));
        drop(table);
        if let Some(number) = first {
            mark::reach(number);
        }
        // Relaxed: counters for the live line and the exit code, read after the threads are
        // joined where it matters.
        self.total.fetch_add(1, Ordering::Relaxed);
        self.by_class[signature.class as usize].fetch_add(1, Ordering::Relaxed);
        if !allowed {
            self.alarming.fetch_add(1, Ordering::Relaxed);
            if self.fail_fast {
                self.stop.store(true, Ordering::Relaxed);
            }
        }
        if enough {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Whether examples have come in since this was last asked.
    pub fn fresh(&self) -> bool {
        self.fresh.swap(false, Ordering::Relaxed)
    }

    /// Has what is to be kept of a violation that no reader found put in.
    pub(super) fn put_in(&self, put: impl FnOnce(&mut Incidents)) {
        put(&mut self.incidents.lock());
        // Relaxed: a hint; what it is about lies behind the lock.
        self.fresh.store(true, Ordering::Relaxed);
    }

    /// Takes in what calibration has found that the model does not predict: a violation each.
    pub fn unpredicted(&self, found: Vec<Unpredicted>) {
        for Unpredicted { mismatch, .. } in found {
            self.record(Signature::bare(Class::Mismatch), 0, None);
            self.put_in(|room| room.made(mismatch));
        }
    }

    /// Calls `take` with each violation that no reader found, once.
    pub fn take_mishaps(&self, take: impl FnMut(Incident)) {
        self.incidents.lock().take().for_each(take);
    }

    /// Calls `look` with every example that is new. One for which it gives `None` makes room for
    /// another.
    pub fn look(&self, mut look: impl FnMut(&Found, &Witness) -> Option<usize>) {
        let mut table = self.table.lock();
        for found in &mut table.found {
            let mut at = 0;
            while at < found.filled {
                if found.slots[at].1 == Keeping::New {
                    match look(found, &found.slots[at].0) {
                        Some(number) => found.slots[at].1 = Keeping::Done(number),
                        None => {
                            found.filled -= 1;
                            found.lost = Some(NoEvidence::Unproved);
                            let filled = found.filled;
                            found.slots.swap(at, filled);
                            continue;
                        }
                    }
                }
                at += 1;
            }
        }
    }

    /// Whether the run is to end at once.
    pub fn wants_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All violations, and those that no `--allow` names.
    pub fn counts(&self) -> (u64, u64) {
        (self.total.load(Ordering::Relaxed), self.alarming.load(Ordering::Relaxed))
    }

    /// All violations by class.
    pub fn by_class(&self) -> [(Class, u64); Class::ALL.len()] {
        Class::ALL.map(|class| (class, self.by_class[class as usize].load(Ordering::Relaxed)))
    }

    /// Calls `f` with the violations by signature, in the order of their first, and the number of
    /// violations for which there was no room in the table.
    pub fn with<R>(&self, f: impl FnOnce(&[Box<Found>], u64) -> R) -> R {
        let table = self.table.lock();
        f(&table.found, table.beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Mode;
    use crate::model::Kind;
    use crate::oracle::Mechanism;

    fn signature(mode: Mode) -> Signature {
        Signature {
            class: Class::Hole,
            mechanism: Some(Mechanism::ReplacedInFlight),
            in_flight: [Kind::Map, Kind::Remap].into_iter().collect(),
            mode: Some(mode),
            splat: None,
        }
    }

    fn findings(allow: &[&str]) -> Findings {
        Findings::new(allow.iter().map(|s| s.parse().unwrap()).collect(), true, 1, 4)
    }

    fn put(findings: &Findings, mode: Mode, at: u64) {
        let mut example = Witness::with_room(0);
        example.reader = at as usize;
        findings.record(signature(mode), at, Some(Ok(&mut example)));
    }

    #[test]
    fn an_example_that_is_no_good_makes_room_for_another() {
        let findings = findings(&[]);
        put(&findings, Mode::Walk, 1);
        assert!(findings.fresh() && !findings.wants(&signature(Mode::Walk)));
        findings.look(|_, _| None);
        assert!(!findings.fresh() && findings.wants(&signature(Mode::Walk)));
        findings.with(|found, _| assert_eq!(found[0].lost(), Some(NoEvidence::Unproved)));
        put(&findings, Mode::Walk, 2);
        findings.look(|_, example| Some(example.reader));
        findings.look(|_, _| panic!("looked at already"));
        findings.with(|found, _| {
            assert_eq!((found[0].count, found[0].examples()[0].1), (2, Keeping::Done(2)));
            assert_eq!(found[0].lost(), None);
        });
    }

    #[test]
    fn a_violation_without_an_example_counts_and_says_why() {
        let findings = findings(&[]);
        findings.record(signature(Mode::Walk), 3, Some(Err(NoEvidence::Overwritten)));
        assert!(findings.wants_stop() && findings.wants(&signature(Mode::Walk)));
        assert!(!findings.fresh());
        findings.with(|found, _| {
            assert_eq!((found[0].count, found[0].first_ns), (1, 3));
            assert!(found[0].examples().is_empty());
            assert_eq!(found[0].lost(), Some(NoEvidence::Overwritten));
        });
    }

    #[test]
    fn allowing_goes_by_whole_components() {
        for (allow, allowed) in [
            ("hole", true),
            ("hole/", true),
            ("hole/replaced-in-flight", true),
            ("hole/replaced-in-flight/map+remap/query", true),
            ("hole/-", false),
            ("hole/replaced-in-flight/map", false),
            ("torn", false),
        ] {
            assert_eq!(findings(&[allow]).allows(&signature(Mode::Query)), allowed, "{allow}");
        }
    }

    #[test]
    fn the_first_of_a_signature_is_the_example() {
        let findings = findings(&["hole/replaced-in-flight/map+remap/walk"]);
        for (at, mode) in [(5, Mode::Walk), (6, Mode::Walk)] {
            put(&findings, mode, at);
        }
        assert!(!findings.wants_stop());
        put(&findings, Mode::Short, 7);
        assert!(findings.wants_stop());
        assert_eq!(findings.counts(), (3, 1));
        findings.with(|found, beyond| {
            let seen: Vec<_> =
                found.iter().map(|f| (f.count, f.first_ns, f.examples()[0].0.reader)).collect();
            assert_eq!((seen, beyond), (vec![(2, 5, 5), (1, 7, 7)], 0));
        });
    }
}
