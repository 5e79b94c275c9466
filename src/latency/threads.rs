//! Settings of single threads: CPU and niceness.

use rustix::io::Errno;
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// The CPUs the calling thread may use, ascending.
///
/// # Errors
/// What sched_getaffinity(2) gave.
pub fn allowed_cpus() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps the calling thread, and those it starts, on `cpus`.
///
/// # Errors
/// What sched_setaffinity(2) gave.
pub fn pin(cpus: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set)
}

/// Makes the calling thread at least as nice as `nice`. On Linux niceness belongs to the thread
/// (kernel/sys.c, `setpriority` with PRIO_PROCESS and a thread's number).
///
/// # Errors
/// What getpriority(2) or setpriority(2) gave.
pub fn renice(nice: i32) -> Result<(), Errno> {
    let thread = Some(gettid());
    // Becoming less nice again needs a privilege, and nobody asked for it.
    if getpriority_process(thread)? < nice {
        setpriority_process(thread, nice)?;
    }
    Ok(())
}
