//! What every report and every saved file says of its run: which program, where, when, and how.

use crate::host::Machine;
use crate::oracle::Contract;
use crate::shard::Shard;
use crate::vm::Recipe;
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::SystemTime;

/// What stands where a file of an earlier version, or this machine, does not say.
const UNKNOWN: &str = "unknown";

/// Where a report or a saved file comes from.
///
/// The names that serde takes beside a field's own are those of files of version 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Always `mapstorm`.
    #[serde(default = "unknown")]
    pub program: String,
    /// The program's version.
    #[serde(default = "unknown", alias = "mapstorm", alias = "mapstorm_version")]
    pub version: String,
    /// The commit that it was built from.
    #[serde(default = "unknown")]
    pub commit: String,
    /// uname's release.
    pub kernel: String,
    /// uname's version: which build of the kernel.
    #[serde(default = "unknown", alias = "build")]
    pub kernel_version: String,
    /// uname's machine.
    #[serde(default = "unknown")]
    pub arch: String,
    /// CPUs that the process may run on; 0 where a file of version 1 does not say.
    #[serde(default)]
    pub cpus: usize,
    /// Bytes in a page; 0 where a file of version 1 does not say.
    #[serde(default)]
    pub page_size: u64,
    /// The name of the host.
    #[serde(default = "unknown")]
    pub host: String,
    /// The kernel's id of this boot.
    #[serde(default = "unknown")]
    pub boot_id: String,
    /// When the run began, in the form of RFC 3339.
    #[serde(default = "unknown", alias = "when")]
    pub started: String,
    /// The run's seed, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Which part of a fleet's work it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The seed that all shards of the fleet draw theirs from, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_seed: Option<String>,
    /// The generator and the version of the way it is used, where there is a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// The command, the seed included.
    #[serde(default = "unknown")]
    pub command: String,
    /// What makes an anomaly a violation, where something is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Of what was saved in a guest, how to run its machine again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<Recipe>,
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

impl Header {
    /// That of a run which begins now, on `machine`.
    pub fn new(machine: &Machine, seed: Option<u64>, command: String) -> Header {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Header {
            program: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("MAPSTORM_COMMIT").to_owned(),
            kernel: machine.kernel.clone(),
            kernel_version: text(uname.version()),
            arch: machine.arch.clone(),
            cpus: machine.cpus,
            page_size: machine.page_size as u64,
            host: text(uname.nodename()),
            boot_id: boot_id.map_or_else(|_| unknown(), |id| id.trim().to_owned()),
            started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            seed: seed.map(|seed| format!("{seed:#x}")),
            shard: None,
            fleet_seed: None,
            generator: seed.map(|_| crate::seed::GENERATOR.to_owned()),
            command,
            contract: None,
            vm: None,
        }
    }

    /// The same, of a run that is judged by `contract`.
    pub fn judged_by(self, contract: Contract) -> Header {
        Header { contract: Some(contract), ..self }
    }

    /// The same, of a shard of the fleet that shares the seed `of_all`.
    pub fn of_shard(self, shard: Option<Shard>, of_all: u64) -> Header {
        Header { shard, fleet_seed: shard.map(|_| format!("{of_all:#x}")), ..self }
    }

    /// The seed, or a word for none.
    pub fn seed_word(&self) -> &str {
        self.seed.as_deref().unwrap_or("none")
    }

    /// The host, the boot, the build of the kernel and the start, for people.
    pub fn place(&self) -> String {
        let Header { kernel_version, host, boot_id, started, .. } = self;
        format!("host {host}, boot {boot_id}, kernel {kernel_version}, started {started}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_header_comes_back_equal_and_is_of_this_machine() {
        let header = Header::new(&Machine::here(), Some(42), "mapstorm --seed 0x2a".into());
        let text = serde_json::to_string(&header).unwrap();
        assert_eq!(serde_json::from_str::<Header>(&text).unwrap(), header);
        assert_eq!(header.seed_word(), "0x2a");
        let version = fs::read_to_string("/proc/sys/kernel/version").unwrap();
        assert_eq!(header.kernel_version, version.trim());
        assert!(humantime::parse_rfc3339(&header.started).is_ok(), "{}", header.started);
    }

    #[test]
    fn a_header_of_version_1_says_what_it_does_not_know() {
        let header: Header = serde_json::from_value(json!({
            "mapstorm": "0.1.0", "kernel": "6.18", "arch": "x86_64", "page_size": 4096,
            "seed": "0x2", "generator": "xoshiro256++/1", "command": "mapstorm",
        }))
        .unwrap();
        assert_eq!((header.version.as_str(), header.commit.as_str()), ("0.1.0", UNKNOWN));
        assert_eq!((header.cpus, header.started.as_str()), (0, UNKNOWN));
    }
}
