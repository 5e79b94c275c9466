//! What is said of how often a program tears: what was measured, and no more.

use crate::repro::scenario::Measured;

/// A program that tears more rarely than once in so many seconds says so.
const LONG: f64 = 60.0;
/// Columns of a line of the header.
const WIDTH: usize = 96;

/// What was measured of what the program is to show.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rates {
    /// The program itself.
    pub program: Option<Measured>,
    /// The scenario, replayed.
    pub replay: Option<Measured>,
}

impl Rates {
    /// What a scenario's file says.
    pub fn of(scenario: &crate::repro::scenario::Scenario) -> Rates {
        Rates { program: None, replay: scenario.measured.clone() }
    }

    /// What says most of the program: its own rate, else the replay's.
    fn best(&self) -> Option<(&'static str, &Measured)> {
        let own = self.program.as_ref().map(|measured| ("This program was torn", measured));
        let replayed = || Some(("`mapstorm replay` was torn", self.replay.as_ref()?));
        own.or_else(replayed)
    }

    /// The paragraph of the header.
    pub(super) fn header(&self) -> String {
        let mut words = Vec::new();
        match self.best() {
            None => words.push("How often it tears was not measured.".to_owned()),
            Some((what, measured)) => {
                words.push(format!("{what} {measured}: {}.", measured.place()));
                if self.program.is_none() {
                    words.push("How often this program is was not measured.".into());
                }
            }
        }
        words
            .extend(self.patience().map(|seconds| format!("It takes patience: try -s {seconds}.")));
        wrapped(&plain(&words.join(" ")))
    }

    /// What the program says after it was not torn, as the inside of a C string; empty where nothing
    /// is known.
    pub(super) fn note(&self) -> String {
        let Some((_, measured)) = self.best() else { return String::new() };
        let where_from = if self.program.is_some() { "it" } else { "its scenario" };
        let seconds = measured.seconds();
        let known = match measured.every() {
            None => {
                format!("{where_from} was never torn in the {seconds:.0} s that it was measured")
            }
            Some(every) => format!("where {where_from} was measured, once in {every:.1} s"),
        };
        match self.patience() {
            Some(more) => format!("{known}: that takes more than a minute, try -s {more}\\n"),
            None => format!("{known}\\n"),
        }
    }

    /// The seconds to be tried, where it takes more than a minute: three mean times, after which
    /// one in twenty is not torn yet.
    fn patience(&self) -> Option<u64> {
        let (_, measured) = self.best()?;
        let every = measured.every().unwrap_or(measured.seconds());
        (every > LONG).then_some((3.0 * every).ceil() as u64)
    }
}

/// Text that can't end the comment it is in, nor seem to begin another.
fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '*' | '\\' => '+',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(harmless).collect()
}

/// The text in lines of a C comment.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = WIDTH;
    for word in text.split_whitespace() {
        if column + 1 + word.len() > WIDTH {
            lines += if lines.is_empty() { " *" } else { "\n *" };
            column = 2;
        }
        lines += " ";
        lines += word;
        column += 1 + word.len();
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn measured(sightings: u32, seconds: u64) -> Measured {
        let mut here = Measured::here(sightings, 1000 * seconds, Duration::from_secs(seconds));
        here.header.kernel = "6.18.44".into();
        here.header.kernel_version = "#1 SMP".into();
        here.header.started = "2026-11-28T09:00:00Z".into();
        here
    }

    fn program(sightings: u32, seconds: u64) -> Rates {
        Rates { program: Some(measured(sightings, seconds)), replay: Some(measured(100, 100)) }
    }

    #[test]
    fn nothing_is_promised_that_was_not_measured() {
        let none = Rates::default();
        assert_eq!(none.header(), " * How often it tears was not measured.\n");
        assert_eq!(none.note(), "");
        let replay = Rates { program: None, replay: Some(measured(8, 16)) };
        let header = replay.header().replace("\n *", "");
        assert!(header.contains("`mapstorm replay` was torn 8 times in 16.0 s"), "{header}");
        assert!(header.contains("Linux 6.18.44 (#1 SMP), 2026-11-28T09:00:00Z"), "{header}");
        assert!(header.contains("How often this program is was not measured."), "{header}");
        assert_eq!(replay.note(), "where its scenario was measured, once in 2.0 s\\n");
        let own = program(5, 20);
        let header = own.header().replace("\n *", "");
        assert!(header.contains("This program was torn 5 times in 20.0 s"), "{header}");
        assert!(header.contains("once in 4.00 s and 4000 walks"), "{header}");
        assert!(!header.contains("replay") && !header.contains("patience"), "{header}");
    }

    #[test]
    fn what_takes_more_than_a_minute_says_so_twice() {
        for (rates, seconds) in [(program(2, 200), 300), (program(0, 90), 270)] {
            let wanted = format!("-s {seconds}");
            assert!(rates.header().contains(&wanted), "{}", rates.header());
            let note = rates.note();
            assert!(note.contains("more than a minute") && note.contains(&wanted), "{note}");
        }
        for rates in [program(2, 100), program(0, 10)] {
            assert!(!rates.note().contains("minute"), "{}", rates.note());
        }
    }

    #[test]
    fn what_a_file_says_of_a_kernel_ends_no_comment() {
        let mut odd = measured(1, 1);
        odd.header.kernel_version = "#1 */ int main(void); /* \\ \n% é".into();
        let rates = Rates { program: Some(odd), replay: None };
        let header = rates.header();
        assert!(!header.contains("*/") && !header.contains("/*"), "{header}");
        assert!(header.is_ascii() && !header.contains('\\'), "{header}");
        let lines = header.lines();
        assert!(lines.clone().all(|line| line.starts_with(" * ") && line.len() <= 100), "{header}");
        assert!(!rates.note().contains("int main"), "{}", rates.note());
    }
}
