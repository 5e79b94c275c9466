//! Which CPUs this process may use, how a thread is kept on some of them, and how lists of them
//! are written.

use super::priority;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that the calling thread may use, ascending: taskset and cpusets count.
///
/// # Errors
/// What sched_getaffinity(2) gave.
pub fn allowed_cpus() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// The CPUs that thread `tid` of this process may use, as [`cpu_list`] writes them; empty where that is
/// not known.
pub fn cpus_of_thread(tid: u32) -> String {
    let pid = i32::try_from(tid).ok().and_then(rustix::process::Pid::from_raw);
    let set = pid.and_then(|pid| sched_getaffinity(Some(pid)).ok());
    let cpus = set.map(|set| (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect());
    cpu_list(&cpus.unwrap_or_else(Vec::new))
}

/// Keeps the calling thread, and those it starts, on `cpus`. Does not allocate.
///
/// # Errors
/// What sched_setaffinity(2) gave.
pub fn pin(cpus: impl IntoIterator<Item = usize>) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    cpus.into_iter().for_each(|cpu| set.set(cpu));
    sched_setaffinity(None, &set)
}

/// Keeps thread `tid` of this process on `cpu`. Does not allocate.
///
/// # Errors
/// What sched_setaffinity(2) gave.
pub fn pin_thread(tid: u32, cpu: usize) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    set.set(cpu);
    let pid = i32::try_from(tid).ok().and_then(rustix::process::Pid::from_raw);
    sched_setaffinity(Some(pid.ok_or(Errno::SRCH)?), &set)
}

/// The CPUs of a storm.
#[derive(Clone, Debug)]
pub struct Cpus {
    list: Vec<usize>,
    /// Whether a thread may leave idle priority again.
    returns_from_idle: bool,
}

impl Cpus {
    /// The CPUs allowed now.
    pub fn allowed() -> Cpus {
        let list = allowed_cpus().unwrap_or_else(|_| vec![0]);
        Cpus { list, returns_from_idle: priority::returns_from_idle() }
    }

    /// The first so many, whether or not this machine has them.
    #[cfg(test)]
    pub(crate) fn first(count: usize) -> Cpus {
        Cpus { list: (0..count).collect(), returns_from_idle: true }
    }

    /// How many, at least one.
    pub fn count(&self) -> usize {
        self.list.len().max(1)
    }

    /// Whether a thread that has taken idle priority may have the usual one again.
    pub fn returns_from_idle(&self) -> bool {
        self.returns_from_idle
    }

    /// The place of `cpu` among them.
    pub fn place_of(&self, cpu: usize) -> Option<usize> {
        self.list.binary_search(&cpu).ok()
    }

    /// The `n`th of them, counted round.
    pub fn nth(&self, n: usize) -> Option<usize> {
        self.list.get(n % self.count()).copied()
    }

    /// All of them, ascending.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> {
        self.list.iter().copied()
    }
}

/// Ascending CPU numbers as the kernel prints them: `0-3,8`.
pub fn cpu_list(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let Some(&first) = rest.first() {
        let run = rest.iter().zip(first..).take_while(|(have, want)| **have == *want).count();
        if !text.is_empty() {
            text.push(',');
        }
        text += &first.to_string();
        if run > 1 {
            text += &format!("-{}", rest[run - 1]);
        }
        rest = &rest[run..];
    }
    text
}

/// Reads `0-3,8`; the numbers come out ascending and once.
///
/// # Errors
/// A message for the user.
pub fn parse_cpu_list(text: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("`{text}` is not a list of CPUs such as 1-3,5");
    let number = |word: &str| -> Result<usize, String> {
        let cpu = word.trim().parse().map_err(|_| wrong())?;
        let most = CpuSet::MAX_CPU;
        if cpu >= most {
            return Err(format!("CPU {cpu} is above the highest possible, {}", most - 1));
        }
        Ok(cpu)
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(wrong());
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_print_and_parse() {
        for text in ["0", "0-3", "0-3,8", "1,3,5-6"] {
            assert_eq!(cpu_list(&parse_cpu_list(text).unwrap()), text);
        }
        assert_eq!(parse_cpu_list("3,1-3").unwrap(), [1, 2, 3]);
        for text in ["", "a", "3-1", "1,", "-", "99999999"] {
            assert!(parse_cpu_list(text).is_err(), "{text:?}");
        }
    }
}
