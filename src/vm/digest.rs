//! What a run was made of, as hashes: of two runs with the same, an exact machine makes the same.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// The SHA-256 of something, in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Digest(String);

/// Digits of a digest that a command shows.
const SHORT: usize = 12;

impl Digest {
    /// Of bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut text = String::new();
        for byte in Sha256::digest(bytes) {
            write!(text, "{byte:02x}").expect("into memory");
        }
        Digest(text)
    }

    /// Of several things, one after the other, each with its name.
    pub fn of_all<'a>(parts: impl IntoIterator<Item = (String, &'a [u8])>) -> Digest {
        let mut list = String::new();
        for (name, bytes) in parts {
            writeln!(list, "{} {name}", Digest::of(bytes)).expect("into memory");
        }
        Digest::of(list.as_bytes())
    }

    /// Of the files that are there. Their folders do not count.
    pub fn of_files<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Digest {
        let there: Vec<(String, Vec<u8>)> = paths
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((name, fs::read(path).ok()?))
            })
            .collect();
        Digest::of_all(there.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())))
    }

    /// The first digits.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that decides what an exact guest does, but its seed and its arguments.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// QEMU and its firmware.
    pub qemu: Digest,
    /// The kernel image.
    pub kernel: Digest,
    /// mapstorm, with its libraries.
    pub mapstorm: Digest,
    /// The arguments, the files that they name, and the machine.
    pub job: Digest,
}

impl Parts {
    fn named(&self) -> [(&'static str, &Digest); 4] {
        let Parts { qemu, kernel, mapstorm, job } = self;
        [
            ("QEMU", qemu),
            ("the kernel image", kernel),
            ("mapstorm or one of its libraries", mapstorm),
            ("the arguments or the machine", job),
        ]
    }

    /// What `--expect` takes.
    pub fn short(&self) -> String {
        self.named().map(|(_, digest)| digest.short()).join("-")
    }

    /// Refuses parts that are not those expected.
    ///
    /// # Errors
    /// Which differ.
    pub fn expect(&self, expected: &str) -> Result<(), String> {
        let words: Vec<&str> = expected.split('-').collect();
        let ours = self.named();
        let fits = |word: &&str| word.len() == SHORT && word.chars().all(|c| c.is_ascii_hexdigit());
        if words.len() != ours.len() || !words.iter().all(fits) {
            return Err(format!(
                "--expect {expected}: is none of mapstorm's; paste the whole command that it printed"
            ));
        }
        let differs = ours.iter().zip(&words).filter(|((_, own), word)| own.short() != **word);
        let differs: Vec<&str> = differs.map(|((name, _), _)| *name).collect();
        if differs.is_empty() {
            return Ok(());
        }
        Err(format!(
            "--expect {expected}: not the same any more: {}; the run would be another one. Take the \
             files of that run, or leave --expect out",
            differs.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_standard() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
    }

    #[test]
    fn what_differs_is_named() {
        let [a, b] = [&b"a"[..], b"b"].map(Digest::of);
        let parts = Parts { qemu: a.clone(), kernel: a.clone(), mapstorm: a.clone(), job: a };
        assert_eq!(parts.expect(&parts.short()), Ok(()));
        let other = Parts { kernel: b, ..parts.clone() };
        let why = parts.expect(&other.short()).unwrap_err();
        assert!(why.contains("any more: the kernel image;"), "{why}");
        assert!(parts.expect("nonsense").unwrap_err().contains("paste"));
    }

    #[test]
    fn names_and_order_count_among_several_things() {
        let of = |names: [&str; 2]| {
            Digest::of_all(names.into_iter().map(|name| (name.to_owned(), &b"same"[..])))
        };
        assert_ne!(of(["a", "b"]), of(["b", "a"]));
        assert_ne!(of(["a", "b"]), of(["a", "c"]));
    }
}
