//! The file that a result is kept in.

use super::failure::Failure;
use super::outcome::{KIND, Outcome, SCHEMA_VERSION};
use super::version1;
use anyhow::Context;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

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
    let outcome: Result<Outcome, _> = match head.schema_version {
        SCHEMA_VERSION => serde_json::from_str(text),
        1 => serde_json::from_str(text)
            .and_then(|result| serde_json::from_value(version1::raised(result).into())),
        other => {
            return Err(Failure::usage(
                name,
                format!(
                    "has schema version {other}, and this mapstorm reads versions 1 and \
                     {SCHEMA_VERSION}"
                ),
                "use the mapstorm that wrote it, or measure again",
            ));
        }
    };
    let outcome = outcome.map_err(|error| refuse(format!("is damaged: {error}")))?;
    check(&outcome).map_err(|problem| refuse(format!("is damaged: {problem}")))?;
    Ok(outcome)
}

/// What must be true of every result, beyond its form.
fn check(outcome: &Outcome) -> Result<(), String> {
    for column in &outcome.columns {
        for (number, sample) in column.samples.iter().enumerate() {
            for (call, series) in [("mmap", &sample.tally.mmap), ("munmap", &sample.tally.munmap)] {
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
        fs::OpenOptions::new().write(true).create(!special).truncate(false).open(target).map_err(
            |error| {
                let remedy = "give the name of a file in a directory that can be written";
                Failure::usage(place(), format!("cannot be written: {error}"), remedy)
            },
        )?;
        Ok(Saved { path: path.to_owned(), aside })
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
            other => panic!("accepted: {}", other.is_ok()),
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
        assert_eq!(json["schema_version"], 2);
        assert_eq!(sample["mmap"]["max_ns"], 3000);
        assert_eq!(sample["munmap"]["sum_ns"], 999 * 2000 + 3000);
        assert_eq!(sample["scanners"][0]["longest_scan_ns"], 5_000_000);
        assert_eq!(json["setup"]["duration_ms"], 1000.0);
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let text = some().to_json().unwrap();
        let newer = text.replacen("\"schema_version\":2", "\"schema_version\":7", 1);
        let message = refused(&newer);
        assert!(message.contains("schema version 7, and this mapstorm reads versions 1 and 2"));
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
    fn a_field_that_is_not_known_is_refused_wherever_it_is() {
        let whole = serde_json::to_value(some()).unwrap();
        let places = crate::unknown::places(&whole);
        assert!(places.len() > 10, "{places:?}");
        for place in places {
            let message = refused(&crate::unknown::added(&whole, &place).to_string());
            assert!(message.contains("unheard_of"), "{place}: {message}");
        }
    }

    #[test]
    fn a_result_of_version_1_loads_and_is_refused_where_it_is_damaged() {
        let text = include_str!("../../tests/version1/latency.json");
        let outcome = parse("r.json", text).unwrap();
        let header = &outcome.header;
        assert_eq!((header.version.as_str(), header.boot_id.as_str()), ("0.1.0", "unknown"));
        assert_eq!(header.seed.as_deref(), Some("0x7"));
        assert!(header.started.starts_with("2026-11-28T"), "{}", header.started);
        assert_eq!((header.page_size, outcome.machine.cpus_online), (4096, 2));
        assert_eq!(parse("r.json", &outcome.to_json().unwrap()).unwrap(), outcome);
        let whole = serde_json::from_str(text).unwrap();
        for place in crate::unknown::places(&whole) {
            refused(&crate::unknown::added(&whole, &place).to_string());
        }
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
