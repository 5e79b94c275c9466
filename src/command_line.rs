//! The command line: the groups of its flags, the command that was given, words as a shell takes them.

/// Heading of the flags that say what is done, and for how long.
pub const RUN: &str = "What is done";
/// Heading of the flags that say with how many threads and how much memory.
pub const SIZE: &str = "Threads and memory";
/// Heading of the flags that say what counts as wrong.
pub const JUDGING: &str = "Judging";
/// Heading of the flags that say what is printed and saved.
pub const OUTPUT: &str = "Output";

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The program as it was called, as a shell takes it: what a person pastes finds the same one.
pub fn program() -> String {
    let called = std::env::args_os().next().map(|word| word.to_string_lossy().into_owned());
    quoted(&called.unwrap_or_else(|| NAME.into()))
}

/// What stands for the program in reports and files, wherever it lies.
const NAME: &str = "mapstorm";

/// A command of a report, with the program as it was called.
pub fn as_called(command: &str, program: &str) -> String {
    match command.strip_prefix(NAME) {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => format!("{program}{rest}"),
        _ => command.to_owned(),
    }
}

/// The command as it was given.
pub fn given() -> String {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    format!("{NAME} {}", words.join(" "))
}

/// The command as it was given, with the seed: pasted, it draws the same again.
pub fn with_seed(seed: u64) -> String {
    let words = given();
    match words.contains(" --seed ") || words.contains(" --seed=") {
        true => words,
        false => format!("{words} --seed {seed:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_takes_the_place_of_its_name_and_of_nothing_else() {
        assert_eq!(as_called("mapstorm --seed 0x7", "./a/mapstorm"), "./a/mapstorm --seed 0x7");
        assert_eq!(as_called("mapstorm", "./mapstorm"), "./mapstorm");
        for other in ["mapstorms x", "./mapstorm x", ""] {
            assert_eq!(as_called(other, "/x"), other);
        }
    }
}
