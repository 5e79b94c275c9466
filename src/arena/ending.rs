//! How lines of the arena's mappings end.
//!
//! From the device on, all lines of one file are the same in every byte (fs/proc/task_mmu.c,
//! `show_map_vma`), and so are those of all memory with the same name. So whoever knows these bytes need
//! not look for a line's end, nor parse what they say.

use super::identity::{FileIdentity, anon_name};
use crate::maps::{Line, opening};
use crate::space::MAX_NAMES;
use std::ops::Range;

/// From the device on, a line of memory without file and name.
const PLAIN: &[u8; 9] = b"00:00 0 \n";
/// Memory without file and name, with addresses that have as many digits as all of the arena's.
const PLAIN_LINE: Line<'static> = Line {
    start: 0x7f00_0000_0000,
    end: 0x7f00_0000_1000,
    perms: 0,
    offset: 0,
    dev_major: 0,
    dev_minor: 0,
    inode: 0,
    name: b"",
};
/// Where the inode is, counted from the device: of one with more digits its first.
const INODE: Range<usize> = 6..14;

/// What a line is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// Memory without file, with this name; 0 is none.
    Anon(u8),
    /// This file.
    File(u8),
}

/// How the lines of one file or name end.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ending {
    of: Of,
    /// What stands at [`INODE`], by which most are told apart.
    inode: [u8; 8],
    /// From the device on, newline included.
    text: Box<[u8]>,
}

/// How lines of the arena's mappings end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Endings(Vec<Ending>);

impl Endings {
    /// Of memory without file, and of these files.
    pub(super) fn new(files: &[FileIdentity]) -> Endings {
        let of_files = (0..).zip(files).map(|(index, file)| {
            let FileIdentity { dev_major, dev_minor, inode, ref name } = *file;
            (Of::File(index), Line { dev_major, dev_minor, inode, name, ..PLAIN_LINE })
        });
        let names: Vec<(u8, Vec<u8>)> = (1..=MAX_NAMES)
            .filter_map(|n| Some((n, [b"[anon:", anon_name(n)?.to_bytes(), b"]"].concat())))
            .collect();
        let of_names = names.iter().map(|(n, name)| (Of::Anon(*n), Line { name, ..PLAIN_LINE }));
        Endings(of_files.chain(of_names).filter_map(|(of, line)| Ending::new(of, &line)).collect())
    }

    /// What the line is of that goes on with `rest` from its device on, and its bytes from there,
    /// newline included. `None` where it is none of these.
    #[inline]
    pub(super) fn of(&self, rest: &[u8]) -> Option<(Of, usize)> {
        if rest.starts_with(PLAIN) {
            return Some((Of::Anon(0), PLAIN.len()));
        }
        let inode = rest.get(INODE)?;
        let mut endings = self.0.iter();
        let found =
            endings.find(|ending| ending.inode == inode && rest.starts_with(&ending.text))?;
        Some((found.of, found.text.len()))
    }

    /// The bytes, newline included, that `rest` goes on with from its device on, if that is a line of
    /// this.
    #[inline(always)]
    pub(super) fn after(&self, of: Of, rest: &[u8]) -> Option<usize> {
        if of == Of::Anon(0) {
            return rest.starts_with(PLAIN).then_some(PLAIN.len());
        }
        let ending = self.0.iter().find(|ending| ending.of == of)?;
        rest.starts_with(&ending.text).then_some(ending.text.len())
    }
}

impl Ending {
    /// `None` where its lines have not the usual shape: they are left to the parser of fields.
    fn new(of: Of, line: &Line<'_>) -> Option<Ending> {
        let mut text = Vec::new();
        line.print(&mut text).ok()?;
        let (_, text) = opening(&text)?;
        Some(Ending { of, inode: text.get(INODE)?.try_into().ok()?, text: text.into() })
    }
}
