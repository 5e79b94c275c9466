//! The pure model of an address space: pages, layouts, operations.
//!
//! Nothing in here makes a system call. A [`Layout`] is what one lane of the arena looks like at
//! one instant; an [`Op`] is one system call seen as a function from layouts to layouts. The
//! storm, the oracle, the calibration and the tests all share this one model, so that a kernel
//! that does something else shows up as a difference and is never guessed at.

mod anon;
mod apply;
mod cases;
#[cfg(test)]
pub(crate) mod drawing;
mod geometry;
mod kind;
mod layout;
mod limit;
mod making;
mod merge;
mod observation;
mod op;
mod outline;
mod page;
mod space;
mod span;

pub use anon::AnonVma;
pub use apply::{Misfit, apply, apply_alone, fits};
pub use cases::{Case, CaseSet, Change, cases_in};
pub use geometry::Geometry;
pub use kind::{Kind, KindSet};
pub use layout::{Layout, MAX_PAGES, Vma, Vmas, span_mask, vma_end};
pub use limit::{AtLimit, at_limit};
pub use making::{lane_making, making};
pub use merge::{FoundRules, MergeRule, MergeRules};
pub use observation::Observation;
pub use op::Op;
pub use outline::Outline;
pub use page::{Advice, Backing, MAX_FILES, MAX_NAMES, MAX_PGOFF, Page, Prot};
pub use space::Space;
pub use span::{Place, Span};
