//! The command line of the latency measurement.

use clap::{Parser, Subcommand};
use mapstorm::exit::Exit;
use mapstorm::latency::{self, CompareArgs, Console, LatencyArgs, Progress};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Finds tears in reads of /proc/PID/maps, and what such reads cost.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Latency(LatencyArgs),
    Compare(CompareArgs),
}

fn main() {
    std::process::exit(start().code());
}

fn start() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Upheld
            };
        }
    };
    run(cli).unwrap_or_else(|error| {
        eprintln!("mapstorm: {error:#}");
        latency::exit_of(&error)
    })
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let stop = signals()?;
    let terminal = std::io::stderr().is_terminal();
    let mut console = Console {
        out: &mut std::io::stdout(),
        progress: if terminal {
            Progress::Terminal
        } else {
            Progress::Lines
        },
    };
    match cli.command {
        Command::Latency(args) => latency::run(&args, &stop, &mut console),
        Command::Compare(args) => latency::compare(&args, &mut console),
    }
}

/// The first signal asks for an end, the second kills.
fn signals() -> anyhow::Result<Arc<AtomicUsize>> {
    let stop = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let again = Arc::new(AtomicBool::new(false));
        // Registered before what arms it, so that only a second signal finds it armed.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&again))?;
        signal_hook::flag::register(signal, again)?;
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), signal as usize)?;
    }
    debug_assert_eq!(stop.load(Ordering::Relaxed), 0);
    Ok(stop)
}
