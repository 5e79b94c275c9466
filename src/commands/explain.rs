//! `mapstorm explain`: what happened, from a file that a storm saved.

use super::{Failure, write};
use crate::cli::ExplainArgs;
use mapstorm::console;
use mapstorm::evidence::explain::{
    IncidentStory, Story, html, incident_html, incident_text, svg, text,
};
use mapstorm::evidence::{FileError, SavedViolation, load_violation, saved_in};
use mapstorm::exit::Exit;
use std::path::Path;

/// Tells and draws it; of a folder, each file that was saved in it.
///
/// # Errors
/// When a file is no good, or the page can't be written.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let files = saved_in(std::slice::from_ref(&args.file))?;
    let flags = [("--html", &args.html), ("--svg", &args.svg)];
    if let (Some((flag, _)), 2..) = (flags.iter().find(|(_, path)| path.is_some()), files.len()) {
        return Err(Failure::Usage(format!(
            "{flag}: one file takes one page, and {} holds {}; name one of them",
            args.file.display(),
            files.len()
        )));
    }
    for (number, file) in files.iter().enumerate() {
        if files.len() > 1 {
            let space = if number == 0 { "" } else { "\n" };
            console::result(format!("{space}# {}\n", file.display()).as_bytes());
        }
        one(args, file)?;
    }
    Ok(Exit::Upheld)
}

fn one(args: &ExplainArgs, file: &Path) -> Result<(), Failure> {
    let flawed = |why| FileError { path: file.to_owned(), why };
    let mut out = Vec::new();
    let (page, picture) = match load_violation(file)? {
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
    Ok(())
}

fn no_picture() -> Failure {
    Failure::Usage("--svg: a stall has no picture; leave it out, or use --html".into())
}
