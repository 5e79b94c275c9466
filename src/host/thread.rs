//! Looks at a thread of this process through `/proc/self/task/TID`.
//!
//! None of the files read here takes mmap_lock (fs/proc/array.c, `do_task_stat`; fs/proc/base.c,
//! `proc_pid_schedstat`, `proc_pid_wchan`, `proc_pid_syscall`), so a look comes back where the
//! thread looked at does not. Nothing here allocates.

use arrayvec::ArrayString;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

/// The state of a thread: the letter in `stat` (fs/proc/array.c, `task_state_array`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// `R`: it has a CPU or waits for one.
    Runnable,
    /// `S` or `I`: it sleeps, and a signal wakes it.
    Asleep,
    /// `D`: it sleeps, and only what it waits for wakes it, or SIGKILL.
    Uninterruptible,
    /// `T` or `t`: a signal or a debugger has stopped it.
    Stopped,
    /// `Z` or `X`: it has ended.
    Ended,
    /// A letter that is none of these.
    Other,
}

/// The system call that a thread is in, as `syscall` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inside {
    /// It was runnable when it was looked at, so it can't be told.
    Running,
    /// None: a page fault, or an interrupt, put it to sleep.
    NoCall,
    /// The call of this number.
    Call(i64),
    /// The file can't be read.
    Unreadable,
}

/// What the scheduler says of a thread (`schedstat`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sched {
    /// How long it has run.
    pub ran: Duration,
    /// How long it has been runnable without running.
    pub waited: Duration,
    /// How many times it was given a CPU.
    pub turns: u64,
}

/// What one look at a thread shows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Look {
    /// Its state.
    pub state: State,
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// The CPU that it runs on, or ran on last.
    pub cpu: Option<u32>,
    /// What the scheduler says; nothing where the kernel keeps no such account.
    pub sched: Option<Sched>,
    /// The call that it is in.
    pub inside: Inside,
    /// The kernel function that it sleeps in; empty when it is awake, or that can't be read.
    pub wchan: ArrayString<48>,
}

/// The time by CLOCK_MONOTONIC.
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Takes looks.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// The unit of the CPU times in `stat`.
    tick: Duration,
}

impl Default for Sampler {
    fn default() -> Sampler {
        let a_second = rustix::param::clock_ticks_per_second().max(1);
        Sampler { tick: Duration::from_secs(1) / a_second as u32 }
    }
}

impl Sampler {
    /// Looks at thread `tid` of this process.
    ///
    /// # Errors
    /// `SRCH` or `NOENT` when there is no such thread (any more); else why `stat` can't be read.
    pub fn look(&self, tid: u32) -> Result<Look, Errno> {
        let mut buffer = [0; 1024];
        let stat = read(tid, "stat", &mut buffer)?;
        let (state, user, system, cpu) = parse_stat(stat).ok_or(Errno::IO)?;
        let sched = read(tid, "schedstat", &mut buffer).ok().and_then(parse_schedstat);
        let inside = read(tid, "syscall", &mut buffer).map_or(Inside::Unreadable, parse_syscall);
        let wchan = read(tid, "wchan", &mut buffer).map(parse_wchan).unwrap_or_default();
        Ok(Look {
            state,
            user: self.tick * user as u32,
            system: self.tick * system as u32,
            cpu,
            sched,
            inside,
            wchan,
        })
    }
}

fn read<'a>(tid: u32, file: &str, buffer: &'a mut [u8]) -> Result<&'a str, Errno> {
    let mut path = ArrayString::<64>::new();
    write!(path, "/proc/self/task/{tid}/{file}").map_err(|_| Errno::NAMETOOLONG)?;
    let fd = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let len = rustix::io::read(&fd, &mut *buffer)?;
    str::from_utf8(&buffer[..len]).map_err(|_| Errno::ILSEQ)
}

/// State, CPU time in user mode and in the kernel, in ticks, and the CPU. A thread's name may hold blanks
/// and parentheses, so the last parenthesis counts.
fn parse_stat(text: &str) -> Option<(State, u64, u64, Option<u32>)> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = match fields.next()? {
        "R" => State::Runnable,
        "S" | "I" => State::Asleep,
        "D" => State::Uninterruptible,
        "T" | "t" => State::Stopped,
        "Z" | "X" | "x" => State::Ended,
        _ => State::Other,
    };
    // proc_pid_stat(5): the state is field 3, utime 14, stime 15, processor 39.
    let mut fields = fields.skip(10);
    let (user, system) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let cpu = fields.nth(23).and_then(|cpu| cpu.parse().ok());
    Some((state, user, system, cpu))
}

fn parse_schedstat(text: &str) -> Option<Sched> {
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let (ran, waited, turns) = (next()?, next()?, next()?);
    // A kernel without CONFIG_SCHED_INFO prints zeros (fs/proc/base.c, `proc_pid_schedstat`). A
    // thread that can be looked at has had a CPU.
    (turns > 0).then_some(Sched {
        ran: Duration::from_nanos(ran),
        waited: Duration::from_nanos(waited),
        turns,
    })
}

fn parse_syscall(text: &str) -> Inside {
    match text.split_ascii_whitespace().next() {
        Some("running") => Inside::Running,
        Some(number) => match number.parse() {
            Ok(-1) => Inside::NoCall,
            Ok(number) => Inside::Call(number),
            Err(_) => Inside::Unreadable,
        },
        None => Inside::Unreadable,
    }
}

/// `0` stands for nothing.
fn parse_wchan(text: &str) -> ArrayString<48> {
    let name = text.trim();
    match ArrayString::from(name) {
        Ok(name) if &name != "0" => name,
        _ => ArrayString::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_as_the_kernel_prints_it() {
        let stat =
            "16631 (a) R (b) D 16622 16622 11620 0 -1 4194368 1 0 0 0 7 9 0 0 20 0 2 0 65030 0";
        assert_eq!(parse_stat(stat), Some((State::Uninterruptible, 7, 9, None)));
        let whole = "42 (storm-0) R 1 1 1 0 -1 4194368 35 0 0 0 8 52 0 0 20 0 5 0 7 3 9 18 14 14 14 0 0 0 \
                     0 4096 16 0 0 0 -1 5 0 0 0 0 0";
        assert_eq!(parse_stat(whole), Some((State::Runnable, 8, 52, Some(5))));
        assert_eq!(parse_stat("1 (x) R 1 2 3"), None);
        assert_eq!(
            parse_schedstat("24686 7772 3\n"),
            Some(Sched {
                ran: Duration::from_nanos(24686),
                waited: Duration::from_nanos(7772),
                turns: 3
            })
        );
        assert_eq!(parse_schedstat("0 0 0\n"), None);
        assert_eq!(parse_syscall("running\n"), Inside::Running);
        assert_eq!(parse_syscall("58 0x560661a8b1e1 0x0 0x7ff 0x7ff\n"), Inside::Call(58));
        assert_eq!(parse_syscall("-1 0x7ff 0x7ff\n"), Inside::NoCall);
        assert_eq!(parse_syscall(""), Inside::Unreadable);
        assert_eq!(&parse_wchan("kernel_clone"), "kernel_clone");
        assert_eq!(&parse_wchan("0"), "");
    }

    #[test]
    fn a_thread_that_is_not_there_is_told_from_one_that_is() {
        let sampler = Sampler::default();
        let own = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let look = sampler.look(own).unwrap();
        assert_eq!(look.state, State::Runnable);
        assert!(matches!(sampler.look(i32::MAX as u32), Err(Errno::NOENT | Errno::SRCH)));
    }
}
