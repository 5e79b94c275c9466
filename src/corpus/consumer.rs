//! A parser of somebody else's, fed with the corpus.
//!
//! The parser is a command that reads a text on stdin and writes a line on stdout for each VMA:
//! eight fields with tabs between them, START END PERMS OFFSET MAJOR MINOR INODE NAME. Numbers are
//! hexadecimal without `0x`, the inode decimal; the name is its bytes in hexadecimal.

use super::sample::{Entry, Sample};
use crate::vocabulary::words;
use serde::Serialize;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use strum::{IntoStaticStr, VariantArray};

/// How often it is asked whether a parser is done.
const EVERY: Duration = Duration::from_millis(5);

/// What a parser made of one text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, VariantArray, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Outcome {
    /// What a right parser makes of it.
    Right,
    /// It refused the text.
    Error,
    /// All that it told is right, and some of it is missing.
    Lost,
    /// It told what is not in the text.
    Altered,
    /// It was ended by a signal, or did not end in time.
    Crash,
}

words!(Outcome, "outcome");

/// One text, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tried {
    /// The sample.
    pub name: String,
    /// What is odd about it.
    pub about: String,
    /// Whether it is a torn walk, which may be refused.
    pub torn: bool,
    /// What the parser made of it.
    pub outcome: Outcome,
    /// The first thing that is not as it should be.
    pub why: String,
}

impl Tried {
    /// Whether there is nothing to mend.
    pub fn is_fine(&self) -> bool {
        self.outcome == Outcome::Right || self.torn && self.outcome == Outcome::Error
    }
}

/// A parser to be tried.
pub struct Consumer<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// How long it may take for a text.
    pub timeout: Duration,
}

/// Tries the parser on each sample.
///
/// # Errors
/// Where the program can't be started.
pub fn try_all(consumer: &Consumer<'_>, samples: &[Sample]) -> io::Result<Vec<Tried>> {
    samples.iter().map(|sample| consumer.try_one(sample)).collect()
}

impl Consumer<'_> {
    fn try_one(&self, sample: &Sample) -> io::Result<Tried> {
        let (outcome, why) = self.outcome(sample)?;
        let Sample { name, about, torn, .. } = sample;
        Ok(Tried { name: name.clone(), about: about.clone(), torn: torn.is_some(), outcome, why })
    }

    fn outcome(&self, sample: &Sample) -> io::Result<(Outcome, String)> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env("MAPSTORM_FORMAT", &sample.format);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        let (mut stdin, text) = (child.stdin.take().expect("a pipe"), sample.text.clone());
        let writer = thread::spawn(move || {
            // A parser that does not read to the end is judged by what it tells.
            let _ = stdin.write_all(&text);
        });
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if begun.elapsed() > self.timeout {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(EVERY);
        };
        let Some(status) = status else {
            return Ok((Outcome::Crash, format!("it did not end within {:?}", self.timeout)));
        };
        let parts = (writer.join(), stdout.join(), stderr.join());
        let (Ok(()), Ok(stdout), Ok(stderr)) = parts else {
            return Err(io::Error::other("a thread at one of its pipes panicked"));
        };
        if let Some(signal) = status.signal() {
            return Ok((Outcome::Crash, format!("ended by signal {signal}")));
        }
        if !status.success() {
            let said = String::from_utf8_lossy(&stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
            return Ok((Outcome::Error, format!("it says {last:?}")));
        }
        Ok(compared(&sample.entries, &stdout))
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // What came before an error is all that there is.
        let _ = pipe.read_to_end(&mut all);
        all
    })
}

/// What was told held against what should have been.
fn compared(entries: &[Entry], told: &[u8]) -> (Outcome, String) {
    let told = String::from_utf8_lossy(told);
    let mut left = entries.iter();
    let mut lost = None;
    for line in told.lines() {
        loop {
            let Some(entry) = left.next() else {
                return (
                    Outcome::Altered,
                    format!("it tells {line:?}, and that is not in the text"),
                );
            };
            match difference(entry, line) {
                None => break,
                Some(_) if later(left.as_slice(), line) => lost = lost.or(Some(entry)),
                Some(why) => return (Outcome::Altered, why),
            }
        }
    }
    match lost.or_else(|| left.next()) {
        None => (Outcome::Right, String::new()),
        Some(entry) => (Outcome::Lost, format!("{:x}-{:x} is missing", entry.start, entry.end)),
    }
}

/// Whether the line is that of one of these.
fn later(entries: &[Entry], line: &str) -> bool {
    entries.iter().any(|entry| difference(entry, line).is_none())
}

/// The first field in which a line is not what it should be.
fn difference(entry: &Entry, line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [start, end, perms, offset, major, minor, inode, name] = fields[..] else {
        return Some(format!("{line:?} has {} fields and not 8", fields.len()));
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let numbers = [
        ("start", hex(start), entry.start),
        ("end", hex(end), entry.end),
        ("offset", hex(offset), entry.offset),
        ("major number", hex(major), entry.dev_major.into()),
        ("minor number", hex(minor), entry.dev_minor.into()),
        ("inode", inode.parse().ok(), entry.inode),
    ];
    if let Some((what, told, is)) = numbers.into_iter().find(|(_, told, is)| *told != Some(*is)) {
        let told = told.map_or_else(|| "none".into(), |told| format!("{told:x}"));
        return Some(format!("the {what} is {is:x}, and it tells {told}"));
    }
    if perms != entry.perms {
        return Some(format!("the permissions are {}, and it tells {perms}", entry.perms));
    }
    // The name as it is printed, or the path itself: a parser may undo what the kernel adds.
    let right = [Some(&entry.name), entry.path.as_ref()];
    let told = unhex(name);
    match right.into_iter().flatten().any(|right| Some(&right.0) == told.as_ref()) {
        true => None,
        false => Some(format!(
            "the name is {}, and it tells {}",
            Shown(&entry.name.0),
            told.map_or_else(
                || format!("{name:?}, which is not hexadecimal"),
                |told| Shown(&told).to_string()
            )
        )),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|two| {
            u8::from_str_radix(std::str::from_utf8(two).ok().filter(|t| t.len() == 2)?, 16).ok()
        })
        .collect()
}

/// A name in quotes, cut where it is long.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        let cut = &self.0[..self.0.len().min(MOST)];
        write!(f, "\"{}\"", cut.escape_ascii())?;
        match self.0.len() > MOST {
            true => write!(f, " and {} bytes more", self.0.len() - MOST),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Line;

    fn entries() -> Vec<Entry> {
        let line = |start: u64| Line {
            start,
            end: start + 0x1000,
            perms: 5,
            inode: 7,
            name: b"/a\\012",
            ..Line::EMPTY
        };
        (1..=3).map(|n| Entry::new(&line(n << 12), Some(b"/a\n"))).collect()
    }

    fn told(lines: &[&str]) -> Outcome {
        compared(&entries(), lines.join("\n").as_bytes()).0
    }

    #[test]
    fn a_line_that_is_missing_is_lost_and_one_that_differs_is_altered() {
        const ONE: &str = "1000\t2000\tr-xp\t0\t0\t0\t7\t2f615c303132";
        const TWO: &str = "2000\t3000\tr-xp\t0\t0\t0\t7\t2f610a";
        const THREE: &str = "3000\t4000\tr-xp\t0\t0\t0\t7\t2f610a";
        assert_eq!(told(&[ONE, TWO, THREE]), Outcome::Right);
        assert_eq!(told(&[ONE, THREE]), Outcome::Lost);
        assert_eq!(told(&[TWO, THREE]), Outcome::Lost);
        assert_eq!(told(&[]), Outcome::Lost);
        assert_eq!(told(&[ONE, TWO, THREE, THREE]), Outcome::Altered);
        for (from, to) in [
            ("r-xp", "r-xs"),
            ("\t7\t", "\t8\t"),
            ("2f61", "2f62"),
            ("3000", "4000"),
            ("\t2f610a", ""),
        ] {
            assert_eq!(told(&[ONE, &TWO.replace(from, to), THREE]), Outcome::Altered, "{from}");
        }
    }
}
