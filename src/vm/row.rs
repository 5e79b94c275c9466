//! One guest's run as data.

use super::boot::{Ended, Guest};
use super::console::last_lines;
use super::recipe::Recipe;
use crate::exit::Exit;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How often a signature came in a run, and when first.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Came {
    /// How often.
    pub count: u64,
    /// Milliseconds from the start of the storm.
    pub first_at_ms: f64,
}

/// One guest's run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// The kernel's short name.
    pub kernel: String,
    /// uname's release in the guest, where it came to process 1.
    pub release: Option<String>,
    /// The seed of this run.
    pub seed: Option<u64>,
    /// `done`, `panic`, `hang`, `timeout`, `never-began`, `died` or `signal`.
    pub outcome: &'static str,
    /// What there is to say of an outcome that is not `done`.
    pub reason: Option<String>,
    /// The exit code.
    pub exit_code: i32,
    /// How often each signature came. Those that are allowed are left out.
    pub signatures: BTreeMap<String, Came>,
    /// Whether a second run of the same was the same; nothing where there was none.
    pub repeated: Option<bool>,
    /// Milliseconds from the start of the machine to process 1.
    pub began_ms: Option<u64>,
    /// Milliseconds that all of it took.
    pub took_ms: u64,
    /// Files that the guest saved.
    pub files: Vec<String>,
    /// What process 1 could not do.
    pub troubles: Vec<String>,
    /// The last lines of the console, where the program did not end by itself.
    pub console: Vec<String>,
    /// How to run it again.
    pub machine: Option<Recipe>,
    /// The program's own report, where it has one as JSON.
    pub report: Option<Value>,
    /// Where the program's marks lie in the guest.
    #[serde(skip)]
    pub marks: Vec<u64>,
}

/// What a guest told beside its output.
#[derive(Clone, Default, Debug)]
pub struct Told {
    /// uname's release.
    pub release: Option<String>,
    /// The report as JSON.
    pub report: Option<Value>,
    /// What process 1 could not do.
    pub troubles: Vec<String>,
    /// Where files lie on the host.
    pub files: Vec<String>,
    /// Where the program's marks lie in the guest.
    pub marks: Vec<u64>,
}

impl Row {
    /// The run of one guest.
    pub fn new(
        kernel: String,
        seed: Option<u64>,
        guest: &Guest,
        told: Told,
        machine: Option<Recipe>,
    ) -> Row {
        let (outcome, reason, exit_code) = outcome(&guest.ended, told.report.as_ref());
        let ended_itself = matches!(guest.ended, Ended::Program(_));
        Row {
            kernel,
            release: told.release,
            seed,
            outcome,
            reason,
            exit_code,
            signatures: told.report.as_ref().map_or_else(BTreeMap::new, signatures),
            repeated: None,
            began_ms: guest.began.map(|began| began.as_millis() as u64),
            took_ms: guest.took.as_millis() as u64,
            files: told.files,
            troubles: told.troubles,
            console: if ended_itself { Vec::new() } else { last_lines(&guest.console) },
            machine,
            report: told.report,
            marks: told.marks,
        }
    }

    /// The kernel and the seed, as a file's name has them.
    pub fn name(&self) -> String {
        name(&self.kernel, self.seed)
    }

    /// How often each class and mechanism came, and when first; a kernel that gave up or hangs is a
    /// class of its own.
    pub fn sorts(&self) -> BTreeMap<&str, Came> {
        let mut sorts = BTreeMap::<&str, Came>::new();
        for (signature, came) in &self.signatures {
            let all = sorts.entry(sort(signature)).or_insert(Came { count: 0, ..*came });
            all.count += came.count;
            all.first_at_ms = all.first_at_ms.min(came.first_at_ms);
        }
        if ["panic", "hang"].contains(&self.outcome) {
            // When it came is not known; that the guest was done by then is.
            sorts.insert(self.outcome, Came { count: 1, first_at_ms: self.took_ms as f64 });
        }
        sorts
    }

    /// Whether the run says anything of the kernel.
    pub fn is_judged(&self) -> bool {
        matches!(self.exit(), Exit::Upheld | Exit::Violated)
    }

    /// How it went, in a word.
    pub fn verdict(&self) -> &'static str {
        match (self.repeated, self.outcome, self.exit_code) {
            (Some(false), ..) => "not equal",
            (_, "done", 0) => "upheld",
            (_, "done", 1) => "violated",
            (_, "done", 4) => "not testable",
            (_, "done", 5) => "undecided",
            (_, "done", 64) => "usage",
            (_, "done", 129..) => "ended by a signal",
            (_, "done", _) => "error",
            (_, outcome, _) => outcome,
        }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self.exit_code {
            _ if self.repeated == Some(false) => Exit::Internal,
            0 => Exit::Upheld,
            1 => Exit::Violated,
            4 => Exit::Untestable,
            5 => Exit::Undecided,
            64 => Exit::Usage,
            129 => Exit::HungUp,
            130 => Exit::Interrupted,
            143 => Exit::Terminated,
            _ => Exit::Internal,
        }
    }
}

/// The kernel and the seed, as a file's name has them.
pub fn name(kernel: &str, seed: Option<u64>) -> String {
    seed.map_or_else(|| kernel.to_owned(), |seed| format!("{kernel}-seed-{seed}"))
}

/// The word, what there is to say, and the exit code.
///
/// A kernel that gave up or no longer gets anywhere under the storm broke its promise. A guest that
/// only took too long says nothing.
fn outcome(ended: &Ended, report: Option<&Value>) -> (&'static str, Option<String>, i32) {
    match ended {
        Ended::Program(code) => ("done", crashed(*code, report), *code),
        Ended::Panic(words) => ("panic", Some(words.clone()), Exit::Violated.code()),
        Ended::Hang(words) => ("hang", Some(words.clone()), Exit::Violated.code()),
        Ended::Timeout => {
            let why = "the guest was not done in time; give it more with --timeout, or less to do";
            ("timeout", Some(why.into()), Exit::Internal.code())
        }
        Ended::NeverBegan(why) => ("never-began", Some(why.clone()), Exit::Internal.code()),
        Ended::Died(said) => {
            let why = format!("the machine ended before the program in it: {said}");
            ("died", Some(why), Exit::Internal.code())
        }
        Ended::Signal(number) => {
            ("signal", Some(format!("signal {number}")), Exit::of_signal(*number).code())
        }
    }
}

/// What to say of a program that ended in no way of its own.
fn crashed(code: i32, report: Option<&Value>) -> Option<String> {
    match code {
        101 => Some("mapstorm panicked in the guest".into()),
        132.. if code != 143 && report.is_none() => {
            Some(format!("mapstorm was killed in the guest by signal {}", code - 128))
        }
        _ => None,
    }
}

/// The signatures in a report: of a storm's violations, or of the tear that was shown again.
fn signatures(report: &Value) -> BTreeMap<String, Came> {
    let mut found = BTreeMap::new();
    for violation in report["violations"].as_array().into_iter().flatten() {
        let allowed = violation["allowed"].as_bool().unwrap_or(false);
        let count = violation["count"].as_u64().unwrap_or(0);
        let first_at_ms = violation["first_at_ms"].as_f64().unwrap_or(0.0);
        if let Some(signature) = violation["signature"].as_str().filter(|_| !allowed) {
            found.insert(signature.to_owned(), Came { count, first_at_ms });
        }
    }
    if let (Some(shows), Some(count @ 1..)) = (report["shows"].as_str(), report["shown"].as_u64()) {
        let first_at_ms = report["elapsed_ms"].as_f64().unwrap_or(0.0);
        let signature = shows.split(' ').next().unwrap_or(shows);
        found.insert(signature.to_owned(), Came { count, first_at_ms });
    }
    found
}

/// The class and the mechanism of a signature: what tables are by.
pub fn sort(signature: &str) -> &str {
    let mut slashes = signature.match_indices('/').map(|(at, _)| at);
    slashes.nth(1).map_or(signature, |end| &signature[..end])
}

/// The exit code of several runs: that of the worst. What was proved outweighs what failed, and
/// what could not be tested counts only where nothing else was.
pub fn worst<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Exit {
    let weight = |exit: &Exit| match exit {
        Exit::Untestable => 0,
        Exit::Upheld => 1,
        Exit::Undecided => 2,
        Exit::Usage => 3,
        Exit::Internal | Exit::CannotTell => 4,
        Exit::Violated => 5,
        Exit::HungUp | Exit::Interrupted | Exit::Terminated => 6,
    };
    rows.into_iter().map(Row::exit).max_by_key(weight).unwrap_or(Exit::Untestable)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    /// A run with this exit code and these signatures.
    pub fn row(kernel: &str, seed: u64, code: i32, signatures: &[(&str, u64)]) -> Row {
        let guest = Guest {
            ended: Ended::Program(code),
            port: Vec::new(),
            console: String::new(),
            began: Some(Duration::from_secs(3)),
            took: Duration::from_secs(20),
        };
        let violations: Vec<Value> = signatures
            .iter()
            .map(|(signature, count)| json!({"signature": signature, "count": count, "first_at_ms": 1.5}))
            .collect();
        let told = Told { report: Some(json!({"violations": violations})), ..Told::default() };
        Row::new(kernel.into(), Some(seed), &guest, told, None)
    }

    fn ended(ended: Ended) -> Row {
        let guest = Guest {
            ended,
            port: Vec::new(),
            console: "one\ntwo\n".into(),
            began: None,
            took: Duration::ZERO,
        };
        Row::new("k".into(), None, &guest, Told::default(), None)
    }

    #[test]
    fn a_kernel_that_gives_up_has_broken_its_promise_and_one_that_is_slow_has_not() {
        assert_eq!(ended(Ended::Panic("oops".into())).exit(), Exit::Violated);
        assert_eq!(ended(Ended::Hang("stall".into())).exit(), Exit::Violated);
        assert_eq!(ended(Ended::Timeout).exit(), Exit::Internal);
        assert_eq!(ended(Ended::NeverBegan("why".into())).exit(), Exit::Internal);
        assert_eq!(ended(Ended::Signal(libc::SIGTERM)).exit(), Exit::Terminated);
        assert_eq!(
            ended(Ended::Program(139)).reason.unwrap(),
            "mapstorm was killed in the guest by signal 11"
        );
        assert_eq!(ended(Ended::Timeout).console, ["one", "two"]);
    }

    #[test]
    fn what_is_allowed_is_no_signature_of_the_run() {
        let report = json!({"violations": [
            {"signature": "hole/a/b/c", "count": 3, "first_at_ms": 2.0, "allowed": true},
            {"signature": "hole/d/e/f", "count": 1, "first_at_ms": 7.5, "allowed": false},
        ]});
        let found = signatures(&report);
        let came = Came { count: 1, first_at_ms: 7.5 };
        assert_eq!(found, BTreeMap::from([("hole/d/e/f".to_owned(), came)]));
        let replayed =
            json!({"shows": "hole/x (saved as hole/x/y/z, the same mechanism)", "shown": 1});
        assert_eq!(signatures(&replayed).into_keys().collect::<Vec<_>>(), ["hole/x"]);
    }

    #[test]
    fn the_worst_of_several_is_what_was_proved() {
        let rows = [row("a", 0, 0, &[]), row("b", 0, 70, &[]), row("c", 0, 1, &[])];
        assert_eq!(worst(&rows), Exit::Violated);
        assert_eq!(worst(&rows[..2]), Exit::Internal);
        assert_eq!(worst(&[row("a", 0, 4, &[]), row("b", 0, 0, &[])]), Exit::Upheld);
        assert_eq!(worst(&[]), Exit::Untestable);
        assert_eq!(worst([&Row { repeated: Some(false), ..row("a", 0, 0, &[]) }]), Exit::Internal);
    }

    #[test]
    fn a_sort_is_class_and_mechanism() {
        assert_eq!(sort("hole/skipped-after-merge/map,protect/walk"), "hole/skipped-after-merge");
        assert_eq!(sort("stall/-/-/-"), "stall/-");
        assert_eq!(sort("hole"), "hole");
    }
}
