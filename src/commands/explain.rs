//! `mapstorm explain`.

use super::Failure;
use crate::cli::{ExplainArgs, PrintArgs};
use mapstorm::exit::Exit;

/// Explains.
///
/// # Errors
/// When the file is no good.
pub fn explain(_args: &ExplainArgs, _print: &PrintArgs) -> Result<Exit, Failure> {
    Ok(Exit::Upheld)
}
