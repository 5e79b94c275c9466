//! Places in the program that a debugger outside of a guest can stop at: one for each signature, in
//! the order in which signatures come.
//!
//! A mark does nothing. It is called at the same instruction whether somebody waits there or not, so
//! an exact run that is to be stopped is the same run.

use super::violations::MOST_SIGNATURES;

type Mark = fn();

#[inline(never)]
fn mark<const N: usize>() {
    // Without it all marks would be one function.
    std::hint::black_box(N);
}

/// Rows of eight marks each.
macro_rules! rows {
    ($($row:literal)*) => {
        [$(
            mark::<{ $row * 8 }>, mark::<{ $row * 8 + 1 }>, mark::<{ $row * 8 + 2 }>,
            mark::<{ $row * 8 + 3 }>, mark::<{ $row * 8 + 4 }>, mark::<{ $row * 8 + 5 }>,
            mark::<{ $row * 8 + 6 }>, mark::<{ $row * 8 + 7 }>,
        )*]
    };
}

static MARKS: [Mark; MOST_SIGNATURES] = rows!(0 1 2 3 4 5);

/// The evidence of the first violation with a new signature is complete. Signatures are counted
/// from 0.
pub(super) fn reach(number: usize) {
    if let Some(mark) = MARKS.get(number) {
        mark();
    }
}

/// Where the marks lie in this process.
pub fn addresses() -> [u64; MOST_SIGNATURES] {
    MARKS.map(|mark| mark as usize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_is_a_place_of_its_own() {
        let places: std::collections::BTreeSet<u64> = addresses().into_iter().collect();
        assert_eq!(places.len(), MOST_SIGNATURES);
        reach(MOST_SIGNATURES);
    }
}
