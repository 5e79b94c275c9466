//! What the host tells the guest: one file in its initramfs.

use serde::{Deserialize, Serialize};

/// Where the file lies in the guest. A process 1 that finds it is the guest's, and no container's.
pub const PLACE: &str = "/mapstorm-job.json";

/// The guest's working folder: relative paths of the arguments are below it.
pub const FOLDER: &str = "/work";

/// What process 1 is to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The device of the second serial port.
    pub port: String,
    /// The program's arguments.
    pub arguments: Vec<String>,
}
