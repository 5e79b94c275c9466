//! `mapstorm probe`.

use super::Failure;
use crate::cli::ProbeArgs;
use mapstorm::command_line::{given, with_seed};
use mapstorm::console;
use mapstorm::engine::{Calibration, Dropped, OpSet, calibrate, random_steps};
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::{
    Limits, Machine, MapsLocking, observe_locking, observe_smaps_locking, query_works,
};
use mapstorm::kernel::{Arena, MapsFile};
use mapstorm::model::{Kind, KindSet, MergeRule};
use mapstorm::report::{Report, merge_rules};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// What was found.
#[derive(Serialize)]
struct Probed {
    schema_version: u32,
    #[serde(flatten)]
    header: Header,
    maps_locking: MapsLocking,
    smaps_locking: MapsLocking,
    procmap_query: bool,
    limits: Limits,
    overcommit_memory: Option<u64>,
    operations: Vec<&'static str>,
    merge_rules: BTreeMap<&'static str, Option<bool>>,
    calibration_steps: usize,
    random_steps: u64,
    /// What calls left that the model does not predict.
    unpredicted: Vec<String>,
    dropped: Vec<[String; 2]>,
}

impl Report for Probed {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        out.write_all(for_people(self).as_bytes())
    }
}

/// Probes the kernel and the machine.
///
/// # Errors
/// When there is no arena to try operations on, or maps can't be read.
pub fn probe(args: &ProbeArgs) -> Result<Exit, Failure> {
    let machine = Machine::here();
    let maps_locking = observe_locking(machine.version());
    let smaps_locking = observe_smaps_locking(machine.version());
    let mut file = MapsFile::own().map_err(unreadable)?;
    let arena = Arena::reserve(2, 16)?;
    let wanted = OpSet::full(KindSet::all(), arena.file_count());
    let calibration = calibrate(&arena, &mut file, wanted).map_err(not_testable)?;
    let mut unpredicted: Vec<String> =
        calibration.unpredicted.iter().map(|found| found.words.clone()).collect();
    let seed = (args.steps > 0).then(|| args.seed.unwrap_or_else(mapstorm::seed::draw));
    if let Some(seed) = seed {
        let may = OpSet { kinds: calibration.kinds(), ..calibration.may };
        let found = random_steps(&arena, &mut file, &may, seed, args.steps);
        unpredicted.extend(found.map_err(not_testable)?.map(|found| found.words));
    }
    let exit = if unpredicted.is_empty() { Exit::Upheld } else { Exit::Violated };
    let probed = Probed {
        schema_version: 2,
        maps_locking,
        smaps_locking,
        procmap_query: query_works(&mut file).is_ok(),
        limits: Limits::here(),
        overcommit_memory: std::fs::read_to_string("/proc/sys/vm/overcommit_memory")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        operations: calibration.kinds().iter().map(Kind::word).collect(),
        merge_rules: merge_rules(&calibration.merge_rules().collect::<Vec<_>>()),
        calibration_steps: calibration.tried,
        random_steps: args.steps,
        unpredicted,
        dropped: reasons(&calibration),
        header: Header::new(&machine, seed, seed.map_or_else(given, with_seed)),
    };
    console::result(&args.format.write(&probed, false));
    Ok(exit)
}

fn unreadable(errno: rustix::io::Errno) -> Failure {
    Failure::Untestable(format!(
        "cannot open /proc/self/maps ({errno}); is /proc mounted, and does the sandbox allow it?"
    ))
}

/// The failure of a calibration that leaves nothing to test with.
pub(super) fn not_testable(dropped: Dropped) -> Failure {
    Failure::Untestable(format!("{}: {}", dropped.what, dropped.why))
}

fn reasons(calibration: &Calibration) -> Vec<[String; 2]> {
    calibration.dropped.iter().map(|d| [d.what.clone(), d.why.clone()]).collect()
}

fn for_people(probed: &Probed) -> String {
    let limit = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |n| n.to_string());
    let limits = &probed.limits;
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<22} {what}");
    };
    line("kernel", format!("Linux {} {}", probed.header.kernel, probed.header.arch));
    line("machine", probed.header.place());
    line("CPUs", probed.header.cpus.to_string());
    line("page size", format!("{} bytes", probed.header.page_size));
    line("maps is read under", probed.maps_locking.words().into());
    line("smaps is read under", probed.smaps_locking.words().into());
    line("PROCMAP_QUERY", if probed.procmap_query { "yes" } else { "no" }.into());
    line("operations", probed.operations.join(", "));
    for rule in MergeRule::ALL {
        let has = probed.merge_rules.get(rule.word()).copied().flatten();
        let what = has.map_or("not decided here", |has| if has { rule.yes() } else { rule.no() });
        let (function, versions) = (rule.function(), rule.versions());
        line(rule.word(), format!("{what} ({function}; known to have it: {versions})"));
    }
    line("calibration", format!("{} steps, as the model says", probed.calibration_steps));
    if probed.random_steps > 0 {
        let seed = probed.header.seed.as_deref().unwrap_or_default();
        line(
            "random operations",
            format!("{} compared with the model, seed {seed}", probed.random_steps),
        );
    }
    for words in &probed.unpredicted {
        line("  MISMATCH", words.clone());
    }
    for [what, why] in &probed.dropped {
        line("  without", format!("{what}: {why}"));
    }
    line("vm.max_map_count", limit(limits.max_map_count));
    line("vm.overcommit_memory", limit(probed.overcommit_memory));
    line("RLIMIT_AS", limit(limits.address_space));
    line("RLIMIT_DATA", limit(limits.data));
    line("RLIMIT_NPROC", limit(limits.threads_of_user));
    line("kernel.threads-max", limit(limits.threads_of_machine));
    line("cgroup pids.max", limit(limits.pids_of_cgroup));
    line("cgroup memory.max", limit(limits.memory_of_cgroup));
    line("RLIMIT_NOFILE", limit(limits.open_files));
    text
}
