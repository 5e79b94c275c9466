//! `mapstorm first-tears`: storm after storm, and when each first tore.

use super::storm::{calibrated, can_play, map_limit, modes, readers_of};
use super::{Failure, Signals, announce};
use crate::cli::{FirstTearsArgs, PrintArgs};
use mapstorm::command_line::with_seed;
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::engine::{Calibration, Dropped, Mode, Pattern, Plan, Storm};
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::{Limits, Machine, MapsLocking, observe_locking};
use mapstorm::kernel::{Arena, MapsFile};
use mapstorm::model::KindSet;
use mapstorm::oracle::Contract;
use mapstorm::report::{FirstTears, Row};
use mapstorm::seed::{self, Stream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LANES: usize = 8;
const PAGES: usize = 16;
/// As `--span` is by default.
const SPAN: usize = 16;

/// Runs the storms and tells how soon they tore.
///
/// # Errors
/// When a storm can't begin, or the table can't be written. Ctrl-C ends it with the table so far.
pub fn first_tears(args: &FirstTearsArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let machine = Machine::here();
    let limits = Limits::here();
    for &threads in &args.threads {
        let threads = usize::from(threads);
        limits
            .allow(threads, readers_of(threads), LANES, PAGES, SPAN)
            .map_err(|error| Failure::Usage(error.to_string()))?;
    }
    can_play(args.workload, LANES)?;
    map_limit(args.workload, &limits)?;
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    let seed = args.seed.unwrap_or_else(seed::draw);
    let header = Header::new(&machine, Some(seed), with_seed(seed)).judged_by(Contract::Series);
    announce(args.format, print.quiet, &header);
    let mut table = FirstTears::new(header, args.seconds);
    table.until = args.until.iter().map(ToString::to_string).collect();
    let locking = observe_locking(machine.version());
    let mut seeds = Stream::new(seed, "storms", 0);
    let mut failure = None;
    'all: for &threads in &args.threads {
        let threads = usize::from(threads);
        table.rows.push(Row::new(threads, readers_of(threads)));
        for round in 0..args.runs {
            if !print.quiet {
                console::note(format_args!(
                    "{}, storm {} of {}",
                    counted(threads, "thread"),
                    round + 1,
                    args.runs
                ));
            }
            let row = table.rows.last_mut().expect("just put there");
            match one(args, row, locking, seeds.bits(), &signals) {
                Ok(unpredicted) => table.unpredicted(unpredicted),
                // What was measured before is told all the same.
                Err(why) if table.rows.iter().any(|row| row.storms > 0) => {
                    table.failure = Some(why.to_string());
                    failure = Some(why);
                    break 'all;
                }
                Err(why) => return Err(why),
            }
            if let Some(number) = signals.arrived() {
                table.signal = Some(number);
                break 'all;
            }
        }
    }
    console::result(&args.format.write(&table, print.verbose));
    failure.map_or(Ok(table.exit()), Err)
}

/// Whether a storm that reads and does this can find what is waited for at all.
fn can_come(
    until: &Pattern,
    modes: &[Mode],
    kinds: KindSet,
    dropped: &[Dropped],
) -> Result<(), Failure> {
    let contract = until.mechanism().map_or(Contract::Series, |mechanism| mechanism.contract());
    if contract > Contract::Series {
        return Err(Failure::Usage(format!(
            "--until {until} is a violation of --contract {contract} only, and these storms judge by \
             the series"
        )));
    }
    let mode = until.reader().filter(|mode| !modes.contains(mode));
    let kind = until.operations().iter().find(|kind| !kinds.has(*kind));
    let (flag, word) = match (mode, kind) {
        (Some(mode), _) => ("--read", mode.word()),
        (None, Some(kind)) => ("--ops", kind.word()),
        (None, None) => return Ok(()),
    };
    let why = dropped.iter().find(|dropped| dropped.what == word).map(|dropped| &dropped.why);
    Err(match why {
        Some(why) => Failure::Untestable(format!("--until {until} takes {word}: {why}")),
        None => Failure::Usage(format!(
            "--until {until} can't be found by a storm without {word}; add it to {flag}"
        )),
    })
}

/// One storm. Gives what calibration did not predict, in words.
fn one(
    args: &FirstTearsArgs,
    row: &mut Row,
    locking: MapsLocking,
    seed: u64,
    signals: &Signals,
) -> Result<Vec<String>, Failure> {
    let mut file = MapsFile::own().map_err(|errno| {
        Failure::Untestable(format!("cannot open /proc/self/maps ({errno}); is /proc mounted?"))
    })?;
    let arena = Arena::reserve_of(LANES, PAGES, SPAN)?;
    let mut dropped = Vec::new();
    let modes = modes(&args.read, &mut dropped)?;
    let Calibration { may, unpredicted, .. } =
        calibrated(&args.ops, &arena, &mut file, &mut dropped)?;
    for until in &args.until {
        can_come(until, &modes, may.kinds, &dropped)?;
    }
    let plan = Plan {
        threads: row.threads,
        readers: row.readers,
        faulters: 0,
        duration: Duration::from_secs_f64(args.seconds),
        seed,
        one_instant: locking == MapsLocking::MmapLock,
        modes,
        workload: args.workload,
        map_limit: map_limit(args.workload, &Limits::here())?,
        until: args.until.clone(),
        until_all: true,
        ..Plan::default()
    };
    let storm = Arc::new(Storm::prepare(arena, plan, may)?);
    let words = unpredicted.iter().map(|found| found.words.clone()).collect();
    storm.findings().unpredicted(unpredicted);
    let begun = Instant::now();
    let run = storm.run(|| signals.arrived(), |_| {}, |_| {}, |_| {})?;
    if let Some(why) = &run.lost {
        return Err(Failure::Environment(format!("a storm of {} threads: {why}", row.threads)));
    }
    row.add(&run, storm.findings(), begun.elapsed());
    Ok(words)
}
