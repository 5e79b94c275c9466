//! `mapstorm emit-c`: a tear as a C program.

use super::Failure;
use super::replay::target;
use crate::cli::EmitCArgs;
use mapstorm::console;
use mapstorm::emit::{EmitError, program};
use mapstorm::evidence::{Saved, load};
use mapstorm::exit::Exit;

/// Writes the program.
///
/// # Errors
/// When the file is no good, or no short program can show what it shows.
pub fn emit_c(args: &EmitCArgs) -> Result<Exit, Failure> {
    let (target, _) = target(&args.file)?;
    let rule = match load(&args.file)? {
        Saved::Tear(tear) => Some(tear.found.rule),
        Saved::Scenario(_) | Saved::Incident(_) => None,
    };
    let text = program(&target, rule).map_err(|error| {
        let text = format!("{}: {error}", args.file.display());
        match error {
            EmitError::Scenario(_) => Failure::Usage(text),
            _ => Failure::Untestable(text),
        }
    })?;
    match &args.output {
        None => console::result(text.as_bytes()),
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::Usage(format!("-o {}: {error}", path.display())))?,
    }
    Ok(Exit::Upheld)
}
