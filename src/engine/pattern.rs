//! Signatures as people write them: whole, or their beginnings.

use super::modes::Mode;
use super::signature::Signature;
use crate::host::{Function, SplatKind};
use crate::model::{Kind, KindSet};
use crate::oracle::{Class, Mechanism};
use crate::vocabulary::unknown;
use std::fmt;
use std::str::FromStr;

/// How a signature is written.
const FORM: &str = "a signature is CLASS/MECHANISM/OPERATIONS/READER or the beginning of one up to \
    a slash, with - for none and + between operations";

/// A signature, or the beginning of one: what `--allow`, `--until` and the name of a scenario take.
///
/// Invariant: where a part is open all behind it are. So it is made from text, or by
/// [`Pattern::of`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pattern {
    class: Class,
    /// Each `None` is open; the inner one is the `-` of a signature.
    mechanism: Option<Option<Mechanism>>,
    operations: Option<KindSet>,
    reader: Option<Option<Mode>>,
    /// Of a splat, in the places of mechanism and operations: what the kernel said, and the function.
    splat: Option<(SplatKind, Option<Option<Function>>)>,
}

impl From<Class> for Pattern {
    /// Every signature of a class.
    fn from(class: Class) -> Pattern {
        Pattern { class, mechanism: None, operations: None, reader: None, splat: None }
    }
}

impl Pattern {
    /// Every signature of the class and the mechanism, where there is one.
    pub fn of(class: Class, mechanism: Option<Mechanism>) -> Pattern {
        Pattern { mechanism: mechanism.map(Some), ..class.into() }
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The mechanism; `None` where it is open or none.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism.flatten()
    }

    /// The operations; none where they are open.
    pub fn operations(&self) -> KindSet {
        self.operations.unwrap_or_default()
    }

    /// The way of reading; `None` where it is open or none.
    pub fn reader(&self) -> Option<Mode> {
        self.reader.flatten()
    }

    /// Whether it is the signature or its beginning. Allocates nothing: this runs in mid-storm.
    pub fn matches(&self, signature: &Signature) -> bool {
        self.class == signature.class
            && self.mechanism.is_none_or(|mechanism| mechanism == signature.mechanism)
            && self.operations.is_none_or(|operations| operations == signature.in_flight)
            && self.reader.is_none_or(|reader| reader == signature.mode)
            && self.splat.is_none_or(|(kind, function)| {
                signature.splat.is_some_and(|(is, of)| {
                    is == kind && function.is_none_or(|function| function == of)
                })
            })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class)?;
        if let Some((kind, function)) = &self.splat {
            write!(f, "/{kind}")?;
            let Some(function) = function else { return Ok(()) };
            write!(f, "/{}", function.as_deref().unwrap_or("-"))?;
            return if self.reader.is_some() { f.write_str("/-") } else { Ok(()) };
        }
        let Some(mechanism) = self.mechanism else { return Ok(()) };
        write!(f, "/{}", mechanism.map_or("-", Mechanism::word))?;
        let Some(operations) = self.operations else { return Ok(()) };
        let words: Vec<&str> = operations.iter().map(Kind::word).collect();
        write!(f, "/{}", if words.is_empty() { "-".into() } else { words.join("+") })?;
        let Some(reader) = self.reader else { return Ok(()) };
        write!(f, "/{}", reader.map_or("-", Mode::word))
    }
}

/// Why a text is no signature and no beginning of one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}; {FORM}")]
pub struct PatternError(String);

/// One of `all` by its word, or none for `-`.
fn part<T: Copy>(
    what: &str,
    text: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<Option<T>, PatternError> {
    if text == "-" {
        return Ok(None);
    }
    let known: Vec<&str> = all.iter().map(|&one| word(one)).collect();
    let found = known.iter().position(|known| *known == text).map(|at| all[at]);
    found.map(Some).ok_or_else(|| PatternError(unknown(what, text, &known)))
}

fn beyond(more: &str) -> PatternError {
    PatternError(format!("it has four parts, and {more:?} is one more"))
}

/// What comes behind `splat/`: what the kernel said, the function, and no way of reading.
fn splat<'t>(mut parts: impl Iterator<Item = &'t str>) -> Result<Pattern, PatternError> {
    let mut pattern = Pattern::from(Class::Splat);
    let Some(kind) = parts.next() else { return Ok(pattern) };
    let Some(kind) = part("kernel message", kind, &SplatKind::ALL, SplatKind::word)? else {
        return Err(PatternError("what the kernel said is never -".into()));
    };
    let function = parts.next().map(|name| match name {
        "-" => Ok(None),
        "" => Err(PatternError("the function has no name; - is none".into())),
        name => Function::from(name).map(Some).map_err(|_| {
            PatternError(format!("{name:?} is longer than the names of functions that are kept"))
        }),
    });
    pattern.splat = Some((kind, function.transpose()?));
    if let Some(way) = parts.next() {
        pattern.reader = Some(part("way of reading", way, &[], Mode::word)?);
    }
    parts.next().map_or(Ok(pattern), |more| Err(beyond(more)))
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        // `hole/` is all of `hole`.
        let mut parts = text.strip_suffix('/').unwrap_or(text).split('/');
        let class = parts.next().unwrap_or_default();
        let Some(class) = part("class", class, &Class::ALL, Class::word)? else {
            return Err(PatternError("a signature has a class, which is never -".into()));
        };
        if class == Class::Splat {
            return splat(parts);
        }
        let mechanism = parts
            .next()
            .map(|text| part("mechanism", text, &Mechanism::ALL, Mechanism::word))
            .transpose()?;
        let operations = parts.next().map(|text| {
            let kinds = text.split('+').map(|kind| match (kind, text) {
                ("-", "-") => Ok(None),
                ("-", _) => Err(PatternError(format!("{text:?} has - beside an operation"))),
                _ => part("operation", kind, &Kind::ALL, Kind::word),
            });
            kinds.collect::<Result<Vec<_>, _>>().map(|kinds| kinds.into_iter().flatten().collect())
        });
        let operations = operations.transpose()?;
        let reader = parts
            .next()
            .map(|text| part("way of reading", text, &Mode::ALL, Mode::word))
            .transpose()?;
        match parts.next() {
            None => Ok(Pattern { mechanism, operations, reader, ..class.into() }),
            Some(more) => Err(beyond(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_parts() -> impl Iterator<Item = Signature> {
        let mechanisms = [None].into_iter().chain(Mechanism::ALL.map(Some));
        let modes: Vec<_> = [None].into_iter().chain(Mode::ALL.map(Some)).collect();
        let kinds = [
            KindSet::EMPTY,
            KindSet::EMPTY.with(Kind::Remap),
            KindSet::EMPTY.with(Kind::Map).with(Kind::Advise),
            KindSet::all(),
        ];
        let told = [None, Function::from("vma_merge").ok()].into_iter().flat_map(|function| {
            SplatKind::ALL.into_iter().map(move |kind| Signature::of_splat(kind, function))
        });
        let read = mechanisms.flat_map(move |mechanism| {
            let modes = modes.clone();
            kinds.into_iter().flat_map(move |in_flight| {
                let modes = modes.clone().into_iter();
                modes.flat_map(move |mode| {
                    let classes = Class::ALL.into_iter().filter(|class| *class != Class::Splat);
                    classes.map(move |class| Signature {
                        mechanism,
                        in_flight,
                        mode,
                        ..Signature::bare(class)
                    })
                })
            })
        });
        read.chain(told)
    }

    /// As text compares: what was said with a word of text before there was a type for it.
    fn begins(signature: &Signature, beginning: &str) -> bool {
        let text = signature.to_string();
        let rest = text.strip_prefix(beginning.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    #[test]
    fn every_beginning_of_a_signature_reads_back_and_matches_as_text_does() {
        let all: Vec<Signature> = all_parts().collect();
        for signature in all.iter().step_by(7) {
            let text = signature.to_string();
            let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
            for beginning in ends.map(|end| &text[..end]) {
                let pattern: Pattern = beginning.parse().unwrap();
                assert_eq!(pattern.to_string(), beginning);
                assert_eq!(format!("{beginning}/").parse(), Ok(pattern));
                for other in &all {
                    let matches = pattern.matches(other);
                    assert_eq!(matches, begins(other, beginning), "{beginning} {other}");
                }
            }
        }
    }

    #[test]
    fn operations_match_in_any_order() {
        let pattern: Pattern = "hole/-/remap+map".parse().unwrap();
        assert_eq!(pattern.to_string(), "hole/-/map+remap");
    }

    #[test]
    fn an_unknown_word_in_any_part_is_told_with_the_nearest_and_the_list() {
        for (text, told) in [
            ("hloe", &["class \"hloe\"", "did you mean \"hole\"?", "torn, stale"][..]),
            ("", &["class \"\"", "hole, torn"]),
            ("-/replaced-in-flight", &["never -"]),
            (
                "hole/replaced-in-fligth",
                &["mechanism", "did you mean \"replaced-in-flight\"?", "skipped-after-merge"],
            ),
            ("hole//remap", &["mechanism \"\""]),
            ("hole/replaced-in-flight/rempa", &["operation", "\"remap\"?", "unmap, protect"]),
            ("hole/-/map+rempa/walk", &["operation \"rempa\"", "\"remap\"?"]),
            ("hole/-/map+-", &["beside an operation"]),
            ("hole/-/map,remap", &["operation \"map,remap\""]),
            ("hole/-/map/wlak", &["way of reading \"wlak\"", "\"walk\"?", "pread, short"]),
            ("hole/-/map/walk/walk", &["four parts"]),
            ("HOLE", &["\"HOLE\"", "\"hole\"?"]),
        ] {
            let error = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(told.iter().all(|told| error.contains(told)), "{text:?}: {error}");
            assert!(error.contains("CLASS/MECHANISM/OPERATIONS/READER"), "{text:?}: {error}");
        }
    }
}
