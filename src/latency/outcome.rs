//! A result as data, and the file it is kept in.

use super::failure::Failure;
use super::hang::Hang;
use super::machine::Machine;
use super::mapper::Tally;
use super::overhead::Overhead;
use super::placement::Placement;
use super::plan::Role;
use super::sample::Sample;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The version of the layout below. A change that an older reader would misread raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// What kind of file this is.
pub const KIND: &str = "mapstorm-latency";

/// One run of `mapstorm latency`: the only thing tables, pages and comparisons are made from.
///
/// As JSON: one object, `schema_version` and `kind` first. Every number has its unit in its name.
/// Histograms are HdrHistogram V2, zlib, base64, in ns, with bounds 1 to 7.2e12 and 3 digits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// [`KIND`].
    pub kind: String,
    /// The writer's version.
    pub mapstorm_version: String,
    /// The command line, as one would paste it.
    pub command: String,
    /// Seed of the choice of pages.
    pub seed: u64,
    /// When the run began.
    pub started_unix_s: u64,
    /// How long it took, control and preparation included.
    pub elapsed_ms: f64,
    /// How it ended.
    pub ended: Ended,
    /// Where.
    pub machine: Machine,
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
    /// Who ran where.
    pub placement: Placement,
}

/// All samples taken under one condition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
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
        if (self.seed, self.started_unix_s) == (other.seed, other.started_unix_s) {
            return Err("they are the same run".to_owned());
        }
        let labels = |outcome: &Outcome| -> Vec<String> {
            let columns = outcome.columns.iter();
            columns.map(|column| column.label.clone()).collect()
        };
        if labels(self) != labels(&other) {
            return Err("they have different columns".to_owned());
        }
        let fits = |setup: &Setup| Setup {
            nsamples: 0,
            ..setup.clone()
        };
        if fits(&self.setup) != fits(&other.setup) {
            return Err("they were measured with different arguments".to_owned());
        }
        if self.machine != other.machine {
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

/// What is read first, whatever the version.
#[derive(Deserialize)]
struct Head {
    schema_version: u32,
    kind: String,
}

/// Reads a result. `name` is for messages.
///
/// # Errors
/// Text that is no result, or one of another version.
pub fn parse(name: &str, text: &str) -> Result<Outcome, Failure> {
    let remedy = "give a file written by `mapstorm latency --save` or `--format json`";
    let refuse = |problem: String| Failure::usage(name, problem, remedy);
    let head: Head =
        serde_json::from_str(text).map_err(|error| refuse(format!("is not a result: {error}")))?;
    if head.kind != KIND {
        return Err(refuse(format!("is a `{}`, not a `{KIND}`", head.kind)));
    }
    if head.schema_version != SCHEMA_VERSION {
        return Err(Failure::usage(
            name,
            format!(
                "has schema version {}, and this mapstorm reads version {SCHEMA_VERSION}",
                head.schema_version
            ),
            "use the mapstorm that wrote it, or measure again",
        ));
    }
    let outcome: Outcome =
        serde_json::from_str(text).map_err(|error| refuse(format!("is damaged: {error}")))?;
    check(&outcome).map_err(|problem| refuse(format!("is damaged: {problem}")))?;
    Ok(outcome)
}

/// What must be true of every result, beyond its form.
fn check(outcome: &Outcome) -> Result<(), String> {
    for column in &outcome.columns {
        for (number, sample) in column.samples.iter().enumerate() {
            for (call, series) in [
                ("mmap", &sample.tally.mmap),
                ("munmap", &sample.tally.munmap),
            ] {
                let held = series.histogram.len() + series.beyond;
                if held != series.calls {
                    return Err(format!(
                        "column {}, sample {number}: the histogram of {call} holds {held} of {} calls",
                        column.label, series.calls
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Reads the result in `path`.
///
/// # Errors
/// A file that is missing or no result ([`Failure`]), or that cannot be read.
pub fn load(path: &Path) -> anyhow::Result<Outcome> {
    let name = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let remedy = "give a file written by `mapstorm latency --save`";
            return Err(Failure::usage(name, format!("cannot be read: {error}"), remedy).into());
        }
    };
    Ok(parse(&name, &text)?)
}

/// A file that a result goes to.
pub struct Saved {
    path: PathBuf,
    /// Written, then renamed; `None` for what is no regular file, such as a pipe.
    aside: Option<PathBuf>,
}

impl Saved {
    /// Makes sure that `path` can be written, before anything is measured. A file that is there
    /// keeps its content until the first [`Saved::write`].
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Saved> {
        let place = || format!("--save {}", path.display());
        let special = fs::metadata(path).is_ok_and(|meta| !meta.is_file());
        let aside = (!special).then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(".part");
            PathBuf::from(name)
        });
        let target = aside.as_deref().unwrap_or(path);
        fs::OpenOptions::new()
            .write(true)
            .create(!special)
            .truncate(false)
            .open(target)
            .map_err(|error| {
                let remedy = "give the name of a file in a directory that can be written";
                Failure::usage(place(), format!("cannot be written: {error}"), remedy)
            })?;
        Ok(Saved {
            path: path.to_owned(),
            aside,
        })
    }

    /// Puts `outcome` in the place of what was there.
    ///
    /// # Errors
    /// What writing gave, a full disk for example; the earlier content is then still there.
    pub fn write(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let target = self.aside.as_deref().unwrap_or(&self.path);
        let place = || format!("--save {}: cannot write", self.path.display());
        fs::write(target, outcome.to_json()?).with_context(place)?;
        if let Some(aside) = &self.aside {
            fs::rename(aside, &self.path).with_context(place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic;
    use super::*;

    fn some() -> Outcome {
        synthetic::outcome(&[1000, 1100], &[2000, 2_345_678])
    }

    fn refused(text: &str) -> String {
        match parse("r.json", text) {
            Err(failure @ Failure::Usage { .. }) => failure.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_comes_back_equal_histograms_and_all() {
        let outcome = some();
        let back = parse("r.json", &outcome.to_json().unwrap()).unwrap();
        assert_eq!(back, outcome);
        let (was, is) = (&outcome.columns[1].samples[1], &back.columns[1].samples[1]);
        assert_eq!(was.tally.mmap.histogram, is.tally.mmap.histogram);
    }

    #[test]
    fn every_number_carries_its_unit() {
        let json = serde_json::to_value(some()).unwrap();
        let sample = &json["columns"][1]["samples"][0];
        assert_eq!(json["schema_version"], 1);
        assert_eq!(sample["mmap"]["max_ns"], 3000);
        assert_eq!(sample["munmap"]["sum_ns"], 999 * 2000 + 3000);
        assert_eq!(sample["scanners"][0]["longest_scan_ns"], 5_000_000);
        assert_eq!(json["setup"]["duration_ms"], 1000.0);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let text = some().to_json().unwrap();
        let newer = text.replacen("\"schema_version\":1", "\"schema_version\":7", 1);
        let message = refused(&newer);
        assert!(message.contains("schema version 7, and this mapstorm reads version 1"));
        let other = text.replacen(KIND, "mapstorm-comparison", 1);
        assert!(refused(&other).contains("is a `mapstorm-comparison`"));
    }

    #[test]
    fn damage_is_refused_wherever_it_lies() {
        let text = some().to_json().unwrap();
        for cut in [0, 1, 20, text.len() / 2, text.len() - 3] {
            let message = refused(&text[..cut]);
            assert!(message.starts_with("r.json: is "), "{message}");
        }
        assert!(refused("[1, 2]").contains("is not a result"));
        // A histogram that holds other calls than were made.
        let wrong = text.replacen("\"calls\":1000", "\"calls\":999", 1);
        assert!(refused(&wrong).contains("the histogram of mmap holds 1000 of 999 calls"));
    }

    #[test]
    fn merging_is_measuring_longer() {
        let mut outcome = synthetic::outcome(&[1000], &[2000]);
        let mut later = synthetic::outcome(&[1100], &[3000]);
        later.started_unix_s += 60;
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
            other.seed += 1;
            change(&mut other);
            some().merge(other).unwrap_err()
        };
        assert!(refused(|o| o.seed -= 1).contains("the same run"));
        assert!(refused(|o| o.setup.scanners = 9).contains("different arguments"));
        assert!(refused(|o| o.machine.cpus_online = 1).contains("different machines"));
        assert!(refused(|o| drop(o.columns.pop())).contains("different columns"));
    }

    #[test]
    fn a_save_replaces_the_file_in_one_go() {
        let directory = std::env::temp_dir().join(format!("mapstorm-save-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("r.json");
        fs::write(&path, "earlier").unwrap();
        let saved = Saved::open(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
        saved.write(&some()).unwrap();
        assert_eq!(load(&path).unwrap(), some());
        let names: Vec<_> = fs::read_dir(&directory).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left beside it");
        fs::remove_dir_all(&directory).unwrap();
        assert!(Saved::open(&path).is_err(), "the directory is gone");
    }
}
