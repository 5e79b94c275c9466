//! What /proc says of a thread that does not come back.

use serde::{Deserialize, Serialize};

/// One file of `/proc/self/task/TID`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadFile {
    /// `stack`, `wchan`, `syscall`, `stat` or `schedstat`.
    pub file: String,
    /// Its text, or why it cannot be read.
    pub text: String,
}

impl ThreadFile {
    /// The files that are read, by name.
    pub const NAMES: [&str; 5] = ["stack", "wchan", "syscall", "stat", "schedstat"];
}

/// Where a thread of this process stands: its kernel stack, wait channel, system call, state and CPU
/// time, each as far as it can be read (the stack takes CAP_SYS_ADMIN: fs/proc/base.c, `proc_pid_stack`).
pub fn thread_files(tid: i32) -> [ThreadFile; 5] {
    ThreadFile::NAMES.map(|file| {
        let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/{file}"))
            .unwrap_or_else(|error| format!("cannot be read: {error}"));
        ThreadFile { file: file.to_owned(), text: text.trim_end().to_owned() }
    })
}

/// The files in words: the name of each, and its lines below it.
pub fn thread_words(files: &[ThreadFile]) -> String {
    let mut words = String::new();
    for ThreadFile { file, text } in files {
        words += &format!("  {file}:\n");
        for line in text.lines() {
            words += &format!("    {line}\n");
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_says_why() {
        let files = thread_files(i32::MAX);
        assert!(files.iter().all(|file| file.text.starts_with("cannot be read: ")), "{files:?}");
        assert!(thread_words(&files).contains("  wchan:\n    cannot be read: "));
    }
}
