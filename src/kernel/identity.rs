//! From lines to the model's pages: which mapping is it?

use super::suffix::Suffixes;
use crate::kernel::{Line, Opening};
use crate::model::{Geometry, MAX_NAMES, MAX_PGOFF, Observation, Page, Prot};
use std::ffi::CStr;

/// How mappings of one memfd show in maps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    /// Device, major number.
    pub dev_major: u32,
    /// Device, minor number.
    pub dev_minor: u32,
    /// Inode, never 0.
    pub inode: u64,
    /// The path as maps prints it.
    pub name: Vec<u8>,
}

impl FileIdentity {
    #[inline]
    fn shows_in(&self, line: &Line<'_>) -> bool {
        line.inode == self.inode
            && line.dev_minor == self.dev_minor
            && line.dev_major == self.dev_major
            && line.name == self.name
    }
}

/// What tells the arena's mappings from all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identities {
    page_shift: u32,
    files: Vec<FileIdentity>,
    suffixes: Suffixes,
}

/// The name that [`Page::name`] number `name` stands for; 0 has none.
pub fn anon_name(name: u8) -> Option<&'static CStr> {
    const NAMES: [&CStr; MAX_NAMES as usize] =
        [c"storm-1", c"storm-2", c"storm-3", c"storm-4", c"storm-5", c"storm-6", c"storm-7"];
    NAMES.get((name as usize).checked_sub(1)?).copied()
}

impl Identities {
    /// Of mappings of these memfds, by [`Page::file_index`], and of memory without one; pages are of
    /// 2^`page_shift` bytes.
    pub fn new(page_shift: u32, files: Vec<FileIdentity>) -> Identities {
        let suffixes = Suffixes::new(&files);
        Identities { page_shift, files, suffixes }
    }

    /// The memfds, by [`Page::file_index`].
    pub fn files(&self) -> &[FileIdentity] {
        &self.files
    }

    /// The bytes of the longest line that [`Identities::print`] gives.
    pub fn longest_line(&self) -> usize {
        self.suffixes.longest()
    }

    /// Adds the line of a mapping of the arena's, as the kernel prints it, newline included. Of
    /// [`Page::FOREIGN`] nothing can be printed.
    #[inline]
    pub fn print(&self, seen: &Observation, out: &mut Vec<u8>) {
        let Observation { start, end, page } = *seen;
        let offset = u64::from(page.pgoff()) << self.page_shift;
        self.suffixes.print(&Opening { start, end, perms: page.perms(), offset }, page, out);
    }

    /// What a line shows, in the model's terms. A line that no operation of the arena can bring
    /// about is [`Page::FOREIGN`].
    #[inline]
    pub fn sight(&self, line: &Line<'_>) -> Observation {
        Observation { start: line.start, end: line.end, page: self.page(line) }
    }

    /// What a line of maps shows; one outside of the arena of `geometry` is [`Page::FOREIGN`]
    /// whatever it is, because only its addresses count.
    #[inline]
    pub fn sight_in(&self, line: &Line<'_>, geometry: &Geometry) -> Observation {
        if geometry.overlaps(line.start, line.end) {
            self.sight(line)
        } else {
            Observation { start: line.start, end: line.end, page: Page::FOREIGN }
        }
    }

    #[inline]
    fn page(&self, line: &Line<'_>) -> Page {
        let prot = Prot::from_bits(line.perms);
        let shared = line.perms & 8 != 0;
        if line.inode != 0 {
            let pgoff = line.offset >> self.page_shift;
            let whole_pages = pgoff << self.page_shift == line.offset;
            let file = self.files.iter().position(|file| file.shows_in(line));
            return match file {
                Some(index) if whole_pages && pgoff <= u64::from(MAX_PGOFF) => {
                    Page::file(prot, shared, index as u8, pgoff as u16)
                }
                _ => Page::FOREIGN,
            };
        }
        if shared || line.offset != 0 || line.dev_major != 0 || line.dev_minor != 0 {
            return Page::FOREIGN;
        }
        match line.name {
            b"" => Page::anon(prot),
            name => named(name).map_or(Page::FOREIGN, |name| Page::anon(prot).with_name(name)),
        }
    }
}

/// `[anon:NAME]` (fs/proc/task_mmu.c, `get_vma_name`).
fn named(name: &[u8]) -> Option<u8> {
    let name = name.strip_prefix(b"[anon:")?.strip_suffix(b"]")?;
    (1..=MAX_NAMES).find(|&n| anon_name(n).is_some_and(|known| known.to_bytes() == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::parse;
    use proptest::prelude::*;

    fn file(dev_minor: u32, inode: u64, name: &[u8]) -> FileIdentity {
        FileIdentity { dev_major: 0, dev_minor, inode, name: name.to_vec() }
    }

    #[test]
    fn only_the_arenas_own_mappings_are_recognised() {
        let identities = Identities::new(12, vec![file(1, 77, b"/memfd:a (deleted)")]);
        let page = |text: &str| identities.sight(&parse(text.as_bytes()).unwrap()).page;
        let anon = Page::anon(Prot::READ_WRITE);
        let memfd = |pgoff| Page::file(Prot::READ, true, 0, pgoff);
        for (tail, expected) in [
            ("rw-p 00000000 00:00 0 ", anon),
            ("rw-p 00000000 00:00 0   [anon:storm-3]", anon.with_name(3)),
            ("rw-p 00000000 00:00 0   [anon:storm-9]", Page::FOREIGN),
            ("rw-p 00000000 00:00 0   [heap]", Page::FOREIGN),
            ("rw-p 00001000 00:00 0 ", Page::FOREIGN),
            ("rw-s 00000000 00:00 0 ", Page::FOREIGN),
            ("r--s 00003000 00:01 77   /memfd:a (deleted)", memfd(3)),
            ("r--s 00003100 00:01 77   /memfd:a (deleted)", Page::FOREIGN),
            ("r--s 00003000 00:02 77   /memfd:a (deleted)", Page::FOREIGN),
            ("r--s 00003000 00:01 78   /memfd:a (deleted)", Page::FOREIGN),
            ("r--s 00003000 00:01 77   /memfd:b (deleted)", Page::FOREIGN),
        ] {
            assert_eq!(page(&format!("7f83503f0000-7f8350412000 {tail}")), expected, "{tail}");
        }
    }

    proptest! {
        /// What is printed of a mapping is the line that says the same, and nothing of it depends on
        /// how many digits there are.
        #[test]
        fn what_is_printed_of_a_mapping_is_recognised_as_it(
            (what, perms, pgoff, start, len) in
                (0usize..12, 0u8..8, any::<u16>(), 0u64..1 << 47, 1u64..64)
        ) {
            let identities = Identities::new(12, vec![
                file(1, 1_234_567, b"/memfd:a (deleted)"),
                file(1, 1_234_568, b"/memfd:b (deleted)"),
                file(1, 123_456_789_012, b"/memfd:a (deleted)"),
                file(0x123, 7, b"/memfd:a (deleted)"),
            ]);
            let prot = Prot::from_bits(perms);
            let page = match what.checked_sub(8) {
                Some(file) => Page::file(prot, pgoff % 2 == 0, file as u8, pgoff),
                None => Page::anon(prot).with_name(what as u8),
            };
            let start = start & !4095;
            let seen = Observation { start, end: start + (len << 12), page };
            let mut text = b"before".to_vec();
            identities.print(&seen, &mut text);
            prop_assert!(text.len() - 6 <= identities.longest_line());
            let line = text[6..].strip_suffix(b"\n").unwrap();
            let parsed = parse(line).unwrap();
            prop_assert_eq!(identities.sight(&parsed), seen);
            let mut printed = Vec::new();
            parsed.print(&mut printed).unwrap();
            prop_assert_eq!(&printed, &text[6..]);
        }
    }
}
