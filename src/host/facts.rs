//! Facts of the machine that a figure or a limit depends on, read from /proc, /sys and the CPU.

use super::cpus::parse_cpu_list;
use rustix::fs::{Mode, OFlags, open};
use std::fs;

/// The number that a file holds; `None` where it can't be read, or holds a word. Does not allocate.
pub(super) fn number(path: &str) -> Option<u64> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // 64 bits in decimal, and a newline.
    let mut text = [0; 24];
    let read = rustix::io::read(&file, &mut text).ok()?;
    std::str::from_utf8(&text[..read]).ok()?.trim().parse().ok()
}

/// `vm.max_map_count`; `None` where /proc/sys is not mounted.
pub fn max_map_count() -> Option<u64> {
    number("/proc/sys/vm/max_map_count")
}

/// The text of /proc/meminfo; empty where it can't be read.
pub(super) fn meminfo() -> String {
    fs::read_to_string("/proc/meminfo").unwrap_or_default()
}

/// A field of /proc/meminfo, in KiB.
pub(super) fn kib_in(meminfo: &str, field: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// The machine's memory, in KiB.
pub fn memory_kib() -> Option<u64> {
    kib_in(&meminfo(), "MemTotal")
}

/// The text of a file of one line; empty where there is no such file.
fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The word in brackets of `always [madvise] never`.
fn chosen(words: &str) -> String {
    let inside = words.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(words, |(word, _)| word).to_owned()
}

/// How many CPUs are online.
pub fn cpus_online() -> u32 {
    parse_cpu_list(&line("/sys/devices/system/cpu/online")).map_or(0, |cpus| cpus.len() as u32)
}

/// The clock source of the kernel's timekeeping, such as `tsc` or `kvm-clock`.
pub fn clock_source() -> String {
    line("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

/// The choice made in `/sys/kernel/mm/transparent_hugepage/enabled`.
pub fn transparent_hugepage() -> String {
    chosen(&line("/sys/kernel/mm/transparent_hugepage/enabled"))
}

/// What the instructions of this process run on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Platform {
    /// The CPU's name.
    pub cpu_model: String,
    /// The hypervisor: `none`, `kvm`, `tcg` (emulation), or the signature it shows.
    pub hypervisor: String,
    /// Whether instructions are emulated, so that times say nothing of real hardware.
    pub emulated: bool,
}

impl Platform {
    /// That of this machine.
    pub fn here() -> Platform {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let (cpu_model, hypervisor) = (cpu_field(&cpu_info), hypervisor(&cpu_info));
        let emulated = is_emulated(&hypervisor, &cpu_model);
        Platform { cpu_model, hypervisor, emulated }
    }
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

    #[test]
    fn a_field_of_meminfo_is_found_by_its_whole_name() {
        let meminfo = "MemTotal:  100 kB\nMemFree:   9 kB\n";
        assert_eq!(kib_in(meminfo, "MemFree"), Some(9));
        assert_eq!(kib_in(meminfo, "Mem"), None);
    }
}
