//! What is measured, in which order.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the threads beside the mapper do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reader {
    /// There are none: the mapper is alone.
    None,
    /// They spin and read nothing.
    Idle,
    /// They read this file of `/proc/self` from end to end, over and over.
    File(String),
    /// They walk the address space by PROCMAP_QUERY, over and over.
    Query,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reader::None => "none",
            Reader::Idle => "idle",
            Reader::File(name) => name,
            Reader::Query => "procmap-query",
        })
    }
}

impl FromStr for Reader {
    type Err = String;

    fn from_str(word: &str) -> Result<Reader, String> {
        Ok(match word {
            "none" => Reader::None,
            "idle" => Reader::Idle,
            "procmap-query" | "procmap_query" | "PROCMAP_QUERY" => Reader::Query,
            name => Reader::File(file_name(name)?),
        })
    }
}

/// Checks that `name` names a file directly in `/proc/self`.
///
/// # Errors
/// A message for the user.
pub fn file_name(name: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!(
            "`{name}` is not the name of a file in /proc/self such as maps, smaps or numa_maps"
        ));
    }
    Ok(name.to_owned())
}

/// What a column is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The same mapper beside the same threads, which read nothing: what ratios are taken to.
    Control,
    /// What is being measured.
    Main,
    /// A further reader to hold beside it.
    Against,
}

/// One set of conditions, measured once a round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// What it is for.
    pub role: Role,
    /// What is beside the mapper.
    pub reader: Reader,
}

impl Condition {
    /// The heading of its column.
    pub fn label(&self) -> String {
        match self.role {
            Role::Control => "control".to_owned(),
            Role::Main | Role::Against => self.reader.to_string(),
        }
    }
}

/// The columns of a run: the control, `main`, then `against` in the order given.
pub fn conditions(main: Reader, against: &[Reader]) -> Vec<Condition> {
    let fixed = [(Role::Control, Reader::Idle), (Role::Main, main)];
    let more = against.iter().map(|reader| (Role::Against, reader.clone()));
    fixed.into_iter().chain(more).map(|(role, reader)| Condition { role, reader }).collect()
}

/// The order in which round `round` visits `columns` columns: forwards in even rounds, backwards
/// in odd ones, so that a steady drift of the machine weighs on every column alike.
pub fn order(round: usize, columns: usize) -> impl Iterator<Item = usize> {
    (0..columns).map(move |i| if round.is_multiple_of(2) { i } else { columns - 1 - i })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rounds: usize, columns: &[Condition]) -> Vec<String> {
        (0..rounds)
            .flat_map(|round| order(round, columns.len()))
            .map(|column| columns[column].label())
            .collect()
    }

    #[test]
    fn samples_alternate_with_the_control() {
        let columns = conditions(Reader::File("maps".into()), &[]);
        let plan = plan(4, &columns);
        assert_eq!(
            plan,
            ["control", "maps", "maps", "control", "control", "maps", "maps", "control"]
        );
    }

    #[test]
    fn every_round_visits_every_column_once() {
        let against = [Reader::None, Reader::Query, Reader::File("smaps".into())];
        let columns = conditions(Reader::File("maps".into()), &against);
        assert_eq!(columns.len(), 5);
        for round in 0..6 {
            let mut seen: Vec<usize> = order(round, columns.len()).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4]);
        }
        // Over two rounds the mean place of each column is the same.
        let places = |column| -> usize {
            (0..2).map(|round| order(round, 5).position(|c| c == column).unwrap()).sum()
        };
        assert!((0..5).all(|column| places(column) == 4));
    }

    #[test]
    fn readers_parse_as_they_print() {
        for word in ["none", "idle", "procmap-query", "smaps"] {
            assert_eq!(word.parse::<Reader>().unwrap().to_string(), word);
        }
        for word in ["", "../stat", "task/1/maps", "maps "] {
            assert!(word.parse::<Reader>().is_err(), "{word:?}");
        }
    }
}
