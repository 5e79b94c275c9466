//! Which neighbours the kernel makes one VMA: the rules, and what kernels do differently.

use super::anon::AnonVma;
use super::layout::Layout;
use super::page::{Backing, Page};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What differs between kernels in how VMAs merge; calibration finds out which alternative the kernel
/// at hand has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergeRules {
    /// By [`MergeRule`]: whether the kernel does it.
    does: [bool; MergeRule::ALL.len()],
}

/// The rules that a kernel was found to have or not to have, as saved files say them; of others nothing
/// is said.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FoundRules(BTreeMap<MergeRule, bool>);

impl FoundRules {
    /// All rules; those that were not found out as in the newest kernel known.
    pub fn rules(&self) -> MergeRules {
        self.0.iter().fold(MergeRules::NEWEST, |rules, (&rule, &has)| rules.with(rule, has))
    }

    /// Whether nothing was found out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that were found out, and in which `rules` are otherwise.
    pub fn unlike(&self, rules: MergeRules) -> impl Iterator<Item = MergeRule> {
        let unlike =
            move |(rule, has): (&MergeRule, &bool)| (rules.has(*rule) != *has).then_some(*rule);
        self.0.iter().filter_map(unlike)
    }
}

impl FromIterator<(MergeRule, Option<bool>)> for FoundRules {
    /// Each rule, and whether the kernel has it; `None` where that could not be decided.
    fn from_iter<I: IntoIterator<Item = (MergeRule, Option<bool>)>>(rules: I) -> FoundRules {
        FoundRules(rules.into_iter().filter_map(|(rule, has)| Some((rule, has?))).collect())
    }
}

/// One point in which kernels differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeRule {
    /// A VMA that was written to merges into a neighbour that was not.
    TouchedIntoUntouched,
    /// A move that keeps its source merges the copy with the source beside it.
    CopyIntoKeptSource,
    /// Private file mappings merge only where their anonymous page offsets follow on, too.
    PrivateFileOffsets,
    /// The whole VMA that a move leaves behind, empty, is again as if it had never moved.
    KeptSourceIsNew,
}

impl MergeRule {
    /// All of them.
    pub const ALL: [MergeRule; 4] = [
        MergeRule::TouchedIntoUntouched,
        MergeRule::CopyIntoKeptSource,
        MergeRule::PrivateFileOffsets,
        MergeRule::KeptSourceIsNew,
    ];

    /// The word for it in reports.
    pub const fn word(self) -> &'static str {
        match self {
            MergeRule::TouchedIntoUntouched => "touched-into-untouched",
            MergeRule::CopyIntoKeptSource => "copy-into-kept-source",
            MergeRule::PrivateFileOffsets => "private-file-offsets",
            MergeRule::KeptSourceIsNew => "kept-source-is-new",
        }
    }

    /// What a kernel does that has it, in a sentence.
    pub const fn yes(self) -> &'static str {
        match self {
            MergeRule::TouchedIntoUntouched => {
                "a vma that was written to merges into a neighbour that was not"
            }
            MergeRule::CopyIntoKeptSource => {
                "MREMAP_DONTUNMAP of untouched anonymous memory onto the pages beside it leaves one vma"
            }
            MergeRule::PrivateFileOffsets => {
                "private file mappings merge only where their anonymous offsets follow on, too"
            }
            MergeRule::KeptSourceIsNew => {
                "the whole vma that MREMAP_DONTUNMAP leaves behind merges as if it had never moved"
            }
        }
    }

    /// What a kernel does that has it not, in a sentence.
    pub const fn no(self) -> &'static str {
        match self {
            MergeRule::TouchedIntoUntouched => {
                "a vma that was written to does not merge into a neighbour that was not"
            }
            MergeRule::CopyIntoKeptSource => {
                "MREMAP_DONTUNMAP of untouched anonymous memory onto the pages beside it leaves two vmas"
            }
            MergeRule::PrivateFileOffsets => {
                "private file mappings merge wherever their file offsets and anon_vmas allow it"
            }
            MergeRule::KeptSourceIsNew => {
                "the whole vma that MREMAP_DONTUNMAP leaves behind keeps the page offset it had"
            }
        }
    }

    /// The kernel's file and function.
    pub const fn function(self) -> &'static str {
        match self {
            MergeRule::TouchedIntoUntouched => "mm/vma.c, is_mergeable_anon_vma",
            MergeRule::CopyIntoKeptSource => "mm/vma.c, copy_vma",
            MergeRule::PrivateFileOffsets => "mm/vma.c, needs_adjacent_anon_pgoff",
            MergeRule::KeptSourceIsNew => "mm/mremap.c, dontunmap_complete (before 6.16: move_vma)",
        }
    }

    /// The versions known to have it.
    pub const fn versions(self) -> &'static str {
        match self {
            MergeRule::TouchedIntoUntouched => "from 6.16 on",
            MergeRule::CopyIntoKeptSource => "6.16.12, 6.17.13, 6.18.15, 6.19.14 and 7.0.13",
            MergeRule::PrivateFileOffsets => "from 7.3 on",
            MergeRule::KeptSourceIsNew => "6.12.117 and 7.3.4",
        }
    }
}

impl fmt::Display for MergeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl MergeRules {
    /// Those of the newest kernel known: 7.3.
    pub const NEWEST: MergeRules = MergeRules { does: [true, false, true, true] };

    /// Whether the kernel has the rule.
    #[inline]
    pub const fn has(self, rule: MergeRule) -> bool {
        self.does[rule as usize]
    }

    /// The rules with this one as told.
    #[must_use]
    pub const fn with(mut self, rule: MergeRule, has: bool) -> MergeRules {
        self.does[rule as usize] = has;
        self
    }

    /// Every combination.
    pub fn every() -> impl Iterator<Item = MergeRules> {
        (0..1u32 << MergeRule::ALL.len())
            .map(|bits| MergeRules { does: std::array::from_fn(|i| bits & 1 << i != 0) })
    }

    /// Whether pages that begin with `above` go on from the page `below`: the same file, flags and
    /// name, and page offsets that follow on (mm/vma.c, `is_mergeable_vma`). Page offsets of anonymous
    /// memory follow on where both were moved alike.
    #[inline]
    fn follows(self, below: (Page, AnonVma), above: (Page, AnonVma)) -> bool {
        below.0.continues(above.0) && self.offsets_follow(below.0, below.1, above.1)
    }

    #[inline]
    fn offsets_follow(self, page: Page, below: AnonVma, above: AnonVma) -> bool {
        match page.backing() {
            Backing::Anon => below.moved == above.moved,
            Backing::PrivateFile => {
                !self.has(MergeRule::PrivateFileOffsets) || below.moved == above.moved
            }
            Backing::SharedFile => true,
        }
    }

    /// Whether what has anon_vma `source` merges into a VMA that has `target` (mm/vma.c,
    /// `is_mergeable_anon_vma`; nothing here was ever forked).
    #[inline]
    fn lets_in(self, source: AnonVma, target: AnonVma) -> bool {
        source.number == target.number
            || !source.is_some()
            || !target.is_some() && self.has(MergeRule::TouchedIntoUntouched)
    }

    /// Merges the VMA that starts at page `start` with the one below it, where `left` says that the
    /// kernel tries that, and with the one above it, where `right` does, if the rules allow it. The VMA
    /// is new there, or a part of one whose attributes were changed (mm/vma.c,
    /// `vma_merge_new_range` and `vma_merge_existing_range`).
    #[inline]
    pub(super) fn merge(self, layout: &mut Layout, start: usize, left: bool, right: bool) {
        let Some((_, end)) = layout.span_at(start) else { return };
        let anon = layout.anon(start);
        let first = layout.pages()[start];
        let below = start.checked_sub(1).filter(|_| left).and_then(|at| {
            let (below, _) = layout.span_at(at)?;
            let offset = layout.anon(below);
            let goes_on = self.follows((layout.pages()[at], offset), (first, anon));
            (goes_on && self.lets_in(anon, offset)).then_some(below)
        });
        let above = layout.span_at(end).filter(|_| right).filter(|&(above, _)| {
            let offset = layout.anon(above);
            let last = layout.pages()[end - 1];
            self.follows((last, anon), (layout.pages()[above], offset))
                && self.lets_in(anon, offset)
        });
        // Each may be alike with what is between, and still not with the other (mm/vma.c,
        // `can_vma_merge_right`).
        let above = above.map(|(above, _)| layout.anon(above)).filter(|above| {
            let below = below.map_or(AnonVma::NONE, |below| layout.anon(below));
            !below.is_some() || !above.is_some() || below.number == above.number
        });
        let number = [below.map(|at| layout.anon(at)), above, Some(anon)];
        let number = number.into_iter().flatten().find(|anon| anon.is_some());
        let target = below.unwrap_or(start);
        // Where the offsets count they are equal; where they do not, the VMA that stays has its own.
        let moved = match (below, above) {
            (Some(below), _) => layout.anon(below).moved,
            (None, Some(above)) => above.moved,
            (None, None) => return,
        };
        if above.is_some() {
            layout.join(end);
        }
        if below.is_some() {
            layout.join(start);
        }
        layout.set_anon(target, AnonVma { number: number.map_or(0, |anon| anon.number), moved });
    }

    /// The anon_vma that the first write to the VMA at page `start` gives it: the next VMA's, else
    /// that of the one before, if what differs is only the protection or the name; else number `fresh`
    /// (mm/vma.c, `find_mergeable_anon_vma` and `anon_vma_compatible`, which asks for no name).
    #[inline]
    pub(super) fn prepared(self, layout: &Layout, start: usize, fresh: u64) -> AnonVma {
        let Some((start, end)) = layout.span_at(start) else { return AnonVma::NONE };
        let own = layout.anon(start);
        let alike = |page: Page| page.with_prot(super::page::Prot::NONE).with_name(0);
        let usable = |below: (usize, AnonVma), above: (usize, AnonVma), other: AnonVma| {
            let (low, high) = (layout.pages()[below.0], layout.pages()[above.0]);
            let goes_on = alike(low).continues(alike(high));
            goes_on && self.offsets_follow(low, below.1, above.1) && other.is_some()
        };
        let next = layout.span_at(end).map(|(above, _)| layout.anon(above));
        if let Some(next) = next.filter(|&next| usable((end - 1, own), (end, next), next)) {
            return AnonVma { number: next.number, ..own };
        }
        let before = start.checked_sub(1).and_then(|at| Some((at, layout.span_at(at)?.0)));
        let before = before.map(|(last, below)| (last, layout.anon(below)));
        match before.filter(|&(last, below)| usable((last, below), (start, own), below)) {
            Some((_, below)) => AnonVma { number: below.number, ..own },
            None => AnonVma { number: fresh, ..own },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_and_the_rest_is_as_in_the_newest() {
        let not = |rule| (rule, Some(!MergeRules::NEWEST.has(rule)));
        let undecided = (MergeRule::PrivateFileOffsets, None);
        let decided = [not(MergeRule::CopyIntoKeptSource), not(MergeRule::KeptSourceIsNew)];
        let found: FoundRules = decided.into_iter().chain([undecided]).collect();
        for rule in MergeRule::ALL {
            let newest = MergeRules::NEWEST.has(rule);
            let said = decided.iter().any(|(decided, _)| *decided == rule);
            assert_eq!(found.rules().has(rule), newest != said, "{rule}");
        }
        let unlike: Vec<MergeRule> = found.unlike(MergeRules::NEWEST).collect();
        assert_eq!(unlike, decided.map(|(rule, _)| rule));
        assert_eq!(found.unlike(found.rules()).count(), 0);
        assert!(FoundRules::default().is_empty() && !found.is_empty());
    }
}
