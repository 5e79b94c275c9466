//! A violation with all that proves it, and why there may be none.

use super::read_log::{ReadCall, ReadLog};
use crate::oracle::{Evidence, Overrun};

/// A violation in full: enough to judge it again elsewhere.
pub struct Witness {
    /// The verdict and the versions it was judged by.
    pub evidence: Evidence,
    /// The bytes read in the walk; of a query, its answer as maps prints it.
    pub bytes: Vec<u8>,
    /// The calls that delivered them.
    pub calls: Vec<ReadCall>,
    /// Which reader.
    pub reader: usize,
    /// The piece of the bytes that was judged as one walk.
    pub piece: Piece,
    /// Whether all that the verdict rests on is there. The beginning of a walk that is too long for
    /// the log is not, and what is left may or may not prove the violation.
    pub whole: bool,
    /// The address that a query asked for, and whether it asked for the next VMA, too.
    pub asked: Option<(u64, bool)>,
    /// The lines outside of the arena that the standstills before and after the walk have, each with
    /// its newline: where one of them is what the walk lacks.
    pub outside: Vec<u8>,
}

/// The bytes `from..to` of a log that were judged as one walk. It begins where nothing is known of
/// what came before, and ends with the line that breaks the walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The first byte. Where it is not the log's first, a line ends before it.
    pub from: usize,
    /// One past the last byte.
    pub to: usize,
    /// Whether the end of the line before the first byte is where the walk goes on from.
    pub after: bool,
    /// Whether the file ended there.
    pub end: bool,
}

impl Witness {
    /// Bytes for lines outside of the arena: a line that is cut is as long as the longest that is not
    /// (`Lines::HEAD`), and fits more than once.
    const OUTSIDE: usize = 64 << 10;

    /// An empty one with room for `versions` versions and all of a log.
    pub fn with_room(versions: usize) -> Witness {
        Witness {
            evidence: Evidence::with_room(versions),
            bytes: Vec::with_capacity(ReadLog::bytes_that_fit()),
            calls: Vec::with_capacity(ReadLog::CALLS),
            reader: 0,
            piece: Piece::default(),
            whole: false,
            asked: None,
            outside: Vec::with_capacity(Witness::OUTSIDE),
        }
    }
}

/// How far a witness is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keeping {
    /// Not looked at yet.
    #[default]
    New,
    /// Confirmed by the second checker and dealt with; the number is the keeper's.
    Done(usize),
}

/// Why no witness was kept of a violation.
///
/// What a verdict rests on is copied after the verdict, while mutators go on. A violation counts by
/// its verdict; it can be judged again elsewhere only if all of its evidence was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoEvidence {
    /// An operation in one of the lanes read had not come back, or had failed.
    Unsettled,
    /// With the versions copied, the line or the answer was not wrong any more.
    Redeemed,
    /// The call in which the break lies was not in the log any more.
    OffTape,
    /// The versions of the lanes passed were written over, or too many.
    Overwritten,
    /// The second checker, going by the example alone, did not come to the same verdict.
    Unproved,
}

impl NoEvidence {
    /// In a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            NoEvidence::Unsettled => {
                "an operation in the lanes read had not come back, or had failed"
            }
            NoEvidence::Redeemed => "what was copied of the history did not prove it",
            NoEvidence::OffTape => "the walk was longer than the log of its bytes",
            NoEvidence::Overwritten => {
                "the history of the lanes read was written over, or too long, while it was copied"
            }
            NoEvidence::Unproved => "the second checker could not prove it from the example alone",
        }
    }
}

impl From<Overrun> for NoEvidence {
    fn from(_: Overrun) -> NoEvidence {
        NoEvidence::Overwritten
    }
}
