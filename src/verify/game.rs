//! The game: all states that the process and the reader can be in.
//!
//! An instant is one of the gaps between ticks: gap `n` is the time after tick `n - 1` and before
//! tick `n`. A reader whose counter reads `c` looks in gap `c`. An operation that takes ticks `i`
//! and `r` takes effect in one of the gaps `i + 1` to `r`.

use super::event::Event;
use super::saved::SavedWalk;
use crate::model::{Geometry, Op};
use crate::oracle::{OPEN, Tick, Version, VersionRecord};
use std::collections::{BTreeMap, BTreeSet};

/// A state: the instant, the version of the lane the reader is in, and which moves between lanes
/// are known to have taken effect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct State {
    /// The instant; an index into [`Game::instants`].
    pub instant: usize,
    pub lane: Option<u16>,
    pub version: Version,
    /// For lanes above: a version that is there at this instant already, or one after it.
    pub moved: BTreeMap<u16, Version>,
}

/// The states reached after each event, each with the state before the event it came from.
pub(super) type Layer = BTreeMap<State, Option<State>>;

pub(super) struct Game<'a> {
    geometry: Geometry,
    /// The instants that differ from their neighbours in anything recorded.
    pub instants: Vec<Tick>,
    lanes: BTreeMap<u16, &'a [VersionRecord]>,
    /// Whether a layout that is not known shows whatever was seen.
    generous: bool,
}

impl<'a> Game<'a> {
    pub fn new(walk: &'a SavedWalk, generous: bool) -> Game<'a> {
        let windows = walk
            .lines
            .iter()
            .map(|line| line.window)
            .chain(walk.end)
            .chain(walk.calls.iter().copied());
        let bounds = windows.chain([walk.begin]).flat_map(|window| [window.from, window.to]);
        let changes = walk.versions.iter().flat_map(|record| [record.invoked + 1, record.closed]);
        let instants: BTreeSet<Tick> =
            bounds.chain(changes).filter(|&tick| tick >= walk.begin.from && tick != OPEN).collect();
        let lanes =
            walk.versions.chunk_by(|a, b| a.lane == b.lane).map(|lane| (lane[0].lane, lane));
        Game {
            geometry: walk.geometry,
            instants: instants.into_iter().collect(),
            lanes: lanes.collect(),
            generous,
        }
    }

    /// The state before anything was seen.
    pub fn start(&self) -> Layer {
        let state = State { instant: 0, lane: None, version: 0, moved: BTreeMap::new() };
        [(state, None)].into_iter().collect()
    }

    /// Whether a layout that is not known shows whatever was seen.
    pub fn generous(&self) -> bool {
        self.generous
    }

    pub fn record(&self, lane: u16, version: Version) -> Option<&'a VersionRecord> {
        let lane = self.lanes.get(&lane)?;
        lane.get(version.checked_sub(lane[0].version)? as usize)
    }

    /// The lane's versions, if there are any.
    pub fn versions(&self, lane: u16) -> &'a [VersionRecord] {
        self.lanes.get(&lane).copied().unwrap_or_default()
    }

    /// Whether the lane can look like this version at the instant.
    pub fn visible(&self, record: &VersionRecord, instant: usize) -> bool {
        let now = self.instants[instant];
        let begun = record.version == 0 || record.invoked < now;
        begun && record.closed >= now
    }

    /// Everything that can be after the reader saw `event`.
    pub fn play(&self, before: &Layer, event: &Event) -> Layer {
        let mut after = Layer::new();
        // To be looked at, lowest instant first; each with the state it came from.
        let mut open: BTreeMap<State, State> = BTreeMap::new();
        for state in before.keys() {
            if let Some(entered) = self.come_to(state, event) {
                open.entry(entered).or_insert_with(|| state.clone());
            }
        }
        while let Some((state, from)) = open.pop_first() {
            let now = self.instants[state.instant];
            if now > event.to {
                break;
            }
            if now >= event.from && self.agrees(&state, event) {
                after.entry(state.clone()).or_insert_with(|| Some(from.clone()));
            }
            for next in [self.take_effect(&state), self.pass_time(&state)].into_iter().flatten() {
                open.entry(next).or_insert_with(|| from.clone());
            }
        }
        after
    }

    fn agrees(&self, state: &State, event: &Event) -> bool {
        let Some((lane, _)) = event.place else {
            return true;
        };
        match self.record(lane, state.version) {
            Some(record) if record.origin.known => event.agrees(&record.layout(), &self.geometry),
            _ => self.generous,
        }
    }

    /// The reader comes to the event's lane, in the oldest version that can still be seen. The
    /// moves take it from there.
    fn come_to(&self, state: &State, event: &Event) -> Option<State> {
        let Some((lane, _)) = event.place else {
            return Some(state.clone());
        };
        if state.lane == Some(lane) {
            return Some(state.clone());
        }
        let now = self.instants[state.instant];
        let oldest = self.versions(lane).iter().find(|record| record.closed >= now);
        let mut moved = state.moved.clone();
        let demanded = moved.remove(&lane).unwrap_or(0);
        let version = oldest.map_or(0, |record| record.version).max(demanded);
        Some(State { instant: state.instant, lane: Some(lane), version, moved })
    }

    /// Move 1: time passes. What has returned has taken effect.
    fn pass_time(&self, state: &State) -> Option<State> {
        let mut next = State { instant: state.instant + 1, ..state.clone() };
        let now = *self.instants.get(next.instant)?;
        if let Some(lane) = state.lane {
            while let Some(record) = self.record(lane, next.version)
                && record.closed < now
            {
                self.record(lane, next.version + 1)?;
                next.version += 1;
            }
        }
        Some(next)
    }

    /// Move 2: the operation under way in the reader's lane takes effect.
    fn take_effect(&self, state: &State) -> Option<State> {
        let lane = state.lane?;
        let record = self.record(lane, state.version + 1)?;
        if record.invoked >= self.instants[state.instant] {
            return None;
        }
        let mut next = State { version: record.version, ..state.clone() };
        if let (Some(peer), Some(Op::Remap { from, to, .. })) =
            (record.origin.peer, record.origin.op)
        {
            // It takes effect in both lanes at once.
            let other = if from.lane == lane { to.lane } else { from.lane };
            if other > lane {
                let demanded = next.moved.entry(other).or_insert(peer);
                *demanded = peer.max(*demanded);
            }
        }
        Some(next)
    }
}
