//! Axes of plots.

/// A logarithmic or a linear axis over a range of values.
pub struct Axis {
    /// The value at `from`.
    pub low: f64,
    /// The value at `to`.
    pub high: f64,
    /// Whether it is logarithmic.
    pub log: bool,
    /// Where it begins in the picture.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

impl Axis {
    fn scaled(&self, value: f64) -> f64 {
        if self.log { value.max(self.low).log10() } else { value }
    }

    /// Where `value` lies.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.scaled(self.low), self.scaled(self.high));
        let share = (self.scaled(value) - low) / (high - low);
        self.from + share * (self.to - self.from)
    }
}

/// The next of 1, 2, 5, 10, ... at or below.
pub fn round_down(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0].into_iter();
    steps.map(|step| step * decade).find(|&at| at <= value).unwrap_or(decade)
}

/// The next of 1, 2, 5, 10, ... at or above.
pub fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].into_iter();
    steps.map(|step| step * decade).find(|&at| at >= value).unwrap_or(decade * 10.0)
}

/// 1 / (1 - q) as a percentage: 100 is 99 %.
pub fn percent(odds: f64) -> String {
    let nines = odds.log10().round() as usize;
    match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_round_to_one_two_five() {
        for (value, down, up) in [(1.0, 1.0, 1.0), (3.0, 2.0, 5.0), (70.0, 50.0, 100.0)] {
            assert_eq!((round_down(value), round_up(value)), (down, up));
        }
        assert_eq!(percent(1.0), "0 %");
        assert_eq!(percent(1000.0), "99.9 %");
        assert_eq!(percent(1e5), "99.999 %");
    }

    #[test]
    fn a_logarithmic_axis_gives_every_decade_the_same_room() {
        let axis = Axis { low: 10.0, high: 1000.0, log: true, from: 200.0, to: 0.0 };
        let places = [10.0, 100.0, 1000.0, 1.0].map(|value| axis.place(value));
        // What lies below the axis is drawn at its beginning.
        assert_eq!(places, [200.0, 100.0, 0.0, 200.0]);
    }
}
