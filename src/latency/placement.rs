//! Which thread runs on which CPU, and what is lost where there are too few.

use super::failure::Failure;
use crate::count::counted;
use crate::host::cpu_list;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The CPUs of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Where the mapper runs, alone if possible.
    pub mapper_cpu: usize,
    /// Where scanners and busy threads run, the scanners dealt out in turn. Never empty.
    pub scanner_cpus: Vec<usize>,
    /// What this placement cannot show.
    pub losses: Vec<Loss>,
}

/// Why a placement is less than wished for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Scanners and busy threads have a CPU in common with the mapper.
    MapperShares {
        /// The CPU.
        cpu: usize,
    },
    /// Several scanners have one CPU.
    ScannersShare {
        /// How many scanners.
        scanners: usize,
        /// How many CPUs they have.
        cpus: usize,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::MapperShares { cpu } => write!(
                f,
                "mapper and scanners share CPU {cpu}: the figures hold waiting for the CPU as well as for locks"
            ),
            Loss::ScannersShare { scanners, cpus } => write!(
                f,
                "{scanners} scanners share {}: they read by turns, not at once",
                counted(*cpus, "CPU")
            ),
        }
    }
}

impl Placement {
    /// The CPU of scanner number `index`.
    pub fn of_scanner(&self, index: usize) -> usize {
        self.scanner_cpus[index % self.scanner_cpus.len()]
    }
}

/// Chooses the CPUs. `allowed` are those that this process may use, ascending. The mapper gets the
/// first and the scanners the others, unless `mapper` or `scanner_cpus` says otherwise.
///
/// # Errors
/// A CPU that is not allowed; `scanner_cpus` that leave none for the mapper where another choice
/// would have left one.
pub fn place(
    allowed: &[usize],
    mapper: Option<usize>,
    scanner_cpus: Option<&[usize]>,
    scanners: usize,
) -> Result<Placement, Failure> {
    let given = scanner_cpus.unwrap_or_default();
    if let Some(cpu) = mapper {
        check("--mapper-cpu", cpu, allowed)?;
    }
    for &cpu in given {
        check("--scanner-cpus", cpu, allowed)?;
    }
    let free = allowed.iter().copied().find(|cpu| !given.contains(cpu));
    let mapper_cpu = match (mapper, free) {
        (Some(cpu), _) | (None, Some(cpu)) => cpu,
        (None, None) if allowed.len() == 1 => allowed[0],
        (None, None) => {
            return Err(Failure::usage(
                "--scanner-cpus",
                format!("names every CPU this process may use ({})", cpu_list(allowed)),
                "leave one for the mapper, or choose one to share with --mapper-cpu",
            ));
        }
    };
    let mut cpus = given.to_vec();
    if cpus.is_empty() {
        cpus.extend(allowed.iter().copied().filter(|&cpu| cpu != mapper_cpu));
    }
    if cpus.is_empty() {
        cpus.push(mapper_cpu);
    }
    let losses = losses(mapper_cpu, &cpus, scanners);
    Ok(Placement { mapper_cpu, scanner_cpus: cpus, losses })
}

fn check(flag: &str, cpu: usize, allowed: &[usize]) -> Result<(), Failure> {
    if allowed.contains(&cpu) {
        return Ok(());
    }
    Err(Failure::usage(
        flag,
        format!("CPU {cpu} is not one this process may use ({})", cpu_list(allowed)),
        "choose one of those, or widen the affinity mask (taskset, cpusets)",
    ))
}

fn losses(mapper_cpu: usize, cpus: &[usize], scanners: usize) -> Vec<Loss> {
    let mut losses = Vec::new();
    if scanners > 0 && cpus.contains(&mapper_cpu) {
        losses.push(Loss::MapperShares { cpu: mapper_cpu });
    }
    if scanners > cpus.len() {
        losses.push(Loss::ScannersShare { scanners, cpus: cpus.len() });
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(mapper_cpu: usize, scanner_cpus: &[usize], losses: &[Loss]) -> Placement {
        Placement { mapper_cpu, scanner_cpus: scanner_cpus.to_vec(), losses: losses.to_vec() }
    }

    #[test]
    fn one_cpu_is_shared_and_said() {
        let placed = place(&[4], None, None, 2).unwrap();
        let losses = [Loss::MapperShares { cpu: 4 }, Loss::ScannersShare { scanners: 2, cpus: 1 }];
        assert_eq!(placed, cpus(4, &[4], &losses));
        assert_eq!(place(&[4], None, None, 0).unwrap(), cpus(4, &[4], &[]));
        // Naming the only CPU for the scanners is no mistake.
        assert_eq!(place(&[4], None, Some(&[4]), 2).unwrap().losses, losses);
    }

    #[test]
    fn two_cpus_give_one_each() {
        assert_eq!(place(&[0, 1], None, None, 1).unwrap(), cpus(0, &[1], &[]));
        let crowded = Loss::ScannersShare { scanners: 8, cpus: 1 };
        assert_eq!(place(&[0, 1], Some(1), None, 8).unwrap(), cpus(1, &[0], &[crowded]));
        assert_eq!(place(&[0, 1], None, Some(&[0]), 1).unwrap(), cpus(1, &[0], &[]));
        let shared = Loss::MapperShares { cpu: 1 };
        assert_eq!(place(&[0, 1], Some(1), Some(&[1]), 1).unwrap(), cpus(1, &[1], &[shared]));
    }

    #[test]
    fn eight_cpus_are_dealt_out_in_turn() {
        let allowed: Vec<usize> = (0..8).collect();
        let placed = place(&allowed, None, None, 7).unwrap();
        assert_eq!(placed, cpus(0, &[1, 2, 3, 4, 5, 6, 7], &[]));
        let dealt: Vec<usize> = (0..9).map(|i| placed.of_scanner(i)).collect();
        assert_eq!(dealt, [1, 2, 3, 4, 5, 6, 7, 1, 2]);
        assert_eq!(place(&allowed, Some(3), Some(&[5, 6]), 2).unwrap(), cpus(3, &[5, 6], &[]));
    }

    #[test]
    fn what_cannot_be_is_refused_by_flag() {
        let refused = |mapper, scanners: Option<&[usize]>| {
            place(&[0, 1], mapper, scanners, 1).unwrap_err().to_string()
        };
        assert!(refused(Some(7), None).starts_with("--mapper-cpu: CPU 7 is not one"));
        assert!(refused(None, Some(&[1, 2])).starts_with("--scanner-cpus: CPU 2"));
        assert!(refused(None, Some(&[0, 1])).contains("leave one for the mapper"));
    }
}
