//! What of a machine decides whether two results are comparable, beside what every header says.

use crate::host::{self, facts};
use serde::{Deserialize, Serialize};

/// Facts of a machine. A text is empty where the fact is not known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFacts {
    /// CPUs online.
    pub cpus_online: u32,
    /// The CPUs this process may use, as the kernel prints lists.
    pub cpus_allowed: String,
    /// The CPU's name.
    pub cpu_model: String,
    /// The clock source of the kernel's timekeeping, such as `tsc` or `kvm-clock`.
    pub clock_source: String,
    /// The hypervisor: `none`, `kvm`, `tcg` (emulation), or the signature it shows.
    pub hypervisor: String,
    /// Whether instructions are emulated, so that times say nothing of real hardware.
    pub emulated: bool,
    /// Memory.
    pub memory_kib: u64,
    /// `vm.max_map_count`.
    pub max_map_count: u64,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`, the choice made.
    pub transparent_hugepage: String,
}

impl MachineFacts {
    /// That of this one. `cpus_allowed` is what the process may use.
    pub fn here(cpus_allowed: &[usize]) -> MachineFacts {
        let facts::Platform { cpu_model, hypervisor, emulated } = facts::Platform::here();
        MachineFacts {
            cpus_online: facts::cpus_online(),
            cpus_allowed: host::cpu_list(cpus_allowed),
            emulated,
            cpu_model,
            clock_source: facts::clock_source(),
            hypervisor,
            memory_kib: facts::memory_kib().unwrap_or_default(),
            max_map_count: facts::max_map_count().unwrap_or_default(),
            transparent_hugepage: facts::transparent_hugepage(),
        }
    }

    /// `none`, or the hypervisor with a word on emulation.
    pub fn platform(&self) -> String {
        match (self.emulated, self.hypervisor.as_str()) {
            (true, name) => format!("emulated ({name})"),
            (false, "none") => "no hypervisor".to_owned(),
            (false, name) => format!("virtual machine ({name})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_what_every_linux_has() {
        let here = MachineFacts::here(&[0]);
        assert!(here.cpus_online > 0 && here.memory_kib > 0);
        assert_eq!(here.cpus_allowed, "0");
    }
}
