//! `mapstorm corpus` and `mapstorm consumer`: texts for parsers, and how a parser does on them.

use super::Failure;
use crate::cli::{ConsumerArgs, CorpusArgs, PrintArgs};
use mapstorm::command_line::given;
use mapstorm::console;
use mapstorm::corpus::{Consumer, Sample, Tried, all, read_all, try_all, write_all};
use mapstorm::count::counted;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::report::checks::{Check, Checklist};
use mapstorm::report::{Report, TextTable};
use serde::Serialize;
use std::io::{self, Write as _};
use std::time::Duration;

/// Writes the corpus into a folder.
///
/// # Errors
/// A folder that can't be written.
pub fn corpus(args: &CorpusArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let samples = made(print);
    write_all(&samples, &args.dir)
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.dir.display())))?;
    let dir = args.dir.display();
    console::result(format!("{} in {dir}\n", counted(samples.len(), "text")).as_bytes());
    Ok(Exit::Upheld)
}

/// The corpus, with a note for each text that can't be had here.
fn made(print: &PrintArgs) -> Vec<Sample> {
    let (samples, left_out) = all();
    for why in left_out.iter().filter(|_| !print.quiet) {
        console::note(format_args!("left out: {why}"));
    }
    samples
}

#[derive(Serialize)]
struct AllTried {
    schema_version: u32,
    #[serde(flatten)]
    header: Header,
    texts: Vec<Tried>,
}

impl Report for AllTried {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        let mut table = TextTable::new("lll");
        for tried in self.texts.iter().filter(|tried| verbose || !tried.is_fine()) {
            table.row([
                tried.outcome.word(),
                &tried.name,
                &format!("{}: {}", tried.about, tried.why),
            ]);
        }
        out.write_all(table.text().as_bytes())?;
        let fine = self.texts.iter().filter(|tried| tried.is_fine()).count();
        writeln!(out, "right on {fine} of {}", counted(self.texts.len(), "text"))
    }

    fn checks(&self) -> Option<Checklist> {
        let check = |tried: &Tried| match tried.is_fine() {
            true => Check::pass(&*tried.name, 0.0),
            false => {
                let details = vec![format!("{}: {}", tried.outcome, tried.why)];
                Check::fail(&*tried.name, 0.0, details)
            }
        };
        let checks = self.texts.iter().map(check).collect();
        let notes = vec![self.header.command.clone()];
        Some(Checklist { suite: "consumer", notes, seconds: 0.0, checks })
    }
}

/// Feeds a parser with the corpus and compares what it tells.
///
/// # Errors
/// A corpus that can't be read, or a parser that can't be started.
pub fn consumer(args: &ConsumerArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let mut samples = match &args.corpus {
        Some(dir) => read_all(dir).map_err(|why| Failure::Usage(format!("--corpus {why}")))?,
        None => made(print),
    };
    samples.retain(|sample| args.smaps || sample.format == "maps");
    if samples.is_empty() {
        return Err(Failure::Usage(
            "--corpus has no text; `mapstorm corpus DIR` writes one".into(),
        ));
    }
    let timeout = Duration::from_secs_f64(args.timeout);
    let consumer = Consumer { command: &args.command, timeout };
    let texts = try_all(&consumer, &samples)
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.command[0])))?;
    let header = Header::new(&Machine::here(), None, given());
    let result = AllTried { schema_version: 1, header, texts };
    console::result(&args.format.write(&result, print.verbose));
    match result.texts.iter().all(Tried::is_fine) {
        true => Ok(Exit::Upheld),
        false => Ok(Exit::Violated),
    }
}
