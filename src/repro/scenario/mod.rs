//! A scenario is data: lanes to begin with, operations in loops, readers.
//!
//! The ten cases, a saved tear, a minimised tear and one written by hand are all scenarios, and
//! one engine runs them: the storm's. The random storm is the same engine with a generator in
//! place of the loops.

mod aim;
mod measured;
mod run;
mod words;

pub use aim::{AimError, one_page};
pub use measured::Measured;
pub use run::{RunError, RunPlan, ScenarioRun, run, run_showing};
pub use words::WordError;
pub(crate) use words::layout as layout_from_words;

use crate::engine::{Mode, Pattern, PatternError, ReadLog};
use crate::model::{Advice, FoundRules, Layout, MAX_NAMES, MAX_PAGES, Misfit, Op, Space};
use crate::oracle::Class;
use serde::{Deserialize, Serialize};

/// The version of the file format.
///
/// Version 1 says less of where its observations were counted.
pub const SCHEMA_VERSION: u32 = 2;
/// The oldest version that can be read.
const OLDEST_VERSION: u32 = 1;

/// A scenario as it is written in a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it is called.
    pub name: String,
    /// Pages of every lane.
    pub pages: u8,
    /// How the kernel was found to merge on which it was made; of rules that are not said, as in the
    /// newest kernel known.
    #[serde(default, skip_serializing_if = "FoundRules::is_empty")]
    pub merge_rules: FoundRules,
    /// The lanes to begin with, lowest first: `[0..4 rw-p anon] [6..8 r--s memfd0+2]`, or `empty`.
    pub lanes: Vec<String>,
    /// One loop of operations for each mutator.
    pub mutators: Vec<Vec<Op>>,
    /// One way of reading for each reader.
    pub readers: Vec<Mode>,
    /// Bytes of the first read call, for walks that must have their page boundary at a certain
    /// line; none for a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_read: Option<u32>,
    /// Bytes of every later read call. None means a page; for `short` readers, odd sizes drawn for
    /// each call. With it `walk` readers, too, are brought to the boundary by their first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_reads: Option<u32>,
    /// Where a page of output is to end, in the lanes to begin with; none for wherever it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Boundary>,
    /// How often it was shown, where that was counted: for people, and for programs in C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// A place in a lane at which a page of output ends: the next page begins with the line of the
/// first VMA that ends above it.
///
/// Lines made below the lanes bring readers of whole pages there. The first call of `short` readers
/// ends there. Readers that pread, shared descriptors included, begin in the line before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// The lane.
    pub lane: u16,
    /// The page of the lane.
    pub page: u8,
}

/// Why a scenario is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum ScenarioError {
    #[error(
        "it is of version {found}; this mapstorm reads versions {OLDEST_VERSION} to {SCHEMA_VERSION}"
    )]
    Version { found: u32 },
    #[error("its name, {name:?}, is no signature: {source}; a name without a slash means nothing")]
    Name { name: String, source: PatternError },
    #[error("{what} is {found}; it has to be {range}")]
    Range { what: &'static str, found: usize, range: &'static str },
    #[error("lane {lane}: {source}")]
    Lane { lane: usize, source: WordError },
    #[error("the boundary is at lane {lane} page {page}, which there is not")]
    NoBoundary { lane: u16, page: u8 },
    #[error("operation {step} of mutator {mutator} ({op}) is on a lane that there is not")]
    NoLane { mutator: usize, step: usize, op: Op },
    #[error("operation {step} of mutator {mutator} ({op}): {why}")]
    Argument { mutator: usize, step: usize, op: Op, why: &'static str },
    #[error("operation {step} of mutator {mutator} ({op}) can't be done there: {misfit}")]
    Misfit { mutator: usize, step: usize, op: Op, misfit: Misfit },
}

impl Scenario {
    /// The lanes to begin with.
    ///
    /// # Errors
    /// The first lane whose text does not parse.
    pub fn layouts(&self) -> Result<Vec<Layout>, ScenarioError> {
        let parse = |(lane, text): (usize, &String)| {
            words::layout(text, self.pages as usize)
                .map_err(|source| ScenarioError::Lane { lane, source })
        };
        self.lanes.iter().enumerate().map(parse).collect()
    }

    /// What its name says that it shows; `None` where the name is no signature. A name that is a
    /// class, or has a slash, is meant as one.
    ///
    /// # Errors
    /// When such a name has an unknown word.
    pub fn shows(&self) -> Result<Option<Pattern>, ScenarioError> {
        let class = Class::ALL.into_iter().find(|class| class.word() == self.name);
        if !self.name.contains('/') {
            return Ok(class.map(Pattern::from));
        }
        let wrong = |source| ScenarioError::Name { name: self.name.clone(), source };
        self.name.parse().map(Some).map_err(wrong)
    }

    /// Whether the scenario can be run: versions, counts, and twice round each loop by itself.
    /// (Where mutators share a lane, an operation that does not fit in the run is passed over.)
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if !(OLDEST_VERSION..=SCHEMA_VERSION).contains(&self.schema_version) {
            return Err(ScenarioError::Version { found: self.schema_version });
        }
        self.shows()?;
        let range = |what, found: usize, low: usize, high: usize, range| {
            let within = (low..=high).contains(&found);
            if within { Ok(()) } else { Err(ScenarioError::Range { what, found, range }) }
        };
        range("pages", self.pages as usize, 1, MAX_PAGES, "1 to 64")?;
        range("the number of lanes", self.lanes.len(), 1, 4096, "1 to 4096")?;
        range("the number of mutators", self.mutators.len(), 1, 1024, "1 to 1024")?;
        range("the number of readers", self.readers.len(), 1, 1024, "1 to 1024")?;
        let first_read = self.first_read.map_or(1, |bytes| bytes as usize);
        range("first_read", first_read, 1, ReadLog::LONGEST, "1 to 16384 bytes")?;
        let later_reads = self.later_reads.map_or(1, |bytes| bytes as usize);
        range("later_reads", later_reads, 1, ReadLog::LONGEST, "1 to 16384 bytes")?;
        let lanes = self.layouts()?;
        if let Some(Boundary { lane, page }) = self.boundary
            && (lane as usize >= lanes.len() || page >= self.pages)
        {
            return Err(ScenarioError::NoBoundary { lane, page });
        }
        for (mutator, ops) in self.mutators.iter().enumerate() {
            range("the number of operations in a loop", ops.len(), 1, 4096, "1 to 4096")?;
            let mut lanes = Space::new(&lanes, self.merge_rules.rules());
            for (step, op) in ops.iter().chain(ops).enumerate() {
                self.play(&mut lanes, op, mutator, step)?;
            }
        }
        Ok(())
    }

    fn play(
        &self,
        lanes: &mut Space,
        op: &Op,
        mutator: usize,
        step: usize,
    ) -> Result<(), ScenarioError> {
        if op.lanes().any(|lane| usize::from(lane) >= lanes.lanes().len()) {
            return Err(ScenarioError::NoLane { mutator, step, op: *op });
        }
        if let Some(why) = wrong_argument(op) {
            return Err(ScenarioError::Argument { mutator, step, op: *op, why });
        }
        lanes.play(op).map_err(|misfit| ScenarioError::Misfit { mutator, step, op: *op, misfit })
    }
}

/// What is wrong with an operation wherever it is done: the model would make of it what the kernel
/// does not.
fn wrong_argument(op: &Op) -> Option<&'static str> {
    match *op {
        Op::Name { name, .. } if name > MAX_NAMES => Some("a name is a number from 0 to 7"),
        Op::Map { page, .. }
            if page.name() != 0 || Advice::ALL.iter().any(|&a| page.has_advice(a)) =>
        {
            Some("a new mapping has no name and no advice; they are operations of their own")
        }
        Op::Remap { from, to, .. } if from.span.len != to.span.len => {
            Some("a move keeps its length: `from` and `to` have the same `len`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Page, Place, Prot, Span};

    fn split() -> Scenario {
        let at = Place { lane: 0, span: Span::new(2, 4) };
        Scenario {
            schema_version: SCHEMA_VERSION,
            name: "split and merge".into(),
            pages: 8,
            merge_rules: FoundRules::default(),
            lanes: vec!["[0..6 rw-p anon] [7..8 r--s memfd1+12 !dump]".into(), "empty".into()],
            mutators: vec![vec![
                Op::Protect { at, prot: Prot::READ },
                Op::Map { at, page: Page::anon(Prot::READ_WRITE) },
            ]],
            readers: vec![Mode::Walk, Mode::Query],
            first_read: None,
            later_reads: None,
            boundary: None,
            measured: None,
        }
    }

    #[test]
    fn a_scenario_survives_the_file() {
        let scenario = split();
        assert_eq!(scenario.check(), Ok(()));
        let text = serde_json::to_string_pretty(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
        for (lane, layout) in scenario.layouts().unwrap().iter().enumerate() {
            assert_eq!(layout.to_string(), scenario.lanes[lane]);
        }
    }

    /// Two VMAs that merge by one rule, so that both can be moved at once, and not by the other.
    #[test]
    fn a_scenario_is_checked_by_the_merge_rules_that_it_was_made_with() {
        let text = |rules: &str| {
            format!(
                r#"{{"schema_version": 2, "name": "merged", "pages": 8, {rules}
                "lanes": ["[0..2 rw-p anon touched] [2..4 r--p anon]", "empty"],
                "mutators": [[
                    {{"op": "protect", "at": {{"lane": 0, "start": 0, "len": 2}}, "prot": "r--"}},
                    {{"op": "remap", "from": {{"lane": 0, "start": 0, "len": 4}},
                      "to": {{"lane": 1, "start": 0, "len": 4}}, "keep": false}},
                    {{"op": "map", "at": {{"lane": 0, "start": 0, "len": 4}}, "page": "r--p anon"}},
                    {{"op": "map", "at": {{"lane": 0, "start": 0, "len": 2}}, "page": "rw-p anon"}},
                    {{"op": "touch", "at": {{"lane": 0, "start": 0, "len": 2}}}}]],
                "readers": ["walk"]}}"#
            )
        };
        let read = |rules: &str| serde_json::from_str::<Scenario>(&text(rules));
        let says = |has: bool| format!(r#""merge_rules": {{"touched-into-untouched": {has}}},"#);
        let (newest, with, without) = (read(""), read(&says(true)), read(&says(false)));
        assert_eq!(newest.unwrap().check(), Ok(()), "files that do not say");
        let with = with.unwrap();
        assert_eq!(with.check(), Ok(()));
        let again = serde_json::to_string(&with).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&again).unwrap(), with);
        let refused = without.unwrap().check();
        assert!(
            matches!(refused, Err(ScenarioError::Misfit { step: 1, misfit: Misfit::ManyVmas, .. })),
            "{refused:?}"
        );
        let unknown = read(r#""merge_rules": {"no-such-rule": true},"#).unwrap_err().to_string();
        assert!(unknown.contains("no-such-rule"), "{unknown}");
    }

    #[test]
    fn a_name_that_is_a_signature_says_what_it_shows() {
        for (name, shows) in [
            ("hole", Some("hole")),
            ("hole/replaced-in-flight", Some("hole/replaced-in-flight")),
            ("split and merge", None),
            ("hole in one", None),
        ] {
            let scenario = Scenario { name: name.into(), ..split() };
            let shows = shows.map(|shows| shows.parse().unwrap());
            assert_eq!(scenario.shows(), Ok(shows), "{name}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_place() {
        let mut wrong = split();
        wrong.lanes[0] = "[0..3 rw-p anon]".into();
        let text = wrong.check().unwrap_err().to_string();
        assert!(text.contains("operation 0 of mutator 0") && text.contains("not mapped"), "{text}");

        let at = Place { lane: 1, span: Span::new(0, 1) };
        let named = Page::anon(Prot::READ).with_name(1);
        let longer = Place { lane: 0, span: Span::new(2, 4) };
        for (op, told) in [
            (Op::Map { at, page: named }, "no name"),
            (Op::Name { at: longer, name: MAX_NAMES + 1 }, "0 to 7"),
            (Op::Remap { from: longer, to: at, keep: true }, "same `len`"),
        ] {
            let wrong = Scenario { mutators: vec![vec![op]], ..split() };
            let text = wrong.check().unwrap_err().to_string();
            assert!(text.contains("operation 0 of mutator 0") && text.contains(told), "{text}");
        }

        for (name, told) in [
            ("hole/replaced-in-fligth", "did you mean \"replaced-in-flight\"?"),
            ("hloe/replaced-in-flight", "did you mean \"hole\"?"),
        ] {
            let wrong = Scenario { name: name.into(), ..split() };
            let text = wrong.check().unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(told), "{text}");
        }

        let wrong = Scenario { schema_version: 9, ..split() };
        assert_eq!(wrong.check(), Err(ScenarioError::Version { found: 9 }));
        let wrong = Scenario { lanes: vec!["[0..9 rw-p anon]".into()], ..split() };
        assert!(wrong.check().unwrap_err().to_string().starts_with("lane 0"));
        let wrong = Scenario { readers: vec![], ..split() };
        assert!(wrong.check().unwrap_err().to_string().contains("readers"));
    }
}
