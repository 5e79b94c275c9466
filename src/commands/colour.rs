//! Colours, as asked for.

use crate::cli::Colour;

/// Makes every later coloured print follow `choice`.
pub fn set_colour(choice: Colour) {
    match choice {
        Colour::Auto => anstream::ColorChoice::Auto,
        Colour::Always => anstream::ColorChoice::Always,
        Colour::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}
