//! A merged report for people, and as a list of checks.

use super::merged::{Kernel, Merged};
use super::run::Score;
use crate::count::counted;
use crate::report::checks::{Check, Checklist};
use crate::report::text::style;
use crate::report::{Report, TextTable, Verdict};
use std::io::{self, Write};

impl Report for Merged {
    fn text(&self, out: &mut Vec<u8>, verbose: bool) -> io::Result<()> {
        let mut kernels = TextTable::new("llrrrrrr");
        kernels.heading(&[
            "kernel",
            "verdict",
            "runs",
            "hosts",
            "hours",
            "lines judged",
            "undecided",
            "tears",
        ]);
        for kernel in &self.kernels {
            let colour = style(kernel.verdict);
            let verdict = format!("{colour}{}{colour:#}", kernel.verdict.word());
            kernels.row([
                kernel.name(),
                verdict,
                kernel.runs.to_string(),
                kernel.hosts.to_string(),
                format!("{:.2}", kernel.hours()),
                kernel.checked_lines.to_string(),
                kernel.undecided.to_string(),
                kernel.tears().to_string(),
            ]);
        }
        out.write_all(kernels.text().as_bytes())?;
        for kernel in self.kernels.iter().filter(|kernel| !kernel.signatures.is_empty()) {
            write!(out, "\n{}\n{}", kernel.name(), signatures(kernel, verbose))?;
        }
        if verbose {
            for kernel in &self.kernels {
                write!(out, "\n{}\n{}", kernel.name(), promises(&kernel.scorecard))?;
            }
        }
        if !self.missing.is_empty() || !self.broken.is_empty() {
            writeln!(out)?;
        }
        self.missing.iter().try_for_each(|shard| writeln!(out, "missing: shard {shard}"))?;
        self.broken
            .iter()
            .try_for_each(|broken| writeln!(out, "broken: {}: {}", broken.file, broken.why))?;
        let colour = style(self.verdict);
        writeln!(
            out,
            "\n{colour}{}{colour:#}: {} on {}{}",
            self.verdict.word(),
            counted(self.runs.len(), "run"),
            counted(self.kernels.len(), "kernel"),
            self.gap(),
        )
    }

    fn checks(&self) -> Option<Checklist> {
        let by_kernel = self.kernels.iter().flat_map(|kernel| {
            let asked = kernel.scorecard.iter().filter(|score| score.asked);
            asked.map(|score| kernel.check(score))
        });
        let whole = match self.gap() {
            gap if gap.is_empty() => Check::pass("all-shards", 0.0),
            gap => Check::skip("all-shards", 0.0, gap.trim_start_matches("; ").to_owned()),
        };
        Some(Checklist {
            suite: "merge",
            notes: vec![self.header.command.clone()],
            seconds: self.kernels.iter().map(|kernel| kernel.elapsed_ms as f64 / 1000.0).sum(),
            checks: by_kernel.chain([whole]).collect(),
        })
    }
}

impl Merged {
    /// What there is no report of, in words; nothing where all is there.
    fn gap(&self) -> String {
        let missing = Some(&self.missing).filter(|all| !all.is_empty());
        let missing = missing.map(|all| format!("; {} missing", counted(all.len(), "shard")));
        let broken = Some(&self.broken).filter(|all| !all.is_empty());
        let broken = broken.map(|all| format!("; {} broken", counted(all.len(), "report")));
        missing.into_iter().chain(broken).collect()
    }
}

impl Kernel {
    fn name(&self) -> String {
        format!("{} {} ({})", self.kernel, self.arch, self.kernel_version)
    }

    fn hours(&self) -> f64 {
        self.elapsed_ms as f64 / 3_600_000.0
    }

    fn tears(&self) -> u64 {
        self.signatures.iter().map(|signature| signature.count).sum()
    }

    /// A promise on this kernel.
    fn check(&self, score: &Score) -> Check {
        let name = format!("{}.{}", self.kernel, score.rule);
        let seconds = self.elapsed_ms as f64 / 1000.0;
        let details =
            vec![format!("{}: broken {} of {}", score.promise, score.broken, score.checked)];
        match self.verdict {
            Verdict::Violated if score.broken > 0 => Check::fail(name, seconds, details),
            Verdict::Undecided | Verdict::Untestable => {
                Check::skip(name, seconds, self.verdict.word())
            }
            _ => Check { details, ..Check::pass(name, seconds) },
        }
    }
}

fn signatures(kernel: &Kernel, verbose: bool) -> String {
    let mut table = TextTable::new("lrrrl");
    table.heading(&["signature", "times", "runs", "first", "host"]);
    for found in &kernel.signatures {
        table.row([
            found.signature.clone(),
            found.count.to_string(),
            found.runs.to_string(),
            format!("{:.1} ms", found.first_at_ms),
            format!("{}{}", found.host, if found.allowed { ", allowed" } else { "" }),
        ]);
        if verbose {
            table.note(format!("  {}", found.command));
            found.files.iter().for_each(|file| table.note(format!("  {file}")));
        }
    }
    table.text()
}

fn promises(scorecard: &[Score]) -> String {
    let mut table = TextTable::new("llrr");
    table.heading(&["promise", "contract", "tested", "broken"]);
    for score in scorecard {
        let contract = score.contract.to_string();
        table.row([
            score.promise.clone(),
            contract,
            score.checked.to_string(),
            score.broken.to_string(),
        ]);
    }
    table.text()
}
