//! `mapstorm latency` and `mapstorm compare`.

use super::{Failure, Signals};
use crate::cli::PrintArgs;
use mapstorm::exit::Exit;
use mapstorm::latency::{self, CompareArgs, Console, LatencyArgs, Progress};
use std::io::IsTerminal;

/// Measures and reports.
///
/// # Errors
/// When nothing can be measured, or the result can't be written.
pub fn latency(args: &LatencyArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    with_console(print, |console| latency::run(args, signals.flag(), console))
}

/// Compares results.
///
/// # Errors
/// When a file can't be read, or the comparison can't be written.
pub fn compare(args: &CompareArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    with_console(print, |console| latency::compare(args, console))
}

fn with_console(
    print: &PrintArgs,
    run: impl FnOnce(&mut Console<'_>) -> anyhow::Result<Exit>,
) -> Result<Exit, Failure> {
    let progress = match (print.quiet, std::io::stderr().is_terminal()) {
        (true, _) => Progress::Quiet,
        (false, true) => Progress::Terminal,
        (false, false) => Progress::Lines,
    };
    run(&mut Console { out: &mut std::io::stdout(), progress }).map_err(Failure::Latency)
}
