//! `mapstorm explain`: what happened, from a file that a storm saved.

use super::{Failure, write};
use crate::cli::ExplainArgs;
use mapstorm::console;
use mapstorm::evidence::explain::{
    IncidentStory, Story, html, incident_html, incident_text, svg, text,
};
use mapstorm::evidence::{FileError, SavedViolation, load_violation};
use mapstorm::exit::Exit;

/// Tells and draws it.
///
/// # Errors
/// When the file is no good, or the page can't be written.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let flawed = |why| FileError { path: args.file.clone(), why };
    let mut out = Vec::new();
    let (page, picture) = match load_violation(&args.file)? {
        SavedViolation::Tear(tear) => {
            let story = Story::of(*tear).map_err(flawed)?;
            text::tell(&mut out, &story).expect("into memory");
            let picture = args.svg.is_some().then(|| svg::tear(&story));
            (args.html.is_some().then(|| html::page(&story)), picture)
        }
        SavedViolation::SavedIncident(incident) => {
            let story = IncidentStory::of(*incident).map_err(flawed)?;
            incident_text::tell(&mut out, &story).expect("into memory");
            let picture = args.svg.is_some().then(|| svg::incident(&story).ok_or_else(no_picture));
            (args.html.is_some().then(|| incident_html::page(&story)), picture.transpose()?)
        }
    };
    for (flag, path, content) in [("--html", &args.html, page), ("--svg", &args.svg, picture)] {
        if let (Some(path), Some(content)) = (path, content) {
            write(flag, path, content.as_bytes())?;
        }
    }
    console::result(&out);
    Ok(Exit::Upheld)
}

fn no_picture() -> Failure {
    Failure::Usage("--svg: a stall has no picture; leave it out, or use --html".into())
}
