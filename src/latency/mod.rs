//! What readers of `/proc/self/maps` cost the threads that map and unmap: `mapstorm latency` and
//! `mapstorm compare`.
//!
//! Measuring (`region`, `mapper`, `scan`, `team`, `sample`, `run`) makes an [`Outcome`]. Judging
//! (`figures`, `resample`, `contrast`, `compare`, `confounders`, `warnings`) and printing (`table`,
//! `rawdata`, `page`) know nothing else.

mod args;
mod axis;
mod clock;
mod codec;
mod compare;
mod compare_json;
mod compare_table;
mod confounders;
mod contrast;
mod facts;
mod failure;
mod figures;
mod file;
mod hang;
mod heartbeat;
mod mapper;
mod meter;
mod outcome;
mod overhead;
mod page;
mod placement;
mod plan;
mod planted;
mod plot;
mod probe;
mod rawdata;
mod region;
mod resample;
mod run;
mod sample;
mod scan;
mod series;
#[cfg(test)]
mod synthetic;
mod table;
mod team;
mod version1;
mod warnings;

pub use args::{CompareArgs, LatencyArgs, Planted};
pub use facts::MachineFacts;
pub use failure::{Failure, exit_of};
pub use file::load;
pub use hang::Hang;
pub use mapper::Tally;
pub use outcome::{Column, Ended, Outcome, SCHEMA_VERSION, Setup};
pub use overhead::Overhead;
pub use placement::{Loss, Placement};
pub use plan::{Reader, Role};
pub use run::measure;
pub use sample::Sample;
pub use scan::Scanned;
pub use series::Series;

use crate::console::{self, Progress};
use crate::exit::Exit;
use crate::report::Report;
use anyhow::{Context, bail};
use figures::Rates;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `mapstorm latency`: measures, prints, and says how the program shall end.
///
/// `stop` holds the number of the signal that asks for an end, or 0; it is looked at every 50 ms,
/// and what was measured until then is reported.
///
/// # Errors
/// [`exit_of`] gives the exit code of an error: a [`Failure`] for what cannot be asked for here.
pub fn run(args: &LatencyArgs, stop: &AtomicUsize, progress: Progress) -> anyhow::Result<Exit> {
    let outcome = measure(args, stop, progress)?;
    match args.rawdata {
        true => console::result(rawdata::rawdata(&outcome).as_bytes()),
        false => console::result(&args.format.write(&outcome, false)),
    }
    // Relaxed: the signal's number is all there is to learn.
    judge(&outcome, stop.load(Ordering::Relaxed))
}

/// `mapstorm compare`: reads results, prints them side by side, and writes the page asked for.
///
/// # Errors
/// As [`run()`]: a [`Failure`] for a file that is no result.
pub fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    let comparison = compare::compare(args)?;
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&comparison))
            .with_context(|| format!("--html {}: cannot write", path.display()))?;
    }
    console::result(&args.format.write(&comparison, false));
    Ok(Exit::Upheld)
}

impl Report for Outcome {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        out.write_all(table::table(self).as_bytes())
    }
}

impl Report for compare::Comparison {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        out.write_all(compare_table::table(self).as_bytes())
    }
}

/// How the program shall end after `outcome` and signal number `signal`.
fn judge(outcome: &Outcome, signal: usize) -> anyhow::Result<Exit> {
    let samples = outcome.columns.iter().flat_map(|column| &column.samples);
    for Tally { mmap, munmap } in samples.map(|sample| &sample.tally) {
        if !mmap.is_whole() || !munmap.is_whole() {
            bail!("a histogram does not hold every call; this is an error of mapstorm's");
        }
    }
    let main = outcome.column(Role::Main);
    let starved = main.and_then(Rates::of).is_some_and(|rates| rates.starved());
    Ok(match outcome.ended {
        Ended::Hang => Exit::Violated,
        Ended::Interrupted => Exit::of_signal(signal as i32),
        _ if starved => Exit::Undecided,
        _ => Exit::Upheld,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_as_it_went() {
        let good = synthetic::outcome(&[1000; 2], &[1000; 2]);
        let ended = |change: fn(&mut Outcome), signal: i32| {
            let mut outcome = good.clone();
            change(&mut outcome);
            judge(&outcome, signal as usize).ok()
        };
        assert_eq!(ended(|_| (), 0), Some(Exit::Upheld));
        assert_eq!(ended(|o| o.ended = Ended::Hang, 0), Some(Exit::Violated));
        let cut = |o: &mut Outcome| o.ended = Ended::Interrupted;
        assert_eq!(ended(cut, libc::SIGINT), Some(Exit::Interrupted));
        assert_eq!(ended(cut, libc::SIGTERM), Some(Exit::Terminated));
        let starve = |o: &mut Outcome| {
            let samples = o.columns[1].samples.iter_mut();
            samples.for_each(|sample| sample.scanners[0].scans = 0);
        };
        assert_eq!(ended(starve, 0), Some(Exit::Undecided));
        assert_eq!(ended(|o| o.columns[0].samples[1].tally.mmap.calls += 1, 0), None);
    }
}
