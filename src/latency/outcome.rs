//! A result as data.

use super::facts::MachineFacts;
use super::hang::Hang;
use super::mapper::Tally;
use super::overhead::Overhead;
use super::placement::Placement;
use super::plan::Role;
use super::sample::Sample;
use crate::header::Header;
use serde::{Deserialize, Serialize};

/// The version of the layout below. A change that an older reader would misread raises it.
///
/// Version 1 has another header: version1.rs reads it.
pub const SCHEMA_VERSION: u32 = 2;

/// What kind of file this is.
pub const KIND: &str = "mapstorm-latency";

/// One run of `mapstorm latency`. Tables, pages and comparisons are made from it alone.
///
/// As JSON: one object, `schema_version` and `kind` first. Every number has its unit in its name.
/// Histograms are HdrHistogram V2, zlib, base64, in ns, with bounds 1 to 7.2e12 and 3 digits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// `mapstorm-latency`.
    pub kind: String,
    /// Which run it is of. The seed is that of the choice of pages.
    #[serde(flatten)]
    pub header: Header,
    /// How long it took, control and preparation included.
    pub elapsed_ms: f64,
    /// How it ended.
    pub ended: Ended,
    /// What else decides whether another result is comparable.
    pub machine: MachineFacts,
    /// What was asked for.
    pub setup: Setup,
    /// What measuring costs.
    pub overhead: Overhead,
    /// What to know before believing the figures.
    pub warnings: Vec<String>,
    /// The columns: control, main, further ones.
    pub columns: Vec<Column>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// As asked for.
    Complete,
    /// It goes on; found in a file that was saved on the way.
    Running,
    /// By a signal.
    Interrupted,
    /// By a call that did not come back.
    Hang,
}

/// The conditions of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Samples asked for in each column.
    pub nsamples: u32,
    /// Length of a sample.
    pub duration_ms: f64,
    /// What busy threads spin; 0 for none.
    pub busy_ms: u64,
    /// Sleep between two calls of the mapper.
    pub pause_us: u64,
    /// Size of the region.
    pub region_bytes: u64,
    /// Number of scanners.
    pub scanners: u32,
    /// Their niceness.
    pub scanner_nice: i32,
    /// When a call is a hang.
    pub hang_ms: f64,
    /// Which thread ran where.
    pub placement: Placement,
}

/// All samples taken under one condition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What the column is for.
    pub role: Role,
    /// What was beside the mapper: `idle`, `none`, `procmap-query`, or a file of /proc/self.
    pub reader: String,
    /// Its heading.
    pub label: String,
    /// The samples, in the order taken.
    pub samples: Vec<Sample>,
    /// Threads that did not come back.
    pub hangs: Vec<Hang>,
}

impl Column {
    /// All calls of all samples.
    pub fn pooled(&self) -> Tally {
        let mut pooled = Tally::default();
        for sample in &self.samples {
            pooled.mmap.add(&sample.tally.mmap);
            pooled.munmap.add(&sample.tally.munmap);
        }
        pooled
    }
}

impl Outcome {
    /// The column of `role`; the first where there are several.
    pub fn column(&self, role: Role) -> Option<&Column> {
        self.columns.iter().find(|column| column.role == role)
    }

    /// Adds the samples and hangs of `other`, whose columns must be the same.
    ///
    /// # Errors
    /// Which difference of setup, kernel or columns forbids it, or that they are one run.
    pub fn merge(&mut self, other: Outcome) -> Result<(), String> {
        let (mine, theirs) = (&self.header, &other.header);
        if (&mine.seed, &mine.started) == (&theirs.seed, &theirs.started) {
            return Err("they are the same run".to_owned());
        }
        let labels = |outcome: &Outcome| -> Vec<String> {
            let columns = outcome.columns.iter();
            columns.map(|column| column.label.clone()).collect()
        };
        if labels(self) != labels(&other) {
            return Err("they have different columns".to_owned());
        }
        let fits = |setup: &Setup| Setup { nsamples: 0, ..setup.clone() };
        if fits(&self.setup) != fits(&other.setup) {
            return Err("they were measured with different arguments".to_owned());
        }
        let kernel = |header: &Header| {
            let Header { kernel, kernel_version, arch, page_size, .. } = header.clone();
            (kernel, kernel_version, arch, page_size)
        };
        if kernel(mine) != kernel(theirs) || self.machine != other.machine {
            return Err("they were measured on different machines or kernels".to_owned());
        }
        self.setup.nsamples += other.setup.nsamples;
        self.elapsed_ms += other.elapsed_ms;
        if self.ended == Ended::Complete {
            self.ended = other.ended;
        }
        self.warnings.extend(other.warnings);
        self.warnings.dedup();
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.samples.extend(theirs.samples);
            mine.hangs.extend(theirs.hangs);
        }
        Ok(())
    }

    /// The JSON text, ended by a newline.
    ///
    /// # Errors
    /// None that can happen with this type.
    pub fn to_json(&self) -> anyhow::Result<String> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn some() -> Outcome {
        synthetic::outcome(&[1000, 1100], &[2000, 2_345_678])
    }

    #[test]
    fn merging_is_measuring_longer() {
        let mut outcome = synthetic::outcome(&[1000], &[2000]);
        let mut later = synthetic::outcome(&[1100], &[3000]);
        later.header.started = "2026-01-05T00:01:00Z".into();
        outcome.merge(later).unwrap();
        let whole = synthetic::outcome(&[1000, 1100], &[2000, 3000]);
        assert_eq!(outcome.columns[1].pooled(), whole.columns[1].pooled());
        assert_eq!(outcome.setup.nsamples, 2);
        assert_eq!(outcome.elapsed_ms, whole.elapsed_ms);
    }

    #[test]
    fn what_does_not_belong_together_is_not_merged() {
        let refused = |change: fn(&mut Outcome)| {
            let mut other = some();
            other.header.seed = Some("0x2b".into());
            change(&mut other);
            some().merge(other).unwrap_err()
        };
        assert!(refused(|o| o.header.seed = Some("0x2a".into())).contains("the same run"));
        assert!(refused(|o| o.setup.scanners = 9).contains("different arguments"));
        assert!(refused(|o| o.machine.cpus_online = 1).contains("different machines"));
        assert!(refused(|o| o.header.kernel_version.clear()).contains("different machines"));
        assert!(refused(|o| drop(o.columns.pop())).contains("different columns"));
    }
}
