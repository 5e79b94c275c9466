//! Results made up for tests: every figure is known.

use super::facts::MachineFacts;
use super::mapper::Tally;
use super::outcome::{Column, Ended, KIND, Outcome, SCHEMA_VERSION, Setup};
use super::overhead::Overhead;
use super::placement::Placement;
use super::plan::Role;
use super::sample::Sample;
use super::scan::Scanned;
use crate::header::Header;

/// A sample of one second: of each kind 999 calls that take `latency_ns` and one that takes 1000 ns
/// more, beside two scanners of 10 scans each.
pub fn sample(round: u32, latency_ns: u64) -> Sample {
    let mut tally = Tally::default();
    for series in [&mut tally.mmap, &mut tally.munmap] {
        (0..999).for_each(|_| series.record(latency_ns, false));
        series.record(latency_ns + 1000, false);
    }
    let scanned = Scanned { scans: 10, calls: 100, bytes: 1 << 20, longest_scan_ns: 5_000_000 };
    Sample {
        round,
        place: round * 2,
        complete: true,
        elapsed_ms: 1000.0,
        vmas_at_end: 8000,
        tally,
        scanners: vec![scanned; 2],
    }
}

/// A column with a sample of each latency.
pub fn column(reader: &str, latencies_ns: &[u64]) -> Column {
    let role = match reader {
        "idle" => Role::Control,
        _ => Role::Main,
    };
    Column {
        role,
        reader: reader.to_owned(),
        label: if role == Role::Control { "control" } else { reader }.to_owned(),
        samples: (0..).zip(latencies_ns).map(|(round, &latency)| sample(round, latency)).collect(),
        hangs: Vec::new(),
    }
}

/// A machine like many.
pub fn machine() -> MachineFacts {
    MachineFacts {
        cpus_online: 8,
        cpus_allowed: "0-7".to_owned(),
        cpu_model: "Some CPU".to_owned(),
        clock_source: "tsc".to_owned(),
        hypervisor: "none".to_owned(),
        emulated: false,
        memory_kib: 16 << 20,
        max_map_count: 65_530,
        transparent_hugepage: "madvise".to_owned(),
    }
}

/// A run on that machine.
pub fn header() -> Header {
    Header {
        program: "mapstorm".to_owned(),
        version: "0.1.0".to_owned(),
        commit: "unknown".to_owned(),
        kernel: "6.18.0".to_owned(),
        kernel_version: "#1 SMP PREEMPT_DYNAMIC Mon Jan 5 00:00:00 UTC 2026".to_owned(),
        arch: "x86_64".to_owned(),
        cpus: 8,
        page_size: 4096,
        host: "many".to_owned(),
        boot_id: "unknown".to_owned(),
        started: "2026-01-05T00:00:00Z".to_owned(),
        seed: Some("0x2a".to_owned()),
        shard: None,
        fleet_seed: None,
        generator: None,
        command: "mapstorm latency --duration 1".to_owned(),
        contract: None,
        vm: None,
    }
}

/// A whole result: a control of `control_ns` and maps scanners with `main_ns`.
pub fn outcome(control_ns: &[u64], main_ns: &[u64]) -> Outcome {
    Outcome {
        schema_version: SCHEMA_VERSION,
        kind: KIND.to_owned(),
        header: header(),
        elapsed_ms: 1000.0 * (control_ns.len() + main_ns.len()) as f64,
        ended: Ended::Complete,
        machine: machine(),
        setup: Setup {
            nsamples: main_ns.len() as u32,
            duration_ms: 1000.0,
            busy_ms: 0,
            pause_us: 10,
            region_bytes: 128 << 20,
            scanners: 2,
            scanner_nice: 15,
            hang_ms: 30_000.0,
            placement: Placement {
                mapper_cpu: 0,
                scanner_cpus: (1..8).collect(),
                losses: Vec::new(),
            },
        },
        overhead: Overhead { clock_ns: 25.0, loop_ns: 60.0 },
        warnings: Vec::new(),
        columns: vec![column("idle", control_ns), column("maps", main_ns)],
    }
}
