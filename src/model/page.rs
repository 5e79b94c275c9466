//! One page's attributes, packed so that a layout is a flat array and a comparison one instruction.

use std::fmt;

/// Page protection as the `rwx` of a maps line, bit 0 read, bit 1 write, bit 2 execute.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prot(u8);

impl Prot {
    /// No access: `---`.
    pub const NONE: Prot = Prot(0);
    /// `r--`.
    pub const READ: Prot = Prot(1);
    /// `-w-`.
    pub const WRITE: Prot = Prot(2);
    /// `rw-`.
    pub const READ_WRITE: Prot = Prot(3);
    /// `r-x`.
    pub const READ_EXEC: Prot = Prot(5);
    /// `rwx`.
    pub const ALL: Prot = Prot(7);

    /// The protections the storm draws from, those without execute first.
    ///
    /// Execute without read is left out: with protection keys `mprotect` turns it into an
    /// execute-only key, a VMA flag that no line shows and that splits VMAs
    /// (arch/x86/mm/pkeys.c, `__arch_override_mprotect_pkey`).
    pub const DRAWN: [Prot; 6] =
        [Prot::NONE, Prot::READ, Prot::WRITE, Prot::READ_WRITE, Prot::READ_EXEC, Prot::ALL];

    /// From the low three bits; the others are ignored.
    pub const fn from_bits(bits: u8) -> Prot {
        Prot(bits & 7)
    }

    /// The three bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the write bit is set.
    pub const fn writes(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether the execute bit is set.
    pub const fn executes(self) -> bool {
        self.0 & 4 != 0
    }
}

impl fmt::Display for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |b: u8, c: char| if self.0 & b != 0 { c } else { '-' };
        write!(f, "{}{}{}", bit(1, 'r'), bit(2, 'w'), bit(4, 'x'))
    }
}

impl fmt::Debug for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a page is a mapping of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Backing {
    /// Private anonymous memory: offset, device and inode print as zero.
    Anon,
    /// `MAP_PRIVATE` of a memfd.
    PrivateFile,
    /// `MAP_SHARED` of a memfd.
    SharedFile,
}

/// An madvise flag that splits VMAs without showing in a maps line (it shows in smaps, `VmFlags`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// `MADV_DONTDUMP`, undone by `MADV_DODUMP`.
    DontDump,
    /// `MADV_DONTFORK`, undone by `MADV_DOFORK`.
    DontFork,
    /// `MADV_RANDOM`, undone by `MADV_NORMAL`.
    Random,
}

impl Advice {
    /// Every advice the model knows.
    pub const ALL: [Advice; 3] = [Advice::DontDump, Advice::DontFork, Advice::Random];

    /// The flag that madvise takes to give the advice, or to take it back.
    pub const fn flag(self, on: bool) -> &'static str {
        match (self, on) {
            (Advice::DontDump, true) => "MADV_DONTDUMP",
            (Advice::DontDump, false) => "MADV_DODUMP",
            (Advice::DontFork, true) => "MADV_DONTFORK",
            (Advice::DontFork, false) => "MADV_DOFORK",
            (Advice::Random, true) => "MADV_RANDOM",
            (Advice::Random, false) => "MADV_NORMAL",
        }
    }

    const fn bit(self) -> u32 {
        1 << (ADVICE_SHIFT
            + match self {
                Advice::DontDump => 0,
                Advice::DontFork => 1,
                Advice::Random => 2,
            })
    }
}

/// How many memfds a page can name.
pub const MAX_FILES: u8 = 4;
/// How many anonymous names a page can carry, "no name" not counted.
pub const MAX_NAMES: u8 = 7;
/// The highest file offset a page can have, in pages.
pub const MAX_PGOFF: u16 = u16::MAX;

const MAPPED: u32 = 1;
const PROT_SHIFT: u32 = 1;
const BACKING_SHIFT: u32 = 4;
const ADVICE_SHIFT: u32 = 6;
const ADVICE_MASK: u32 = 7 << ADVICE_SHIFT;
const NAME_SHIFT: u32 = 9;
const FILE_SHIFT: u32 = 12;
const TOUCHED: u32 = 1 << 14;
const ALIKE: u32 = 1 << 15;
const MARKS: u32 = TOUCHED | ALIKE;
const PGOFF_SHIFT: u32 = 16;

/// The attributes of one page of the arena, or "not mapped".
///
/// Layout of the 32 bits, lowest first: mapped (1), protection (3), backing (2), advice (3),
/// anonymous name (3, 0 = none), memfd (2), marks (2), file offset in pages (16). Unmapped is all
/// zero.
///
/// Neighbouring pages of one VMA [continue](Page::continues) each other. Pages that do may still belong
/// to two VMAs: see [`Layout`](super::Layout).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Page(u32);

impl Page {
    /// Not mapped.
    pub const HOLE: Page = Page(0);
    /// No page: equal to no page that [`Page::anon`] or [`Page::file`] makes.
    ///
    /// A line whose file or name is none of the arena's is given this, and so matches nothing.
    pub const FOREIGN: Page = Page(MAPPED | 3 << BACKING_SHIFT);

    /// A page of private anonymous memory without name or advice.
    pub const fn anon(prot: Prot) -> Page {
        Page(MAPPED | (prot.bits() as u32) << PROT_SHIFT)
    }

    /// A page of memfd number `file` (below [`MAX_FILES`]) at offset `pgoff` pages.
    pub const fn file(prot: Prot, shared: bool, file: u8, pgoff: u16) -> Page {
        let backing = if shared { 2 } else { 1 };
        Page(
            MAPPED
                | (prot.bits() as u32) << PROT_SHIFT
                | backing << BACKING_SHIFT
                | (file as u32 & 3) << FILE_SHIFT
                | (pgoff as u32) << PGOFF_SHIFT,
        )
    }

    /// The packed bits, as kept in the history and in saved files.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Page::bits`].
    pub const fn from_bits(bits: u32) -> Page {
        Page(bits)
    }

    /// Whether anything is mapped here.
    pub const fn is_mapped(self) -> bool {
        self.0 & MAPPED != 0
    }

    /// The protection; of an unmapped page, none.
    pub const fn prot(self) -> Prot {
        Prot::from_bits((self.0 >> PROT_SHIFT) as u8)
    }

    /// This page with another protection.
    pub const fn with_prot(self, prot: Prot) -> Page {
        Page(self.0 & !(7 << PROT_SHIFT) | (prot.bits() as u32) << PROT_SHIFT)
    }

    /// What the page maps; of a hole, anonymous memory.
    pub const fn backing(self) -> Backing {
        match self.0 >> BACKING_SHIFT & 3 {
            0 => Backing::Anon,
            1 => Backing::PrivateFile,
            _ => Backing::SharedFile,
        }
    }

    /// The permissions of its maps line: bit 0 read, 1 write, 2 execute, 3 shared.
    pub const fn perms(self) -> u8 {
        self.prot().bits() | (self.is_shared() as u8) << 3
    }

    /// Whether what is written to it is seen by others that map the same.
    pub const fn is_shared(self) -> bool {
        matches!(self.backing(), Backing::SharedFile)
    }

    /// Whether the page maps a memfd.
    pub const fn is_file(self) -> bool {
        self.0 >> BACKING_SHIFT & 3 != 0
    }

    /// Which memfd, below [`MAX_FILES`].
    pub const fn file_index(self) -> u8 {
        (self.0 >> FILE_SHIFT & 3) as u8
    }

    /// Offset in the memfd, in pages; 0 for anonymous memory.
    pub const fn pgoff(self) -> u16 {
        (self.0 >> PGOFF_SHIFT) as u16
    }

    /// Whether `advice` is in force.
    pub const fn has_advice(self, advice: Advice) -> bool {
        self.0 & advice.bit() != 0
    }

    /// This page with `advice` given or taken back.
    pub const fn with_advice(self, advice: Advice, on: bool) -> Page {
        if on { Page(self.0 | advice.bit()) } else { Page(self.0 & !advice.bit()) }
    }

    /// The anonymous name's number, 1 to [`MAX_NAMES`]; 0 for none.
    pub const fn name(self) -> u8 {
        (self.0 >> NAME_SHIFT & 7) as u8
    }

    /// This page with another anonymous name; 0 takes it away.
    pub const fn with_name(self, name: u8) -> Page {
        Page(self.0 & !(7 << NAME_SHIFT) | (name as u32 & 7) << NAME_SHIFT)
    }

    /// The page `n` pages further on in the same mapping: a memfd's offset moves along.
    pub const fn step(self, n: u16) -> Page {
        Page(self.0.wrapping_add(self.is_file() as u32 * ((n as u32) << PGOFF_SHIFT)))
    }

    /// Whether a VMA that contains this page and ends behind it would take in `next`.
    pub const fn continues(self, next: Page) -> bool {
        self.is_mapped() && self.step(1).0 == next.0
    }

    /// What a maps line or PROCMAP_QUERY tells of the page: everything but advice and marks.
    pub const fn visible(self) -> Page {
        Page(self.0 & !(ADVICE_MASK | MARKS))
    }

    /// The first page of a VMA that was written to, and so has an anon_vma; with `alike`, that of the
    /// touched VMA before it in its lane.
    #[must_use]
    pub const fn with_marks(self, alike: bool) -> Page {
        Page(self.0 & !MARKS | TOUCHED | if alike { ALIKE } else { 0 })
    }

    /// The page without [marks](Page::with_marks).
    #[must_use]
    pub const fn without_marks(self) -> Page {
        Page(self.0 & !MARKS)
    }

    /// Whether it is marked as the first page of a VMA that was written to.
    pub const fn is_touched(self) -> bool {
        self.0 & TOUCHED != 0
    }

    /// Whether it is marked as having the anon_vma of the touched VMA before it.
    pub const fn is_alike(self) -> bool {
        self.0 & ALIKE != 0
    }

    /// Whether a write to it goes through, and makes its VMA a touched one if it is none: private
    /// memory that can be written to.
    pub const fn takes_writes(self) -> bool {
        self.is_mapped() && self.prot().writes() && !self.is_shared()
    }
}

impl fmt::Display for Page {
    /// `rw-p anon`, `rw-p anon touched`, `r--s memfd0+12 !dump`, or `unmapped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_mapped() {
            return f.write_str("unmapped");
        }
        if self.0 >> BACKING_SHIFT & 3 == 3 {
            return f.write_str("foreign");
        }
        let share = if self.backing() == Backing::SharedFile { 's' } else { 'p' };
        write!(f, "{}{share} ", self.prot())?;
        if self.is_file() {
            write!(f, "memfd{}+{}", self.file_index(), self.pgoff())?;
        } else {
            f.write_str("anon")?;
        }
        if self.name() != 0 {
            write!(f, ":{}", self.name())?;
        }
        for (advice, word) in Advice::ALL.into_iter().zip([" !dump", " !fork", " random"]) {
            if self.has_advice(advice) {
                f.write_str(word)?;
            }
        }
        match (self.is_touched(), self.is_alike()) {
            (false, _) => Ok(()),
            (true, false) => f.write_str(" touched"),
            (true, true) => f.write_str(" touched-alike"),
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_page_continues_only_at_the_next_offset() {
        let page = Page::file(Prot::READ, true, 1, 7);
        assert!(page.continues(Page::file(Prot::READ, true, 1, 8)));
        assert!(!page.continues(page));
        assert!(!page.continues(Page::file(Prot::READ, false, 1, 8)));
        assert!(!page.continues(Page::file(Prot::READ, true, 0, 8)));
    }

    #[test]
    fn advice_splits_but_does_not_show() {
        let plain = Page::anon(Prot::READ_WRITE);
        for advice in Advice::ALL {
            let advised = plain.with_advice(advice, true);
            assert!(!plain.continues(advised));
            assert_eq!(advised.visible(), plain);
            assert_eq!(advised.with_advice(advice, false), plain);
        }
    }

    #[test]
    fn every_field_survives_beside_the_others() {
        for prot in Prot::DRAWN {
            let page = Page::file(prot, false, 3, MAX_PGOFF).with_advice(Advice::Random, true);
            assert_eq!(page.prot(), prot);
            assert_eq!(page.file_index(), 3);
            assert_eq!(page.pgoff(), MAX_PGOFF);
            assert_eq!(page.backing(), Backing::PrivateFile);
            let named = Page::anon(prot).with_name(MAX_NAMES);
            assert_eq!((named.name(), named.prot()), (MAX_NAMES, prot));
            assert_ne!(named.visible(), Page::anon(prot));
        }
    }

    #[test]
    fn a_hole_continues_into_nothing() {
        assert!(!Page::HOLE.continues(Page::HOLE));
        assert!(!Page::HOLE.continues(Page::anon(Prot::NONE)));
    }
}
