//! What the subcommands do: from arguments to a report and an exit code.

mod cases;
mod colour;
mod corpus;
mod emit_c;
mod explain;
mod first_tears;
mod latency;
mod merge;
mod minimize;
mod probe;
mod replay;
mod selfcheck;
mod signals;
mod storm;
mod verify;
mod vm;

pub use cases::cases;
pub use colour::set_colour;
pub use corpus::{consumer, corpus};
pub use emit_c::emit_c;
pub use explain::explain;
pub use first_tears::first_tears;
pub use latency::{compare, latency};
pub use merge::merge;
pub use minimize::minimize;
pub use probe::probe;
pub use replay::replay;
pub use selfcheck::selfcheck;
pub use signals::Signals;
pub use storm::storm;
pub use verify::verify;
pub use vm::vm;

use mapstorm::console;
use mapstorm::engine::StormError;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::kernel::ReserveError;
use mapstorm::report::{Format, text};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The first lines, before anything can go wrong: on stdout for people, else on stderr.
fn announce(format: Format, quiet: bool, header: &Header) {
    let mut line = Vec::new();
    text::first_lines(&mut line, header).expect("into memory");
    match format {
        Format::Text => console::result(&line),
        _ if !quiet => console::aside(&line),
        _ => {}
    }
}

/// The first lines of a run whose report begins with the verdict: on stderr, before anything can go
/// wrong.
fn announce_aside(quiet: bool, header: &Header) {
    let mut line = Vec::new();
    text::first_lines(&mut line, header).expect("into memory");
    if !quiet {
        console::aside(&line);
    }
}

/// Writes the file that `flag` names. That it can't be opened is the flag's fault; that it can't be
/// written is not.
fn write(flag: &str, path: &Path, content: &[u8]) -> Result<(), Failure> {
    let named = |error: io::Error| format!("{flag} {}: {error}", path.display());
    let mut file = File::create(path).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::Environment(named(error))
        }
        _ => Failure::Usage(named(error)),
    })?;
    file.write_all(content).map_err(|error| Failure::Environment(named(error)))
}

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command asks for something that can't be.
    #[error("{0}")]
    Usage(String),
    /// Not testable on this kernel or in this sandbox.
    #[error("not testable here: {0}")]
    Untestable(String),
    /// Something else is in the way.
    #[error("{0}")]
    Environment(String),
    /// A measurement that could not be made, with its own exit code.
    #[error("{0:#}")]
    Latency(anyhow::Error),
    /// stdout can't be written.
    #[error("cannot write the result to stdout: {0}")]
    Output(std::io::Error),
}

impl Failure {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Untestable(_) => Exit::Untestable,
            Failure::Latency(error) => mapstorm::latency::exit_of(error),
            Failure::Environment(_) | Failure::Output(_) => Exit::Internal,
        }
    }
}

impl From<ReserveError> for Failure {
    fn from(error: ReserveError) -> Failure {
        Failure::Environment(error.to_string())
    }
}

impl From<mapstorm::evidence::FileError> for Failure {
    fn from(error: mapstorm::evidence::FileError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<mapstorm::evidence::FolderError> for Failure {
    fn from(error: mapstorm::evidence::FolderError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<StormError> for Failure {
    fn from(error: StormError) -> Failure {
        match error {
            StormError::Maps(_) => Failure::Untestable(error.to_string()),
            _ => Failure::Environment(error.to_string()),
        }
    }
}
