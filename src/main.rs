//! mapstorm's command line: arguments in, a report and an exit code out.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]

mod cli;
mod commands;

use clap::error::ErrorKind;
use cli::{Cli, Command};
use commands::Failure;
use mapstorm::allocations::Counting;
use mapstorm::console;
use mapstorm::exit::Exit;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    if let Some(job) = mapstorm::vm::guest::job() {
        mapstorm::vm::guest::init(&job);
    }
    mapstorm::vm::guest::arrived();
    let exit = match Cli::read() {
        Ok(cli) => run(&cli).map_or_else(|failure| complain(&failure), written),
        Err(error) => written(usage(&error)),
    };
    mapstorm::vm::guest::leaving(exit);
    std::process::exit(exit.code());
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    commands::set_colour(cli.print.color);
    match &cli.command {
        None => commands::storm(&cli.storm, &cli.print),
        Some(Command::Storm(args)) => commands::storm(args, &cli.print),
        Some(Command::FirstTears(args)) => commands::first_tears(args, &cli.print),
        Some(Command::Corpus(args)) => commands::corpus(args, &cli.print),
        Some(Command::Consumer(args)) => commands::consumer(args, &cli.print),
        Some(Command::Merge(args)) => commands::merge(args, &cli.print),
        Some(Command::Verify(args)) => commands::verify(args),
        Some(Command::Explain(args)) => commands::explain(args),
        Some(Command::Replay(args)) => commands::replay(args, &cli.print),
        Some(Command::Minimize(args)) => commands::minimize(args, &cli.print),
        Some(Command::EmitC(args)) => commands::emit_c(args),
        Some(Command::Probe(args)) => commands::probe(args),
        Some(Command::Cases(args)) => commands::cases(args, &cli.print),
        Some(Command::Latency(args)) => commands::latency(args, &cli.print),
        Some(Command::Compare(args)) => commands::compare(args),
        Some(Command::Vm(args)) => commands::vm(args, &cli.print),
        Some(Command::Selfcheck(args)) => commands::selfcheck(args, &cli.print),
    }
}

/// The one place where errors are printed.
fn complain(failure: &Failure) -> Exit {
    console::to_stderr(format!("mapstorm: {failure}\n").as_bytes());
    failure.exit()
}

/// A result that stdout did not take is an error, whatever the result was; it has gone to stderr.
fn written(exit: Exit) -> Exit {
    match console::lost() {
        None => exit,
        Some(error) => complain(&Failure::Output(error)),
    }
}

/// Help and version are no errors; everything else is one, and never with clap's own exit code 2.
fn usage(error: &clap::Error) -> Exit {
    let text = error.render().ansi().to_string();
    match error.use_stderr() {
        true => console::to_stderr(text.as_bytes()),
        false => console::result(text.as_bytes()),
    }
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Upheld,
        _ => Exit::Usage,
    }
}
