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

/// The command as it was given.
pub fn given() -> String {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    format!("mapstorm {}", words.join(" "))
}

/// The command as it was given, with the seed: pasted, it draws the same again.
pub fn with_seed(seed: u64) -> String {
    let words = given();
    match words.contains(" --seed ") || words.contains(" --seed=") {
        true => words,
        false => format!("{words} --seed {seed:#x}"),
    }
}
