//! Walks that a storm saved on real kernels: a mapping that is missing, and one that is told twice.

use super::sample::{Entry, Sample};
use crate::kernel::parse;

/// The evidence, what is torn, and what the sample is called.
const SAVED: [(&str, &str, &str); 2] = [
    ("torn-hole", "a mapping that was replaced is missing", include_str!("../../docs/tear.json")),
    ("torn-merge", "what merged is missing", include_str!("../../docs/tear-merge.json")),
];

/// All of them. What their lines say is what the storm's own parser made of them when they were read,
/// and the second checker proved.
pub fn samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> = SAVED
        .iter()
        .map(|(name, torn, file)| {
            let tear: crate::evidence::Tear = serde_json::from_str(file).expect("a tear in docs/");
            sample(name, torn, tear.text())
        })
        .collect();
    // fs/proc/task_mmu.c, `proc_get_vma`, goes on at the old end of a VMA that merged meanwhile.
    let twice = b"7f0000001000-7f0000003000 r--p 00000000 00:00 0 \n7f0000001000-7f0000005000 r--p 00000000 00:00 0 \n";
    samples.push(sample("torn-twice", "a mapping is told again after it grew", twice.to_vec()));
    samples
}

fn sample(name: &str, torn: &str, text: Vec<u8>) -> Sample {
    // A walk may end within a line; a reader of a file never gets such a piece.
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = text[..whole].to_vec();
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let entry = |line| {
        let line = parse(line).ok()?;
        Some(Entry::new(&line, line.name.strip_suffix(b" (deleted)")))
    };
    let entries = lines.filter_map(entry).collect();
    Sample::maps(name, "a walk as a storm read it", text, entries).torn(torn)
}
