//! `mapstorm latency` and `mapstorm compare`.

use super::{Failure, Signals};
use crate::cli::PrintArgs;
use mapstorm::console::Progress;
use mapstorm::exit::Exit;
use mapstorm::latency::{self, CompareArgs, LatencyArgs};

/// Measures and reports.
///
/// # Errors
/// When nothing can be measured.
pub fn latency(args: &LatencyArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    latency::run(args, signals.flag(), Progress::here(print.quiet)).map_err(Failure::Latency)
}

/// Compares results.
///
/// # Errors
/// When a file can't be read, or the page can't be written.
pub fn compare(args: &CompareArgs) -> Result<Exit, Failure> {
    latency::compare(args).map_err(Failure::Latency)
}
