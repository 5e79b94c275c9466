//! Which of the threads of a machine go first.

use rustix::io::Errno;
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;

/// Gives the calling thread this niceness. On Linux niceness belongs to the thread (kernel/sys.c,
/// `setpriority` with PRIO_PROCESS and a thread's number).
///
/// # Errors
/// What setpriority(2) gave: less than before takes a privilege.
pub fn renice(nice: i32) -> Result<(), Errno> {
    setpriority_process(Some(gettid()), nice)
}

/// Makes the calling thread at least as nice as `nice`.
///
/// # Errors
/// What getpriority(2) or setpriority(2) gave.
pub fn be_nice(nice: i32) -> Result<(), Errno> {
    // To become less nice again takes a privilege, and was not asked for.
    if getpriority_process(Some(gettid()))? < nice {
        renice(nice)?;
    }
    Ok(())
}

/// Whether a thread may have this niceness; tried by one of its own.
///
/// # Errors
/// What setpriority(2) gave, or EAGAIN when there is no thread to try it with.
pub fn may_renice(nice: i32) -> Result<(), Errno> {
    let thread = std::thread::Builder::new().name("storm-nice".into());
    let tried = thread.spawn(move || renice(nice)).map_err(|_| Errno::AGAIN)?;
    tried.join().unwrap_or(Err(Errno::AGAIN))
}

/// Sets the policy of thread `tid`, 0 for the calling one. Whether it could be set.
fn set_policy(tid: u32, policy: libc::c_int) -> bool {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` lives on this stack and is only read.
    unsafe { libc::sched_setscheduler(tid as libc::pid_t, policy, &param) == 0 }
}

/// Gives the calling thread idle priority (SCHED_IDLE: all other threads go first), or the usual one
/// again. Whether it could.
pub fn idle(idle: bool) -> bool {
    set_policy(0, if idle { libc::SCHED_IDLE } else { libc::SCHED_OTHER })
}

/// Gives thread `tid` of this process the usual priority again, when it is idle and gets no CPU to do
/// so itself.
pub fn raise(tid: u32) {
    // SAFETY: asks for a policy.
    if unsafe { libc::sched_getscheduler(tid as libc::pid_t) } == libc::SCHED_IDLE {
        // Where that is not allowed the thread is waited for.
        let _ = set_policy(tid, libc::SCHED_OTHER);
    }
}

/// Whether a thread that has taken idle priority, if it may at all, may have the usual one again: that
/// takes RLIMIT_NICE or a privilege (kernel/sched/syscalls.c, `user_check_sched_setscheduler`). Tried by
/// a thread of its own.
pub fn returns_from_idle() -> bool {
    let tried = std::thread::Builder::new().spawn(|| !idle(true) || idle(false));
    tried.is_ok_and(|thread| thread.join().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn another_thread_raises_an_idle_one_and_no_other() {
        // SAFETY: asks for a policy.
        let policy = |tid: u32| unsafe { libc::sched_getscheduler(tid as libc::pid_t) };
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let lowered = idle(true);
            tell.send((gettid().as_raw_nonzero().get() as u32, lowered)).unwrap();
            let _ = ended.recv();
        });
        let (tid, lowered) = told.recv().unwrap();
        let before = policy(tid);
        assert_eq!(before == libc::SCHED_IDLE, lowered);
        raise(tid);
        let raised = lowered && returns_from_idle();
        assert_eq!(policy(tid), if raised { libc::SCHED_OTHER } else { before });
        drop(end);
        thread.join().unwrap();
    }
}
