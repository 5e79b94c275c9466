//! The kernel and the machine, for the first line of every report.

use super::cpus::allowed_cpus;
use crate::kernel::{Answer, MapsFile, MapsRead, QueryFlags};
use rustix::io::Errno;
use serde::Serialize;

/// What a report says of the machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// uname's release.
    pub kernel: String,
    /// uname's machine.
    pub arch: String,
    /// CPUs this process may run on.
    pub cpus: usize,
    /// Bytes in a page.
    pub page_size: usize,
}

impl Machine {
    /// This machine.
    pub fn here() -> Machine {
        let uname = rustix::system::uname();
        Machine {
            kernel: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            cpus: allowed_cpus().map_or(1, |cpus| cpus.len().max(1)),
            page_size: rustix::param::page_size(),
        }
    }

    /// Major and minor version, where the release begins with them.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.kernel.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// Whether PROCMAP_QUERY answers for an address that is certainly mapped.
///
/// # Errors
/// Why it does not: `ENOTTY` on kernels before 6.11.
pub fn query_works(file: &mut MapsFile) -> Result<(), Errno> {
    let mut answer = Answer::nameless();
    // This function's own code.
    let address = query_works as *const () as u64;
    match file.query(address, QueryFlags::Covering, &mut answer)? {
        Some(line) if line.start <= address && address < line.end => Ok(()),
        _ => Err(Errno::NOENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_the_release() {
        let machine = |kernel: &str| Machine { kernel: kernel.into(), ..Machine::here() };
        assert_eq!(machine("6.18.44-generic").version(), Some((6, 18)));
        assert_eq!(machine("6.17.0-rc3+").version(), Some((6, 17)));
        assert_eq!(machine("7").version(), None);
        assert_eq!(machine("").version(), None);
    }
}
