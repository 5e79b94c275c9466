//! Mappings of files with odd names, made here and read from this process's own maps and smaps.

use super::sample::{Entry, Sample};
use crate::kernel::{Line, as_printed, is_detail, parse};
use memmap2::{Mmap, MmapOptions};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file to be mapped.
struct Odd {
    name: &'static str,
    about: &'static str,
    /// Its name in its folder.
    file: &'static [u8],
    /// Whether it is removed while it is mapped.
    removed: bool,
}

const fn odd(name: &'static str, about: &'static str, file: &'static [u8]) -> Odd {
    Odd { name, about, file, removed: false }
}

const ODD: [Odd; 15] = [
    odd("plain", "a file, private and shared", b"plain"),
    odd("space", "a space within the name", b"one two  three"),
    odd("space-at-end", "a space at the end of the name", b"end "),
    odd("tab", "a tab within the name", b"one\ttwo"),
    odd("newline", "a newline within the name, printed as \\012", b"one\ntwo"),
    odd("backslash", "a backslash, which is printed as it is", b"one\\two"),
    odd("like-newline", "a backslash and three digits, printed as a newline is", b"one\\012two"),
    odd("not-utf8", "bytes that are no UTF-8", b"\xff\xfe\x80"),
    odd("control", "control characters, which are printed as they are", b"\x01\x1b[31m\r"),
    odd(
        "like-deleted",
        "a file that is there and whose name ends as that of a removed one",
        b"x (deleted)",
    ),
    odd("like-heap", "a file with the name of the heap", b"[heap]"),
    odd(
        "like-line",
        "a name like a line of maps",
        b"7f0000000000-7f0000001000 rwxp 00000000 00:00 0",
    ),
    Odd { removed: true, ..odd("removed", "a file that was removed", b"gone") },
    Odd {
        removed: true,
        ..odd("removed-like-deleted", "a removed file that was named as one", b"x (deleted)")
    },
    odd("longest-name", "a name of 255 bytes", &[b'n'; 255]),
];

/// All that can be made here, and why the others can't.
pub fn samples() -> (Vec<Sample>, Vec<String>) {
    let (mut samples, mut left_out) = (Vec::new(), Vec::new());
    let dir = match tempfile::Builder::new().prefix("mapstorm-corpus-").tempdir() {
        Ok(dir) => dir,
        Err(error) => {
            return (samples, vec![format!("files in the folder for temporary files: {error}")]);
        }
    };
    for odd in &ODD {
        match sample(dir.path(), odd) {
            Ok(pair) => samples.extend(pair),
            Err(why) => left_out.push(format!("{}: {why}", odd.name)),
        }
    }
    (samples, left_out)
}

/// The file's mappings as maps and as smaps have them.
fn sample(dir: &Path, odd: &Odd) -> io::Result<[Sample; 2]> {
    let page = rustix::param::page_size();
    let path = dir.join(OsStr::from_bytes(odd.file));
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.write_all(&vec![b'x'; 3 * page])?;
    // SAFETY: the file is this function's own, and nobody reads the mappings.
    let private = unsafe { MmapOptions::new().len(2 * page).map_copy_read_only(&file)? };
    let shared = MmapOptions::new().len(page).offset(page as u64).map_raw(&file)?;
    let mut printed = as_printed(path.as_os_str().as_bytes(), &mut Vec::new()).to_vec();
    if odd.removed {
        fs::remove_file(&path)?;
        printed.extend(b" (deleted)");
    }
    let mut known = [
        Known { start: address(&private), pages: 2, perms: 1, offset: 0 },
        Known { start: shared.as_ptr() as u64, pages: 1, perms: 11, offset: page as u64 },
    ];
    known.sort_by_key(|known| known.start);
    let own = |file: &str| own_lines(&PathBuf::from("/proc/self").join(file), &known);
    let (maps, smaps) = (own("maps")?, own("smaps")?);
    let entries = entries(&maps, &known, &printed, path.as_os_str().as_bytes())?;
    let smaps_name = format!("{}-smaps", odd.name);
    Ok([
        Sample::maps(odd.name, odd.about, maps, entries.clone()),
        Sample::maps(&smaps_name, odd.about, smaps, entries).smaps(),
    ])
}

/// What is known of a mapping because it was made here.
#[derive(Clone, Copy)]
struct Known {
    start: u64,
    pages: usize,
    perms: u8,
    offset: u64,
}

fn address(map: &Mmap) -> u64 {
    map.as_ptr() as u64
}

/// The lines of these mappings, each with the details that follow it.
fn own_lines(file: &Path, known: &[Known]) -> io::Result<Vec<u8>> {
    let text = fs::read(file)?;
    let (mut own, mut inside) = (Vec::new(), false);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if !is_detail(line) {
            inside = known
                .iter()
                .any(|known| line.starts_with(format!("{:x}-", known.start).as_bytes()));
        }
        if inside {
            own.extend_from_slice(line);
        }
    }
    Ok(own)
}

/// What the lines say, from what was mapped. Device and inode alone are taken from the line: some file
/// systems show others than stat(2) tells (fs/proc/task_mmu.c, `show_map_vma`, takes those of the
/// inode's superblock).
fn entries(text: &[u8], known: &[Known], printed: &[u8], path: &[u8]) -> io::Result<Vec<Entry>> {
    let wrong = |why: &str| io::Error::other(format!("its lines are not what was mapped: {why}"));
    let lines: Vec<&[u8]> =
        text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() != known.len() {
        return Err(wrong("another number of lines"));
    }
    let entry = |(line, known): (&&[u8], &Known)| {
        if !line.ends_with(printed) {
            return Err(wrong("another name"));
        }
        let told = parse(line).map_err(|error| wrong(&error.to_string()))?;
        let Known { start, pages, perms, offset } = *known;
        let end = start + (pages * rustix::param::page_size()) as u64;
        let Line { dev_major, dev_minor, inode, .. } = told;
        let line = Line { start, end, perms, offset, dev_major, dev_minor, inode, name: printed };
        Ok(Entry::new(&line, Some(path)))
    };
    lines.iter().zip(known).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mapped_is_what_its_lines_say() {
        let (samples, left_out) = samples();
        assert_eq!((samples.len(), left_out.len()), (2 * ODD.len(), 0), "{left_out:?}");
        for sample in samples {
            let lines = sample.text.split(|&byte| byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty() && !is_detail(line));
            let told: Vec<Entry> = lines
                .zip(&sample.entries)
                .map(|(line, entry)| {
                    Entry::new(&parse(line).unwrap(), Some(&entry.path.as_ref().unwrap().0))
                })
                .collect();
            assert_eq!(told, sample.entries, "{}", sample.name);
        }
    }
}
