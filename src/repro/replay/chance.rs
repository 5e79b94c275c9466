//! What it means that a tear was not shown: how probable that is by chance.

use crate::count::once_in;
use crate::repro::scenario::Measured;

/// How probable it is to see nothing in `walks`, where the rate of `measured` is still that of the
/// kernel; `None` where nothing was measured.
///
/// The rate is not known but was measured from `m` sightings in `w` walks. With the unknown rate
/// integrated out by its invariant measure, as in rates.rs, the next sighting lies behind
/// `walks` more with the probability `(w / (w + walks))^m`.
pub fn by_chance(measured: &Measured, walks: u64) -> Option<f64> {
    let (seen, in_walks) = (f64::from(measured.sightings), measured.walks as f64);
    let known = measured.sightings > 0 && measured.walks > 0;
    known.then(|| (in_walks / (in_walks + walks as f64)).powf(seen))
}

/// The same in a sentence.
pub fn sentence(measured: &Measured, walks: u64) -> Option<String> {
    let chance = by_chance(measured, walks)?;
    Some(format!(
        "at the rate it was saved with ({} in {} walks on Linux {}), that happens by chance {}",
        measured.sightings,
        measured.walks,
        measured.header.kernel,
        once_in(chance)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_more_walks_in_vain_the_less_is_it_chance() {
        let measured = |seen, walks| Measured::here(seen, walks, Duration::from_secs(1));
        // One sighting in 100 walks, and 100 in vain: as probable as heads.
        assert_eq!(by_chance(&measured(1, 100), 100), Some(0.5));
        let often = by_chance(&measured(25, 1000), 1000).unwrap();
        assert!((often - 0.5f64.powi(25)).abs() < 1e-12, "{often}");
        assert_eq!(by_chance(&measured(0, 100), 100), None);
        // Where the rate is well known, it comes to exp(-rate * walks).
        let known = by_chance(&measured(1_000_000, 1_000_000_000), 5000).unwrap();
        assert!((known - (-5.0f64).exp()).abs() < 1e-4, "{known}");
        assert!(sentence(&measured(1, 100), 9900).unwrap().ends_with("by chance once in 100"));
    }
}
