//! Counting nouns.

use std::fmt;

/// A number and what it counts: `1 reader`, `2 readers`, `0 queries`.
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> Counted<'_, N> {
    Counted { number, noun }
}

/// See [`counted`]. A width is that of the number, so that columns of them stand below each other.
pub struct Counted<'a, N> {
    number: N,
    noun: &'a str,
}

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Counted<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { number, noun } = self;
        let width = f.width().unwrap_or(0);
        write!(f, "{number:>width$} ")?;
        match noun.strip_suffix('y') {
            _ if *number == N::from(1) => f.write_str(noun),
            Some(stem) => write!(f, "{stem}ies"),
            None => write!(f, "{noun}s"),
        }
    }
}

/// How often something comes that has this probability: `once in 1000`.
pub fn once_in(probability: f64) -> String {
    match 1.0 / probability {
        times if times < 1.05 => "always".into(),
        times if times < 10.0 => format!("once in {times:.1}"),
        times if times < 1e6 => format!("once in {times:.0}"),
        times if times.is_finite() => format!("once in {times:.0e}"),
        _ => "never".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let said = |number: u64, noun| counted(number, noun).to_string();
        assert_eq!((said(1, "reader"), said(1, "query")), ("1 reader".into(), "1 query".into()));
        assert_eq!(said(0, "reader"), "0 readers");
        assert_eq!(said(21, "query"), "21 queries");
        assert_eq!(format!("{:>3}", counted(7_u64, "time")), "  7 times");
    }
}
