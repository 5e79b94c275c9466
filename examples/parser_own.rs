//! The storm's own parser for `mapstorm consumer`: a text on stdin, a line for each VMA on stdout.

use mapstorm::corpus::Entry;
use mapstorm::kernel::{is_detail, parse};
use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let lines =
        text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && !is_detail(line));
    for line in lines {
        let Entry { start, end, perms, offset, dev_major, dev_minor, inode, name, .. } =
            Entry::new(&parse(line)?, None);
        let name: String = name.0.iter().map(|byte| format!("{byte:02x}")).collect();
        println!(
            "{start:x}\t{end:x}\t{perms}\t{offset:x}\t{dev_major:x}\t{dev_minor:x}\t{inode}\t{name}"
        );
    }
    Ok(())
}
