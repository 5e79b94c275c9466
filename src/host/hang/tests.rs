use super::super::fault::Stay;
use super::super::thread::{Inside, Sampler, Sched, now};
use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

const LIMIT: Duration = Duration::from_secs(2);
/// The storm looks once a slice.
const STEP: Duration = Duration::from_millis(16);

/// A thread as it was recorded: what a second brings, in ms.
#[derive(Clone, Copy)]
struct Kind {
    state: State,
    inside: Inside,
    wchan: &'static str,
    user: u32,
    system: u32,
    waited: u32,
    turns: u64,
}

/// Sixteen workers and eight busy loops on two CPUs: for seconds on end without a CPU.
const STARVED: Kind = Kind {
    state: State::Runnable,
    inside: Inside::Running,
    wchan: "",
    user: 0,
    system: 0,
    waited: 1000,
    turns: 0,
};
/// The same with a tenth of a CPU, all of it in user mode.
const SLOW: Kind = Kind { user: 100, waited: 900, turns: 33, ..STARVED };
/// A lookup that is tried again and again.
const SPINNING: Kind = Kind { system: 1000, waited: 0, turns: 4, ..STARVED };
/// The same where it gets a tenth of a CPU.
const SPINNING_SLOWLY: Kind = Kind { system: 100, waited: 900, turns: 33, ..STARVED };
/// A loop in a program.
const LOOPING: Kind = Kind { user: 990, system: 10, waited: 0, turns: 4, ..STARVED };
/// mprotect that waits for mmap_lock.
const ASLEEP: Kind = Kind {
    state: State::Uninterruptible,
    inside: Inside::Call(10),
    wchan: "do_mprotect_pkey",
    waited: 0,
    ..STARVED
};
const DISK: Kind = Kind { wchan: "folio_wait_bit_common", inside: Inside::NoCall, ..ASLEEP };
const FROZEN: Kind = Kind { wchan: "__refrigerator", ..ASLEEP };
const NOWHERE: Kind = Kind { wchan: "", ..ASLEEP };
/// Woken once a second, to sleep again.
const RESTLESS: Kind = Kind { turns: 1, ..ASLEEP };
const LIGHT: Kind =
    Kind { state: State::Asleep, inside: Inside::Call(202), wchan: "futex_do_wait", ..ASLEEP };
const STOPPED: Kind = Kind { state: State::Stopped, wchan: "do_signal_stop", ..ASLEEP };

impl Kind {
    /// A look at it so long after it began.
    fn look(self, at: Duration) -> Look {
        let part = |ms: u32| at * ms / 1000;
        // `stat` counts in ticks of 10 ms.
        let ticks = |ms: u32| Duration::from_millis(part(ms).as_millis() as u64 / 10 * 10);
        Look {
            state: self.state,
            user: ticks(self.user),
            system: ticks(self.system),
            cpu: None,
            sched: Some(Sched {
                ran: part(self.user + self.system),
                waited: part(self.waited),
                turns: 1 + self.turns * at.as_secs(),
            }),
            inside: self.inside,
            wchan: self.wchan.parse().unwrap(),
        }
    }
}

/// What a thread of this kind is found to do within so many limits.
fn alone(kind: Kind, limits: u32) -> (Doing, bool) {
    let mut watch = Watch::new(1, LIMIT, Duration::ZERO);
    let mut at = Duration::ZERO;
    while at < limits * LIMIT {
        at += STEP;
        let pulse = Pulse { progress: 3, tid: Some(1), busy: true };
        match watch.look(at, |_| pulse, |_| Ok(kind.look(at))) {
            Some(Found::Stall(stuck)) => {
                assert!(stuck.watched > LIMIT && stuck.watched <= at);
                return (stuck.doing, true);
            }
            Some(Found::Gone(_)) => return (Doing::Gone, false),
            None => {}
        }
    }
    (watch.standing(0).doing(), false)
}

#[test]
fn the_kernel_keeps_those_that_spin_in_it_or_sleep_through_the_limit() {
    assert_eq!(alone(SPINNING, 2), (Doing::Spinning, true));
    assert_eq!(alone(ASLEEP, 2), (Doing::SleepingUninterruptibly, true));
}

#[test]
fn a_thread_that_waits_runs_or_is_stopped_is_never_a_stall() {
    for (kind, doing) in [
        (STARVED, Doing::WaitingForCpu),
        (SLOW, Doing::WaitingForCpu),
        (LOOPING, Doing::UserMode),
        (STOPPED, Doing::Stopped),
        (LIGHT, Doing::Sleeping),
        (RESTLESS, Doing::Unknown),
    ] {
        assert_eq!(alone(kind, 10), (doing, false));
    }
    // Asleep for something from outside the kernel, or for something unknown.
    for kind in [DISK, FROZEN, NOWHERE] {
        assert_eq!(alone(kind, 10), (Doing::SleepingUninterruptibly, false));
    }
}

#[test]
fn a_thread_without_much_cpu_has_to_burn_as_much_as_one_with_all_of_it() {
    assert_eq!(alone(SPINNING_SLOWLY, 9), (Doing::WaitingForCpu, false));
    assert_eq!(alone(SPINNING_SLOWLY, 12), (Doing::Spinning, true));
}

#[test]
fn less_than_the_limit_is_nothing() {
    for kind in [SPINNING, ASLEEP, STARVED] {
        let mut standing = Standing::new(LIMIT);
        for at in (0..2000).step_by(16).map(Duration::from_millis) {
            standing.see(at, Ok(kind.look(at)));
        }
        assert!(!standing.is_over());
        assert_ne!(standing.doing(), Doing::SleepingUninterruptibly);
    }
}

/// SIGSTOP and SIGCONT, a suspended machine, a jump of the clock: before and after it the thread is
/// seen in its call, and no look fell in between.
#[test]
fn what_nobody_watched_does_not_count() {
    for kind in [SPINNING, ASLEEP, STARVED, STOPPED] {
        let mut watch = Watch::new(1, LIMIT, Duration::ZERO);
        let mut progress = 0;
        for round in 0..20 {
            let resumed = round * Duration::from_secs(100);
            for at in [0, 16, 400, 800].map(|ms| resumed + Duration::from_millis(ms)) {
                let pulse = Pulse { progress, tid: Some(1), busy: true };
                assert_eq!(watch.look(at, |_| pulse, |_| Ok(kind.look(at))), None, "{round}");
            }
            progress += u64::from(round % 2 == 1);
        }
        assert_eq!(watch.overdue(), Overdue::default());
    }
}

#[test]
fn a_call_that_comes_back_is_counted_once_and_forgotten() {
    let mut watch = Watch::new(1, LIMIT, Duration::ZERO);
    let mut at = Duration::ZERO;
    for progress in 0..3 {
        let end = at + 2 * LIMIT;
        while at < end {
            at += STEP;
            let pulse = Pulse { progress, tid: Some(1), busy: true };
            assert_eq!(watch.look(at, |_| pulse, |_| Ok(STARVED.look(at))), None);
        }
        assert!(watch.is_overdue(0) && !watch.is_undecided(0));
        assert_eq!(watch.overdue().for_cpu, progress + 1);
    }
    let rests = Pulse { progress: 2, tid: Some(1), busy: false };
    watch.look(at + STEP, |_| rests, |_| panic!("nobody looks at those who rest"));
    assert!(!watch.is_overdue(0));
    assert_eq!((watch.overdue().total(), watch.overdue().for_cpu), (3, 3));
    assert!(watch.overdue().longest > LIMIT);
}

/// A thread, and its pulse at each step.
type Other = (Kind, fn(u64) -> Pulse);

/// A mutator that sleeps for mmap_lock, and what the others do meanwhile.
fn beside(others: &[Other]) -> bool {
    let mut watch = Watch::new(1 + others.len(), LIMIT, Duration::ZERO);
    (1..400).any(|step| {
        let at = step as u32 * STEP;
        let pulse = |index: usize| match index {
            0 => Pulse { progress: 1, tid: Some(0), busy: true },
            other => Pulse { tid: Some(other as u32), ..others[other - 1].1(step) },
        };
        let look = |tid: u32| match tid {
            0 => Ok(ASLEEP.look(at)),
            other => Ok(others[other as usize - 1].0.look(at)),
        };
        matches!(watch.look(at, pulse, look), Some(Found::Stall(Stuck { thread: 0, .. })))
    })
}

#[test]
fn a_sleeper_is_told_only_when_nobody_else_can_have_what_it_waits_for() {
    let stands: fn(u64) -> Pulse = |_| Pulse { progress: 7, tid: None, busy: true };
    let moves: fn(u64) -> Pulse = |step| Pulse { progress: step, tid: None, busy: true };
    let rests: fn(u64) -> Pulse = |_| Pulse { progress: 7, tid: None, busy: false };
    // It moves on once in the whole time, and has not come back since.
    let moved: fn(u64) -> Pulse = |step| Pulse { progress: step / 50, tid: None, busy: true };
    assert!(beside(&[]));
    assert!(beside(&[(SLOW, moves), (STARVED, rests), (ASLEEP, stands)]));
    for holder in [STARVED, STOPPED, LOOPING, LIGHT] {
        assert!(!beside(&[(SLOW, moves), (holder, stands)]));
    }
    assert!(!beside(&[(STARVED, |step| Pulse {
        progress: u64::from(step > 50),
        tid: None,
        busy: true
    })]));
    // Those that go on come to a moment at which all were looked at.
    assert!(beside(&[(SLOW, moved)]));
}

#[test]
fn a_kernel_without_schedstat_is_judged_by_cpu_time() {
    let told = |kind: Kind| {
        let mut standing = Standing::new(LIMIT);
        for at in (0..3000).step_by(16).map(Duration::from_millis) {
            standing.see(at, Ok(Look { sched: None, ..kind.look(at) }));
        }
        standing.doing()
    };
    assert_eq!(told(SPINNING), Doing::Spinning);
    assert_eq!(told(ASLEEP), Doing::SleepingUninterruptibly);
    assert_eq!(told(STARVED), Doing::WaitingForCpu);
    assert_eq!(told(LOOPING), Doing::UserMode);
}

#[test]
fn a_thread_that_has_ended_is_no_stall_but_is_told() {
    let mut watch = Watch::new(2, LIMIT, Duration::ZERO);
    let pulse = |index| Pulse { progress: 0, tid: Some(index as u32), busy: true };
    let look = |tid| match tid {
        0 => Ok(SPINNING.look(STEP)),
        _ => Err(Errno::SRCH),
    };
    assert_eq!(watch.look(LIMIT / 2, pulse, look), Some(Found::Gone(1)));
    let unreadable = |_| Err(Errno::ACCESS);
    let mut watch = Watch::new(1, LIMIT, Duration::ZERO);
    for step in 1..1000 {
        assert_eq!(watch.look(step * STEP, pulse, unreadable), None);
    }
    assert!(watch.is_undecided(0));
}

/// A real thread that does not come back, watched until it is found.
fn real(stay: Stay) -> Doing {
    static TID: AtomicU32 = AtomicU32::new(0);
    TID.store(0, Ordering::SeqCst);
    std::thread::spawn(move || {
        TID.store(rustix::thread::gettid().as_raw_nonzero().get() as u32, Ordering::SeqCst);
        stay.for_ever()
    });
    let sampler = Sampler::default();
    let mut watch = Watch::new(1, Duration::from_millis(200), now());
    loop {
        let tid = TID.load(Ordering::SeqCst);
        let pulse = |_| Pulse { progress: 0, tid: Some(tid).filter(|&tid| tid > 0), busy: true };
        match watch.look(now(), pulse, |tid| sampler.look(tid)) {
            Some(Found::Stall(stuck)) => return stuck.doing,
            Some(Found::Gone(_)) => return Doing::Gone,
            None if watch.is_undecided(0) => return watch.standing(0).doing(),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn real_threads_are_what_they_are() {
    assert_eq!(real(Stay::Uninterruptible), Doing::SleepingUninterruptibly);
    assert_eq!(real(Stay::Asleep), Doing::Sleeping);
    assert_eq!(real(Stay::Spinning), Doing::Spinning);
}
