//! A stand-in until the real command line is there.

use clap::Parser;
use mapstorm::selfcheck::{SelfcheckArgs, run};
use std::sync::atomic::AtomicBool;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Proves the oracle.
    Selfcheck(SelfcheckArgs),
}

fn main() -> anyhow::Result<()> {
    let Cli {
        command: Command::Selfcheck(args),
    } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print()?;
            std::process::exit(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let exit = run(&args, &AtomicBool::new(false))?;
    std::process::exit(exit.code())
}
