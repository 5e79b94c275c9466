//! The second way to compare a standstill's text with the oracle's layouts: page by page, from the
//! text of both. It shares no code with the first.

use crate::kernel::anon_name;
use crate::model::{Geometry, MAX_NAMES};
use std::fmt;

/// How mappings of one memfd show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memfd<'a> {
    /// Device, major and minor number.
    pub dev: (u32, u32),
    /// Inode.
    pub inode: u64,
    /// The path as maps prints it.
    pub name: &'a [u8],
}

/// What was read of the arena while nothing moved, and what should have been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedStandstill<'a> {
    /// Where the lanes lie.
    pub geometry: Geometry,
    /// The memfds, by number.
    pub files: Vec<Memfd<'a>>,
    /// The lines of maps that lie in the arena, in their order, each without its newline.
    pub lines: Vec<&'a [u8]>,
    /// The lanes, lowest first, with their layout in words, such as `[0..4 rw-p anon]` or `empty`;
    /// nothing of one that is not known.
    pub lanes: Vec<(u16, Option<&'a str>)>,
}

/// A VMA: pages `start..end` of a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// First page.
    pub start: usize,
    /// One past the last page.
    pub end: usize,
    /// The first page in words, as far as maps tells: `rw-p anon`, `r--s memfd0+12`, or `foreign`
    /// for what is none of the arena's.
    pub page: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{} {}]", self.start, self.end, self.page)
    }
}

/// A lane that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unlike {
    /// The lane.
    pub lane: u16,
    /// What should have been read.
    pub expected: Vec<Run>,
    /// What was.
    pub read: Vec<Run>,
}

impl Unlike {
    /// The first VMA that differs: what should have been read, and what was.
    pub fn first(&self) -> (Option<&Run>, Option<&Run>) {
        let same = self.expected.iter().zip(&self.read).take_while(|(a, b)| a == b).count();
        (self.expected.get(same), self.read.get(same))
    }

    /// Runs as a layout is written.
    pub fn words(runs: &[Run]) -> String {
        match runs.is_empty() {
            true => "empty".into(),
            false => runs.iter().map(Run::to_string).collect::<Vec<_>>().join(" "),
        }
    }
}

/// Why a standstill can't be compared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum StandstillFlaw {
    #[error("line {0} of what was read is no line of maps")]
    Line(usize),
    #[error("line {0} of what was read does not lie in a lane")]
    Place(usize),
    #[error("the layout of lane {0} does not read")]
    Layout(u16),
    #[error("lane {0} is out of order, or the arena has none such")]
    Lane(u16),
}

/// The lanes that are not as they should be.
///
/// # Errors
/// When a text can't be read.
pub fn compare(standstill: &SavedStandstill<'_>) -> Result<Vec<Unlike>, StandstillFlaw> {
    let geometry = &standstill.geometry;
    let mut read: Vec<Vec<Run>> = vec![Vec::new(); geometry.lanes as usize];
    for (number, line) in standstill.lines.iter().enumerate() {
        let fields = fields(line).ok_or(StandstillFlaw::Line(number))?;
        let (lane, run) = place(&fields, standstill).ok_or(StandstillFlaw::Place(number))?;
        read[lane].push(run);
    }
    let mut unlike = Vec::new();
    let mut before = None;
    for &(lane, words) in &standstill.lanes {
        if lane >= geometry.lanes || before.replace(lane).is_some_and(|before| before >= lane) {
            return Err(StandstillFlaw::Lane(lane));
        }
        let Some(words) = words else { continue };
        let pages = pages(words, geometry.pages as usize).ok_or(StandstillFlaw::Layout(lane))?;
        let (expected, read) = (runs(&pages), std::mem::take(&mut read[lane as usize]));
        if expected != read {
            unlike.push(Unlike { lane, expected, read });
        }
    }
    Ok(unlike)
}

/// A line cut into its fields.
struct Fields<'a> {
    start: u64,
    end: u64,
    perms: &'a str,
    offset: u64,
    dev: (u64, u64),
    inode: u64,
    name: &'a [u8],
}

fn fields(line: &[u8]) -> Option<Fields<'_>> {
    let parts: Vec<&[u8]> = line.splitn(6, |&byte| byte == b' ').collect();
    let text = |at: usize| str::from_utf8(parts.get(at)?).ok();
    let (start, end) = text(0)?.split_once('-')?;
    let (major, minor) = text(3)?.split_once(':')?;
    let perms = text(1)?;
    let flags = perms.len() == 4
        && perms.chars().zip(["r-", "w-", "x-", "ps"]).all(|(c, known)| known.contains(c));
    let inode = text(4)?;
    let decimal = !inode.is_empty() && inode.bytes().all(|byte| byte.is_ascii_digit());
    let (start, end) = (hex(start)?, hex(end)?);
    if !flags || !decimal || start >= end {
        return None;
    }
    // Between inode and name lie as many spaces as it takes to a column.
    let padded = parts.get(5).copied().unwrap_or_default();
    let name = &padded[padded.iter().take_while(|&&byte| byte == b' ').count()..];
    let (offset, inode) = (hex(text(2)?)?, inode.parse().ok()?);
    Some(Fields { start, end, perms, offset, dev: (hex(major)?, hex(minor)?), inode, name })
}

fn hex(digits: &str) -> Option<u64> {
    let known = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(known).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// The lane a line lies in, and its pages.
fn place(fields: &Fields<'_>, standstill: &SavedStandstill<'_>) -> Option<(usize, Run)> {
    let geometry = &standstill.geometry;
    let (page, stride) = (1u64 << geometry.page_shift, 1u64 << geometry.stride_shift);
    let above = fields.start.checked_sub(geometry.base)?;
    let lane = above / stride;
    let (start, len) = (above % stride / page, (fields.end - fields.start) / page);
    if lane >= u64::from(geometry.lanes) || start + len > u64::from(geometry.pages) {
        return None;
    }
    let whole = fields.start.is_multiple_of(page) && fields.end.is_multiple_of(page);
    let what = if whole { what(fields, standstill) } else { None };
    let words = what.map_or("foreign".into(), |what| format!("{} {what}", fields.perms));
    Some((lane as usize, Run { start: start as usize, end: (start + len) as usize, page: words }))
}

/// What is mapped, where the arena can have mapped it.
fn what(fields: &Fields<'_>, standstill: &SavedStandstill<'_>) -> Option<String> {
    if fields.inode == 0 {
        let plain = fields.offset == 0 && fields.dev == (0, 0) && fields.perms.ends_with('p');
        let named = |number: u8| {
            let name = anon_name(number)?.to_str().ok()?;
            (fields.name == format!("[anon:{name}]").as_bytes()).then(|| format!("anon:{number}"))
        };
        let unnamed = fields.name.is_empty().then(|| "anon".to_owned());
        return unnamed.or_else(|| (1..=MAX_NAMES).find_map(named)).filter(|_| plain);
    }
    let page = 1u64 << standstill.geometry.page_shift;
    let number = standstill.files.iter().position(|file| {
        (u64::from(file.dev.0), u64::from(file.dev.1)) == fields.dev
            && file.inode == fields.inode
            && file.name == fields.name
    })?;
    let pgoff = fields.offset / page;
    let fits = fields.offset.is_multiple_of(page) && pgoff <= u64::from(u16::MAX);
    fits.then(|| format!("memfd{number}+{pgoff}"))
}

/// One page of a layout in words.
#[derive(Clone, PartialEq, Eq)]
struct PageWords<'a> {
    perms: &'a str,
    /// `anon`, `anon:3` or `memfd0`.
    what: &'a str,
    /// Of a memfd, its page.
    pgoff: Option<u16>,
    /// What maps does not tell.
    advice: &'a str,
}

impl PageWords<'_> {
    /// Whether this page lies in one VMA with the one before it.
    fn follows(&self, before: &PageWords<'_>) -> bool {
        let next = before.pgoff.map(|pgoff| pgoff.wrapping_add(1));
        *self == PageWords { pgoff: next, ..before.clone() }
    }

    fn words(&self) -> String {
        let offset = self.pgoff.map_or(String::new(), |pgoff| format!("+{pgoff}"));
        format!("{} {}{offset}", self.perms, self.what)
    }
}

/// The pages of a lane of `pages` pages from the words of its layout.
fn pages(words: &str, pages: usize) -> Option<Vec<Option<PageWords<'_>>>> {
    let mut all = vec![None; pages];
    if words == "empty" {
        return Some(all);
    }
    for vma in words.strip_prefix('[')?.strip_suffix(']')?.split("] [") {
        let mut parts = vma.splitn(4, ' ');
        let (start, end) = parts.next()?.split_once("..")?;
        let (start, end): (usize, usize) = (start.parse().ok()?, end.parse().ok()?);
        let (perms, mapped) = (parts.next()?, parts.next()?);
        let advice = parts.next().unwrap_or_default();
        let (what, pgoff) = match mapped.split_once('+') {
            Some((file, pgoff)) => (file, Some(pgoff.parse::<u16>().ok()?)),
            None => (mapped, None),
        };
        for (number, page) in all.get_mut(start..end)?.iter_mut().enumerate() {
            let pgoff = pgoff.map(|pgoff| pgoff.wrapping_add(number as u16));
            let page = page.replace(PageWords { perms, what, pgoff, advice });
            if page.is_some() {
                return None;
            }
        }
    }
    Some(all)
}

/// The VMAs that the kernel makes of the pages.
fn runs(pages: &[Option<PageWords<'_>>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, page) in pages.iter().enumerate() {
        let Some(page) = page else { continue };
        let before = at.checked_sub(1).and_then(|before| pages[before].as_ref());
        match runs.last_mut() {
            Some(last) if before.is_some_and(|before| page.follows(before)) => last.end = at + 1,
            _ => runs.push(Run { start: at, end: at + 1, page: page.words() }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{SeenLane, sort_lanes};
    use crate::kernel::{FileIdentity, Identities, Line};
    use crate::model::{Advice, Layout, Page, Prot};
    use proptest::prelude::*;

    const NAME: &[u8] = b"/memfd:mapstorm-0 (deleted)";
    const LANES: usize = 2;
    const PAGES: usize = 4;

    fn geometry() -> Geometry {
        Geometry::new(0x7f00_0000_0000, 4096, LANES, PAGES)
    }

    fn any_page() -> impl Strategy<Value = Page> {
        let prot = || prop::sample::select(vec![Prot::READ, Prot::READ_WRITE]);
        prop_oneof![
            2 => Just(Page::HOLE),
            2 => (prot(), 0..2u8).prop_map(|(prot, name)| Page::anon(prot).with_name(name)),
            1 => prot().prop_map(|p| Page::anon(p).with_advice(Advice::DontFork, true)),
            2 => (prot(), any::<bool>(), 0..4u16).prop_map(|(p, s, at)| Page::file(p, s, 0, at)),
        ]
    }

    fn any_lanes() -> impl Strategy<Value = Vec<Layout>> {
        let lane = prop::collection::vec(any_page(), PAGES).prop_map(|p| Layout::from_pages(&p));
        prop::collection::vec(lane, LANES)
    }

    /// What maps shows of lanes that look so.
    fn printed(lanes: &[Layout]) -> Vec<u8> {
        let mut text = Vec::new();
        for (lane, layout) in lanes.iter().enumerate() {
            for vma in layout.vmas() {
                let page = vma.page;
                let name =
                    anon_name(page.name()).map(|n| format!("[anon:{}]", n.to_str().unwrap()));
                let file = page.is_file();
                let line = Line {
                    start: geometry().address(lane as u16, vma.start),
                    end: geometry().address(lane as u16, vma.end),
                    perms: page.perms(),
                    offset: u64::from(page.pgoff()) << 12,
                    dev_major: 0,
                    dev_minor: u32::from(file),
                    inode: if file { 77 } else { 0 },
                    name: if file { NAME } else { name.as_deref().unwrap_or("").as_bytes() },
                };
                line.print(&mut text).unwrap();
            }
        }
        text
    }

    fn second(text: &[u8], words: &[String]) -> Result<Vec<Unlike>, StandstillFlaw> {
        compare(&SavedStandstill {
            geometry: geometry(),
            files: vec![Memfd { dev: (0, 1), inode: 77, name: NAME }],
            lines: text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).collect(),
            lanes: (0..).zip(words).map(|(lane, words)| (lane, Some(&words[..]))).collect(),
        })
    }

    fn first(text: &[u8]) -> Vec<SeenLane> {
        let file = FileIdentity { dev_major: 0, dev_minor: 1, inode: 77, name: NAME.to_vec() };
        let identities = Identities::new(12, vec![file]);
        let mut seen = vec![SeenLane::default(); LANES];
        sort_lanes(text, &identities, &geometry(), &mut seen);
        seen
    }

    proptest! {
        #[test]
        fn what_is_as_it_should_be_differs_nowhere(lanes in any_lanes()) {
            let words: Vec<String> = lanes.iter().map(Layout::to_string).collect();
            prop_assert_eq!(second(&printed(&lanes), &words), Ok(vec![]));
        }

        /// Both ways see the same difference, whatever byte is another.
        #[test]
        fn both_ways_agree(
            (read, expected) in (any_lanes(), any_lanes()),
            same in any::<bool>(),
            flip in prop::option::of((any::<prop::sample::Index>(), 0x20..0x7fu8)),
        ) {
            let expected = if same { read.clone() } else { expected };
            let mut text = printed(&read);
            if let (Some((at, byte)), false) = (flip, text.is_empty()) {
                let at = at.index(text.len());
                if text[at] != b'\n' {
                    text[at] = byte;
                }
            }
            let words: Vec<String> = expected.iter().map(Layout::to_string).collect();
            let seen = first(&text);
            match second(&text, &words) {
                Err(flaw) => prop_assert!(seen.iter().any(|lane| lane.stranger), "{flaw}: {seen:?}"),
                Ok(unlike) => {
                    for (lane, (seen, layout)) in seen.iter().zip(&expected).enumerate() {
                        prop_assert!(!seen.stranger);
                        let first = seen.difference(lane as u16, layout).map(|d| d.seen_words());
                        let second = unlike.iter().find(|unlike| unlike.lane as usize == lane);
                        prop_assert_eq!(first, second.map(|unlike| Unlike::words(&unlike.read)));
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_vma_that_differs_is_told() {
        let text = b"7f0000000000-7f0000001000 r--p 00000000 00:00 0 \n\
            7f0000002000-7f0000004000 rw-p 00000000 00:00 0 \n";
        let words = ["[0..1 r--p anon] [1..2 rw-p anon] [2..4 rw-p anon !dump]", "empty"];
        let unlike = second(text, &words.map(String::from)).unwrap();
        assert_eq!(unlike.len(), 1);
        let (expected, read) = unlike[0].first();
        assert_eq!(expected.unwrap().to_string(), "[1..2 rw-p anon]");
        assert_eq!(read.unwrap().to_string(), "[2..4 rw-p anon]");
    }

    #[test]
    fn texts_that_do_not_read_are_flaws() {
        let empty = || ["empty".to_owned(), "empty".to_owned()];
        let line = |text: &[u8]| second(text, &empty());
        assert_eq!(line(b"7f0000000000-7f0000001000 r--p\n"), Err(StandstillFlaw::Line(0)));
        let above = b"7f0000004000-7f0000006000 r--p 00000000 00:00 0 \n";
        assert_eq!(line(above), Err(StandstillFlaw::Place(0)));
        for words in ["[0..5 r--p anon]", "[0..2 r--p anon] [1..3 r--p anon]", "0..1", ""] {
            let lanes = ["empty".to_owned(), words.to_owned()];
            assert_eq!(second(b"", &lanes), Err(StandstillFlaw::Layout(1)), "{words}");
        }
    }
}
