//! What to paste next.

use super::super::data::{StormReport, Violation};
use super::{COLUMNS, MARGIN, Room, columns, mechanisms, named};
use crate::command_line::{as_called, quoted};
use crate::count::counted;
use anstyle::Style;
use std::path::Path;

/// See it, prove it, run it again; and where the rest is.
pub(super) fn commands(report: &StormReport, program: &str, room: Room) -> Vec<String> {
    let mut rows = evidence(report, program, room);
    let again = as_called(&report.header.command, program);
    let seed = report.header.seed_word();
    let instead = format!("as it was called, with --seed {seed}; -v has the command");
    rows.extend(under("again", &again, room, &instead));
    rows.push(format!(
        " The whole report: -v, or --format json. Exit code {}",
        report.exit().code()
    ));
    rows
}

fn evidence(report: &StormReport, program: &str, room: Room) -> Vec<String> {
    let files: Vec<&str> = report.files().collect();
    if report.violations.is_empty() {
        return Vec::new();
    }
    if files.is_empty() {
        let words = "not kept: without --no-out it is, for verify, explain and replay";
        return vec![named("evidence", words)];
    }
    let of = |violation: &Violation| violation.kept.iter().find_map(|kept| kept.file.clone());
    let shown = mechanisms::shown(report).and_then(of).unwrap_or_else(|| files[0].to_owned());
    let folders: Vec<Option<&Path>> = files.iter().map(|file| Path::new(file).parent()).collect();
    let what = match folders[0].filter(|_| folders.iter().all(|folder| *folder == folders[0])) {
        Some(folder) if files.len() > 1 && folder != Path::new("") => folder.display().to_string(),
        _ => files[0].to_owned(),
    };
    let verify = format!("{program} verify {}", quoted(&what));
    let see = format!("{program} explain {}", quoted(&shown));
    let instead = "-v and --format json have the files";
    let mut rows = under("see it", &see, room, instead);
    rows.extend(under("prove it", &verify, room, instead));
    let note = format!("     # {}", counted(files.len(), "file"));
    if let Some(last) = rows.last_mut().filter(|row| columns(row) + columns(&note) <= COLUMNS) {
        *last += &note;
    }
    rows
}

/// A command with its name before it; where it takes too many rows, what is said instead.
fn under(name: &str, command: &str, room: Room, instead: &str) -> Vec<String> {
    let rows = folded(command);
    let height = |row: &String| (MARGIN + columns(row)).div_ceil(COLUMNS);
    if rows.iter().map(height).sum::<usize>() > room.command {
        return vec![named(name, instead)];
    }
    let bold = Style::new().bold();
    let width = MARGIN - 2;
    let before = |at| if at == 0 { name } else { "" };
    let row = |(at, row)| format!(" {bold}{:<width$}{bold:#} {row}", before(at));
    rows.into_iter().enumerate().map(row).collect()
}

/// A command on rows that a shell takes as one: all but the last end with a backslash. Never
/// clipped, because it is there to be pasted.
fn folded(command: &str) -> Vec<String> {
    let most = COLUMNS - MARGIN;
    if columns(command) <= most {
        return vec![command.to_owned()];
    }
    let mut rows = vec![String::new()];
    for word in words(command) {
        let row = rows.last_mut().expect("one");
        if row.is_empty() {
            *row += &word;
        } else if columns(row) + 1 + columns(&word) + 2 <= most {
            *row += &format!(" {word}");
        } else {
            *row += " \\";
            rows.push(word);
        }
    }
    rows
}

/// The words of a command, a flag and its value as one.
fn words(command: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in command.split(' ') {
        let is_flag = |last: &&mut String| last.starts_with("--") && !last.contains([' ', '=']);
        match words.last_mut().filter(is_flag).filter(|_| !word.starts_with('-')) {
            Some(flag) => *flag += &format!(" {word}"),
            None => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_command_is_the_same_to_a_shell() {
        let command = format!("echo {} 'a  b' {}", "w".repeat(90), "x y z ".repeat(40));
        let rows = folded(&command);
        assert!(rows.len() > 4);
        let run = |script: &str| {
            std::process::Command::new("sh").args(["-c", script]).output().unwrap().stdout
        };
        assert_eq!(run(&rows.join("\n")), run(&command));
        assert_eq!(folded("mapstorm --seed 1"), ["mapstorm --seed 1"]);
    }
}
