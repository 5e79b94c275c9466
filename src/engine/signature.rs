//! What makes two violations the same, and how that is written.

use super::modes::Mode;
use crate::host::{Function, SplatKind};
use crate::model::KindSet;
use crate::oracle::{Class, Mechanism};
use std::fmt;

/// What makes two violations the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signature {
    /// The class.
    pub class: Class,
    /// The mechanism, where the evidence points to one.
    pub mechanism: Option<Mechanism>,
    /// The kinds of operation in flight: the mechanism's, or all.
    pub in_flight: KindSet,
    /// How it was read; `None` for what no reader found.
    pub mode: Option<Mode>,
    /// Of [`Class::Splat`], what the kernel said and which function it is about.
    pub splat: Option<(SplatKind, Option<Function>)>,
}

impl Signature {
    /// That of a violation that no reader found.
    pub const fn bare(class: Class) -> Signature {
        Signature { class, mechanism: None, in_flight: KindSet::EMPTY, mode: None, splat: None }
    }

    /// That of what the kernel said.
    pub const fn of_splat(kind: SplatKind, function: Option<Function>) -> Signature {
        Signature { splat: Some((kind, function)), ..Signature::bare(Class::Splat) }
    }
}

impl fmt::Display for Signature {
    /// `hole/replaced-in-flight/remap/query`: class, mechanism or `-`, kinds joined by `+` or
    /// `-`, way of reading or `-`. Of a splat, `splat/warning/vma_merge/-`: what the kernel said, and the
    /// function that it is about.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((kind, function)) = &self.splat {
            return write!(f, "{}/{kind}/{}/-", self.class, function.as_deref().unwrap_or("-"));
        }
        write!(f, "{}/{}/", self.class, self.mechanism.map_or("-", Mechanism::word))?;
        for (i, kind) in self.in_flight.iter().enumerate() {
            write!(f, "{}{kind}", if i == 0 { "" } else { "+" })?;
        }
        if self.in_flight.is_empty() {
            f.write_str("-")?;
        }
        write!(f, "/{}", self.mode.map_or("-", Mode::word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn signatures_read_as_paths() {
        let named = Signature {
            class: Class::Hole,
            mechanism: Some(Mechanism::ReplacedInFlight),
            in_flight: [Kind::Map, Kind::Remap].into_iter().collect(),
            mode: Some(Mode::Query),
            splat: None,
        };
        let splat = Signature::of_splat(SplatKind::Warning, Function::from("vma_merge").ok());
        assert_eq!(splat.to_string(), "splat/warning/vma_merge/-");
        let nowhere = Signature::of_splat(SplatKind::RcuStall, None);
        assert_eq!(nowhere.to_string(), "splat/rcu-stall/-/-");
        assert_eq!(named.to_string(), "hole/replaced-in-flight/map+remap/query");
        assert_eq!(Signature::bare(Class::Hole).to_string(), "hole/-/-/-");
    }
}
