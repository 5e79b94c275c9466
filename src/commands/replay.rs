//! `mapstorm replay`: shows a tear again.

use super::{Failure, Signals};
use crate::cli::{PrintArgs, ReplayArgs};
use mapstorm::command_line::with_seed;
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::engine::StormError;
use mapstorm::evidence::{Proof, Saved, SavedIncident, load};
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::model::MergeRule;
use mapstorm::oracle::{Class, Contract};
use mapstorm::report::Report;
use mapstorm::repro::replay::{
    Attempt, DeriveError, Size, Target, Untold, attempt, chance, derive, target_of,
};
use mapstorm::repro::scenario::RunError;
use mapstorm::vm::Recipe;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// What became of it.
#[derive(Serialize)]
struct Replayed<'a> {
    #[serde(skip)]
    target: &'a Target,
    #[serde(skip)]
    attempt: &'a Attempt,
    schema_version: u32,
    #[serde(flatten)]
    header: Header,
    shows: String,
    /// `shown`, `not-shown`, or, where that means nothing, `untestable` or `undecided`.
    verdict: &'static str,
    /// Why it is one of the last two.
    why: Option<String>,
    shown: u64,
    walks: u64,
    per_thousand_walks: f64,
    /// Where it was not shown: how probable that is at the rate in the file.
    chance: Option<f64>,
    elapsed_ms: u64,
    operations: u64,
    failed_operations: u64,
    second_checker: Option<&'static str>,
    /// Merge rules in which this kernel is unlike the one of the file.
    merges_otherwise: Vec<MergeRule>,
    others: Vec<(String, u64)>,
}

/// A scenario out of a file, what it is to show, and by which contract.
///
/// # Errors
/// When the file is no good, or is of another kind of machine.
pub(super) fn target(path: &Path) -> Result<(Target, Contract), Failure> {
    let saved = load(path)?;
    let tear = match saved {
        Saved::Scenario(scenario) => {
            let target = target_of(&scenario);
            let contract = target.contract();
            return Ok((target, contract));
        }
        Saved::SavedIncident(incident) => return Err(once(path, &incident)),
        Saved::Tear(tear) => *tear,
    };
    let contract = tear.header.contract.unwrap_or_default();
    derive(&tear).map(|target| (target, contract)).map_err(|error| {
        let text = format!("{}: {error}", path.display());
        match error {
            DeriveError::Tear(_) | DeriveError::Nothing => Failure::Usage(text),
            DeriveError::NoOperation => Failure::Untestable(text),
        }
    })
}

/// What happened once and can't be made to happen by a scenario.
fn once(path: &Path, incident: &SavedIncident) -> Failure {
    let what = match incident.class() {
        Class::Stall => "a stall: a call that did not come back, and nothing that a reader saw",
        Class::Splat => "what the kernel said of itself, and nothing that a reader saw",
        _ => "a mismatch: found while nothing moved, after all that had been done until then",
    };
    Failure::Usage(format!(
        "{} is {what}; there is no scenario in it to run again. `mapstorm explain` tells what it \
         shows; to look for another, run the storm again: {}",
        path.display(),
        incident.header.vm.as_ref().map_or(&incident.header.command, |vm| &vm.command)
    ))
}

/// Whether a tear can be shown again on this machine at all.
pub(super) fn fits_here(path: &Path) -> Result<(), Failure> {
    let Saved::Tear(tear) = load(path)? else { return Ok(()) };
    let page_size = tear.header.page_size;
    let here = rustix::param::page_size() as u64;
    if page_size == here {
        return Ok(());
    }
    Err(Failure::Untestable(format!(
        "{} is from a kernel with pages of {page_size} bytes, here they have {here}: a read call \
         delivers a page, so what happens between two calls does not happen here",
        path.display()
    )))
}

pub(super) fn not_run(error: RunError) -> Failure {
    match error {
        RunError::Scenario(_) => Failure::Usage(error.to_string()),
        RunError::Calibrate(_) | RunError::Aim(_) => Failure::Untestable(error.to_string()),
        RunError::Reserve(_) | RunError::NoReader { .. } | RunError::Refused { .. } => {
            Failure::Untestable(error.to_string())
        }
        RunError::Storm(StormError::Prepare { op, source }) => Failure::Untestable(format!(
            "the file's arena does not fit here: {op}: {source}; a scenario with many vmas takes a \
             higher vm.max_map_count (sysctl)"
        )),
        RunError::Storm(error) => error.into(),
    }
}

/// How to run the machine again that a tear comes from, if it comes from one.
fn recipe(path: &Path) -> Result<Option<Recipe>, Failure> {
    Ok(match load(path)? {
        Saved::Tear(tear) => tear.header.vm,
        Saved::SavedIncident(_) | Saved::Scenario(_) => None,
    })
}

/// Runs what the file holds until it is shown, or the time is over.
///
/// # Errors
/// When it can't be run here.
pub fn replay(args: &ReplayArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    fits_here(&args.file)?;
    let (target, contract) = target(&args.file)?;
    if !print.quiet
        && let Some(vm) = &recipe(&args.file)?
    {
        console::note(vm.sentence());
    }
    let signals = Signals::catch().map_err(|e| Failure::Environment(e.to_string()))?;
    let time = Duration::from_secs_f64(args.seconds);
    let seed = args.seed.unwrap_or(1);
    let header = Header::new(&Machine::here(), Some(seed), with_seed(seed)).judged_by(contract);
    if !print.quiet {
        console::note(format_args!("{}: {}", name(&target), Size::of(&target.scenario)));
    }
    let attempt = attempt(&target, contract, time, seed, || signals.arrived()).map_err(not_run)?;
    let replayed = Replayed::new(header, &target, &attempt);
    console::result(&args.format.write(&replayed, print.verbose));
    Ok(exit(&attempt))
}

fn exit(attempt: &Attempt) -> Exit {
    let agreed = matches!(attempt.proof, None | Some(Proof::Violation(_) | Proof::Undecided));
    match attempt.signal {
        _ if !agreed => Exit::Internal,
        _ if attempt.shown > 0 => Exit::Violated,
        Some(number) => Exit::of_signal(number),
        None => match attempt.untold() {
            Some(Untold::Untestable(_)) => Exit::Untestable,
            Some(Untold::Undecided(_)) => Exit::Undecided,
            None => Exit::Upheld,
        },
    }
}

/// What it comes to, in a word, and why where it comes to nothing.
fn verdict(attempt: &Attempt) -> (&'static str, Option<String>) {
    match attempt.untold() {
        _ if attempt.shown > 0 => ("shown", None),
        None => ("not-shown", None),
        Some(Untold::Untestable(why)) => ("untestable", Some(why)),
        Some(Untold::Undecided(why)) => ("undecided", Some(why)),
    }
}

pub(super) fn name(target: &Target) -> String {
    match (target.shows, target.saved_as) {
        (None, _) => "any violation".into(),
        (Some(shows), None) => shows.to_string(),
        (Some(shows), Some(saved_as)) => {
            format!("{shows} (saved as {saved_as}, the same mechanism)")
        }
    }
}

fn second_checker(proof: &Proof) -> &'static str {
    match proof {
        Proof::Violation(_) | Proof::Renamed { .. } => "proved",
        Proof::Undecided => "undecided",
        Proof::Right | Proof::Other { .. } => "disagrees",
    }
}

impl<'a> Replayed<'a> {
    fn new(header: Header, target: &'a Target, attempt: &'a Attempt) -> Replayed<'a> {
        let (verdict, why) = verdict(attempt);
        let measured = target.scenario.measured.as_ref().filter(|_| verdict == "not-shown");
        Replayed {
            target,
            attempt,
            schema_version: 2,
            header,
            shows: name(target),
            verdict,
            why,
            shown: attempt.shown,
            walks: attempt.walks,
            per_thousand_walks: attempt.per_thousand(),
            chance: measured.and_then(|measured| chance::by_chance(measured, attempt.walks)),
            elapsed_ms: attempt.took.as_millis() as u64,
            operations: attempt.operations,
            failed_operations: attempt.failed,
            second_checker: attempt.proof.as_ref().map(second_checker),
            merges_otherwise: attempt.unlike.clone(),
            others: attempt.others.clone(),
        }
    }
}

impl Report for Replayed<'_> {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        out.write_all(for_people(self.target, self.attempt, verbose).as_bytes())
    }
}

/// What it means that it was not shown, where the file has the rate at which it was.
fn chance(target: &Target, attempt: &Attempt) -> Option<String> {
    let tried = attempt.shown == 0 && attempt.untold().is_none();
    let measured = target.scenario.measured.as_ref().filter(|_| tried)?;
    chance::sentence(measured, attempt.walks)
}

fn for_people(target: &Target, attempt: &Attempt, verbose: bool) -> String {
    let mut text = String::new();
    let seconds = attempt.took.as_secs_f64();
    let (name, walks, ops) =
        (name(target), counted(attempt.walks, "walk"), counted(attempt.operations, "operation"));
    if verbose {
        let scenario = serde_json::to_string_pretty(&target.scenario).expect("plain data");
        let _ = writeln!(text, "{scenario}");
    }
    let _ = match attempt.shown {
        0 => writeln!(text, "{name}: not shown in {walks} and {ops}, {seconds:.1} s"),
        shown => writeln!(
            text,
            "{name}: shown after {seconds:.2} s: {shown} in {walks} ({:.3} in 1,000 walks), \
             {ops}; second checker: {}",
            attempt.per_thousand(),
            attempt.proof.as_ref().map_or("not asked", second_checker),
        ),
    };
    let chance = chance(target, attempt);
    let _ = chance.iter().try_for_each(|sentence| writeln!(text, "{sentence}"));
    if attempt.failed > 0 {
        let _ = writeln!(text, "{} failed", counted(attempt.failed, "operation"));
    }
    if !attempt.unlike.is_empty() {
        let words: Vec<&str> = attempt.unlike.iter().map(|rule| rule.word()).collect();
        let _ =
            writeln!(text, "this kernel merges otherwise than the file's: {}", words.join(", "));
    }
    for (signature, count) in &attempt.others {
        let _ = writeln!(text, "beside it: {signature}, {}", counted(*count, "time"));
    }
    let _ = match verdict(attempt) {
        ("untestable", Some(why)) => writeln!(text, "not testable here: {why}"),
        (verdict, Some(why)) => writeln!(text, "{verdict}: {why}"),
        _ => attempt.lost.iter().try_for_each(|lost| writeln!(text, "it could not go on: {lost}")),
    };
    text
}
