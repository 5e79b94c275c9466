//! Loads in user mode that may be refused.
//!
//! A page fault takes the lock of one VMA only when it comes from user mode (arch/x86/mm/fault.c and
//! arch/arm64/mm/fault.c ask for `FAULT_FLAG_USER` before they call `lock_vma_under_rcu`). So a load is
//! an instruction here and no system call, and the signal that refuses it is caught.
//!
//! There is one instruction that may fault, with a label. The handler acts on a fault there and
//! nowhere else: it has the thread go on at a second label. For every other fault it puts back the
//! action that was there before and returns, so that the fault comes again and means what it always did.

use rustix::io::Errno;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The signals that a load can bring about.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Why a load was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// SIGSEGV: nothing is mapped there that can be read.
    NotReadable,
    /// SIGBUS: there is no page for what is mapped.
    NoPage,
}

/// Loads, possible because the signals are caught.
#[derive(Clone, Copy, Debug)]
pub struct Loads(());

/// The function that loads: the instruction that may be refused, and the one that gives 0.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! loading {
    ($load:literal, $nothing:literal) => {
        std::arch::global_asm!(
            ".text",
            ".p2align 4",
            ".global mapstorm_load",
            ".global mapstorm_load_at",
            ".global mapstorm_load_refused",
            "mapstorm_load:",
            "mapstorm_load_at:",
            $load,
            $nothing,
            "ret",
            "mapstorm_load_refused:",
            "ret",
        );
    };
}

#[cfg(target_arch = "x86_64")]
loading!("mov eax, dword ptr [rdi]", "xor eax, eax");
#[cfg(target_arch = "aarch64")]
loading!("ldr w0, [x0]", "mov w0, #0");

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe extern "C" {
    /// Loads four bytes, and gives 0; the signal, where one refused it.
    fn mapstorm_load(address: u64) -> u32;
    /// The instruction that loads.
    static mapstorm_load_at: u8;
    /// Where a load that was refused goes on.
    static mapstorm_load_refused: u8;
}

/// Where the thread was interrupted, and has to go on.
#[cfg(target_arch = "x86_64")]
fn instruction(context: &mut libc::ucontext_t) -> &mut i64 {
    &mut context.uc_mcontext.gregs[libc::REG_RIP as usize]
}

/// Where the thread was interrupted, and has to go on.
#[cfg(target_arch = "aarch64")]
fn instruction(context: &mut libc::ucontext_t) -> &mut u64 {
    &mut context.uc_mcontext.pc
}

/// What the interrupted function gives.
#[cfg(target_arch = "x86_64")]
fn result(context: &mut libc::ucontext_t) -> &mut i64 {
    &mut context.uc_mcontext.gregs[libc::REG_RAX as usize]
}

/// What the interrupted function gives.
#[cfg(target_arch = "aarch64")]
fn result(context: &mut libc::ucontext_t) -> &mut u64 {
    &mut context.uc_mcontext.regs[0]
}

/// The actions that were there before, by the place in [`SIGNALS`].
struct Before(UnsafeCell<[MaybeUninit<libc::sigaction>; SIGNALS.len()]>);

// SAFETY: written by `Loads::catch` alone, once, before the handler that reads it is in place.
unsafe impl Sync for Before {}

static BEFORE: Before = Before(UnsafeCell::new([MaybeUninit::uninit(); SIGNALS.len()]));

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
extern "C" fn refused(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO both, valid until it returns.
    let (code, context) = unsafe { ((*info).si_code, &mut *context.cast::<libc::ucontext_t>()) };
    // Only the addresses of the labels are taken.
    let (load, fix) = (&raw const mapstorm_load_at, &raw const mapstorm_load_refused);
    // One that somebody sent has a code of 0 or below.
    if code > 0 && *instruction(context) as usize == load.addr() {
        *instruction(context) = fix.addr() as _;
        *result(context) = signal as _;
        return;
    }
    let Some(which) = SIGNALS.iter().position(|known| *known == signal) else { return };
    // SAFETY: `catch` has written it before this handler was in place, and nobody writes it again.
    // sigaction(2) and raise(3) are async-signal-safe (POSIX).
    unsafe {
        let before = &(*BEFORE.0.get())[which];
        libc::sigaction(signal, before.as_ptr(), std::ptr::null_mut());
        // A fault comes again when the handler returns; a signal that was sent does not.
        if code <= 0 {
            libc::raise(signal);
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn catch() -> Result<Loads, Errno> {
    let errno = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL);
    for (which, &signal) in SIGNALS.iter().enumerate() {
        // SAFETY: called once (`Loads::catch`). The present action is read first, so that the handler,
        // which may run as soon as it is in place, finds it.
        let done = unsafe {
            let before = (*BEFORE.0.get())[which].as_mut_ptr();
            if libc::sigaction(signal, std::ptr::null(), before) != 0 {
                return Err(errno());
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = refused as *const () as usize;
            // On the signal stack, as the runtime's own handler, which finds stacks that overflow.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if done != 0 {
            return Err(errno());
        }
    }
    Ok(Loads(()))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn catch() -> Result<Loads, Errno> {
    Err(Errno::NOSYS)
}

impl Loads {
    /// Whether this architecture has them.
    pub const OFFERED: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

    /// Catches the signals, once for the process and for good.
    ///
    /// # Errors
    /// ENOSYS where the architecture has no such load here; what sigaction(2) gave.
    pub fn catch() -> Result<Loads, Errno> {
        static CAUGHT: OnceLock<Result<Loads, Errno>> = OnceLock::new();
        *CAUGHT.get_or_init(catch)
    }

    /// Loads from `address`, which nobody has to know.
    ///
    /// # Errors
    /// The signal that refused it, where one did.
    #[inline]
    pub fn load(self, address: u64) -> Result<(), Refused> {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        // SAFETY: a load changes nothing, of what it gives nothing is used, and a signal that refuses
        // it is caught.
        return match unsafe { mapstorm_load(address) as libc::c_int } {
            0 => Ok(()),
            libc::SIGSEGV => Err(Refused::NotReadable),
            _ => Err(Refused::NoPage),
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            let _ = address;
            Err(Refused::NoPage)
        }
    }
}

/// Page faults of this thread so far that found their page (`ru_minflt` and `ru_majflt`): those that
/// were refused are not among them (mm/memory.c, `mm_account_fault`).
pub fn faults_of_thread() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage(2) fills it whole, or fails.
    unsafe {
        match libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) {
            0 => {
                let usage = usage.assume_init();
                (usage.ru_minflt + usage.ru_majflt) as u64
            }
            _ => 0,
        }
    }
}

/// Keeps huge pages out of this process: the first load from a range that a huge page fits in would
/// make an anon_vma (mm/huge_memory.c, `do_huge_pmd_anonymous_page`), and with it another layout.
/// No flag of any VMA changes.
///
/// # Errors
/// What prctl(2) gave.
pub fn without_huge_pages() -> Result<(), Errno> {
    // SAFETY: a number of the process is set; no memory is touched.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use memmap2::MmapOptions;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn a_load_is_refused_where_nothing_may_be_read() {
        let loads = Loads::catch().unwrap();
        let page = rustix::param::page_size();
        let mut map = MmapOptions::new().len(3 * page).map_anon().unwrap();
        let at = |number: usize| map.as_ptr() as u64 + (number * page) as u64;
        assert!((0..3).all(|number| loads.load(at(number)).is_ok()));
        let middle = at(1) as *mut libc::c_void;
        // SAFETY: a page of the test's own, of which nobody holds a reference.
        assert_eq!(unsafe { libc::mprotect(middle, page, libc::PROT_NONE) }, 0);
        for _ in 0..1000 {
            let refused = Err(Refused::NotReadable);
            assert_eq!([0, 1, 2].map(|number| loads.load(at(number))), [Ok(()), refused, Ok(())]);
        }
        for nowhere in [0, u64::MAX - 7] {
            assert_eq!(loads.load(nowhere), Err(Refused::NotReadable));
        }
        // SAFETY: as above.
        assert_eq!(unsafe { libc::mprotect(middle, page, libc::PROT_READ | libc::PROT_WRITE) }, 0);
        assert_eq!(loads.load(at(1)), Ok(()));
        map[page] = 1;
    }

    #[test]
    fn behind_the_end_of_a_file_a_load_is_refused() {
        let loads = Loads::catch().unwrap();
        let file = tempfile::tempfile().unwrap();
        // SAFETY: nobody else knows of the file.
        let map = unsafe { MmapOptions::new().len(1).map(&file) }.unwrap();
        assert_eq!(loads.load(map.as_ptr() as u64), Err(Refused::NoPage));
    }

    #[test]
    fn a_thread_counts_the_pages_that_it_brought_in() {
        let loads = Loads::catch().unwrap();
        let page = rustix::param::page_size();
        without_huge_pages().unwrap();
        let map = MmapOptions::new().len(64 * page).map_anon().unwrap();
        let before = faults_of_thread();
        (0..64).for_each(|number| loads.load(map.as_ptr() as u64 + number * page as u64).unwrap());
        assert!(faults_of_thread() - before >= 64);
    }

    /// A fault elsewhere, and a signal that somebody sends, mean what they always did. In processes of
    /// their own.
    #[test]
    fn every_other_fault_keeps_its_meaning() {
        const WHICH: &str = "MAPSTORM_TEST_FAULT";
        if let Ok(which) = std::env::var(WHICH) {
            let _ = Loads::catch().unwrap();
            match which.as_str() {
                // SAFETY: that it is none is what is tried.
                "fault" => unsafe { std::ptr::dangling::<u64>().wrapping_add(7).read_volatile() },
                // The first one makes the runtime's own handler give way to the default action: it takes
                // every signal for a fault that comes again.
                // SAFETY: as above.
                _ => unsafe {
                    libc::kill(libc::getpid(), libc::SIGSEGV);
                    libc::raise(libc::SIGSEGV) as u64
                },
            };
            std::process::exit(0);
        }
        for which in ["fault", "signal"] {
            let test = "every_other_fault_keeps_its_meaning";
            let status = Command::new(std::env::current_exe().unwrap())
                .args([test, "--nocapture"])
                .env(WHICH, which)
                .output()
                .unwrap()
                .status;
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "{which}: {status:?}");
        }
    }
}
