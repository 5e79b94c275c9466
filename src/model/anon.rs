//! What the kernel remembers of a private VMA that was written to.

/// The anon_vma of a VMA, and where the kernel takes it for to lie.
///
/// The first write to a private mapping gives its VMA an anon_vma, perhaps that of a neighbour
/// (mm/rmap.c, `__anon_vma_prepare`). From then on the VMA keeps its page offset when it moves, and
/// neighbours merge only where their anon_vmas and their page offsets allow it (mm/vma.c,
/// `is_mergeable_anon_vma` and `can_vma_merge_after`). No line of maps shows any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnonVma {
    /// Which anon_vma: equal for VMAs that share one, 0 for none.
    pub number: u64,
    /// The anonymous page offset of the VMA's first page, less the page where it lies, in pages of the
    /// arena: what it was moved by since the first write to it. 0 for memory that has stayed.
    pub moved: i32,
}

impl AnonVma {
    /// Memory that was never written to.
    pub const NONE: AnonVma = AnonVma { number: 0, moved: 0 };

    /// Whether there is an anon_vma.
    #[inline]
    pub const fn is_some(self) -> bool {
        self.number != 0
    }
}
