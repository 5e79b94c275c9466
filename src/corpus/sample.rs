//! One text, and what is in it.

use crate::evidence::RawText;
use crate::kernel::Line;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the JSON form.
const SCHEMA_VERSION: u32 = 1;

/// A text with what a right parser makes of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    schema_version: u32,
    /// Its name, as its files have it.
    pub name: String,
    /// What is odd about it.
    pub about: String,
    /// `maps` or `smaps`.
    pub format: String,
    /// Of a torn walk, what is missing or wrong. A parser may refuse such a text, and must not crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<String>,
    /// Its lines, or in smaps the first line of each VMA.
    pub entries: Vec<Entry>,
    /// The text, in a file of its own.
    #[serde(skip)]
    pub text: Vec<u8>,
}

/// One VMA as a text tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// The four letters.
    pub perms: String,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device, major number.
    pub dev_major: u32,
    /// Device, minor number.
    pub dev_minor: u32,
    /// Inode; 0 where no file is mapped.
    pub inode: u64,
    /// The name as it is printed, a character a byte.
    pub name: RawText,
    /// The path of the file, where the name is one: without what the kernel escapes and adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RawText>,
}

impl Entry {
    /// That of a line, and of the file's path where its name is one.
    pub fn new(line: &Line<'_>, path: Option<&[u8]>) -> Entry {
        let letter = |bit: u8, letter: char| if line.perms & bit != 0 { letter } else { '-' };
        let share = if line.perms & 8 != 0 { 's' } else { 'p' };
        Entry {
            start: line.start,
            end: line.end,
            perms: [letter(1, 'r'), letter(2, 'w'), letter(4, 'x'), share].iter().collect(),
            offset: line.offset,
            dev_major: line.dev_major,
            dev_minor: line.dev_minor,
            inode: line.inode,
            name: RawText(line.name.to_vec()),
            path: path.map(|path| RawText(path.to_vec())),
        }
    }
}

impl Sample {
    /// A text of maps.
    pub fn maps(name: &str, about: &str, text: Vec<u8>, entries: Vec<Entry>) -> Sample {
        Sample {
            schema_version: SCHEMA_VERSION,
            name: name.into(),
            about: about.into(),
            format: "maps".into(),
            torn: None,
            entries,
            text,
        }
    }

    /// The same as a text of smaps.
    #[must_use]
    pub fn smaps(self) -> Sample {
        Sample { format: "smaps".into(), ..self }
    }

    /// The same, with what is missing or wrong in it.
    #[must_use]
    pub fn torn(self, what: &str) -> Sample {
        Sample { torn: Some(what.into()), ..self }
    }

    fn text_in(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.{}", self.name, self.format))
    }
}

/// Writes each sample into the folder: NAME.maps or NAME.smaps, and NAME.json.
///
/// # Errors
/// What making and writing files gives.
pub fn write_all(samples: &[Sample], dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for sample in samples {
        fs::write(sample.text_in(dir), &sample.text)?;
        let mut json = serde_json::to_vec_pretty(sample)?;
        json.push(b'\n');
        fs::write(dir.join(format!("{}.json", sample.name)), json)?;
    }
    Ok(())
}

/// Reads what [`write_all`] wrote, by name. Other files in the folder are left alone.
///
/// # Errors
/// A folder that can't be read, or a sample that is not whole; the message names the file.
pub fn read_all(dir: &Path) -> Result<Vec<Sample>, String> {
    let named = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let entries = fs::read_dir(dir).map_err(|error| named(dir, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    paths.sort();
    let read = |path: &PathBuf| {
        let json = fs::read(path).map_err(|error| named(path, &error))?;
        let mut sample: Sample =
            serde_json::from_slice(&json).map_err(|error| named(path, &error))?;
        let text = sample.text_in(dir);
        sample.text = fs::read(&text).map_err(|error| named(&text, &error))?;
        Ok(sample)
    };
    paths.iter().map(read).collect()
}
