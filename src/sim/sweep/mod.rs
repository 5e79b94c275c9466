//! `mapstorm selfcheck`: every bug of the catalogue has to be found, and a right kernel has to
//! pass.

mod kernels;
mod report;

use crate::command_line::{OUTPUT, RUN, with_seed};
use crate::console;
use crate::exit::Exit;
use crate::header::Header;
use crate::host::Machine;
use crate::oracle::Contract;
use crate::report::Format;
use crate::seed;
use crate::sim::Bug;
use clap::Args;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub use report::{BugRow, ModelRow, Report};

/// Arguments of `mapstorm selfcheck`.
#[derive(Clone, Debug, Args)]
pub struct SelfcheckArgs {
    /// How long it takes, in seconds: half for the kernels with a bug, half for the right ones
    #[arg(long, help_heading = RUN, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Seed of the first simulated kernel, decimal or 0x hexadecimal [default: drawn]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
    /// Try only this bug, and no right kernel
    #[arg(long, help_heading = RUN, value_name = "BUG")]
    pub only: Option<Bug>,
}

/// Runs the check, writes its result to stdout, and says how it ended. A signal's number in
/// `stop` ends it early: what was not run by then counts as neither found nor missed. `quiet` shows
/// no progress, `verbose` tells each bug's mechanism.
pub fn run(args: &SelfcheckArgs, quiet: bool, verbose: bool, stop: &AtomicUsize) -> Exit {
    let report = check(args, quiet, stop);
    console::result(&args.format.write(&report, verbose));
    args.format.exit(&report, report.exit())
}

/// Runs the check.
pub fn check(args: &SelfcheckArgs, quiet: bool, stop: &AtomicUsize) -> Report {
    let seed = args.seed.unwrap_or_else(seed::draw);
    let time = Duration::from_secs(args.seconds as u64);
    let header =
        Header::new(&Machine::here(), Some(seed), with_seed(seed)).judged_by(Contract::Series);
    kernels::sweep(header, seed, time, args.only, quiet, stop)
}
