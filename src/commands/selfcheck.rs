//! `mapstorm selfcheck`.

use super::{Failure, Signals};
use mapstorm::exit::Exit;
use mapstorm::selfcheck::{self, SelfcheckArgs};

/// Checks the checker on simulated kernels.
///
/// # Errors
/// When the result can't be written.
pub fn selfcheck(args: &SelfcheckArgs) -> Result<Exit, Failure> {
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    let exit = selfcheck::run(args, signals.raised())
        .map_err(|error| Failure::Environment(format!("{error:#}")))?;
    Ok(signals.exit().unwrap_or(exit))
}
