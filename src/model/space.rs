//! Several lanes on which one operation is done after the other, as in a program of one thread.

use super::apply::{Misfit, apply, fits};
use super::layout::{Layout, MAX_PAGES};
use super::merge::MergeRules;
use super::op::Op;

/// Lanes, and the rules by which they change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    lanes: Vec<Layout>,
    rules: MergeRules,
    /// The lowest number that no anon_vma has.
    fresh: u64,
}

impl Space {
    /// Lanes that look like `first`, on a kernel that merges by `rules`.
    pub fn new(first: &[Layout], rules: MergeRules) -> Space {
        // Far from the numbers of layouts that come from elsewhere.
        Space { lanes: first.to_vec(), rules, fresh: 1 << 63 }
    }

    /// `lanes` lanes of `pages` unmapped pages each.
    pub fn empty(lanes: usize, pages: usize, rules: MergeRules) -> Space {
        Space::new(&vec![Layout::empty(pages); lanes], rules)
    }

    /// What the lanes look like.
    pub fn lanes(&self) -> &[Layout] {
        &self.lanes
    }

    /// How they merge.
    pub fn rules(&self) -> MergeRules {
        self.rules
    }

    /// Does the operation, if it fits.
    ///
    /// # Errors
    /// Why it does not fit; [`Misfit::Outside`] for a lane that is not there. Nothing has changed
    /// then.
    pub fn play(&mut self, op: &Op) -> Result<(), Misfit> {
        self.fits(op)?;
        let (at, other) = (usize::from(op.at().lane), op.other_lane().map(usize::from));
        let (mut first, mut second) = (self.lanes[at], self.lanes[other.unwrap_or(at)]);
        apply(op, self.rules, &mut first, &mut second, self.fresh);
        self.fresh += MAX_PAGES as u64;
        if let Some(other) = other {
            self.lanes[other] = second;
        }
        self.lanes[at] = first;
        Ok(())
    }

    /// Whether the operation fits.
    ///
    /// # Errors
    /// Those of [`Space::play`].
    pub fn fits(&self, op: &Op) -> Result<(), Misfit> {
        let lane = |lane: u16| self.lanes.get(usize::from(lane)).ok_or(Misfit::Outside);
        let first = lane(op.at().lane)?;
        fits(op, first, op.other_lane().map_or(Ok(first), lane)?)
    }
}
