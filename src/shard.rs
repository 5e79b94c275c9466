//! Which part of a fleet's work one run does.

use crate::seed::Stream;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Shard `index` of `count`, counted from 1; `2/4` in flags and reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// The only one.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// Which one it is, from 1.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// How many there are.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The shard of the same fleet with another index.
    #[must_use]
    pub const fn sibling(self, index: u64) -> Shard {
        Shard { index, ..self }
    }

    /// Its own seed, from the one that all shards are given.
    pub fn seed(self, of_all: u64) -> u64 {
        Stream::new(of_all, "shard", self.index as usize).bits()
    }

    /// Its part of a list: every `count`th.
    pub fn part<T>(self, all: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        all.into_iter().skip(self.index as usize - 1).step_by(self.count as usize)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Shard { index, count }),
            _ => Err(format!("{text:?} is not I/N with I from 1 to N, such as 1/4")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Shard, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!(shard("2/4").to_string(), "2/4");
        for wrong in ["0/4", "5/4", "1", "1/", "/4", "-1/4", "1/4/4", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_part_a_list_and_leave_nothing_out() {
        let parts = (1..=3).flat_map(|index| shard("1/3").sibling(index).part(0..10));
        let mut all: Vec<i32> = parts.collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(shard("4/4").part(0..3).count(), 0);
    }

    #[test]
    fn each_shard_of_each_fleet_draws_its_own() {
        let seeds = (1..=4).flat_map(|index| [7, 8].map(|of| shard("1/4").sibling(index).seed(of)));
        let seeds: std::collections::BTreeSet<u64> = seeds.collect();
        assert_eq!(seeds.len(), 8);
        // A command that was saved has to draw the same again.
        assert_eq!(shard("2/4").seed(7), shard("2/9").seed(7));
    }
}
