//! A saved tear for a person: what happened, in words and pictures.
//!
//! [`Story`] is computed from the file; [`text`] and [`html`] tell it.

pub mod html;
mod story;
pub mod text;

pub use story::{Row, Seen, Story};
