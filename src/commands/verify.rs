//! `mapstorm verify`: does a file prove a violation?

use super::{Failure, Output};
use crate::cli::{Format, VerifyArgs};
use mapstorm::evidence::{FileError, Proof, Tear, TearError, load_tear};
use mapstorm::exit::Exit;
use serde::Serialize;
use std::path::Path;

/// One file's judgement.
#[derive(Serialize)]
struct Verified {
    file: String,
    proves: bool,
    signature: Option<String>,
    why: String,
}

#[derive(Serialize)]
struct Report {
    schema_version: u32,
    files: Vec<Verified>,
}

/// Judges every file by itself, from its raw bytes.
///
/// # Errors
/// When one can't be judged at all, after the others were.
pub fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    let mut broken = None;
    for path in &args.files {
        match judged(path) {
            Ok(verified) => files.push(verified),
            Err(error) => {
                let why = error.why.to_string();
                let file = path.display().to_string();
                files.push(Verified { file, proves: false, signature: None, why });
                broken = broken.or(Some(error));
            }
        }
    }
    let all = files.iter().all(|file| file.proves);
    let text = match args.format {
        Format::Json => {
            let report = Report { schema_version: 1, files };
            serde_json::to_string(&report).expect("plain data") + "\n"
        }
        Format::Text => files.iter().map(line).collect(),
    };
    Output.print(text.as_bytes())?;
    match broken {
        Some(error) => Err(error.into()),
        None if all => Ok(Exit::Upheld),
        None => Ok(Exit::Violated),
    }
}

fn line(file: &Verified) -> String {
    let verdict = if file.proves { "proves" } else { "DOES NOT PROVE a violation" };
    match &file.signature {
        Some(signature) if file.proves => {
            format!("{}: {verdict} {signature}: {}\n", file.file, file.why)
        }
        _ => format!("{}: {verdict}: {}\n", file.file, file.why),
    }
}

fn judged(path: &Path) -> Result<Verified, FileError> {
    let tear = load_tear(path)?;
    let proof = tear.prove().map_err(|why| FileError { path: path.to_owned(), why });
    // What contradicts itself proves nothing, and is no error of whoever asks.
    let (proves, why) = match proof {
        Ok(proof) => told(&tear, &proof),
        Err(FileError { why: why @ (TearError::Flaw(_) | TearError::Piece), .. }) => {
            (false, format!("it {why}"))
        }
        Err(error) => return Err(error),
    };
    let file = path.display().to_string();
    Ok(Verified { file, proves, signature: Some(tear.signature), why })
}

fn told(tear: &Tear, proof: &Proof) -> (bool, String) {
    match proof {
        Proof::Violation(refutation) => {
            let missing = refutation.missing.map_or(String::new(), |address| {
                let (lane, page) = tear.geometry.locate(address);
                format!(", {address:#x} (lane {lane} page {page}) is missing")
            });
            let explained = refutation.explained.len();
            let why = format!(
                "no choice of instants explains it; {explained} things seen can be explained, then \
                 \"{}\" breaks{missing}",
                refutation.rule.promise()
            );
            (true, why)
        }
        Proof::Right => (false, "there are instants that explain all of it".into()),
        Proof::Undecided => (false, "it lacks a layout that would be needed to decide".into()),
        Proof::Other { said, is } | Proof::Renamed { said, is } => {
            (false, format!("it says {said}, but what is in it is {is}"))
        }
    }
}
