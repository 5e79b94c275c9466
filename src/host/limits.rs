//! The limits that a storm or a measurement can run into, checked before it begins.

mod region;

pub use region::RegionTooLarge;

use super::facts::{kib_in, max_map_count, meminfo, number};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

/// Limits of this process and machine. `None`: unlimited, or not to be found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    /// vm.max_map_count: the most VMAs of one mm.
    pub max_map_count: Option<u64>,
    /// RLIMIT_AS in bytes.
    pub address_space: Option<u64>,
    /// RLIMIT_DATA in bytes.
    pub data: Option<u64>,
    /// With vm.overcommit_memory=2, the bytes that the kernel may still promise.
    pub commit_left: Option<u64>,
    /// MemAvailable of /proc/meminfo in bytes. It bounds what is touched at once, which a storm's
    /// arena is not; so `probe` does not list it.
    #[serde(skip)]
    pub available: Option<u64>,
    /// memory.max of the cgroup in bytes.
    pub memory_of_cgroup: Option<u64>,
    /// RLIMIT_NPROC: the most threads of this user.
    pub threads_of_user: Option<u64>,
    /// kernel.threads-max.
    pub threads_of_machine: Option<u64>,
    /// pids.max of the cgroup.
    pub pids_of_cgroup: Option<u64>,
    /// RLIMIT_NOFILE: the most open files.
    pub open_files: Option<u64>,
}

/// A request that a limit does not allow.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{flags} need{s} {needed} {what}, but {limit} allows {allowed}; {remedy}", s = if flags.contains(" and ") { "" } else { "s" })]
#[expect(missing_docs, reason = "each message says what it is about")]
pub struct TooMuch {
    pub flags: &'static str,
    pub needed: u64,
    pub what: &'static str,
    pub limit: &'static str,
    pub allowed: u64,
    pub remedy: &'static str,
}

fn of_cgroup(file: &str) -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    number(&format!("/sys/fs/cgroup{path}/{file}"))
}

/// What mm/util.c, `__vm_enough_memory`, still lets the kernel promise.
fn commit_left(overcommit: Option<u64>, meminfo: &str) -> Option<u64> {
    let kib = |name| kib_in(meminfo, name);
    let left = || Some(kib("CommitLimit")?.saturating_sub(kib("Committed_AS")?) << 10);
    (overcommit == Some(2)).then(left)?
}

impl Limits {
    /// VMAs of a process besides the arena and its threads: program, libraries, heap, stack.
    const OTHER_VMAS: u64 = 256;
    /// The thread that directs, and the one that watches calls.
    const OTHER_THREADS: u64 = 2;
    /// VMAs of a thread: stack, guard, signal stack and its guard, and two of a malloc arena.
    const VMAS_A_THREAD: u64 = 6;
    /// What the kernel keeps free for an operation that splits (mm/mremap.c, `move_vma`, and
    /// mm/vma.c, `do_vmi_align_munmap`).
    const VMAS_AN_OPERATION: u64 = 4;
    /// Bytes of private writable memory, whatever the size of the storm: the history, mostly.
    const DATA: u64 = 96 << 20;
    /// The same for each thread: a stack, and what it allocates.
    const DATA_A_THREAD: u64 = 1 << 20;
    /// The same for each reader: the read log of its walks, and room for the lines of an example.
    const DATA_A_READER: u64 = 4 << 20;

    /// The limits as they are now.
    pub fn here() -> Limits {
        let meminfo = meminfo();
        Limits {
            max_map_count: max_map_count(),
            address_space: getrlimit(Resource::As).current,
            data: getrlimit(Resource::Data).current,
            commit_left: commit_left(number("/proc/sys/vm/overcommit_memory"), &meminfo),
            available: kib_in(&meminfo, "MemAvailable").map(|kib| kib << 10),
            memory_of_cgroup: of_cgroup("memory.max"),
            threads_of_user: getrlimit(Resource::Nproc).current,
            threads_of_machine: number("/proc/sys/kernel/threads-max"),
            pids_of_cgroup: of_cgroup("pids.max"),
            open_files: getrlimit(Resource::Nofile).current,
        }
    }

    /// Whether a storm of this size is possible.
    ///
    /// # Errors
    /// The first limit that is too low. (The address space is tried and not computed: see
    /// [`Arena::reserve`](crate::kernel::Arena::reserve).)
    /// Each page of a lane stands for `span` pages of memory.
    pub fn allow(
        &self,
        threads: usize,
        readers: usize,
        lanes: usize,
        pages: usize,
        span: usize,
    ) -> Result<(), TooMuch> {
        let (threads, readers) = (threads as u64, readers as u64);
        let vmas = lanes as u64 * pages as u64
            + threads * (Limits::VMAS_A_THREAD + Limits::VMAS_AN_OPERATION)
            + Limits::OTHER_VMAS;
        let short = |limit: Option<u64>, needed: u64| limit.filter(|&limit| limit < needed);
        let too_much = |flags, needed, what, limit, allowed, remedy| {
            Err(TooMuch { flags, needed, what, limit, allowed, remedy })
        };
        if let Some(allowed) = short(self.max_map_count, vmas) {
            return too_much(
                "--lanes, --pages and --threads",
                vmas,
                "vmas",
                "vm.max_map_count",
                allowed,
                "lower one of them, or raise the limit with sysctl vm.max_map_count=N",
            );
        }
        let thread_limits = [
            (self.threads_of_user, "RLIMIT_NPROC", "use fewer, or raise it with ulimit -u"),
            (self.threads_of_machine, "kernel.threads-max", "use fewer, or raise it with sysctl"),
            (self.pids_of_cgroup, "the cgroup's pids.max", "use fewer, or raise it"),
        ];
        for (limit, name, remedy) in thread_limits {
            let needed = threads + Limits::OTHER_THREADS;
            if let Some(allowed) = short(limit, needed) {
                return too_much("--threads", needed, "threads", name, allowed, remedy);
            }
        }
        let files = readers + 16;
        if let Some(allowed) = short(self.open_files, files) {
            let remedy = "use fewer, or raise it with ulimit -n";
            return too_much("--readers", files, "open files", "RLIMIT_NOFILE", allowed, remedy);
        }
        // The arena's pages count when they are writable. A cgroup's limit counts what is resident,
        // and a page that is never touched is not, so that limit may be lower.
        let page = rustix::param::page_size() as u64;
        let data = Limits::DATA
            + threads * Limits::DATA_A_THREAD
            + readers * Limits::DATA_A_READER
            + lanes as u64 * pages as u64 * span as u64 * page;
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let memory = [
            (self.data, data, "RLIMIT_DATA", "raise it with ulimit -d (in KiB)"),
            (
                self.commit_left,
                data,
                "vm.overcommit_memory=2",
                "raise vm.overcommit_ratio, or vm.overcommit_kbytes",
            ),
            (self.memory_of_cgroup, data / 2, "the cgroup's memory.max", "raise it"),
        ];
        for (limit, needed, name, remedy) in memory {
            if let Some(allowed) = short(limit, needed) {
                let flags = "--threads, --faulters, --readers and --lanes";
                return too_much(flags, mib(needed), "MiB of memory", name, allowed >> 20, remedy);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const NONE: Limits = Limits {
        max_map_count: None,
        address_space: None,
        data: None,
        commit_left: None,
        available: None,
        memory_of_cgroup: None,
        threads_of_user: None,
        threads_of_machine: None,
        pids_of_cgroup: None,
        open_files: None,
    };

    #[test]
    fn each_limit_is_named_with_the_flag_and_the_remedy() {
        let allow = |limits: Limits| limits.allow(64, 16, 8, 16, 1);
        assert_eq!(allow(NONE), Ok(()));
        for (limits, flag, limit) in [
            (Limits { max_map_count: Some(1000), ..NONE }, "--lanes", "vm.max_map_count"),
            (Limits { threads_of_user: Some(65), ..NONE }, "--threads", "RLIMIT_NPROC"),
            (Limits { threads_of_machine: Some(3), ..NONE }, "--threads", "kernel.threads-max"),
            (Limits { pids_of_cgroup: Some(10), ..NONE }, "--threads", "pids.max"),
            (Limits { open_files: Some(20), ..NONE }, "--readers", "RLIMIT_NOFILE"),
            (Limits { data: Some(64 << 20), ..NONE }, "--threads", "RLIMIT_DATA"),
            (Limits { commit_left: Some(64 << 20), ..NONE }, "--threads", "overcommit_memory"),
            (Limits { memory_of_cgroup: Some(16 << 20), ..NONE }, "--threads", "memory.max"),
        ] {
            let text = allow(limits).unwrap_err().to_string();
            assert!(text.contains(flag) && text.contains(limit), "{text}");
        }
        let enough = Limits { max_map_count: Some(1024), threads_of_user: Some(66), ..NONE };
        assert_eq!(allow(enough), Ok(()));
    }

    #[test]
    fn what_may_be_promised_counts_only_where_the_kernel_counts_it() {
        let meminfo = "MemFree:  9 kB\nCommitLimit:     1000 kB\nCommitted_AS:     400 kB\n";
        assert_eq!(commit_left(Some(2), meminfo), Some(600 << 10));
        assert_eq!(commit_left(Some(0), meminfo), None);
        assert_eq!(commit_left(None, meminfo), None);
        assert_eq!(commit_left(Some(2), &meminfo.replace("1000", "300")), Some(0));
        assert_eq!(commit_left(Some(2), ""), None);
    }
}
