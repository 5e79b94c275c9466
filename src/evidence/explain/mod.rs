//! What a storm saved, for a person: what happened, in words and pictures.
//!
//! [`Story`] is computed from a tear, and [`text`] and [`html`] tell it; [`IncidentStory`] from what
//! no reader found, with [`incident_text`] and [`incident_html`]; [`svg`] draws both alone.

pub mod html;
mod incident;
pub mod incident_html;
pub mod incident_text;
mod paint;
mod story;
pub mod svg;
pub mod text;

pub use incident::{IncidentStory, Lane, StallStory, Told};
pub use story::{Row, Seen, Story};
