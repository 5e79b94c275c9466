//! Calls that do not come back, planted on purpose. They are real: the kernel shows them as such.

use rustix::io::Errno;
use std::time::Duration;

/// How a planted call does not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stay {
    /// In uninterruptible sleep.
    Uninterruptible,
    /// In the kernel, awake, for as long as it gets a CPU.
    Spinning,
    /// In a sleep that a signal would end: no proof that it is the kernel's fault.
    Asleep,
}

impl Stay {
    /// Does not come back.
    ///
    /// # Panics
    /// When the fault can't be planted here.
    pub fn for_ever(self) -> ! {
        match self {
            Stay::Uninterruptible => {
                let error = sleep_uninterruptibly();
                panic!("no thread can be put to uninterruptible sleep here (clone: {error})");
            }
            Stay::Spinning => {
                let error = spin_in_the_kernel();
                panic!("no thread can be kept busy in the kernel here (/dev/zero: {error})");
            }
            Stay::Asleep => loop {
                std::thread::sleep(Duration::from_secs(1 << 20));
            },
        }
    }
}

/// Has the kernel clear memory. Comes back only when it can't, with the reason.
fn spin_in_the_kernel() -> Errno {
    use rustix::fs::{Mode, OFlags, open};
    let mut cleared = [0; 16 << 10];
    match open("/dev/zero", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(zeros) => loop {
            if let Err(errno) = rustix::io::read(&zeros, &mut cleared[..]) {
                return errno;
            }
        },
        Err(errno) => errno,
    }
}

/// Waits, as vfork(2) does, for a child that never ends: it sleeps in state D, and SIGKILL ends it
/// (kernel/fork.c, `wait_for_vfork_done`). The child dies with the thread. Comes back only when
/// there is no child, with the reason.
fn sleep_uninterruptibly() -> Errno {
    extern "C" fn child(parent: *mut libc::c_void) -> libc::c_int {
        // SAFETY: system calls that touch no memory. The parent is asleep until this thread, which
        // shares its memory, ends.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // The parent may have died before that was said.
            while libc::getppid() as usize == parent as usize {
                libc::pause();
            }
            libc::_exit(0)
        }
    }
    let mut stack = [0u128; 1024];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let parent = std::process::id() as usize as *mut libc::c_void;
    // SAFETY: the stack is the child's alone and outlives it, because the parent sleeps until the
    // child has ended; `child` takes the parent's number, which is no address that is used.
    let pid = unsafe { libc::clone(child, stack.as_mut_ptr_range().end.cast(), flags, parent) };
    match pid {
        -1 => Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO),
        _ => Errno::CHILD,
    }
}
