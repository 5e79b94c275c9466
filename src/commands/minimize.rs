//! `mapstorm minimize`: the smallest scenario that still shows a tear.

use super::replay::{fits_here, name, not_run, target};
use super::{Failure, Signals};
use crate::cli::{MinimizeArgs, PrintArgs};
use mapstorm::command_line::{given, quoted};
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::report::Report;
use mapstorm::repro::replay::{
    Decision, Fates, Minimized, Seen, Size, Tried, interval, minimize as search,
};
use mapstorm::repro::scenario::{Measured, Scenario};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Serialize)]
struct Searched<'a> {
    #[serde(skip)]
    found: &'a Minimized,
    #[serde(skip)]
    took: Duration,
    schema_version: u32,
    #[serde(flatten)]
    header: Header,
    shows: String,
    file: String,
    complete: bool,
    candidates: usize,
    accepted: usize,
    rejected: usize,
    undecided: usize,
    elapsed_ms: u64,
    shown_every_ms: f64,
    measured: Counted,
    scenario: &'a Scenario,
}

/// What the rate is taken from.
#[derive(Serialize)]
struct Counted {
    sightings: u32,
    time_ms: u64,
    walks: u64,
    /// With 95 of 100, the mean time lies between these.
    from_ms: f64,
    to_ms: f64,
    /// Whether nothing was decided by these sightings.
    apart: bool,
}

impl Counted {
    fn of(found: &Minimized) -> Counted {
        let Seen { sightings, time, walks } = found.seen;
        let (from, to) = between(&found.seen);
        Counted {
            sightings,
            time_ms: time.as_millis() as u64,
            walks,
            from_ms: from * 1000.0,
            to_ms: to * 1000.0,
            apart: found.apart,
        }
    }
}

/// Mean time between two sightings, in seconds.
fn every(seen: &Seen) -> f64 {
    seen.every().unwrap_or(seen.time).as_secs_f64()
}

/// Between what it lies.
fn between(seen: &Seen) -> (f64, f64) {
    let (low, high) = interval(seen.sightings);
    (every(seen) / high, every(seen) / low)
}

/// Searches, and writes the best found.
///
/// # Errors
/// When it can't be run here, or the result can't be written.
pub fn minimize(args: &MinimizeArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    fits_here(&args.file)?;
    let (mut target, contract) = target(&args.file)?;
    if let Some(shows) = target.shows {
        target.scenario.name = shows.to_string();
    }
    // It is about the scenario to begin with.
    target.scenario.measured = None;
    let write = |scenario: &Scenario| save(&args.output, scenario);
    // What can't be written should not be searched for.
    drop(aside(&args.output).map_err(|error| Failure::Usage(named(&args.output, &error)))?);
    let signals = Signals::catch().map_err(|e| Failure::Environment(e.to_string()))?;
    if !print.quiet {
        console::note(format_args!("{}: {}", name(&target), Size::of(&target.scenario)));
    }
    let budget = Duration::from_secs_f64(args.seconds);
    let begun = Instant::now();
    let header = Header::new(&Machine::here(), None, given()).judged_by(contract);
    let mut trouble = None;
    let mut progress = |tried: &Tried, best: &Scenario| {
        if tried.decision == Decision::Accepted {
            // The best so far is on the disk whatever happens next.
            trouble = write(best).err();
        }
        if !print.quiet {
            told(tried, begun.elapsed());
        }
    };
    let found = search(&target, contract, budget, &|| signals.arrived(), &mut progress);
    let found = found.map_err(|error| {
        let _ = std::fs::remove_file(aside_path(&args.output));
        not_run(error)
    })?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let Some(mut found) = found else {
        let text = format!(
            "{}: not shown in {:.0} s, so there is nothing to minimize; {} was not written\n",
            name(&target),
            begun.elapsed().as_secs_f64(),
            args.output.display()
        );
        let _ = std::fs::remove_file(aside_path(&args.output));
        console::result(text.as_bytes());
        return Ok(signals.arrived().map_or(Exit::Undecided, Exit::of_signal));
    };
    if found.apart {
        let Seen { sightings, time, walks } = found.seen;
        found.best.scenario.measured = Some(Measured::here(sightings, walks, time));
    }
    write(&found.best.scenario)?;
    let searched = Searched::new(header, &found, &args.output, begun.elapsed());
    console::result(&args.format.write(&searched, print.verbose));
    Ok(found.signal.map_or(Exit::Upheld, Exit::of_signal))
}

fn aside_path(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    aside.into()
}

fn aside(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::create(aside_path(path))
}

fn named(path: &Path, error: &std::io::Error) -> String {
    format!("-o {}: {error}", path.display())
}

/// Written aside and renamed: at any time the file holds a whole scenario.
fn save(path: &Path, scenario: &Scenario) -> Result<(), Failure> {
    let failed = |error| Failure::Environment(named(path, &error));
    let mut text = serde_json::to_vec_pretty(scenario).expect("plain data");
    text.push(b'\n');
    let written = || -> std::io::Result<()> {
        let mut file = aside(path)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(aside_path(path), path)
    };
    written().map_err(failed)
}

fn told(tried: &Tried, elapsed: Duration) {
    let what = tried.change.as_ref().map_or("to begin with".to_owned(), ToString::to_string);
    let Seen { sightings, time, .. } = tried.seen;
    let seen = format!("shown {} in {:.1} s", counted(sightings, "time"), time.as_secs_f64());
    let how = match (&tried.change, tried.decision) {
        (None, _) => format!("every {:.3} s", every(&tried.seen)),
        (_, Decision::Accepted) => "accepted".into(),
        (_, Decision::Rejected) => "rejected, rarer than half".into(),
        (_, Decision::Open) => "not decided".into(),
    };
    console::note(format_args!(
        "{:>5.1} s  {what}: {how}, {seen}; best: {}",
        elapsed.as_secs_f64(),
        tried.best
    ));
}

/// What the search came to.
fn ending(found: &Minimized) -> &'static str {
    match (found.complete, found.fates.undecided) {
        (false, _) => "there was no time for more",
        (true, 0) => "nothing smaller shows it half as often",
        (true, _) => "something smaller may show it half as often",
    }
}

impl<'a> Searched<'a> {
    fn new(header: Header, found: &'a Minimized, output: &Path, took: Duration) -> Searched<'a> {
        let Fates { accepted, rejected, undecided } = found.fates;
        Searched {
            found,
            took,
            schema_version: 2,
            header,
            shows: name(&found.best),
            file: output.display().to_string(),
            complete: found.complete,
            candidates: accepted + rejected + undecided,
            accepted,
            rejected,
            undecided,
            elapsed_ms: took.as_millis() as u64,
            shown_every_ms: every(&found.seen) * 1000.0,
            measured: Counted::of(found),
            scenario: &found.best.scenario,
        }
    }
}

impl Report for Searched<'_> {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        out.write_all(for_people(self).as_bytes())
    }
}

fn for_people(searched: &Searched<'_>) -> String {
    let Searched { found, took, scenario, file, accepted, rejected, undecided, .. } = searched;
    let (from, to) = between(&found.seen);
    let mut text = format!(
        "{}: {}, shown every {:.3} s\n\
         rate: shown {} in {:.1} s and {}, so every {from:.3} to {to:.3} s with 95 of \
         100; {}\n\
         candidates: {accepted} accepted (shown at least half as often, one in ten wrong at most), \
         {rejected} rejected, {undecided} not decided, in {:.0} s; {}\n",
        name(&found.best),
        Size::of(scenario),
        every(&found.seen),
        counted(found.seen.sightings, "time"),
        found.seen.time.as_secs_f64(),
        counted(found.seen.walks, "walk"),
        match found.apart {
            true => "measured apart from the search",
            false => "these made it be accepted: it is rarer than they say",
        },
        took.as_secs_f64(),
        ending(found),
    );
    for (lane, words) in scenario.lanes.iter().enumerate() {
        text += &format!("lane {lane}: {words}\n");
    }
    for (mutator, ops) in scenario.mutators.iter().enumerate() {
        for op in ops {
            text += &format!("mutator {mutator}: {op}\n");
        }
    }
    for (reader, mode) in scenario.readers.iter().enumerate() {
        text += &format!("reader {reader}: {mode}\n");
    }
    let file = quoted(file);
    text + &format!("mapstorm replay {file}\nmapstorm emit-c {file}\n")
}
