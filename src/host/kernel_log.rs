//! The kernel's log while a storm goes on, and what in it says that the kernel itself found something
//! wrong.
//!
//! Only what the kernel wrote counts: a program that writes to /dev/kmsg has another facility
//! (kernel/printk/printk.c, `devkmsg_emit` and `devkmsg_write`).

use super::facts::number;
use crate::vocabulary::words;
use arrayvec::ArrayString;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// A message with which the kernel says that something is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SplatKind {
    /// WARN: include/asm-generic/bug.h.
    Warning,
    /// BUG, and other lines that begin with it.
    Bug,
    /// A fault in the kernel.
    Oops,
    /// kernel/rcu/tree_stall.h.
    RcuStall,
    /// kernel/watchdog.c: no task was scheduled for long.
    SoftLockup,
    /// kernel/watchdog.c: no interrupt for long.
    HardLockup,
    /// kernel/hung_task.c.
    HungTask,
    /// kernel/locking/lockdep.c.
    Lockdep,
    /// mm/kasan.
    Kasan,
    /// kernel/kcsan.
    Kcsan,
    /// lib/refcount.c.
    Refcount,
    /// Only the kernel's taint says so: the log can't be read.
    Taint,
}

words!(SplatKind, "kernel message");

/// A function of the kernel, by its name.
pub type Function = ArrayString<48>;

/// What the kernel said of one thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Splat {
    /// What it is.
    pub kind: SplatKind,
    /// The function that it is about, where it names one that would be the same the next time.
    pub function: Option<Function>,
    /// Its lines.
    pub lines: Vec<String>,
}

/// Lines of a splat that are kept.
const MOST_LINES: usize = 64;

/// By what lines are known, the more special ones first.
const KNOWN: [(&str, SplatKind); 34] = [
    ("refcount_t: ", SplatKind::Refcount),
    ("BUG: KASAN: ", SplatKind::Kasan),
    ("BUG: KCSAN: ", SplatKind::Kcsan),
    ("BUG: soft lockup", SplatKind::SoftLockup),
    ("hard LOCKUP", SplatKind::HardLockup),
    ("self-detected stall on CPU", SplatKind::RcuStall),
    ("detected stalls on CPUs", SplatKind::RcuStall),
    ("detected expedited stalls", SplatKind::RcuStall),
    (" blocked for more than ", SplatKind::HungTask),
    ("WARNING: possible circular locking", SplatKind::Lockdep),
    ("WARNING: possible recursive locking", SplatKind::Lockdep),
    ("WARNING: possible irq lock inversion", SplatKind::Lockdep),
    ("WARNING: inconsistent lock state", SplatKind::Lockdep),
    ("WARNING: bad unlock balance", SplatKind::Lockdep),
    ("WARNING: held lock freed", SplatKind::Lockdep),
    ("WARNING: lock held when returning to user space", SplatKind::Lockdep),
    ("WARNING: Nested lock was not taken", SplatKind::Lockdep),
    ("WARNING: suspicious RCU usage", SplatKind::Lockdep),
    ("WARNING: SOFTIRQ-safe", SplatKind::Lockdep),
    ("WARNING: HARDIRQ-safe", SplatKind::Lockdep),
    ("WARNING: SOFTIRQ-READ-safe", SplatKind::Lockdep),
    ("INFO: trying to register non-static key", SplatKind::Lockdep),
    ("BUG: Invalid wait context", SplatKind::Lockdep),
    ("[ BUG: Invalid wait context ]", SplatKind::Lockdep),
    ("BUG: MAX_LOCK", SplatKind::Lockdep),
    ("kernel BUG at ", SplatKind::Bug),
    ("general protection fault", SplatKind::Oops),
    ("BUG: unable to handle", SplatKind::Oops),
    ("BUG: kernel NULL pointer dereference", SplatKind::Oops),
    ("Unable to handle kernel", SplatKind::Oops),
    ("Oops: ", SplatKind::Oops),
    ("Internal error: ", SplatKind::Oops),
    ("BUG: ", SplatKind::Bug),
    ("WARNING: ", SplatKind::Warning),
];

/// Those that say where a CPU happened to be, which is another place the next time.
const ANYWHERE: [SplatKind; 3] =
    [SplatKind::RcuStall, SplatKind::SoftLockup, SplatKind::HardLockup];

/// Functions that tell of a splat and are not what it is about, by how they begin.
const TELLERS: [&str; 32] = [
    "dump_stack",
    "show_stack",
    "print_",
    "__warn",
    "warn_slowpath",
    "report_bug",
    "handle_bug",
    "exc_",
    "asm_",
    "kasan_",
    "__kasan",
    "kcsan_",
    "__tsan",
    "refcount_warn_saturate",
    "check_noncircular",
    "__lock_acquire",
    "lock_acquire",
    "lockdep_",
    "validate_chain",
    "do_error_trap",
    "do_trap",
    "page_fault_oops",
    "do_user_addr_fault",
    "__schedule",
    "schedule",
    "io_schedule",
    "rwsem_down_",
    "__die",
    "die",
    "ret_from_fork",
    "entry_SYSCALL",
    "do_syscall_64",
];

/// What a line is the first one of; nothing for all other lines.
fn begins(line: &str) -> Option<SplatKind> {
    let (_, kind) = KNOWN.iter().find(|(words, _)| line.contains(words))?;
    Some(*kind)
}

/// Whether a splat begins with this line. Does not allocate.
pub fn starts_splat(line: &str) -> bool {
    begins(line).is_some()
}

/// The first function that a line names, as `function+0x1/0x2`.
fn function_in(line: &str) -> Option<Function> {
    let of_word = |word: &str| {
        let (name, offset) = word.split_once("+0x")?;
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        let known = offset.contains('/') && !name.is_empty();
        let teller = TELLERS.iter().any(|teller| name.starts_with(teller));
        // A name that is longer than kept has its beginning.
        let kept = name.char_indices().nth(48).map_or(name, |(at, _)| &name[..at]);
        (known && !teller).then(|| Function::from(kept).ok()).flatten()
    };
    line.split_whitespace().find_map(of_word)
}

/// The splats in lines of the kernel's log, in order.
pub fn splats<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Splat> {
    let mut found: Vec<Splat> = Vec::new();
    let mut open = false;
    for line in lines {
        match (begins(line), found.last_mut().filter(|_| open)) {
            // One thing is told with several such lines: a refcount by a WARN, a BUG by an oops, a
            // lockup by the lines of its stack.
            (Some(kind), Some(last)) if belongs(last, kind) => last.lines.push(line.to_owned()),
            (Some(kind), _) => {
                found.push(Splat { kind, function: None, lines: vec![line.to_owned()] });
                open = true;
            }
            (None, Some(last)) if last.lines.len() < MOST_LINES => last.lines.push(line.to_owned()),
            (None, _) => {}
        }
        open &= !line.contains("---[ end trace");
    }
    for splat in found.iter_mut().filter(|splat| !ANYWHERE.contains(&splat.kind)) {
        splat.function = splat.lines.iter().find_map(|line| function_in(line));
    }
    found
}

/// Whether a line that could begin a splat of this kind goes on with the last one.
fn belongs(last: &Splat, kind: SplatKind) -> bool {
    match (last.kind, kind) {
        (SplatKind::Refcount, SplatKind::Warning) => last.lines.len() < 4,
        (SplatKind::Bug | SplatKind::Oops | SplatKind::Kasan, SplatKind::Oops) => {
            last.lines.len() < 8
        }
        // The same stall is told for every CPU, and again.
        (SplatKind::RcuStall, SplatKind::RcuStall) => true,
        _ => false,
    }
}

/// The text of a record of /dev/kmsg, if the kernel wrote it: `PRIORITY,NUMBER,TIME,FLAGS;TEXT`, and then
/// lines that begin with a blank (Documentation/ABI/testing/dev-kmsg).
pub fn text_of(record: &str) -> Option<&str> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let text = text.lines().next().unwrap_or_default();
    // Facility 0 is the kernel's.
    (priority >> 3 == 0).then_some(text)
}

/// /dev/kmsg, from now on.
#[derive(Debug)]
pub struct KernelLog {
    kmsg: OwnedFd,
}

impl KernelLog {
    /// The log from now on.
    ///
    /// # Errors
    /// What open(2) or lseek(2) gave: without CAP_SYSLOG it may not be read where
    /// kernel.dmesg_restrict is 1, and a sandbox may have no /dev/kmsg.
    pub fn open() -> Result<KernelLog, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let kmsg = open("/dev/kmsg", flags, Mode::empty())?;
        seek(&kmsg, SeekFrom::End(0))?;
        Ok(KernelLog { kmsg })
    }

    /// Calls `line` with each line that the kernel has written since. Does not allocate.
    pub fn read(&self, mut line: impl FnMut(&str)) {
        // A record is shorter (kernel/printk/printk.c, PRINTKRB_RECORD_MAX).
        let mut record = [0; 4096];
        loop {
            match rustix::io::read(&self.kmsg, &mut record[..]) {
                Ok(0) => return,
                Ok(got) => {
                    if let Ok(text) = str::from_utf8(&record[..got]) {
                        text_of(text).into_iter().for_each(&mut line);
                    }
                }
                // Records were overwritten before they were read; the next read goes on behind them.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The bits of the kernel's taint that say that it found something wrong: a bad page, an oops, a WARN, a soft
/// lockup (Documentation/admin-guide/tainted-kernels.rst).
const TAINTS: u64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;

/// The kernel's taint; nothing where it can't be read. Does not allocate.
pub fn taint() -> Option<u64> {
    number("/proc/sys/kernel/tainted")
}

/// Whether a taint that was `before` says by now that something is wrong.
pub fn grew_worse(before: Option<u64>, after: Option<u64>) -> bool {
    matches!((before, after), (Some(before), Some(after)) if after & !before & TAINTS != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(&'static str, Option<String>, usize)> {
        let told = |splat: Splat| {
            (splat.kind.word(), splat.function.map(|f| f.to_string()), splat.lines.len())
        };
        splats(text.lines()).into_iter().map(told).collect()
    }

    #[test]
    fn what_the_kernel_says_is_known_by_its_kind_and_its_place() {
        let some = |name: &str| Some(name.to_owned());
        for (text, kind, function) in [
            (
                "------------[ cut here ]------------\nWARNING: CPU: 1 PID: 44 at mm/vma.c:830 vma_merge+0x12/0x340\n\
                 RIP: 0010:vma_merge+0x12/0x340\nCall Trace:\n ---[ end trace 0 ]---\nlater",
                "warning",
                some("vma_merge"),
            ),
            (
                "WARNING: mm/mmap_lock.c:81 at __vma_start_write+0x1/0x2, CPU#1: storm-1/44",
                "warning",
                some("__vma_start_write"),
            ),
            (
                "BUG: kernel NULL pointer dereference, address: 08\n#PF: supervisor read access\n\
                 Oops: Oops: 0000 [#1] PREEMPT SMP\nRIP: 0010:mtree_range_walk+0x22/0x110",
                "oops",
                some("mtree_range_walk"),
            ),
            (
                "kernel BUG at mm/mmap.c:12!\nOops: invalid opcode: 0000 [#1]\nRIP: 0010:exit_mmap+0x1/0x2",
                "bug",
                some("exit_mmap"),
            ),
            (
                "rcu: INFO: rcu_sched self-detected stall on CPU\nrcu: (t=1000 jiffies)\n\
                 RIP: 0010:mas_ascend+0xa/0x199\nrcu: INFO: rcu_sched self-detected stall on CPU",
                "rcu-stall",
                None,
            ),
            (
                "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [storm-0:44]\nRIP: 0010:mas_find+0x1/0x2",
                "soft-lockup",
                None,
            ),
            (
                "INFO: task storm-1:45 blocked for more than 122 seconds.\nCall Trace:\n\
                 __schedule+0x1/0x2\n schedule+0x1/0x2\n __vma_start_write+0x1/0x2",
                "hung-task",
                some("__vma_start_write"),
            ),
            (
                "WARNING: possible circular locking dependency detected\nstorm/1 is trying to acquire lock:\n\
                 000 (&mm->mmap_lock){++++}, at: do_munmap+0x1/0x2",
                "lockdep",
                some("do_munmap"),
            ),
            (
                "WARNING: lock held when returning to user space!\n#0: (vm_lock){}, at: lock_next_vma+0x1/0x2",
                "lockdep",
                some("lock_next_vma"),
            ),
            (
                "BUG: KASAN: slab-use-after-free in anon_vma_clone+0x1/0x2\nRead of size 8",
                "kasan",
                some("anon_vma_clone"),
            ),
            (
                "BUG: KCSAN: data-race in mas_find+0x1/0x2 / mas_store+0x1/0x2",
                "kcsan",
                some("mas_find"),
            ),
            (
                "refcount_t: underflow; use-after-free.\nWARNING: CPU: 0 PID: 1 at lib/refcount.c:28 \
                 refcount_warn_saturate+0x1/0x2\n mmput+0x1/0x2",
                "refcount",
                some("mmput"),
            ),
        ] {
            let found = of(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!((found[0].0, &found[0].1), (kind, &function), "{text}");
        }
        // What comes behind the end of one is no part of it, and what is harmless is none.
        assert_eq!(of("WARNING: a\n ---[ end trace ]---\nother\nBUG: b").len(), 2);
        assert_eq!(of("WARNING: a\n ---[ end trace ]---\nother")[0].2, 2);
        assert!(
            of("usb 1-1: new device\nrandom: crng init done\nEXT4-fs (sda): mounted").is_empty()
        );
    }

    #[test]
    fn only_the_kernel_is_heard() {
        assert_eq!(text_of("4,12,100,-;WARNING: x\n SUBSYSTEM=a"), Some("WARNING: x"));
        // LOG_USER, as everything that a program writes.
        assert_eq!(text_of("12,13,100,-;WARNING: x"), None);
        assert_eq!(text_of("nonsense"), None);
    }

    #[test]
    fn a_taint_that_says_something_is_wrong_is_told_from_others() {
        assert!(grew_worse(Some(1), Some(1 | 1 << 9)));
        assert!(!grew_worse(Some(1 << 9), Some(1 << 9 | 1 << 12)));
        assert!(!grew_worse(None, Some(1 << 9)));
    }

    #[test]
    fn what_a_program_writes_into_the_log_is_no_splat() {
        let Ok(log) = KernelLog::open() else { return };
        // Where that is not allowed, or printk.devkmsg is off, there is nothing to be heard either.
        let _ = std::fs::write("/dev/kmsg", "<4>WARNING: mapstorm's own test");
        let mut heard = false;
        log.read(|line| heard |= line.contains("mapstorm's own test"));
        assert!(!heard);
    }
}
