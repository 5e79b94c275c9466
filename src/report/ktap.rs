//! Checks as KTAP, for the kernel's test runners.
//!
//! Names are flat. The SKIP directive is bare, and its reason stands on a line before it. The totals
//! come last. Not all parsers know nested tests, reasons behind the directive, or a version above 1.

use super::checks::{Check, Checklist, Status, Totals};
use std::io::{self, Write};

/// Writes KTAP check by check.
pub struct Ktap<W> {
    out: W,
    number: usize,
    totals: Totals,
    verbose: bool,
}

/// Writes all checks of a run that is over.
///
/// # Errors
/// What writing gave.
pub fn write(out: &mut impl Write, list: &Checklist, verbose: bool) -> io::Result<()> {
    let mut ktap = Ktap::begin(out, list.checks.len(), verbose)?;
    list.notes.iter().try_for_each(|note| ktap.remark(note))?;
    list.checks.iter().try_for_each(|check| ktap.check(check))?;
    ktap.end().map(drop)
}

impl<W: Write> Ktap<W> {
    /// Begins with the version and the plan. With `verbose`, passed checks say what was seen, too.
    ///
    /// # Errors
    /// What writing gave.
    pub fn begin(mut out: W, checks: usize, verbose: bool) -> io::Result<Ktap<W>> {
        writeln!(out, "KTAP version 1\n1..{checks}")?;
        out.flush()?;
        Ok(Ktap { out, number: 0, totals: Totals::default(), verbose })
    }

    /// A line that is no result.
    ///
    /// # Errors
    /// What writing gave.
    pub fn remark(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "# {line}")?;
        }
        self.out.flush()
    }

    /// The result of a check.
    ///
    /// # Errors
    /// What writing gave.
    pub fn check(&mut self, check: &Check) -> io::Result<()> {
        if self.verbose || check.status == Status::Fail {
            check.details.iter().try_for_each(|line| self.remark(line))?;
        }
        if let Some(why) = &check.reason {
            self.remark(&format!("{}: {why}", check.name))?;
        }
        self.totals.add(check.status);
        self.number += 1;
        let (word, directive) = match check.status {
            Status::Pass => ("ok", ""),
            Status::Fail => ("not ok", ""),
            Status::Skip => ("ok", " # SKIP"),
        };
        writeln!(self.out, "{word} {} {}{directive}", self.number, check.name)?;
        // A runner that gives up on this process keeps what it has read so far.
        self.out.flush()
    }

    /// Ends with the totals, and gives them.
    ///
    /// # Errors
    /// What writing gave.
    pub fn end(mut self) -> io::Result<Totals> {
        let Totals { pass, fail, skip } = self.totals;
        writeln!(
            self.out,
            "# Totals: pass:{pass} fail:{fail} xfail:0 xpass:0 skip:{skip} error:0"
        )?;
        self.out.flush()?;
        Ok(self.totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_runners_read() {
        let list = Checklist {
            suite: "cases",
            notes: vec!["seed 0x1".into()],
            seconds: 1.0,
            checks: vec![
                Check { details: vec!["seen".into()], ..Check::pass("case1.page.read", 1.0) },
                Check::fail("case1.page.query", 1.0, vec!["a hole".into(), "a\nb".into()]),
                Check::skip("case1.boundary.read", 0.0, "no room"),
            ],
        };
        let text = |verbose| {
            let mut out = Vec::new();
            write(&mut out, &list, verbose).unwrap();
            String::from_utf8(out).unwrap()
        };
        let rest = "# a hole\n\
             # a\n\
             # b\n\
             not ok 2 case1.page.query\n\
             # case1.boundary.read: no room\n\
             ok 3 case1.boundary.read # SKIP\n\
             # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0\n";
        let head = "KTAP version 1\n1..3\n# seed 0x1\n";
        assert_eq!(text(false), format!("{head}ok 1 case1.page.read\n{rest}"));
        assert_eq!(text(true), format!("{head}# seen\nok 1 case1.page.read\n{rest}"));
    }
}
