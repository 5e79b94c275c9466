//! What a storm saved, for a person: what happened, in words and pictures.
//!
//! A [`Story`] is computed from a tear and told by [`text`] and [`html`]. An [`IncidentStory`] is
//! computed from an incident and told by [`incident_text`] and [`incident_html`]. [`svg`] draws
//! both alone.

pub mod html;
mod incident;
pub mod incident_html;
pub mod incident_text;
mod paint;
mod stall;
mod story;
pub mod svg;
pub mod text;

pub use incident::{IncidentStory, Lane, Told};
pub use stall::StallStory;
pub use story::{Row, Seen, Story};
