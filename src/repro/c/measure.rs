//! How often a program tears here: it is compiled, and run again and again.

use crate::repro::scenario::Measured;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum Unmeasured {
    #[error("there is no {0} here to compile it with")]
    NoCompiler(String),
    #[error("{compiler} does not compile it: {text}")]
    Compile { compiler: String, text: String },
    #[error("it can't be tested here: {0}")]
    Untestable(String),
    #[error("it ended with {status}, after {text:?}")]
    Ended { status: ExitStatus, text: String },
    #[error("signal {0} came")]
    Signal(i32),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Compiles the program and runs it for `time`, anew each time that it was torn.
///
/// # Errors
/// Why there is nothing to tell.
pub fn measure(
    program: &str,
    compiler: &str,
    time: Duration,
    signal: &dyn Fn() -> Option<i32>,
) -> Result<Measured, Unmeasured> {
    let dir = tempfile::tempdir()?;
    let (source, binary) = (dir.path().join("tear.c"), dir.path().join("tear"));
    std::fs::write(&source, program)?;
    compile(compiler, &source, &binary)?;
    let (mut sightings, mut walks, mut took) = (0, 0, Duration::ZERO);
    while took < time {
        // The program counts whole seconds.
        let seconds = (time - took).as_secs_f64().ceil();
        let begun = Instant::now();
        let (status, text) = run(&binary, seconds as u64, signal)?;
        took += begun.elapsed();
        let count = walks_of(&text);
        match (status.code(), count) {
            (Some(1), Some(count)) => (sightings, walks) = (sightings + 1, walks + count),
            (Some(0), Some(count)) => walks += count,
            (Some(4), _) => return Err(Unmeasured::Untestable(text.trim().into())),
            _ => return Err(Unmeasured::Ended { status, text }),
        }
    }
    Ok(Measured::here(sightings, walks, took))
}

fn compile(compiler: &str, source: &Path, binary: &Path) -> Result<(), Unmeasured> {
    let mut command = Command::new(compiler);
    command.args(["-O2", "-pthread"]).arg(source).arg("-o").arg(binary).stdin(Stdio::null());
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Unmeasured::NoCompiler(compiler.into()));
        }
        output => output?,
    };
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Unmeasured::Compile { compiler: compiler.into(), text })
}

/// Runs the program for so many seconds; how it ended, and what it said.
fn run(
    binary: &Path,
    seconds: u64,
    signal: &dyn Fn() -> Option<i32>,
) -> Result<(ExitStatus, String), Unmeasured> {
    let mut command = Command::new(binary);
    command.args(["-s", &seconds.to_string()]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Some(number) = signal() {
            child.kill()?;
            child.wait()?;
            return Err(Unmeasured::Signal(number));
        }
        std::thread::sleep(LOOK);
    };
    let mut text = String::new();
    // A few lines, for which a pipe has room.
    child.stdout.take().map_or(Ok(0), |mut out| out.read_to_string(&mut text))?;
    child.stderr.take().map_or(Ok(0), |mut err| err.read_to_string(&mut text))?;
    Ok((status, text))
}

/// The walks that the program tells of.
fn walks_of(text: &str) -> Option<u64> {
    let after = |text: &str, mark: &str| -> Option<u64> {
        let (_, rest) = text.rsplit_once(mark)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    };
    match text.starts_with("TORN: ") {
        // The walk's number, from 0.
        true => after(text.lines().next()?, "(walk ").map(|number| number + 1),
        false => after(text, "not torn in "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORN: &str = "TORN: hole at 0x1000005000: 1000006000-1000007000 rw-p (walk 41)\n";

    #[test]
    fn a_program_tells_how_many_walks_it_made() {
        assert_eq!(walks_of(TORN), Some(42));
        assert_eq!(
            walks_of("not torn in 903 walks; 0 were wrong in other ways\nnote\n"),
            Some(903)
        );
        assert_eq!(walks_of("Segmentation fault"), None);
    }

    #[test]
    fn without_a_compiler_nothing_is_measured() {
        let none = measure("", "no-such-compiler", Duration::ZERO, &|| None).unwrap_err();
        assert!(none.to_string().contains("no no-such-compiler here"), "{none}");
    }
}
