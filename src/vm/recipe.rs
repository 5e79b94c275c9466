//! How to run a machine again: what a saved file keeps of the guest that it comes from.

use super::digest::Parts;
use serde::{Deserialize, Serialize};

/// The machine that a report or a saved file comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The command that runs it again.
    pub command: String,
    /// The kernel image, as it was named.
    pub image: String,
    /// What QEMU says of its version.
    pub qemu: String,
    /// What ran the instructions: `kvm`, `tcg` or `exact`.
    pub accel: String,
    /// Of an exact machine, the hashes of all that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

impl Recipe {
    /// Whether the machine does the same again.
    pub const fn is_exact(&self) -> bool {
        self.parts.is_some()
    }

    /// What to do to see it again, for people.
    pub fn sentence(&self) -> String {
        match self.is_exact() {
            true => format!("from an exact machine; this brings it back: {}", self.command),
            false => format!("from a machine; this runs it again: {}", self.command),
        }
    }
}
