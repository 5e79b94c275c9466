//! The machine as a saved result tells it: what decides whether another result is comparable.
//!
//! Plain data with the names that saved results have; the facts themselves come from the host room.

use crate::host::{self, facts};
use serde::{Deserialize, Serialize};

/// Facts of a machine and its kernel. A text is empty where the fact is not known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -v`: build number, preemption model, date.
    pub kernel_version: String,
    /// `uname -m`.
    pub arch: String,
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
    /// Page size.
    pub page_bytes: u64,
    /// Memory.
    pub memory_kib: u64,
    /// `vm.max_map_count`.
    pub max_map_count: u64,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`, the choice made.
    pub transparent_hugepage: String,
}

impl Machine {
    /// That of this one. `cpus_allowed` is what the process may use.
    pub fn this(cpus_allowed: &[usize]) -> Machine {
        let host::Machine { kernel, arch, page_size, .. } = host::Machine::here();
        let facts::Platform { cpu_model, hypervisor, emulated } = facts::Platform::here();
        let version = rustix::system::uname().version().to_string_lossy().into_owned();
        Machine {
            kernel_release: kernel,
            kernel_version: version,
            arch,
            cpus_online: facts::cpus_online(),
            cpus_allowed: host::cpu_list(cpus_allowed),
            emulated,
            cpu_model,
            clock_source: facts::clock_source(),
            hypervisor,
            page_bytes: page_size as u64,
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
        let machine = Machine::this(&[0]);
        assert!(!machine.kernel_release.is_empty() && !machine.arch.is_empty());
        assert!(machine.page_bytes >= 4096 && machine.memory_kib > 0);
        assert_eq!(machine.cpus_allowed, "0");
    }
}
