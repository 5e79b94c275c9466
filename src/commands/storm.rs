//! `mapstorm`: the storm.

use super::probe::not_testable;
use super::{Failure, Signals, announce_aside};
use crate::cli::{PrintArgs, StormArgs};
use mapstorm::allocations;
use mapstorm::command_line::with_seed;
use mapstorm::console::{self, Line, Progress};
use mapstorm::engine::{
    Calibration, Cpus, Dropped, Ended, Live, Mode, ModeSet, OpSet, Pattern, Plan, Planted,
    StallKeeper, Storm, Workload, calibrate,
};
use mapstorm::evidence::{Checked, Kept, Origins, OutError, Rescue, Saver, Target};
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::{
    Limits, Machine, MapsLocking, lock_program, observe_locking, priority, resident,
};
use mapstorm::kernel::{Arena, Loads, MapsFile, MapsRead};
use mapstorm::model::{Kind, KindSet};
use mapstorm::report::live::{PLAIN_EVERY, live_line};
use mapstorm::report::{Circumstances, StormReport};
use mapstorm::seed;
use mapstorm::vm::guest;
use rustix::io::Errno;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// Runs a storm and reports it.
///
/// # Errors
/// When the storm can't begin, or the report can't be written.
pub fn storm(args: &StormArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let machine = Machine::here();
    let allow = allowed(args)?;
    let (threads, readers) = workers(args, &machine)?;
    let (lanes, pages, span) = (args.lanes as usize, args.pages as usize, args.span as usize);
    let faulters = faulters(args)?;
    let limits = Limits::here();
    limits
        .allow(threads + faulters, readers, lanes, pages, span)
        .map_err(|e| Failure::Usage(e.to_string()))?;
    can_play(args.workload, lanes)?;
    let map_limit = map_limit(args.workload, &limits)?;
    if let Some(nice) = args.nice {
        priority::may_renice(nice).map_err(|errno| {
            Failure::Environment(format!(
                "--nice {nice}: {errno}; a lower niceness than now takes CAP_SYS_NICE or RLIMIT_NICE \
                 (ulimit -e)"
            ))
        })?;
    }
    let signals = Signals::catch().map_err(|e| Failure::Environment(e.to_string()))?;

    let given = args.seed.unwrap_or_else(seed::draw);
    let seed = args.shard.map_or(given, |shard| shard.seed(given));
    let header = Header::new(&machine, Some(seed), with_seed(given))
        .judged_by(args.contract)
        .of_shard(args.shard, given);
    announce_aside(print.quiet, &header);

    let locked = stand_by();
    let file = MapsFile::own().map_err(|errno| {
        Failure::Untestable(format!("cannot open /proc/self/maps ({errno}); is /proc mounted?"))
    })?;
    let locking = observe_locking(machine.version());
    let mut arena = Arena::reserve_of(lanes, pages, span)?;
    let mut dropped = Vec::new();
    if let Err(why) = arena.add_odd_file() {
        dropped.push(Dropped {
            what: "mappings of a file with an odd name".into(),
            why: why.to_string(),
        });
    }
    let modes = modes(&args.read, &mut dropped)?;
    let range = arena.geometry().base..arena.geometry().end();
    let mut source = Planted::at_calibration(args.inject, file, range, seed);
    let calibration = calibrated(&args.ops, &arena, &mut *source, &mut dropped)?;
    let (may, merge_rules) = (calibration.may, calibration.merge_rules().collect());
    let plan = Plan {
        threads,
        readers,
        faulters,
        duration: Duration::from_secs_f64(args.seconds),
        seed,
        contract: args.contract,
        one_instant: locking == MapsLocking::MmapLock,
        modes,
        workload: args.workload,
        map_limit,
        allow,
        fail_fast: args.fail_fast,
        pause_every: Duration::from_secs_f64(args.pause_every),
        keep: args.keep as usize,
        inject: args.inject,
        stall: Duration::from_secs_f64(args.stall),
        nice: args.nice,
        ..Plan::default()
    };
    let origins = Origins {
        header: header.clone(),
        geometry: *arena.geometry(),
        identities: arena.identities().clone(),
        merge_rules: calibration.merge_rules().collect(),
    };
    let refused = |error: OutError| Failure::Usage(error.to_string());
    let target = match &args.out {
        Some(dir) => Target::Given(dir.clone()),
        None if args.no_out || guest::is_one() => Target::Nowhere,
        None => Target::own(given),
    };
    let rescue = Rescue::new(origins.clone(), &target, alone).map_err(refused)?;
    let rescue = Arc::new(rescue);
    let mut keeper =
        Saver::new(origins, &target).map_err(refused)?.with_rescue(Arc::clone(&rescue));
    let storm = Storm::prepare(arena, plan, may)?;
    if let Some(errno) = storm.log_trouble().filter(|_| args.kmsg) {
        return Err(Failure::Untestable(format!(
            "--kmsg: /dev/kmsg: {errno}; it takes CAP_SYSLOG or kernel.dmesg_restrict=0, and a sandbox that has \
             the file"
        )));
    }
    let storm = Arc::new(storm.with_keeper(Arc::clone(&rescue) as Arc<dyn StallKeeper>));
    let unpredicted = calibration.unpredicted.iter().map(|found| found.words.clone()).collect();
    storm.findings().unpredicted(calibration.unpredicted);
    let told = RefCell::new(Told::new(print.quiet));
    let run = storm.run(
        || signals.arrived(),
        |live| told.borrow_mut().show(live),
        allocations::arm,
        |findings| told.borrow_mut().tell(keeper.keep(findings)),
    )?;
    console::clear();
    keeper.finish();
    let around = Circumstances {
        header: &header,
        locking,
        dropped: &dropped,
        merge_rules,
        unpredicted,
        allocations: Some(allocations::count()),
        kept: keeper.kept(),
    };
    let report = StormReport::new(&storm, &run, &around);
    console::result(&args.format.write(&report, print.verbose));
    if run.ended == Ended::Stall {
        unkillable(rescue.saved());
        if let Err(errno) = locked {
            console::note(format_args!(
                "the memory for this account was not locked ({errno}): ulimit -l, or CAP_IPC_LOCK"
            ));
        }
    }
    rescue.told();
    Ok(args.format.exit(&report, report.exit()))
}

/// Bytes of the reserve that a stall is told from. What is told of 256 threads takes a fourth of it.
const RESERVE: usize = 6 << 20;

/// Before the storm: makes sure that what tells of a stall is in memory by then. Whether all of it is
/// locked there.
fn stand_by() -> Result<(), Errno> {
    let (reserve, locked) = resident(RESERVE)?;
    allocations::reserve(reserve);
    // One that may lock little may lock the reserve, and the program was touched.
    let program = lock_program();
    locked.and(program)
}

/// Where a thread may hang in the kernel: what the user sees last.
fn unkillable(saved: Option<&Kept>) {
    let kept = saved.and_then(|kept| kept.path.as_deref());
    let told = kept.map_or(String::new(), |path| format!(" All of it is in {}.", path.display()));
    console::note(format_args!(
        "this process may not end: a thread that hangs in the kernel can't be killed, and all that touch \
         its memory wait for it (ps, top, gdb).{told} Where it stays, reboot the machine: echo b > \
         /proc/sysrq-trigger"
    ));
}

/// Ends the program where only the watcher goes on.
fn alone(kept: &Kept) {
    let signature = kept.signature;
    console::note(format_args!("{signature}: the rest of mapstorm hangs, too; no report"));
    unkillable(Some(kept));
    guest::leaving(Exit::Violated);
    std::process::exit(Exit::Violated.code());
}

fn allowed(args: &StormArgs) -> Result<Vec<Pattern>, Failure> {
    let mut allow = args.allow.clone();
    for path in &args.allow_file {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--allow-file {name}: {error}")))?;
        for (number, line) in text.lines().enumerate() {
            let signature = line.split('#').next().unwrap_or_default().trim();
            if !signature.is_empty() {
                allow.push(signature.parse().map_err(|why| {
                    let line = number + 1;
                    Failure::Usage(format!(
                        "--allow-file {name}, line {line}: {signature:?}: {why}"
                    ))
                })?);
            }
        }
    }
    Ok(allow)
}

/// How many of the workers read by default.
pub(super) fn readers_of(threads: usize) -> usize {
    (threads / 4).max(1)
}

fn workers(args: &StormArgs, machine: &Machine) -> Result<(usize, usize), Failure> {
    let threads = args.threads.map_or((2 * machine.cpus).clamp(4, 4096), usize::from);
    let readers = args.readers.map_or(readers_of(threads), usize::from);
    if readers >= threads {
        return Err(Failure::Usage(format!(
            "--readers {readers} leaves none of the --threads {threads} to change anything; \
             use fewer readers or more threads"
        )));
    }
    Ok((threads, readers))
}

/// How many threads fault in the arena.
fn faulters(args: &StormArgs) -> Result<usize, Failure> {
    let faulters = match args.faulters {
        Some(faulters) => usize::from(faulters),
        None if !Loads::OFFERED => 0,
        // A faulter beside a reader and a mutator takes a third CPU. On two busy ones, storms of 30 s with
        // one found 619 and 484 tears by turns with 994 and 1,650 without.
        None => match Cpus::allowed().count() {
            ..=2 => 0,
            cpus => (cpus / 4).max(1),
        },
    };
    if faulters > 0 && !Loads::OFFERED {
        return Err(Failure::Usage(format!(
            "--faulters {faulters}: on this architecture there is no load that may be refused; use 0"
        )));
    }
    if let Some(planted) = args.inject.filter(|planted| faulters == 0 && planted.takes_faulters()) {
        let word = planted.word();
        return Err(Failure::Usage(format!("--inject {word} takes --faulters 1 or more")));
    }
    Ok(faulters)
}

/// The ways of reading that were asked for and work here.
pub(super) fn modes(asked: &[Mode], dropped: &mut Vec<Dropped>) -> Result<ModeSet, Failure> {
    let wanted = |mode: &Mode| match asked.is_empty() {
        true => mode.is_default(),
        false => asked.contains(mode),
    };
    let mut offered = |mode: &Mode| match mode.offered() {
        Ok(()) => true,
        Err(errno) => {
            let why = format!("{errno}; {}", mode.takes());
            dropped.push(Dropped { what: mode.word().into(), why });
            false
        }
    };
    let modes: ModeSet =
        Mode::ALL.into_iter().filter(wanted).filter(|mode| offered(mode)).collect();
    match modes.is_empty() {
        true => Err(Failure::Untestable(format!(
            "this kernel has none of the ways of reading asked for ({})",
            reasons(dropped)
        ))),
        false => Ok(modes),
    }
}

fn reasons(dropped: &[Dropped]) -> String {
    let reasons: Vec<String> = dropped.iter().map(|d| format!("{}: {}", d.what, d.why)).collect();
    reasons.join("; ")
}

/// Whether the workload can be played with so many lanes on these CPUs. Played in another way it
/// would be reported as something it is not.
pub(super) fn can_play(workload: Option<Workload>, lanes: usize) -> Result<(), Failure> {
    let Some(workload) = workload else { return Ok(()) };
    let (about, cpus) = (workload.about(), Cpus::allowed().count());
    if lanes < workload.fewest_lanes() {
        return Err(Failure::Usage(format!(
            "--workload {workload} takes {} lanes, and --lanes {lanes} leaves it fewer",
            workload.fewest_lanes()
        )));
    }
    if cpus < workload.fewest_cpus() {
        return Err(Failure::Untestable(format!(
            "--workload {workload} ({about}) takes {} CPUs, and this process may run on {cpus}",
            workload.fewest_cpus()
        )));
    }
    Ok(())
}

/// The highest vm.max_map_count that every storm comes up to: with many more VMAs, a walk to the end of
/// the file takes many times as long.
const LOW_LIMIT: u64 = 4096;
/// The highest that one comes up to which is asked to: twice the kernel's default.
const HIGHEST_LIMIT: u64 = 1 << 17;

/// vm.max_map_count, where the storm is to come up to it: where it is low, or the workload is asked for.
/// Not where a call could fail in the same way for another reason (mm/mmap.c, `may_expand_vm`; mm/util.c,
/// `__vm_enough_memory`) and leave something else.
pub(super) fn map_limit(
    workload: Option<Workload>,
    limits: &Limits,
) -> Result<Option<u64>, Failure> {
    let asked = workload.is_some_and(Workload::is_full);
    let other = [
        (limits.address_space, "RLIMIT_AS"),
        (limits.data, "RLIMIT_DATA"),
        (limits.commit_left, "vm.overcommit_memory=2"),
    ];
    let other = other.into_iter().find(|(limit, _)| limit.is_some());
    let refused = |why: String| Err(Failure::Untestable(format!("--workload limit {why}")));
    match (limits.max_map_count, other) {
        _ if workload.is_some() && !asked => Ok(None),
        (Some(limit), None) if limit <= if asked { HIGHEST_LIMIT } else { LOW_LIMIT } => {
            Ok(Some(limit))
        }
        _ if !asked => Ok(None),
        (None, _) => {
            refused("needs vm.max_map_count, and it can't be read; is /proc mounted?".into())
        }
        (_, Some((_, name))) => refused(format!(
            "can't be played with {name}: calls could fail for that as well; lift it"
        )),
        (Some(limit), None) => refused(format!(
            "comes up to a vm.max_map_count of {HIGHEST_LIMIT} at most, and it is {limit}; lower it \
             with sysctl vm.max_map_count=65530"
        )),
    }
}

/// The operations that were asked for and do on this kernel what the model says.
pub(super) fn calibrated(
    asked: &[Kind],
    arena: &Arena,
    source: &mut (impl MapsRead + ?Sized),
    dropped: &mut Vec<Dropped>,
) -> Result<Calibration, Failure> {
    let kinds = match asked.is_empty() {
        true => KindSet::all(),
        false => asked.iter().copied().collect(),
    };
    let wanted = OpSet::full(kinds, arena.file_count());
    let mut calibration = calibrate(arena, source, wanted).map_err(not_testable)?;
    calibration.may.kinds = calibration.kinds();
    dropped.append(&mut calibration.dropped);
    if calibration.may.kinds.is_empty() && calibration.unpredicted.is_empty() {
        return Err(Failure::Untestable(format!(
            "this kernel has none of the operations asked for ({})",
            reasons(dropped)
        )));
    }
    if calibration.may.kinds.is_empty() {
        // What was found is a violation, to be saved and told as in any storm.
        calibration.may.kinds = [Kind::Map, Kind::Unmap].into_iter().collect();
    }
    Ok(calibration)
}

/// What is shown while the storm goes on. [`show`](Told::show) does not allocate.
struct Told {
    progress: Progress,
    since: Option<(Duration, u64, u64)>,
    printed: Duration,
    /// Why violations could not be saved, as far as told.
    troubles: Vec<String>,
}

impl Told {
    fn new(quiet: bool) -> Told {
        Told {
            progress: Progress::here(quiet),
            since: None,
            printed: Duration::ZERO,
            troubles: Vec::new(),
        }
    }

    fn show(&mut self, live: &Live<'_>) {
        let every = if self.progress == Progress::Lines { PLAIN_EVERY } else { Duration::ZERO };
        if self.progress == Progress::Quiet || live.elapsed - self.printed < every {
            return;
        }
        self.printed = live.elapsed;
        let mut line = Line::new();
        live_line(&mut line, self.progress.columns(), live, &mut self.since);
        self.progress.show(&line);
    }

    /// What became of new signatures.
    fn tell(&mut self, kept: &[Kept]) {
        if self.progress == Progress::Quiet {
            return;
        }
        for kept in kept {
            let signature = kept.signature;
            match (&kept.checked, &kept.path, &kept.trouble) {
                (Checked::Disagrees(why), ..) => {
                    console::note(format_args!("{signature}: THE SECOND CHECKER DISAGREES: {why}"))
                }
                // The report counts those that have the same trouble.
                (_, _, Some(trouble)) if self.troubles.contains(trouble) => {}
                (_, _, Some(trouble)) => {
                    console::note(format_args!(
                        "{signature} could not be saved ({trouble}); tried again in the end"
                    ));
                    self.troubles.push(trouble.clone());
                }
                (_, Some(path), None) => {
                    console::note(format_args!("{signature} kept in {}", path.display()));
                }
                (_, None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_come_up_to_where_it_is_low_or_asked_for_and_nothing_else_can_fail() {
        let none = Limits {
            max_map_count: None,
            address_space: None,
            data: None,
            commit_left: None,
            ..Limits::here()
        };
        let of = |max_map_count: u64| Limits { max_map_count: Some(max_map_count), ..none };
        let (drawn, asked) = (None, Some(Workload::Limit));
        let found = |workload, limits: &Limits| map_limit(workload, limits).ok();
        assert_eq!(found(drawn, &of(2000)), Some(Some(2000)));
        assert_eq!(found(drawn, &of(65_530)), Some(None));
        assert_eq!(found(Some(Workload::Duel), &of(2000)), Some(None));
        assert_eq!(found(asked, &of(65_530)), Some(Some(65_530)));
        let data = Limits { data: Some(1 << 30), ..of(2000) };
        assert_eq!(found(drawn, &data), Some(None));
        for (limits, named) in [
            (of(1 << 20), "vm.max_map_count"),
            (none, "vm.max_map_count"),
            (data, "RLIMIT_DATA"),
            (Limits { address_space: Some(1 << 40), ..of(2000) }, "RLIMIT_AS"),
            (Limits { commit_left: Some(1 << 30), ..of(2000) }, "vm.overcommit_memory"),
        ] {
            match map_limit(asked, &limits) {
                Err(Failure::Untestable(why)) => assert!(why.contains(named), "{why}"),
                other => panic!("{named}: {}", other.is_ok()),
            }
        }
    }
}
