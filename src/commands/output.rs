//! stdout: results, whole or not at all.

use super::Failure;
use crate::cli::Colour;
use std::io::{ErrorKind, Write};

/// Makes every later coloured print follow `choice`.
pub fn set_colour(choice: Colour) {
    match choice {
        Colour::Auto => anstream::ColorChoice::Auto,
        Colour::Always => anstream::ColorChoice::Always,
        Colour::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Where results go.
pub struct Output;

impl Output {
    /// Writes `text` to stdout. Nobody reading any more is no error: the exit code still tells.
    ///
    /// # Errors
    /// When stdout can't be written, on a full disk for instance. The text has then gone to
    /// stderr, so that a long run is not lost.
    pub fn print(&self, text: &[u8]) -> Result<(), Failure> {
        let mut stdout = anstream::stdout();
        match stdout.write_all(text).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(error) => {
                // If stderr is gone, too, there is nowhere left to say so.
                let _ = anstream::stderr().write_all(text);
                Err(Failure::Output(error))
            }
        }
    }
}
