//! `mapstorm selfcheck`.

use super::{Failure, Signals};
use crate::cli::PrintArgs;
use mapstorm::exit::Exit;
use mapstorm::sim::sweep::{self, SelfcheckArgs};

/// Proves the oracle on simulated kernels.
///
/// # Errors
/// When signals can't be caught.
pub fn selfcheck(args: &SelfcheckArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    Ok(sweep::run(args, print.quiet, print.verbose, signals.flag()))
}
