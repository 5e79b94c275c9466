//! Pages, layouts and operations in words: what [`Display`](std::fmt::Display) prints is read back.

use crate::model::{Advice, Layout, MAX_FILES, MAX_NAMES, Page, Prot, Vma};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A text that says no page or layout.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?}: {expected}")]
#[expect(missing_docs, reason = "each message says what it is about")]
pub struct WordError {
    pub text: String,
    pub expected: &'static str,
}

fn wrong(text: &str, expected: &'static str) -> WordError {
    WordError { text: text.into(), expected }
}

impl FromStr for Prot {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Prot, WordError> {
        let flags = (0..8).map(Prot::from_bits);
        flags
            .into_iter()
            .find(|prot| prot.to_string() == text)
            .ok_or_else(|| wrong(text, "a protection is three characters, such as rw-"))
    }
}

impl FromStr for Page {
    type Err = WordError;

    /// `rw-p anon`, `rw-p anon:3 touched`, `r--s memfd0+12 !dump !fork random`, `unmapped`.
    fn from_str(text: &str) -> Result<Page, WordError> {
        const EXPECTED: &str = "a page is such as `rw-p anon`, `r--s memfd0+12` or `unmapped`, \
            with !dump, !fork or random behind it, and touched or touched-alike of private memory";
        let bad = || wrong(text, EXPECTED);
        if text == "unmapped" {
            return Ok(Page::HOLE);
        }
        let mut words = text.split(' ');
        let perms =
            words.next().filter(|perms| perms.len() == 4 && perms.is_ascii()).ok_or_else(bad)?;
        let prot: Prot = perms[..3].parse()?;
        let shared = match &perms[3..] {
            "s" => true,
            "p" => false,
            _ => return Err(bad()),
        };
        let what = words.next().ok_or_else(bad)?;
        let mut page = if let Some(file) = what.strip_prefix("memfd") {
            let (index, pgoff) = file.split_once('+').ok_or_else(bad)?;
            let index: u8 = index.parse().map_err(|_| bad())?;
            let pgoff = pgoff.parse().map_err(|_| bad())?;
            (index < MAX_FILES).then(|| Page::file(prot, shared, index, pgoff)).ok_or_else(bad)?
        } else {
            let name = match what.strip_prefix("anon:") {
                Some(name) => name.parse().ok().filter(|name| (1..=MAX_NAMES).contains(name)),
                None => (what == "anon").then_some(0),
            };
            let name = name.filter(|_| !shared).ok_or_else(bad)?;
            Page::anon(prot).with_name(name)
        };
        for word in words {
            let advice = match word {
                "touched" | "touched-alike" if !page.is_shared() => {
                    page = page.with_marks(word == "touched-alike");
                    continue;
                }
                "!dump" => Advice::DontDump,
                "!fork" => Advice::DontFork,
                "random" => Advice::Random,
                _ => return Err(bad()),
            };
            page = page.with_advice(advice, true);
        }
        Ok(page)
    }
}

/// A lane of `pages` pages from the text of a layout.
///
/// # Errors
/// When the text says no layout, or one that does not fit.
pub(crate) fn layout(text: &str, pages: usize) -> Result<Layout, WordError> {
    const EXPECTED: &str = "a lane is `empty` or such as `[0..4 rw-p anon] [6..8 r--s memfd0+2]`, \
        lowest first, within the scenario's pages";
    let bad = || wrong(text, EXPECTED);
    let mut vmas = Vec::new();
    if text == "empty" {
        return Ok(Layout::empty(pages));
    }
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).ok_or_else(bad)?;
    let mut low = 0;
    for vma in inner.split("] [") {
        let (span, page) = vma.split_once(' ').ok_or_else(bad)?;
        let (start, end) = span.split_once("..").ok_or_else(bad)?;
        let start: usize = start.parse().map_err(|_| bad())?;
        let end: usize = end.parse().map_err(|_| bad())?;
        let page: Page = page.parse()?;
        if start < low || start >= end || end > pages || !page.is_mapped() {
            return Err(bad());
        }
        vmas.push(Vma { start, end, page });
        low = end;
    }
    Ok(Layout::from_vmas(pages, vmas))
}

macro_rules! in_words {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                struct Words;
                impl serde::de::Visitor<'_> for Words {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", stringify!($type), " in words"))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Words)
            }
        }
    };
}

in_words!(Page);
in_words!(Prot);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_page() -> impl Strategy<Value = Page> {
        let prot = (0..8u8).prop_map(Prot::from_bits);
        let anon =
            (prot.clone(), 0..=MAX_NAMES).prop_map(|(p, name)| Page::anon(p).with_name(name));
        let file = (prot, any::<bool>(), 0..MAX_FILES, any::<u16>())
            .prop_map(|(p, shared, index, pgoff)| Page::file(p, shared, index, pgoff));
        (prop_oneof![anon, file], prop::array::uniform3(any::<bool>())).prop_map(
            |(page, advice)| {
                let given = Advice::ALL.into_iter().zip(advice);
                given.fold(page, |page, (advice, on)| page.with_advice(advice, on))
            },
        )
    }

    proptest! {
        #[test]
        fn every_page_reads_back(page in any_page()) {
            prop_assert_eq!(page.to_string().parse(), Ok(page));
        }

        #[test]
        fn every_layout_reads_back(
            pages in prop::collection::vec(prop_oneof![Just(Page::HOLE), any_page()], 1..=64)
        ) {
            let lane = Layout::from_pages(&pages);
            prop_assert_eq!(layout(&lane.to_string(), pages.len()), Ok(lane));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "rw-",
            "rw-q anon",
            "rw-p",
            "rw-s anon",
            "r--s memfd9+1",
            "r--p memfd0",
            "rw-p anon loud",
        ] {
            assert!(text.parse::<Page>().is_err(), "{text:?}");
        }
        for text in
            ["", "[]", "[0..0 rw-p anon]", "[2..3 rw-p anon] [1..2 rw-p anon]", "[0..9 rw-p anon]"]
        {
            assert!(layout(text, 8).is_err(), "{text:?}");
        }
    }
}
