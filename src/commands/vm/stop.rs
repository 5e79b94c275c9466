//! `mapstorm vm --stop-at`: a machine that stands still where a signature comes, and gdb in it.

use super::{Failure, Shown, Signals};
use crate::cli::{PrintArgs, VmArgs};
use mapstorm::command_line::quoted;
use mapstorm::console;
use mapstorm::exit::Exit;
use mapstorm::vm::stop::{Place, StopError, Stopped, Stopper, commands, invocation};
use mapstorm::vm::{Accel, Fleet, Kernel, Row, hangs};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

impl From<StopError> for Failure {
    fn from(error: StopError) -> Failure {
        Failure::Environment(format!("--stop-at: {error}"))
    }
}

/// Runs the guest once to learn where the signature comes, and again to stop there.
///
/// # Errors
/// When it does not come, or the machine can't be stopped.
pub fn stop(
    args: &VmArgs,
    print: &PrintArgs,
    fleet: &Fleet<'_, Shown<'_>>,
    runs: &[(&Kernel, Option<u64>)],
    signals: &Signals,
) -> Result<Exit, Failure> {
    let &[(kernel, seed)] = runs else {
        return Err(Failure::Usage(format!(
            "--stop-at stops one run, and this is {}; name one kernel, and one seed with --seeds N..N+1",
            runs.len()
        )));
    };
    let asked = args.stop_at.as_deref().unwrap_or_default();
    let rows = fleet.run(runs, 1)?;
    let Some(row) = rows.first() else {
        return Ok(signals.arrived().map_or(Exit::Internal, Exit::of_signal));
    };
    let found = find(row, asked)?;
    let prepared = fleet.prepare(kernel, seed, Accel::Exact)?;
    let stopper = Stopper {
        qemu: &kernel.qemu,
        timeout: Duration::from_secs_f64(args.timeout),
        signal: || signals.arrived(),
        hangs,
    };
    let note = |text: &str| {
        if !print.quiet {
            console::note(text);
        }
    };
    note("the same again, up to there");
    let mut stopped = stopper.at(&prepared, found.place)?;
    let mut before = String::new();
    if let Some(asked) = args.before {
        let there = stopped.instructions;
        drop(stopped);
        note("and again, up to the instruction asked for");
        stopped = stopper.after(&prepared, there.saturating_sub(asked), asked / 8)?;
        // Some thousand fewer than asked for; none, where the mark was passed meanwhile.
        let left = there.saturating_sub(stopped.instructions);
        before = format!("{left} instructions before ");
    }
    // 500 instructions in a microsecond of the guest's time, without what it skipped when idle.
    let micros = stopped.instructions / 500;
    console::result(
        format!(
            "stopped {before}{} after {} instructions, {}.{:06} s of the guest's work\n",
            found.what,
            stopped.instructions,
            micros / 1_000_000,
            micros % 1_000_000,
        )
        .as_bytes(),
    );
    let script = prepared.folder().join("show.gdb");
    std::fs::write(&script, commands(&stopped.stub.display().to_string(), found.hole))
        .map_err(|error| Failure::Environment(format!("{}: {error}", script.display())))?;
    let vmlinux = args.vmlinux.as_ref().or(kernel.image.vmlinux.as_ref());
    if let Some(vmlinux) = vmlinux {
        console::result(&shown_by_gdb(vmlinux, &script)?);
    }
    if args.gdb {
        console::result(what_to_type(vmlinux, &script, &stopped.stub).as_bytes());
        wait(&mut stopped, signals)?;
    }
    Ok(args.exit_codes.of(row.exit()))
}

/// Where to stop, and what there is to say of it.
struct Found {
    place: Place,
    what: String,
    /// The address that was missing.
    hole: Option<u64>,
}

/// The first violation of the run with the signature asked for.
fn find(row: &Row, asked: &str) -> Result<Found, Failure> {
    if asked == "hang" {
        return match row.outcome {
            "hang" => {
                let what = "where the kernel tells of the hang".into();
                Ok(Found { place: Place::Hang, what, hole: None })
            }
            _ => Err(none(row, asked)),
        };
    }
    let violations = row.report.as_ref().and_then(|report| report["violations"].as_array());
    let mut all = violations.into_iter().flatten().enumerate();
    let beginning = format!("{}/", asked.trim_end_matches('/'));
    let fits = |signature: &str| signature == asked || signature.starts_with(&beginning);
    let found = all.find(|(_, violation)| violation["signature"].as_str().is_some_and(fits));
    let Some((number, violation)) = found else { return Err(none(row, asked)) };
    let &mark = row.marks.get(number).ok_or_else(|| {
        Failure::Untestable(
            "the mapstorm in the guest does not tell where it can be stopped".into(),
        )
    })?;
    let signature = violation["signature"].as_str().unwrap_or_default();
    let told = violation["example"].as_array().into_iter().flatten();
    let hole = told.filter_map(|line| line.as_str()).find_map(missing);
    let what = format!("where the evidence of {signature} is complete");
    Ok(Found { place: Place::Mark(mark), what, hole })
}

/// The address in `but 0x7f0000002000 (lane 0 page 2) was mapped`.
fn missing(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("but 0x")?;
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    u64::from_str_radix(&digits, 16).ok()
}

fn none(row: &Row, asked: &str) -> Failure {
    let mut came: Vec<&str> = row.signatures.keys().map(String::as_str).collect();
    came.extend(Some(row.outcome).filter(|outcome| *outcome == "hang"));
    let came = if came.is_empty() { "nothing".to_owned() } else { came.join(", ") };
    Failure::Untestable(format!(
        "--stop-at {asked}: it does not come in this run; what came: {came}"
    ))
}

/// What gdb shows of the machine.
fn shown_by_gdb(vmlinux: &Path, script: &Path) -> Result<Vec<u8>, Failure> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-x"]).arg(script).arg("-ex").arg("disconnect").arg(vmlinux);
    match gdb.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) => Ok(output.stdout),
        Err(error) => Err(Failure::Environment(format!(
            "gdb can't be run ({error}); install it (Debian: apt install gdb), or leave --vmlinux out \
             and go on with --gdb elsewhere"
        ))),
    }
}

fn what_to_type(vmlinux: Option<&PathBuf>, script: &Path, stub: &Path) -> String {
    let mut text = String::from("the machine waits for gdb; in another terminal:\n");
    text += &format!("  {}\n", invocation(vmlinux.map(PathBuf::as_path), script));
    text += &format!(
        "or, without what is shown there: target remote {}\n",
        quoted(&stub.display().to_string())
    );
    text + "`disconnect` leaves it as it is, `kill` or Ctrl-C here ends it.\n"
}

/// Waits until gdb has ended the machine, or somebody this.
fn wait(stopped: &mut Stopped, signals: &Signals) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Environment(format!("QEMU: {error}"));
    while signals.arrived().is_none() && !stopped.is_over().map_err(failed)? {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
