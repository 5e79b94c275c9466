//! `mapstorm merge`: one report of many runs.

use super::Failure;
use crate::cli::{MergeArgs, PrintArgs};
use mapstorm::command_line::given;
use mapstorm::console;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::merge::{InputError, Merged, find};

/// Merges the reports in files and folders.
///
/// # Errors
/// Files that can't be read, or hold no report.
pub fn merge(args: &MergeArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let found = find(&args.paths).map_err(|error: InputError| Failure::Usage(error.to_string()))?;
    let merged = Merged::new(Header::new(&Machine::here(), None, given()), found);
    console::result(&args.format.write(&merged, print.verbose));
    Ok(args.format.exit(&merged, merged.exit()))
}
