//! A result as one JSON object on a line of its own.

use serde::Serialize;
use std::io::{self, Write};

/// Writes the object and ends the line.
///
/// # Errors
/// What writing gave.
pub fn write(out: &mut impl Write, report: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    out.write_all(b"\n")
}
