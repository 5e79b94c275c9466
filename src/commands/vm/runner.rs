//! `mapstorm vm --runner`: the same runs through somebody else's way to boot a kernel.

use super::Failure;
use super::words::{has, takes};
use crate::cli::VmArgs;
use mapstorm::command_line::quoted;
use mapstorm::exit::Exit;
use mapstorm::report::Verdict;
use mapstorm::vm::{Ended, Guest, Row, Told, spread};
use serde::Deserialize;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What stands for the kernel, as it was named.
const KERNEL: &str = "{kernel}";
/// What stands for mapstorm with its arguments.
const COMMAND: &str = "{command}";
/// What stands for the arguments alone.
const ARGUMENTS: &str = "{arguments}";
/// How often it is asked whether a runner is done.
const EVERY: Duration = Duration::from_millis(50);

/// What a shell says of a program that did not run.
const NO_CODE: i32 = 127;

/// Each kernel's name, and the seed.
pub type Run = (String, Option<u64>);

/// Runs them.
///
/// # Errors
/// Where a runner can't be started.
pub fn run(
    args: &VmArgs,
    runner: &str,
    guest: (&clap::Command, &[String]),
    runs: &[Run],
    signal: &(dyn Fn() -> Option<i32> + Sync),
    over: impl Fn(&Row) + Sync,
) -> Result<Vec<Row>, Failure> {
    if !runner.contains(COMMAND) && !runner.contains(ARGUMENTS) {
        return Err(Failure::Usage(format!(
            "--runner {runner}: has no {COMMAND} and no {ARGUMENTS}, so it would not run mapstorm; as in \
             'vng -r {KERNEL} -- {COMMAND}'"
        )));
    }
    spread(
        runs,
        args.jobs.into(),
        || signal().is_some(),
        |(kernel, seed)| {
            let line = line(runner, kernel, *seed, guest);
            let row = one(&line, kernel, *seed, Duration::from_secs_f64(args.timeout), signal)?;
            over(&row);
            Ok(row)
        },
    )
}

/// The shell's command line for one run.
fn line(
    runner: &str,
    kernel: &str,
    seed: Option<u64>,
    (command, arguments): (&clap::Command, &[String]),
) -> String {
    let mut words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    words.extend(seed.map(|seed| format!("--seed {seed}")));
    if takes(command, "format") && !has(arguments, "format") {
        words.push("--format json".into());
    }
    let words = words.join(" ");
    let own = std::env::current_exe().unwrap_or_else(|_| "mapstorm".into());
    let whole = format!("{} {words}", quoted(&own.display().to_string()));
    let line = runner.replace(KERNEL, &quoted(kernel));
    line.replace(COMMAND, &whole).replace(ARGUMENTS, &words)
}

fn one(
    line: &str,
    kernel: &str,
    seed: Option<u64>,
    timeout: Duration,
    signal: &(dyn Fn() -> Option<i32> + Sync),
) -> Result<Row, Failure> {
    let failed = |error| Failure::Environment(format!("--runner: {line}: {error}"));
    let start = Instant::now();
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(failed)?;
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        // What came before an error is all that there is.
        let _ = stdout.read_to_end(&mut text);
        text
    });
    let ended = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break Ended::Program(status.code().unwrap_or(NO_CODE));
        }
        let stop = signal().map(Ended::Signal);
        let late = (start.elapsed() > timeout).then_some(Ended::Timeout);
        if let Some(ended) = stop.or(late) {
            // It may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            break ended;
        }
        thread::sleep(EVERY);
    };
    // A runner that was killed may leave children with the pipe open; they are not waited for.
    let text = if matches!(ended, Ended::Program(_)) {
        reader.join().unwrap_or_default()
    } else {
        Vec::new()
    };
    let report = text.split(|&byte| byte == b'\n').rev().find_map(report_in);
    let ended = match ended {
        Ended::Program(code) => by_report(code, report.as_ref()),
        other => other,
    };
    let told = Told { report, ..Told::default() };
    let console = String::from_utf8_lossy(&text).into_owned();
    let guest = Guest { ended, port: text, console, began: None, took: start.elapsed() };
    let name = Path::new(kernel).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Row::new(if name.is_empty() { kernel.into() } else { name }, seed, &guest, told, None))
}

/// The report in a line of what a runner gave back. A guest that has one terminal for all puts what
/// the program says of its progress before it.
fn report_in(line: &[u8]) -> Option<Value> {
    let begin = line.iter().position(|&byte| byte == b'{')?;
    serde_json::from_slice(&line[begin..]).ok()
}

/// How the program ended. A runner can lose its exit code on the way; the verdict in its report is not
/// lost.
fn by_report(code: i32, report: Option<&Value>) -> Ended {
    let verdict = report.and_then(|report| Verdict::deserialize(&report["verdict"]).ok());
    match (Exit::of_code(code), verdict) {
        (Some(Exit::HungUp | Exit::Interrupted | Exit::Terminated), _) | (Some(_), None) => {
            Ended::Program(code)
        }
        (_, Some(verdict)) => Ended::Program(verdict.exit(None).code()),
        (None, None) => {
            Ended::Died(format!("the runner ended with exit code {code}, and gave no report"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_found_behind_what_is_said_of_the_progress() {
        let report = json!({"verdict": "upheld"});
        assert_eq!(
            report_in(b"   1 s  no violation\r\x1b[K{\"verdict\":\"upheld\"}\r"),
            Some(report)
        );
        assert_eq!(report_in(b"[    1.0] reboot: {0} of {1}"), None);
    }

    #[test]
    fn the_verdict_goes_before_a_code_that_got_lost() {
        let report = json!({"verdict": "violated"});
        assert_eq!(by_report(255, Some(&report)), Ended::Program(1));
        assert_eq!(by_report(0, Some(&report)), Ended::Program(1));
        assert_eq!(by_report(130, Some(&report)), Ended::Program(130));
        assert_eq!(by_report(5, Some(&json!({}))), Ended::Program(5));
        assert!(matches!(by_report(255, None), Ended::Died(why) if why.contains("code 255")));
    }
}
