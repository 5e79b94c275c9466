//! How many layouts a loop goes through before it comes back to one.

use crate::model::{Layout, MergeRules, Op, Space};

/// Rounds after which a loop that has not come back counts as one that never does.
const MOST_ROUNDS: usize = 16;

/// The course of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rounds {
    /// Rounds before the lanes are as they will be again.
    pub settle: usize,
    /// Rounds from there until they are.
    pub period: usize,
}

/// Follows the loop until a round begins with the lanes of an earlier one. `None` where that takes
/// more than [`MOST_ROUNDS`], or where an operation no longer fits.
pub(super) fn follow(first: &[Layout], ops: &[Op], rules: MergeRules) -> Option<Rounds> {
    let mut lanes = Space::new(first, rules);
    let mut begun: Vec<Vec<Layout>> = Vec::new();
    while begun.len() <= MOST_ROUNDS {
        if let Some(settle) = begun.iter().position(|before| before == lanes.lanes()) {
            return Some(Rounds { settle, period: begun.len() - settle });
        }
        begun.push(lanes.lanes().to_vec());
        for op in ops {
            lanes.play(op).ok()?;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::drawing::draw;
    use crate::model::{Page, Place, Prot, Span};

    fn at(start: usize, end: usize) -> Place {
        Place { lane: 0, span: Span::new(start, end) }
    }

    fn moves(from: usize, to: usize) -> Op {
        Op::Remap { from: at(from, from + 1), to: at(to, to + 1), keep: false }
    }

    #[test]
    fn a_loop_that_swaps_comes_back_after_two_rounds() {
        let ops = [moves(0, 2), moves(1, 0), moves(2, 1)];
        let rounds = follow(&[draw("rw.")], &ops, MergeRules::NEWEST);
        assert_eq!(rounds, Some(Rounds { settle: 0, period: 2 }));
    }

    #[test]
    fn what_happens_once_is_no_part_of_the_period() {
        let ops = [
            Op::Protect { at: at(0, 1), prot: Prot::READ },
            Op::Map { at: at(1, 2), page: Page::anon(Prot::READ_WRITE) },
        ];
        let rounds = follow(&[draw("w..")], &ops, MergeRules::NEWEST);
        assert_eq!(rounds, Some(Rounds { settle: 1, period: 1 }));
    }

    #[test]
    fn what_no_longer_fits_comes_to_nothing() {
        let ops = [Op::Unmap { at: at(0, 1) }, moves(1, 0), moves(2, 1)];
        assert_eq!(follow(&[draw("rrr.")], &ops, MergeRules::NEWEST), None);
    }
}
