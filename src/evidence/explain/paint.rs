//! What pictures on the terminal have in common.

use crate::evidence::{SavedIncident, Tear};
use crate::header::Header;
use crate::model::{Page, Vma};
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
/// Characters of a page in the picture.
pub(super) const WIDTH: usize = 3;

/// Where a file comes from.
pub(super) struct Heading<'a> {
    pub signature: &'a str,
    /// Machine and run in a line.
    pub origin: String,
    pub command: &'a str,
}

fn origin(header: &Header) -> String {
    let Header { kernel, arch, page_size, .. } = header;
    let contract = header.contract.unwrap_or_default();
    let seed = header.seed_word();
    format!("Linux {kernel} {arch}, pages of {page_size} bytes, contract {contract}, seed {seed}")
}

/// The command of the run: of one in a guest, that which runs its machine again.
fn again(header: &Header) -> &str {
    header.vm.as_ref().map_or(&header.command, |vm| &vm.command)
}

impl<'a> From<&'a Tear> for Heading<'a> {
    fn from(tear: &'a Tear) -> Heading<'a> {
        let origin = origin(&tear.header);
        let origin = format!("{origin}, reader {}", tear.reader);
        Heading { signature: &tear.signature, origin, command: again(&tear.header) }
    }
}

impl<'a> From<&'a SavedIncident> for Heading<'a> {
    fn from(file: &'a SavedIncident) -> Heading<'a> {
        let origin = origin(&file.header);
        Heading { signature: &file.signature, origin, command: again(&file.header) }
    }
}

pub(super) fn heading(out: &mut impl Write, heading: &Heading<'_>) -> io::Result<()> {
    let Heading { signature, origin, command } = heading;
    writeln!(
        out,
        "{BOLD}{signature}{BOLD:#}\n{FAINT}{origin}{FAINT:#}\n{FAINT}{command}{FAINT:#}\n"
    )
}

/// Whether a line of text is marked as the one that matters.
pub(super) fn marked(line: &str) -> bool {
    line.contains("<< here") || line.starts_with(">>")
}

pub(super) fn lines(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| {
        let style = if marked(line) { BAD } else { Style::new() };
        writeln!(out, "  {style}{line}{style:#}")
    })
}

/// The page without its offset, which differs from page to page.
fn kind(page: Page) -> Page {
    if page.is_file() { Page::from_bits(page.bits() & 0xffff) } else { page }
}

/// The kinds of page in a picture; each is drawn as the letter of its place.
pub(super) fn legend(vmas: impl Iterator<Item = Vma>) -> Vec<Page> {
    let mut kinds: Vec<Page> = Vec::new();
    for vma in vmas {
        let kind = kind(vma.page);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn letter(number: usize) -> char {
    char::from(b'A' + (number % 26) as u8)
}

/// What the letters stand for.
pub(super) fn letters(out: &mut impl Write, kinds: &[Page]) -> io::Result<()> {
    let mut kinds = kinds.iter().enumerate();
    kinds.try_for_each(|(number, page)| writeln!(out, "  {} {page}", letter(number)))
}

/// The numbers of the pages, above a picture whose rows are called `what`.
pub(super) fn ruler(out: &mut impl Write, what: &str, pages: usize) -> io::Result<()> {
    let ruler: String = (0..pages).map(|page| format!("{page:<WIDTH$}")).collect();
    writeln!(out, "  {what:>21}  {FAINT}{}{FAINT:#}", ruler.trim_end())
}

/// A lane: each VMA a run of its letter, with a gap before the next, cut at the end of the lane.
pub(super) fn drawn(vmas: &[Vma], kinds: &[Page], pages: usize) -> String {
    let mut text: Vec<char> = ".  ".chars().cycle().take(pages * WIDTH).collect();
    for vma in vmas {
        let number = kinds.iter().position(|known| *known == kind(vma.page)).unwrap_or(0);
        if let Some(run @ [.., _]) = text.get_mut(vma.start * WIDTH..vma.end * WIDTH) {
            run.fill(letter(number));
            run[run.len() - 1] = ' ';
        }
    }
    text.into_iter().collect::<String>().trim_end().into()
}
