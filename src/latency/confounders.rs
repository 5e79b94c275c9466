//! Confounders: differences that make a comparison unfair.

use super::facts::MachineFacts;
use super::outcome::{Outcome, Setup};
use crate::header::Header;
use crate::host::cpu_list;

/// The differences between `first` and `other`, each a pair of a file's name and its result.
/// Another kernel is none: that is what one compares.
pub fn differences(first: (&str, &Outcome), other: (&str, &Outcome)) -> Vec<String> {
    let (one, two) = (first.1, other.1);
    let rows = [
        kernel(&one.header, &two.header),
        machine(&one.machine, &two.machine),
        setup(&one.setup, &two.setup),
        measuring(one, two),
    ];
    rows.into_iter()
        .flatten()
        .map(|(what, a, b)| format!("{what}: {a} in {}, {b} in {}", first.0, other.0))
        .collect()
}

type Difference = (&'static str, String, String);

fn unlike<T: PartialEq>(
    what: &'static str,
    a: &T,
    b: &T,
    show: fn(&T) -> String,
) -> Option<Difference> {
    (a != b).then(|| (what, show(a), show(b)))
}

fn kernel(a: &Header, b: &Header) -> Vec<Difference> {
    let text = |text: &String| format!("`{text}`");
    [
        unlike("architecture", &a.arch, &b.arch, text),
        unlike("page size", &a.page_size, &b.page_size, u64::to_string),
        unlike("preemption", &preemption(a), &preemption(b), text),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn machine(a: &MachineFacts, b: &MachineFacts) -> Vec<Difference> {
    let text = |text: &String| format!("`{text}`");
    [
        unlike("CPU", &a.cpu_model, &b.cpu_model, text),
        unlike("number of CPUs", &a.cpus_online, &b.cpus_online, u32::to_string),
        unlike("CPUs allowed", &a.cpus_allowed, &b.cpus_allowed, text),
        unlike("clock source", &a.clock_source, &b.clock_source, text),
        unlike("emulation", &a.platform(), &b.platform(), text),
        unlike("transparent huge pages", &a.transparent_hugepage, &b.transparent_hugepage, text),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The word of `uname -v` on preemption: PREEMPT, PREEMPT_DYNAMIC, PREEMPT_RT, or none.
fn preemption(header: &Header) -> String {
    let mut words = header.kernel_version.split_whitespace();
    let word = words.find(|word| word.starts_with("PREEMPT"));
    word.unwrap_or("no preemption").to_owned()
}

fn setup(a: &Setup, b: &Setup) -> Vec<Difference> {
    let number = |number: &u64| number.to_string();
    let decimal = |number: &f64| number.to_string();
    [
        unlike("region in bytes", &a.region_bytes, &b.region_bytes, number),
        unlike("length of a sample in ms", &a.duration_ms, &b.duration_ms, decimal),
        unlike("scanners", &a.scanners, &b.scanners, u32::to_string),
        unlike("busy time in ms", &a.busy_ms, &b.busy_ms, number),
        unlike("pause in us", &a.pause_us, &b.pause_us, number),
        unlike("mapper's CPU", &a.placement.mapper_cpu, &b.placement.mapper_cpu, usize::to_string),
        unlike("scanners' CPUs", &a.placement.scanner_cpus, &b.placement.scanner_cpus, |cpus| {
            cpu_list(cpus)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How much dearer one clock may be than the other before it is told.
const DEARER: f64 = 2.0;

fn measuring(a: &Outcome, b: &Outcome) -> Vec<Difference> {
    let (one, two) = (a.overhead.clock_ns, b.overhead.clock_ns);
    let ns = |ns: f64| format!("{ns:.0} ns");
    let unlike = one.max(two) > DEARER * one.min(two);
    unlike.then(|| ("cost of reading the clock", ns(one), ns(two))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn told(change: fn(&mut Outcome)) -> Vec<String> {
        let one = synthetic::outcome(&[1000], &[1000]);
        let mut two = one.clone();
        change(&mut two);
        differences(("a.json", &one), ("b.json", &two))
    }

    #[test]
    fn another_kernel_is_fair() {
        assert_eq!(told(|_| ()), [""; 0]);
        assert_eq!(told(|o| o.header.kernel = "6.16.0".into()), [""; 0]);
        assert_eq!(told(|o| o.header.seed = None), [""; 0]);
    }

    #[test]
    fn each_unfairness_is_named_with_both_sides() {
        assert_eq!(
            told(|o| o.machine.cpus_online = 2),
            ["number of CPUs: 8 in a.json, 2 in b.json"]
        );
        let seen = |change: fn(&mut Outcome), word: &str| {
            let all = told(change);
            assert_eq!(all.len(), 1, "{all:?}");
            assert!(all[0].starts_with(word), "{all:?}");
        };
        seen(|o| o.machine.clock_source = "hpet".into(), "clock source");
        seen(|o| o.machine.hypervisor = "kvm".into(), "emulation: `no hypervisor` in a.json");
        seen(|o| o.machine.emulated = true, "emulation");
        seen(|o| o.header.arch = "aarch64".into(), "architecture");
        seen(|o| o.header.kernel_version = "#1 SMP PREEMPT_RT".into(), "preemption");
        seen(|o| o.setup.scanners = 1, "scanners: 2 in a.json, 1");
        seen(|o| o.setup.region_bytes = 1, "region");
        seen(|o| o.setup.placement.scanner_cpus = vec![1], "scanners' CPUs: 1-7 in");
        seen(|o| o.overhead.clock_ns = 900.0, "cost of reading the clock: 25 ns");
    }
}
