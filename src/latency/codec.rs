//! Histograms in JSON: HdrHistogram's V2 encoding, zlib, base64, the form in which the tools of
//! all HdrHistogram ports exchange them.

use super::series::{DIGITS, HIGHEST_NS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer as From, Serializer as Into};

/// The text of `histogram`.
///
/// # Errors
/// What serde's serializer gives.
pub fn serialize<S: Into>(histogram: &Histogram<u64>, into: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).map_err(S::Error::custom)?;
    into.serialize_str(&STANDARD.encode(bytes))
}

/// The histogram of a text, with the bounds every histogram here has.
///
/// # Errors
/// Text that is no such histogram, or one of other bounds.
pub fn deserialize<'de, D: From<'de>>(from: D) -> Result<Histogram<u64>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes =
        STANDARD.decode(text).map_err(|error| D::Error::custom(format!("histogram: {error}")))?;
    let histogram: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| D::Error::custom(format!("histogram: {error}")))?;
    let bounds = (histogram.low(), histogram.high(), histogram.sigfig());
    if bounds != (1, HIGHEST_NS, DIGITS) {
        return Err(D::Error::custom(format!(
            "histogram: bounds {bounds:?}, not (1, {HIGHEST_NS}, {DIGITS})"
        )));
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::super::series::Series;
    use super::*;

    fn filled() -> Series {
        let mut series = Series::default();
        let mut latency = 7u64;
        for _ in 0..5000 {
            latency = latency.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 3;
            series.record(latency % 5_000_000_000, false);
        }
        series.record(0, false);
        series.record(HIGHEST_NS, false);
        series
    }

    #[test]
    fn a_series_comes_back_equal() {
        for series in [Series::default(), filled()] {
            let text = serde_json::to_string(&series).unwrap();
            let back: Series = serde_json::from_str(&text).unwrap();
            assert_eq!(back, series);
            assert_eq!(back.histogram.len(), series.calls);
        }
    }

    #[test]
    fn the_text_is_the_standard_compressed_form() {
        let json = serde_json::to_value(filled()).unwrap();
        // Cookie 0x1c849314 of the compressed V2 encoding, in base64.
        assert!(json["histogram"].as_str().unwrap().starts_with("HISTF"));
    }

    #[test]
    fn damage_and_other_bounds_are_refused() {
        let good = serde_json::to_value(filled()).unwrap();
        let text = good["histogram"].as_str().unwrap();
        let refused = |text: &str| {
            let mut json = good.clone();
            json["histogram"] = text.into();
            let error = serde_json::from_value::<Series>(json).unwrap_err().to_string();
            assert!(error.contains("histogram"), "{error}");
        };
        refused("");
        refused("not base64!");
        refused(&text[..text.len() / 2]);
        let mut other = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&Histogram::<u64>::new(2).unwrap(), &mut other)
            .unwrap();
        refused(&STANDARD.encode(other));
    }
}
