//! `mapstorm emit-c`.

use super::Failure;
use crate::cli::{EmitCArgs, PrintArgs};
use mapstorm::exit::Exit;

/// Emits.
///
/// # Errors
/// When the file is no good.
pub fn emit_c(_args: &EmitCArgs, _print: &PrintArgs) -> Result<Exit, Failure> {
    Ok(Exit::Upheld)
}
