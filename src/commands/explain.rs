//! `mapstorm explain`: what happened in a saved tear.

use super::{Failure, Output};
use crate::cli::ExplainArgs;
use mapstorm::evidence::{FileError, load_tear};
use mapstorm::exit::Exit;
use mapstorm::explain::{Story, html, text};

/// Tells and draws it.
///
/// # Errors
/// When the file is no good, or the page can't be written.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let tear = load_tear(&args.file)?;
    let story = Story::of(tear).map_err(|why| FileError { path: args.file.clone(), why })?;
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&story))
            .map_err(|error| Failure::Usage(format!("--html {}: {error}", path.display())))?;
    }
    let mut out = Vec::new();
    text::tell(&mut out, &story).expect("into memory");
    Output.print(&out)?;
    Ok(Exit::Upheld)
}
