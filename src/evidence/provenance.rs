//! From an example in memory to the form of the file.

use super::tear::{Asked, FoundBreak, KIND, SCHEMA_VERSION, SavedCall, SavedFile, SavedLane, Tear};
use super::text::RawText;
use super::walk::lines;
use crate::engine::{Signature, Witness};
use crate::header::Header;
use crate::kernel::{FileIdentity, Identities};
use crate::model::{FoundRules, Geometry};
use crate::oracle::{Break, Rule, VersionRecord};

/// What a run says of all its tears.
#[derive(Clone, Debug)]
pub struct Origins {
    /// The program, the machine and the run.
    pub header: Header,
    /// Where the lanes lie.
    pub geometry: Geometry,
    /// How mappings of the memfds show.
    pub identities: Identities,
    /// How the kernel was found to merge.
    pub merge_rules: FoundRules,
}

impl Origins {
    /// How mappings of the memfds show.
    pub(super) fn files(&self) -> Vec<SavedFile> {
        let file = |file: &FileIdentity| SavedFile {
            dev_major: file.dev_major,
            dev_minor: file.dev_minor,
            inode: file.inode,
            name: RawText(file.name.clone()),
        };
        self.identities.files().iter().map(file).collect()
    }
}

impl FoundBreak {
    /// What of a break can be compared.
    pub fn of(found: &Break) -> FoundBreak {
        FoundBreak {
            rule: found.rule,
            class: found.class,
            missing: found.missing,
            line: found.observation.map(|seen| (seen.start, seen.end)),
        }
    }
}

impl Tear {
    /// The saved form of an example.
    pub fn new(signature: &Signature, example: &Witness, origins: &Origins) -> Tear {
        let mut at = 0;
        let mut text = |got: u32| {
            let from = at;
            at += got as usize;
            RawText(example.bytes[from..at].to_vec())
        };
        let calls = example.calls.iter().map(|call| SavedCall {
            offset: call.offset,
            asked: call.asked,
            window: call.window,
            kept: call.kept,
            text: text(call.got),
        });
        let same_lane = |a: &VersionRecord, b: &VersionRecord| a.lane == b.lane;
        let mut tear = Tear {
            schema_version: SCHEMA_VERSION,
            kind: KIND.into(),
            signature: signature.to_string(),
            found: FoundBreak::of(&example.evidence.found),
            header: origins.header.clone(),
            geometry: origins.geometry,
            merge_rules: origins.merge_rules.clone(),
            files: origins.files(),
            reader: example.reader,
            mode: signature.mode,
            query: example.asked.map(|(address, or_next)| Asked { address, or_next }),
            piece: example.piece,
            calls: calls.collect(),
            lanes: example.evidence.versions.chunk_by(same_lane).map(SavedLane::new).collect(),
            outside: example
                .outside
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| RawText(line.to_vec()))
                .collect(),
        };
        tear.narrow();
        tear
    }

    /// Some rules compare a line with the one before it, or the lines of one call. The piece begins
    /// there: earlier in the walk they may have been broken, too.
    fn narrow(&mut self) {
        let text = self.text();
        let all = lines(self, &text);
        let judged = || all.iter().filter(|line| line.to <= self.piece.to);
        let Some(last) = judged().next_back() else { return };
        let first = match self.found.rule {
            Rule::NeverBack => judged().nth_back(1),
            Rule::OneInstant => judged().find(|line| line.call == last.call && !line.doubtful),
            _ => return,
        };
        let first = first.filter(|line| line.from >= self.piece.from && line.from > all[0].from);
        if let Some(from) = first.map(|line| line.from) {
            (self.piece.from, self.piece.after) = (from, true);
        }
    }
}
