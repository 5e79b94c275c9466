//! `mapstorm verify`: does a file prove a violation?

use super::Failure;
use crate::cli::VerifyArgs;
use mapstorm::command_line::given;
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::evidence::{
    FileError, Proof, SavedIncident, SavedViolation, Shown, Tear, TearError, load_violation,
    saved_in,
};
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::report::Report;
use mapstorm::verify::Unlike;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// One file's judgement.
#[derive(Serialize)]
struct Verified {
    file: String,
    proves: bool,
    /// Whether it is the account of a stall, and consistent: more than that it can't be.
    witnesses: bool,
    signature: Option<String>,
    why: String,
}

#[derive(Serialize)]
struct AllVerified {
    schema_version: u32,
    #[serde(flatten)]
    header: Header,
    files: Vec<Verified>,
}

impl Report for AllVerified {
    fn text(&self, out: &mut Vec<u8>, _verbose: bool) -> io::Result<()> {
        self.files.iter().try_for_each(|file| out.write_all(line(file).as_bytes()))
    }
}

/// What the content of a file comes to.
enum Finding {
    Proves,
    Witnesses,
    Fails,
}

impl Verified {
    fn new(path: &Path, signature: Option<String>, (finding, why): (Finding, String)) -> Verified {
        Verified {
            file: path.display().to_string(),
            proves: matches!(finding, Finding::Proves),
            witnesses: matches!(finding, Finding::Witnesses),
            signature,
            why,
        }
    }

    fn is_fine(&self) -> bool {
        self.proves || self.witnesses
    }
}

/// Judges every file by itself, from its raw bytes.
///
/// # Errors
/// When a folder has none, or when one can't be judged at all, after the others were.
pub fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    let mut broken = None;
    for path in &saved_in(&args.files)? {
        match judged(path) {
            Ok(verified) => files.push(verified),
            Err(error) => {
                let why = error.why.to_string();
                files.push(Verified::new(path, None, (Finding::Fails, why)));
                broken = broken.or(Some(error));
            }
        }
    }
    let all = files.iter().all(Verified::is_fine);
    let header = Header::new(&Machine::here(), None, given());
    let verified = AllVerified { schema_version: 2, header, files };
    console::result(&args.format.write(&verified, false));
    match broken {
        Some(error) => Err(error.into()),
        None if all => Ok(Exit::Upheld),
        None => Ok(Exit::Violated),
    }
}

fn line(file: &Verified) -> String {
    let verdict = match (file.proves, file.witnesses) {
        (true, _) => "proves",
        (_, true) => "bears witness to",
        _ => "DOES NOT PROVE a violation",
    };
    match &file.signature {
        Some(signature) if file.is_fine() => {
            format!("{}: {verdict} {signature}: {}\n", file.file, file.why)
        }
        _ => format!("{}: {verdict}: {}\n", file.file, file.why),
    }
}

fn judged(path: &Path) -> Result<Verified, FileError> {
    let (signature, judged) = match load_violation(path)? {
        SavedViolation::Tear(tear) => {
            let judged = tear.prove().map(|proof| told(&tear, &proof));
            (tear.signature, judged)
        }
        SavedViolation::SavedIncident(incident) => {
            let judged = incident.examine().map(|shown| shown_by(&incident, &shown));
            (incident.signature, judged)
        }
    };
    // A file that contradicts itself proves nothing; that is a verdict, and no wrong usage.
    let judged = match judged {
        Ok(judged) => judged,
        Err(why @ (TearError::Flaw(_) | TearError::Piece | TearError::Standstill(_))) => {
            (Finding::Fails, format!("it {why}"))
        }
        Err(why) => return Err(FileError { path: path.to_owned(), why }),
    };
    Ok(Verified::new(path, Some(signature), judged))
}

fn shown_by(incident: &SavedIncident, shown: &Shown) -> (Finding, String) {
    match shown {
        Shown::Mismatch(unlike) => {
            let first = &unlike[0];
            let others = match unlike.len() - 1 {
                0 => String::new(),
                others => format!(" (and {others} more)"),
            };
            let why = format!(
                "read anew and compared page by page, lane {}{others} differs: it should be {} and \
                 is read as {}",
                first.lane,
                Unlike::words(&first.expected),
                Unlike::words(&first.read),
            );
            (Finding::Proves, why)
        }
        Shown::Alike => (Finding::Fails, "its lines show the layouts that it has".into()),
        Shown::Other { said, is } => {
            (Finding::Fails, format!("it says {said}, but what is in it is {is}"))
        }
        Shown::Stall => {
            let seconds = |ns: u64| ns as f64 / 1e9;
            let (waited, limit) = incident.waited_ns().unwrap_or_default();
            let why = format!(
                "silent for {:.3} s, beyond its limit of {:.3} s; the account agrees with itself, but \
                 it is a witness's account: no file can prove that time passed",
                seconds(waited),
                seconds(limit),
            );
            (Finding::Witnesses, why)
        }
        Shown::Splat => {
            let why = "what is in it is what a kernel says that finds something wrong with itself; no file \
                       can prove that this one said it";
            (Finding::Witnesses, why.into())
        }
        Shown::Doubtful(why) => (Finding::Fails, (*why).into()),
    }
}

fn told(tear: &Tear, proof: &Proof) -> (Finding, String) {
    match proof {
        Proof::Violation(refutation) => {
            let missing = refutation.missing.map_or(String::new(), |address| {
                match tear.geometry.contains(address) {
                    true => {
                        let (lane, page) = tear.geometry.locate(address);
                        format!(", {address:#x} (lane {lane} page {page}) is missing")
                    }
                    false => format!(", {address:#x} (outside of the arena) is missing"),
                }
            });
            let explained = counted(refutation.explained.len(), "thing");
            let why = format!(
                "no choice of instants explains it; {explained} seen can be explained, then \
                 \"{}\" breaks{missing}",
                refutation.rule.promise()
            );
            (Finding::Proves, why)
        }
        Proof::Right => (Finding::Fails, "there are instants that explain all of it".into()),
        Proof::Undecided => {
            (Finding::Fails, "it lacks a layout that would be needed to decide".into())
        }
        Proof::Other { said, is } | Proof::Renamed { said, is } => {
            (Finding::Fails, format!("it says {said}, but what is in it is {is}"))
        }
    }
}
