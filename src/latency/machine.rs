//! The machine a result was measured on: what decides whether another is comparable.

use serde::{Deserialize, Serialize};
use std::fs;

/// Facts of a machine and its kernel. Texts are empty where the fact is not to be had.
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
    /// Gathers the facts of this one. `cpus_allowed` is what the process may use.
    pub fn this(cpus_allowed: &[usize]) -> Machine {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu_model = cpu_field(&cpu_info);
        let hypervisor = hypervisor(&cpu_info);
        Machine {
            kernel_release: text(uname.release()),
            kernel_version: text(uname.version()),
            arch: text(uname.machine()),
            cpus_online: online(),
            cpus_allowed: crate::host::cpu_list(cpus_allowed),
            emulated: is_emulated(&hypervisor, &cpu_model),
            cpu_model,
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            hypervisor,
            page_bytes: rustix::param::page_size() as u64,
            memory_kib: meminfo_kib("MemTotal").unwrap_or_default(),
            max_map_count: max_map_count().unwrap_or_default(),
            transparent_hugepage: chosen(&line("/sys/kernel/mm/transparent_hugepage/enabled")),
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

/// `vm.max_map_count`; `None` where /proc/sys is not mounted.
pub fn max_map_count() -> Option<u64> {
    line("/proc/sys/vm/max_map_count").parse().ok()
}

/// A field of /proc/meminfo, in KiB.
pub fn meminfo_kib(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The word in brackets of `always [madvise] never`.
fn chosen(words: &str) -> String {
    let inside = words.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(words, |(word, _)| word).to_owned()
}

fn online() -> u32 {
    crate::host::parse_cpu_list(&line("/sys/devices/system/cpu/online"))
        .map_or(0, |cpus| cpus.len() as u32)
}

/// `model name` on x86; other architectures use other words, or none.
fn cpu_field(cpu_info: &str) -> String {
    let value = |line: &str| {
        let (field, value) = line.split_once(':')?;
        ["model name", "uarch", "cpu", "Processor"]
            .contains(&field.trim())
            .then(|| value.trim().to_owned())
    };
    cpu_info.lines().find_map(value).unwrap_or_default()
}

/// QEMU's emulator shows itself by its signature, or by the name of its default CPU.
fn is_emulated(hypervisor: &str, cpu_model: &str) -> bool {
    hypervisor == "tcg" || cpu_model.contains("TCG")
}

#[cfg(target_arch = "x86_64")]
fn hypervisor(cpu_info: &str) -> String {
    let present = cpu_info
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor"));
    if !present {
        return "none".to_owned();
    }
    // SAFETY: every x86-64 CPU has the instruction. Newer compilers know that and call the
    // function safe, older ones do not.
    #[allow(unused_unsafe)]
    let leaf = unsafe { std::arch::x86_64::__cpuid(0x4000_0000) };
    let signature: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    named(&String::from_utf8_lossy(&signature))
}

/// Elsewhere the device tree tells, where there is one.
#[cfg(not(target_arch = "x86_64"))]
fn hypervisor(_cpu_info: &str) -> String {
    match line("/proc/device-tree/hypervisor/compatible").trim_end_matches('\0') {
        "" => "none".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn named(signature: &str) -> String {
    match signature {
        "KVMKVMKVM" => "kvm",
        "TCGTCGTCGTCG" => "tcg",
        "XenVMMXenVMM" => "xen",
        "VMwareVMware" => "vmware",
        "Microsoft Hv" => "hyperv",
        "" => "unknown",
        other => other,
    }
    .to_owned()
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

    #[test]
    fn the_choice_stands_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen(""), "");
    }

    #[test]
    fn emulation_is_told_from_virtualisation() {
        assert!(is_emulated("tcg", ""));
        assert!(is_emulated("unknown", "QEMU TCG CPU version 2.5+"));
        assert!(!is_emulated("kvm", "AMD EPYC"));
    }
}
