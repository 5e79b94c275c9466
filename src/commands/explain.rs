//! `mapstorm explain`: what happened, from a file that a storm saved.

use super::Failure;
use crate::cli::ExplainArgs;
use mapstorm::console;
use mapstorm::evidence::{FileError, SavedViolation, load_violation};
use mapstorm::exit::Exit;
use mapstorm::explain::{IncidentStory, Story, html, incident_html, incident_text, text};

/// Tells and draws it.
///
/// # Errors
/// When the file is no good, or the page can't be written.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let flawed = |why| FileError { path: args.file.clone(), why };
    let mut out = Vec::new();
    let page = match load_violation(&args.file)? {
        SavedViolation::Tear(tear) => {
            let story = Story::of(*tear).map_err(flawed)?;
            text::tell(&mut out, &story).expect("into memory");
            args.html.is_some().then(|| html::page(&story))
        }
        SavedViolation::Incident(incident) => {
            let story = IncidentStory::of(*incident).map_err(flawed)?;
            incident_text::tell(&mut out, &story).expect("into memory");
            args.html.is_some().then(|| incident_html::page(&story))
        }
    };
    if let (Some(path), Some(page)) = (&args.html, page) {
        std::fs::write(path, page)
            .map_err(|error| Failure::Usage(format!("--html {}: {error}", path.display())))?;
    }
    console::result(&out);
    Ok(Exit::Upheld)
}
