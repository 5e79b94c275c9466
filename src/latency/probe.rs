//! Whether the scanners will be able to read, found out before anything is measured.

use super::failure::Failure;
use super::plan::{Condition, Reader};
use super::scan;
use rustix::io::Errno;

/// Reads once what the scanners will read.
///
/// # Errors
/// [`Failure::Untestable`] for what this kernel has not, [`Failure::Usage`] for what is no text.
pub fn probe(conditions: &[Condition], procfile: &str) -> Result<(), Failure> {
    for Condition { reader, .. } in conditions {
        let tried = scan::scan_of(reader)
            .and_then(|scan| scan.map_or(Ok(()), |mut scan| scan.step().map(drop)));
        let Err(errno) = tried else { continue };
        let main = matches!(reader, Reader::File(name) if name == procfile);
        let flag = if main { "--procfile" } else { "--against" };
        let place = format!("{flag} {reader}");
        return Err(match errno {
            Errno::NOTTY => Failure::untestable(
                place,
                "this kernel has no PROCMAP_QUERY, which came with Linux 6.11",
                "leave it out",
            ),
            Errno::NOENT => Failure::untestable(
                place,
                format!("this kernel has no /proc/self/{reader}"),
                "choose another, such as maps or smaps (numa_maps needs CONFIG_NUMA)",
            ),
            other => Failure::usage(
                place,
                format!("cannot read /proc/self/{reader}: {other}"),
                "choose a file with text of every VMA, such as maps, smaps or numa_maps",
            ),
        });
    }
    Ok(())
}
