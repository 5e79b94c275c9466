//! Command lines of `mapstorm vm`: the program's in the guest, and those to be pasted.

use super::Failure;
use crate::cli::{Cli, VmArgs};
use clap::{ArgMatches, CommandFactory};
use mapstorm::command_line::quoted;
use mapstorm::vm::{Image, Plan};
use std::ffi::OsString;

/// Commands that make no sense in a guest.
const NOT_IN_A_GUEST: [&str; 2] = ["vm", "compare"];

/// The clap command that the arguments are for. Checked here, where an error costs no boot.
fn command_of(arguments: &[String]) -> Result<clap::Command, Failure> {
    let words = || std::iter::once("mapstorm".into()).chain(arguments.iter().map(OsString::from));
    if let Err(error) = Cli::of(words()) {
        if !error.use_stderr() {
            return Err(Failure::Usage("behind --: help and version are to be had here".into()));
        }
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return Err(Failure::Usage(format!("behind --: {first}")));
    }
    let mut all = Cli::command();
    let named = all.try_get_matches_from_mut(words()).ok();
    let name = named.as_ref().and_then(ArgMatches::subcommand_name).unwrap_or("storm");
    Ok(all.find_subcommand(name).expect("clap has just found it").clone())
}

/// Whether the command has the flag.
pub fn takes(command: &clap::Command, flag: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(flag))
}

/// Whether the flag is among the arguments.
pub fn has(arguments: &[String], flag: &str) -> bool {
    let (flag, with) = (format!("--{flag}"), format!("--{flag}="));
    arguments.iter().any(|word| *word == flag || word.starts_with(&with))
}

/// What the program gets in the guest, but for the seed, and the command that it is for.
pub fn for_guest(args: &VmArgs) -> Result<(clap::Command, Vec<String>), Failure> {
    let mut arguments = args.arguments.clone();
    let command = command_of(&arguments)?;
    if NOT_IN_A_GUEST.contains(&command.get_name()) {
        let name = command.get_name();
        return Err(Failure::Usage(format!("{name} makes no sense in a guest; run it here")));
    }
    if args.seeds.is_some() {
        if !takes(&command, "seed") {
            let name = command.get_name();
            return Err(Failure::Usage(format!(
                "--seeds: {name} takes no seed; leave --seeds out"
            )));
        }
        if has(&arguments, "seed") {
            return Err(Failure::Usage(
                "--seeds gives each run its seed; leave --seed out behind --".into(),
            ));
        }
    }
    // With a folder here, what the program would throw away is kept.
    if args.out.is_some() && takes(&command, "out") && !has(&arguments, "out") {
        arguments.extend(["--out".into(), "tears".into()]);
    }
    Ok((command, arguments))
}

/// The command that makes one run again.
pub fn again(
    args: &VmArgs,
    plan: &Plan,
    kernel: &Image,
    seed: Option<u64>,
    expect: Option<&str>,
) -> String {
    let mut words: Vec<String> = vec!["mapstorm".into(), "vm".into()];
    let mut add = |flag: &str, value: Option<String>| {
        words.push(flag.into());
        words.extend(value.map(|value| quoted(&value)));
    };
    let given = kernel.given.display().to_string();
    match kernel.of_package {
        true => add("--kernel-of", Some(given)),
        false => add(&quoted(&given), None),
    }
    if args.exact {
        add("--exact", None);
    }
    add("--cpus", Some(args.cpus.to_string()));
    add("--memory", Some(args.memory.clone()));
    if !args.append.is_empty() {
        add("--append", Some(args.append.clone()));
    }
    for (flag, path) in [("--guest", &args.guest), ("--qemu", &args.qemu)] {
        if let Some(path) = path {
            add(flag, Some(path.display().to_string()));
        }
    }
    if let Some(seed) = seed {
        add("--seeds", Some(format!("{seed}..{}", seed.wrapping_add(1))));
    }
    if let Some(expect) = expect {
        add("--expect", Some(expect.to_owned()));
    }
    words.push("--".into());
    words.extend(plan.arguments.iter().map(|word| quoted(word)));
    words.join(" ")
}
