//! What tells the alternatives of a merge rule apart: a few calls, and the two layouts they can leave.

use crate::model::{MergeRule, MergeRules, Op, Page, Place, Prot, Span};

/// Pages of a lane that the probes of all rules fit into.
pub(super) const PAGES: usize = 8;

const fn at(start: usize, end: usize) -> Place {
    Place { lane: 0, span: Span::new(start, end) }
}

const fn map(start: usize, end: usize, page: Page) -> Op {
    Op::Map { at: at(start, end), page }
}

const fn moved(from: (usize, usize), to: (usize, usize), keep: bool) -> Op {
    Op::Remap { from: at(from.0, from.1), to: at(to.0, to.1), keep }
}

/// Operations on a lane of unmapped pages whose last one merges by the rule, or does not.
pub(super) fn probe(rule: MergeRule) -> Vec<Op> {
    let write = Page::anon(Prot::READ_WRITE);
    let private = |pgoff| Page::file(Prot::READ_WRITE, false, 0, pgoff);
    let touch = |start, end| Op::Touch { at: at(start, end), whole: false };
    match rule {
        MergeRule::TouchedIntoUntouched => vec![
            map(0, 2, write),
            touch(0, 2),
            map(2, 4, Page::anon(Prot::READ)),
            Op::Protect { at: at(0, 2), prot: Prot::READ },
        ],
        MergeRule::CopyIntoKeptSource => vec![map(0, 2, write), moved((0, 2), (2, 4), true)],
        // The VMA below was touched elsewhere, so that only its file offset goes on to the one above.
        MergeRule::PrivateFileOffsets => {
            vec![
                map(4, 5, private(0)),
                touch(4, 5),
                moved((4, 5), (0, 1), false),
                map(1, 2, private(1)),
            ]
        }
        MergeRule::KeptSourceIsNew => vec![
            map(4, 6, write),
            touch(4, 6),
            moved((4, 6), (0, 2), false),
            moved((0, 2), (6, 8), true),
            map(2, 3, write),
        ],
    }
}

/// The rules with either alternative of one; the newest known kernel's first.
pub(super) fn alternatives(rules: MergeRules, rule: MergeRule) -> [MergeRules; 2] {
    let newest = MergeRules::NEWEST.has(rule);
    [rules.with(rule, newest), rules.with(rule, !newest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, Space};

    fn left(rules: MergeRules, rule: MergeRule) -> Layout {
        let mut space = Space::empty(1, PAGES, rules);
        for op in probe(rule) {
            assert_eq!(space.play(&op), Ok(()), "{op}");
        }
        space.lanes()[0]
    }

    #[test]
    fn a_probe_tells_its_own_rule_and_depends_on_no_other() {
        for rule in MergeRule::ALL {
            let mut seen: [Option<Layout>; 2] = [None; 2];
            for rules in MergeRules::every() {
                let layout = left(rules, rule);
                let before = seen[usize::from(rules.has(rule))].get_or_insert(layout);
                assert_eq!(before.masks(), layout.masks(), "{rule}");
            }
            let [no, yes] = seen.map(Option::unwrap);
            assert_ne!(no.masks(), yes.masks(), "{rule}");
        }
    }
}
