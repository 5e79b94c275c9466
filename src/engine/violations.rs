//! Violations, gathered by signature.

use super::incidents::{Incident, Incidents};
use super::modes::Mode;
use super::pattern::Pattern;
use super::read_log::{ReadCall, ReadLog};
use crate::model::{Geometry, KindSet};
use crate::oracle::{Class, Evidence, Mechanism, Overrun};
use arrayvec::ArrayVec;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What makes two violations the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature {
    /// The class.
    pub class: Class,
    /// The mechanism, where the evidence points to one.
    pub mechanism: Option<Mechanism>,
    /// The kinds of operation in flight: the mechanism's, or all.
    pub in_flight: KindSet,
    /// How it was read; `None` for what no reader found.
    pub mode: Option<Mode>,
}

impl Signature {
    /// That of a violation that no reader found.
    pub const fn bare(class: Class) -> Signature {
        Signature { class, mechanism: None, in_flight: KindSet::EMPTY, mode: None }
    }
}

impl fmt::Display for Signature {
    /// `hole/replaced-in-flight/remap/query`: class, mechanism or `-`, kinds joined by `+` or
    /// `-`, way of reading or `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.class, self.mechanism.map_or("-", Mechanism::word))?;
        for (i, kind) in self.in_flight.iter().enumerate() {
            write!(f, "{}{kind}", if i == 0 { "" } else { "+" })?;
        }
        if self.in_flight.is_empty() {
            f.write_str("-")?;
        }
        write!(f, "/{}", self.mode.map_or("-", Mode::word))
    }
}

/// A violation in full: enough to judge it again elsewhere.
pub struct Witness {
    /// The verdict and the versions it was judged by.
    pub evidence: Evidence,
    /// The bytes read in the walk; of a query, its answer as maps prints it.
    pub bytes: Vec<u8>,
    /// The calls that delivered them.
    pub calls: Vec<ReadCall>,
    /// Which reader.
    pub reader: usize,
    /// The piece of the bytes that was judged as one walk.
    pub piece: Piece,
    /// Whether all that the verdict rests on is there: of a walk too long for the log the
    /// beginning is not, and what is left may suffice to prove the violation or not.
    pub whole: bool,
    /// Of a query, the address and whether it asked for the next VMA, too.
    pub asked: Option<(u64, bool)>,
}

/// The bytes `from..to` of a log, judged as one walk: from where nothing was held against what
/// came before, to the end of the line that breaks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The first byte. Where it is not the log's first, a line ends before it.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
    /// Whether the end of the line before the first byte is where the walk goes on from.
    pub after: bool,
    /// Whether the file ended there.
    pub end: bool,
}

impl Witness {
    /// An empty one with room for `versions` versions and all of a log.
    pub fn with_room(versions: usize) -> Witness {
        Witness {
            evidence: Evidence::with_room(versions),
            bytes: Vec::with_capacity(ReadLog::bytes_that_fit()),
            calls: Vec::with_capacity(ReadLog::CALLS),
            reader: 0,
            piece: Piece::default(),
            whole: false,
            asked: None,
        }
    }
}

/// An example's way to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keeping {
    /// Not looked at yet.
    #[default]
    New,
    /// Confirmed by the second checker and dealt with; the number is the keeper's.
    Done(usize),
}

/// Why no example was kept of a violation.
///
/// What a verdict rests on is copied after it was passed, beside mutators that go on: a violation
/// counts by its verdict, but only one whose evidence is all there can be judged again elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoEvidence {
    /// An operation in one of the lanes read had not come back, or had failed.
    Unsettled,
    /// With the versions copied, the line or the answer was not wrong any more.
    Redeemed,
    /// The call in which the break lies was not in the log any more.
    OffTape,
    /// The versions of the lanes passed were written over, or too many.
    Overwritten,
    /// The second checker, going by the example alone, did not come to the same verdict.
    Unproved,
}

impl NoEvidence {
    /// In a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            NoEvidence::Unsettled => {
                "an operation in the lanes read had not come back, or had failed"
            }
            NoEvidence::Redeemed => "what was copied of the history did not prove it",
            NoEvidence::OffTape => "the walk was longer than the log of its bytes",
            NoEvidence::Overwritten => {
                "the history of the lanes read was written over, or too long, while it was copied"
            }
            NoEvidence::Unproved => "the second checker could not prove it from the example alone",
        }
    }
}

impl From<Overrun> for NoEvidence {
    fn from(_: Overrun) -> NoEvidence {
        NoEvidence::Overwritten
    }
}

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
const MOST_SIGNATURES: usize = 48;

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
        let mut known = table.found.iter().position(|found| found.signature == signature);
        if known.is_none()
            && let Some(mut new) = table.spare.pop()
        {
            (new.signature, new.first_ns) = (signature, at_ns);
            new.allowed = self.allows(&signature);
            table.found.push(new);
            known = Some(table.found.len() - 1);
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

    /// Calls `take` with each violation that no reader found, once.
    pub fn take_mishaps(&self, take: impl FnMut(Incident)) {
        self.incidents.lock().take().for_each(take);
    }

    /// Calls `look` with every example that nobody has looked at; one for which it gives `None`
    /// makes room for another.
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
    use crate::model::Kind;

    fn signature(mode: Mode) -> Signature {
        Signature {
            class: Class::Hole,
            mechanism: Some(Mechanism::ReplacedInFlight),
            in_flight: [Kind::Map, Kind::Remap].into_iter().collect(),
            mode: Some(mode),
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
    fn signatures_read_as_paths() {
        assert_eq!(signature(Mode::Query).to_string(), "hole/replaced-in-flight/map+remap/query");
        let bare = Signature {
            mechanism: None,
            in_flight: KindSet::EMPTY,
            mode: None,
            ..signature(Mode::Walk)
        };
        assert_eq!(bare.to_string(), "hole/-/-/-");
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
