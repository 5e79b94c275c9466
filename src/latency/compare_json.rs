//! A comparison as JSON.

use super::compare::{Cell, Comparison, Line, Named};
use super::contrast::Contrast;
use super::facts::MachineFacts;
use super::figures::{Averages, Latencies, Rates, median_of_maxima};
use super::outcome::{Column, Outcome, Setup};
use super::overhead::Overhead;
use crate::header::Header;
use serde::{Serialize, Serializer};

/// The version of the JSON layout of a comparison.
pub const SCHEMA_VERSION: u32 = 2;

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = Whole {
            schema_version: SCHEMA_VERSION,
            kind: "mapstorm-comparison",
            header: &self.header,
            confidence_percent: self.resampling.confidence,
            resamples: self.resampling.draws,
            results: self.results.iter().map(Told::from).collect(),
            lines: self.lines.iter().map(|line| json_line(self, line)).collect(),
            warnings: &self.warnings,
        };
        whole.serialize(serializer)
    }
}

/// One of the results.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    #[serde(flatten)]
    header: &'a Header,
    machine: &'a MachineFacts,
    setup: &'a Setup,
    overhead: &'a Overhead,
}

impl<'a> From<&'a Named> for Told<'a> {
    fn from(Named { name, outcome }: &'a Named) -> Told<'a> {
        let Outcome { header, machine, setup, overhead, .. } = outcome;
        Told { name, header, machine, setup, overhead }
    }
}

/// All of it.
#[derive(Serialize)]
struct Whole<'a> {
    schema_version: u32,
    kind: &'static str,
    #[serde(flatten)]
    header: &'a Header,
    confidence_percent: u8,
    resamples: u32,
    results: Vec<Told<'a>>,
    lines: Vec<serde_json::Value>,
    warnings: &'a [String],
}

fn json_line(comparison: &Comparison, line: &Line) -> serde_json::Value {
    let cells = line.cells.iter().enumerate().map(|(result, cell)| {
        let cell = cell.as_ref()?;
        Some(json_cell(comparison.column(result, cell), cell))
    });
    serde_json::json!({
        "label": line.label,
        "role": line.role,
        "cells": cells.collect::<Vec<_>>(),
    })
}

/// The figures of one cell. Ratios are listed as p50, p90, p99, p99.9, max.
#[derive(Serialize)]
struct CellFigures<'a> {
    reader: &'a str,
    samples: usize,
    hangs: usize,
    mmap: CallFigures,
    munmap: CallFigures,
    average_median_ns: Option<f64>,
    max_median_ns: Option<f64>,
    scans_per_s: Option<f64>,
    ratio_to_first: &'a Option<Contrast>,
    ratio_to_control: &'a Option<Contrast>,
}

#[derive(Serialize)]
struct CallFigures {
    calls: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

impl From<Latencies> for CallFigures {
    fn from(latencies: Latencies) -> CallFigures {
        let [p50_ns, p90_ns, p99_ns, p999_ns] = latencies.quantiles_ns;
        CallFigures {
            calls: latencies.calls,
            p50_ns,
            p90_ns,
            p99_ns,
            p999_ns,
            max_ns: latencies.max_ns,
        }
    }
}

fn json_cell(column: &Column, cell: &Cell) -> serde_json::Value {
    let pooled = column.pooled();
    let figures = CellFigures {
        reader: &column.reader,
        samples: column.samples.len(),
        hangs: column.hangs.len(),
        mmap: Latencies::of(&pooled.mmap).into(),
        munmap: Latencies::of(&pooled.munmap).into(),
        average_median_ns: Averages::of(column).map(|averages| averages.median),
        max_median_ns: median_of_maxima(column),
        scans_per_s: Rates::of(column).map(|rates| rates.scans_per_s),
        ratio_to_first: &cell.to_first,
        ratio_to_control: &cell.to_control,
    };
    // Names and numbers: nothing that JSON cannot say.
    serde_json::to_value(figures).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::compare::{Named, held_together};
    use super::super::resample::Resampling;
    use super::super::synthetic;

    #[test]
    fn the_json_says_what_the_tables_say() {
        let results = [4000, 2000].map(|main| Named {
            name: main.to_string(),
            outcome: synthetic::outcome(&[1000; 6], &[main; 6]),
        });
        let comparison = held_together(results.into(), Resampling::default());
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!(json["schema_version"], 2);
        assert_eq!((&json["seed"], &json["results"][0]["seed"]), (&"0x1".into(), &"0x2a".into()));
        let cell = &json["lines"][1]["cells"][1];
        assert_eq!(cell["mmap"]["p50_ns"], 2000);
        assert_eq!(cell["mmap"]["calls"], 6000);
        let ratio = cell["ratio_to_first"]["mmap"][0]["ratio"].as_f64().unwrap();
        assert!((ratio - 0.5).abs() < 0.001);
    }
}
