//! `mapstorm emit-c`: a tear as a C program.

use super::replay::target;
use super::{Failure, Signals, write};
use crate::cli::EmitCArgs;
use mapstorm::console;
use mapstorm::evidence::{Saved, load};
use mapstorm::exit::Exit;
use mapstorm::oracle::Rule;
use mapstorm::repro::c::{EmitError, Rates, Unmeasured, measure, program};
use mapstorm::repro::replay::Target;
use std::time::Duration;

/// The compiler, as POSIX calls it.
const COMPILER: &str = "cc";

/// Writes the program.
///
/// # Errors
/// When the file is no good, or no short program can show what it shows.
pub fn emit_c(args: &EmitCArgs) -> Result<Exit, Failure> {
    let (target, _) = target(&args.file)?;
    let rule = match load(&args.file)? {
        Saved::Tear(tear) => Some(tear.found.rule),
        Saved::Scenario(_) | Saved::SavedIncident(_) => None,
    };
    let mut rates = Rates::of(&target.scenario);
    let mut text = text(args, &target, rule, &rates)?;
    if let Some(seconds) = args.measure {
        match rate_here(&text, seconds) {
            Ok(measured) => {
                console::note(format_args!("torn {measured}"));
                rates.program = Some(measured);
                text = self::text(args, &target, rule, &rates)?;
            }
            Err(Unmeasured::Signal(number)) => return Ok(Exit::of_signal(number)),
            // The program is as good as without a rate, and says that it has none.
            Err(why) => console::note(format_args!("not measured: {why}")),
        }
    }
    match &args.output {
        None => console::result(text.as_bytes()),
        Some(path) => write("-o", path, text.as_bytes())?,
    }
    Ok(Exit::Upheld)
}

fn rate_here(text: &str, seconds: f64) -> Result<mapstorm::repro::scenario::Measured, Unmeasured> {
    let signals = Signals::catch()?;
    measure(text, COMPILER, Duration::from_secs_f64(seconds), &|| signals.arrived())
}

fn text(
    args: &EmitCArgs,
    target: &Target,
    rule: Option<Rule>,
    rates: &Rates,
) -> Result<String, Failure> {
    program(target, rule, rates).map_err(|error| {
        let text = format!("{}: {error}", args.file.display());
        match error {
            EmitError::Scenario(_) => Failure::Usage(text),
            _ => Failure::Untestable(text),
        }
    })
}
