//! From lines to the model's pages: which mapping is it?

use super::ending::{Endings, Of};
use crate::maps::{Line, Opening, opening, parse_first};
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
    page_shift: u32,
    files: Vec<FileIdentity>,
    endings: Endings,
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
        let endings = Endings::new(&files);
        Identities { page_shift, files, endings }
    }

    /// The memfds, by [`Page::file_index`].
    pub fn files(&self) -> &[FileIdentity] {
        &self.files
    }

    /// What the line [shows](Identities::sight) that `text` begins with, and its bytes, newline
    /// included. `None` where it is not whole or does not parse.
    #[inline]
    pub fn sight_first(&self, text: &[u8]) -> Option<(Sighting, usize)> {
        self.sight_by_end(text).or_else(|| {
            let (line, bytes) = parse_first(text)?;
            Some((self.sight(&line), bytes))
        })
    }

    /// The same without a look at each field. `None`, too, where the line ends otherwise than those of
    /// the arena's mappings, or has not the usual shape.
    #[inline]
    fn sight_by_end(&self, text: &[u8]) -> Option<(Sighting, usize)> {
        let (line, rest) = opening(text)?;
        let (of, bytes) = self.endings.of(rest)?;
        let page = self.page_of(Some(of), line.perms, line.offset);
        let bytes = text.len() - rest.len() + bytes;
        Some((Sighting { start: line.start, end: line.end, page }, bytes))
    }

    /// The bytes of the line that `text` begins with, newline included, if it is the one that the
    /// arena's mapping `seen` has: [`Identities::sight_first`] would give the same two. `None` where it
    /// is another, or has not the usual shape. Not to be asked of [`Page::FOREIGN`].
    #[inline(always)]
    pub fn is_first(&self, seen: &Sighting, text: &[u8]) -> Option<usize> {
        let Sighting { start, end, page } = *seen;
        let offset = u64::from(page.pgoff()) << self.page_shift;
        let rest = Opening { start, end, perms: page.perms(), offset }.strip(text)?;
        let of = if page.is_file() { Of::File(page.file_index()) } else { Of::Anon(page.name()) };
        Some(text.len() - rest.len() + self.endings.after(of, rest)?)
    }

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
        let of = if line.inode != 0 {
            let index = self.files.iter().position(|file| file.shows_in(line));
            index.map(|index| Of::File(index as u8))
        } else if line.dev_major != 0 || line.dev_minor != 0 {
            None
        } else if line.name.is_empty() {
            Some(Of::Anon(0))
        } else {
            named(line.name).map(Of::Anon)
        };
        self.page_of(of, line.perms, line.offset)
    }

    /// What is shown by a line that is of this, with these permissions and this offset.
    #[inline]
    fn page_of(&self, of: Option<Of>, perms: u8, offset: u64) -> Page {
        let prot = Prot::from_bits(perms);
        let shared = perms & 8 != 0;
        let pgoff = offset >> self.page_shift;
        let whole_pages = pgoff << self.page_shift == offset;
        match of {
            Some(Of::Anon(name)) if !shared && offset == 0 => Page::anon(prot).with_name(name),
            Some(Of::File(index)) if whole_pages && pgoff <= MAX_PGOFF as u64 => {
                Page::file(prot, shared, index, pgoff as u16)
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
        /// How a line ends says the same of it as all of its fields, and of the arena's own mappings
        /// it says it always.
        #[test]
        fn how_a_line_ends_says_what_its_fields_say(
            (what, perms, pgoff, changes, others_follow, cut) in (
                0usize..12,
                0u8..16,
                any::<u16>(),
                prop::collection::vec(
                    (0usize..110, prop_oneof![any::<u8>(), prop::sample::select(&b"0179 -:\n[]()"[..])]),
                    0..3,
                ),
                any::<bool>(),
                0usize..110,
            )
        ) {
            // Two inodes that differ late, one longer than its column, and a device that is, too.
            let identities = Identities::new(12, vec![
                file(1, 1_234_567, b"/memfd:a (deleted)"),
                file(1, 1_234_568, b"/memfd:b (deleted)"),
                file(1, 123_456_789_012, b"/memfd:a (deleted)"),
                file(0x123, 7, b"/memfd:a (deleted)"),
            ]);
            let name = anon_name(what as u8).map(|name| [b"[anon:", name.to_bytes(), b"]"].concat());
            let mut line = parse(b"7f83503f0000-7f8350412000 rw-p 00000000 00:00 0 ").unwrap();
            line.perms = perms;
            line.name = name.as_deref().unwrap_or_default();
            if let Some(file) = what.checked_sub(8).map(|at| &identities.files()[at]) {
                (line.dev_minor, line.inode, line.name) = (file.dev_minor, file.inode, &file.name);
                line.offset = u64::from(pgoff) << 12;
            }
            let by_fields = |text: &[u8]| {
                parse_first(text).map(|(line, bytes)| (identities.sight(&line), bytes))
            };
            let mut text = Vec::new();
            line.print(&mut text).unwrap();
            let whole = text.len();
            prop_assert_eq!(identities.sight_by_end(&text[..cut % whole]), None, "not whole");
            if others_follow {
                line.print(&mut text).unwrap();
            }
            let known = identities.sight_by_end(&text);
            prop_assert_eq!(known.map(|(_, bytes)| bytes), Some(whole));
            prop_assert_eq!(known, by_fields(&text));
            let own = known.map(|(seen, _)| seen).filter(|seen| seen.page != Page::FOREIGN);
            let is_first = |text: &[u8]| own.and_then(|seen| identities.is_first(&seen, text));
            prop_assert_eq!(is_first(&text), own.map(|_| whole));
            prop_assert_eq!(is_first(&text[..cut % whole]), None, "not whole");
            for (at, byte) in changes {
                let len = text.len();
                text[at % len] = byte;
            }
            let changed = identities.sight_by_end(&text);
            if let Some(changed) = changed {
                prop_assert_eq!(Some(changed), by_fields(&text));
            }
            let same = changed.filter(|(seen, _)| own == Some(*seen));
            prop_assert_eq!(is_first(&text), same.map(|(_, bytes)| bytes));
        }
    }
}
