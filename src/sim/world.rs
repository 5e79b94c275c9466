//! A simulated process: its kernel, its workers, and the clockwork that interleaves them with the
//! reader.

use super::bugs::{Bug, Model};
use super::kernel::Kernel;
use super::pace::Pace;
use super::worker::Worker;
use crate::model::{Geometry, Layout, MergeRules, Page, Prot};
use crate::oracle::Oracle;
use crate::seed::Stream;

/// How many VMAs there may be more than at first where there is a limit: so many that calls mostly find
/// room, and often do not.
const SPARE: usize = 4;

/// How big a simulated process is, drawn from a seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Where its lanes lie.
    pub geometry: Geometry,
    /// Workers that change them.
    pub workers: usize,
    /// Bytes that one read call generates at most; the kernel's page.
    pub buffer: usize,
    /// Versions that the history holds in each lane.
    pub history: usize,
    /// One operation in this many fails half-way; 0 for none.
    pub failures: usize,
    /// How many VMAs there may be more than there are at first; nothing for any number.
    pub spare: Option<usize>,
    /// How the kernel merges.
    pub rules: MergeRules,
}

impl Setup {
    /// A setup drawn from the seed's stream. Pages of few lines make walks of many calls.
    pub fn draw(seed: u64) -> Setup {
        let mut rng = Stream::new(seed, "setup", 0);
        let lanes = rng.between(1, 3);
        let pages = [4, 6, 8, 12, 20][rng.below(5)];
        Setup {
            geometry: Geometry::new(0x7d00_0000_0000, 4096, lanes, pages),
            workers: rng.between(1, 4),
            buffer: [230, 270, 320, 400, 500][rng.below(5)],
            history: 4096,
            failures: 0,
            spare: None,
            rules: *rng.pick(&MergeRules::every().collect::<Vec<_>>()),
        }
    }

    /// The same with what this bug takes to show: an overrun, a history that is soon full; a call that
    /// fails at the limit, a limit.
    #[must_use]
    pub fn for_bug(mut self, bug: Bug) -> Setup {
        if bug == Bug::HistoryTailStays {
            self.history = 8;
        }
        if bug.case() == "limit" {
            self.spare = Some(SPARE);
        }
        self
    }

    /// The books of its lanes, which look as the seed says.
    pub fn oracle(&self, seed: u64) -> Oracle {
        Oracle::new(self.geometry, &self.initial(seed), self.history).with_rules(self.rules)
    }

    /// Layouts to begin with: mapped and unmapped runs.
    pub fn initial(&self, seed: u64) -> Vec<Layout> {
        let mut rng = Stream::new(seed, "layout", 0);
        let pages = self.geometry.pages as usize;
        let lane = |_| {
            let mut drawn = vec![Page::HOLE; pages];
            let mut page = Page::HOLE;
            for at in &mut drawn {
                page = match rng.below(4) {
                    0 => Page::HOLE,
                    1 => Page::anon(Prot::READ_WRITE),
                    2 => Page::file(Prot::READ, true, 0, rng.below(20) as u16),
                    _ if page.is_mapped() => page.step(1),
                    _ => page,
                };
                *at = page;
            }
            Layout::from_pages(&drawn)
        };
        (0..self.geometry.lanes).map(lane).collect()
    }
}

/// A simulated process.
pub struct World<'a> {
    pub(super) kernel: Kernel,
    pub(super) setup: Setup,
    workers: Vec<Worker<'a>>,
    turn: usize,
    rng: Stream,
    pace: Pace,
    steps: u64,
    /// Nothing happens beside the reader.
    pub(super) frozen: bool,
}

impl<'a> World<'a> {
    /// A process whose lanes are those of `oracle`, in their present state.
    pub fn new(
        oracle: &'a Oracle,
        setup: Setup,
        model: Model,
        bug: Option<Bug>,
        seed: u64,
    ) -> World<'a> {
        let initial: Vec<Layout> = (0..setup.geometry.lanes)
            .map(|lane| oracle.history(lane).layout(oracle.history(lane).head()))
            .collect();
        let mut kernel = Kernel::new(setup.geometry, setup.rules, &initial, model, bug);
        if let Some(spare) = setup.spare {
            let limit = kernel.count() + spare;
            kernel = kernel.with_limit(limit);
        }
        World {
            kernel,
            setup,
            workers: (0..setup.workers)
                .map(|number| Worker::new(oracle, number as u16, bug, &setup))
                .collect(),
            turn: 0,
            rng: Stream::new(seed, "scheduler", 0),
            pace: Pace::new(),
            steps: 0,
            frozen: false,
        }
    }

    /// Steps of the reader so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// A step of the reader is over; the workers' turn.
    #[inline]
    pub(super) fn step(&mut self) {
        self.steps += 1;
        if !self.frozen {
            let count = self.pace.draw(&mut self.rng);
            self.work(count);
        }
    }

    /// The reader waits: at least one worker moves.
    pub(super) fn wait(&mut self) {
        self.steps += 1;
        self.work(4);
    }

    fn work(&mut self, count: usize) {
        for _ in 0..count {
            let World { workers, kernel, rng, .. } = self;
            // Mostly the same worker goes on, so that whole operations fit between two steps.
            let stepped = workers[self.turn].step(kernel, rng);
            if !stepped || rng.one_in(12) {
                self.turn = rng.below(workers.len());
            }
        }
    }
}
