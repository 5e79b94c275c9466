//! Reports found in files and folders.

use super::run::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Found {
    /// The runs, as often as they came.
    pub runs: Vec<Run>,
    /// Files that should hold a report and hold none that is whole.
    pub broken: Vec<Broken>,
}

/// A file without a whole report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Broken {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// There is nothing to merge.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum InputError {
    #[error("{}: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    #[error("{}: it is no report of a storm; write one with --format json", .0.display())]
    NoReport(PathBuf),
    #[error("there is no report in {0}; write each with --format json into a file NAME.json")]
    Nothing(String),
}

/// What the content of a file is.
enum Content {
    /// These runs.
    Runs(Vec<Run>),
    /// Something else, such as the evidence of a violation.
    Other,
    /// Nothing whole, and why.
    Broken(String),
}

/// Finds all reports in `paths`. Of a folder and the folders in it, files named `*.json` are looked at.
///
/// # Errors
/// A path that can't be read, a file that is something else, or no report at all.
pub fn find(paths: &[PathBuf]) -> Result<Found, InputError> {
    let mut found = Found::default();
    for path in paths {
        if path.is_dir() {
            folder(path, &mut found)?;
        } else {
            match content(path)? {
                Content::Runs(mut runs) => found.runs.append(&mut runs),
                Content::Other => return Err(InputError::NoReport(path.clone())),
                Content::Broken(why) => found.broken.push(Broken::new(path, why)),
            }
        }
    }
    if found.runs.is_empty() && found.broken.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(InputError::Nothing(named.join(", ")));
    }
    Ok(found)
}

fn folder(dir: &Path, found: &mut Found) -> Result<(), InputError> {
    let unreadable = |why| InputError::Unreadable { path: dir.to_owned(), why };
    let entries = fs::read_dir(dir).map_err(unreadable)?.collect::<Result<Vec<_>, _>>();
    let mut entries = entries.map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder above would never end.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folder(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "json") && path.is_file() {
            match content(&path)? {
                Content::Runs(mut runs) => found.runs.append(&mut runs),
                Content::Other => {}
                Content::Broken(why) => found.broken.push(Broken::new(&path, why)),
            }
        }
    }
    Ok(())
}

fn content(path: &Path) -> Result<Content, InputError> {
    let text = fs::read_to_string(path);
    match text {
        Ok(text) => Ok(read(&text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Ok(Content::Broken("it is no text".into()))
        }
        Err(why) => Err(InputError::Unreadable { path: path.to_owned(), why }),
    }
}

/// One object, or one in each line that begins with a brace: what a job leaves that writes its
/// report among other output.
fn read(text: &str) -> Content {
    if text.trim().is_empty() {
        return Content::Broken("it is empty: its run did not come to its report".into());
    }
    let whole: serde_json::Result<Value> = serde_json::from_str(text);
    let values: Result<Vec<Value>, _> = match whole {
        Ok(value) => Ok(vec![value]),
        Err(error) => {
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
            match lines.is_empty() {
                true => Err(error),
                false => lines.into_iter().map(serde_json::from_str).collect(),
            }
        }
    };
    match values {
        Ok(values) => {
            let runs: Result<Vec<Vec<Run>>, _> = values.iter().map(runs).collect();
            match runs.map(|runs| runs.concat()) {
                Ok(runs) if runs.is_empty() => Content::Other,
                Ok(runs) => Content::Runs(runs),
                Err(error) => {
                    Content::Broken(format!("it is a report of another version: {error}"))
                }
            }
        }
        Err(error) => Content::Broken(format!("it is no whole JSON ({error}); was its run ended?")),
    }
}

/// The runs in one object: a storm's report is one, a merged report has `runs`, and a table of guests
/// has `rows` with the report of each.
fn runs(value: &Value) -> serde_json::Result<Vec<Run>> {
    let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let merged = list("runs").iter().filter(|run| is_report(run));
    let guests = list("rows").iter().map(|row| &row["report"]).filter(|report| is_report(report));
    let own = Some(value).filter(|value| is_report(value));
    own.into_iter().chain(merged).chain(guests).map(Run::deserialize).collect()
}

fn is_report(value: &Value) -> bool {
    ["verdict", "scorecard", "violations", "started"].iter().all(|key| value.get(key).is_some())
}

impl Broken {
    fn new(path: &Path, why: String) -> Broken {
        Broken { file: path.display().to_string(), why }
    }
}
