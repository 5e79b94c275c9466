//! Who was doing what when a call did not come back, and what follows from it.

use crate::engine::incidents::Call;
use crate::engine::modes::Mode;
use crate::host::{Doing, State, ThreadFile};
use crate::model::KindSet;
use crate::oracle::{Mechanism, Tick};
use serde::{Deserialize, Serialize};

/// What a thread is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It reads maps.
    Reader,
    /// It changes the arena.
    Mutator,
    /// It loads from the arena.
    Faulter,
}

/// Where a reader is in its call, by its own record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPlace {
    /// Whether it was in the call, and not between two.
    pub inside: bool,
    /// The offset in the file, or the address of a query.
    pub at: u64,
    /// The clock just before the call.
    pub invoked: Tick,
    /// The bytes of the walk read before.
    pub read: u64,
    /// The address that the walk had come to, or that was asked for; nothing at the start of a walk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<u64>,
}

/// One thread of the storm when a call did not come back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its number; the readers come first, then the mutators, then the faulters.
    pub worker: usize,
    /// What it is there for.
    pub role: Role,
    /// Its thread, once it has told.
    pub tid: Option<u32>,
    /// Whether it rested, and so was in no call.
    pub rests: bool,
    /// Its state; nothing where that can't be read.
    pub state: Option<State>,
    /// What it did, where it stood still for longer than the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// The CPU that it runs on, or ran on last.
    pub cpu: Option<u32>,
    /// The CPUs that it may run on.
    pub allowed_cpus: String,
    /// How long it had not come back from a call.
    pub still_ns: u64,
    /// How long it had not run, as far as it was watched; 0 for one that goes on.
    pub idle_ns: u64,
    /// Its calls that had come back.
    pub completed_calls: u64,
    /// What it was to do; of a mutator, the operation that has not returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Of a mutator's operation, the tick just before its system call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoked: Option<Tick>,
    /// Of a reader, where in its call it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<CallPlace>,
    /// What `/proc/self/task/TID` said; nothing of the stuck thread, whose files stand by themselves, and of
    /// those that went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ThreadFile>,
}

/// Kernel functions in which a mutator waits until the readers of a VMA let go of it (mm/mmap_lock.c; the
/// second one up to 6.19).
const WAITS_FOR_READERS: [&str; 5] = [
    "__vma_start_exclude_readers",
    "__vma_enter_locked",
    "__vma_exclude_readers_for_detach",
    "__vma_start_write",
    "vma_mark_detached",
];

impl Party {
    /// Whether it looks VMAs up and burns CPU time in the kernel.
    fn spins_in_lookup(&self) -> bool {
        self.role != Role::Mutator && self.doing == Some(Doing::Spinning)
    }

    /// The kind of its operation that has not returned.
    fn operation(&self) -> KindSet {
        match self.call {
            Some(Call::Operation(op)) => KindSet::EMPTY.with(op.kind()),
            _ => KindSet::EMPTY,
        }
    }

    /// How it reads, if it is in a call.
    fn reads(&self) -> Option<Mode> {
        match self.call {
            Some(Call::Read(mode)) if !self.rests => Some(mode),
            _ => None,
        }
    }

    /// Whether it is a mutator in mid-operation that is runnable and has not run for half the limit.
    fn is_preempted(&self, limit_ns: u64) -> bool {
        !self.operation().is_empty()
            && self.state == Some(State::Runnable)
            && self.idle_ns >= limit_ns / 2
    }

    /// Whether it sleeps until readers let go of a VMA. `files` are those of its thread.
    pub fn waits_for_readers(&self, files: &[ThreadFile]) -> bool {
        let waits = |text: &str| WAITS_FOR_READERS.iter().any(|name| text.contains(name));
        // Where stacks can't be read the wait channel is enough: it is a function's name.
        let told = files.iter().filter(|file| file.file == "stack" || file.file == "wchan");
        self.state == Some(State::Uninterruptible)
            && !self.operation().is_empty()
            && told.into_iter().any(|file| waits(&file.text))
    }
}

/// What a stall is called after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// What is seen to keep the call.
    pub mechanism: Mechanism,
    /// The operations under way: of the mutators that the mechanism is about, or of all.
    pub operations: KindSet,
    /// How the stuck reader read; of a stuck mutator, how all readers in a call did, if in one way.
    pub reader: Option<Mode>,
}

/// Names a stall of thread `worker`, whose files are `thread`, after what all threads did. After the
/// verdict, which does not depend on it.
pub fn name(worker: usize, limit_ns: u64, thread: &[ThreadFile], parties: &[Party]) -> Named {
    let stuck = parties.iter().find(|party| party.worker == worker);
    let files = |party: &Party| match party.worker == worker {
        true => party.waits_for_readers(thread),
        false => party.waits_for_readers(&party.files),
    };
    let operations = |those: &dyn Fn(&Party) -> bool| {
        let those = parties.iter().filter(|party| those(party));
        those.flat_map(|party| party.operation().iter()).collect::<KindSet>()
    };
    let one_way = || {
        let mut ways = parties.iter().filter_map(Party::reads);
        let first = ways.next()?;
        ways.all(|way| way == first).then_some(first)
    };
    let reader = stuck.filter(|stuck| stuck.role == Role::Reader).and_then(Party::reads);
    let spins = |cpu: Option<u32>| {
        let mut lookups = parties.iter().filter(|party| party.spins_in_lookup());
        cpu.is_some() && lookups.any(|party| party.cpu == cpu)
    };
    let preempted = operations(&|party| party.is_preempted(limit_ns) && spins(party.cpu));
    if stuck.is_some_and(Party::spins_in_lookup) && !preempted.is_empty() {
        let mechanism = Mechanism::SpinningInLookup;
        return Named { mechanism, operations: preempted, reader };
    }
    let waiting = operations(&files);
    if !waiting.is_empty() {
        let mechanism = Mechanism::WaitingForReaders;
        return Named { mechanism, operations: waiting, reader: reader.or_else(one_way) };
    }
    let reader =
        reader.or_else(|| one_way().filter(|_| stuck.is_some_and(|s| s.role == Role::Mutator)));
    Named { mechanism: Mechanism::Unknown, operations: operations(&|_| true), reader }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Op, Place, Span};

    const LIMIT: u64 = 4_000_000_000;

    fn party(worker: usize, role: Role, call: Call) -> Party {
        Party {
            worker,
            role,
            tid: Some(40 + worker as u32),
            rests: false,
            state: Some(State::Runnable),
            doing: None,
            cpu: Some(0),
            allowed_cpus: "0".into(),
            still_ns: LIMIT + 1,
            idle_ns: 0,
            completed_calls: 7,
            call: Some(call),
            invoked: None,
            place: None,
            files: Vec::new(),
        }
    }

    fn spinning(worker: usize) -> Party {
        let reader = party(worker, Role::Reader, Call::Read(Mode::Walk));
        Party { doing: Some(Doing::Spinning), ..reader }
    }

    fn mutator(worker: usize) -> Party {
        let at = Place { lane: 0, span: Span::new(0, 1) };
        party(worker, Role::Mutator, Call::Operation(Op::Unmap { at }))
    }

    fn preempted(worker: usize) -> Party {
        Party { idle_ns: LIMIT, ..mutator(worker) }
    }

    fn asleep(worker: usize, function: &str) -> Party {
        let wchan = ThreadFile { file: "wchan".into(), text: function.into() };
        let state = Some(State::Uninterruptible);
        Party { state, idle_ns: LIMIT, files: vec![wchan], ..mutator(worker) }
    }

    fn named(worker: usize, parties: &[Party]) -> (&'static str, bool, Option<Mode>) {
        let stuck = parties.iter().find(|party| party.worker == worker).unwrap();
        let named = name(worker, LIMIT, &stuck.files, parties);
        let unmap = named.operations.iter().eq([Kind::Unmap]);
        (named.mechanism.word(), unmap, named.reader)
    }

    #[test]
    fn a_lookup_spins_where_a_mutator_waits_for_its_cpu() {
        let walk = Some(Mode::Walk);
        let seen = ("spinning-in-lookup", true, walk);
        assert_eq!(named(0, &[spinning(0), preempted(1)]), seen);
        // Those that wait for a lock say nothing of it.
        assert_eq!(named(0, &[spinning(0), preempted(1), asleep(2, "do_mprotect_pkey")]), seen);
        let elsewhere = Party { cpu: Some(1), ..preempted(1) };
        assert_eq!(named(0, &[spinning(0), elsewhere.clone()]), ("unknown", true, walk));
        // Another lookup spins there.
        let load = party(2, Role::Faulter, Call::Load(4096));
        let load = Party { doing: Some(Doing::Spinning), cpu: Some(1), ..load };
        assert_eq!(named(0, &[spinning(0), elsewhere, load]), seen);
        let runs = Party { idle_ns: 0, ..preempted(1) };
        assert_eq!(named(0, &[spinning(0), runs]), ("unknown", true, walk));
        assert_eq!(named(0, &[spinning(0)]), ("unknown", false, walk));
    }

    #[test]
    fn a_mutator_that_waits_for_readers_is_known_by_where_it_sleeps() {
        let walk = Some(Mode::Walk);
        let reader = party(0, Role::Reader, Call::Read(Mode::Walk));
        let waits = asleep(1, "__vma_start_exclude_readers");
        let seen = ("waiting-for-readers", true, walk);
        assert_eq!(named(1, &[reader.clone(), waits]), seen);
        let other = asleep(1, "rwsem_down_write_slowpath");
        assert_eq!(named(1, &[reader.clone(), other]), ("unknown", true, walk));
        // Two ways of reading: nobody knows which one it is.
        let query = party(2, Role::Reader, Call::Read(Mode::Query));
        let waits = asleep(1, "__vma_start_write");
        assert_eq!(named(1, &[reader, waits, query]), ("waiting-for-readers", true, None));
    }
}
