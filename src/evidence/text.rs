//! Raw bytes as text in a JSON file.
//!
//! Maps text is nearly always ASCII, but names may hold any byte, and a torn kernel may deliver
//! anything. Each byte is written as the character of the same number (Latin-1): readable as text,
//! and exact.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Write};

/// Bytes that are saved as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RawText(pub Vec<u8>);

struct Characters<'a>(&'a [u8]);

impl fmt::Display for Characters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| f.write_char(char::from(byte)))
    }
}

impl Serialize for RawText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Characters(&self.0))
    }
}

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawText, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |c: char| {
            u8::try_from(u32::from(c)).map_err(|_| {
                serde::de::Error::custom(format!("{c:?} stands for no byte (U+0000 to U+00FF do)"))
            })
        };
        text.chars().map(byte).collect::<Result<Vec<u8>, _>>().map(RawText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_survives(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let saved = serde_json::to_string(&RawText(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<RawText>(&saved).unwrap().0, bytes);
        }
    }

    #[test]
    fn a_character_that_is_no_byte_is_refused() {
        let error = serde_json::from_str::<RawText>("\"7f\u{20ac}\"").unwrap_err().to_string();
        assert!(error.contains("stands for no byte"), "{error}");
    }
}
