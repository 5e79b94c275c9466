//! Words that people give: what is not known is told with the nearest that is.

/// How alike two words have to be for one to be taken for the other misspelt, of 1.
const ALIKE: f64 = 0.8;

/// What to say of a word that is not among `known`; `what` tells what it should have been.
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let nearest =
        nearest(word, known).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
    let stop = if nearest.is_empty() { ";" } else { "" };
    format!("unknown {what} {word:?}{nearest}{stop} known are {}", known.join(", "))
}

/// Gives a type its text and the way back, from `ALL` and `word`.
macro_rules! spoken {
    ($Enum:ident, $what:literal) => {
        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = String;

            fn from_str(word: &str) -> Result<$Enum, String> {
                let found = $Enum::ALL.iter().find(|one| one.word() == word);
                found.copied().ok_or_else(|| {
                    let known: Vec<&str> = $Enum::ALL.iter().map(|one| one.word()).collect();
                    crate::vocabulary::unknown($what, word, &known)
                })
            }
        }
    };
}

/// Gives an enum of `strum::VariantArray` all its values.
macro_rules! all {
    ($Enum:ident) => {
        impl $Enum {
            /// All of them, in their order.
            pub const ALL: [$Enum; <$Enum as strum::VariantArray>::VARIANTS.len()] =
                *<$Enum as strum::VariantArray>::VARIANTS.first_chunk().unwrap();
        }
    };
}

/// Gives an enum with strum's words all its values, its word, its text and the way back.
macro_rules! words {
    ($Enum:ident, $what:literal) => {
        crate::vocabulary::all!($Enum);
        crate::vocabulary::spoken!($Enum, $what);

        impl $Enum {
            /// The word for it in flags, reports and saved files.
            pub fn word(self) -> &'static str {
                self.into()
            }
        }
    };
}

pub(crate) use {all, spoken, words};

/// The known word that is most like this one, if one is.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    let alike = |known: &&str| match strsim::osa_distance(&word, known) {
        // One letter, or two in the other order: of short words that is a third already.
        0 | 1 if word.len() > 2 => 1.0,
        _ => strsim::jaro_winkler(&word, known),
    };
    let near = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&near) >= ALIKE).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_told_with_the_one_that_was_meant() {
        let known = ["map", "unmap", "protect", "replaced-in-flight", "replaced-and-skipped"];
        for (word, meant) in [
            ("replaced-in-fligth", "replaced-in-flight"),
            ("replacedinflight", "replaced-in-flight"),
            ("Protect", "protect"),
            ("portect", "protect"),
            ("unmapp", "unmap"),
            ("mpa", "map"),
        ] {
            assert_eq!(nearest(word, &known), Some(meant), "{word}");
        }
        for word in ["", "telepathy", "0"] {
            assert_eq!(nearest(word, &known), None, "{word}");
        }
        assert_eq!(nearest("map", &[]), None);
    }

    #[test]
    fn the_sentence_has_the_word_the_guess_and_the_list() {
        assert_eq!(
            unknown("operation", "mpa", &["map", "unmap"]),
            "unknown operation \"mpa\"; did you mean \"map\"? known are map, unmap"
        );
        assert_eq!(
            unknown("operation", "frobnicate", &["map", "unmap"]),
            "unknown operation \"frobnicate\"; known are map, unmap"
        );
    }
}
