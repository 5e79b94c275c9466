//! What to know before believing the figures of a run.

use super::figures::Rates;
use super::outcome::{Column, Outcome};
use super::overhead::LIMIT_NS;
use super::resample::FEW_SAMPLES;
use crate::count::counted;

/// The warnings that a result calls for.
pub fn of(outcome: &Outcome) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let losses = &outcome.setup.placement.losses;
    all.extend(losses.iter().map(ToString::to_string));
    all.extend(of_run(outcome));
    for column in &outcome.columns {
        all.extend(of_column(column, outcome.setup.nsamples));
    }
    all
}

fn of_run(outcome: &Outcome) -> Vec<String> {
    let mut all = Vec::new();
    let (machine, setup) = (&outcome.machine, &outcome.setup);
    if machine.emulated {
        all.push(
            "instructions are emulated here: compare these figures with others of the same emulator only"
                .to_owned(),
        );
    }
    if outcome.overhead.loop_ns > LIMIT_NS {
        all.push(format!(
            "clock and loop cost {:.0} ns a call, more than {LIMIT_NS:.0}: is the clock source `{}` read by a system call, or is this a debug build?",
            outcome.overhead.loop_ns, machine.clock_source
        ));
    }
    if setup.busy_ms > 0 && setup.scanners == 0 {
        all.push("--busyduration has no effect without scanners".to_owned());
    }
    let least = outcome.columns.iter().map(|column| column.samples.len());
    if least.min().is_some_and(|least| (2..FEW_SAMPLES).contains(&least)) {
        all.push(format!(
            "fewer than {FEW_SAMPLES} samples in a column: the intervals are too narrow"
        ));
    }
    all
}

fn of_column(column: &Column, nsamples: u32) -> Vec<String> {
    let label = &column.label;
    let mut all = Vec::new();
    if Rates::of(column).is_some_and(|rates| rates.starved()) {
        all.push(format!(
            "a scanner of {label} never finished a scan: what the mapper felt is not the cost of reading"
        ));
    }
    let failed: u64 = column
        .samples
        .iter()
        .map(|sample| sample.tally.mmap.failed + sample.tally.munmap.failed)
        .sum();
    if failed > 0 {
        all.push(format!(
            "{} beside {label} failed (memory, or vm.max_map_count?) and counts like any other",
            counted(failed, "call")
        ));
    }
    if (column.samples.len() as u32) < nsamples {
        all.push(format!(
            "{label} has {} of {}",
            column.samples.len(),
            counted(nsamples, "sample")
        ));
    }
    let short = column.samples.iter().filter(|sample| !sample.complete);
    match short.count() {
        0 => {}
        count => all.push(format!("{count} of the samples of {label} was cut short")),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::placement::Loss;
    use super::super::synthetic;
    use super::*;

    #[test]
    fn a_sound_run_calls_for_none() {
        assert_eq!(of(&synthetic::outcome(&[1000; 6], &[1000; 6])), [""; 0]);
    }

    #[test]
    fn each_weakness_is_named() {
        let seen = |change: fn(&mut Outcome), word: &str| {
            let mut outcome = synthetic::outcome(&[1000; 7], &[1000; 7]);
            change(&mut outcome);
            let all = of(&outcome);
            assert_eq!(all.len(), 1, "{all:?}");
            assert!(all[0].contains(word), "{all:?}");
        };
        seen(|o| o.machine.emulated = true, "emulated");
        seen(|o| o.overhead.loop_ns = 101.0, "101 ns");
        let few = |o: &mut Outcome| {
            o.setup.nsamples = 3;
            o.columns.iter_mut().for_each(|c| c.samples.truncate(3));
        };
        seen(few, "narrow");
        seen(|o| o.columns[1].samples[0].complete = false, "cut short");
        seen(|o| o.columns[0].samples[0].tally.mmap.failed = 2, "2 calls beside control");
        seen(|o| drop(o.columns[1].samples.pop()), "maps has 6 of 7");
        seen(
            |o| o.columns[1].samples.iter_mut().for_each(|s| s.scanners[0].scans = 0),
            "never finished",
        );
        seen(|o| o.setup.placement.losses.push(Loss::MapperShares { cpu: 3 }), "share CPU 3");
    }
}
