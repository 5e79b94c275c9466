//! What the mutators may do: what was asked for and what calibration has proved.

use crate::model::{Advice, Backing, Kind, KindSet, MergeRules, Page, Prot};

/// The operations a storm draws from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpSet {
    /// Kinds of system call.
    pub kinds: KindSet,
    /// `MREMAP_DONTUNMAP`.
    pub keep: bool,
    /// Private mappings of a memfd.
    pub private_files: bool,
    /// Shared mappings of a memfd.
    pub shared_files: bool,
    /// Protections with execute (refused by some security modules).
    pub exec: bool,
    /// The advice that can be given, in the order of [`Advice::ALL`].
    pub advice: [bool; 3],
    /// Number of memfds.
    pub files: u8,
    /// How this kernel merges.
    pub rules: MergeRules,
}

impl OpSet {
    /// Everything the model knows, of these kinds.
    pub fn full(kinds: KindSet, files: u8) -> OpSet {
        OpSet {
            kinds,
            keep: true,
            private_files: true,
            shared_files: true,
            exec: true,
            advice: [true; 3],
            files,
            rules: MergeRules::NEWEST,
        }
    }

    /// Whether an operation of this kind can be drawn.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.has(kind)
    }

    /// The protections that can be drawn.
    pub fn prots(&self) -> &'static [Prot] {
        let drawn = &Prot::DRAWN;
        let without = drawn.iter().position(|prot| prot.executes()).unwrap_or(drawn.len());
        if self.exec { drawn } else { &drawn[..without] }
    }

    /// Whether such a page can be mapped.
    pub fn maps(&self, page: Page) -> bool {
        let backing = match page.backing() {
            Backing::Anon => true,
            Backing::PrivateFile => self.private_files,
            Backing::SharedFile => self.shared_files,
        };
        backing && (self.exec || !page.prot().executes())
    }

    /// The advice that can be drawn.
    pub fn advices(&self) -> impl Iterator<Item = Advice> {
        let allowed = self.advice;
        Advice::ALL
            .into_iter()
            .enumerate()
            .filter(move |&(i, _)| allowed[i])
            .map(|(_, advice)| advice)
    }
}
