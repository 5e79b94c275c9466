//! Texts for parsers of maps and smaps, each with what a right parser makes of it, and how a parser
//! does on them.
//!
//! What a text says is known from how it was made, never by parsing it: mappings that were made a
//! moment ago (`mapped`), lines that were put together from their fields (`made`), walks that a
//! storm saved (`torn`).

mod consumer;
mod made;
mod mapped;
mod sample;
mod torn;

pub use consumer::{Consumer, Outcome, Tried, try_all};
pub use sample::{Entry, Sample, read_all, write_all};

/// The whole corpus: name by name, and what could not be made here, with the reason.
pub fn all() -> (Vec<Sample>, Vec<String>) {
    let (mut samples, left_out) = mapped::samples();
    samples.extend(made::samples());
    samples.extend(torn::samples());
    (samples, left_out)
}
