//! `mapstorm selfcheck`.

use super::{Failure, Signals};
use crate::cli::PrintArgs;
use mapstorm::exit::Exit;
use mapstorm::selfcheck::{self, SelfcheckArgs};

/// Proves the oracle on simulated kernels.
///
/// # Errors
/// When the result can't be written.
pub fn selfcheck(args: &SelfcheckArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    selfcheck::run(args, print.quiet, print.verbose, signals.flag())
        .map_err(|error| Failure::Output(std::io::Error::other(error)))
}
