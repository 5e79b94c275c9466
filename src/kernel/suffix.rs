//! What the lines of the arena's mappings say behind the offset.
//!
//! From the device on all lines of one file are the same, and so are those of all anonymous memory with
//! the same name (fs/proc/task_mmu.c, `show_map_vma`). So the text of a line is printed from its
//! addresses, permissions and offset, and this.

use super::identity::{FileIdentity, anon_name};
use crate::kernel::{Line, NAME_COLUMN, Opening};
use crate::model::{MAX_NAMES, Page};

/// Device, inode and name of one file, or of anonymous memory with one name.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Suffix {
    /// Device and inode, and the space behind them.
    file: Vec<u8>,
    name: Vec<u8>,
}

/// Those of all mappings that the arena makes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Suffixes {
    /// Of anonymous memory, by [`Page::name`].
    anon: Vec<Suffix>,
    /// Of memfds, by [`Page::file_index`].
    files: Vec<Suffix>,
    longest: usize,
}

impl Suffix {
    fn new(line: &Line<'_>) -> Suffix {
        let file = format!("{:02x}:{:02x} {} ", line.dev_major, line.dev_minor, line.inode);
        Suffix { file: file.into(), name: line.name.to_vec() }
    }
}

impl Suffixes {
    /// Of anonymous memory, and of these files.
    pub(super) fn new(files: &[FileIdentity]) -> Suffixes {
        let anon = (0..=MAX_NAMES).map(|number| {
            let name = anon_name(number).map(|name| [b"[anon:", name.to_bytes(), b"]"].concat());
            Suffix { file: b"00:00 0 ".into(), name: name.unwrap_or_default() }
        });
        let of_file = |file: &FileIdentity| {
            let FileIdentity { dev_major, dev_minor, inode, ref name } = *file;
            Suffix::new(&Line { dev_major, dev_minor, inode, name, ..Line::EMPTY })
        };
        let (anon, files): (Vec<_>, Vec<_>) = (anon.collect(), files.iter().map(of_file).collect());
        let longest = anon.iter().chain(&files).map(|suffix| {
            (Opening::LONGEST + suffix.file.len()).max(NAME_COLUMN) + suffix.name.len() + 1
        });
        let longest = longest.max().unwrap_or(0);
        Suffixes { anon, files, longest }
    }

    /// The most bytes that [`Suffixes::print`] adds.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Adds the line of a mapping of `page`, newline included. `opening` is what comes before the
    /// device.
    #[inline]
    pub(super) fn print(&self, opening: &Opening, page: Page, out: &mut Vec<u8>) {
        let suffix = match page.is_file() {
            true => self.files.get(usize::from(page.file_index())),
            false => self.anon.get(usize::from(page.name())),
        };
        // Of a file that the arena has not got there is no line.
        let Some(Suffix { file, name }) = suffix else { return };
        let begin = out.len();
        out.extend_from_slice(&opening.text());
        out.extend_from_slice(file);
        if !name.is_empty() {
            out.resize(out.len().max(begin + NAME_COLUMN), b' ');
            out.extend_from_slice(name);
        }
        out.push(b'\n');
    }
}
