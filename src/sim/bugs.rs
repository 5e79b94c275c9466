//! The catalogue of bugs.

use crate::vocabulary::{spoken, words};
use strum::{IntoStaticStr, VariantArray};

/// How the simulated kernel reads its maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Model {
    /// Under the lock of one VMA at a time (Linux 6.17 and later).
    VmaLocks,
    /// Under mmap_lock, held for each read call (6.16 and earlier).
    MmapLock,
    /// Each call and each operation happen at one instant.
    Atomic,
}

words!(Model, "model");

impl Model {
    /// Whether all that one call generates was true at one instant.
    pub const fn one_instant(self) -> bool {
        !matches!(self, Model::VmaLocks)
    }
}

macro_rules! catalogue {
    ($($bug:ident $name:literal $model:ident $mechanism:literal, $case:literal;)*) => {
        /// A bug that can be switched on: in the simulated kernel, or in the history that judges
        /// it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Bug {
            $(#[doc = $mechanism] $bug,)*
        }

        impl Bug {
            /// The whole catalogue.
            pub const ALL: &'static [Bug] = &[$(Bug::$bug),*];

            /// The word `--only` takes.
            pub const fn word(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            /// The model it is a bug of.
            pub const fn model(self) -> Model {
                match self { $(Bug::$bug => Model::$model,)* }
            }

            /// The kernel mechanism it stands for.
            pub const fn mechanism(self) -> &'static str {
                match self { $(Bug::$bug => $mechanism,)* }
            }

            /// The case of the patch series that it hits.
            pub const fn case(self) -> &'static str {
                match self { $(Bug::$bug => $case,)* }
            }
        }
    };
}

catalogue! {
    ReplacedInFlight "replaced-in-flight" VmaLocks
        "mremap(MREMAP_FIXED) unmaps its destination and only later inserts what is moved there (mm/mremap.c, mremap_to); the gap's neighbours are not locked",
        "remap";
    SkippedAfterMerge "skipped-after-merge" VmaLocks
        "the tree iterator went stale between two lookups, restarts inside the merged VMA and steps over it (mm/mmap_lock.c, lock_next_vma)",
        "1, 2, 4";
    NoRetryCase3 "no-retry-case-3" VmaLocks
        "a VMA whose start was raised after it was found, the left neighbour having grown over it, is reported without another lookup",
        "3";
    NoRetryCase5 "no-retry-case-5" VmaLocks
        "a VMA whose end was lowered after it was found, the right neighbour having grown over it: the walk goes on at the old end",
        "5";
    NoRetryCase9 "no-retry-case-9" VmaLocks
        "a VMA whose lower part was split off after it was found is reported without another lookup",
        "9";
    NoRetryCase10 "no-retry-case-10" VmaLocks
        "a VMA whose upper part was split off after it was found: the walk goes on at the old end",
        "10";
    GapNotVerified "gap-not-verified" VmaLocks
        "no second lookup when the VMA found lies ahead of the position and the address space has changed (lock_next_vma, mmap_lock_speculate_retry)",
        "3, 9";
    ReadWithoutLock "read-without-lock" VmaLocks
        "start and end of a VMA are read one after the other without its lock: start from before, end from after",
        "2, 3, 5, 7, 9, 10";
    WriteLockMissing "write-lock-missing" VmaLocks
        "splits and merges change VMAs without vma_start_write: half-made changes show",
        "1 to 10";
    UnlockedEarly "unlocked-early" VmaLocks
        "write locks are dropped before the tree is updated (vma_end_write_all before the store)",
        "1 to 10";
    DetachedReported "detached-reported" VmaLocks
        "a VMA that is no longer in the tree is reported: vma_start_read without the check for detached",
        "1, 2, 4";
    VmaReused "vma-reused" VmaLocks
        "the VMA found was freed and used again for another range before it was locked (SLAB_TYPESAFE_BY_RCU), and its range is not looked at again",
        "1, 2, 4, 6";
    NeighbourPerms "neighbour-perms" VmaLocks
        "when a merge or split was noticed, the permissions printed are those of the VMA below",
        "3, 5, 9, 10";
    OffsetAfterSplit "offset-after-split" VmaLocks
        "a split does not move vm_pgoff of the upper part along with its start",
        "9";
    MergeIgnoresOffset "merge-ignores-offset" VmaLocks
        "neighbours are merged although their file offsets do not follow on",
        "1 to 8";
    MergeUnlikeAnon "merge-unlike-anon" VmaLocks
        "neighbours are merged although their anon_vmas differ (is_mergeable_anon_vma)",
        "1 to 5";
    AnonNotHandedOn "anon-not-handed-on" VmaLocks
        "a vma that takes in a touched one does not get its anon_vma (dup_anon_vma is left out)",
        "1 to 8";
    WrongAnonHandedOn "wrong-anon-handed-on" VmaLocks
        "a vma that takes in a touched one gets an anon_vma of its own instead",
        "1 to 8";
    OffsetLostOnMove "offset-lost-on-move" VmaLocks
        "a move of touched memory takes the page offset of its new place (copy_vma)",
        "1 to 8";
    FlagLostInMerge "flag-lost-in-merge" VmaLocks
        "a vma that takes in a neighbour loses VM_DONTDUMP",
        "1 to 8";
    BoundaryLost "boundary-lost" VmaLocks
        "a call that changes nothing merges a vma with an equal neighbour all the same (mprotect_fixup without its first check)",
        "1, 2, 4";
    HalfDoneMove "half-done-move" VmaLocks
        "mremap returns without an error, and its source is still mapped (unmap_source_vma fails, and nobody hears of it)",
        "mremap";
    RefusedTooLate "refused-too-late" VmaLocks
        "mmap(MAP_FIXED) empties its range before it finds that there is no room for another VMA (do_mmap compares the count first)",
        "limit";
    SplitBeforeRefused "split-before-refused" VmaLocks
        "mprotect splits a VMA and then finds that there was no room for it (split_vma compares the count first)",
        "limit";
    MapUnmapsFirst "map-unmaps-first" VmaLocks
        "mmap(MAP_FIXED) empties its range in the tree before it inserts the new VMA",
        "1 to 5";
    EarlyEnd "early-end" VmaLocks
        "a lookup that cannot lock its VMA at once returns nothing, and the file ends there",
        "1 to 10";
    RepeatedAfterFallback "repeated-after-fallback" VmaLocks
        "the lookup under mmap_lock does not move the position: the VMA is reported again without having grown",
        "1 to 10";
    PositionLost "position-lost" VmaLocks
        "a call that goes on begins where the VMA reported last was looked up",
        "page boundary";
    PositionTooFar "position-too-far" VmaLocks
        "a call that goes on begins behind the VMA that did not fit into the last one",
        "page boundary";
    LineCut "line-cut" VmaLocks
        "a line that does not fit is cut at the end of the buffer and counts as reported",
        "page boundary";
    PageReplayed "page-replayed" VmaLocks
        "a page generated earlier is delivered again, its change counter having wrapped",
        "page boundary";
    TraversedTooFar "traversed-too-far" VmaLocks
        "the first read at a new offset leaves the position behind the VMA that did not fit",
        "pread";
    QueryAnswersNext "query-answers-next" VmaLocks
        "PROCMAP_QUERY without OR_NEXT answers with the VMA above when none covers the address",
        "query";
    QueryMisses "query-misses" VmaLocks
        "PROCMAP_QUERY answers ENOENT when the covering VMA cannot be locked at once",
        "query";
    QuerySkipsLocked "query-skips-locked" VmaLocks
        "PROCMAP_QUERY with OR_NEXT passes over a VMA that cannot be locked at once",
        "query";
    LockDroppedBetweenLines "lock-dropped-between-lines" MmapLock
        "mmap_lock is released and taken again between two lines of one call",
        "1 to 10";
    VmaKeptBetweenCalls "vma-kept-between-calls" MmapLock
        "the VMA that did not fit is kept over the release of mmap_lock and reported as it was",
        "page boundary";
    OutsideSkipped "outside-skipped" VmaLocks
        "a lookup that leaves what is being changed, while it is changed, steps over the VMA that it finds there: a library's is missing although nobody touches it",
        "outside";
    OutsideAltered "outside-altered" VmaLocks
        "what is printed of a VMA that is found while others are changed comes from another one: a library's line has the name of the program",
        "outside";
    FaultSeesHalf "fault-sees-half" VmaLocks
        "a page fault takes the VMA that it found without a look at its range once it is locked (mm/mmap_lock.c, lock_vma_under_rcu): one that was cut meanwhile, or used again, answers for an address that it no longer has",
        "fault";
    FaultGivesUp "fault-gives-up" VmaLocks
        "a page fault that can't lock the VMA it found is refused, and not tried again under mmap_lock: a signal for memory that was there all the time",
        "fault";
    HistoryLate "history-late" VmaLocks
        "history: the new version is published after the system call instead of before it",
        "history";
    HistoryHeadFirst "history-head-first" VmaLocks
        "history: the head shows a version whose slot is not written yet (no release order)",
        "history";
    HistoryClosedEarly "history-closed-early" VmaLocks
        "history: the old version is closed before the system call instead of after it",
        "history";
    HistoryTailStays "history-tail-stays" VmaLocks
        "history: a slot is overwritten while readers are told it is still there (no fence)",
        "history";
}

spoken!(Bug, "bug");
