//! Proof before racing: each operation alone, and what this kernel makes of the VMAs.

use super::place::Interface;
use super::table::{PAGES, Spec, Step};
use crate::engine::{SeenLane, first_fresh, lay_out, merge_rules, read_lanes};
use crate::kernel::{Arena, Lines, MapsFile, Mm};
use crate::model::{FoundRules, Layout, Space, Vma, cases_in};
use crate::repro::scenario::{Boundary, SCHEMA_VERSION, Scenario, one_page};
use serde::Serialize;

/// What one operation made of the VMAs, as read from maps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Shown {
    /// The operation.
    pub operation: String,
    /// Which of the ten it is: `1`, `9+10`, or `none`.
    pub case: String,
    /// The VMAs that are no more.
    pub gone: Vec<String>,
    /// The VMAs that came about.
    pub new: Vec<String>,
}

/// That the kernel does what the case is named for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Proof {
    /// Operation by operation, one round of the loop.
    pub steps: Vec<Shown>,
}

impl Spec {
    /// The case as a scenario, read through `interface`, the page of output ending at `boundary`.
    pub fn scenario(&self, interface: Interface, boundary: Option<u8>) -> Scenario {
        Scenario {
            schema_version: SCHEMA_VERSION,
            name: self.test_name(),
            pages: PAGES,
            merge_rules: FoundRules::default(),
            lanes: self.lanes.iter().map(|&lane| lane.to_owned()).collect(),
            mutators: vec![self.steps.iter().map(|step| step.op).collect()],
            readers: vec![interface.mode()],
            first_read: None,
            later_reads: None,
            boundary: boundary.map(|page| Boundary { lane: 0, page }),
            measured: None,
        }
    }

    /// The lanes to begin with.
    ///
    /// # Panics
    /// Never: a test goes through the table.
    pub fn layouts(&self) -> Vec<Layout> {
        self.scenario(Interface::Read, None).layouts().expect("the table's lanes are layouts")
    }
}

/// Carries out the case's operations twice round with no other thread about. What maps shows after
/// each is compared with the model, the counts and the numbers of the table.
///
/// # Errors
/// Why the case is not testable here.
pub fn prove(spec: &Spec) -> Result<Proof, String> {
    let layouts = spec.layouts();
    let arena = Arena::reserve(layouts.len(), PAGES as usize).map_err(|error| error.to_string())?;
    let mut bench = Bench::new(arena, &layouts)?;
    let mut steps = Vec::new();
    for round in 0..2 {
        for step in spec.steps {
            let shown = bench.carry_out(step)?;
            if round == 0 {
                steps.push(shown);
            }
        }
        if bench.model.lanes() != layouts {
            return Err("operations and inverses do not restore the layout".into());
        }
    }
    Ok(Proof { steps })
}

/// Whether the VMAs of lane 0 lie on one page of output without any padding.
///
/// # Errors
/// When the lane can't be made or read.
pub(super) fn lies_on_one_page(spec: &Spec, interface: Interface) -> Result<bool, String> {
    let layouts = spec.layouts();
    let arena = Arena::reserve(layouts.len(), PAGES as usize).map_err(|error| error.to_string())?;
    let bench = Bench::new(arena, &layouts)?;
    let end = bench.arena.geometry().address(0, PAGES as usize);
    one_page(interface.mode(), bench.arena.geometry().base, end).map_err(|error| error.to_string())
}

struct Bench {
    arena: Arena,
    file: MapsFile,
    lines: Lines,
    seen: Vec<SeenLane>,
    model: Space,
}

impl Bench {
    fn new(arena: Arena, layouts: &[Layout]) -> Result<Bench, String> {
        let mut file = MapsFile::own().map_err(|errno| format!("/proc/self/maps: {errno}"))?;
        let rules = merge_rules(&arena, &mut file).map_err(|dropped| dropped.why)?;
        for (lane, layout) in layouts.iter().enumerate() {
            lay_out(&arena, rules, lane as u16, layout, first_fresh(lane as u16))
                .map_err(|(op, errno)| format!("{op}: {}", std::io::Error::from(errno)))?;
        }
        let mut bench = Bench {
            arena,
            file,
            lines: Lines::default(),
            seen: vec![SeenLane::default(); layouts.len()],
            model: Space::new(layouts, rules),
        };
        bench.read("at the beginning")?;
        Ok(bench)
    }

    /// Reads the lanes and compares them with the model.
    fn read(&mut self, when: &str) -> Result<(), String> {
        let (identities, geometry) = (self.arena.identities(), self.arena.geometry());
        read_lanes(&mut self.file, identities, geometry, &mut self.lines, &mut self.seen)
            .map_err(|errno| format!("/proc/self/maps: {errno}"))?;
        for (lane, model) in self.model.lanes().iter().enumerate() {
            if let Some(difference) = self.seen[lane].difference(lane as u16, model) {
                return Err(format!("{when}: {difference}"));
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, step: &Step) -> Result<Shown, String> {
        let op = step.op;
        let before = self.model.clone();
        self.model.fits(&op).map_err(|misfit| format!("{op}: {misfit}"))?;
        let old = self.vmas();
        self.arena
            .carry_out(&op)
            .map_err(|errno| format!("{op}: {}", std::io::Error::from(errno)))?;
        self.model.play(&op).map_err(|misfit| format!("{op}: {misfit}"))?;
        self.read(&format!("after {op}"))?;
        let new = self.vmas();
        let only = |these: &[(usize, Vma)], those: &[(usize, Vma)]| -> Vec<String> {
            let lacking = these.iter().filter(|vma| !those.contains(vma));
            lacking.map(|(lane, v)| format!("{lane}:[{}..{} {}]", v.start, v.end, v.page)).collect()
        };
        let (gone, came) = (only(&old, &new), only(&new, &old));
        let told = (0..before.lanes().len())
            .map(|lane| {
                let (old, new) = (&before.lanes()[lane], &self.model.lanes()[lane]);
                cases_in(&op, lane as u16, old, new)
            })
            .fold(crate::model::CaseSet::NONE, crate::model::CaseSet::union);
        if told != step.cases || (gone.len(), came.len()) != step.turns {
            return Err(format!(
                "{op} is case {told} and turns {} vmas into {}; it should be case {} and turn {} into {}",
                gone.len(),
                came.len(),
                step.cases,
                step.turns.0,
                step.turns.1,
            ));
        }
        Ok(Shown { operation: op.to_string(), case: told.to_string(), gone, new: came })
    }

    fn vmas(&self) -> Vec<(usize, Vma)> {
        let of = |(lane, seen): (usize, &SeenLane)| -> Vec<(usize, Vma)> {
            seen.vmas.iter().map(|&vma| (lane, vma)).collect()
        };
        self.seen.iter().enumerate().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::TABLE;
    use super::*;
    use crate::model::{Case, CaseSet, MergeRules};

    #[test]
    fn operations_and_inverses_restore_the_layout_on_the_model() {
        for spec in TABLE {
            let first = spec.layouts();
            let mut space = Space::new(&first, MergeRules::NEWEST);
            for step in spec.steps {
                let before = space.clone();
                assert_eq!(space.play(&step.op), Ok(()), "{}: {}", spec.name, step.op);
                let (before, lanes) = (before.lanes(), space.lanes());
                let told = (0..lanes.len())
                    .map(|l| cases_in(&step.op, l as u16, &before[l], &lanes[l]))
                    .fold(CaseSet::NONE, CaseSet::union);
                assert_eq!(told, step.cases, "{}: {}", spec.name, step.op);
            }
            assert_eq!(space.lanes(), first, "{}", spec.name);
        }
    }

    #[test]
    fn operations_and_inverses_restore_the_layout_on_the_kernel() {
        for spec in TABLE {
            match prove(spec) {
                Ok(proof) => assert_eq!(proof.steps.len(), spec.steps.len()),
                // Execute may be forbidden, or a flag too new: then the call says so, and no
                // layout differs from the model.
                Err(why) => assert!(why.contains("os error"), "{}: {why}", spec.name),
            }
        }
    }

    #[test]
    fn every_numbered_case_does_what_its_number_says() {
        for case in Case::ALL {
            let spec = super::super::table::find(&case.number().to_string()).expect("in the table");
            assert_eq!(spec.title, case.title());
            assert!(spec.steps.iter().any(|step| step.cases == CaseSet::NONE.with(case)));
            // The state to begin with is the one before or after the operation of that number.
            let step = if spec.begins_after { spec.steps.last() } else { spec.steps.first() };
            if !matches!(case, Case::SplitBelow | Case::SplitAbove) {
                assert!(step.is_some_and(|step| step.cases.has(case)), "{}", spec.name);
            }
        }
    }
}
