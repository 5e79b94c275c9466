//! The pure model of an address space: pages, layouts, operations.
//!
//! Nothing in here makes a system call. A [`Layout`] is what one lane of the arena looks like at
//! one instant; an [`Op`] is one system call seen as a function from layouts to layouts. The
//! storm, the oracle, the calibration and the tests all share this one model, so that a kernel
//! that does something else shows up as a difference and is never guessed at.

mod apply;
mod cases;
#[cfg(test)]
pub(crate) mod drawing;
mod geometry;
mod kind;
mod layout;
mod making;
mod observation;
mod op;
mod page;
mod span;

pub use apply::{Misfit, apply, apply_alone, fits};
pub use cases::{Case, CaseSet, Change, cases_in};
pub use geometry::Geometry;
pub use kind::{Kind, KindSet};
pub use layout::{Divided, Layout, MAX_PAGES, Vma, Vmas, span_mask};
pub use making::making;
pub use observation::Observation;
pub use op::Op;
pub use page::{Advice, Backing, MAX_FILES, MAX_NAMES, MAX_PGOFF, Page, Prot};
pub use span::{Place, Span};
