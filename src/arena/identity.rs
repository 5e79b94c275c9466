//! From lines to the model's pages: which mapping is it?

use crate::maps::Line;
use crate::oracle::Sighting;
use crate::space::{Geometry, MAX_NAMES, MAX_PGOFF, Page, Prot};
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
    /// log2 of the page size.
    pub page_shift: u32,
    /// The memfds, by [`Page::file_index`].
    pub files: Vec<FileIdentity>,
}

/// The name that [`Page::name`] number `name` stands for; 0 has none.
pub fn anon_name(name: u8) -> Option<&'static CStr> {
    const NAMES: [&CStr; MAX_NAMES as usize] =
        [c"storm-1", c"storm-2", c"storm-3", c"storm-4", c"storm-5", c"storm-6", c"storm-7"];
    NAMES.get((name as usize).checked_sub(1)?).copied()
}

impl Identities {
    /// What a line shows, in the model's terms. A line that no operation of the arena can bring
    /// about is [`Page::FOREIGN`].
    #[inline]
    pub fn sight(&self, line: &Line<'_>) -> Sighting {
        Sighting { start: line.start, end: line.end, page: self.page(line) }
    }

    /// What a line of maps shows; one outside of the arena of `geometry` is [`Page::FOREIGN`]
    /// whatever it is, because only its addresses count.
    #[inline]
    pub fn sight_in(&self, line: &Line<'_>, geometry: &Geometry) -> Sighting {
        if geometry.overlaps(line.start, line.end) {
            self.sight(line)
        } else {
            Sighting { start: line.start, end: line.end, page: Page::FOREIGN }
        }
    }

    #[inline]
    fn page(&self, line: &Line<'_>) -> Page {
        let prot = Prot::from_bits(line.perms);
        let shared = line.perms & 8 != 0;
        if line.inode == 0 {
            let plain = !shared && line.offset == 0 && line.dev_major == 0 && line.dev_minor == 0;
            return match line.name {
                _ if !plain => Page::FOREIGN,
                b"" => Page::anon(prot),
                name => named(name).map_or(Page::FOREIGN, |n| Page::anon(prot).with_name(n)),
            };
        }
        let pgoff = line.offset >> self.page_shift;
        let whole_pages = pgoff << self.page_shift == line.offset;
        match self.files.iter().position(|file| file.shows_in(line)) {
            Some(index) if whole_pages && pgoff <= MAX_PGOFF as u64 => {
                Page::file(prot, shared, index as u8, pgoff as u16)
            }
            _ => Page::FOREIGN,
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
    use crate::maps::parse;

    #[test]
    fn only_the_arenas_own_mappings_are_recognised() {
        let file = FileIdentity {
            dev_major: 0,
            dev_minor: 1,
            inode: 77,
            name: b"/memfd:a (deleted)".to_vec(),
        };
        let identities = Identities { page_shift: 12, files: vec![file] };
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
}
