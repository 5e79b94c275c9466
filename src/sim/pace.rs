//! How far the workers get between two steps of the reader.

use crate::seed::Stream;

/// Draws the number of worker steps between two reader steps.
///
/// A tear needs a certain number of steps in a certain place: sometimes half an operation, which
/// then pauses, sometimes several whole ones. So there are three paces, and a stretch of each
/// lasts for a while.
pub(super) struct Pace {
    left: u32,
    kind: u8,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { left: 0, kind: 0 }
    }

    /// Steps that the workers take now, together.
    #[inline]
    pub fn draw(&mut self, rng: &mut Stream) -> usize {
        if self.left == 0 {
            self.left = 20 + rng.below(200) as u32;
            self.kind = rng.below(4) as u8;
        }
        self.left -= 1;
        let bits = rng.bits();
        let low = bits as u32;
        let of = |n: u32| (((bits >> 32) * n as u64) >> 32) as usize;
        // Odds in sixteenths.
        match (self.kind, low % 16) {
            // A trickle: single steps.
            (0, 0..=9) => 0,
            (0, _) => of(3),
            // Pauses, and a burst now and then that is good for some operations.
            (1, 0..=13) => 0,
            (1, _) => of(60),
            // Lively: a few steps each time.
            (2, 0..=3) => 0,
            (2, _) => of(8),
            // Mixed.
            (_, 0..=7) => 0,
            (_, 8..=11) => 1,
            (_, 12..=14) => of(12),
            (_, _) => of(40),
        }
    }
}
